//! Ends overloads: as few VMs as possible leave each host whose demand of these minutes is above `load.high`.
//!
//! What [`fewest()`] finds is taken; where it finds nothing, one VM after the other goes, and what can be ended is ended.
//! A target is judged after the move and stays at or below `cpu.target`, so no overload is passed on. Where nothing
//! fits a host is woken, unless one is waking already.

use super::fewest::fewest;
use super::target;
use crate::draft::Draft;
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{Because, HostId, MilliCpu, RefusalReason, VmId};
use std::cmp::Reverse;

pub(super) fn relieve(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    let mut over: Vec<HostId> = picture
        .host_ids()
        .filter(|host| {
            picture.host(*host).state.is_usable() && layout.load(*host).wake > picture.host(*host).cpu_high
        })
        .collect();
    over.sort_by_key(|host| (Reverse(layout.load(*host).wake.share_of(picture.host(*host).cpu)), *host));
    // Who has too much takes nothing in this plan, whatever room the relief leaves.
    for host in &over {
        layout.takes[host.index()] = false;
    }
    if let Some(moves) = fewest(picture, layout, &over) {
        for (unit, host) in moves {
            unit.iter().for_each(|vm| draft.explain(*vm, Because::Relieves { host }));
        }
        return;
    }
    for host in over {
        while layout.load(host).wake > picture.host(host).cpu_high && shed_one(picture, layout, draft, host) {
        }
    }
}

/// Moves one unit away; false when nothing more can be done for this host.
fn shed_one(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft, host: HostId) -> bool {
    if !picture.host(host).gives {
        draft.refuse_host(host, RefusalReason::NotSeen);
        return false;
    }
    let units = in_order_of_use(picture, layout, host);
    let coolest = |to: HostId| layout.load(to).wake.share_of(picture.host(to).cpu);
    let found = units
        .iter()
        .find_map(|unit| target::best(picture, layout, unit, Cpu::Urgent, coolest).map(|to| (*unit, to)));
    let (unit, to) = match found {
        Some(found) => found,
        None if units.iter().any(|unit| target::will_be_up(picture, layout, unit, Cpu::Urgent)) => {
            return false;
        }
        None => {
            let woken = units.iter().find_map(|unit| {
                target::wake_for(picture, layout, draft, unit, Cpu::Urgent).map(|to| (*unit, to))
            });
            let Some(woken) = woken else {
                let any_asleep = picture.hosts.iter().any(|view| view.wakeable);
                let why = if any_asleep || units.len() < 2 {
                    RefusalReason::NoCpu
                } else {
                    RefusalReason::NothingToWake
                };
                draft.refuse_host(host, why);
                return false;
            };
            woken
        }
    };
    layout.put_all(picture, unit, to);
    unit.iter().for_each(|vm| draft.explain(*vm, Because::Relieves { host }));
    true
}

/// First those of which one alone ends the overload, smallest memory first; then the others, most demand first.
pub(super) fn in_order_of_use<'p>(
    picture: &'p Picture<'_>,
    layout: &Layout,
    host: HostId,
) -> Vec<&'p [VmId]> {
    let excess = layout.load(host).wake.saturating_sub(picture.host(host).cpu_high);
    let mut units: Vec<&[VmId]> = layout
        .vms_on(host)
        .into_iter()
        .filter(|vm| picture.unit(*vm).first() == Some(vm))
        .map(|vm| picture.unit(vm))
        .filter(|unit| picture.rooted(unit, false).is_none())
        .filter(|unit| picture.load_of_all(unit).wake > MilliCpu::ZERO)
        .collect();
    units.sort_by_key(|unit| {
        let load = picture.load_of_all(unit);
        let enough = load.wake >= excess;
        (!enough, if enough { load.mem.0 } else { u64::MAX - load.wake.0 }, unit.first().copied())
    });
    units
}
