//! `doctor` where no host is needed to get it wrong, or where the only one does not answer.

use super::live::{SETTINGS, shown, terminal};
use expect_test::expect;

#[test]
fn hosts_that_are_none_and_hosts_without_an_address() {
    let terminal = terminal(
        SETTINGS,
        "cluster x\nhost lab01 address=127.0.0.1:1 mac=52:54:00:00:00:01\nhost b cpus=1 mem=1G\n",
    );
    expect![[r#"
        $ dormouse --config dormouse.toml doctor lab1
        stderr: Error: there is no host `lab1` in the cluster text
        stderr: Hint: did you mean `lab01`?
        exit status 2
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml doctor lab1"));
    expect![[r#"
        $ dormouse --config dormouse.toml doctor
        stderr: Error: host b has no address: nothing to look at
        stderr: Hint: give address= on its line (`address=local` for this machine), or `dormouse host add`
        exit status 2
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml doctor"));
}

#[test]
fn a_host_that_does_not_answer() {
    let terminal = terminal(SETTINGS, "cluster x\nhost lab01 address=127.0.0.1:1 mac=52:54:00:00:00:01\n");
    expect![[r#"
        $ dormouse --config dormouse.toml doctor lab01
                check         where    what was found
          ok    ssh key       manager  as ssh itself finds one; none is named in the settings
          fail  state folder  manager  DIR/state: No such file or directory (os error 2)
                here: install -d -m 700 -o dormouse DIR/state
          fail  ssh           lab01    cannot connect: cannot run ssh: No such file or directory (os error 2)
                here: ssh -p 1 127.0.0.1 true   # must work by itself

        3 checks: 2 fail, 0 warn
        stderr: Error: no host could be looked at
        exit status 4
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml doctor lab01"));
    let json = shown(&terminal, "--config dormouse.toml doctor --format json");
    let last = json.rsplit_once("  {\n    \"host\": \"lab01\"").unwrap().1;
    expect![[r#"
        ,
            "check": "ssh",
            "verdict": "fail",
            "reason": "cannot connect: cannot run ssh: No such file or directory (os error 2)",
            "mend": "ssh -p 1 127.0.0.1 true   # must work by itself",
            "mend_on": "manager"
          }
        ]
        stderr: Error: no host could be looked at
        exit status 4
    "#]]
    .assert_eq(last);
}
