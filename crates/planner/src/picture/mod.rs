//! The dense picture that planning works on: built once from the snapshot, then only read.
//!
//! It settles, host by host and VM by VM, what may be touched at all: who may take VMs, who may give them away, who may
//! sleep and what stands against it, who may move and why not. It decides nothing about what *should* be done.

mod rules;

use crate::patience::Patience;
use dormouse_model::{
    AwakeReason, HostId, HostState, Knobs, Mbps, Mib, MilliCpu, Obstacle, Permille, PolicyName,
    RefusalReason, Snapshot, VmId, VmState, Watts,
};
use rules::{Allowed, NONE, Networks, Rules};
use std::collections::BTreeMap;

/// VMs that are looked at between two questions for patience: some 100 us.
const VMS_AT_ONCE: usize = 2048;

pub(crate) struct Picture<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) knobs: &'a Knobs,
    pub(crate) policy: PolicyName,
    pub(crate) hosts: Vec<HostView>,
    pub(crate) vms: Vec<VmView>,
    /// The largest VM that is somewhere: what a *place* of the reserve is counted in.
    pub(crate) largest: Mib,
    /// The most that any host adds to a VM's memory.
    pub(crate) overhead_max: Mib,
    /// VMs that may be on more than one host, or of which nobody knows: each with each host where it may be.
    pub(crate) uncertain: Vec<(HostId, VmId)>,
    rules: Rules,
}

/// What holds for a host during the whole plan.
pub(crate) struct HostView {
    pub(crate) mem: Mib,
    pub(crate) overhead: Mib,
    pub(crate) slots: u32,
    pub(crate) cpu: MilliCpu,
    /// CPU demand up to which it is filled (`cpu.target`).
    pub(crate) cpu_target: MilliCpu,
    /// CPU demand above which it is overloaded (`load.high`).
    pub(crate) cpu_high: MilliCpu,
    pub(crate) cpu_group: u32,
    pub(crate) link: Mbps,
    pub(crate) idle: Watts,
    pub(crate) busy: Watts,
    pub(crate) asleep: Watts,
    pub(crate) state: HostState,
    /// May take VMs now.
    pub(crate) takes: bool,
    /// Its VMs may be moved away.
    pub(crate) gives: bool,
    /// An operator is emptying it.
    pub(crate) drain: bool,
    /// What stands against putting it to sleep, whatever is moved.
    pub(crate) stays: Option<AwakeReason>,
    /// Put to sleep by us and nothing stands against waking it.
    pub(crate) wakeable: bool,
    /// The same for a host switched off by someone else.
    pub(crate) wakeable_off: bool,
}

/// What holds for a VM during the whole plan.
pub(crate) struct VmView {
    pub(crate) mem: Mib,
    pub(crate) sleep: MilliCpu,
    pub(crate) wake: MilliCpu,
    pub(crate) home: Option<HostId>,
    /// Why it cannot move, if so.
    pub(crate) fixed: Option<RefusalReason>,
    /// Moves that its budget still allows.
    pub(crate) moves_left: u32,
    /// The CPU group of the host that it is certainly on.
    pub(crate) cpu_group: u32,
    /// Where pin, ban and fence allow it: a place in the table of rules, or none.
    allowed: u32,
    /// Its `spread` groups and its unit: spans of the tables.
    spread: (u32, u32),
    unit: (u32, u32),
}

/// Memory, CPU and number of VMs: on a host, or of VMs that move together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Without the host's overhead per VM.
    pub(crate) mem: Mib,
    pub(crate) sleep: MilliCpu,
    pub(crate) wake: MilliCpu,
    pub(crate) count: u32,
}

impl Load {
    pub(crate) fn add(&mut self, other: Self) {
        self.mem += other.mem;
        self.sleep += other.sleep;
        self.wake += other.wake;
        self.count += other.count;
    }

    pub(crate) fn sub(&mut self, other: Self) {
        self.mem -= other.mem;
        self.sleep -= other.sleep;
        self.wake -= other.wake;
        self.count -= other.count;
    }
}

fn uncertain(snapshot: &Snapshot) -> Vec<(HostId, VmId)> {
    let certain = |state: &VmState| matches!(state, VmState::Running { .. } | VmState::Paused { .. });
    let vms = snapshot.vms.iter().enumerate().filter(|(_, vm)| !certain(&vm.state));
    vms.flat_map(|(index, vm)| vm.state.hosts().into_iter().map(move |host| (host, VmId::at(index))))
        .collect()
}

/// A share of a capacity, rounded down; shares above 1 stay shares.
pub(crate) fn share(whole: MilliCpu, of: Permille) -> MilliCpu {
    let part = u128::from(whole.0) * u128::from(of.0) / 1000;
    MilliCpu(u64::try_from(part).unwrap_or(u64::MAX))
}

