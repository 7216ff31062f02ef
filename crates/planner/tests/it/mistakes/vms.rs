//! VMs that may not move, or not there, or not with each other.

use super::{PACK, TWO, caught, caught_once, said};
use crate::balanced::bare;
use crate::show::{NIGHT, picture};
use dormouse_model::{Barred, HostId, RefusalReason, VmState};
use expect_test::expect;

#[test]
fn cpu_group() {
    caught(
        "host h1 cpus=4 mem=4G watts=45/95/3 cpu-group=new\nhost h2 cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=1G",
        "move a h1 h2",
        expect![[r"
            s0: host#1 is of another CPU group than vm#0 runs on
        "]],
    );
}

#[test]
fn network() {
    let text = "host h1 cpus=4 mem=4G watts=45/95/3 network=br0,br-lab\nhost h2 cpus=4 mem=4G watts=45/95/3 network=br0\n\
                host h3 cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=1G network=br-lab\nvm b@h1 mem=1G network=br0\nvm c@h1 mem=1G stopped network=br-lab";
    caught(
        text,
        "move a h1 h2\nstart c h2",
        expect![[r"
            s0: host#1 has no network br-lab, which vm#0 is plugged into
            s1: host#1 has no network br-lab, which vm#2 is plugged into
        "]],
    );
    // What h3 has is not known: nothing is held against it.
    caught(text, "move a h1 h3\nmove b h1 h2", expect![[r""]]);
}

#[test]
fn pin_ban_and_fence() {
    let hosts = "host h[1-3] cpus=4 mem=4G watts=45/95/3\n";
    let text = "vm pinned@h1 mem=1G pin=h1,h2\nvm banned@h1 mem=1G ban=h3\nvm fenced@h1 mem=1G\ngroup in = fenced fence=h1,h2";
    caught(
        &format!("{hosts}{text}"),
        "move pinned h1 h3\nmove banned h1 h3\nmove fenced h1 h3",
        expect![[r"
            s0: pin, ban or fence keeps vm#0 off host#2
            s1: pin, ban or fence keeps vm#1 off host#2
            s2: pin, ban or fence keeps vm#2 off host#2
        "]],
    );
    caught(
        &format!("{hosts}{text}"),
        "move pinned h1 h2\nmove banned h1 h2\nmove fenced h1 h2",
        expect![[r""]],
    );
    // Not even in passing, and not when it is started there.
    caught(
        &format!("{hosts}vm a@h1 mem=1G ban=h2"),
        "move a h1 h2\nmove a h2 h3 after 0",
        expect![[r"
            s0: pin, ban or fence keeps vm#0 off host#1
        "]],
    );
    caught(
        &format!("{hosts}vm a@h1 mem=1G ban=h2 stopped"),
        "start a h2",
        expect![[r"
            s0: pin, ban or fence keeps vm#0 off host#1
        "]],
    );
}

#[test]
fn spread() {
    let text = "host h[1-3] cpus=4 mem=4G watts=45/95/3\nvm w1 w2@h1,h2 mem=1G\ngroup web = w1 w2 spread";
    caught(
        text,
        "move w1 h1 h2",
        expect![[r"
            vm#0 and vm#1 of group web can meet on host#1
        "]],
    );
    // They pass each other: w2 has left, but nothing says that it left first.
    caught(
        text,
        "move w2 h2 h3\nmove w1 h1 h2",
        expect![[r"
            vm#0 and vm#1 of group web can meet on host#1
        "]],
    );
    caught(text, "move w2 h2 h3\nmove w1 h1 h2 after 0", expect![[r""]]);
    // Both new to the host.
    caught(
        text,
        "move w1 h1 h3\nmove w2 h2 h3",
        expect![[r"
            vm#0 and vm#1 of group web can meet on host#2
        "]],
    );
}

#[test]
fn gather() {
    let text = "host h[1-2] cpus=4 mem=4G watts=45/95/3\nvm a b c@h1 mem=512M\ngroup pair = a b gather";
    caught(
        text,
        "move a h1 h2",
        expect![[r"
            group pair is torn apart
        "]],
    );
    caught(text, "move a h1 h2\nmove b h1 h2\nmove c h1 h2", expect![[r""]]);
}

#[test]
fn vms_that_cannot_move() {
    let marked = |mark: &str| {
        let text = format!("host h[1-2] cpus=4 mem=4G watts=45/95/3\nvm a@h2 mem=1G {mark}");
        said(&picture(&bare(&text)), NIGHT, "move a h2 h1")
    };
    assert_eq!(marked(""), "");
    expect![["s0: vm#0 cannot move: marked no-move\n"]].assert_eq(&marked("no-move"));
    expect![["s0: vm#0 cannot move: its disk is on one host only\n"]].assert_eq(&marked("local-disk"));
    caught_once(
        TWO,
        PACK,
        |now| now.vms[1].immovable = Some(RefusalReason::ForeignJob),
        expect![[r"
            s0: vm#1 cannot move: someone else's job runs on it
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.vms[1].moves_hour = 2,
        expect![[r"
            vm#1 moves 1 times, 0 allowed
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.vms[1].moves_day = 6,
        expect![[r"
            vm#1 moves 1 times, 0 allowed
        "]],
    );
}

#[test]
fn the_way_of_its_last_failed_move() {
    caught_once(
        TWO,
        PACK,
        |now| now.vms[1].barred = vec![Barred { to: HostId(0), lacks: None }],
        expect![[r"
            s0: the last move of vm#1 to host#0 failed, and that way rests
        "]],
    );
}

#[test]
fn a_vm_that_is_not_plainly_there() {
    let at = |state: VmState| {
        let mut snapshot = picture(&bare(TWO));
        snapshot.vms[1].state = state;
        said(&snapshot, NIGHT, PACK)
    };
    let (h1, h2) = (HostId(0), HostId(1));
    expect![["s0: vm#1 is not running on host#1\n"]].assert_eq(&at(VmState::Migrating { from: h2, to: h1 }));
    expect![["s0: vm#1 is not running on host#1\n"]].assert_eq(&at(VmState::Lost { at: h2 }));
    expect![["s0: vm#1 is not running on host#1\n"]]
        .assert_eq(&at(VmState::Conflict { hosts: vec![h1, h2] }));
    // And one that may be on a host keeps it on.
    let mut snapshot = picture(&bare(TWO));
    snapshot.vms[1].state = VmState::Migrating { from: h2, to: h1 };
    expect![["s0: host#1 still holds vm#1\n"]].assert_eq(&said(&snapshot, NIGHT, "sleep h2"));
}

#[test]
fn no_goal_stops_a_vm() {
    caught(
        TWO,
        "stop b h2\nsleep h2 after 0",
        expect![[r"
            s0 stops vm#1, which no goal asks for
        "]],
    );
}
