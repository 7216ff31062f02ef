//! Opening: all hosts up, each clone home, a VM for each host as far as there are VMs. Both policies open like this.
//!
//! CPU is not looked at: a clone goes to where its users sit, and every other move goes to an empty host.

use crate::draft::Draft;
use crate::layout::{Cpu, Layout};
use crate::picture::{Load, Picture};
use dormouse_model::{Because, HostId, RefusalReason, VmId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

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
    // All leave, then enter one by one. Who cannot enter goes back, and if there is no room any more where it came from,
    // the last to have entered there goes back as well.
    let origin = layout.at.clone();
    for (vm, _) in &waiting {
        layout.leave(picture, *vm);
    }
    let mut entered: Vec<Vec<VmId>> = vec![vec![]; picture.hosts.len()];
    let mut back: Vec<(VmId, HostId)> = vec![];
    for (vm, home) in &waiting {
        if layout.fits(picture, &[*vm], picture.load_of(*vm), *home, Cpu::Ignored).is_ok() {
            layout.put(picture, *vm, *home);
            entered[home.index()].push(*vm);
        } else {
            back.push((*vm, *home));
        }
    }
    let mut stays = vec![false; picture.vms.len()];
    back.reverse();
    while let Some((vm, home)) = back.pop() {
        let (asked, best) = (picture.vm(vm).mem, layout.free(picture, home));
        draft.refuse_vm(vm, RefusalReason::NoMemory { asked, best });
        stays[vm.index()] = true;
        let from = origin[vm.index()].expect("it left from there");
        layout.put(picture, vm, from);
        let crowded = |layout: &Layout| {
            layout.has_room(picture, Load::default(), from, Cpu::Ignored).is_err()
                || !layout.meets_none(picture, vm, from)
        };
        while crowded(layout)
            && let Some(last) = entered[from.index()].pop()
        {
            layout.leave(picture, last);
            back.push((last, from));
        }
    }
    for (vm, _) in waiting.iter().filter(|(vm, _)| !stays[vm.index()]) {
        draft.explain(*vm, Because::Home);
    }
}

/// Hosts without a VM get one from those with most; a clone that is at home stays there.
fn one_for_each(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    let empty = picture.host_ids().filter(|host| layout.takes[host.index()] && layout.load(*host).count == 0);
    let empty: Vec<HostId> = empty.collect();
    if empty.is_empty() {
        return;
    }
    // What each could give, best last: those without a home first, since the others only wait for theirs.
    let could_give = |from: HostId| {
        let mut vms = layout.vms_on(from);
        vms.retain(|vm| {
            picture.vm(*vm).home != Some(from)
                && draft.reason(*vm).is_none()
                && blocked(picture, layout, *vm, from).is_none()
        });
        vms.sort_by_key(|vm| Reverse((picture.vm(*vm).home.is_some(), picture.vm(*vm).mem, *vm)));
        vms
    };
    let mut gifts: BTreeMap<HostId, Vec<VmId>> = picture
        .host_ids()
        .filter(|host| picture.host(*host).gives && layout.load(*host).count > 1)
        .map(|host| (host, could_give(host)))
        .filter(|(_, vms)| !vms.is_empty())
        .collect();
    let mut donors: BTreeSet<(Reverse<u32>, HostId)> =
        gifts.keys().map(|host| (Reverse(layout.load(*host).count), *host)).collect();
    for to in empty {
        let fits = |vm: &VmId| layout.fits(picture, &[*vm], picture.load_of(*vm), to, Cpu::Ignored).is_ok();
        let given = donors.iter().find_map(|donor| {
            let vms = &gifts[&donor.1];
            vms.iter().rposition(fits).map(|place| (*donor, place))
        });
        let Some((donor, place)) = given else { continue };
        let from = donor.1;
        let vms = gifts.get_mut(&from).expect("a donor has something to give");
        let vm = vms.remove(place);
        let none_left = vms.is_empty();
        layout.put(picture, vm, to);
        draft.explain(vm, Because::Spreads);
        donors.remove(&donor);
        let count = layout.load(from).count;
        if !none_left && count > 1 {
            donors.insert((Reverse(count), from));
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
        Some(crate::layout::Misfit::Rule) => Some(picture.barred(vm)),
        Some(crate::layout::Misfit::CpuGroup) => Some(RefusalReason::CpuGroup),
        _ => None,
    }
}
