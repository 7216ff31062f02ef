//! A placement while a policy thinks: who would be where, and what would be left.

use super::{Act, Orders, Place, Power, View};
use dormouse_model::{HostId, VmId};

/// What each host would hold.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    /// On or soon on: it may take VMs.
    pub(super) on: Vec<bool>,
    pub(super) used: Vec<u64>,
    pub(super) count: Vec<u32>,
    /// MIPS asked for.
    pub(super) demand: Vec<u64>,
    pub(super) vms: Vec<Vec<VmId>>,
    /// Somebody is on the way there.
    pub(super) awaited: Vec<bool>,
}

impl Sketch {
    pub(super) fn of(view: &View<'_>) -> Self {
        let mut awaited = vec![false; view.hosts.len()];
        for vm in view.vms {
            if let Place::Moving { to, .. } = vm.place {
                awaited[to.index()] = true;
            }
        }
        let demand = |vms: &Vec<VmId>| vms.iter().map(|vm| view.vms[vm.index()].demand).sum();
        Self {
            on: view.hosts.iter().map(|host| matches!(host.power, Power::On | Power::Waking)).collect(),
            used: view.hosts.iter().map(|host| host.used.0).collect(),
            count: view.hosts.iter().map(|host| host.count).collect(),
            demand: view.hosts.iter().map(|host| demand(&host.vms)).collect(),
            vms: view.hosts.iter().map(|host| host.vms.clone()).collect(),
            awaited,
        }
    }

    /// Room for one more by memory and slots, whether it is on or not.
    pub(super) fn fits(&self, view: &View<'_>, vm: VmId, host: HostId) -> bool {
        let (spec, here) = (&view.fleet.machine(host).spec, host.index());
        self.used[here] + (view.vms[vm.index()].mem + spec.overhead).0 <= spec.mem_for_vms().0
            && spec.slots.is_none_or(|slots| self.count[here] < slots)
    }

    pub(super) fn free(&self, view: &View<'_>, host: HostId) -> u64 {
        view.fleet.machine(host).spec.mem_for_vms().0.saturating_sub(self.used[host.index()])
    }

    /// `demand`: what it counts with there.
    pub(super) fn put(&mut self, view: &View<'_>, vm: VmId, host: HostId, demand: u64) {
        let here = host.index();
        self.used[here] += (view.vms[vm.index()].mem + view.fleet.machine(host).spec.overhead).0;
        self.count[here] += 1;
        self.demand[here] += demand;
        self.vms[here].push(vm);
    }

    pub(super) fn take(&mut self, view: &View<'_>, vm: VmId, host: HostId, demand: u64) {
        let here = host.index();
        self.used[here] -= (view.vms[vm.index()].mem + view.fleet.machine(host).spec.overhead).0;
        self.count[here] -= 1;
        self.demand[here] -= demand;
        self.vms[here].retain(|other| *other != vm);
    }
}

/// VMs that should run and have no host.
pub(super) fn waiting(view: &View<'_>) -> Vec<VmId> {
    (0..view.vms.len()).filter(|index| view.vms[*index].place == Place::Waiting).map(VmId::at).collect()
}

/// Wakes hosts for VMs that wait, beyond what hosts that are waking already will take: the first that fits, in the
/// order of `rank`. Tells whether any VM waits.
pub(super) fn wake_for_waiting<K: Ord>(
    view: &View<'_>,
    orders: &mut Orders,
    rank: impl Fn(HostId) -> K,
) -> bool {
    let waiting = waiting(view);
    if waiting.is_empty() {
        return false;
    }
    let mut sketch = Sketch::of(view);
    let mut sleepers: Vec<HostId> = view.fleet.host_ids().filter(|host| !sketch.on[host.index()]).collect();
    sleepers.sort_by_key(|host| (rank(*host), *host));
    for vm in waiting {
        let soon = view.fleet.host_ids().find(|host| sketch.on[host.index()] && sketch.fits(view, vm, *host));
        let to = soon.or_else(|| sleepers.iter().copied().find(|host| sketch.fits(view, vm, *host)));
        let Some(host) = to else { continue };
        if !sketch.on[host.index()] {
            sketch.on[host.index()] = true;
            sleepers.retain(|other| *other != host);
            orders.push(Act::Wake(host), vec![]);
        }
        sketch.put(view, vm, host, view.vms[vm.index()].demand);
    }
    true
}

/// Puts hosts to sleep that are on, would hold nobody, and are not awaited by anyone.
pub(super) fn sleep_empty(view: &View<'_>, sketch: &Sketch, orders: &mut Orders) {
    for host in view.fleet.host_ids() {
        let spec = &view.fleet.machine(host).spec;
        let may = !spec.keep_on && spec.role.is_none() && view.hosts[host.index()].power == Power::On;
        if may && sketch.count[host.index()] == 0 {
            orders.push(Act::Sleep(host), vec![]);
        }
    }
}
