//! The shell with a script on its stdin, and what it makes of words.

use super::Terminal;
use expect_test::expect;

const CLUSTER: &str = "\
cluster x
host h[1-3] cpus=4 mem=8G
vm web[1-2]@h[1-2] vcpus=1 mem=1G
vm \"my vm\"@h3 mem=1G
policy balanced spare.min=0 spare.target=0 failover=0
";

/// What comes back, without what was typed at first.
fn told(terminal: &Terminal, options: &str, script: &str) -> String {
    let shown = terminal.feed(&format!("shell{options}"), script);
    shown.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn a_script_is_carried_out_line_by_line() {
    let script = "\
# the lab tonight
config check --cluster cluster; export clusterinfo --cluster \\
  cluster --format xml
dormouse config check --cluster 'cluster'   # as in another shell

exit
lsit
";
    expect![[r#"
        ok: cluster x, 3 hosts, 3 VMs, 0 windows, policy balanced
        <?xml version="1.0" encoding="UTF-8"?>
        <clusterInfo schema="1" name="x" zone="UTC" policy="balanced" hosts="3" hostsOn="3" watts="135">
          <host name="h1" state="on" cpus="4" memoryMiB="8192" memoryUsedMiB="1024" load15Permille="0" wattsIdle="45" wattsBusy="95" wattsAsleep="3" vms="1">
            <vm name="web1" uuid="61e34513-4ef7-5926-ac57-88f476a8f74e" state="running" vcpus="1" memoryMiB="1024" cpuMillicores="0"/>
          </host>
          <host name="h2" state="on" cpus="4" memoryMiB="8192" memoryUsedMiB="1024" load15Permille="0" wattsIdle="45" wattsBusy="95" wattsAsleep="3" vms="1">
            <vm name="web2" uuid="af26d731-f4c9-5494-a0d6-1cdb15c7ee26" state="running" vcpus="1" memoryMiB="1024" cpuMillicores="0"/>
          </host>
          <host name="h3" state="on" cpus="4" memoryMiB="8192" memoryUsedMiB="1024" load15Permille="0" wattsIdle="45" wattsBusy="95" wattsAsleep="3" vms="1">
            <vm name="my vm" uuid="e2de858a-9e51-5d50-94e0-aef196f3db6d" state="running" vcpus="1" memoryMiB="1024" cpuMillicores="0"/>
          </host>
        </clusterInfo>
        ok: cluster x, 3 hosts, 3 VMs, 0 windows, policy balanced
        exit status 0
    "#]]
    .assert_eq(&told(&Terminal::with(CLUSTER), "", script));
}

#[test]
fn names_with_blanks_are_quoted() {
    let terminal = Terminal::with(CLUSTER);
    for typed in ["'my vm'", "\"my vm\"", "my\\ vm", "my' 'vm", "\"my\\u{20}vm\""] {
        let shown = told(&terminal, "", &format!("why {typed} --cluster cluster\n"));
        assert!(
            shown.starts_with("vm my vm (running)") && shown.ends_with("exit status 0\n"),
            "{typed}: {shown}"
        );
    }
}

#[test]
fn a_script_stops_at_the_first_failure_or_tells_all_of_them() {
    let terminal = Terminal::with(CLUSTER);
    let script =
        "config check --cluster cluster\nwhy h9 --cluster cluster\nlsit\nconfig check --cluster cluster\n";
    expect![[r#"
        ok: cluster x, 3 hosts, 3 VMs, 0 windows, policy balanced
        stderr: Error: no host or VM is called `h9`
        stderr: Hint: did you mean `h1`?
        stderr: Error: stdin:2: `why h9 --cluster cluster` ended with exit code 2, usage
        stderr: Hint: nothing after it was done; --keep-going goes on after a failure
        exit status 2
    "#]]
    .assert_eq(&told(&terminal, "", script));
    expect![[r#"
        ok: cluster x, 3 hosts, 3 VMs, 0 windows, policy balanced
        ok: cluster x, 3 hosts, 3 VMs, 0 windows, policy balanced
        stderr: Error: no host or VM is called `h9`
        stderr: Hint: did you mean `h1`?
        stderr: Error: stdin:2: `why h9 --cluster cluster` ended with exit code 2, usage
        stderr: Error: there is no command `lsit`
        stderr: Hint: did you mean `list`?
        stderr: Error: stdin:3: `lsit` ended with exit code 2, usage
        stderr: Error: 2 of 4 commands failed, the first at stdin:2
        exit status 2
    "#]]
    .assert_eq(&told(&terminal, " --keep-going", script));
}

#[test]
fn what_makes_no_sense_is_told_with_what_to_do() {
    let terminal = Terminal::with(CLUSTER);
    let script =
        "hots list\nconfig chek\nwhy h1 | grep on\nshell\nwatch status\nexit 1\nhelp hots\nwhy \"my vm\n";
    expect![[r#"
        stderr: Error: there is no command `hots`
        stderr: Hint: did you mean `host`?
        stderr: Error: stdin:1: `hots list` ended with exit code 2, usage
        stderr: error: unrecognized subcommand 'chek'
        stderr:
        stderr:   tip: a similar subcommand exists: 'check'
        stderr:
        stderr: Usage: dormouse config [OPTIONS] <COMMAND>
        stderr:
        stderr: For more information, try '--help'.
        stderr: Error: stdin:2: `config chek` ended with exit code 2, usage
        stderr: Error: there is no `|` here
        stderr: Hint: in your own shell: dormouse why h1 | …
        stderr: Error: stdin:3: `why h1 | grep on` ended with exit code 2, usage
        stderr: Error: this is the shell
        stderr: Hint: `help` says what there is
        stderr: Error: stdin:4: `shell` ended with exit code 2, usage
        stderr: Error: `watch` draws on a terminal, and there is none
        stderr: Error: stdin:5: `watch status` ended with exit code 2, usage
        stderr: Error: `exit` takes nothing
        stderr: Error: stdin:6: `exit 1` ended with exit code 2, usage
        stderr: Error: there is no command `hots`
        stderr: Hint: did you mean `host`?
        stderr: Error: stdin:7: `help hots` ended with exit code 2, usage
        stderr: Error: stdin:8:5: the quote that begins here has no end
        exit status 2
    "#]]
    .assert_eq(&told(&terminal, " -k", script));
    std::fs::write(terminal.folder.path().join("script"), b"why h1\xff\n").unwrap();
    expect![[r#"
        stderr: Error: script:1: this is not UTF-8 text
        exit status 2
    "#]]
    .assert_eq(&told(&terminal, " script", ""));
    let long = format!("why {}\n", "x".repeat(70_000));
    expect![[r#"
        stderr: Error: stdin:1: a line of more than 64 KiB is no command
        exit status 2
    "#]]
    .assert_eq(&told(&terminal, "", &long));
    expect![[r#"
        stderr: Error: cannot read `none`
        stderr: Caused by: No such file or directory (os error 2)
        exit status 1
    "#]]
    .assert_eq(&told(&terminal, " none", ""));
}

#[test]
fn help_names_every_verb_and_the_old_words() {
    let shown = told(&Terminal::new(), "", "help\nhelp watch\nhelp config check\n");
    for word in [
        "why HOST|VM ",
        "config check ",
        "add_node HOST… ",
        "watch [-n SECONDS] COMMAND…",
        "Usage: dormouse config check",
    ] {
        assert!(shown.contains(word), "{word} is missing in {shown}");
    }
    assert!(!shown.contains("internal"), "{shown}");
}

#[cfg(feature = "live")]
mod with_a_daemon {
    use super::super::live::{Running, SETTINGS, log, terminal};
    use super::*;

    const HOSTS: &str = "cluster x\nhost a address=127.0.0.1:1 mac=52:54:00:00:00:01\nhost b address=127.0.0.1:2 mac=52:54:00:00:00:02\n";

    fn in_shell(terminal: &Terminal, script: &str) -> String {
        let shown = terminal.feed("--config dormouse.toml shell", script);
        shown.split_once('\n').unwrap().1.replace(&terminal.folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn the_shell_asks_the_daemon_of_its_own_settings() {
        let terminal = terminal(SETTINGS, HOSTS);
        let _daemon = Running::start_with(&terminal, &[]);
        let names = "list\nlist HOST\nlist Off\nlist off --format json\n";
        let shown = in_shell(&terminal, names);
        assert!(
            shown.contains("\n  a     unknown") && shown.contains("\n  b     unknown"),
            "{shown}\n{}",
            log(&terminal)
        );
        assert!(shown.ends_with("[]\nexit status 0\n"), "none is off: {shown}");

        let orders = "pause --for 1h\nmaintenance a\n";
        let shown = in_shell(&terminal, orders);
        assert!(shown.contains("paused for 1h"), "{shown}");
        assert!(shown.contains("Error: there is no command `maintenance`"), "{shown}");
        assert!(
            in_shell(&terminal, "status; resume; findVM c").contains("nothing new is started"),
            "{shown}"
        );
    }

    #[test]
    fn a_script_that_removes_hosts_asks_nobody() {
        let terminal = terminal(SETTINGS, HOSTS);
        expect![[r#"
            a: its line leaves DIR/cluster
            a has left DIR/cluster; a running daemon sees it with SIGHUP
            b: its line leaves DIR/cluster
            stderr: Error: nobody is there to ask
            stderr: Hint: --yes answers every question with yes
            stderr: Error: stdin:2: `del_node b` ended with exit code 2, usage
            stderr: Hint: nothing after it was done; --keep-going goes on after a failure
            exit status 2
        "#]]
        .assert_eq(&in_shell(&terminal, "del_node a --yes\ndel_node b\ny\n"));
    }
}
