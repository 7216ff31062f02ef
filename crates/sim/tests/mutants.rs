//! A checker that catches nothing is not a checker: each planted bug must be caught by its own within 10,000 seeds, and
//! the seed that catches it breaks nothing without it.
//!
//! `cargo test --release -p dormouse-sim --features mutants --test mutants -- --nocapture` prints the seeds.

use dormouse_control::mutants::{Mutant, plant};
use dormouse_sim::chaos::Case;
use dormouse_sim::{Options, Scenario, Sim};
use std::path::Path;
use std::sync::Mutex;

const SEEDS: u64 = 10_000;

/// The bug, the invariant that must catch it, and a seed that did the last time: tried first, so that the search is short.
const CAUGHT: [(Mutant, &str, u64); 29] = [
    (Mutant::GuardIsBlind, "I1", 14),
    (Mutant::ResumesBoth, "I2", 37),
    (Mutant::StartsWithoutProof, "I3", 13),
    (Mutant::ActsWithoutLease, "I4", 8),
    (Mutant::GuardForgetsTime, "I4", 278),
    (Mutant::NeverFreezes, "I5", 67),
    (Mutant::SilenceIsSleep, "I6", 2),
    (Mutant::TriesForEver, "I7", 13),
    (Mutant::NoMinimum, "I8", 1),
    (Mutant::NoReserve, "I9", 8),
    (Mutant::NoOverhead, "I10", 21),
    (Mutant::NoBudgets, "I11", 2),
    (Mutant::NoRest, "I12", 1),
    (Mutant::SkipsStopping, "I13", 1),
    (Mutant::WakesTooLate, "I14", 30),
    (Mutant::ActsBeforeIntent, "I15", 1),
    (Mutant::ForgetsOutcomes, "I16", 1),
    (Mutant::IgnoresPeople, "I17", 3),
    (Mutant::IgnoresRoles, "I18", 2),
    (Mutant::ActsWithoutStore, "I19", 8),
    (Mutant::SleepsWhenOpen, "I20", 2),
    (Mutant::NeverAborts, "I21", 33),
    (Mutant::TrustsTheDriver, "I22", 1),
    (Mutant::LosesDefinitions, "I23", 12),
    (Mutant::WritesRawText, "I24", 2),
    (Mutant::OutsideChance, "I27", 210),
    (Mutant::NeverReopens, "I28", 2),
    (Mutant::IgnoresClockJumps, "I29", 152),
    (Mutant::TicksLate, "I30", 8),
];

/// Rules that the usual troubles hardly reach.
const RARE: [&str; 2] = ["I3", "I24"];

/// Whether this seed breaks this rule.
fn breaks(seed: u64, rule: &str) -> bool {
    let case = if RARE.contains(&rule) { Case::draw_rare(seed) } else { Case::draw(seed) };
    let play = || case.play().expect("a drawn case makes sense");
    let verdict = play();
    match rule {
        "I27" => verdict.log != play().log,
        rule => verdict.violations.iter().any(|violation| violation.invariant == rule),
    }
}

/// A bug is planted in the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A leader that stood still wakes up beside its successor, with an intent that it hears to be durable. Who does not look
/// at its lease then acts, and is seen to.
#[test]
fn a_leader_that_comes_back_and_acts_is_caught() {
    let _one = ONE_AT_A_TIME.lock();
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/frozen-leader-is-overtaken-mid-write");
    let scenario = Scenario::load(&folder).expect("a scenario");
    let breaks = |mutant| {
        plant(mutant);
        let result = Sim::new(&scenario, Options::default()).run();
        plant(None);
        result.violations.iter().map(|violation| violation.invariant.to_string()).collect::<Vec<_>>()
    };
    assert!(breaks(Some(Mutant::ActsWithoutLease)).iter().any(|rule| rule == "I4"));
    assert!(breaks(None).is_empty());
}

#[test]
fn every_planted_bug_is_caught_by_its_checker() {
    let _one = ONE_AT_A_TIME.lock();
    let listed = |mutant: &Mutant| CAUGHT.iter().any(|(caught, ..)| caught == mutant);
    assert!(Mutant::ALL.iter().all(listed));
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = vec![];
    for (mutant, rule, known) in CAUGHT {
        // It must break the rule with the bug and keep it without.
        let catches = |seed: &u64| {
            plant(Some(mutant));
            let with = breaks(*seed, rule);
            plant(None);
            with && !breaks(*seed, rule)
        };
        match std::iter::once(known).chain(1..=SEEDS).find(catches) {
            None => missed.push(format!("{mutant:?}: no seed up to {SEEDS} breaks {rule}")),
            Some(seed) => println!("{mutant:?}: {rule} caught it at seed {seed}"),
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
