//! A plan as text with one mistake in it, and the checker's word on it: one test for each kind of mistake.
//!
//! Steps are numbered as they stand: `move a h1 h2`, `wake h3`, `sleep h2 after 0`, `start v h1`, `stop v h1`.

use crate::balanced::bare;
use crate::show::{NIGHT, picture};
use dormouse_model::{
    Action, Because, Goal, HostId, HostState, Millis, Obstacle, Plan, PlanId, RefusalReason, Seen, Snapshot,
    Step, StepId, VmId, VmState,
};
use expect_test::{Expect, expect};

const OPEN: Goal = Goal::Spread { wake_off: false };

fn host(snapshot: &Snapshot, name: &str) -> HostId {
    snapshot
        .host_ids()
        .find(|id| snapshot.host(*id).spec.name == name)
        .unwrap_or_else(|| panic!("host {name}"))
}

fn vm(snapshot: &Snapshot, name: &str) -> VmId {
    snapshot.vm_ids().find(|id| snapshot.vm(*id).spec.name == name).unwrap_or_else(|| panic!("VM {name}"))
}

fn plan_of(snapshot: &Snapshot, goal: Goal, text: &str) -> Plan {
    let step = |(index, line): (usize, &str)| {
        let (what, needs) = line.split_once(" after ").unwrap_or((line, ""));
        let words: Vec<&str> = what.split_whitespace().collect();
        let (host, vm) = (|name| host(snapshot, name), |name| vm(snapshot, name));
        let action = match words[..] {
            ["move", who, from, to] => Action::Migrate { vm: vm(who), from: host(from), to: host(to) },
            ["wake", at] => Action::Wake { host: host(at) },
            ["sleep", at] => Action::Sleep { host: host(at) },
            ["start", who, at] => Action::Start { vm: vm(who), host: host(at) },
            ["stop", who, at] => Action::Stop { vm: vm(who), host: host(at) },
            _ => panic!("no step: {line}"),
        };
        Step {
            id: StepId::at(index),
            action,
            needs: needs.split_whitespace().map(|need| StepId(need.parse().unwrap())).collect(),
            deadline: Millis::from_mins(1),
            because: Because::Asked,
        }
    };
    let steps = text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate().map(step).collect();
    Plan { id: PlanId(1), policy: snapshot.cluster.policy.name, goal, steps }
}

/// Everything that the checker has to say.
fn said(snapshot: &Snapshot, goal: Goal, plan: &str) -> String {
    let violations = dormouse_planner::check(snapshot, &plan_of(snapshot, goal, plan));
    violations.iter().map(|one| format!("{one}\n")).collect()
}

fn caught(cluster: &str, plan: &str, expect: Expect) {
    expect.assert_eq(&said(&picture(&bare(cluster)), NIGHT, plan));
}

/// The plan is fine on the picture as it is, and not once this has been done to it.
fn caught_once(cluster: &str, plan: &str, done: impl FnOnce(&mut Snapshot), expect: Expect) {
    let mut snapshot = picture(&bare(cluster));
    assert_eq!(said(&snapshot, NIGHT, plan), "", "fine before");
    done(&mut snapshot);
    expect.assert_eq(&said(&snapshot, NIGHT, plan));
}

/// Two hosts, one to be emptied onto the other.
const TWO: &str = "host h[1-2] cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=1G cpu=0.1\nvm b@h2 mem=1G cpu=0.1";
const PACK: &str = "move b h2 h1\nsleep h2 after 0";

