//! Every folder under `scenarios/` is played and compared with its golden log.
//!
//! `cargo xtask bless` (or `DORMOUSE_BLESS=1` here) writes the logs anew; a person reads the difference.

use dormouse_sim::{Options, RunResult, Scenario, Sim};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root())
        .expect("scenarios/ is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn play(scenario: &Scenario) -> RunResult {
    Sim::new(scenario, Options::default()).run()
}

/// The first line in which two texts differ, with a little of what follows.
fn difference(expected: &str, got: &str) -> String {
    let (mut old, mut new) = (expected.lines(), got.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (old.next(), new.next()) {
            (None, None) => return String::new(),
            (was, is) if was == is => {}
            (was, is) => {
                return format!(
                    "line {line}:\n  - {}\n  + {}\n",
                    was.unwrap_or("(end)"),
                    is.unwrap_or("(end)")
                );
            }
        }
    }
}

/// What is wrong with one scenario; empty when nothing is.
fn check(folder: &Path, bless: bool) -> String {
    let mut wrong = String::new();
    let scenario = match Scenario::load(folder) {
        Ok(scenario) => scenario,
        Err(error) => return format!("{error}\n"),
    };
    let result = play(&scenario);
    for failure in &result.failures {
        let _ = writeln!(wrong, "{failure}");
    }
    for violation in &result.violations {
        let _ = writeln!(wrong, "violation of {violation}");
    }
    if bless {
        std::fs::write(folder.join("expect.log"), &result.log).expect("writable");
    } else {
        match &scenario.golden {
            None => wrong.push_str("expect.log is missing; `cargo xtask bless` writes it\n"),
            Some(golden) if *golden != result.log => {
                let _ = write!(wrong, "the log differs from expect.log, {}", difference(golden, &result.log));
            }
            Some(_) => {}
        }
    }
    wrong
}

#[test]
fn every_scenario_goes_as_its_log_says() {
    let bless = std::env::var_os("DORMOUSE_BLESS").is_some_and(|value| value == "1");
    let only = std::env::var("DORMOUSE_SCENARIO").ok();
    let mut report = String::new();
    for folder in folders() {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let wrong = check(&folder, bless);
        if !wrong.is_empty() {
            let seed = Scenario::load(&folder).map_or(1, |scenario| scenario.script.seed);
            let _ = writeln!(
                report,
                "\n{name}\n{wrong}repeat it: dormouse simulate scenarios/{name} --seed {seed}"
            );
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// A folder without a script, or a stray file, would be a scenario that is never played.
#[test]
fn no_scenario_is_forgotten() {
    let mut names = BTreeSet::new();
    for folder in folders() {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        let files: BTreeSet<String> = std::fs::read_dir(&folder)
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        let wanted: BTreeSet<String> =
            ["README.md", "cluster", "script", "expect.log"].map(str::to_owned).into();
        assert_eq!(files, wanted, "scenarios/{name}");
        names.insert(name);
    }
    assert!(names.len() >= 25, "only {} scenarios", names.len());
    let stray: Vec<_> = std::fs::read_dir(root())
        .expect("scenarios/ is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| !path.is_dir() && !path.ends_with("README.md"))
        .collect();
    assert!(stray.is_empty(), "files beside the folders: {stray:?}");
}

/// Same binary, scenario and seed: the same bytes, also when chance has a say (I27).
#[test]
fn the_same_seed_gives_the_same_bytes() {
    for name in ["manager-restart-mid-plan", "wake-fails-next-host-taken"] {
        let scenario = Scenario::load(&root().join(name)).expect("a scenario");
        let run = |seed| {
            let options = Options { seed: Some(seed), jitter_permille: 200, ..Options::default() };
            let result = Sim::new(&scenario, options).run();
            (result.log, serde_json::to_string(&result.figures).expect("figures are plain"))
        };
        assert_eq!(run(7), run(7), "{name}");
        assert_ne!(run(7).0, run(8).0, "{name}: the seed changes nothing");
    }
}

/// A run in pieces is the run in one go: a screen may stop it at any time.
#[test]
fn stepping_changes_nothing() {
    let scenario = Scenario::load(&root().join("wake-fails-next-host-taken")).expect("a scenario");
    let whole = play(&scenario);
    let mut sim = Sim::new(&scenario, Options::default());
    while !sim.is_over() {
        let next = sim.now() + dormouse_model::Millis(7_321);
        sim.step_until(next);
    }
    let pieces = sim.result();
    assert_eq!((whole.log, whole.figures), (pieces.log, pieces.figures));
}
