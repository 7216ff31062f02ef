//! VMs: who may move at all, how often, where to, and with whom they may or must share a host.

use super::Violation;
use super::graph::Graph;
use dormouse_model::{Action, HostId, Plan, Rule, Snapshot, StepId, VmId, VmState};
use std::collections::BTreeMap;

pub(super) fn check(
    before: &Snapshot,
    after: &Snapshot,
    plan: &Plan,
    graph: &Graph<'_>,
    found: &mut Vec<Violation>,
) {
    let mut moves: BTreeMap<VmId, Vec<(StepId, HostId, HostId)>> = BTreeMap::new();
    for step in &plan.steps {
        if let Action::Migrate { vm, from, to } = step.action {
            moves.entry(vm).or_default().push((step.id, from, to));
        }
    }
    for (vm, moves) in &moves {
        one_vm(before, graph, *vm, moves, found);
    }
    for group in &before.cluster.groups {
        for rule in &group.rules {
            match rule {
                Rule::Fence(hosts) => {
                    for (vm, step, to) in
                        arrivals(&moves, &group.vms).filter(|(_, _, to)| !hosts.contains(to))
                    {
                        found.push(Violation::Rule { step, vm, host: to });
                    }
                }
                Rule::Spread => spread(before, graph, &group.name, &group.vms, &moves, found),
                Rule::Gather => gather(before, after, &group.name, &group.vms, found),
            }
        }
    }
}

type Moves = BTreeMap<VmId, Vec<(StepId, HostId, HostId)>>;

fn arrivals<'a>(moves: &'a Moves, vms: &'a [VmId]) -> impl Iterator<Item = (VmId, StepId, HostId)> + 'a {
    vms.iter()
        .flat_map(move |vm| moves.get(vm).into_iter().flatten().map(move |(step, _, to)| (*vm, *step, *to)))
}

fn one_vm(
    before: &Snapshot,
    graph: &Graph<'_>,
    id: VmId,
    moves: &[(StepId, HostId, HostId)],
    found: &mut Vec<Violation>,
) {
    let vm = before.vm(id);
    let (first, origin, _) = moves[0];
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
    for (step, _, to) in moves {
        if vm.spec.ban.contains(to) || (!vm.spec.pin.is_empty() && !vm.spec.pin.contains(to)) {
            found.push(Violation::Rule { step: *step, vm: id, host: *to });
        }
        if before.host(*to).spec.cpu_group != *group {
            found.push(Violation::CpuGroup { step: *step, vm: id, host: *to });
        }
    }
    for pair in moves.windows(2) {
        if !graph.before(pair[1].0).contains(&pair[0].0) {
            found.push(Violation::MoveNotOver { step: pair[1].0, vm: id });
        }
    }
}

/// A stay of a VM on a host: from a step (or from the start) until a step (or for good).
struct Stay {
    vm: VmId,
    host: HostId,
    from: Option<StepId>,
    until: Option<StepId>,
}

/// No two members on one host at any instant, but for those that share one from the start.
fn spread(
    before: &Snapshot,
    graph: &Graph<'_>,
    name: &str,
    members: &[VmId],
    moves: &Moves,
    found: &mut Vec<Violation>,
) {
    let mut stays: BTreeMap<HostId, Vec<Stay>> = BTreeMap::new();
    for vm in members.iter().copied().filter(|vm| vm.index() < before.vms.len()) {
        let mine = moves.get(&vm).map_or(&[][..], Vec::as_slice);
        for host in before.vm(vm).state.hosts() {
            let until = mine.first().map(|(step, _, _)| *step);
            stays.entry(host).or_default().push(Stay { vm, host, from: None, until });
        }
        for (index, (step, _, to)) in mine.iter().enumerate() {
            let until = mine.get(index + 1).map(|(next, _, _)| *next);
            stays.entry(*to).or_default().push(Stay { vm, host: *to, from: Some(*step), until });
        }
    }
    for stays in stays.values() {
        for (index, a) in stays.iter().enumerate() {
            for b in &stays[index + 1..] {
                if a.vm != b.vm && may_meet(graph, a, b) {
                    found.push(Violation::Spread { group: name.to_owned(), host: a.host, a: a.vm, b: b.vm });
                }
            }
        }
    }
}

/// Can two stays overlap? Not if one is certainly over when the other begins.
fn may_meet(graph: &Graph<'_>, a: &Stay, b: &Stay) -> bool {
    let over_before = |first: &Stay, second: &Stay| match (first.until, second.from) {
        (Some(until), Some(from)) => graph.before(from).contains(&until),
        _ => false,
    };
    if a.from.is_none() && b.from.is_none() {
        return false;
    }
    !over_before(a, b) && !over_before(b, a)
}

/// A group that was together is together in the end.
fn gather(before: &Snapshot, after: &Snapshot, name: &str, members: &[VmId], found: &mut Vec<Violation>) {
    let together = |picture: &Snapshot| {
        let mut places: Vec<HostId> = members
            .iter()
            .filter(|vm| vm.index() < before.vms.len())
            .filter_map(|vm| picture.vm(*vm).state.host())
            .collect();
        places.dedup();
        places.len() <= 1
    };
    if together(before) && !together(after) {
        found.push(Violation::Gather { group: name.to_owned() });
    }
}
