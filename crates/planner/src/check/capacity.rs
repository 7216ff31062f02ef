//! Memory, slots and CPU at every instant of every order that the needs allow.
//!
//! A move holds room at both ends while it runs. So at any instant a host holds what it held, plus all that has come or
//! is coming, less what is over. Of all instants that can be, the worst is found exactly: choosing a set of arrivals
//! forces the departures that they need, and the heaviest such choice is a cut of a small network (departures that an
//! arrival needs cost what they free; arrivals gain what they bring).

use super::Violation;
use super::graph::Graph;
use dormouse_model::{Action, Goal, HostId, Mib, MilliCpu, Plan, PolicyName, Snapshot, StepId, VmId};
use std::collections::BTreeMap;

#[derive(Default)]
struct Traffic {
    arrivals: Vec<(StepId, VmId)>,
    departures: Vec<(StepId, VmId)>,
}

pub(super) fn check(before: &Snapshot, plan: &Plan, graph: &Graph<'_>, found: &mut Vec<Violation>) {
    let mut traffic: BTreeMap<HostId, Traffic> = BTreeMap::new();
    for step in &plan.steps {
        if let Action::Migrate { vm, from, to } = step.action {
            traffic.entry(to).or_default().arrivals.push((step.id, vm));
            traffic.entry(from).or_default().departures.push((step.id, vm));
        }
    }
    let residents = residents(before);
    let seed = plan.policy == PolicyName::Seed;
    let slot = u64::from(before.cluster.policy.knobs.slot_mib.max(1));
    for (host, traffic) in traffic.iter().filter(|(_, traffic)| !traffic.arrivals.is_empty()) {
        let spec = &before.host(*host).spec;
        let mem = |vm: &VmId| before.vm(*vm).spec.mem.0 + spec.overhead.0;
        let here = &residents[host.index()];
        let limit = spec.mem.0.saturating_sub(spec.reserve.0);
        let most = peak(here, traffic, graph, mem, limit);
        if most > limit {
            found.push(Violation::Memory { host: *host, peak: Mib(most), limit: Mib(limit) });
        }
        let slots = spec.slots.map(u64::from).or_else(|| seed.then(|| spec.mem.0 / slot));
        if let Some(limit) = slots {
            let most = peak(here, traffic, graph, |_| 1, limit);
            if most > limit {
                found.push(Violation::Slots { host: *host, peak: most, limit });
            }
        }
        if !seed && !matches!(plan.goal, Goal::Spread { .. }) {
            cpu(before, *host, traffic, here, found);
        }
    }
}

/// VMs that hold, or may hold, memory on each host.
fn residents(before: &Snapshot) -> Vec<Vec<VmId>> {
    let mut residents = vec![vec![]; before.hosts.len()];
    for vm in before.vm_ids() {
        for host in before.vm(vm).state.hosts() {
            residents[host.index()].push(vm);
        }
    }
    residents
}

/// The most that a host can come to hold at an instant at which something has come or is coming.
///
/// What it holds before anything comes is not the plan's doing, even if that is too much already.
fn peak(
    here: &[VmId],
    traffic: &Traffic,
    graph: &Graph<'_>,
    weight: impl Fn(&VmId) -> u64,
    limit: u64,
) -> u64 {
    let first: u64 = here.iter().map(&weight).sum();
    let all: u64 = traffic.arrivals.iter().map(|(_, vm)| weight(vm)).sum();
    if first + all <= limit || traffic.departures.is_empty() {
        return first + all;
    }
    let network = Network {
        arrivals: traffic.arrivals.iter().map(|(_, vm)| weight(vm)).collect(),
        departures: traffic.departures.iter().map(|(_, vm)| weight(vm)).collect(),
        flow: BTreeMap::new(),
        needs: traffic
            .arrivals
            .iter()
            .map(|(step, _)| {
                let over = graph.before(*step);
                (0..traffic.departures.len()).filter(|at| over.contains(&traffic.departures[*at].0)).collect()
            })
            .collect(),
    };
    if first <= limit {
        return first + network.heaviest();
    }
    // Each arrival in turn is there for certain, and so are the departures that it needs.
    let forced = |arrival: usize| {
        let mut rest = network.clone();
        let mut gone = 0;
        for departure in &network.needs[arrival] {
            gone += std::mem::take(&mut rest.departures[*departure]);
        }
        let come = std::mem::take(&mut rest.arrivals[arrival]);
        first + come + rest.heaviest() - gone
    };
    (0..network.arrivals.len()).map(forced).max().unwrap_or(0)
}

