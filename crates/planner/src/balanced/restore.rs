//! Wakes hosts where a reserve is short: `min_on`, `spare.min`, `failover`. Hosts that are waking already count as up.

use super::target;
use crate::draft::Draft;
use crate::layout::Layout;
use crate::picture::Picture;
use crate::reserve;
use dormouse_model::{Because, HostId, HostState, RefusalReason, VmId};

pub(super) fn restore(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    let mut soon = layout.clone();
    for host in picture.host_ids().filter(|host| picture.host(*host).state == HostState::Waking) {
        soon.open(host);
    }
    min_on(picture, layout, &mut soon, draft);
    spare(picture, layout, &mut soon, draft);
    failover(picture, layout, &mut soon, draft);
}

fn wake(layout: &mut Layout, soon: &mut Layout, draft: &mut Draft, host: HostId, because: Because) {
    layout.open(host);
    soon.open(host);
    draft.wakes.push((host, because));
}

fn min_on(picture: &Picture<'_>, layout: &mut Layout, soon: &mut Layout, draft: &mut Draft) {
    let count = picture.knobs.min_on;
    while soon.up.iter().filter(|up| **up).count() < count as usize {
        let Some(host) = target::sleeper(picture, soon, |_| true) else { return };
        wake(layout, soon, draft, host, Because::MinOn { count });
    }
}

fn spare(picture: &Picture<'_>, layout: &mut Layout, soon: &mut Layout, draft: &mut Draft) {
    let wanted = picture.knobs.spare_min;
    loop {
        let free = reserve::places(picture, soon);
        if free >= u64::from(wanted) {
            return;
        }
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        match target::sleeper(picture, soon, |host| reserve::places_on(picture, soon, host) > 0) {
            Some(host) => wake(layout, soon, draft, host, Because::Spare { free, wanted }),
            None => {
                let largest =
                    |vm: &VmId| picture.vm(*vm).mem == picture.largest && soon.at[vm.index()].is_some();
                if let Some(vm) = (0..picture.vms.len()).map(VmId::at).find(largest) {
                    draft.refuse_vm(vm, RefusalReason::NothingToWake);
                }
                return;
            }
        }
    }
}

/// Wakes only if that brings the failover back: a host too large to be replaced keeps nobody else awake.
fn failover(picture: &Picture<'_>, layout: &mut Layout, soon: &mut Layout, draft: &mut Draft) {
    let mut trial = soon.clone();
    let mut woken = vec![];
    while !reserve::failover_holds(picture, &trial) {
        let Some(host) = target::sleeper(picture, &trial, |_| true) else { return };
        trial.open(host);
        woken.push(host);
    }
    for host in woken {
        wake(layout, soon, draft, host, Because::Failover { hosts: picture.knobs.failover });
    }
}
