use super::Terminal;
use expect_test::expect;
use std::fs;

const CLUSTER: &str = "\
host h[1-3] cpus=2 mem=2048M boot=90s watts=45/95/3
vm v[1-3]@h[1-3] vcpus=1 mem=256M cpu=0.05
policy balanced failover=0 spare.min=0 spare.target=0
";

/// A terminal beside a scenario folder `s`.
fn scenario(cluster: &str, script: &str) -> Terminal {
    let terminal = Terminal::new();
    let folder = terminal.folder.path().join("s");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("README.md"), "# s\nThree hosts, one is enough.\n").unwrap();
    fs::write(folder.join("cluster"), cluster).unwrap();
    fs::write(folder.join("script"), script).unwrap();
    terminal
}

#[test]
fn a_scenario_passes_once_its_golden_log_is_written() {
    let terminal = scenario(CLUSTER, "expect within=7200 awake <= 1\nrun until 15:00 seed=7\n");
    terminal.check_head(
        "simulate s",
        4,
        expect![[r#"
        $ dormouse simulate s
        s
          figure         value
          policy         balanced
          seed           7
    "#]],
    );
    assert!(terminal.type_in("simulate s").contains("stderr: Error: `s` has no expect.log"));
    assert!(terminal.type_in("simulate s --bless").ends_with("exit status 0\n"));
    assert!(terminal.type_in("simulate s").ends_with("exit status 0\n"));
    assert_eq!(terminal.json("simulate s --format json")["seed"], 7);
    // Another seed is another run: it is judged by the script, not by the golden log.
    assert_eq!(terminal.json("simulate s --seed 8 --format json")["seed"], 8);
}

#[test]
fn a_demand_that_is_not_met_fails() {
    let terminal = scenario(CLUSTER, "never host h3 asleep\nexpect awake <= 0\nrun until 15:00 seed=7\n");
    let shown = terminal.type_in("simulate s");
    let told: String = shown
        .lines()
        .filter(|line| line.starts_with("stderr") || line.starts_with("exit"))
        .map(|line| format!("{line}\n"))
        .collect();
    expect![[r#"
        stderr: Error: 2 of the script's demands were not met
        stderr: Caused by: script:1: `never host h3 asleep` failed at +02425.609: it is so
        stderr: Caused by: script:2: `expect awake <= 0` failed at +10800.000: it is 1
        stderr: Hint: `dormouse simulate s --seed 7 --log` shows the run
        exit status 1
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_run_that_differs_from_its_golden_log_fails() {
    let terminal = scenario(CLUSTER, "run until 12:10 seed=7\n");
    fs::write(terminal.folder.path().join("s/expect.log"), "t=+00000.000 ev=other\n").unwrap();
    let shown = terminal.type_in("simulate s");
    assert!(
        shown.contains("Error: the run differs from its expect.log\nstderr: Caused by: line 1\n"),
        "{shown}"
    );
    assert!(shown.ends_with("exit status 1\n"));
}

#[test]
fn a_mistake_in_the_script_is_a_usage_error_and_a_missing_folder_is_not() {
    scenario(CLUSTER, "expct awake <= 1\nrun until 12:10 seed=7\n").check("simulate s", expect![[r#"
        $ dormouse simulate s
        stderr: Error: scenario `s` cannot be played
        stderr: Caused by: s/script: line 1: unknown script line `expct` (one of: start, at, expect, never, run, with); did you mean `expect`?
        exit status 2
    "#]]);
    Terminal::new().check(
        "simulate s",
        expect![[r#"
        $ dormouse simulate s
        stderr: Error: scenario `s` cannot be played
        stderr: Caused by: cannot read s/cluster
        stderr: Caused by: No such file or directory (os error 2)
        stderr: Hint: a scenario is a folder with the files README.md, cluster and script
        exit status 1
    "#]],
    );
}

#[test]
fn looking_more_rarely_is_another_run_and_sleeps_come_later() {
    let terminal = scenario(CLUSTER, "expect within=7200 awake <= 1\nrun until 15:00 seed=7\n");
    let energy = |line: &str| terminal.json(line)["energy_kwh"].as_f64().unwrap();
    // There is no golden log, and none is asked for.
    let (often, seldom) =
        (energy("simulate s --look 5s --format json"), energy("simulate s --look 1h --format json"));
    assert!(often < seldom, "{often} {seldom}");
    for (span, why) in
        [("0s", "more often than a second is no look"), ("25h", "nothing would be known"), ("now", "")]
    {
        let shown = terminal.type_in(&format!("simulate s --look {span}"));
        let told = format!(
            "stderr: error: invalid value '{span}' for '--look <SPAN>': a time from 1s to 24h, like 15s or 1m\n"
        );
        assert!(shown.contains(&told) && shown.ends_with("exit status 2\n"), "{why}: {shown}");
    }
}

#[test]
fn how_often_the_world_is_held_against_the_rules_changes_nothing_that_happens() {
    let terminal = scenario(CLUSTER, "expect within=7200 awake <= 1\nrun until 15:00 seed=7\n");
    let shown = |every: &str| {
        let shown = terminal.type_in(&format!("simulate s --bless --log --check-every {every}"));
        assert!(shown.ends_with("exit status 0\n"), "{shown}");
        shown.split_once('\n').unwrap().1.to_owned()
    };
    let always = shown("1");
    assert_eq!(always, shown("1000"));
    assert_eq!(always, shown("4294967295"));
    let wrong = terminal.type_in("simulate s --check-every often");
    assert!(wrong.contains("invalid value 'often' for '--check-every <N>'"), "{wrong}");
}

#[test]
fn faults_drawn_from_seeds_break_no_rule() {
    let terminal = Terminal::new();
    let shown = terminal.type_in("simulate --chaos --first 1 --seeds 4");
    let (told, took) = shown.split_once(" broke a rule, ").expect("a sum");
    expect![[r#"
        $ dormouse simulate --chaos --first 1 --seeds 4
        4 seeds from 1, 7 hours of cluster time, 0"#]]
    .assert_eq(told);
    assert!(took.ends_with(" s\nexit status 0\n"), "{took}");
    let mut report = terminal.json("simulate --chaos --first 1 --seeds 4 --threads 1 --format json");
    report["wall_ms"] = 0.into();
    expect![[r#"{"failed":[],"first":1,"seeds":4,"simulated_h":7,"wall_ms":0}"#]]
        .assert_eq(&report.to_string());
    for (line, why) in [
        ("simulate --seeds 4", "--chaos"),
        ("simulate --chaos --seeds many", "invalid value 'many' for '--seeds <N>'"),
        ("simulate --chaos --first -1", "--first"),
    ] {
        let shown = terminal.type_in(line);
        assert!(shown.contains(why) && shown.ends_with("exit status 2\n"), "{shown}");
    }
}
