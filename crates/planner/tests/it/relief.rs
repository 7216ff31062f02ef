//! Policy `balanced` when there is too little: overloads, drains, missing reserves.

use crate::balanced::bare;
use crate::show::{check_goal, check_picture, check_plan, picture, plan};
use dormouse_model::{Goal, HostState};
use expect_test::expect;

#[test]
fn relief_takes_one_vm_to_the_coolest_host() {
    // `mid` alone ends it; `small` would not, and h2 would be over cpu.target with it.
    check_goal(
        &bare(
            "host h[1-3] cpus=4 mem=8G watts=45/95/3
vm big@h1 vcpus=4 mem=1G cpu=2
vm mid@h1 vcpus=2 mem=1G cpu=1.3
vm small@h1 mem=512M cpu=0.1
vm x@h2 vcpus=4 mem=1G cpu=2
vm y@h3 vcpus=4 mem=1G cpu=1",
        ),
        Goal::Relieve,
        expect![[r#"
            3 -> 3 on (bound 3), 214 W -> 214 W, 1 moves
            s0 mid: h1 -> h3 (relieves h1)
            h1 awake: carries 2 VMs
            h2 awake: carries 1 VM
            h3 awake: carries 2 VMs
        "#]],
    );
}

#[test]
fn relief_wakes_a_host_when_nothing_fits_and_waits_for_one_that_is_waking() {
    let text = bare(
        "host h[1-4] cpus=4 mem=8G watts=45/95/3
vm a b@h1 vcpus=2 mem=1G cpu=1.8
vm c d@h2 vcpus=2 mem=1G cpu=1.2
asleep h3 h4",
    );
    check_goal(
        &text,
        Goal::Relieve,
        expect![[r#"
        2 -> 3 on (bound 2), 171 W -> 212 W, 1 moves
        s0 wake h3 (demand does not fit on the hosts that are on)
        s1 a: h1 -> h3 after s0 (relieves h1)
        h1 awake: carries 1 VM
        h2 awake: carries 2 VMs
        h3 awake: carries 1 VM
    "#]],
    );
    let mut snapshot = picture(&text);
    snapshot.hosts[2].state = HostState::Waking;
    check_picture(
        &snapshot,
        Goal::Relieve,
        expect![[r#"
        3 -> 3 on (bound 2), 263 W -> 263 W, 0 moves
        h1 awake: carries 2 VMs
        h2 awake: carries 2 VMs
        h3 awake: it is waking
    "#]],
    );
}

#[test]
fn an_overload_that_no_move_ends_is_told() {
    check_goal(
        &bare(
            "host h[1-2] cpus=4 mem=8G watts=45/95/3
vm a@h1 vcpus=4 mem=1G cpu=3.9
vm c@h2 vcpus=2 mem=1G cpu=0.2",
        ),
        Goal::Relieve,
        expect![[r#"
            2 -> 2 on (bound 2), 140 W -> 140 W, 0 moves
            h1 awake: carries 1 VM
            h2 awake: carries 1 VM
            h1 left: its CPU demand fits nowhere else
        "#]],
    );
}

#[test]
fn a_drained_host_is_emptied_and_stays_on() {
    let mut snapshot = picture(&bare(
        "host h[1-3] cpus=4 mem=2G watts=45/95/3
vm a b@h1 mem=1G cpu=0.1
vm c@h2 mem=1G cpu=0.1
asleep h3",
    ));
    snapshot.hosts[0].drain = true;
    // An operator's drain is outside the budget of moves.
    snapshot.vms[0].moves_hour = 9;
    check_picture(
        &snapshot,
        Goal::Relieve,
        expect![[r#"
        2 -> 3 on (bound 2), 96 W -> 138 W, 2 moves
        s0 wake h3 (demand does not fit on the hosts that are on)
        s1 a: h1 -> h2 (drains h1)
        s2 b: h1 -> h3 after s0 (drains h1)
        h1 awake: an operator is emptying it
        h2 awake: carries 2 VMs
        h3 awake: carries 1 VM
    "#]],
    );
    let (held, _) = plan(&snapshot, Goal::Hold);
    assert!(held.steps.is_empty(), "hold means hold");
}

#[test]
fn a_missing_place_wakes_a_host_and_a_free_one_lets_none_sleep() {
    let text = |knobs: &str| {
        format!(
            "cluster c
host h[1-4] cpus=8 mem=2G watts=45/95/3
vm a b c@h1,h1,h2 mem=1G cpu=0.1
asleep h3 h4
policy balanced failover=0 {knobs}
"
        )
    };
    check_goal(
        &text("spare.min=2"),
        Goal::Relieve,
        expect![[r#"
        2 -> 3 on (bound 3), 97 W -> 139 W, 0 moves
        s0 wake h3 (1 places free for the largest VM, 2 wanted)
        h1 awake: carries 2 VMs
        h2 awake: carries 1 VM
        h3 awake: reserve: without it 1 places for the largest VM stay free, 2 wanted
    "#]],
    );
    check_goal(
        &text("spare.min=1"),
        Goal::Relieve,
        expect![[r#"
        2 -> 2 on (bound 2), 97 W -> 97 W, 0 moves
        h1 awake: carries 2 VMs
        h2 awake: carries 1 VM
    "#]],
    );
    check_goal(
        &text("spare.min=9"),
        Goal::Relieve,
        expect![[r#"
        2 -> 4 on (bound 2), 97 W -> 181 W, 0 moves
        s0 wake h3 (1 places free for the largest VM, 9 wanted)
        s1 wake h4 (3 places free for the largest VM, 9 wanted)
        h1 awake: carries 2 VMs
        h2 awake: carries 1 VM
        h3 awake: reserve: without it 1 places for the largest VM stay free, 9 wanted
        h4 awake: reserve: without it 3 places for the largest VM stay free, 9 wanted
        a left: no host is left to wake
    "#]],
    );
}

#[test]
fn a_cluster_that_a_death_would_not_fit_on_gets_a_host_more() {
    let text = |mem: &str| {
        format!(
            "cluster c
host h[1-3] cpus=8 mem=2G watts=45/95/3
vm a b@h1,h2 mem={mem} cpu=0.1
asleep h3
policy balanced spare.min=0 spare.target=0
"
        )
    };
    check_plan(
        &text("1536M"),
        expect![[r#"
            2 -> 3 on (bound 3), 93 W -> 135 W, 0 moves
            s0 wake h3 (the VMs of a lost host would not fit on the rest)
            h1 awake: failover: without it the 1536 MiB on h2 would find 512 MiB free if h2 died
            h2 awake: failover: without it the 1536 MiB on h1 would find 512 MiB free if h1 died
            h3 awake: failover: the VMs of 1 lost host must fit on the rest
        "#]],
    );
    check_plan(
        &text("512M"),
        expect![[r#"
            2 -> 2 on (bound 2), 93 W -> 93 W, 0 moves
            h1 awake: failover: without it the 512 MiB on h2 would find 0 MiB free if h2 died
            h2 awake: failover: without it the 512 MiB on h1 would find 0 MiB free if h1 died
        "#]],
    );
}
