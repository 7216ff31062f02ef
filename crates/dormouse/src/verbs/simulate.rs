//! `dormouse simulate`: plays a scenario folder with the program's real control, and says whether it went as its script
//! and its golden log demand.

use super::figures;
use super::input::PolicyArgs;
use crate::cli::{Ctx, Failure, Format, safe, style};
use dormouse_model::Millis;
use dormouse_sim::{Options, RunResult, Scenario, ScenarioError, Sim};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder with `cluster`, `script`, `README.md` and `expect.log`
    #[arg(value_name = "SCENARIO", required_unless_present = "chaos", conflicts_with = "chaos")]
    folder: Option<PathBuf>,

    #[command(flatten)]
    chaos: super::chaos::Args,

    /// Chance of the simulation instead of the script's; the golden log is not compared then
    #[arg(long)]
    seed: Option<u64>,

    /// Look at every host this often instead of every 15s; the golden log is not compared then
    #[arg(long, value_name = "SPAN", value_parser = look)]
    look: Option<Millis>,

    /// Hold the world against the rules after every N events that changed it; what happens is always judged
    #[arg(long, value_name = "N", default_value_t = 1)]
    check_every: u32,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Print the events before the figures
    #[arg(long)]
    log: bool,

    /// Write the events as the new golden log, to be read by a person
    #[arg(long, conflicts_with = "seed")]
    bless: bool,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let Some(folder) = args.folder.as_deref().filter(|_| !args.chaos.chaos) else {
        return super::chaos::run(&args.chaos, args.format, ctx);
    };
    let mut scenario = Scenario::load(folder).map_err(|error| not_loaded(folder, &error))?;
    let as_written = scenario.cluster.policy.clone();
    args.policy.apply(&mut Arc::make_mut(&mut scenario.cluster).policy)?;
    let is_other = args.seed.is_some() || args.look.is_some() || scenario.cluster.policy != as_written;
    let started = Instant::now();
    let mut options = Options { seed: args.seed, check_every: args.check_every, ..Options::default() };
    options.settings.observe_every = args.look.unwrap_or(options.settings.observe_every);
    let mut result = Sim::new(&scenario, options).run();
    result.figures.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match args.format {
        Format::Json => ctx.print_json(&result.figures)?,
        Format::Text => {
            let strong = style::STRONG;
            let mut out = format!("{strong}{}{strong:#}\n", safe(&scenario.name));
            if args.log {
                for line in result.log.lines() {
                    _ = writeln!(out, "{}", safe(line));
                }
            }
            ctx.print(&(out + &figures::text(&result.figures)))?;
        }
    }
    judge(args, folder, &scenario, &result, is_other)
}

/// Looks more often than that are no looks any more, and without one a day nothing is known.
fn look(text: &str) -> Result<Millis, String> {
    let span = dormouse_model::text::duration(text)
        .filter(|span| (Millis::from_secs(1)..=Millis::from_mins(24 * 60)).contains(span));
    span.ok_or_else(|| "a time from 1s to 24h, like 15s or 1m".to_owned())
}

fn not_loaded(folder: &Path, error: &ScenarioError) -> Failure {
    let what = format!("scenario `{}` cannot be played", safe(&folder.display().to_string()));
    match error {
        ScenarioError::Read { .. } | ScenarioError::TooLarge { .. } => Failure::new(what)
            .because(error)
            .hint("a scenario is a folder with the files README.md, cluster and script"),
        ScenarioError::Cluster { source, .. } => {
            let failure = Failure::usage(what).because_of(error.to_string());
            match &source.hint {
                Some(hint) => failure.hint(hint.clone()),
                None => failure,
            }
        }
        ScenarioError::Script { .. } | ScenarioError::Knob { .. } => {
            Failure::usage(what).because_of(error.to_string())
        }
    }
}

/// Expectations first, then rules, then the golden log: the first says most about what went wrong.
fn judge(
    args: &Args,
    folder: &Path,
    scenario: &Scenario,
    result: &RunResult,
    is_other: bool,
) -> Result<(), Failure> {
    let again = format!(
        "`dormouse simulate {} --seed {} --log` shows the run",
        folder.display(),
        result.figures.seed
    );
    if !result.failures.is_empty() {
        let failure = Failure::new(format!("{} of the script's demands were not met", result.failures.len()));
        let failure =
            result.failures.iter().fold(failure, |failure, missed| failure.because_of(missed.to_string()));
        return Err(failure.hint(again));
    }
    figures::judge(&result.violations).map_err(|failure| failure.hint(again.clone()))?;
    let golden = folder.join("expect.log");
    if args.bless {
        return std::fs::write(&golden, &result.log)
            .map_err(|error| Failure::new(format!("cannot write `{}`", golden.display())).because(&error));
    }
    match &scenario.golden {
        _ if is_other => Ok(()),
        None => Err(Failure::new(format!("`{}` has no expect.log", scenario.name))
            .hint("--bless writes it; then read it line by line")),
        Some(expected) if *expected == result.log => Ok(()),
        Some(expected) => Err(Failure::new("the run differs from its expect.log")
            .because_of(first_difference(expected, &result.log))
            .hint("if the new run is right: --bless, and read the difference")),
    }
}

fn first_difference(expected: &str, got: &str) -> String {
    let mut expected = expected.lines();
    let mut got = got.lines();
    let mut line = 0;
    loop {
        line += 1;
        match (expected.next(), got.next()) {
            (Some(a), Some(b)) if a == b => {}
            (a, b) => {
                let shown = |line: Option<&str>| line.unwrap_or("(nothing)").to_owned();
                return format!("line {line}\nexpected: {}\ngot:      {}", shown(a), shown(b));
            }
        }
    }
}
