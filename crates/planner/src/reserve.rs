//! The two reserves: places for the largest VM, and room for the VMs of hosts that die.
//!
//! Both are counted by memory (and places by slots too), on hosts that take VMs. CPU is not: a VM that is slow for the
//! minutes of a boot is a nuisance, one that finds no memory is down.

use crate::layout::Layout;
use crate::picture::Picture;
use dormouse_model::{HostId, HostState, Mib, VmId};
use std::cmp::Reverse;

/// Sets of hosts dying together are tried one by one up to so many; above, only the quick proofs count.
const DEATHS_TRIED_MAX: usize = 4096;

/// The VMs of a dead host are first tried on so many others, those with most room.
const ROOMIEST: usize = 64;

/// Places for the largest VM on one host.
pub(crate) fn places_on(picture: &Picture<'_>, layout: &Layout, host: HostId) -> u64 {
    let view = picture.host(host);
    let each = (picture.largest + view.overhead).0;
    let by_mem = layout.free(picture, host).0.checked_div(each).unwrap_or(u64::MAX);
    by_mem.min(u64::from(view.slots.saturating_sub(layout.load(host).count)))
}

/// Places on all hosts that take VMs. Without any VM there is nothing to keep a place for.
pub(crate) fn places(picture: &Picture<'_>, layout: &Layout) -> u64 {
    picture
        .host_ids()
        .filter(|host| layout.up[host.index()])
        .fold(0, |sum, host| u64::saturating_add(sum, places_on(picture, layout, host)))
}

/// May any `failover` of the hosts die at once, and their VMs still fit on the rest of those that take VMs, by memory?
/// A host that takes none, since it is held or in maintenance, may die like any other.
///
/// Says yes only with a proof in hand, quick ones first; a no may be a no of the search.
pub(crate) fn failover_holds(picture: &Picture<'_>, layout: &Layout) -> bool {
    let deaths = picture.knobs.failover as usize;
    if deaths == 0 {
        return true;
    }
    let mut hosts: Vec<HostId> = picture.host_ids().filter(|host| layout.up[host.index()]).collect();
    let mut sites: Vec<Survivor> = hosts.iter().map(|host| Survivor::of(picture, layout, *host)).collect();
    let up = hosts.len();
    for host in picture.host_ids().filter(|host| !layout.up[host.index()] && closed(picture, layout, *host)) {
        sites.push(Survivor { slack: 0, places: 0, ..Survivor::of(picture, layout, host) });
        hosts.push(host);
    }
    let all: Vec<usize> = (0..up).collect();
    let lost_max = |lost: &dyn Fn(&Survivor) -> u64| {
        let mut lost: Vec<u64> = sites.iter().map(lost).collect();
        lost.sort_unstable_by(|a, b| b.cmp(a));
        lost.into_iter().take(deaths).sum::<u64>()
    };
    // A VM finds no host only once each is full but for less than the largest VM.
    let slack: u64 = sites.iter().map(|site| site.slack).sum();
    if lost_max(&|site| site.used + site.slack) <= slack {
        return true;
    }
    let places: u64 = sites.iter().map(|site| site.places).sum();
    if lost_max(&|site| site.count + site.places) <= places {
        return true;
    }
    // One by one: hosts for which neither proof holds alone are laid out for real, first where most is free.
    if deaths == 1 {
        let mut roomiest = all.clone();
        roomiest.sort_by_key(|index| (Reverse(layout.free(picture, hosts[*index])), *index));
        roomiest.truncate(ROOMIEST);
        return (0..hosts.len()).all(|dead| {
            let site = &sites[dead];
            site.used <= slack - site.slack
                || site.count <= places - site.places
                || survives(picture, layout, &hosts, &roomiest, &[dead])
                || (up > ROOMIEST && survives(picture, layout, &hosts, &all, &[dead]))
        });
    }
    let mut dead: Vec<usize> = (0..deaths.min(hosts.len())).collect();
    for _ in 0..DEATHS_TRIED_MAX {
        if !survives(picture, layout, &hosts, &all, &dead) {
            return false;
        }
        if !next_set(&mut dead, hosts.len()) {
            return true;
        }
    }
    false
}

/// Certainly up with VMs of its own, and takes no others.
fn closed(picture: &Picture<'_>, layout: &Layout, host: HostId) -> bool {
    picture.snapshot.host(host).state == HostState::On && layout.load(host).count > 0
}

/// What a host brings in when others die, and what is to be placed when it dies itself.
struct Survivor {
    /// Memory that is certainly filled before a VM is turned away.
    slack: u64,
    places: u64,
    used: u64,
    count: u64,
}

impl Survivor {
    fn of(picture: &Picture<'_>, layout: &Layout, host: HostId) -> Self {
        let load = layout.load(host);
        let each = picture.largest + picture.host(host).overhead;
        let free = layout.free(picture, host);
        Self {
            slack: (free + Mib(1)).saturating_sub(each).0,
            places: free.0.checked_div(each.0).unwrap_or(0),
            used: (load.mem + picture.overhead_max * u64::from(load.count)).0,
            count: u64::from(load.count),
        }
    }
}

/// Lays the VMs of the dead out on these others, largest first, each where it fits most tightly.
fn survives(
    picture: &Picture<'_>,
    layout: &Layout,
    hosts: &[HostId],
    others: &[usize],
    dead: &[usize],
) -> bool {
    let mut vms: Vec<VmId> = dead.iter().flat_map(|index| layout.vms_on(hosts[*index])).collect();
    // One that is on its way, or in doubt, may be lost with either end.
    let dies = |host: &HostId| dead.iter().any(|index| hosts[*index] == *host);
    vms.extend(picture.uncertain.iter().filter(|(host, _)| dies(host)).map(|(_, vm)| *vm));
    vms.sort_unstable_by_key(|vm| (Reverse(picture.vm(*vm).mem), *vm));
    vms.dedup();
    let mut free: Vec<(Mib, Mib)> = others
        .iter()
        .filter(|index| !dead.contains(index))
        .map(|index| (layout.free(picture, hosts[*index]), picture.host(hosts[*index]).overhead))
        .collect();
    vms.into_iter().all(|vm| {
        let mem = picture.vm(vm).mem;
        let tightest = free.iter_mut().filter(|(free, overhead)| mem + *overhead <= *free).min();
        tightest.map(|(free, overhead)| *free = *free - mem - *overhead).is_some()
    })
}

/// The next set of so many indices below `len`, in lexical order.
fn next_set(set: &mut [usize], len: usize) -> bool {
    let size = set.len();
    let Some(turn) = (0..size).rev().find(|at| set[*at] < len - size + at) else { return false };
    set[turn] += 1;
    for at in turn + 1..size {
        set[at] = set[at - 1] + 1;
    }
    true
}
