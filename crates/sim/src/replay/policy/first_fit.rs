//! Policy `none`: every VM on the first host that has all it could ever ask for free, and then nothing more.
//!
//! It is the first placement of the literature (NPA, DVFS), and where `emptiest-first` and `seed` begin.

use super::{Orders, Policy, Power, View};
use dormouse_model::{HostId, VmId};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct FirstFit;

impl Policy for FirstFit {
    fn name(&self) -> &str {
        "none"
    }

    fn knobs(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn place(&mut self, view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>> {
        by_limits(view, vms)
    }

    fn plan(&mut self, _: &View<'_>) -> Orders {
        Orders::default()
    }
}

/// In the order of the list, each on the first host with its memory and its full MIPS free; where no host has the MIPS,
/// memory alone decides.
pub(super) fn by_limits(view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>> {
    let mut room = Room::of(view);
    vms.iter()
        .map(|vm| {
            let first =
                |with_mips: bool| view.fleet.host_ids().find(|host| room.fits(view, *vm, *host, with_mips));
            let host = first(true).or_else(|| first(false))?;
            room.take(view, *vm, host);
            Some(host)
        })
        .collect()
}

/// What is left on each host while a placement takes shape.
struct Room {
    mem: Vec<u64>,
    slots: Vec<u32>,
    /// Below zero where VMs could ask for more than there is.
    mips: Vec<i64>,
}

impl Room {
    /// With every VM at all it could ask for.
    fn of(view: &View<'_>) -> Self {
        let mut room = Self { mem: vec![], slots: vec![], mips: vec![] };
        for (machine, now) in view.fleet.machines.iter().zip(view.hosts) {
            let on = now.power == Power::On;
            room.mem.push(if on { machine.spec.mem_for_vms().saturating_sub(now.used).0 } else { 0 });
            let slots = machine.spec.slots.unwrap_or(u32::MAX).saturating_sub(now.count);
            room.slots.push(if on { slots } else { 0 });
            let taken: u64 = now.vms.iter().map(|vm| view.vms[vm.index()].limit).sum();
            room.mips.push(signed(machine.mips) - signed(taken));
        }
        room
    }

    fn fits(&self, view: &View<'_>, vm: VmId, host: HostId, with_mips: bool) -> bool {
        let wanted = &view.vms[vm.index()];
        let overhead = view.fleet.machine(host).spec.overhead;
        self.slots[host.index()] > 0
            && self.mem[host.index()] >= (wanted.mem + overhead).0
            && (!with_mips || self.mips[host.index()] >= signed(wanted.limit))
    }

    fn take(&mut self, view: &View<'_>, vm: VmId, host: HostId) {
        let wanted = &view.vms[vm.index()];
        let overhead = view.fleet.machine(host).spec.overhead;
        self.mem[host.index()] -= (wanted.mem + overhead).0;
        self.slots[host.index()] -= 1;
        self.mips[host.index()] -= signed(wanted.limit);
    }
}

fn signed(mips: u64) -> i64 {
    i64::try_from(mips).unwrap_or(i64::MAX)
}
