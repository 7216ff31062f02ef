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
