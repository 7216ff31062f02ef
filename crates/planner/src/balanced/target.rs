//! Where VMs that have to leave can go: an awake host, else a host worth waking, else a reason.

use super::relieve::in_order_of_use;
use crate::draft::Draft;
use crate::layout::{Cpu, Layout, Misfit};
use crate::picture::{Load, Picture};
use dormouse_model::{Because, HostId, HostState, Mib, RefusalReason, VmId};

/// Of the hosts that can take these VMs the one that is least by `rank`; ties go to the first in the text.
pub(super) fn best<K: Ord>(
    picture: &Picture<'_>,
    layout: &Layout,
    unit: &[VmId],
    cpu: Cpu,
    rank: impl Fn(HostId) -> K,
) -> Option<HostId> {
    let load = picture.load_of_all(unit);
    let from = unit.first().and_then(|vm| layout.at[vm.index()]);
    picture
        .host_ids()
        .filter(|host| Some(*host) != from && layout.fits(picture, unit, load, *host, cpu).is_ok())
        .min_by_key(|host| (rank(*host), *host))
}

/// The sleeping host that is best woken for these VMs: rested, then least watts, then soonest up.
pub(super) fn sleeper(
    picture: &Picture<'_>,
    layout: &Layout,
    suits: impl Fn(HostId) -> bool,
) -> Option<HostId> {
    let min_down = picture.knobs.scaled(picture.knobs.min_down);
    picture
        .host_ids()
        .filter(|host| picture.host(*host).wakeable && !layout.up[host.index()] && suits(*host))
        .min_by_key(|host| {
            let (view, seen) = (picture.host(*host), picture.snapshot.host(*host));
            (seen.in_state < min_down, view.idle.saturating_sub(view.asleep), seen.spec.boot, *host)
        })
}

/// Room and rules on a host, whether it takes VMs yet or not.
pub(super) fn would_suit(
    picture: &Picture<'_>,
    layout: &Layout,
    unit: &[VmId],
    load: Load,
    host: HostId,
    cpu: Cpu,
) -> bool {
    layout.has_room(picture, load, host, cpu).is_ok()
        && unit.iter().all(|vm| layout.rules_allow(picture, *vm, host).is_ok())
}

/// A host that is already waking will do, so no other is woken for these.
pub(super) fn will_be_up(picture: &Picture<'_>, layout: &Layout, unit: &[VmId], cpu: Cpu) -> bool {
    let load = picture.load_of_all(unit);
    picture.host_ids().any(|host| {
        picture.host(host).state == HostState::Waking && would_suit(picture, layout, unit, load, host, cpu)
    })
}

/// Wakes a host that suits these VMs.
pub(super) fn wake_for(
    picture: &Picture<'_>,
    layout: &mut Layout,
    draft: &mut Draft,
    unit: &[VmId],
    cpu: Cpu,
) -> Option<HostId> {
    let load = picture.load_of_all(unit);
    let host = sleeper(picture, layout, |host| would_suit(picture, layout, unit, load, host, cpu))?;
    layout.open(host);
    draft.wakes.push((host, Because::NoRoom));
    Some(host)
}

/// Would one of these hosts, once asleep, be woken again for a VM that has to leave its host and cannot now?
pub(super) fn would_wake_one_of(picture: &Picture<'_>, layout: &Layout, asleep: &[HostId]) -> bool {
    let suits = |unit: &[VmId]| {
        let load = picture.load_of_all(unit);
        asleep.iter().any(|sleeper| would_suit(picture, layout, unit, load, *sleeper, Cpu::Urgent))
    };
    picture.host_ids().filter(|host| picture.host(*host).gives).any(|host| {
        let view = picture.host(host);
        if view.drain {
            let movable = |vm: &VmId| picture.rooted(picture.unit(*vm), true).is_none();
            layout.vms_on(host).into_iter().filter(movable).any(|vm| suits(picture.unit(vm)))
        } else if view.state.is_usable() && layout.load(host).wake > view.cpu_high {
            in_order_of_use(picture, layout, host).into_iter().any(suits)
        } else {
            false
        }
    })
}

/// Why no awake host can take these VMs: the reason of the host that came nearest to it.
pub(super) fn why_not(picture: &Picture<'_>, layout: &Layout, unit: &[VmId], cpu: Cpu) -> RefusalReason {
    let load = picture.load_of_all(unit);
    let from = unit.first().and_then(|vm| layout.at[vm.index()]);
    let mut nearest = Misfit::Host;
    let mut best_free = Mib::ZERO;
    let mut fits_some_host = false;
    for host in picture.host_ids().filter(|host| Some(*host) != from) {
        fits_some_host |= picture.host(host).mem_of(load) <= picture.host(host).mem;
        if !layout.takes[host.index()] {
            continue;
        }
        let misfit = match unit.iter().find_map(|vm| layout.rules_allow(picture, *vm, host).err()) {
            Some(rule) => rule,
            None => {
                best_free = best_free.max(layout.free(picture, host));
                layout.has_room(picture, load, host, cpu).err().unwrap_or(Misfit::Host)
            }
        };
        nearest = nearest.max(misfit);
    }
    match nearest {
        _ if !fits_some_host => RefusalReason::Unplaceable,
        _ if unit.len() > 1 => RefusalReason::Gather,
        Misfit::Host | Misfit::Memory => RefusalReason::NoMemory { asked: load.mem, best: best_free },
        Misfit::Rule => picture.barred(unit[0]),
        Misfit::CpuGroup => RefusalReason::CpuGroup,
        Misfit::Spread => RefusalReason::Spread,
        Misfit::Slot => RefusalReason::NoSlot,
        Misfit::Cpu => RefusalReason::NoCpu,
    }
}
