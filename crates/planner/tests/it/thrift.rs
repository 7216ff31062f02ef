//! A thrifty host that sleeps takes the place of a wasteful one that is on: when that pays, and when it does not.

use crate::balanced::bare;
use crate::show::{NIGHT, check_goal, check_picture, check_plan, picture, plan};
use dormouse_model::{Action, Goal, HostState, Millis, Permille, Seen};
use expect_test::expect;

/// An old host with two VMs, and a new one that sleeps.
const OLD_AND_NEW: &str = "host old cpus=8 mem=8G watts=200/300/5 boot=90s
host new cpus=8 mem=8G watts=50/100/3 boot=60s
vm a b@old mem=1G cpu=0.5
asleep new";

fn does_nothing(text: &str) {
    let (plan, _) = plan(&picture(text), NIGHT);
    assert!(plan.steps.is_empty(), "{text}");
}

fn sleeps(text: &str) -> usize {
    let (plan, _) = plan(&picture(text), NIGHT);
    plan.steps.iter().filter(|step| matches!(step.action, Action::Sleep { .. })).count()
}

#[test]
fn where_it_pays_the_thrifty_host_is_woken_then_filled_and_the_other_sleeps() {
    check_plan(
        &bare(OLD_AND_NEW),
        expect![[r#"
            1 -> 1 on (bound 1), 215 W -> 61 W, 2 moves
            s0 wake new (148 W less than with those whose place is taken)
            s1 a: old -> new after s0 (empties old)
            s2 b: old -> new after s0 (empties old)
            s3 sleep old after s0 after s1 after s2 (empty, and the reserves hold without it)
            new awake: carries 2 VMs
        "#]],
    );
}

#[test]
fn what_is_woken_stays_and_nothing_more_is_done() {
    let before = picture(&bare(OLD_AND_NEW));
    let (plan, _) = plan(&before, NIGHT);
    let mut after = plan.apply(&before).unwrap();
    for host in &mut after.hosts {
        host.load15 = Seen::Known(Permille(0));
    }
    // An hour later, when it could sleep again and so could the other be woken.
    let mut later = after.clone();
    for host in &mut later.hosts {
        host.in_state = Millis::from_mins(60);
    }
    for snapshot in [after, later] {
        let (again, _) = crate::show::plan(&snapshot, NIGHT);
        assert!(again.steps.is_empty());
    }
}

#[test]
fn within_a_short_horizon_such_as_before_up_by_it_does_not_pay() {
    let wakes = |mins: u64| {
        let (plan, _) =
            plan(&picture(&bare(OLD_AND_NEW)), Goal::Compact { horizon: Millis::from_mins(mins) });
        plan.steps.iter().filter(|step| matches!(step.action, Action::Wake { .. })).count()
    };
    // 150 W for what is left of the horizon, against two boots and the moves: three times as much from 16 minutes on.
    assert_eq!((wakes(10), wakes(60)), (0, 1));
    assert_eq!((wakes(14), wakes(18)), (0, 1));
}

#[test]
fn who_is_disturbed_for_a_few_watts_is_left_alone() {
    does_nothing(&bare(&OLD_AND_NEW.replace("watts=50/100/3", "watts=180/290/4")));
}

#[test]
fn a_host_that_could_not_hold_the_reserves_is_not_woken() {
    let small = OLD_AND_NEW.replace("host new cpus=8 mem=8G", "host new cpus=8 mem=3G");
    let sleeps = |policy: &str| sleeps(&format!("cluster c\n{small}\npolicy balanced {policy}\n"));
    assert_eq!(sleeps("spare.min=0 spare.target=1 failover=0"), 1, "one place is left beside the two VMs");
    assert_eq!(sleeps("spare.min=0 spare.target=2 failover=0"), 0);
    assert_eq!(sleeps("spare.min=0 spare.target=0 failover=1"), 0, "alone it could not be lost");
}

#[test]
fn two_thrifty_hosts_take_the_place_of_a_large_one() {
    check_plan(
        &bare(
            "host large cpus=16 mem=8G watts=220/320/5 boot=90s
host small[1-3] cpus=8 mem=4G watts=40/80/2 boot=60s
vm a b c d@large mem=2G cpu=0.5
asleep small[1-3]",
        ),
        expect![[r#"
            1 -> 2 on (bound 1), 238 W -> 97 W, 4 moves
            s0 wake small1 (139 W less than with those whose place is taken)
            s1 wake small2 (139 W less than with those whose place is taken)
            s2 a: large -> small1 after s0 (empties large)
            s3 b: large -> small2 after s1 (empties large)
            s4 c: large -> small1 after s0 (empties large)
            s5 d: large -> small2 after s1 (empties large)
            s6 sleep large after s0 after s1 after s2 after s3 after s4 after s5 (empty, and the reserves hold without it)
            small1 awake: carries 2 VMs
            small2 awake: carries 2 VMs
        "#]],
    );
}

#[test]
fn whoever_may_not_be_woken_is_not() {
    let text = bare(OLD_AND_NEW);
    let nothing = |spoil: &dyn Fn(&mut dormouse_model::Snapshot)| {
        let mut snapshot = picture(&text);
        spoil(&mut snapshot);
        let (plan, _) = plan(&snapshot, NIGHT);
        assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    };
    nothing(&|it| it.hosts[1].in_state = Millis::from_mins(2));
    nothing(&|it| it.hosts[1].cycles_day = 4);
    nothing(&|it| it.hosts[1].maintenance = true);
    nothing(&|it| it.hosts[1].state = HostState::Off);
    nothing(&|it| it.hosts[1].state = HostState::SetAside);
    does_nothing(&(text.clone() + "hold new by=ops\n"));
}

#[test]
fn whoever_may_not_sleep_is_not_replaced() {
    for flag in ["keep-on", "role=storage", "unproven", "maintenance"] {
        assert_eq!(sleeps(&bare(&OLD_AND_NEW.replace("host old", &format!("host old {flag}")))), 0);
    }
    does_nothing(&bare(&OLD_AND_NEW.replace("cpu=0.5", "cpu=0.5 pin=old")));
    does_nothing(&bare(&OLD_AND_NEW.replace("host new", "host new cpu-group=other")));
    does_nothing(&(bare(OLD_AND_NEW) + "keep 1 of old\n"));
}

#[test]
fn while_one_is_on_its_way_up_no_other_is_woken() {
    let text = bare(&format!("host third cpus=8 mem=8G watts=50/100/3 boot=60s\n{OLD_AND_NEW}"));
    let mut snapshot = picture(&text);
    snapshot.hosts[0].state = HostState::Waking;
    let (plan, _) = plan(&snapshot, NIGHT);
    assert!(plan.steps.is_empty());
}

#[test]
fn first_those_that_are_on_are_packed_then_the_rest_is_replaced() {
    check_goal(
        &bare(
            "host old[1-3] cpus=8 mem=8G watts=200/300/5 boot=90s
host new cpus=8 mem=8G watts=50/100/3 boot=60s
vm a b c@old[1-3] mem=1G cpu=0.5
asleep new",
        ),
        NIGHT,
        expect![[r#"
            3 -> 1 on (bound 1), 621 W -> 74 W, 3 moves
            s0 wake new (148 W less than with those whose place is taken)
            s1 a: old1 -> new after s0 (empties old1)
            s2 sleep old1 after s0 after s1 (empty, and the reserves hold without it)
            s3 b: old2 -> new after s0 (empties old2)
            s4 sleep old2 after s0 after s3 (empty, and the reserves hold without it)
            s5 c: old3 -> new after s0 (empties old3)
            s6 sleep old3 after s0 after s5 (empty, and the reserves hold without it)
            new awake: carries 3 VMs
        "#]],
    );
}

#[test]
fn a_spread_group_gets_as_many_as_it_needs() {
    check_picture(
        &picture(&bare(
            "host old[1-2] cpus=8 mem=8G watts=200/300/5 boot=90s
host new[1-2] cpus=8 mem=8G watts=50/100/3 boot=60s
vm a b@old[1-2] mem=1G cpu=0.5
group g = a b spread
asleep new[1-2]",
        )),
        NIGHT,
        expect![[r#"
            2 -> 2 on (bound 2), 418 W -> 116 W, 2 moves
            s0 wake new1 (296 W less than with those whose place is taken)
            s1 wake new2 (296 W less than with those whose place is taken)
            s2 a: old1 -> new1 after s0 (empties old1)
            s3 sleep old1 after s0 after s1 after s2 (empty, and the reserves hold without it)
            s4 b: old2 -> new2 after s1 (empties old2)
            s5 sleep old2 after s0 after s1 after s4 (empty, and the reserves hold without it)
            new1 awake: carries 1 VM
            new2 awake: carries 1 VM
        "#]],
    );
}
