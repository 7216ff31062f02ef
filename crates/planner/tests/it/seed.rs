//! Policy `seed`, rule by rule: each test fails if its rule is left out.

use crate::show::{NIGHT, check_goal, check_picture, check_plan, picture, plan, seeds_lab};
use dormouse_model::{Action, Goal, Permille, Seen, VmId};
use expect_test::expect;
use std::collections::BTreeMap;

#[test]
fn the_seeds_lab_takes_seven_rounds_and_ninety_one_moves() {
    let snapshot = picture(&seeds_lab("seed"));
    let (plan, report) = plan(&snapshot, NIGHT);
    let sleeps: Vec<usize> =
        (0..plan.steps.len()).filter(|at| matches!(plan.steps[*at].action, Action::Sleep { .. })).collect();
    let mut moves: BTreeMap<VmId, u32> = BTreeMap::new();
    for step in &plan.steps {
        if let Some(vm) = step.action.vm() {
            *moves.entry(vm).or_default() += 1;
        }
    }
    assert_eq!((report.rounds, plan.migrations(), report.hosts_on_after, sleeps.len()), (7, 91, 8, 54));
    assert_eq!(moves.values().max(), Some(&3), "a VM moves up to three times");
    assert_eq!(sleeps.first(), Some(&91), "emptied hosts go to sleep at the end");
    assert!(
        (0..8).all(|host| plan.apply(&snapshot).unwrap().hosts[host].state.is_usable()),
        "the first hosts stay on"
    );
}

