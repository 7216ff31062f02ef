//! Opening: all hosts up, each clone home, a VM for each host as far as there are VMs. Both policies open like this.
//!
//! CPU is not looked at: a clone goes to where its users sit, and every other move goes to an empty host.

use crate::draft::Draft;
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{Because, HostId, RefusalReason, VmId};
use std::cmp::Reverse;
use std::collections::BTreeSet;

pub(crate) fn spread(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft, wake_off: bool) {
    super::drain(picture, layout, draft);
    for host in picture.host_ids() {
        let view = picture.host(host);
        let asleep = view.wakeable || (wake_off && view.wakeable_off);
        if asleep && !layout.takes[host.index()] {
            layout.open(host);
            draft.wakes.push((host, Because::Opening));
        }
    }
    go_home(picture, layout, draft);
    one_for_each(picture, layout, draft);
}

/// Every clone whose home is up goes there. Homes may be full now and free once others have gone home too, so room is
/// looked at only when nobody is left to leave; who then finds none stays.
fn go_home(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    let mut waiting: Vec<(VmId, HostId)> = vec![];
    for index in 0..picture.vms.len() {
        let vm = VmId::at(index);
        let (Some(at), Some(home)) = (layout.at[index], picture.vm(vm).home) else { continue };
        if at == home || !layout.takes[home.index()] {
            continue;
        }
        if let Some(why) = blocked(picture, layout, vm, at) {
            draft.refuse_vm(vm, why);
        } else {
            waiting.push((vm, home));
        }
    }
    // All leave, then enter one by one: who cannot enter goes back, which may turn away the next.
    let origin = layout.clone();
    for (vm, _) in &waiting {
        layout.leave(picture, *vm);
    }
    let mut staying: BTreeSet<VmId> = BTreeSet::new();
    loop {
        let mut trial = layout.clone();
        for vm in &staying {
            let back = origin.at[vm.index()].expect("it left from there");
            trial.put(picture, *vm, back);
        }
        let mut turned_away = None;
        for (vm, home) in waiting.iter().filter(|(vm, _)| !staying.contains(vm)) {
            let load = picture.load_of(*vm);
            match trial.fits(picture, &[*vm], load, *home, Cpu::Ignored) {
                Ok(()) => trial.put(picture, *vm, *home),
                Err(_) => {
                    let best = trial.free(picture, *home);
                    draft.refuse_vm(*vm, RefusalReason::NoMemory { asked: load.mem, best });
                    turned_away = Some(*vm);
                    break;
                }
            }
        }
        match turned_away {
            Some(vm) => _ = staying.insert(vm),
            None => {
                *layout = trial;
                break;
            }
        }
    }
    for (vm, _) in waiting.iter().filter(|(vm, _)| !staying.contains(vm)) {
        draft.explain(*vm, Because::Home);
    }
}

/// Hosts without a VM get one from those with most; a clone that is at home stays there.
fn one_for_each(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    let empty = picture.host_ids().filter(|host| layout.takes[host.index()] && layout.load(*host).count == 0);
    for to in empty.collect::<Vec<_>>() {
        let mut donors: Vec<HostId> = picture
            .host_ids()
            .filter(|host| picture.host(*host).gives && layout.load(*host).count > 1)
            .collect();
        donors.sort_by_key(|host| (Reverse(layout.load(*host).count), *host));
        let given = donors.iter().find_map(|from| {
            let mut vms = layout.vms_on(*from);
            vms.retain(|vm| {
                picture.vm(*vm).home != Some(*from)
                    && draft.reason(*vm).is_none()
                    && blocked(picture, layout, *vm, *from).is_none()
                    && layout.fits(picture, &[*vm], picture.load_of(*vm), to, Cpu::Ignored).is_ok()
            });
            // Those without a home first: the others only wait for theirs.
            vms.into_iter().min_by_key(|vm| {
                let view = picture.vm(*vm);
                (view.home.is_some(), view.mem, *vm)
            })
        });
        if let Some(vm) = given {
            layout.put(picture, vm, to);
            draft.explain(vm, Because::Spreads);
        }
    }
}

/// Why a VM cannot move alone, if so.
fn blocked(picture: &Picture<'_>, layout: &Layout, vm: VmId, at: HostId) -> Option<RefusalReason> {
    if !picture.host(at).gives {
        return Some(RefusalReason::NotSeen);
    }
    if picture.unit(vm).len() > 1 {
        return Some(RefusalReason::Gather);
    }
    if let Some(why) = picture.rooted(&[vm], false) {
        return Some(why);
    }
    let home = picture.vm(vm).home.filter(|home| layout.takes[home.index()]);
    let rule = home.and_then(|home| layout.rules_allow(picture, vm, home).err());
    match rule {
        Some(crate::layout::Misfit::Rule) => Some(RefusalReason::Rule),
        Some(crate::layout::Misfit::CpuGroup) => Some(RefusalReason::CpuGroup),
        _ => None,
    }
}
