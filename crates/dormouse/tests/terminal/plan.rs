use super::{LAB, Terminal};
use expect_test::expect;

#[test]
fn a_plan_for_people() {
    Terminal::with(LAB).check("plan --cluster cluster", expect![[""]]);
}

#[test]
fn a_plan_under_the_seeds_policy() {
    Terminal::with(LAB).check_head("plan --cluster cluster --policy seed", 16, expect![[""]]);
}

#[test]
fn a_plan_for_programs() {
    let small = "host h[1-2] cpus=2 mem=2G watts=45/95/3\nvm v1@h2 mem=256M cpu=0.1\npolicy balanced failover=0 spare.target=0 spare.min=0\n";
    Terminal::with(small).check("plan --cluster cluster --format json", expect![[""]]);
}

#[test]
fn an_override_keeps_one_host_more_for_the_one_that_may_die() {
    let lab = Terminal::with(LAB);
    assert_eq!(lab.json("plan --cluster cluster --format json")["hosts_on_after"], 8);
    assert_eq!(lab.json("plan --cluster cluster --set failover=1 --format json")["hosts_on_after"], 9);
}

#[test]
fn the_calendar_can_set_the_goal() {
    let lab = Terminal::with(LAB);
    assert_eq!(lab.json("plan --cluster cluster --at 2026-12-01T20:00 --format json")["goal"], "compact");
    assert_eq!(lab.json("plan --cluster cluster --at 2026-12-01T08:29 --format json")["goal"], "compact");
    assert_eq!(lab.json("plan --cluster cluster --at 2026-12-01T08:30 --format json")["goal"], "spread");
}

#[test]
fn nothing_to_do_is_said_and_is_no_error() {
    Terminal::with("host h1 cpus=2 mem=2G watts=45/95/3\nvm v1@h1 mem=256M cpu=0.1\n")
        .check("plan --cluster cluster", expect![[""]]);
}

#[test]
fn every_step_when_asked_for_all() {
    let small = "host h[1-3] cpus=2 mem=2G watts=45/95/3\nvm v[1-3]@h[1-3] mem=256M cpu=0.1\npolicy balanced failover=0 spare.target=0 spare.min=0\n";
    Terminal::with(small).check("plan --cluster cluster --all", expect![[""]]);
}

#[test]
fn hostile_names_stay_text() {
    let shown = Terminal::with("host h[1-2] cpus=2 mem=2G watts=45/95/3\nvm $(reboot)@h2 mem=256M\n")
        .type_in("plan --cluster cluster --set failover=0 --all");
    assert!(shown.contains("$(reboot)") && shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown}");
}