/// Source to arrivals to the departures they need to sink.
#[derive(Clone)]
struct Network {
    /// What is left to send into each arrival, and out of each departure.
    arrivals: Vec<u64>,
    departures: Vec<u64>,
    flow: BTreeMap<(usize, usize), u64>,
    needs: Vec<Vec<usize>>,
}

impl Network {
    /// The most that arrivals can outweigh the departures that they force.
    fn heaviest(&self) -> u64 {
        self.arrivals.iter().sum::<u64>() - self.clone().max_flow()
    }

    fn max_flow(&mut self) -> u64 {
        let mut sum = 0;
        for start in 0..self.arrivals.len() {
            while self.arrivals[start] > 0 {
                let pushed = self.augment(start);
                if pushed == 0 {
                    break;
                }
                self.arrivals[start] -= pushed;
                sum += pushed;
            }
        }
        sum
    }

    /// One path from an arrival to a departure with something left, over flows that can be turned back.
    fn augment(&mut self, start: usize) -> u64 {
        // For each departure reached, the arrival it was reached from; for each arrival, the departure.
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        let mut came_by: BTreeMap<usize, Option<usize>> = BTreeMap::from([(start, None)]);
        let mut open = vec![start];
        while let Some(arrival) = open.pop() {
            for departure in self.needs[arrival].clone() {
                if reached.contains_key(&departure) {
                    continue;
                }
                reached.insert(departure, arrival);
                if self.departures[departure] > 0 {
                    return self.push_along(start, departure, &reached, &came_by);
                }
                for other in 0..self.arrivals.len() {
                    let turned = self.flow.get(&(other, departure)).is_some_and(|flow| *flow > 0);
                    if turned && !came_by.contains_key(&other) {
                        came_by.insert(other, Some(departure));
                        open.push(other);
                    }
                }
            }
        }
        0
    }

    fn push_along(
        &mut self,
        start: usize,
        end: usize,
        reached: &BTreeMap<usize, usize>,
        came_by: &BTreeMap<usize, Option<usize>>,
    ) -> u64 {
        let mut amount = self.arrivals[start].min(self.departures[end]);
        let mut path = vec![];
        let mut departure = end;
        loop {
            let arrival = reached[&departure];
            path.push((arrival, departure, true));
            match came_by[&arrival] {
                None => break,
                Some(back) => {
                    amount = amount.min(self.flow[&(arrival, back)]);
                    path.push((arrival, back, false));
                    departure = back;
                }
            }
        }
        for (arrival, departure, forth) in path {
            let flow = self.flow.entry((arrival, departure)).or_insert(0);
            *flow = if forth { *flow + amount } else { *flow - amount };
        }
        self.departures[end] -= amount;
        amount
    }
}

/// A host that took something must stay within `cpu.target` in the end, by the demand of these minutes.
fn cpu(before: &Snapshot, host: HostId, traffic: &Traffic, here: &[VmId], found: &mut Vec<Violation>) {
    let knobs = &before.cluster.policy.knobs;
    let gone = |vm: &VmId| traffic.departures.iter().any(|(_, other)| other == vm);
    let stays = here
        .iter()
        .filter(|vm| !gone(vm))
        .chain(traffic.arrivals.iter().map(|(_, vm)| vm).filter(|vm| !gone(vm)));
    let demand: u64 = stays.map(|vm| before.vm(*vm).demand.wake.0).sum();
    let capacity = u64::from(before.host(host).spec.cpus) * 1000;
    let target = capacity * knobs.cpu_target.0 / 1000;
    if demand > target {
        found.push(Violation::Cpu { host, demand: MilliCpu(demand), limit: MilliCpu(target) });
    }
}
