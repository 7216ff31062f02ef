//! The verbs around the daemon, as far as no daemon and no host is needed to get them wrong.

use super::Terminal;
use expect_test::expect;

/// A terminal in a folder with settings and a cluster text.
pub(super) fn terminal(settings: &str, cluster: &str) -> Terminal {
    let terminal = Terminal::with(cluster);
    std::fs::write(terminal.folder.path().join("dormouse.toml"), settings).unwrap();
    terminal
}

pub(super) const SETTINGS: &str = "cluster = \"cluster\"\nstate = \"state\"\nsocket = \"control.sock\"\n";

/// What is typed and what comes back, with the folder's name taken out.
pub(super) fn shown(terminal: &Terminal, line: &str) -> String {
    let folder = terminal.folder.path().display().to_string();
    terminal.type_in(line).replace(&folder, "DIR")
}

#[test]
fn nobody_answers() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=10.0.0.1 mac=52:54:00:00:00:01\n");
    for verb in
        ["status", "events", "host list", "vm list", "pause", "resume", "normalise", "refresh", "apply"]
    {
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
    check(
        "mod = \"auto\"\n",
        "",
        expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: the settings cannot be used
        stderr: Caused by: dormouse.toml:1:1: unknown setting `mod`
        stderr:     |
        stderr:   1 | mod = "auto"
        stderr:     | ^^^
        stderr: Hint: did you mean `mode`?
        exit status 2
    "#]],
    );
    check(
        SETTINGS,
        "cluster x\nhost a adress=10.0.0.1\n",
        expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: the cluster text `DIR/cluster` cannot be used
        stderr: Caused by: DIR/cluster:2:8: unknown key `adress` on this line
        stderr:     |
        stderr:   2 | host a adress=10.0.0.1
        stderr:     |        ^^^^^^
        stderr: Hint: did you mean `address`?
        exit status 2
    "#]],
    );
    check(
        SETTINGS,
        "cluster x\nhost a cpus=2 mem=2G\n",
        expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: `DIR/cluster`: host a has no address
        stderr: Hint: give address= on its line (`address=local` for the host this daemon runs on), or `dormouse host add`
        exit status 2
    "#]],
    );
    check(
        "cluster = \"none\"\nstate = \"state\"\nsocket = \"control.sock\"\n",
        "",
        expect![[r#"
            $ dormouse --config dormouse.toml run
            stderr: Error: cannot read `DIR/none`
            stderr: Caused by: No such file or directory (os error 2)
            stderr: Hint: docs/cluster-text.md says how to write one; --cluster FILE names another
            exit status 1
        "#]],
    );
    expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: the settings cannot be used
        stderr: Caused by: dormouse.toml: cannot be read: No such file or directory (os error 2)
        stderr: Hint: `dormouse config explain` shows every setting and what it is without a file
        exit status 2
    "#]]
    .assert_eq(&shown(&Terminal::new(), "--config dormouse.toml run"));
}

#[test]
fn the_daemon_does_not_start_with_a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let terminal = terminal(
        &format!("{SETTINGS}[ssh]\nidentity = \"key\"\n"),
        "cluster x\nhost a address=10.0.0.1 mac=52:54:00:00:00:01\n",
    );
    let key = terminal.folder.path().join("key");
    expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: the private key DIR/key cannot be used
        stderr: Caused by: No such file or directory (os error 2)
        stderr: Hint: name the private key as `identity` in [ssh]
        exit status 2
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml run"));
    std::fs::write(&key, "secret").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: the private key DIR/key cannot be used
        stderr: Caused by: other users can read it
        stderr: Hint: chmod 600 DIR/key
        exit status 3
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml run"));
}

#[test]
fn the_daemon_does_not_start_on_a_store_that_is_gone() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=10.0.0.1 mac=52:54:00:00:00:01\n");
    std::fs::create_dir(terminal.folder.path().join("state")).unwrap();
    let marker = "00000000-0000-4000-8000-000000000000\n";
    std::fs::write(terminal.folder.path().join("state/dormouse.db.id"), marker).unwrap();
    expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: the store cannot be used: nothing is done without it
        stderr: Caused by: the store DIR/state/dormouse.db is gone, although it was made once (DIR/state/dormouse.db.id says so)
        stderr: Hint: `dormouse store restore FILE` brings back a copy; without one, `dormouse store rebuild --from-observation` keeps the files aside and begins anew from what is seen
        exit status 1
    "#]].assert_eq(&shown(&terminal, "--config dormouse.toml run"));
}