#[test]
fn the_last_gives_its_lightest_vm_to_the_first() {
    check_plan(
        "cluster c
host h[1-4] cpus=4 mem=2048M watts=45/95/3
vm light1 light2@h4 mem=256M cpu=0.01
vm heavy@h4 mem=256M cpu=0.5
vm b@h3 mem=256M cpu=0.1
vm k[1-2]@h[1-2] mem=256M cpu=0.1
policy seed
",
        expect![[r#"
            4 -> 1 on (bound 1), 189 W -> 64 W, 6 moves
            s0 light1: h4 -> h1 (round 1)
            s1 b: h3 -> h2 (round 1)
            s2 light2: h4 -> h1 (round 2)
            s3 heavy: h4 -> h1 (round 3)
            s4 b: h2 -> h1 after s1 (round 4)
            s5 k2: h2 -> h1 (round 5)
            s6 sleep h2 after s4 after s5 (empty, and the reserves hold without it)
            s7 sleep h3 after s1 (empty, and the reserves hold without it)
            s8 sleep h4 after s0 after s2 after s3 (empty, and the reserves hold without it)
            h1 awake: carries 6 VMs
        "#]],
    );
}

#[test]
fn a_host_without_a_free_slot_is_regular() {
    // Two slots each: h1 is full, so it is not under, and h2 and h3 meet.
    check_plan(
        "cluster c
host h[1-3] cpus=4 mem=512M watts=45/95/3
vm a b@h1 mem=128M cpu=0.1
vm c@h2 mem=128M cpu=0.1
vm d@h3 mem=128M cpu=0.1
policy seed
",
        expect![[r#"
            3 -> 2 on (bound 2), 139 W -> 97 W, 1 moves
            s0 d: h3 -> h2 (round 1)
            s1 sleep h3 after s0 (empty, and the reserves hold without it)
            h1 awake: carries 2 VMs
            h2 awake: carries 2 VMs
        "#]],
    );
}

#[test]
fn a_slot_is_as_large_as_the_knob_says() {
    check_plan(
        "cluster c
host h[1-2] cpus=4 mem=512M watts=45/95/3
vm a@h1 mem=128M cpu=0.1
vm b@h2 mem=128M cpu=0.1
policy seed slot.mib=512
",
        expect![[r#"
            2 -> 2 on (bound 2), 92 W -> 92 W, 0 moves
            h1 awake: carries 1 VM
            h2 awake: carries 1 VM
        "#]],
    );
}

#[test]
fn above_load_low_a_host_neither_gives_nor_takes() {
    check_plan(
        "cluster c
host h[1-3] cpus=2 mem=2048M watts=45/95/3
vm busy@h1 mem=256M vcpus=2 cpu=1
vm b@h2 mem=256M cpu=0.1
vm c@h3 mem=256M cpu=0.1
policy seed
",
        expect![[r#"
            3 -> 2 on (bound 2), 164 W -> 123 W, 1 moves
            s0 c: h3 -> h2 (round 1)
            s1 sleep h3 after s0 (empty, and the reserves hold without it)
            h1 awake: its load 0.50 is not below load.low
            h2 awake: carries 2 VMs
        "#]],
    );
}

#[test]
fn load_low_is_a_knob() {
    check_plan(
        "cluster c
host h[1-2] cpus=2 mem=2048M watts=45/95/3
vm busy@h1 mem=256M vcpus=2 cpu=1
vm b@h2 mem=256M cpu=0.1
policy seed load.low=0.6
",
        expect![[r#"
            2 -> 1 on (bound 1), 117 W -> 75 W, 1 moves
            s0 b: h2 -> h1 (round 1)
            s1 sleep h2 after s0 (empty, and the reserves hold without it)
            h1 awake: carries 2 VMs
        "#]],
    );
}

#[test]
fn lists_are_made_anew_with_the_load_that_was_moved() {
    // h1 takes one VM and is no longer below load.low: the next round passes it by.
    check_plan(
        "cluster c
host h[1-3] cpus=2 mem=2048M watts=45/95/3
vm a@h1 mem=256M cpu=0.4
vm b@h2 mem=256M cpu=0.1
vm c d@h3 mem=256M cpu=0.3
policy seed
",
        expect![[r#"
            3 -> 2 on (bound 2), 162 W -> 120 W, 1 moves
            s0 b: h2 -> h1 (round 1)
            s1 sleep h2 after s0 (empty, and the reserves hold without it)
            h1 awake: carries 2 VMs
            h3 awake: its load 0.30 is not below load.low
        "#]],
    );
}

#[test]
fn an_over_host_gives_its_lightest_vm_to_an_under_host_and_no_round_is_played() {
    check_plan(
        "cluster c
host h[1-4] cpus=2 mem=2048M watts=45/95/3
vm big@h1 mem=256M vcpus=2 cpu=1.5
vm small@h1 mem=256M cpu=0.2
vm b@h2 mem=256M cpu=0.1
vm c@h3 mem=256M cpu=0.1
vm d@h4 mem=256M cpu=0.1
policy seed
",
        expect![[r#"
            4 -> 4 on (bound 2), 228 W -> 228 W, 1 moves
            s0 small: h1 -> h2 (relieves h1)
            h1 awake: its load 0.75 is not below load.low
            h2 awake: carries 2 VMs
            h3 awake: carries 1 VM
            h4 awake: carries 1 VM
        "#]],
    );
}

#[test]
fn an_over_host_with_one_vm_is_regular() {
    check_plan(
        "cluster c
host h[1-2] cpus=2 mem=2048M watts=45/95/3
vm big@h1 mem=256M vcpus=2 cpu=1.9
vm b@h2 mem=256M cpu=0.1
policy seed
",
        expect![[r#"
            2 -> 2 on (bound 2), 139 W -> 139 W, 0 moves
            h1 awake: its load 0.95 is not below load.low
            h2 awake: carries 1 VM
        "#]],
    );
}

#[test]
fn load_high_is_a_knob() {
    check_plan(
        "cluster c
host h[1-2] cpus=2 mem=2048M watts=45/95/3
vm a b@h1 mem=256M cpu=0.5
vm c@h2 mem=256M cpu=0.1
policy seed load.high=0.4
",
        expect![[r#"
            2 -> 2 on (bound 2), 117 W -> 117 W, 1 moves
            s0 a: h1 -> h2 (relieves h1)
            h1 awake: carries 1 VM
            h2 awake: its load 0.30 is not below load.low
        "#]],
    );
}

#[test]
fn with_no_under_host_one_is_woken() {
    check_goal(
        "cluster c
host h[1-4] cpus=2 mem=2048M watts=45/95/3
vm a b@h1 mem=256M cpu=0.9
vm c d@h2 mem=256M cpu=0.4
asleep h3 h4
policy seed
",
        Goal::Relieve,
        expect![[r#"
            2 -> 3 on (bound 2), 161 W -> 202 W, 1 moves
            s0 wake h3 (demand does not fit on the hosts that are on)
            s1 a: h1 -> h3 after s0 (relieves h1)
            h1 awake: carries 1 VM
            h2 awake: carries 2 VMs
            h3 awake: carries 1 VM
        "#]],
    );
}

#[test]
fn with_nothing_left_to_wake_it_says_so() {
    check_goal(
        "cluster c
host h[1-2] cpus=2 mem=2048M watts=45/95/3
vm a b@h1 mem=256M cpu=0.9
vm c d@h2 mem=256M cpu=0.4
policy seed
",
        Goal::Relieve,
        expect![[r#"
            2 -> 2 on (bound 2), 155 W -> 155 W, 0 moves
            h1 awake: carries 2 VMs
            h2 awake: carries 2 VMs
            h1 left: no host is left to wake
        "#]],
    );
}

#[test]
fn an_empty_host_sleeps_but_never_the_managers() {
    check_plan(
        "cluster c
host h1 cpus=2 mem=2048M watts=45/95/3
host boss cpus=2 mem=2048M watts=45/95/3 role=manager
host h2 cpus=2 mem=2048M watts=45/95/3
vm a@h1 mem=256M cpu=0.8
policy seed
",
        expect![[r#"
            3 -> 2 on (bound 2), 155 W -> 113 W, 0 moves
            s0 sleep h2 (empty, and the reserves hold without it)
            h1 awake: its load 0.40 is not below load.low
            boss awake: role manager: never switched off
        "#]],
    );
}

#[test]
fn an_empty_host_that_is_busy_itself_stays_on() {
    let mut snapshot = picture(
        "cluster c
host h[1-2] cpus=2 mem=2048M watts=45/95/3
vm a@h1 mem=256M cpu=0.1
policy seed
",
    );
    snapshot.hosts[1].load15 = Seen::Known(Permille(900));
    check_picture(
        &snapshot,
        NIGHT,
        expect![[r#"
        2 -> 2 on (bound 2), 92 W -> 92 W, 0 moves
        h1 awake: carries 1 VM
        h2 awake: its load 0.90 is not below load.low
    "#]],
    );
}

#[test]
fn memory_is_not_overcommitted_even_where_a_slot_is_free() {
    check_plan(
        "cluster c
host h[1-2] cpus=2 mem=2048M watts=45/95/3
vm a@h1 mem=1536M cpu=0.1
vm b@h2 mem=1024M cpu=0.1
policy seed
",
        expect![[r#"
            2 -> 2 on (bound 2), 94 W -> 94 W, 0 moves
            h1 awake: carries 1 VM
            h2 awake: carries 1 VM
        "#]],
    );
}

#[test]
fn one_vm_that_cannot_move_does_not_stop_the_rest() {
    check_plan(
        "cluster c
host h[1-4] cpus=2 mem=2048M watts=45/95/3
vm a@h1 mem=256M cpu=0.1
vm b@h2 mem=256M cpu=0.1
vm c@h3 mem=256M cpu=0.1
vm fixed@h4 mem=256M cpu=0.05 no-move
policy seed
",
        expect![[r#"
            4 -> 3 on (bound 2), 187 W -> 146 W, 1 moves
            s0 c: h3 -> h2 (round 1)
            s1 sleep h3 after s0 (empty, and the reserves hold without it)
            h1 awake: carries 1 VM
            h2 awake: carries 2 VMs
            h4 awake: fixed has to stay: it is marked no-move
            fixed left: it is marked no-move
        "#]],
    );
}

#[test]
fn a_vm_moves_only_as_often_as_its_budget_allows() {
    let mut snapshot = picture(&seeds_lab("seed"));
    let moves = |snapshot: &_| plan(snapshot, NIGHT).0.migrations();
    for vm in &mut snapshot.vms {
        vm.moves_hour = 2;
    }
    assert!(moves(&snapshot) < 91);
    for vm in &mut snapshot.vms {
        vm.moves_hour = 3;
    }
    assert_eq!(moves(&snapshot), 0);
}

#[test]
fn reserves_are_not_kept() {
    let snapshot = picture(&seeds_lab("seed failover=2 spare.target=20 spare.min=10"));
    assert_eq!(plan(&snapshot, NIGHT).1.hosts_on_after, 8);
}

#[test]
fn it_opens_as_balanced_does() {
    check_goal(
        "cluster c
host h[1-3] cpus=2 mem=2048M watts=45/95/3
vm a b c@h1 mem=256M cpu=0.1 home=h1,h2,h3
asleep h2 h3
policy seed
",
        Goal::Spread { wake_off: false },
        expect![[r#"
            1 -> 3 on (bound 2), 58 W -> 141 W, 2 moves
            s0 wake h2 (opening)
            s1 wake h3 (opening)
            s2 b: h1 -> h2 after s0 (goes home)
            s3 c: h1 -> h3 after s1 (goes home)
            h1 awake: the window wants it up
            h2 awake: the window wants it up
            h3 awake: the window wants it up
        "#]],
    );
}
