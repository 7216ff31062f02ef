//! Faults in the real lab, in parts that can be stopped and resumed: `cargo xtask lab-faults --part moves`.
//!
//! Each part plays units drawn from a seed on a lab of its own, writes a line for each unit that is over, and copies what
//! lab, audit log and trail say into records. The records are held against the rules of `docs/faults.md` afterwards, by
//! the simulator's own checkers. Decides nothing about the cluster: that is the daemon, `dormouse run` as it ships.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talks to the person at the keyboard")]

mod book;
mod dice;
mod growth;
mod judge;
mod kills;
mod moves;
mod rows;
mod site;
mod soak;
mod starts;
mod table;

use anyhow::{Context as _, Result};
use book::{Book, Unit};
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use site::{Goal, Site};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Parser)]
#[command(
    name = "lab-faults",
    about = "Faults in the real lab (root), in parts that can be stopped and resumed"
)]
struct Args {
    /// Only this part (may be given several times); all without it
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// What is drawn follows from it; a resumed run keeps the seed it began with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead of the planned number: moves, kills, minutes, double starts
    #[arg(long)]
    count: Option<u64>,
    /// Where progress and records are kept
    #[arg(long, default_value = "target/lab-faults")]
    out: PathBuf,
    /// The program under test
    #[arg(long, default_value = "target/release/dormouse")]
    program: PathBuf,
    /// Run nothing: read what is there, judge it, print the table
    #[arg(long)]
    summary: bool,
    /// A short run of moves, kills and starts, from the start, in a folder of its own
    #[arg(long)]
    sample: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Real migrations with drawn faults
    Moves,
    /// kill -9 of the daemon in nights
    Kills,
    /// Memory and files over an hour, in minutes
    Soak,
    /// Two daemons started at once on one store
    Starts,
    /// The scenarios of the lab, one by one
    Rows,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Starts, Self::Moves, Self::Kills, Self::Rows, Self::Soak];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Moves => "moves",
            Self::Kills => "kills",
            Self::Soak => "soak",
            Self::Starts => "starts",
            Self::Rows => "rows",
        }
    }

    /// `None`: as many as there are.
    pub(crate) const fn planned(self) -> Option<u64> {
        match self {
            Self::Moves => Some(1000),
            Self::Kills => Some(200),
            Self::Soak => Some(60),
            Self::Starts => Some(100),
            Self::Rows => None,
        }
    }

    const fn sample(self) -> u64 {
        match self {
            Self::Moves => 10,
            Self::Kills => 4,
            Self::Starts => 3,
            // A minute says nothing about an hour, and the rows are tests of their own.
            Self::Soak | Self::Rows => 0,
        }
    }

    /// A lab that an earlier run has left is removed first, so a sample has others than a long run beside it.
    fn up(self, ids: &str, program: &Path, records: &Path) -> Result<Site> {
        let id = format!("{ids}{}", self.name());
        // Twice as fast as life is all it takes to be a lab, where timeouts may be short.
        let (spec, goal, extra, rate) = match self {
            Self::Moves => (moves::spec(&id), Goal::Hold, String::new(), 2),
            Self::Kills => (kills::spec(&id), Goal::Spread, String::new(), 2),
            Self::Soak => (soak::spec(&id), Goal::Compact, soak::calendar(), soak::CALENDAR_RATE),
            Self::Starts | Self::Rows => (starts::spec(&id), Goal::Hold, String::new(), 2),
        };
        Site::up(spec, program, records, goal, &extra, rate)
    }
}

fn main() -> ExitCode {
    // The lab's own processes are the program under test; this one is never asked to play them.
    let mut args = Args::parse();
    if args.parts.is_empty() {
        args.parts = Part::ALL.to_vec();
    }
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab-faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let out = if args.sample { args.out.join("sample") } else { args.out.clone() };
    if args.sample && out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    let planned = |part: Part| if args.sample { Some(part.sample()) } else { args.count.or(part.planned()) };
    if !args.summary {
        let stop = on_interrupt()?;
        for part in &args.parts {
            if *part == Part::Rows && !args.sample {
                rows::run(&mut Book::open(&out, part.name())?)?;
                continue;
            }
            let planned = planned(*part).unwrap_or(0);
            if stop.load(Ordering::Relaxed) {
                break;
            }
            play(*part, planned, args, &out, &stop).with_context(|| format!("part {}", part.name()))?;
        }
    }
    let sums = args.parts.iter().map(|part| table::sum(*part, planned(*part), &out));
    let sums = sums.collect::<Result<Vec<_>>>()?;
    print!("{}", table::text(&sums));
    Ok(sums.iter().all(|sum| sum.is_good()))
}

/// The first Ctrl-C or polite kill ends the run after its unit, and removes the lab; the second ends it at once.
fn on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Plays units until so many are done. A unit that did not come to rest ends its lab; the next one begins on a new one.
fn play(part: Part, planned: u64, args: &Args, out: &Path, stop: &AtomicBool) -> Result<()> {
    let mut book = Book::open(out, part.name())?;
    let seed = book.units.first().map_or(args.seed, |unit| unit.seed);
    // A build that comes in between changes nothing of this run.
    let program = book.folder.join("program");
    _ = std::fs::remove_file(&program);
    std::fs::copy(&args.program, &program)
        .with_context(|| format!("cannot copy {}", args.program.display()))?;
    let mut given_up = 0;
    while book.done() < planned && !stop.load(Ordering::Relaxed) {
        let (stretch, records) = book.next_stretch();
        let mut site = part.up(if args.sample { "fx" } else { "f" }, &program, &records)?;
        let mut broke = false;
        while book.done() < planned && !broke && !stop.load(Ordering::Relaxed) {
            let mut unit = Unit { unit: book.next_unit(), seed, stretch, ..Unit::default() };
            let began = site::now();
            let left = planned - book.done();
            let played = match part {
                Part::Moves => moves::round(&mut site, &mut unit, left),
                Part::Kills => kills::half(&mut site, &mut unit, left),
                Part::Soak => soak::minute(&mut site, &mut unit),
                Part::Starts | Part::Rows => starts::double(&mut site, &mut unit),
            };
            unit.ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let scene = played.as_ref().err().map(|error| {
                unit.trouble = Some(format!("{error:#}"));
                // What was written down until then is judged, too.
                _ = site.collect();
                site.scene()
            });
            broke = scene.is_some();
            book.add(unit.clone(), scene.as_deref())?;
            println!(
                "{} {}: {} of {planned}, {:.1} s, {}{}",
                part.name(),
                unit.unit,
                book.done(),
                f64::from(u32::try_from(unit.ms).unwrap_or(u32::MAX)) / 1000.0,
                if unit.faults.is_empty() { "no fault".to_owned() } else { unit.faults.join(", ") },
                unit.trouble.as_ref().map_or_else(String::new, |why| format!("; TROUBLE: {why}")),
            );
        }
        if part == Part::Soak && !broke {
            soak::rest(&mut site)?;
        }
        given_up += u64::from(broke);
        anyhow::ensure!(given_up <= 20, "too many units did not come to rest; see {}", book.folder.display());
    }
    Ok(())
}
