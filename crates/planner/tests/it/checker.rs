//! Planted mistakes: a checker that catches nothing is not a checker.

use crate::show::{NIGHT, picture, plan, seeds_lab};
use dormouse_model::{Action, Goal, HostId, Obstacle, Plan, Snapshot, StepId, VmId};
use expect_test::{Expect, expect};

/// A good plan, spoilt; and the first thing that the checker has to say about it.
fn spoilt(snapshot: &Snapshot, goal: Goal, spoil: impl FnOnce(&mut Plan), expect: Expect) {
    let (mut plan, _) = plan(snapshot, goal);
    spoil(&mut plan);
    let violations = dormouse_planner::check(snapshot, &plan);
    expect.assert_eq(&violations.first().map_or_else(|| "nothing wrong".to_owned(), ToString::to_string));
}

fn packed_lab() -> Snapshot {
    picture(&seeds_lab("balanced spare.min=0 spare.target=0 failover=0"))
}

fn first(plan: &Plan, which: impl Fn(Action) -> bool) -> usize {
    plan.steps.iter().position(|step| which(step.action)).expect("such a step")
}

const OPEN: Goal = Goal::Spread { wake_off: false };

fn exchange() -> Snapshot {
    picture(
        "cluster c
host h[1-3] cpus=2 mem=1024M watts=45/95/3
vm a@h1 mem=768M cpu=0.1 home=h2
vm b@h2 mem=768M cpu=0.1 home=h3
",
    )
}

#[test]
fn a_dropped_need_before_a_sleep() {
    let drop = |plan: &mut Plan| {
        let at = first(plan, |action| matches!(action, Action::Sleep { .. }));
        plan.steps[at].needs.clear();
    };
    spoilt(&packed_lab(), NIGHT, drop, expect!["s1: host#8 may still hold vm#8"]);
}

#[test]
fn a_dropped_need_before_a_move_into_a_full_host() {
    spoilt(
        &exchange(),
        OPEN,
        |plan| plan.steps.iter_mut().for_each(|step| step.needs.clear()),
        expect!["host#1 can be asked for 1536 MiB of its 1 GiB"],
    );
}

#[test]
fn a_dropped_need_before_a_move_to_a_sleeping_host() {
    let snapshot = picture(
        "cluster c
host h[1-2] cpus=2 mem=2G watts=45/95/3
vm a b@h1 mem=256M cpu=0.1 home=h1,h2
asleep h2
",
    );
    spoilt(
        &snapshot,
        OPEN,
        |plan| plan.steps.iter_mut().for_each(|step| step.needs.clear()),
        expect!["s1 aims at host#1, which may not be up by then"],
    );
}

#[test]
fn a_destination_that_is_full() {
    let redirect = |plan: &mut Plan| {
        let full = plan.steps.iter().find_map(|step| match step.action {
            Action::Migrate { to, .. } => Some(to),
            _ => None,
        });
        for step in &mut plan.steps {
            if let Action::Migrate { to, .. } = &mut step.action {
                *to = full.unwrap();
            }
        }
    };
    spoilt(&packed_lab(), NIGHT, redirect, expect!["host#0 can be asked for 14080 MiB of its 2 GiB"]);
}

#[test]
fn a_host_that_is_not_empty_put_to_sleep() {
    let drop = |plan: &mut Plan| {
        let at = first(plan, |action| matches!(action, Action::Migrate { .. }));
        plan.steps.remove(at);
        for (index, step) in plan.steps.iter_mut().enumerate() {
            step.id = StepId::at(index);
            step.needs = step
                .needs
                .iter()
                .filter(|need| need.index() != at)
                .map(|need| StepId(need.0 - u32::from(need.index() > at)))
                .collect();
        }
    };
    spoilt(&packed_lab(), NIGHT, drop, expect!["s0: host#8 still holds vm#8"]);
}