#[test]
fn a_host_that_is_known_or_none_is_not_added() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=10.0.0.1 mac=52:54:00:00:00:01\n");
    let add = |words: &str| shown(&terminal, &format!("--config dormouse.toml host add {words}"));
    expect![[r#"
        $ dormouse --config dormouse.toml host add b --address 10.0.0.1
        stderr: Error: host a at 10.0.0.1 is in the cluster text already
        exit status 3
    "#]]
    .assert_eq(&add("b --address 10.0.0.1"));
    expect![[r#"
        $ dormouse --config dormouse.toml host add $(reboot) --address 10.0.0.2
        stderr: Error: `$(reboot)` at `10.0.0.2` cannot be a host
        stderr: Caused by: 2:6: `$(reboot)` is not a plain name because of `$`; plain names have letters, digits, `.`, `_` and `-`; quote any other
        exit status 2
    "#]].assert_eq(&add("$(reboot) --address 10.0.0.2"));
    expect![[r#"
        $ dormouse --config dormouse.toml host add b --address -oProxyCommand=reboot
        stderr: error: unexpected argument '-o' found
        stderr:
        stderr:   tip: to pass '-o' as a value, use '-- -o'
        stderr:
        stderr: Usage: dormouse host add [OPTIONS] <HOST>...
        stderr:
        stderr: For more information, try '--help'.
        exit status 2
    "#]]
    .assert_eq(&add("b --address -oProxyCommand=reboot"));
}

#[test]
fn hosts_are_added_and_removed_by_words_that_make_sense() {
    let cluster = "cluster x\nhost a address=10.0.0.1 mac=52:54:00:00:00:01\n";
    let terminal = terminal(SETTINGS, cluster);
    let host = |words: &str| shown(&terminal, &format!("--config dormouse.toml host {words}"));
    expect![[r#"
        $ dormouse --config dormouse.toml host add b c --address 10.0.0.2
        stderr: Error: --address goes with one HOST
        exit status 2
    "#]]
    .assert_eq(&host("add b c --address 10.0.0.2"));
    expect![[r#"
        $ dormouse --config dormouse.toml host remove aa
        stderr: Error: there is no host `aa`
        stderr: Hint: did you mean `a`?
        exit status 2
    "#]]
    .assert_eq(&host("remove aa"));
    expect![[r#"
        $ dormouse --config dormouse.toml host remove a --dry-run
        a: its line leaves DIR/cluster
        Nothing was done.
        exit status 0
    "#]]
    .assert_eq(&host("remove a --dry-run"));
    expect![[r#"
        $ dormouse --config dormouse.toml host remove a
        a: its line leaves DIR/cluster
        stderr: Error: nobody is there to ask
        stderr: Hint: --yes answers every question with yes
        exit status 2
    "#]]
    .assert_eq(&host("remove a"));
    for word in ["$(reboot)", "lab[01-", "a;b"] {
        let shown = host(&format!("add {word}"));
        assert!(shown.contains("cannot be a host") && shown.ends_with("exit status 2\n"), "{shown}");
    }
    assert_eq!(std::fs::read_to_string(terminal.folder.path().join("cluster")).unwrap(), cluster);
    assert!(!terminal.folder.path().join("state").exists(), "nothing was made");
}

/// A daemon started in the terminal's folder; ended with the test.
pub(super) struct Running(pub(super) std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Running {
    fn start(terminal: &Terminal) -> Self {
        Self::start_with(terminal, &[])
    }

    /// With these variables beside our own.
    pub(super) fn start_with(terminal: &Terminal, environment: &[(&str, &str)]) -> Self {
        let log = std::fs::File::create(terminal.folder.path().join("log")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command.args(["--config", "dormouse.toml", "run"]).current_dir(terminal.folder.path());
        command.envs(environment.iter().copied());
        let daemon = Self(command.stderr(log).spawn().unwrap());
        until(terminal, "an answer", |terminal| {
            shown(terminal, "--config dormouse.toml status").contains("exit status 0")
        });
        daemon
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

pub(super) fn log(terminal: &Terminal) -> String {
    std::fs::read_to_string(terminal.folder.path().join("log")).unwrap()
}

pub(super) fn until(terminal: &Terminal, what: &str, holds: impl Fn(&Terminal) -> bool) {
    let began = std::time::Instant::now();
    while !holds(terminal) {
        assert!(began.elapsed().as_secs() < 60, "never: {what}\n{}", log(terminal));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_daemon_lives_with_hosts_it_cannot_reach_and_with_a_text_it_cannot_read() {
    // Nobody listens on port 1 of this machine.
    let cluster = "cluster x\nhost a address=127.0.0.1:1 mac=52:54:00:00:00:01\n";
    let terminal = terminal(SETTINGS, cluster);
    let mut daemon = Running::start(&terminal);
    until(&terminal, "the host in trouble", |terminal| {
        shown(terminal, "--config dormouse.toml status").contains("  a     unknown  cannot connect: ")
    });
    let second = shown(&terminal, "--config dormouse.toml run");
    assert!(second.contains("Caused by: another daemon answers there"), "{second}");

    let path = terminal.folder.path().join("cluster");
    std::fs::write(&path, format!("{cluster}hst b\n")).unwrap();
    daemon.signal("HUP");
    until(&terminal, "the mistake in the log", |terminal| {
        log(terminal)
            .contains("/cluster:3:1: unknown word `hst` at the start of a line; did you mean `host`?")
    });
    assert!(shown(&terminal, "--config dormouse.toml status").contains(", leads, epoch 1;"), "as it was");

    std::fs::write(&path, format!("{cluster}host b address=127.0.0.1:2 mac=52:54:00:00:00:02\n")).unwrap();
    daemon.signal("HUP");
    until(&terminal, "the new host", |terminal| {
        shown(terminal, "--config dormouse.toml host list").contains("\n  b     unknown ")
    });

    daemon.signal("TERM");
    assert!(daemon.0.wait().unwrap().success());
    assert!(!terminal.folder.path().join("control.sock").exists());
}

#[test]
fn a_second_daemon_on_one_store_is_told_who_leads() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=127.0.0.1:1 mac=52:54:00:00:00:01\n");
    let daemon = Running::start(&terminal);
    let settings = terminal.folder.path().join("dormouse.toml");
    std::fs::write(settings, SETTINGS.replace("control.sock", "other.sock")).unwrap();
    let second = shown(&terminal, "--config dormouse.toml run");
    let leads = format!("stderr: Error: another manager leads: dormouse, process {} on ", daemon.0.id());
    assert!(second.contains(&leads) && second.ends_with("exit status 3\n"), "{second}");
}

#[test]
fn top_needs_a_terminal_and_says_what_does_not() {
    let terminal = terminal(SETTINGS, "cluster x\nhost a address=10.0.0.1 mac=52:54:00:00:00:01\n");
    expect![[r#"
        $ dormouse --config dormouse.toml top
        stderr: Error: `top` needs a terminal
        stderr: Hint: `dormouse status` and `dormouse host list` print what it shows; both know --format json
        exit status 2
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml top"));
}

#[test]
fn wol_needs_nothing_but_a_list() {
    let terminal = terminal("this is no setting", "this is no cluster text either\n");
    let list = "lab01 52:54:00:00:00:01\nlab02 52:54:00:00:00:02 \u{1b}[2J\nlab03 sold\n";
    std::fs::write(terminal.folder.path().join("macs"), list).unwrap();
    let typed = [
        "wol -n 52:54:00:00:00:07 --from macs",
        "wol -n --from macs --only lab02",
        "wol 52:54:00:00:00",
        "wol -n --from macs --only lab03",
        "wol -n --from nowhere",
        "wol",
    ];
    let shown: String =
        typed.iter().map(|line| shown(&terminal, &format!("--config dormouse.toml {line}"))).collect();
    expect![[r#"
        $ dormouse --config dormouse.toml wol -n 52:54:00:00:00:07 --from macs
        Would wake 3 machines:
          lab01 52:54:00:00:00:01
          lab02 52:54:00:00:00:02 \u{1b}[2J
          52:54:00:00:00:07
        exit status 0
        $ dormouse --config dormouse.toml wol -n --from macs --only lab02
        Would wake 1 machine:
          lab02 52:54:00:00:00:02 \u{1b}[2J
        exit status 0
        $ dormouse --config dormouse.toml wol 52:54:00:00:00
        stderr: Error: `52:54:00:00:00` is no MAC address of one machine
        stderr: Hint: write six pairs of digits, like 52:54:00:12:34:56; --from FILE reads a list
        exit status 2
        $ dormouse --config dormouse.toml wol -n --from macs --only lab03
        stderr: Error: no MAC address stands in a line with `lab03` in `macs`
        stderr: Hint: a line like `lab07 52:54:00:12:34:56` has one
        exit status 2
        $ dormouse --config dormouse.toml wol -n --from nowhere
        stderr: Error: the list `nowhere` cannot be read
        stderr: Caused by: No such file or directory (os error 2)
        exit status 2
        $ dormouse --config dormouse.toml wol
        stderr: error: the following required arguments were not provided:
        stderr:   <MAC>...
        stderr:
        stderr: Usage: dormouse wol <MAC>...
        stderr:
        stderr: For more information, try '--help'.
        exit status 2
    "#]]
    .assert_eq(&shown);
}
