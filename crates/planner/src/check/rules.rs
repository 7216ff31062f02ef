//! VMs: who may move at all, how often, where to, and with whom they may or must share a host.

use super::Violation;
use super::course::{Course, Passage};
use super::graph::Graph;
use dormouse_model::{HostId, Rule, Snapshot, StepId, VmId, VmState};
use std::collections::BTreeMap;

pub(super) fn check(
    before: &Snapshot,
    after: &Snapshot,
    course: &Course,
    graph: &mut Graph<'_>,
    found: &mut Vec<Violation>,
) {
    for (vm, passages) in &course.moves {
        one_vm(before, graph, *vm, passages, found);
    }
    for group in &before.cluster.groups {
        for rule in &group.rules {
            match rule {
                Rule::Fence(hosts) => {
                    let arrivals = group
                        .vms
                        .iter()
                        .flat_map(|vm| course.passages(*vm).iter().map(move |one| (*vm, one)));
                    for (vm, one) in arrivals.filter(|(_, one)| !hosts.contains(&one.to)) {
                        found.push(Violation::Rule { step: one.step, vm, host: one.to });
                    }
                }
                Rule::Spread => spread(before, graph, &group.name, &group.vms, course, found),
                Rule::Gather => gather(before, after, &group.name, &group.vms, found),
            }
        }
    }
}

fn one_vm(
    before: &Snapshot,
    graph: &mut Graph<'_>,
    id: VmId,
    passages: &[Passage],
    found: &mut Vec<Violation>,
) {
    let vm = before.vm(id);
    let moves: Vec<&Passage> = passages.iter().filter(|one| one.from.is_some()).collect();
    if let Some((first, origin)) = moves.first().and_then(|one| Some((one.step, one.from?))) {
        let why = match () {
            () if !matches!(vm.state, VmState::Running { .. } | VmState::Paused { .. }) => {
                Some(format!("it is {}", vm.state.as_str()))
            }
            () if vm.spec.no_move => Some("marked no-move".to_owned()),
            () if vm.spec.local_disk => Some("its disk is on one host only".to_owned()),
            () => vm.immovable.as_ref().map(ToString::to_string),
        };
        if let Some(why) = why {
            found.push(Violation::Immovable { step: first, vm: id, why });
        }
        let knobs = &before.cluster.policy.knobs;
        let left = knobs
            .moves_vm_hour
            .saturating_sub(vm.moves_hour)
            .min(knobs.moves_vm_day.saturating_sub(vm.moves_day));
        let count = u32::try_from(moves.len()).unwrap_or(u32::MAX);
        // An operator's drain is outside the budget.
        if count > left && !before.host(origin).drain {
            found.push(Violation::Budget { vm: id, moves: count, left });
        }
        let group = &before.host(origin).spec.cpu_group;
        for one in &moves {
            if before.host(one.to).spec.cpu_group != *group {
                found.push(Violation::CpuGroup { step: one.step, vm: id, host: one.to });
            }
            // Only the way from where it is now was tried.
            if one.from == Some(origin) && vm.barred.iter().any(|barred| barred.to == one.to) {
                found.push(Violation::Barred { step: one.step, vm: id, host: one.to });
            }
        }
    }
    for one in passages {
        if let Some(name) = before.host(one.to).spec.lacks(&vm.spec.devices) {
            found.push(Violation::Network { step: one.step, vm: id, host: one.to, name: name.to_owned() });
        }
        if vm.spec.ban.contains(&one.to) || (!vm.spec.pin.is_empty() && !vm.spec.pin.contains(&one.to)) {
            found.push(Violation::Rule { step: one.step, vm: id, host: one.to });
        }
    }
    for pair in passages.windows(2) {
        if !graph.follows(pair[0].step, pair[1].step) {
            found.push(Violation::MoveNotOver { step: pair[1].step, vm: id });
        }
    }
}

/// A stay of a VM on a host: from a step (or from the start) until a step (or for good).
struct Stay {
    vm: VmId,
    from: Option<StepId>,
    until: Option<StepId>,
}

/// No two members on one host at any instant, but for those that share one from the start.
fn spread(
    before: &Snapshot,
    graph: &mut Graph<'_>,
    name: &str,
    members: &[VmId],
    course: &Course,
    found: &mut Vec<Violation>,
) {
    let mut stays: BTreeMap<HostId, Vec<Stay>> = BTreeMap::new();
    for vm in members.iter().copied().filter(|vm| vm.index() < before.vms.len()) {
        let mine = course.passages(vm);
        for host in before.vm(vm).state.hosts() {
            let until = mine.first().map(|one| one.step);
            stays.entry(host).or_default().push(Stay { vm, from: None, until });
        }
        for (index, one) in mine.iter().enumerate() {
            let until = mine.get(index + 1).map(|next| next.step);
            stays.entry(one.to).or_default().push(Stay { vm, from: Some(one.step), until });
        }
    }
    for (host, stays) in &stays {
        // Who is there from the start is looked at only against those that come.
        for (index, a) in stays.iter().enumerate().filter(|(_, stay)| stay.from.is_some()) {
            let others = stays.iter().enumerate().filter(|(at, b)| b.from.is_none() || *at < index);
            for (_, b) in others.filter(|(_, b)| b.vm != a.vm) {
                if may_meet(graph, a, b) {
                    let (a, b) = (a.vm.min(b.vm), a.vm.max(b.vm));
                    found.push(Violation::Spread { group: name.to_owned(), host: *host, a, b });
                }
            }
        }
    }
}

/// Can two stays overlap? Not if one is certainly over when the other begins.
fn may_meet(graph: &mut Graph<'_>, a: &Stay, b: &Stay) -> bool {
    let mut over_before = |first: &Stay, second: &Stay| match (first.until, second.from) {
        (Some(until), Some(from)) => graph.follows(until, from),
        _ => false,
    };
    !over_before(a, b) && !over_before(b, a)
}

/// A group that was together is together in the end. On the way it cannot be: its members move one after another.
fn gather(before: &Snapshot, after: &Snapshot, name: &str, members: &[VmId], found: &mut Vec<Violation>) {
    let together = |picture: &Snapshot| {
        let mut places = members
            .iter()
            .filter(|vm| vm.index() < before.vms.len())
            .filter_map(|vm| picture.vm(*vm).state.host());
        let first = places.next();
        places.all(|place| Some(place) == first)
    };
    if together(before) && !together(after) {
        found.push(Violation::Gather { group: name.to_owned() });
    }
}
