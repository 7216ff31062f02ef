//! The manager is killed at every write of its journal, on both sides, and at every effect (faults C01, M03).
//!
//! Whatever was under way is done, undone or seen anew: nothing is lost, nothing done twice, and the night ends as ever.

use dormouse_sim::script::Script;
use dormouse_sim::{Options, RunResult, Scenario, Sim};
use std::sync::Arc;

const CLUSTER: &str = "\
cluster t
host h[1-4] cpus=2 mem=2048M watts=45/95/3 boot=75s
vm   v[1-8]@h[1,2,3,4,1,2,3,4] vcpus=1 mem=256M cpu=0.05
policy balanced window.sleep=5m min_up=5m
";

/// Packed, woken for load, packed again.
fn night(crash: &str) -> RunResult {
    let script = format!(
        "{crash}
        expect within=3000 awake == 2
        at 13:00 load v[1-8] 0.60
        expect within=900 awake >= 3
        at 13:20 load v[1-8] 0.05
        never vms lost > 0
        expect vms running == 8
        expect awake == 2
        expect vm * outage < 1s
        run until 14:20 seed=1"
    );
    let cluster = Arc::new(dormouse_model::text::parse(CLUSTER).expect("a cluster"));
    let script = Script::parse(&script, &cluster).expect("a script");
    let scenario = Scenario { name: "t".to_owned(), why: String::new(), cluster, script, golden: None };
    Sim::new(&scenario, Options::default()).run()
}

fn faults(result: &RunResult) -> Vec<String> {
    let failures = result.failures.iter().map(ToString::to_string);
    failures.chain(result.violations.iter().map(ToString::to_string)).collect()
}

#[test]
fn without_a_crash_the_night_is_sound() {
    assert_eq!(faults(&night("")), Vec::<String>::new());
}

const POINTS: [&str; 7] = [
    "before=intent",
    "after=intent",
    "after=effect",
    "before=outcome",
    "after=outcome",
    "before=record",
    "after=record",
];

/// Plays the night with a crash at each of these points, every so many of them.
#[track_caller]
fn sound_at_any(points: &[&str], every: usize, how: &str) {
    let mut wrong = vec![];
    for point in points {
        let mut nth = 1;
        loop {
            let crash = format!("at 12:00 crash manager {point} nth={nth} {how}");
            let result = night(&crash);
            if !result.log.contains("ev=manager.down") {
                break; // fewer than n such points
            }
            wrong.extend(faults(&result).into_iter().map(|fault| format!("{crash}: {fault}")));
            nth += every;
        }
        assert!(nth > 10, "only {nth} crashes at {point}");
    }
    assert!(wrong.is_empty(), "{} faults\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn killed_at_any_point_of_any_step_the_night_ends_as_ever() {
    sound_at_any(&POINTS, 1, "down=20s");
}

/// It is not killed but stands still, and goes on beside its successor (faults C02, C03).
#[test]
fn overtaken_at_any_point_of_any_step_it_does_no_harm() {
    sound_at_any(&POINTS, 3, "down=20s back=90s");
    sound_at_any(&["before=effect"], 1, "down=20s back=90s");
}

/// The next one is of a newer version than the one that wrote its records (fault C13).
#[test]
fn upgraded_at_any_point_of_any_step_the_night_ends_as_ever() {
    sound_at_any(&POINTS, 3, "down=20s upgrade");
}

#[test]
fn killed_at_any_moment_the_night_ends_as_ever() {
    let mut wrong = vec![];
    // The first packing takes half a minute: every 700 ms of it.
    for step in 0..35 {
        let at_ms = 299_000 + step * 900;
        let crash = format!("at +{at_ms}ms crash manager down=30s");
        wrong.extend(faults(&night(&crash)).into_iter().map(|fault| format!("{crash}: {fault}")));
    }
    assert!(wrong.is_empty(), "{} faults\n{}", wrong.len(), wrong.join("\n"));
}
