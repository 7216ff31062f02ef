//! `dormouse config`: whether a cluster text holds together, and what it amounts to.

use super::input::{self, PolicyArgs};
use crate::cli::{Ctx, Failure, Format, Table, safe, style};
use dormouse_model::schedule::{Schedule, WindowGoal};
use dormouse_model::{Cluster, KNOBS, Policy};
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// So far ahead windows are listed: two weeks show every weekday twice.
const DAYS: u32 = 14;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say whether the text holds together; exit code 2 and the place of the mistake if not
    Check(CheckArgs),
    /// Print the effective values, what each means, and the next 14 days of windows
    Explain(ExplainArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// A cluster text; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// A cluster text; `-` reads it from stdin. Without it: the standard values
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    #[command(flatten)]
    policy: PolicyArgs,

    /// List windows from this time of the cluster's zone on, like 2026-12-01T00:00; now unless given
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Explanation {
    policy: &'static str,
    knobs: Vec<Knob>,
    zone: String,
    windows: Vec<Opening>,
}

#[derive(Debug, Serialize)]
struct Knob {
    name: &'static str,
    value: String,
    /// What this policy starts from.
    standard: String,
    takes: &'static str,
    help: &'static str,
}

/// One opening of a window, in the cluster's zone.
#[derive(Debug, Serialize)]
struct Opening {
    window: String,
    goal: &'static str,
    start: String,
    end: String,
    up_by: String,
    #[serde(skip)]
    day: String,
    #[serde(skip)]
    hours: String,
    #[serde(skip)]
    up_by_hour: String,
}

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check(args, ctx),
        Command::Explain(args) => explain(args, ctx),
    }
}

fn check(args: &CheckArgs, ctx: &Ctx) -> Result<(), Failure> {
    let cluster = input::cluster(&args.cluster)?;
    let good = style::GOOD;
    ctx.print(&format!(
        "{good}ok{good:#}: cluster {}, {}, {}, {}, policy {}\n",
        safe(&cluster.name),
        counted(cluster.hosts.len(), "host"),
        counted(cluster.vms.len(), "VM"),
        counted(cluster.schedule.windows.len(), "window"),
        cluster.policy.name,
    ))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn explain(args: &ExplainArgs, ctx: &Ctx) -> Result<(), Failure> {
    let cluster = args.cluster.as_deref().map(input::cluster).transpose()?;
    let (mut policy, schedule) = match cluster {
        Some(Cluster { policy, schedule, .. }) => (policy, schedule),
        None => (Policy::default(), Schedule::default()),
    };
    args.policy.apply(&mut policy)?;
    let from = match args.from {
        Some(shown) => input::instant(&schedule, shown)?,
        None => Timestamp::now(),
    };
    let explanation = Explanation::of(&policy, &schedule, from);
    match args.format {
        Format::Json => ctx.print_json(&explanation),
        Format::Text => ctx.print(&explanation.text()),
    }
}

impl Explanation {
    fn of(policy: &Policy, schedule: &Schedule, from: Timestamp) -> Self {
        let standard = Policy::named(policy.name);
        let values = policy.knobs.entries().zip(standard.knobs.entries());
        let knobs = KNOBS.iter().zip(values).map(|(knob, ((name, value), (_, standard)))| Knob {
            name,
            value,
            standard,
            takes: knob.takes,
            help: knob.help,
        });
        let zone = schedule.zone.rules();
        let windows = schedule.occurrences(from, DAYS).into_iter().map(|occurrence| {
            let window = &schedule.windows[occurrence.window];
            let shown = |at: Timestamp| at.to_zoned(zone.clone());
            let rfc = |at: Timestamp| shown(at).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            Opening {
                window: window.name.clone(),
                goal: match window.goal {
                    WindowGoal::Compact => "compact",
                    WindowGoal::Spread => "spread",
                    WindowGoal::Hold => "hold",
                },
                start: rfc(occurrence.start),
                end: rfc(occurrence.end),
                up_by: rfc(occurrence.up_by),
                day: shown(occurrence.start).strftime("%a %Y-%m-%d").to_string(),
                hours: format!(
                    "{}-{}",
                    shown(occurrence.start).strftime("%H:%M"),
                    shown(occurrence.end).strftime("%H:%M")
                ),
                up_by_hour: shown(occurrence.up_by).strftime("%H:%M").to_string(),
            }
        });
        Self {
            policy: policy.name.as_str(),
            knobs: knobs.collect(),
            zone: schedule.zone.to_string(),
            windows: windows.collect(),
        }
    }

    fn text(&self) -> String {
        let strong = style::STRONG;
        let mut out = format!("{strong}Policy {}{strong:#}\n", self.policy);
        let mut table = Table::new(&["knob", "value", "standard", "meaning"]);
        for knob in &self.knobs {
            let standard = if knob.value == knob.standard { "" } else { &knob.standard };
            table.row([knob.name, &knob.value, standard, knob.help]);
        }
        _ = write!(out, "{table}");
        if self.windows.is_empty() {
            _ = writeln!(out, "\nNo window in the next {DAYS} days: the goal is always compact.");
            return out;
        }
        _ = writeln!(out, "\n{strong}Windows of the next {DAYS} days, zone {}{strong:#}", self.zone);
        let mut table = Table::new(&["day", "hours", "window", "goal", "hosts up by"]);
        for opening in &self.windows {
            let up_by = if opening.goal == "spread" { opening.up_by_hour.as_str() } else { "" };
            table.row([opening.day.as_str(), &opening.hours, &opening.window, opening.goal, up_by]);
        }
        out + &table.to_string()
    }
}