impl<'a> Picture<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot) -> Self {
        Self::within(snapshot, &mut Patience::of(&mut || true)).expect("this patience never ends")
    }

    /// The same, unless patience ends before it is done.
    pub(crate) fn within(snapshot: &'a Snapshot, patience: &mut Patience<'_>) -> Option<Self> {
        let policy = &snapshot.cluster.policy;
        let mut cpu_groups: BTreeMap<Option<&str>, u32> = BTreeMap::new();
        let hosts: Vec<HostView> = snapshot
            .hosts
            .iter()
            .map(|host| {
                let next = u32::try_from(cpu_groups.len()).expect("fewer than 2^32 groups");
                let cpu_group = *cpu_groups.entry(host.spec.cpu_group.as_deref()).or_insert(next);
                HostView::of(host, cpu_group, policy.name, &policy.knobs)
            })
            .collect();
        let mut rules = Rules::default();
        let mut networks = Networks::of(snapshot);
        let mut vms: Vec<VmView> = Vec::with_capacity(snapshot.vms.len());
        for chunk in snapshot.vms.chunks(VMS_AT_ONCE) {
            vms.extend(chunk.iter().map(|vm| {
                let lacking = networks.lacking(&vm.spec.devices);
                let at = vm.state.host();
                let allowed = if vm.barred.is_empty() {
                    rules.enter(&vm.spec.pin, &vm.spec.ban, lacking, at)
                } else {
                    // As long as it rests, a way that failed is no other than a ban.
                    let barred = vm.barred.iter().map(|barred| barred.to);
                    let ban: Vec<HostId> = vm.spec.ban.iter().copied().chain(barred).collect();
                    rules.enter(&vm.spec.pin, &ban, lacking, at)
                };
                VmView::of(vm, &policy.knobs, &hosts, allowed)
            }));
            if !patience.lasts() {
                return None;
            }
        }
        rules.groups(snapshot, &mut vms);
        let mut picture = Self {
            snapshot,
            knobs: &policy.knobs,
            policy: policy.name,
            hosts,
            vms,
            largest: Mib::ZERO,
            overhead_max: Mib::ZERO,
            uncertain: uncertain(snapshot),
            rules,
        };
        picture.root_the_lonely();
        picture.keep_the_rooted();
        let present = |vm: &dormouse_model::Vm| !matches!(vm.state, VmState::Stopped | VmState::Saved { .. });
        let sizes = snapshot.vms.iter().zip(&picture.vms).filter(|(vm, _)| present(vm));
        picture.largest = sizes.map(|(_, view)| view.mem).max().unwrap_or_default();
        picture.overhead_max = picture.hosts.iter().map(|host| host.overhead).max().unwrap_or_default();
        Some(picture)
    }

    pub(crate) fn host(&self, id: HostId) -> &HostView {
        &self.hosts[id.index()]
    }
    pub(crate) fn vm(&self, id: VmId) -> &VmView {
        &self.vms[id.index()]
    }
    pub(crate) fn host_ids(&self) -> impl ExactSizeIterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId::at)
    }

    /// The VMs that move together with this one, itself among them.
    pub(crate) fn unit(&self, vm: VmId) -> &[VmId] {
        let (start, end) = self.vm(vm).unit;
        &self.rules.units[start as usize..end as usize]
    }

    /// Its spread groups.
    pub(crate) fn spread_of(&self, vm: VmId) -> &[u32] {
        let (start, end) = self.vm(vm).spread;
        &self.rules.spread_of[start as usize..end as usize]
    }

    /// Members of each spread group.
    pub(crate) fn spread_groups(&self) -> &[Vec<VmId>] {
        &self.rules.spread
    }

    pub(crate) fn load_of(&self, vm: VmId) -> Load {
        let vm = self.vm(vm);
        Load { mem: vm.mem, sleep: vm.sleep, wake: vm.wake, count: 1 }
    }

    pub(crate) fn load_of_all(&self, vms: &[VmId]) -> Load {
        let mut sum = Load::default();
        for vm in vms {
            sum.add(self.load_of(*vm));
        }
        sum
    }

    /// Why these VMs cannot leave their host, if so. A drain does not count against the budget of moves.
    pub(crate) fn rooted(&self, unit: &[VmId], drain: bool) -> Option<RefusalReason> {
        unit.iter().find_map(|vm| {
            let vm = self.vm(*vm);
            let spent = (vm.moves_left == 0 && !drain).then_some(RefusalReason::MoveBudget);
            vm.fixed.clone().or(spent)
        })
    }

    /// Which rule leaves it no other host: where one is without its network, that network is named.
    pub(crate) fn barred(&self, vm: VmId) -> RefusalReason {
        let (spec, state) = (&self.snapshot.vm(vm).spec, &self.snapshot.vm(vm).state);
        let chosen = |id: &HostId| {
            !spec.ban.contains(id) && (spec.pin.is_empty() || spec.pin.contains(id)) && self.same_cpu(vm, *id)
        };
        let elsewhere = self.host_ids().filter(|id| Some(*id) != state.host()).filter(chosen);
        let lacked = elsewhere.filter_map(|id| self.snapshot.host(id).spec.lacks(&spec.devices)).next();
        match lacked {
            Some(name) => RefusalReason::Network(name.to_owned()),
            None if self.snapshot.vm(vm).barred.is_empty() => RefusalReason::Rule,
            None => RefusalReason::Barred,
        }
    }

    /// Pin, ban, fence and networks.
    pub(crate) fn allows(&self, vm: VmId, host: HostId) -> bool {
        let allowed = self.vm(vm).allowed;
        allowed == NONE || self.rules.allowed[allowed as usize].has(host)
    }

    /// VMs move only within the CPU group they run in.
    pub(crate) fn same_cpu(&self, vm: VmId, host: HostId) -> bool {
        let group = self.vm(vm).cpu_group;
        group == NONE || group == self.host(host).cpu_group
    }

    /// The only hosts on which it may be, in order, where a rule names them.
    pub(crate) fn only_on(&self, vm: VmId) -> Option<&[HostId]> {
        match self.rules.allowed.get(self.vm(vm).allowed as usize) {
            Some(Allowed::Only(hosts)) => Some(hosts),
            _ => None,
        }
    }

    /// Has it rules that make some hosts different from others for it?
    pub(crate) fn is_choosy(&self, vm: VmId) -> bool {
        let view = self.vm(vm);
        view.allowed != NONE || view.spread.0 != view.spread.1 || view.unit.1 - view.unit.0 > 1
    }
}

