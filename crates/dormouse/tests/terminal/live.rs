//! The verbs around the daemon, as far as no daemon and no host is needed to get them wrong.

use super::Terminal;
use expect_test::expect;

/// A terminal in a folder with settings and a cluster text.
fn terminal(settings: &str, cluster: &str) -> Terminal {
    let terminal = Terminal::with(cluster);
    std::fs::write(terminal.folder.path().join("dormouse.toml"), settings).unwrap();
    terminal
}

const SETTINGS: &str = "cluster = \"cluster\"\nstate = \"state\"\nsocket = \"control.sock\"\n";

/// What is typed and what comes back, with the folder's name taken out.
fn shown(terminal: &Terminal, line: &str) -> String {
    let folder = terminal.folder.path().display().to_string();
    terminal.type_in(line).replace(&folder, "DIR")
}

#[test]
fn nobody_answers() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=10.0.0.1\n");
    for verb in [
        "status",
        "events",
        "host list",
        "vm list",
        "pause",
        "resume",
        "normalise",
        "refresh",
        "apply",
        "plan",
    ] {
        let shown = shown(&terminal, &format!("--config dormouse.toml {verb}"));
        let rest = shown.split_once('\n').unwrap().1;
        expect![[r#"
            stderr: Error: no daemon answers at DIR/control.sock
            stderr: Caused by: No such file or directory (os error 2)
            stderr: Hint: start it with `dormouse run`, or name its settings with --config
            exit status 4
        "#]]
        .assert_eq(rest);
    }
}

#[test]
fn the_daemon_does_not_start_on_settings_that_make_no_sense() {
    let check = |settings: &str, cluster: &str, expected: expect_test::Expect| {
        expected.assert_eq(&shown(&terminal(settings, cluster), "--config dormouse.toml run"));
    };
    check("mod = \"auto\"\n", "", expect![[""]]);
    check(SETTINGS, "cluster x\nhost a adress=10.0.0.1\n", expect![[""]]);
    check(SETTINGS, "cluster x\nhost a\n", expect![[""]]);
    check(SETTINGS, "cluster x\nhost a address=10.0.0.1\nhost b address=10.0.0.1\n", expect![[""]]);
    check("cluster = \"none\"\nstate = \"state\"\nsocket = \"control.sock\"\n", "", expect![[""]]);
    expect![[""]].assert_eq(&shown(&Terminal::new(), "--config dormouse.toml run"));
}

#[test]
fn the_daemon_does_not_start_with_a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let terminal =
        terminal(&format!("{SETTINGS}[ssh]\nidentity = \"key\"\n"), "cluster x\nhost a address=10.0.0.1\n");
    let key = terminal.folder.path().join("key");
    expect![[""]].assert_eq(&shown(&terminal, "--config dormouse.toml run"));
    std::fs::write(&key, "secret").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    expect![[""]].assert_eq(&shown(&terminal, "--config dormouse.toml run"));
}

#[test]
fn the_daemon_does_not_start_on_a_store_that_is_gone() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=10.0.0.1\n");
    std::fs::create_dir(terminal.folder.path().join("state")).unwrap();
    let marker = "00000000-0000-4000-8000-000000000000\n";
    std::fs::write(terminal.folder.path().join("state/dormouse.db.id"), marker).unwrap();
    expect![[""]].assert_eq(&shown(&terminal, "--config dormouse.toml run"));
}

#[test]
fn a_host_that_is_known_or_none_is_not_added() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=10.0.0.1\n");
    let add = |words: &str| shown(&terminal, &format!("--config dormouse.toml host add {words}"));
    expect![[""]].assert_eq(&add("b --address 10.0.0.1"));
    expect![[""]].assert_eq(&add("$(reboot) --address 10.0.0.2"));
    expect![[""]].assert_eq(&add("b --address -oProxyCommand=reboot"));
}
