//! Memory, slots and CPU at every instant of every order that the needs allow.
//!
//! A move holds room at both ends while it runs. So at any instant a host holds what it held, plus all that has come or
//! is coming, less what is over. Of all instants that can be, the worst is found exactly (see [`super::flow`]).
//!
//! CPU is judged in two bands: that of minutes at every instant, as memory is; that of hours where the host will be
//! left, for VMs that came only so that another host can sleep. What a host holds before anything comes is not the
//! plan's doing, even if that is too much already.

use super::Violation;
use super::course::{Course, Traffic};
use super::flow::Network;
use super::graph::Graph;
use dormouse_model::{Action, Goal, HostId, Mib, MilliCpu, Plan, PolicyName, Snapshot, VmId};

pub(super) fn check(
    before: &Snapshot,
    plan: &Plan,
    course: &Course,
    graph: &mut Graph<'_>,
    found: &mut Vec<Violation>,
) {
    let seed = plan.policy == PolicyName::Seed;
    let slot = u64::from(before.cluster.policy.knobs.slot_mib.max(1));
    let sleeps = sleepers(before, plan);
    for (host, traffic) in course.traffic().filter(|(_, traffic)| !traffic.arrivals.is_empty()) {
        let spec = &before.host(host).spec;
        let here = course.residents(host);
        let limit = spec.mem.0.saturating_sub(spec.reserve.0);
        let mem = |vm: VmId| u128::from(before.vm(vm).spec.mem.0) + u128::from(spec.overhead.0);
        if let Some(peak) = above(here, traffic, graph, mem, limit) {
            found.push(Violation::Memory { host, peak: Mib(peak), limit: Mib(limit) });
        }
        let slots = spec.slots.map(u64::from).or_else(|| seed.then(|| spec.mem.0 / slot));
        if let Some(limit) = slots
            && let Some(peak) = above(here, traffic, graph, |_| 1, limit)
        {
            found.push(Violation::Slots { host, peak, limit });
        }
        if seed || matches!(plan.goal, Goal::Spread { .. }) {
            continue;
        }
        let target = target(before, host);
        let minutes = |vm: VmId| u128::from(before.vm(vm).demand.wake.0);
        let hours = hours(before, traffic, here, |vm| {
            course.passages(vm).iter().any(|passage| passage.from.is_some_and(|from| sleeps[from.index()]))
        });
        let hours = hours.filter(|demand| *demand > target);
        if let Some(demand) = above(here, traffic, graph, minutes, target).or(hours) {
            found.push(Violation::Cpu { host, demand: MilliCpu(demand), limit: MilliCpu(target) });
        }
    }
}

/// The most that a host can come to hold at an instant at which something has come or is coming, if it is too much.
fn above(
    here: &[VmId],
    traffic: &Traffic,
    graph: &mut Graph<'_>,
    weight: impl Fn(VmId) -> u128,
    limit: u64,
) -> Option<u64> {
    let limit = u128::from(limit);
    let first: u128 = here.iter().map(|vm| weight(*vm)).sum();
    let all: u128 = traffic.arrivals.iter().map(|(_, vm)| weight(*vm)).sum();
    let most = match traffic.departures.first() {
        _ if first + all <= limit => return None,
        None => first + all,
        Some((earliest, _)) => {
            let departures = &traffic.departures;
            let mut over = |step| {
                graph.ask(step, *earliest);
                (0..departures.len()).filter(|at| graph.over(departures[*at].0)).collect()
            };
            let needs = traffic.arrivals.iter().map(|(step, _)| over(*step)).collect();
            let come = traffic.arrivals.iter().map(|(_, vm)| weight(*vm)).collect();
            let gone = departures.iter().map(|(_, vm)| weight(*vm)).collect();
            let network = Network::new(come, gone, needs);
            if first <= limit { first + network.heaviest() } else { network.peak(first) }
        }
    };
    (most > limit).then(|| u64::try_from(most).unwrap_or(u64::MAX))
}

/// CPU demand up to which a host may be filled.
fn target(before: &Snapshot, host: HostId) -> u64 {
    let capacity = u128::from(before.host(host).spec.cpus) * 1000;
    let target = capacity * u128::from(before.cluster.policy.knobs.cpu_target.0) / 1000;
    u64::try_from(target).unwrap_or(u64::MAX)
}

/// Hosts that this plan empties to put them to sleep, and not because they are overloaded.
fn sleepers(before: &Snapshot, plan: &Plan) -> Vec<bool> {
    let mut demand = vec![0u128; before.hosts.len()];
    for vm in &before.vms {
        if let Some(used) = vm.state.host().and_then(|at| demand.get_mut(at.index())) {
            *used += u128::from(vm.demand.wake.0);
        }
    }
    let mut sleeps = vec![false; before.hosts.len()];
    for step in &plan.steps {
        if let Action::Sleep { host } = step.action {
            let spec = &before.host(host).spec;
            let high = u128::from(spec.cpus) * u128::from(before.cluster.policy.knobs.load_high.0);
            sleeps[host.index()] = demand[host.index()] <= high;
        }
    }
    sleeps
}

/// Demand of the hours to come on a host in the end, if something `came` only so that another host can sleep.
fn hours(before: &Snapshot, traffic: &Traffic, here: &[VmId], came: impl Fn(VmId) -> bool) -> Option<u64> {
    let goes = |vm: VmId| traffic.departures.iter().any(|(_, other)| *other == vm);
    let stay = |vm: &VmId| traffic.departures.is_empty() || !goes(*vm);
    let arrived = traffic.arrivals.iter().map(|(_, vm)| *vm).filter(stay);
    if !arrived.clone().any(came) {
        return None;
    }
    let demand: u128 = here
        .iter()
        .copied()
        .filter(stay)
        .chain(arrived)
        .map(|vm| u128::from(before.vm(vm).demand.sleep.0))
        .sum();
    Some(u64::try_from(demand).unwrap_or(u64::MAX))
}
