//! Opening: all hosts up, clones home, a VM for each host, in an order that is safe.

use crate::show::{check_goal, check_picture, picture, plan, seeds_lab};
use dormouse_model::{Goal, HostState, VmState};
use expect_test::expect;

const OPEN: Goal = Goal::Spread { wake_off: false };

#[test]
fn after_a_night_every_clone_is_home_again() {
    let evening = picture(&seeds_lab("balanced"));
    let (night, _) = plan(&evening, crate::show::NIGHT);
    let packed = night.apply(&evening).unwrap();
    let (opening, report) = plan(&packed, OPEN);
    let morning = opening.apply(&packed).unwrap();
    assert_eq!((report.hosts_on_after, opening.migrations()), (62, 53));
    for vm in &morning.vms {
        assert_eq!(vm.state, VmState::Running { at: vm.spec.home.unwrap() });
    }
}

#[test]
fn a_move_to_a_sleeping_home_waits_for_its_wake() {
    check_goal(
        "cluster c
host h[1-3] cpus=2 mem=2048M watts=45/95/3
vm a b c@h1 mem=256M cpu=0.1 home=h1,h2,h3
asleep h2 h3
",
        OPEN,
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

#[test]
fn hosts_that_someone_else_switched_off_are_woken_only_by_wake_all() {
    let text = "cluster c
host h[1-4] cpus=2 mem=2048M watts=45/95/3
vm a b@h1 mem=256M cpu=0.1
off h2
unknown h3
set-aside h4
";
    check_goal(
        text,
        OPEN,
        expect![[r#"
        3 -> 3 on (bound 3), 243 W -> 243 W, 0 moves
        h1 awake: the window wants it up
        h3 awake: it is unknown
        h4 awake: it is set-aside
    "#]],
    );
    check_goal(
        text,
        Goal::Spread { wake_off: true },
        expect![[r#"
        3 -> 4 on (bound 4), 243 W -> 284 W, 1 moves
        s0 wake h2 (opening)
        s1 a: h1 -> h2 after s0 (a VM for each host)
        h1 awake: the window wants it up
        h2 awake: the window wants it up
        h3 awake: it is unknown
        h4 awake: it is set-aside
    "#]],
    );
}

#[test]
fn hosts_without_a_clone_of_their_own_get_a_vm_as_long_as_there_are_any() {
    check_goal(
        "cluster c
host h[1-4] cpus=2 mem=2048M watts=45/95/3
vm own@h1 mem=256M cpu=0.1 home=h1
vm x y@h1 mem=256M cpu=0.1
",
        OPEN,
        expect![[r#"
            4 -> 4 on (bound 2), 187 W -> 186 W, 2 moves
            s0 x: h1 -> h2 (a VM for each host)
            s1 y: h1 -> h3 (a VM for each host)
            h1 awake: the window wants it up
            h2 awake: the window wants it up
            h3 awake: the window wants it up
            h4 awake: the window wants it up
        "#]],
    );
}

#[test]
fn clones_in_each_others_homes_change_places_through_spare_room() {
    check_goal(
        "cluster c
host h[1-3] cpus=2 mem=1024M watts=45/95/3
vm a@h1 mem=768M cpu=0.1 home=h2
vm b@h2 mem=768M cpu=0.1 home=h1
",
        OPEN,
        expect![[r#"
            3 -> 3 on (bound 3), 139 W -> 139 W, 3 moves
            s0 a: h1 -> h3 (makes room for an exchange)
            s1 b: h2 -> h1 after s0 (goes home)
            s2 a: h3 -> h2 after s0 after s1 (goes home)
            h1 awake: the window wants it up
            h2 awake: the window wants it up
            h3 awake: the window wants it up
        "#]],
    );
}

#[test]
fn an_exchange_without_any_spare_room_is_told() {
    check_goal(
        "cluster c
host h[1-2] cpus=2 mem=1024M watts=45/95/3
vm a@h1 mem=768M cpu=0.1 home=h2
vm b@h2 mem=768M cpu=0.1 home=h1
",
        OPEN,
        expect![[r#"
            2 -> 2 on (bound 2), 94 W -> 94 W, 0 moves
            h1 awake: the window wants it up
            h2 awake: the window wants it up
            a left: moves form a cycle and no spare room breaks it
            b left: moves form a cycle and no spare room breaks it
        "#]],
    );
}

#[test]
fn a_full_home_is_entered_only_after_another_has_left() {
    check_goal(
        "cluster c
host h[1-3] cpus=2 mem=1024M watts=45/95/3
vm a@h1 mem=768M cpu=0.1 home=h2
vm b@h2 mem=768M cpu=0.1 home=h3
",
        OPEN,
        expect![[r#"
            3 -> 3 on (bound 3), 139 W -> 139 W, 2 moves
            s0 b: h2 -> h3 (goes home)
            s1 a: h1 -> h2 after s0 (goes home)
            h1 awake: the window wants it up
            h2 awake: the window wants it up
            h3 awake: the window wants it up
        "#]],
    );
}

#[test]
fn who_cannot_go_home_stays_with_a_reason() {
    let mut snapshot = picture(
        "cluster c
host h[1-4] cpus=2 mem=1024M watts=45/95/3
vm a@h1 mem=256M cpu=0.1 home=h2 local-disk
vm b@h1 mem=256M cpu=0.1 home=h3
vm c@h1 mem=256M cpu=0.1 home=h4
vm big@h4 mem=900M cpu=0.1 home=h4
",
    );
    snapshot.vms[1].moves_hour = 2;
    snapshot.hosts[1].state = HostState::On;
    check_picture(
        &snapshot,
        OPEN,
        expect![[r#"
        4 -> 4 on (bound 3), 189 W -> 189 W, 1 moves
        s0 c: h1 -> h2 (a VM for each host)
        h1 awake: the window wants it up
        h2 awake: the window wants it up
        h3 awake: the window wants it up
        h4 awake: the window wants it up
        a left: its disk or a device is on this host only
        b left: moved as often as it may be for now
        c left: memory: 256 MiB asked, best free 124 MiB
    "#]],
    );
}
