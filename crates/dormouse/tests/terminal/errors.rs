use super::{LAB, Terminal};
use expect_test::expect;

#[test]
fn a_misspelt_key_is_shown_with_its_place_and_the_right_word() {
    Terminal::with(&LAB.replace("boot=", "bot=")).check(
        "plan --cluster cluster",
        expect![[r#"
        $ dormouse plan --cluster cluster
        stderr: Error: the cluster text `cluster` cannot be used
        stderr: Caused by: cluster:2:48: unknown key `bot` on this line
        stderr:     |
        stderr:   2 | host lab[01-62] cpus=2 mem=2048M watts=45/95/3 bot=75s link=1000M
        stderr:     |                                                ^^^
        stderr: Hint: did you mean `boot`?
        exit status 2
    "#]],
    );
    Terminal::with(&LAB.replace("boot=", "bot=")).check(
        "config check --cluster cluster",
        expect![[r#"
        $ dormouse config check --cluster cluster
        stderr: Error: the cluster text `cluster` cannot be used
        stderr: Caused by: cluster:2:48: unknown key `bot` on this line
        stderr:     |
        stderr:   2 | host lab[01-62] cpus=2 mem=2048M watts=45/95/3 bot=75s link=1000M
        stderr:     |                                                ^^^
        stderr: Hint: did you mean `boot`?
        exit status 2
    "#]],
    );
}

#[test]
fn a_file_that_is_not_there() {
    Terminal::new().check(
        "plan --cluster nothing",
        expect![[r#"
            $ dormouse plan --cluster nothing
            stderr: Error: cannot read `nothing`
            stderr: Caused by: No such file or directory (os error 2)
            stderr: Hint: docs/cluster-text.md says how to write one; --cluster FILE names another
            exit status 1
        "#]],
    );
}

#[test]
fn a_file_that_is_not_text() {
    let terminal = Terminal::new();
    std::fs::write(terminal.folder.path().join("cluster"), [b'h', 0xff, b'x']).unwrap();
    terminal.check(
        "why h1 --cluster cluster",
        expect![[r#"
        $ dormouse why h1 --cluster cluster
        stderr: Error: `cluster` is not UTF-8 text
        stderr: Caused by: invalid utf-8 sequence of 1 bytes from index 1
        exit status 2
    "#]],
    );
}

#[test]
fn a_misspelt_verb() {
    Terminal::new().check(
        "pln",
        expect![[r#"
            $ dormouse pln
            stderr: error: unrecognized subcommand 'pln'
            stderr:
            stderr:   tip: a similar subcommand exists: 'plan'
            stderr:
            stderr: Usage: dormouse [OPTIONS] <COMMAND>
            stderr:
            stderr: For more information, try '--help'.
            exit status 2
        "#]],
    );
}

#[test]
fn a_misspelt_knob() {
    let lab = Terminal::with(LAB);
    lab.check(
        "plan --cluster cluster --set failver=0",
        expect![[r#"
        $ dormouse plan --cluster cluster --set failver=0
        stderr: Error: cannot use --set failver=0
        stderr: Caused by: unknown knob `failver`; did you mean `failover`?
        stderr: Hint: `dormouse config explain` lists every knob
        exit status 2
    "#]],
    );
    lab.check(
        "plan --cluster cluster --set failover",
        expect![[r#"
            $ dormouse plan --cluster cluster --set failover
            stderr: error: invalid value 'failover' for '--set <KNOB=VALUE>': write KNOB=VALUE, like failover=0
            stderr:
            stderr: For more information, try '--help'.
            exit status 2
        "#]],
    );
    lab.check(
        "plan --cluster cluster --set failover=many",
        expect![[r#"
        $ dormouse plan --cluster cluster --set failover=many
        stderr: Error: cannot use --set failover=many
        stderr: Caused by: `failover` takes a whole number, not `many`
        stderr: Hint: `dormouse config explain` lists every knob
        exit status 2
    "#]],
    );
}

#[test]
fn a_misspelt_host() {
    Terminal::with(LAB).check(
        "why lab7 --cluster cluster",
        expect![[r#"
        $ dormouse why lab7 --cluster cluster
        stderr: Error: no host or VM is called `lab7`
        stderr: Hint: did you mean `lab07`?
        exit status 2
    "#]],
    );
}

#[test]
fn a_verb_that_lacks_its_cluster() {
    Terminal::new().check(
        "export clusterinfo",
        expect![[r#"
        $ dormouse export clusterinfo
        stderr: Error: no cluster to export
        stderr: Hint: name a cluster text with --cluster FILE
        exit status 2
    "#]],
    );
}

#[test]
fn a_file_name_cannot_steer_the_terminal() {
    let shown = Terminal::new().type_in("plan --cluster a\u{1b}[2Jb");
    assert!(shown.split_once('\n').unwrap().1.chars().all(|c| c == '\n' || !c.is_control()), "{shown}");
}

#[test]
fn a_time_that_is_none() {
    let lab = Terminal::with(LAB);
    for time in ["24:00", "tomorrow", "2026-13-01T20:00", "yesterday"] {
        let shown = lab.type_in(&format!("plan --cluster cluster --at {time}"));
        assert!(shown.contains(&format!("`{time}` is no time that is understood\n")), "{shown}");
        assert!(shown.contains("Hint: write `Fri 22:00`, `tomorrow 6:30`"), "{shown}");
        assert!(shown.ends_with("exit status 2\n"), "{shown}");
    }
}

/// Verbs that can do without a daemon say so.
#[cfg(feature = "live")]
#[test]
fn a_plan_without_a_cluster_and_without_a_daemon() {
    let terminal = Terminal::new();
    std::fs::write(terminal.folder.path().join("d.toml"), "socket = \"none.sock\"\n").unwrap();
    for verb in ["plan", "why h1"] {
        let shown = terminal.type_in(&format!("{verb} --config d.toml"));
        assert!(
            shown.contains("Error: no daemon answers at ") && shown.contains("--cluster FILE"),
            "{shown}"
        );
        assert!(shown.ends_with("exit status 4\n"), "{shown}");
    }
}