impl HostView {
    fn of(host: &dormouse_model::Host, cpu_group: u32, policy: PolicyName, knobs: &Knobs) -> Self {
        let spec = &host.spec;
        let up = matches!(host.state, HostState::On | HostState::Draining) && host.load15.is_known();
        let untouchable = host.held.is_some()
            || host.obstacles.iter().any(|it| matches!(it, Obstacle::Block(_) | Obstacle::BackOff { .. }));
        let wakeable = !untouchable && !host.maintenance && !host.drain;
        let slots = match policy {
            PolicyName::Seed => spec.slots.unwrap_or_else(|| {
                u32::try_from(spec.mem.0 / u64::from(knobs.slot_mib.max(1))).unwrap_or(u32::MAX)
            }),
            PolicyName::Balanced => spec.slots.unwrap_or(u32::MAX),
        };
        Self {
            mem: spec.mem_for_vms(),
            overhead: spec.overhead,
            slots,
            cpu: spec.cpu_capacity(),
            cpu_target: share(spec.cpu_capacity(), knobs.cpu_target),
            cpu_high: share(spec.cpu_capacity(), knobs.load_high),
            cpu_group,
            link: spec.link,
            idle: spec.watts_idle,
            busy: spec.watts_busy.max(spec.watts_idle),
            asleep: spec.watts_asleep,
            state: host.state,
            takes: up && host.state == HostState::On && !untouchable && !host.maintenance && !host.drain,
            gives: up && !untouchable && (host.drain || !host.maintenance),
            drain: host.drain,
            stays: stays(host, knobs),
            wakeable: wakeable && host.state == HostState::Asleep,
            wakeable_off: wakeable && host.state == HostState::Off,
        }
    }

    /// Memory that so many VMs of that size together take here.
    pub(crate) fn mem_of(&self, load: Load) -> Mib {
        load.mem + self.overhead * u64::from(load.count)
    }

    /// Power while on with so much in use.
    pub(crate) fn watts(&self, used: MilliCpu) -> Watts {
        let capacity = self.cpu.0.max(1);
        Watts(self.idle.0 + (self.busy - self.idle).0 * used.0.min(capacity) / capacity)
    }
}

/// What stands against putting this host to sleep, before any VM is looked at. The first that an operator would name.
fn stays(host: &dormouse_model::Host, knobs: &Knobs) -> Option<AwakeReason> {
    if !matches!(host.state, HostState::On | HostState::Draining) {
        return Some(AwakeReason::State(host.state));
    }
    if !host.load15.is_known() {
        return Some(AwakeReason::NotSeen);
    }
    if let Some(role) = host.spec.role {
        return Some(AwakeReason::Role(role));
    }
    if host.spec.keep_on {
        return Some(AwakeReason::KeepOn);
    }
    if let Some(hold) = &host.held {
        return Some(AwakeReason::Hold { by: hold.by.clone(), why: hold.why.clone() });
    }
    if host.maintenance {
        return Some(AwakeReason::Maintenance);
    }
    if host.drain {
        return Some(AwakeReason::Drain);
    }
    if !host.proven && !knobs.unproven_sleep {
        return Some(AwakeReason::Unproven);
    }
    if let Some(obstacle) = host.obstacles.first() {
        return Some(AwakeReason::Obstacle(obstacle.clone()));
    }
    let min_up = knobs.scaled(knobs.min_up);
    // While it is being drained its time in that state says nothing about its time on; it was judged before.
    if host.state == HostState::On && host.in_state < min_up {
        return Some(AwakeReason::MinUp { left: min_up.saturating_sub(host.in_state) });
    }
    (host.cycles_day >= knobs.cycles_host_day).then_some(AwakeReason::Cycles { used: host.cycles_day })
}

