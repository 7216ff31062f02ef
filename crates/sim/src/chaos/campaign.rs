//! Many seeds, on all processors. Each seed is played by itself, so how many threads there are changes nothing but time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Case, Verdict};

/// Every so many seeds one is played twice and must give the same bytes (I27).
const TWICE_EVERY: u64 = 50;

#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    pub first: u64,
    pub seeds: u64,
    pub threads: usize,
    /// Of the rarer troubles, too: see [`Case::draw_rare`].
    pub rare: bool,
    /// It ends early when so many seeds have failed.
    pub failures_max: usize,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub played: u64,
    pub simulated_ms: u64,
    pub failed: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub progress: Progress,
    /// Seeds that broke a rule, with what came of them.
    pub failures: BTreeMap<u64, Verdict>,
}

impl Campaign {
    /// Plays them all. `each` hears of every seed that ends, from any thread.
    pub fn run(&self, each: impl Fn(Progress) + Sync) -> Summary {
        let next = AtomicU64::new(0);
        let enough = AtomicBool::new(false);
        let summary = Mutex::new(Summary::default());
        let work = || {
            while !enough.load(Ordering::Relaxed) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= self.seeds {
                    break;
                }
                let seed = self.first + place;
                let verdict = judged(&if self.rare { Case::draw_rare(seed) } else { Case::draw(seed) });
                let mut summary = summary.lock().expect("nobody panics while holding it");
                summary.progress.played += 1;
                summary.progress.simulated_ms += verdict.simulated.0;
                if !verdict.is_sound() {
                    summary.progress.failed += 1;
                    summary.failures.insert(seed, verdict);
                    enough.store(summary.failures.len() >= self.failures_max, Ordering::Relaxed);
                }
                let progress = summary.progress;
                drop(summary);
                each(progress);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(work);
            }
            work();
        });
        summary.into_inner().expect("nobody panics while holding it")
    }
}

fn judged(case: &Case) -> Verdict {
    let play = || case.play().unwrap_or_else(|error| Verdict::broken("text", error.to_string()));
    let verdict = play();
    if case.seed.is_multiple_of(TWICE_EVERY) && verdict.is_sound() && play().log != verdict.log {
        return Verdict::broken("I27", "two runs of one seed differ".to_owned());
    }
    verdict
}
