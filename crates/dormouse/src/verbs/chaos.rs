//! `dormouse simulate --chaos`: clusters and troubles drawn from seeds, played with the program's real control, held
//! against the rules. The first seed that breaks one is cut down to a scenario folder.

use crate::cli::{Ctx, Failure, Format, safe};
use dormouse_sim::chaos::{Campaign, Case, Progress, Verdict, shrink};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The bar moves this often.
const REDRAW: Duration = Duration::from_millis(200);
const BAR: usize = 30;
/// Failed seeds that are named; a run with more is no use.
const FAILURES_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Draw clusters and faults from seeds instead of playing a scenario
    #[arg(long)]
    pub(crate) chaos: bool,

    /// So many seeds
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "chaos")]
    seeds: u64,

    /// The first of them
    #[arg(long, value_name = "K", default_value_t = 1, requires = "chaos")]
    first: u64,

    /// At once; every processor unless given
    #[arg(long, value_name = "N", requires = "chaos")]
    threads: Option<usize>,

    /// Draw of the rarer troubles, too: dead hosts that a person fences, lies, refused credentials, hostile names
    #[arg(long, requires = "chaos")]
    rare: bool,

    /// Where the scenario of a seed that failed is written
    #[arg(long, value_name = "DIR", default_value = ".", requires = "chaos")]
    keep: PathBuf,
}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Report {
    first: u64,
    seeds: u64,
    simulated_h: u64,
    failed: Vec<FailedSeed>,
    wall_ms: u64,
}

#[derive(Debug, Serialize)]
struct FailedSeed {
    seed: u64,
    violations: Vec<dormouse_sim::Violation>,
}

pub(crate) fn run(args: &Args, format: Format, ctx: &Ctx) -> Result<(), Failure> {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let campaign = Campaign {
        first: args.first,
        seeds: args.seeds,
        threads: threads.max(1),
        rare: args.rare,
        failures_max: FAILURES_MAX,
    };
    let started = Instant::now();
    let bar = Bar::new(args.seeds);
    // A panic of the controller is one of the findings; it is told with its seed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let summary = campaign.run(|progress| bar.show(progress));
    bar.clear();
    let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let drawn = |seed| if args.rare { Case::draw_rare(seed) } else { Case::draw(seed) };
    let shrunk = summary.failures.first_key_value().map(|(seed, verdict)| shrink(&drawn(*seed), verdict));
    std::panic::set_hook(hook);
    let hours = summary.progress.simulated_ms / 3_600_000;
    match format {
        Format::Json => ctx.print_json(&Report {
            first: args.first,
            seeds: summary.progress.played,
            simulated_h: hours,
            failed: summary
                .failures
                .iter()
                .map(|(seed, verdict)| FailedSeed { seed: *seed, violations: verdict.violations.clone() })
                .collect(),
            wall_ms,
        })?,
        Format::Text => ctx.print(&format!(
            "{} seeds from {}, {hours} hours of cluster time, {} broke a rule, {:.1} s\n",
            summary.progress.played,
            args.first,
            summary.progress.failed,
            started.elapsed().as_secs_f64()
        ))?,
    }
    let Some((case, verdict)) = shrunk else { return Ok(()) };
    let folder = keep(&args.keep, &case, &verdict)?;
    let mut failure = Failure::new(format!("seed {} broke a rule", case.seed));
    for violation in verdict.violations.iter().take(3) {
        failure = failure.because_of(safe(&violation.to_string()).to_string());
    }
    let others: Vec<String> = summary.failures.keys().skip(1).map(u64::to_string).collect();
    if !others.is_empty() {
        failure = failure.because_of(format!("so did {}", others.join(", ")));
    }
    failure = failure.because_of(format!("version {}", env!("CARGO_PKG_VERSION")));
    Err(failure.hint(format!(
        "`dormouse simulate --chaos{} --first {} --seeds 1` repeats it; `{}` holds it cut down to {} lines",
        if args.rare { " --rare" } else { "" },
        case.seed,
        folder.display(),
        case.script.len()
    )))
}

/// Writes the scenario; its golden log is what a person makes of it once the cause is gone.
fn keep(below: &Path, case: &Case, verdict: &Verdict) -> Result<PathBuf, Failure> {
    let folder = below.join(format!("chaos-{}", case.seed));
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot write the scenario `{}`", folder.display())).because(&error)
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for (name, text) in case.files(verdict) {
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    Ok(folder)
}

/// One line on the terminal of whoever waits; nothing where nobody does.
#[derive(Debug)]
struct Bar {
    seeds: u64,
    drawn: Option<Mutex<Instant>>,
}

impl Bar {
    fn new(seeds: u64) -> Self {
        let drawn = std::io::stderr().is_terminal().then(|| Mutex::new(Instant::now()));
        Self { seeds, drawn }
    }

    fn show(&self, progress: Progress) {
        let Some(drawn) = &self.drawn else { return };
        let Ok(mut drawn) = drawn.try_lock() else { return };
        if drawn.elapsed() < REDRAW {
            return;
        }
        *drawn = Instant::now();
        let share =
            usize::try_from(progress.played.saturating_mul(BAR as u64) / self.seeds.max(1)).unwrap_or(BAR);
        let mut line = String::from("\r[");
        for place in 0..BAR {
            line.push(if place < share { '#' } else { '.' });
        }
        _ = write!(
            line,
            "] {}/{} seeds, {} h simulated, {} broke a rule",
            progress.played,
            self.seeds,
            progress.simulated_ms / 3_600_000,
            progress.failed
        );
        _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn clear(&self) {
        if self.drawn.is_some() {
            _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
