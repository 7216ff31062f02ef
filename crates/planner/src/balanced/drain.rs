//! Hosts that an operator wants empty: every VM that can go goes, budgets of moves aside. They stay on afterwards.
//!
//! Maintenance alone empties nothing: a host in maintenance is left exactly as it is until its operator also drains it.

use super::target;
use crate::draft::Draft;
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{Because, RefusalReason, VmId};
use std::cmp::Reverse;

pub(crate) fn drain(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    for host in picture.host_ids().filter(|host| picture.host(*host).drain) {
        let mut vms = layout.vms_on(host);
        if !picture.host(host).gives {
            if !vms.is_empty() {
                draft.refuse_host(host, RefusalReason::NotSeen);
            }
            continue;
        }
        vms.sort_by_key(|vm| (Reverse(picture.vm(*vm).mem), *vm));
        for vm in vms {
            // A mate may have taken it along.
            if layout.at[vm.index()] != Some(host) {
                continue;
            }
            let unit = picture.unit(vm);
            if let Some(why) = picture.rooted(unit, true) {
                draft.refuse_vm(vm, why);
            } else if let Some(to) = place(picture, layout, draft, unit) {
                layout.put_all(picture, unit, to);
                unit.iter().for_each(|vm| draft.explain(*vm, Because::Drains { host }));
            } else if !target::will_be_up(picture, layout, unit, Cpu::Urgent) {
                draft.refuse_vm(vm, target::why_not(picture, layout, unit, Cpu::Urgent));
            }
        }
    }
}

/// The tightest fit for the hours to come, else any fit for now, else a host woken for it.
fn place(
    picture: &Picture<'_>,
    layout: &mut Layout,
    draft: &mut Draft,
    unit: &[VmId],
) -> Option<dormouse_model::HostId> {
    let tightness = |host| layout.free(picture, host);
    target::best(picture, layout, unit, Cpu::Settled, tightness)
        .or_else(|| target::best(picture, layout, unit, Cpu::Urgent, tightness))
        .or_else(|| {
            let soon = target::will_be_up(picture, layout, unit, Cpu::Urgent);
            if soon { None } else { target::wake_for(picture, layout, draft, unit, Cpu::Urgent) }
        })
}
