//! First placement: where VMs that are nowhere yet should start, on the least watts of hosts.
//!
//! Same constraints and reserves as packing. Nothing that runs is moved, nothing is woken or started here: the caller
//! does that with the answer.

use crate::canon;
use crate::layout::{Cpu, Layout};
use crate::level::level;
use crate::patience::Patience;
use crate::picture::Picture;
use dormouse_model::{HostId, Snapshot, VmId, VmState};
use std::cmp::Reverse;

/// A host for each VM that is stopped, where there is one; for all others the host they are certainly on.
///
/// Hosts count that are on, and those asleep that may be woken.
#[must_use]
pub fn place(snapshot: &Snapshot) -> Vec<Option<HostId>> {
    match canon::ordered(snapshot, &mut Patience::of(&mut || true)) {
        None => place_ordered(snapshot),
        Some((ordered, canon)) => canon.places_back(&place_ordered(&ordered)),
    }
}

fn place_ordered(snapshot: &Snapshot) -> Vec<Option<HostId>> {
    let picture = Picture::of(snapshot);
    let layout = Layout::of(&picture);
    let mut vms: Vec<VmId> =
        snapshot.vm_ids().filter(|vm| matches!(snapshot.vm(*vm).state, VmState::Stopped)).collect();
    vms.sort_by_key(|vm| (Reverse(picture.vm(*vm).mem), Reverse(picture.vm(*vm).sleep), *vm));
    // Those that carry something are on anyway; then the thriftiest for their memory.
    let mut hosts: Vec<HostId> = picture
        .host_ids()
        .filter(|host| layout.takes[host.index()] || picture.host(*host).wakeable)
        .collect();
    hosts.sort_by_cached_key(|host| {
        let view = picture.host(*host);
        let carries = layout.load(*host).count > 0;
        (!carries, u128::from(view.idle.0) * 1_048_576 / u128::from(view.mem.0.max(1)), *host)
    });
    // Who finds no place on all of them finds none on fewer, and does not keep the others waiting.
    let (mut best, _) = on_first(&picture, &layout, &vms, &hosts);
    vms.retain(|vm| best.at[vm.index()].is_some());
    let (mut fails, mut suffices) = (0, hosts.len());
    while fails + 1 < suffices {
        let middle = fails.midpoint(suffices);
        let (placed, all) = on_first(&picture, &layout, &vms, &hosts[..middle]);
        if all {
            (best, suffices) = (placed, middle);
        } else {
            fails = middle;
        }
    }
    level(&picture, &mut best, &vms);
    best.at
}

/// The tightest fit on these hosts, in turn; and whether all found one.
fn on_first(picture: &Picture<'_>, layout: &Layout, vms: &[VmId], hosts: &[HostId]) -> (Layout, bool) {
    let mut layout = layout.clone();
    hosts.iter().for_each(|host| layout.open(*host));
    let mut all = true;
    for vm in vms {
        let load = picture.load_of(*vm);
        let fits = |host: &HostId| layout.fits(picture, &[*vm], load, *host, Cpu::Settled).is_ok();
        let to = hosts
            .iter()
            .copied()
            .filter(fits)
            .min_by_key(|host| (layout.free(picture, *host), layout.load(*host).sleep, *host));
        match to {
            Some(to) => layout.put(picture, *vm, to),
            None => all = false,
        }
    }
    (layout, all)
}
