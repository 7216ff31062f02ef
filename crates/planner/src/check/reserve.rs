//! The reserves of policy `balanced`, wherever a host is put to sleep: places free and failover when the last one
//! sleeps. The end is what the reserves are for: what a plan holds twice on the way, it holds for the seconds of a move.
//!
//! Whether the VMs of dead hosts can be packed onto the rest has no exact cheap answer, so failover is refused only
//! with a proof: more memory than is free, or more VMs of a size than there are places for that size.

use super::Violation;
use super::graph::Graph;
use dormouse_model::{Action, HostId, HostState, Obstacle, Plan, PolicyName, Snapshot, StepId};

/// Sizes for which places are counted, of all that occur. Each costs a pass over the hosts.
const SIZES_MAX: usize = 64;

pub(super) fn check(
    before: &Snapshot,
    after: &Snapshot,
    plan: &Plan,
    graph: &mut Graph<'_>,
    found: &mut Vec<Violation>,
) {
    let last_sleep = plan.steps.iter().rev().find(|step| matches!(step.action, Action::Sleep { .. }));
    let (Some(step), PolicyName::Balanced) = (last_sleep, plan.policy) else { return };
    let knobs = &before.cluster.policy.knobs;
    let sites = sites(after, &woken_before_any_sleeps(plan, graph));
    let running = after.vms.iter().filter(|vm| !vm.state.hosts().is_empty());
    let largest = running.map(|vm| vm.spec.mem.0).max().unwrap_or(0);
    if largest > 0 {
        // VMs that went lately are counted as so many of the largest.
        let back = before.lull.0.div_ceil(largest);
        let wanted = u64::from(knobs.spare_target.max(knobs.spare_min)).saturating_add(back);
        let places =
            sites.iter().fold(0u64, |sum, site| sum.saturating_add(site.places(largest).min(site.slots)));
        if places < wanted {
            found.push(Violation::Spare { step: step.id, free: places, wanted });
        }
    }
    let deaths = knobs.failover as usize;
    if deaths > 0 && (too_much_at_once(&sites, deaths) || too_many_of_a_size(&sites, deaths)) {
        found.push(Violation::Failover { hosts: knobs.failover });
    }
}

/// A host that takes VMs when all is done, or one that takes none and may die with its own.
struct Site {
    /// Memory that is free for VMs, and what each takes beyond its own.
    free: u64,
    overhead: u64,
    slots: u64,
    /// Sizes of the VMs that would be lost with it, largest first, without what the host adds.
    vms: Vec<u64>,
}

impl Site {
    /// How many VMs of that size it has memory for. A VM without memory has a place anywhere.
    fn places(&self, size: u64) -> u64 {
        self.free.checked_div(size.saturating_add(self.overhead)).unwrap_or(u64::MAX)
    }
}

/// Hosts that are certainly up by the time that the first goes to sleep: no failed wake leaves the reserves short.
fn woken_before_any_sleeps(plan: &Plan, graph: &mut Graph<'_>) -> Vec<HostId> {
    let wakes = plan.steps.iter().filter_map(|step| match step.action {
        Action::Wake { host } => Some((step.id, host)),
        _ => None,
    });
    let wakes: Vec<(StepId, HostId)> = wakes.collect();
    let Some((earliest, _)) = wakes.first() else { return vec![] };
    let mut up = wakes.clone();
    for step in plan.steps.iter().filter(|step| matches!(step.action, Action::Sleep { .. })) {
        graph.ask(step.id, *earliest);
        up.retain(|(wake, _)| graph.over(*wake));
        if up.is_empty() {
            break;
        }
    }
    up.into_iter().map(|(_, host)| host).collect()
}

fn sites(after: &Snapshot, woken: &[HostId]) -> Vec<Site> {
    let open = |id: HostId| {
        let host = after.host(id);
        let busy = |it: &Obstacle| matches!(it, Obstacle::Block(_) | Obstacle::BackOff { .. });
        let at_rest =
            host.held.is_some() || host.maintenance || host.drain || host.obstacles.iter().any(busy);
        host.state == HostState::On && (host.load15.is_known() || woken.contains(&id)) && !at_rest
    };
    let on = |id: HostId| after.host(id).state == HostState::On;
    // Memory with overhead, number of VMs, and the VMs that are certainly there.
    let mut used: Vec<(u64, u64, Vec<u64>)> = vec![(0, 0, vec![]); after.hosts.len()];
    for vm in &after.vms {
        for host in vm.state.hosts() {
            let Some((mem, count, vms)) = used.get_mut(host.index()) else { continue };
            let spec = &after.host(host).spec;
            *mem = mem.saturating_add(vm.spec.mem.0.saturating_add(spec.overhead.0));
            *count += 1;
            // Where a VM may be is no proof that it would be lost there.
            vms.extend(vm.state.host().map(|_| vm.spec.mem.0));
        }
    }
    let site = |id: HostId| {
        let spec = &after.host(id).spec;
        let (mem, count, vms) = &mut used[id.index()];
        let mut vms = std::mem::take(vms);
        vms.sort_unstable_by(|a, b| b.cmp(a));
        Site {
            free: if open(id) { spec.mem.0.saturating_sub(spec.reserve.0).saturating_sub(*mem) } else { 0 },
            overhead: spec.overhead.0,
            slots: spec.slots.map_or(u64::MAX, |slots| u64::from(slots).saturating_sub(*count)),
            vms,
        }
    };
    after.host_ids().filter(|id| on(*id)).map(site).collect()
}

/// The hosts that hurt most, those with the most memory used and free together, carry more than is free on the rest.
fn too_much_at_once(sites: &[Site], deaths: usize) -> bool {
    let all_free: u128 = sites.iter().map(|site| u128::from(site.free)).sum();
    let used = |site: &Site| site.vms.iter().map(|size| u128::from(*size)).sum::<u128>();
    let mut hurt: Vec<u128> = sites.iter().map(|site| used(site) + u128::from(site.free)).collect();
    hurt.sort_unstable_by(|a, b| b.cmp(a));
    hurt.into_iter().take(deaths).sum::<u128>() > all_free
}

/// Some host carries more VMs of a size or above than the others have places for that size. With one host dead this
/// is tried for each; more that die at once are no less.
fn too_many_of_a_size(sites: &[Site], deaths: usize) -> bool {
    let mut sizes: Vec<u64> = sites.iter().flat_map(|site| site.vms.iter().copied()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let stride = sizes.len().div_ceil(SIZES_MAX).max(1);
    // The largest first: it is the one that finds no place.
    sizes.iter().rev().step_by(stride).filter(|size| **size > 0).any(|size| {
        let places: Vec<u128> = sites.iter().map(|site| u128::from(site.places(*size))).collect();
        let all: u128 = places.iter().sum();
        let lost = |site: &Site| site.vms.partition_point(|other| other >= size) as u128;
        let mut hurt: Vec<u128> =
            sites.iter().zip(&places).map(|(site, places)| lost(site) + places).collect();
        hurt.sort_unstable_by(|a, b| b.cmp(a));
        hurt.into_iter().take(deaths).sum::<u128>() > all
    })
}