#[test]
fn a_meeting_that_a_spread_group_forbids() {
    let snapshot = picture(
        "cluster c
host h[1-4] cpus=8 mem=8G watts=45/95/3
vm w[1-3]@h[1-3] mem=1G cpu=0.1
vm x@h4 mem=1G cpu=0.1
group web = w[1-3] spread
policy balanced spare.min=0 spare.target=0 failover=0
",
    );
    let meet = |plan: &mut Plan| {
        plan.steps.truncate(1);
        plan.steps[0].action = Action::Migrate { vm: VmId(0), from: HostId(0), to: HostId(1) };
    };
    spoilt(&snapshot, NIGHT, meet, expect!["vm#0 and vm#1 of group web can meet on host#1"]);
}

#[test]
fn marks_that_came_after_the_plan() {
    let mark = |mark: &dyn Fn(&mut Snapshot), expect: Expect| {
        let (plan, _) = plan(&packed_lab(), NIGHT);
        let mut now = packed_lab();
        mark(&mut now);
        let violations = dormouse_planner::check(&now, &plan);
        expect.assert_eq(&violations.first().map_or_else(|| "nothing wrong".to_owned(), ToString::to_string));
    };
    mark(
        &|now| now.hosts[61].drain = true,
        expect!["s107: host#61 must not sleep: being emptied by an operator, to stay on"],
    );
    mark(
        &|now| now.hosts[61].maintenance = true,
        expect!["s106: host#61 is not ours to empty: in maintenance"],
    );
    mark(&|now| now.hosts[61].proven = false, expect!["s107: host#61 must not sleep: never seen to wake"]);
    mark(
        &|now| now.hosts[61].cycles_day = 4,
        expect!["s107: host#61 must not sleep: its power cycles of the day are used up"],
    );
    mark(
        &|now| now.hosts[61].in_state = dormouse_model::Millis(0),
        expect!["s107: host#61 must not sleep: on for too short a time"],
    );
    mark(
        &|now| now.hosts[61].obstacles.push(Obstacle::Block("dpkg".to_owned())),
        expect!["s106: host#61 is not ours to empty: something on it says not now"],
    );
    mark(&|now| now.vms[61].moves_hour = 2, expect!["vm#61 moves 1 times, 0 allowed"]);
    mark(
        &|now| now.vms[61].immovable = Some(dormouse_model::RefusalReason::ForeignJob),
        expect!["s106: vm#61 cannot move: someone else's job runs on it"],
    );
    mark(&|_| {}, expect![["nothing wrong"]]);
}

#[test]
fn reserves_that_are_gone() {
    let (plan, _) = plan(&packed_lab(), NIGHT);
    for (knob, value, wanted) in [
        ("spare.target", "3", expect!["s107: 2 places for the largest VM stay free, 3 wanted"]),
        ("failover", "1", expect!["the VMs of 1 lost hosts cannot fit on the rest"]),
        ("min_on", "9", expect!["8 hosts stay on, min_on is 9"]),
        (
            "cpu.target",
            "0.05",
            expect!["host#0 is filled with 0.160 cores although cpu.target allows 0.100 cores"],
        ),
        ("moves.vm_hour", "0", expect!["vm#8 moves 1 times, 0 allowed"]),
    ] {
        let mut snapshot = packed_lab();
        let mut cluster = (*snapshot.cluster).clone();
        cluster.policy.knobs.set(knob, value).unwrap();
        snapshot.cluster = cluster.into();
        let violations = dormouse_planner::check(&snapshot, &plan);
        wanted.assert_eq(&violations.first().map_or_else(|| "nothing wrong".to_owned(), ToString::to_string));
    }
}

#[test]
fn any_step_while_holding() {
    spoilt(
        &packed_lab(),
        NIGHT,
        |plan| plan.goal = Goal::Hold,
        expect!["s0 acts although the goal is to hold still"],
    );
}

#[test]
fn needs_that_point_forward_and_steps_out_of_number() {
    spoilt(
        &packed_lab(),
        NIGHT,
        |plan| plan.steps[0].needs.push(StepId(5)),
        expect!["s0 needs s5, which does not come before it"],
    );
    spoilt(&packed_lab(), NIGHT, |plan| plan.steps.swap(0, 1), expect!["s1 stands at place s0"]);
}
