//! Two managers over a real etcd, as their operator meets them.

use super::Terminal;
use dormouse_members::Members;
use expect_test::expect;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Nobody listens on port 1 of this machine.
const CLUSTER: &str = "cluster x\nhost a address=127.0.0.1:1 mac=52:54:00:00:00:01\n";

/// Ended with the test, by id.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Running {
    fn manager(terminal: &Terminal, name: &str) -> Self {
        let log = std::fs::File::create(terminal.folder.path().join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command.args(["--config", &format!("{name}.toml"), "run"]).current_dir(terminal.folder.path());
        Self(command.stderr(log).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

/// Two managers' settings beside an etcd of one member.
fn place() -> (Terminal, Members) {
    let terminal = Terminal::with(CLUSTER);
    let etcd = Members::start(1);
    for name in ["one", "two"] {
        let settings = format!(
            "cluster = \"cluster\"\nstate = \"{name}\"\nsocket = \"{name}.sock\"\nstore = \"etcd\"\n\
             [etcd]\nendpoints = [\"{}\"]\n",
            etcd.endpoint(0)
        );
        std::fs::write(terminal.folder.path().join(format!("{name}.toml")), settings).unwrap();
    }
    (terminal, etcd)
}

/// What comes back once it says this.
fn once(terminal: &Terminal, line: &str, says: &str) -> String {
    let began = Instant::now();
    loop {
        let shown = terminal.type_in(line);
        if shown.contains(says) {
            return shown;
        }
        let log = |name: &str| std::fs::read_to_string(terminal.folder.path().join(name)).unwrap_or_default();
        assert!(
            began.elapsed().as_secs() < 60,
            "never `{says}`: {shown}\n{}\n{}",
            log("one.log"),
            log("two.log")
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs etcd"]
fn one_manager_leads_the_other_shows_what_it_told_and_takes_over() {
    let (terminal, _etcd) = place();
    let one = Running::manager(&terminal, "one");
    once(&terminal, "--config one.toml status", ", leads, epoch ");
    let two = Running::manager(&terminal, "two");
    let leader = format!("the leader is dormouse, process {} on ", one.0.id());
    let standby = once(&terminal, "--config two.toml status", "standby");
    assert!(standby.contains(&leader) && standby.contains(" ago; policy"), "{standby}");
    assert!(once(&terminal, "--config two.toml host list", "exit status 0").contains("\n  a  "));
    for acts in ["pause", "host wake a", "normalise", "refresh"] {
        let refused = terminal.type_in(&format!("--config two.toml {acts}"));
        assert!(refused.contains(&leader) && refused.ends_with("exit status 3\n"), "{refused}");
    }
    let why = terminal.type_in("--config two.toml why a");
    assert!(why.contains("\nhost a (unknown): ") && why.contains(" s ago by dormouse, process "), "{why}");
    let refused = terminal.type_in("--config two.toml why b");
    assert!(
        refused.contains("there is no host or VM `b`") && refused.ends_with("exit status 2\n"),
        "{refused}"
    );
    assert!(terminal.type_in("--config one.toml pause").ends_with("exit status 0\n"));

    // Killed: nobody gives the lead up, and it is taken when the lease ends.
    drop(one);
    let leads = once(&terminal, "--config two.toml status", ", leads, epoch ");
    assert!(
        leads.contains("paused: nothing new is started"),
        "what an operator set is known to the next: {leads}"
    );
    let log = terminal.type_in("--config two.toml audit list");
    let mut rest = log.as_str();
    for word in ["lead in epoch", "word of ", "lead in epoch"] {
        rest = rest.split_once(word).unwrap_or_else(|| panic!("no `{word}` in {log}")).1;
    }
    let verified = terminal.type_in("--config two.toml audit verify");
    assert!(verified.ends_with("exit status 0\n"), "{verified}");

    // Ended in good order: the next leads at once.
    let one = Running::manager(&terminal, "one");
    once(&terminal, "--config one.toml status", "standby");
    two.signal("TERM");
    let began = Instant::now();
    once(&terminal, "--config one.toml status", ", leads, epoch ");
    assert!(began.elapsed() < Duration::from_secs(30));
    drop((one, two));

    // Into a file, and not there any more.
    let moved = once(&terminal, "--config one.toml store move --to sqlite", "moved");
    assert!(moved.contains("now set `store = \"sqlite\"` in the settings of every manager"), "{moved}");
    let refused = terminal.type_in("--config two.toml run");
    assert!(refused.contains("this cluster keeps its store elsewhere now"), "{refused}");
    let settings = "cluster = \"cluster\"\nstate = \"one\"\nsocket = \"one.sock\"\n";
    std::fs::write(terminal.folder.path().join("one.toml"), settings).unwrap();
    let verified = terminal.type_in("--config one.toml audit verify");
    assert!(verified.ends_with("exit status 0\n"), "{verified}");
}

#[test]
#[ignore = "needs etcd"]
fn damage_in_what_is_long_past_stops_whoever_takes_the_lead_and_whoever_starts() {
    let (terminal, etcd) = place();
    let one = Running::manager(&terminal, "one");
    once(&terminal, "--config one.toml status", ", leads, epoch ");
    let mut two = Running::manager(&terminal, "two");
    once(&terminal, "--config two.toml status", "standby");
    // The first line of the audit log. Nothing is begun from it.
    etcd.put("/dormouse/audit/00000000000000000001", "00000000 {}");
    drop(one);
    let began = Instant::now();
    while two.0.try_wait().unwrap().is_none() {
        assert!(began.elapsed().as_secs() < 60, "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = std::fs::read_to_string(terminal.folder.path().join("two.log")).unwrap();
    let named = "the record /dormouse/audit/00000000000000000001 does not read back as it was written";
    let (led, end) = log.split_once(", epoch ").expect("it leads first");
    assert!(!led.contains(named) && end.contains(named), "{log}");
    let refused = terminal.type_in("--config one.toml run");
    assert!(refused.contains(named) && refused.ends_with("exit status 1\n"), "{refused}");
    assert!(refused.contains("nothing is done without it"), "{refused}");
    assert!(refused.contains("`dormouse store accept`"), "{refused}");
}

#[test]
fn an_etcd_needs_its_members() {
    let terminal = Terminal::with(CLUSTER);
    std::fs::write(terminal.folder.path().join("one.toml"), "cluster = \"cluster\"\nstore = \"etcd\"\n")
        .unwrap();
    expect![[r#"
        $ dormouse --config one.toml store show
        stderr: Error: the settings cannot be used
        stderr: Caused by: one.toml: `store` is `etcd`, and no endpoint is given
        stderr: Hint: name its members: endpoints = ["https://10.0.0.1:2379", …] in [etcd]
        exit status 2
    "#]]
    .assert_eq(&terminal.type_in("--config one.toml store show"));
}
