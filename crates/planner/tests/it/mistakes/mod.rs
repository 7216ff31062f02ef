//! A plan as text with one mistake in it, and the checker's word on it: one test for each kind of mistake.
//!
//! Steps are numbered as they stand: `move a h1 h2`, `wake h3`, `sleep h2 after 0`, `start v h1`, `stop v h1`.

mod hosts;
mod room;
mod vms;

use crate::balanced::bare;
use crate::show::{NIGHT, picture};
use dormouse_model::{Action, Because, Goal, HostId, Millis, Plan, PlanId, Snapshot, Step, StepId, VmId};
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