#[test]
fn memory() {
    caught(
        "host h[1-3] cpus=4 mem=4G watts=45/95/3 overhead=512M\nvm a b@h1,h2 mem=3G",
        "move b h2 h1",
        expect![[r"
            host#0 can be asked for 7 GiB of its 4 GiB
        "]],
    );
    caught(
        "host h[1-2] cpus=4 mem=4G reserve=2500M watts=45/95/3\nvm a b@h1,h2 mem=1G",
        "move b h2 h1",
        expect![[r"
            host#0 can be asked for 2 GiB of its 1596 MiB
        "]],
    );
}

#[test]
fn memory_on_the_way_although_it_fits_in_the_end() {
    let exchange = "host h[1-3] cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=3G\nvm b@h2 mem=3G";
    // Both ends are held while a move runs: that a leaves at the same time is not enough.
    caught(
        exchange,
        "move a h1 h3\nmove b h2 h1",
        expect![[r"
            host#0 can be asked for 6 GiB of its 4 GiB
        "]],
    );
    caught(exchange, "move a h1 h3\nmove b h2 h1 after 0", expect![[r""]]);
}

#[test]
fn memory_in_an_order_that_the_list_does_not_show() {
    // Each newcomer waits for one to leave, but both for the same one.
    let text = "host h[1-4] cpus=4 mem=4G watts=45/95/3\nvm a b@h1 mem=2G\nvm c d@h2,h3 mem=2G";
    caught(
        text,
        "move a h1 h4\nmove b h1 h4\nmove c h2 h1 after 0\nmove d h3 h1 after 0",
        expect![[r"
            host#0 can be asked for 6 GiB of its 4 GiB
        "]],
    );
    caught(text, "move a h1 h4\nmove b h1 h4\nmove c h2 h1 after 0\nmove d h3 h1 after 1", expect![[r""]]);
    // A need of a need counts.
    caught(
        text,
        "move a h1 h4\nmove b h1 h4\nmove c h2 h1 after 0\nmove d h3 h1 after 1 2\nmove d h1 h3 after 3",
        expect![[r""]],
    );
}

#[test]
fn slots() {
    caught(
        "host h[1-2] cpus=4 mem=4G slots=1 watts=45/95/3\nvm a b@h1,h2 mem=1G",
        "move b h2 h1",
        expect![[r"
            host#0 can come to hold 2 VMs in 1 slots
        "]],
    );
    let seed =
        "cluster c\nhost h[1-2] cpus=4 mem=512M watts=45/95/3\nvm a b c@h1,h1,h2 mem=100M\npolicy seed\n";
    expect![[r"
        host#0 can come to hold 3 VMs in 2 slots
    "]]
    .assert_eq(&said(&picture(seed), NIGHT, "move c h2 h1"));
}

#[test]
fn cpu_headroom_at_every_instant_and_for_the_hours_to_come() {
    let busy = "host h[1-3] cpus=4 mem=8G watts=45/95/3\nvm a b@h1,h2 mem=1G cpu=2";
    caught(
        busy,
        "move b h2 h1",
        expect![[r"
            host#0 is filled with 4.000 cores although cpu.target allows 2.800 cores
        "]],
    );
    // In the end h1 holds b alone, but not while both are there.
    caught(
        busy,
        "move a h1 h3\nmove b h2 h1",
        expect![[r"
            host#0 is filled with 4.000 cores although cpu.target allows 2.800 cores
        "]],
    );
    caught(busy, "move a h1 h3\nmove b h2 h1 after 0", expect![[r""]]);
    // Calm now, busy over the last hour.
    let was_busy = |snapshot: &mut Snapshot| {
        snapshot.vms.iter_mut().for_each(|vm| vm.demand.sleep = dormouse_model::MilliCpu(2000));
    };
    caught_once(
        TWO,
        PACK,
        was_busy,
        expect![[r"
            host#0 is filled with 4.000 cores although cpu.target allows 2.800 cores
        "]],
    );
}

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
fn hosts_that_stay_on() {
    let marked = |mark: &str| {
        let text = format!(
            "host h1 cpus=4 mem=4G watts=45/95/3\nhost h2 cpus=4 mem=4G watts=45/95/3 {mark}\nvm b@h2 mem=1G cpu=0.1"
        );
        said(&picture(&bare(&text)), NIGHT, PACK)
    };
    assert_eq!(marked(""), "");
    expect![["s1: host#1 must not sleep: marked keep-on\n"]].assert_eq(&marked("keep-on"));
    for role in ["manager", "quorum", "storage", "gateway"] {
        expect![["s1: host#1 must not sleep: it has a role\n"]].assert_eq(&marked(&format!("role={role}")));
    }
    expect![["s1: host#1 must not sleep: never seen to wake\n"]].assert_eq(&marked("unproven"));
    expect![[r"
        s0: host#1 is not ours to empty: in maintenance
        s1: host#1 must not sleep: in maintenance
    "]]
    .assert_eq(&marked("maintenance"));
}

#[test]
fn what_was_seen_of_a_host_keeps_it_on() {
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].load15 = Seen::Stale { was: Default::default(), age: Millis(9) },
        expect![[r"
            s0: host#1 is not ours to empty: not seen
            s1: host#1 must not sleep: not seen
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].obstacles.push(Obstacle::People { count: 1, idle: Millis(9) }),
        expect![[r"
            s1: host#1 must not sleep: something on it says no
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].obstacles.push(Obstacle::BackOff { left: Millis(9) }),
        expect![[r"
            s0: host#1 is not ours to empty: a step failed there lately
            s1: host#1 must not sleep: something on it says no
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].in_state = Millis::from_mins(29),
        expect![[r"
            s1: host#1 must not sleep: on for too short a time
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[1].cycles_day = 4,
        expect![[r"
            s1: host#1 must not sleep: its power cycles of the day are used up
        "]],
    );
}

#[test]
fn keep_counts() {
    let text = "host h[1-3] cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=1G\nkeep 2 of h[1-3]";
    caught(text, "sleep h2", expect![[r""]]);
    caught(
        text,
        "sleep h2\nsleep h3",
        expect![[r"
            1 of the hosts that a rule keeps on stay on, 2 wanted
        "]],
    );
    let min_on = "cluster c\nhost h[1-3] cpus=4 mem=4G\npolicy balanced spare.min=0 spare.target=0 failover=0 min_on=2\n";
    expect![[r"
        1 hosts stay on, min_on is 2
    "]]
    .assert_eq(&said(&picture(min_on), NIGHT, "sleep h2\nsleep h3"));
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
fn holds() {
    caught_once(
        TWO,
        PACK,
        |now| {
            now.hosts[1].held = Some(dormouse_model::Hold { hosts: vec![], until: None, by: None, why: None })
        },
        expect![[r"
            s0: host#1 is not ours to empty: held
            s1: host#1 must not sleep: held
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| {
            now.hosts[0].held = Some(dormouse_model::Hold { hosts: vec![], until: None, by: None, why: None })
        },
        expect![[r"
            s0: host#0 takes no VM: held
        "]],
    );
    caught_once(
        TWO,
        PACK,
        |now| now.hosts[0].drain = true,
        expect![[r"
            s0: host#0 takes no VM: being emptied by an operator
        "]],
    );
}

#[test]
fn who_may_be_woken() {
    let woken = |state: HostState, goal: Goal, mark: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = picture(&bare("host h[1-2] cpus=4 mem=4G"));
        snapshot.hosts[1].state = state;
        mark(&mut snapshot);
        said(&snapshot, goal, "wake h2")
    };
    let plain = |_: &mut Snapshot| {};
    assert_eq!(woken(HostState::Asleep, NIGHT, &plain), "");
    assert_eq!(woken(HostState::Off, Goal::Spread { wake_off: true }, &plain), "");
    expect![["s0: host#1 must not be woken: switched off by someone else\n"]].assert_eq(&woken(
        HostState::Off,
        OPEN,
        &plain,
    ));
    expect![["s0: host#1 must not be woken: in maintenance\n"]].assert_eq(&woken(
        HostState::Asleep,
        NIGHT,
        &|now| now.hosts[1].maintenance = true,
    ));
    expect![["s0: host#1 is on, not asleep\n"]].assert_eq(&woken(HostState::On, NIGHT, &plain));
    expect![["s0: host#1 is set-aside, not asleep\n"]].assert_eq(&woken(HostState::SetAside, NIGHT, &plain));
}

#[test]
fn needs() {
    // The host is up only when its wake is over.
    let text = "host h[1-2] cpus=4 mem=4G\nvm a@h1 mem=1G\nasleep h2";
    caught(
        text,
        "wake h2\nmove a h1 h2",
        expect![[r"
            s1 aims at host#1, which may not be up by then
        "]],
    );
    caught(text, "wake h2\nmove a h1 h2 after 0", expect![[r""]]);
    // It is empty only when everyone has left: a move that fails must keep it on.
    let full = "host h[1-3] cpus=4 mem=4G\nvm a b@h2 mem=1G";
    caught(
        full,
        "move a h2 h1\nmove b h2 h1\nsleep h2 after 0",
        expect![[r"
            s2: host#1 may still hold vm#1
        "]],
    );
    // Nobody moves into a host that goes to sleep.
    caught(
        full,
        "move a h2 h1\nmove b h2 h3\nsleep h3",
        expect![[r"
            s2: host#2 still holds vm#1
        "]],
    );
    // The second move of a VM waits for its first.
    caught(
        full,
        "move a h2 h1\nmove a h1 h3",
        expect![[r"
            s1 moves vm#0 on before the move that brings it is over
        "]],
    );
}

#[test]
fn a_move_that_fails_leaves_the_rest_valid() {
    // b comes once a has left, a's mate c follows b. Should a fail to leave, b never starts; c needs no room of a's.
    let text = "host h[1-3] cpus=4 mem=4G watts=45/95/3\nvm a b c@h1,h2,h2 mem=2G";
    caught(text, "move a h1 h3\nmove b h2 h1 after 0\nmove c h2 h1 after 0", expect![[r""]]);
    caught(
        text,
        "move a h1 h3\nmove b h2 h1\nmove c h2 h1 after 1",
        expect![[r"
            host#0 can be asked for 6 GiB of its 4 GiB
        "]],
    );
}

#[test]
fn reserves() {
    let with = |set: &str, cluster: &str, plan: &str| {
        let mut snapshot = picture(&bare(cluster));
        let mut cluster = (*snapshot.cluster).clone();
        for (knob, value) in set.split_whitespace().filter_map(|set| set.split_once('=')) {
            cluster.policy.knobs.set(knob, value).unwrap();
        }
        snapshot.cluster = cluster.into();
        said(&snapshot, NIGHT, plan)
    };
    let three = "host h[1-3] cpus=4 mem=4G\nvm a b c@h1,h2,h3 mem=1G";
    let pack = "move c h3 h2\nsleep h3 after 0";
    assert_eq!(with("spare.target=5 failover=1", three, pack), "");
    expect![["s1: 5 places for the largest VM stay free, 6 wanted\n"]].assert_eq(&with(
        "spare.target=6",
        three,
        pack,
    ));
    expect![["s1: 5 places for the largest VM stay free, 6 wanted\n"]].assert_eq(&with(
        "spare.min=6",
        three,
        pack,
    ));
    // By volume: what is lost with one is more than the other has free.
    let full = "host h[1-3] cpus=4 mem=4G\nvm a b c@h1,h2,h3 mem=1500M\nvm d@h1 mem=1500M";
    expect![["the VMs of 1 lost hosts cannot fit on the rest\n"]].assert_eq(&with("failover=1", full, pack));
    // By size: enough is free on the rest, but no host has room for the large one.
    let large = "host h[1-4] cpus=4 mem=4G\nvm a@h1 mem=3G\nvm b c d@h2,h3,h4 mem=1500M";
    expect![["the VMs of 1 lost hosts cannot fit on the rest\n"]].assert_eq(&with(
        "failover=1",
        large,
        "move d h4 h3\nsleep h4 after 0",
    ));
}

#[test]
fn steps_that_name_what_is_not_there() {
    let mut plan = plan_of(&picture(&bare(TWO)), NIGHT, PACK);
    plan.steps[0].action = Action::Migrate { vm: VmId(9), from: HostId(1), to: HostId(0) };
    let said = |plan: &Plan| dormouse_planner::check(&picture(&bare(TWO)), plan)[0].to_string();
    expect![["s0 names a host or VM that is not in the picture"]].assert_eq(&said(&plan));
    plan.steps[0].action = Action::Migrate { vm: VmId(1), from: HostId(1), to: HostId(1) };
    expect![["s0 moves a VM to where it is"]].assert_eq(&said(&plan));
    let mut plan = plan_of(&picture(&bare(TWO)), NIGHT, PACK);
    plan.steps[0].deadline = Millis::ZERO;
    expect![["s0 has no deadline"]].assert_eq(&said(&plan));
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