impl VmView {
    fn of(vm: &dormouse_model::Vm, knobs: &Knobs, hosts: &[HostView], allowed: u32) -> Self {
        let spec = &vm.spec;
        let fixed = match &vm.state {
            VmState::Running { .. } | VmState::Paused { .. } if vm.immovable.is_some() => {
                vm.immovable.clone()
            }
            VmState::Running { .. } | VmState::Paused { .. } if spec.no_move => Some(RefusalReason::NoMove),
            VmState::Running { .. } | VmState::Paused { .. } if spec.local_disk => {
                Some(RefusalReason::LocalDisk)
            }
            VmState::Running { .. } | VmState::Paused { .. } => None,
            other => Some(RefusalReason::VmState(other.as_str())),
        };
        let hour = knobs.moves_vm_hour.saturating_sub(vm.moves_hour);
        let day = knobs.moves_vm_day.saturating_sub(vm.moves_day);
        let at = vm.state.host().and_then(|at| hosts.get(at.index()));
        Self {
            mem: spec.mem,
            sleep: vm.demand.sleep,
            wake: vm.demand.wake,
            home: spec.home.filter(|home| home.index() < hosts.len()),
            fixed,
            moves_left: hour.min(day),
            cpu_group: at.map_or(NONE, |at| at.cpu_group),
            allowed,
            spread: (0, 0),
            unit: (0, 0),
        }
    }
}

impl Picture<'_> {
    /// A VM whose rules or CPU group leave it no second host cannot move.
    fn root_the_lonely(&mut self) {
        let mut lonely = vec![];
        let soon = |host: &HostView| {
            matches!(host.state, HostState::Waking) || (host.state == HostState::Draining && host.gives)
        };
        let open = |host: &HostView| host.takes || host.wakeable || host.wakeable_off || soon(host);
        let mut open_in_group = vec![0u32; self.hosts.len()];
        for host in self.hosts.iter().filter(|host| open(host)) {
            open_in_group[host.cpu_group as usize] += 1;
        }
        for (index, (view, vm)) in self.vms.iter_mut().zip(&self.snapshot.vms).enumerate() {
            if view.cpu_group == NONE || view.fixed.is_some() {
                continue;
            }
            let at = vm.state.host().expect("it has the CPU group of its host");
            let group = view.cpu_group;
            if open_in_group[group as usize] <= u32::from(open(&self.hosts[at.index()])) {
                view.fixed = Some(RefusalReason::CpuGroup);
            } else if let Some(rule) = self.rules.allowed.get(view.allowed as usize) {
                let suits = |id: HostId| {
                    let host = &self.hosts[id.index()];
                    id != at && host.cpu_group == group && open(host)
                };
                let elsewhere = match rule {
                    Allowed::Only(hosts) => {
                        hosts.iter().any(|id| id.index() < self.hosts.len() && suits(*id))
                    }
                    Allowed::Not(_) => {
                        (0..self.hosts.len()).map(HostId::at).any(|id| rule.has(id) && suits(id))
                    }
                };
                if !elsewhere {
                    lonely.push(VmId::at(index));
                }
            }
        }
        for vm in lonely {
            self.vms[vm.index()].fixed = Some(self.barred(vm));
        }
    }

    /// A host with a VM that has to stay has to stay on.
    fn keep_the_rooted(&mut self) {
        for (index, view) in self.vms.iter().enumerate() {
            let (start, end) = view.unit;
            let mates = &self.rules.units[start as usize..end as usize];
            let why = mates.iter().find_map(|mate| {
                let mate = &self.vms[mate.index()];
                mate.fixed.clone().or((mate.moves_left == 0).then_some(RefusalReason::MoveBudget))
            });
            let Some(why) = why else { continue };
            for host in self.snapshot.vms[index].state.hosts() {
                if let Some(host) = self.hosts.get_mut(host.index()) {
                    host.stays.get_or_insert_with(|| AwakeReason::Immovable {
                        vm: VmId::at(index),
                        why: why.clone(),
                    });
                }
            }
        }
    }
}
