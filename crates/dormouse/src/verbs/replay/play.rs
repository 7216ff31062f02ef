//! Plays each day under each policy, as many at a time as there are processors, and tells how far it is.

use crate::cli::{Failure, safe};
use dormouse_sim::replay::{Day, Fleet, Policy, Replay, Rules};
use dormouse_sim::trace::Trace;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Whoever waits longer than this is told how far it is, and then so often.
const QUIET: Duration = Duration::from_millis(700);
const EVERY: Duration = Duration::from_millis(150);

/// The days in order of traces and, within each, of policies.
pub(super) fn all(
    fleet: &Fleet,
    rules: Rules,
    traces: &[Trace],
    names: &[String],
    policy: impl Fn(&str) -> Result<Box<dyn Policy + Send>, Failure> + Sync,
) -> Result<Vec<Day>, Failure> {
    let replays: Vec<Replay<'_>> = traces
        .iter()
        .map(|trace| {
            Replay::new(fleet, trace, rules).map_err(|error| {
                Failure::usage(format!("the trace `{}` cannot be replayed", safe(&trace.name)))
                    .because(&error)
                    .hint("--fleet FILE takes the hosts of a cluster text")
            })
        })
        .collect::<Result<_, _>>()?;
    let jobs: Vec<(&Replay<'_>, &str)> =
        replays.iter().flat_map(|replay| names.iter().map(move |name| (replay, name.as_str()))).collect();
    let results: Vec<Mutex<Option<Result<Day, Failure>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let bar = Bar::new(jobs.iter().map(|(replay, _)| replay.steps()).sum());
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(((replay, name), result)) = jobs.get(place).zip(results.get(place)) else { return };
            let played = policy(name).map(|mut policy| play(replay, &mut *policy, &bar));
            *result.lock().expect("nobody panics holding it") = Some(played);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        bar.watch(|| threads.iter().all(|thread| thread.is_finished()));
    });
    results.into_iter().filter_map(|result| result.into_inner().expect("nobody panics holding it")).collect()
}

fn play(replay: &Replay<'_>, policy: &mut dyn Policy, bar: &Bar) -> Day {
    let started = Instant::now();
    let mut day = replay.run(policy, |_| bar.step());
    day.figures.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    day
}

/// One line on stderr, only where somebody sits before it.
struct Bar {
    done: AtomicUsize,
    steps: usize,
}

impl Bar {
    fn new(steps: usize) -> Self {
        Self { done: AtomicUsize::new(0), steps }
    }

    fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Until it is over.
    fn watch(&self, is_over: impl Fn() -> bool) {
        let started = Instant::now();
        let seen = std::io::stderr().is_terminal();
        let mut shown = false;
        while !is_over() {
            if !seen {
                return;
            }
            thread::park_timeout(EVERY);
            if started.elapsed() > QUIET {
                shown = true;
                self.draw();
            }
        }
        if shown {
            _ = write!(anstream::stderr().lock(), "\r{:60}\r", "");
        }
    }

    fn draw(&self) {
        const WIDTH: usize = 30;
        let done = self.done.load(Ordering::Relaxed).min(self.steps);
        let filled = done * WIDTH / self.steps.max(1);
        let (full, rest) = ("█".repeat(filled), "░".repeat(WIDTH - filled));
        let percent = done * 100 / self.steps.max(1);
        let mut stderr = anstream::stderr().lock();
        _ = write!(stderr, "\r  {full}{rest} {percent:3} % of the replay");
        _ = stderr.flush();
    }
}
