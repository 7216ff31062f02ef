//! The script language: what a mistake says, and that demands which are not met are told.

use dormouse_model::Mono;
use dormouse_sim::script::Script;
use dormouse_sim::{Options, Scenario, Sim};
use expect_test::{Expect, expect};
use std::sync::Arc;

const CLUSTER: &str = "\
cluster t zone=Europe/Rome
host h[1-3] cpus=2 mem=2048M watts=45/95/3 boot=75s
vm   v[1-3]@h[1-3] vcpus=1 mem=256M cpu=0.05
policy balanced window.sleep=10m min_up=10m
";

fn parse(script: &str) -> Result<Script, String> {
    let cluster = dormouse_model::text::parse(CLUSTER).expect("a cluster");
    Script::parse(script, &cluster).map_err(|error| error.to_string())
}

fn wrong(script: &str, expected: Expect) {
    expected.assert_eq(&parse(script).expect_err("wrong"));
}

fn play(script: &str) -> Sim {
    let cluster = Arc::new(dormouse_model::text::parse(CLUSTER).expect("a cluster"));
    let script = Script::parse(script, &cluster).expect("a script");
    let scenario = Scenario { name: "t".to_owned(), why: String::new(), cluster, script, golden: None };
    Sim::new(&scenario, Options::default())
}

#[test]
fn mistakes_are_named_with_their_line() {
    wrong(
        "at 12:05 laod v1 0.4\nrun until 13:00",
        expect![
            "line 1: unknown action `laod` (one of: load, fault, heal, crash, operator, login, logout, block, unblock, define, user, switch, window, close, open); did you mean `load`?"
        ],
    );
    wrong(
        "at 12:05 load v9 0.4\nrun until 13:00",
        expect!["line 1: no VM is named `v9`; did you mean `v1`?"],
    );
    wrong(
        "\nat 25:05 load v1 0.4\nrun until 13:00",
        expect!["line 2: `25:05` is no time: HH:MM[:SS], +SECONDS or 2026-10-25T02:30"],
    );
    wrong("at 12:05 heal h1 h2\nrun until 13:00", expect!["line 1: `h2` is too much here"]);
    wrong(
        "expect host h1 sleeping\nrun until 13:00",
        expect![
            "line 1: unknown host state `sleeping` (one of: on, draining, stopping, asleep, waking, unusable, unknown, off, set-aside); did you mean `stopping`?"
        ],
    );
    wrong("at 12:05 block h1 \"exam\nrun until 13:00", expect!["line 1: a quote is not closed"]);
    wrong("at 12:05 heal", expect!["line 1: the last line must be `run until TIME`"]);
    wrong("at 2026-01-11T12:00 heal\nrun until 13:00", expect!["line 1: before the start"]);
    wrong("at 12:05 define v1@h1 mem=1G\nrun until 13:00", expect!["line 1: `v1` exists already"]);
    wrong(
        "at 12:05 crash manager after=lunch\nrun until 13:00",
        expect![
            "line 1: a crash is after=intent, effect, outcome or record, or before=intent, effect, outcome or record"
        ],
    );
}

#[test]
fn hostile_text_is_an_error_and_no_more() {
    for line in [
        "at 12:05 load h[1-999999999999] 1",
        "expect awake <= 99999999999999999999",
        "at 12:05 login \u{1b}[2J",
        "\"",
        "start 9999-12-31T23:59\nat 00:01 heal",
    ] {
        let error = parse(&format!("{line}\nrun until 13:00")).expect_err(line);
        assert!(!error.contains('\u{1b}') && error.len() < 400, "{error}");
    }
}

#[test]
fn times_roll_over_midnight_and_follow_the_clock_on_the_wall() {
    let script =
        parse("at 02:00 heal\nat 01:00 heal\nat +600 heal\nrun until +700").expect_err("time runs backwards");
    assert_eq!(script, "line 3: time does not run backwards");
    let script =
        parse("at 23:00 heal\nat 02:00 heal\nat 01:30 heal\nrun until 02:00 seed=9").expect("a script");
    let hours = |at: Mono| at.0 / 360_000;
    assert_eq!(script.actions.iter().map(|timed| hours(timed.at)).collect::<Vec<_>>(), [110, 140, 375]);
    assert_eq!((hours(script.until), script.seed), (380, 9));
    // Clocks are put forward at two: the night has one hour less.
    let spring = parse("start 2026-03-28T20:00\nrun until 08:00").expect("a script");
    assert_eq!(hours(spring.until), 110);
    let autumn = parse("start 2026-10-24T20:00\nrun until 08:00").expect("a script");
    assert_eq!(hours(autumn.until), 130);
}

/// A demand that cannot fail is no demand: each kind fails here once.
#[test]
fn demands_that_are_not_met_are_told() {
    let demands = "expect within=60 awake == 1
expect host h1 asleep
expect power h1 off
expect vm v3 on h2
expect vm * outage < 5ms
expect alarm host.set-aside
expect energy < 0.010 kWh
expect moves == 0
expect wake h1
never power-off h3
never awake < 3
expect vm v1 paused";
    let result = play(&format!("{demands}\nat 12:30 load v1 0.10\nrun until 13:00")).run();
    assert_eq!(result.violations, []);
    let told: Vec<String> = result
        .failures
        .iter()
        // How much was drawn is no matter of this test.
        .map(|failure| {
            format!(
                "{}: {}",
                failure.line,
                failure.instead.replace(|c: char| c.is_ascii_digit() && failure.line == 7, "n")
            )
        })
        .collect();
    expect![[r#"
        1: it is 3
        2: h1 is on
        3: h1 is on
        4: it runs on h1
        5: the worst is v3 with 30ms
        6: it did not happen
        7: it is n.nnn kWh
        8: it is 1
        9: it did not happen
        10: it is so
        11: it is so
        12: it is not"#]]
    .assert_eq(&told.join("\n"));
}
