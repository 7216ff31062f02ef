//! Which VM is where while a plan takes shape, and whether it could be somewhere else.
//!
//! A layout is a thought: it is copied, tried and thrown away. Nothing here knows what a plan is for.

use crate::picture::{Load, Picture};
use dormouse_model::{HostId, Mib, VmId, VmState};
use std::collections::BTreeMap;

#[derive(Clone)]
pub(crate) struct Layout {
    /// The one host of each VM; `None`: nowhere, or not certain.
    pub(crate) at: Vec<Option<HostId>>,
    pub(crate) load: Vec<Load>,
    /// VMs with a certain place, by host, in no order that may matter: each host's first, and each VM's neighbours.
    /// Chains rather than lists, so that a copy is a few plain blocks of memory.
    first: Vec<u32>,
    links: Vec<Link>,
    /// May take VMs, with what this plan wakes.
    pub(crate) takes: Vec<bool>,
    /// Counts for the reserves: those that take VMs, and those that take none only in this plan.
    pub(crate) up: Vec<bool>,
    /// How many VMs of a spread group are on a host.
    spread: BTreeMap<(u32, u32), u32>,
}

#[derive(Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

/// The end of a chain.
const END: u32 = u32::MAX;

/// Which CPU demand a host is judged by when it is to take a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cpu {
    /// For hours: both bands up to `cpu.target`, or the next blip would undo it.
    Settled,
    /// For now: the wake band up to `cpu.target`.
    Urgent,
    /// Not looked at: policy `seed`, and clones that go home.
    Ignored,
}

/// Why a host cannot take these VMs; the later, the nearer it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Misfit {
    Host,
    Rule,
    CpuGroup,
    Spread,
    Memory,
    Slot,
    Cpu,
}

impl Layout {
    pub(crate) fn of(picture: &Picture<'_>) -> Self {
        let hosts = picture.hosts.len();
        let mut layout = Self {
            at: vec![None; picture.vms.len()],
            load: vec![Load::default(); hosts],
            first: vec![END; hosts],
            links: vec![Link { before: END, after: END }; picture.vms.len()],
            takes: picture.hosts.iter().map(|host| host.takes).collect(),
            up: picture.hosts.iter().map(|host| host.takes).collect(),
            spread: BTreeMap::new(),
        };
        for (index, vm) in picture.snapshot.vms.iter().enumerate() {
            let id = VmId::at(index);
            match &vm.state {
                VmState::Running { at } | VmState::Paused { at } => layout.enter(picture, id, *at),
                // Wherever it may be, it counts.
                uncertain => {
                    for host in uncertain.hosts() {
                        layout.occupy(picture, id, host);
                    }
                }
            }
        }
        layout
    }

    /// The VM takes room here, wherever else it may be: a move holds both ends while it runs.
    pub(crate) fn occupy(&mut self, picture: &Picture<'_>, vm: VmId, host: HostId) {
        self.load[host.index()].add(picture.load_of(vm));
        for group in picture.spread_of(vm) {
            *self.spread.entry((*group, host.0)).or_insert(0) += 1;
        }
    }

    /// Ends what `occupy` began.
    pub(crate) fn vacate(&mut self, picture: &Picture<'_>, vm: VmId, host: HostId) {
        self.load[host.index()].sub(picture.load_of(vm));
        for group in picture.spread_of(vm) {
            if let Some(count) = self.spread.get_mut(&(*group, host.0)) {
                *count -= 1;
            }
        }
    }

    fn enter(&mut self, picture: &Picture<'_>, vm: VmId, host: HostId) {
        self.at[vm.index()] = Some(host);
        let first = std::mem::replace(&mut self.first[host.index()], vm.0);
        self.links[vm.index()] = Link { before: END, after: first };
        if first != END {
            self.links[first as usize].before = vm.0;
        }
        self.occupy(picture, vm, host);
    }

    pub(crate) fn leave(&mut self, picture: &Picture<'_>, vm: VmId) {
        let Some(host) = self.at[vm.index()].take() else { return };
        let Link { before, after } = self.links[vm.index()];
        match before {
            END => self.first[host.index()] = after,
            before => self.links[before as usize].after = after,
        }
        if after != END {
            self.links[after as usize].before = before;
        }
        self.vacate(picture, vm, host);
    }

