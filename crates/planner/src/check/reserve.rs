//! The reserves of policy `balanced`, wherever a host is put to sleep: places free and failover
//! when the last one sleeps. Hosts that stay on only receive in such a plan (`capacity` would tell), so the end is the worst.

use super::Violation;
use dormouse_model::{Action, HostId, HostState, Obstacle, Plan, PolicyName, Snapshot};

pub(super) fn check(before: &Snapshot, after: &Snapshot, plan: &Plan, found: &mut Vec<Violation>) {
    let last_sleep = plan.steps.iter().rev().find(|step| matches!(step.action, Action::Sleep { .. }));
    let (Some(step), PolicyName::Balanced) = (last_sleep, plan.policy) else { return };
    let knobs = &before.cluster.policy.knobs;
    let open = |host: &HostId| {
        let host = after.host(*host);
        let busy = |it: &Obstacle| matches!(it, Obstacle::Block(_) | Obstacle::BackOff { .. });
        let at_rest =
            host.held.is_some() || host.maintenance || host.drain || host.obstacles.iter().any(busy);
        host.state == HostState::On && host.load15.is_known() && !at_rest
    };
    let hosts: Vec<HostId> = after.host_ids().filter(open).collect();
    let used = use_of_hosts(after);
    let free = |host: &HostId| {
        let spec = &after.host(*host).spec;
        spec.mem.0.saturating_sub(spec.reserve.0).saturating_sub(used[host.index()].0)
    };
    let running = || after.vms.iter().filter(|vm| !vm.state.hosts().is_empty());
    let largest = running().map(|vm| vm.spec.mem.0).max().unwrap_or(0);
    let wanted = u64::from(knobs.spare_target.max(knobs.spare_min));
    if largest > 0 {
        let places: u64 = hosts
            .iter()
            .map(|host| {
                let spec = &after.host(*host).spec;
                let slots = spec
                    .slots
                    .map_or(u64::MAX, |slots| u64::from(slots).saturating_sub(used[host.index()].1));
                (free(host) / (largest + spec.overhead.0)).min(slots)
            })
            .sum();
        if places < wanted {
            found.push(Violation::Spare { step: step.id, free: places, wanted });
        }
    }
    if knobs.failover > 0
        && failover_is_impossible(knobs.failover as usize, &hosts, &|host| used[host.index()].2, &free)
    {
        found.push(Violation::Failover { hosts: knobs.failover });
    }
}

/// Memory with overhead, number of VMs, and memory of the VMs that are certainly there without
/// overhead, on each host.
fn use_of_hosts(picture: &Snapshot) -> Vec<(u64, u64, u64)> {
    let mut used = vec![(0, 0, 0); picture.hosts.len()];
    for vm in &picture.vms {
        for host in vm.state.hosts() {
            let (mem, count, plain) = &mut used[host.index()];
            // Where a VM may be is no proof that it would be lost there.
            *plain += if vm.state.host().is_some() { vm.spec.mem.0 } else { 0 };
            *mem += vm.spec.mem.0 + picture.host(host).spec.overhead.0;
            *count += 1;
        }
    }
    used
}

/// Proof that some set of dying hosts carries more than is free on the rest: the sets of the hosts that hurt most,
/// which are those with the most
/// memory used (what the VMs take elsewhere at least: without overhead) and free together.
fn failover_is_impossible(
    deaths: usize,
    hosts: &[HostId],
    used: &dyn Fn(&HostId) -> u64,
    free: &dyn Fn(&HostId) -> u64,
) -> bool {
    let all_free: u64 = hosts.iter().map(free).sum();
    let mut hurt: Vec<u64> = hosts.iter().map(|host| used(host) + free(host)).collect();
    hurt.sort_unstable_by(|a, b| b.cmp(a));
    hurt.into_iter().take(deaths).sum::<u64>() > all_free
}