    pub(crate) fn put(&mut self, picture: &Picture<'_>, vm: VmId, to: HostId) {
        self.leave(picture, vm);
        self.enter(picture, vm, to);
    }

    /// Opens a host that is woken.
    pub(crate) fn open(&mut self, host: HostId) {
        self.takes[host.index()] = true;
        self.up[host.index()] = true;
    }

    /// Closes a host that goes to sleep.
    pub(crate) fn close(&mut self, host: HostId) {
        self.takes[host.index()] = false;
        self.up[host.index()] = false;
    }

    pub(crate) fn put_all(&mut self, picture: &Picture<'_>, vms: &[VmId], to: HostId) {
        for vm in vms {
            self.put(picture, *vm, to);
        }
    }

    /// VMs with a certain place here, by id.
    pub(crate) fn vms_on(&self, host: HostId) -> Vec<VmId> {
        let mut vms: Vec<VmId> = self.each_on(host).collect();
        vms.sort_unstable();
        vms
    }

    /// The same in no order that may matter.
    pub(crate) fn each_on(&self, host: HostId) -> impl Iterator<Item = VmId> + '_ {
        let vm = |at: u32| (at != END).then_some(VmId(at));
        std::iter::successors(vm(self.first[host.index()]), move |at| vm(self.links[at.index()].after))
    }

    pub(crate) fn load(&self, host: HostId) -> Load {
        self.load[host.index()]
    }

    pub(crate) fn used(&self, picture: &Picture<'_>, host: HostId) -> Mib {
        picture.host(host).mem_of(self.load(host))
    }

    pub(crate) fn free(&self, picture: &Picture<'_>, host: HostId) -> Mib {
        picture.host(host).mem.saturating_sub(self.used(picture, host))
    }

    /// Room for this load, rules aside.
    pub(crate) fn has_room(
        &self,
        picture: &Picture<'_>,
        load: Load,
        to: HostId,
        cpu: Cpu,
    ) -> Result<(), Misfit> {
        let host = picture.host(to);
        let mut after = self.load(to);
        after.add(load);
        if host.mem_of(after) > host.mem {
            return Err(Misfit::Memory);
        }
        if after.count > host.slots {
            return Err(Misfit::Slot);
        }
        let cool = match cpu {
            Cpu::Settled => after.sleep <= host.cpu_target && after.wake <= host.cpu_target,
            Cpu::Urgent => after.wake <= host.cpu_target,
            Cpu::Ignored => true,
        };
        if cool { Ok(()) } else { Err(Misfit::Cpu) }
    }

    /// Could these VMs, which move together, be on that host?
    pub(crate) fn fits(
        &self,
        picture: &Picture<'_>,
        unit: &[VmId],
        load: Load,
        to: HostId,
        cpu: Cpu,
    ) -> Result<(), Misfit> {
        if !self.takes[to.index()] {
            return Err(Misfit::Host);
        }
        self.has_room(picture, load, to, cpu)?;
        unit.iter().try_for_each(|vm| self.rules_allow(picture, *vm, to))
    }

    /// Pin, ban, fence, networks, CPU group and spread.
    pub(crate) fn rules_allow(&self, picture: &Picture<'_>, vm: VmId, to: HostId) -> Result<(), Misfit> {
        if !picture.allows(vm, to) {
            return Err(Misfit::Rule);
        }
        if !picture.same_cpu(vm, to) {
            return Err(Misfit::CpuGroup);
        }
        if self.meets_none(picture, vm, to) { Ok(()) } else { Err(Misfit::Spread) }
    }

    /// No other VM of its spread groups is there.
    pub(crate) fn meets_none(&self, picture: &Picture<'_>, vm: VmId, to: HostId) -> bool {
        let itself = u32::from(self.at[vm.index()] == Some(to));
        let others = |group: &u32| self.spread.get(&(*group, to.0)).is_some_and(|count| *count > itself);
        !picture.spread_of(vm).iter().any(others)
    }
}
