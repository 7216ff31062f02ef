//! What really is: hosts, VMs, moves, and the one way each of them changes.
//!
//! Every change first brings the sums of those it touches up to now, so energy and service are exact to the
//! millisecond wherever within a step something happens.

use super::account::{Account, Sums, TENTHS};
use super::flow::Flows;
use crate::replay::fleet::Fleet;
use crate::replay::policy::{HostNow, Place, Power, View, VmNow};
use dormouse_model::{HostId, Mib, Millis, VmId};

/// A VM that comes back within this time has thrashed.
const THRASH: Millis = Millis::from_secs(3600);
/// Broken rules are told one by one up to so many: more say nothing new.
const VIOLATIONS_MAX: usize = 100;

#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) now: Millis,
    pub(super) hosts: Vec<HostNow>,
    pub(super) vms: Vec<VmNow>,
    pub(super) flows: Flows,
    pub(super) accounts: Vec<Account>,
    pub(super) sums: Sums,
    /// Hosts that wake or go to sleep, and when they are there.
    turning: Vec<(Millis, HostId)>,
    pub(super) moves: u64,
    pub(super) wakes: u64,
    pub(super) sleeps: u64,
    pub(super) thrash: u64,
    /// The last move of each VM: from, to, and when it began.
    last_move: Vec<Option<(HostId, HostId, Millis)>>,
    /// Room may have appeared for a VM that waits.
    pub(super) room_appeared: bool,
    pub(super) violations: Vec<String>,
}

impl<'a> World<'a> {
    /// All hosts on and empty, all VMs waiting.
    pub(super) fn new(fleet: &'a Fleet, vms: Vec<VmNow>) -> Self {
        let host = HostNow {
            power: Power::On,
            since: Millis::ZERO,
            used: Mib::ZERO,
            count: 0,
            vms: vec![],
            sleeps: 0,
        };
        let hosts = vec![host; fleet.machines.len()];
        let sums = Sums {
            awake: hosts.len() as u64,
            serving: fleet.machines.iter().map(|machine| machine.mips).sum(),
            waiting: vms.len() as u64,
            running: vms.len() as u64,
            ..Sums::default()
        };
        Self {
            fleet,
            now: Millis::ZERO,
            accounts: vec![Account::default(); hosts.len()],
            flows: Flows::new(hosts.len()),
            last_move: vec![None; vms.len()],
            hosts,
            vms,
            sums,
            turning: vec![],
            moves: 0,
            wakes: 0,
            sleeps: 0,
            thrash: 0,
            room_appeared: false,
            violations: vec![],
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View { now: self.now, fleet: self.fleet, hosts: &self.hosts, vms: &self.vms }
    }

    pub(super) fn power(&self, host: HostId) -> Power {
        self.hosts[host.index()].power
    }

    pub(super) fn settle_all(&mut self) {
        self.fleet.host_ids().for_each(|host| self.settle(host));
        self.sums.settle(self.now);
    }

    fn settle(&mut self, host: HostId) {
        let power = self.hosts[host.index()].power;
        self.accounts[host.index()].settle(self.now, self.fleet.machine(host), power);
    }

    /// What a VM asks for from now on.
    pub(super) fn set_demand(&mut self, vm: VmId, demand: u64) {
        let place = self.vms[vm.index()].place;
        if self.vms[vm.index()].demand != demand {
            self.leave(vm, place);
            self.vms[vm.index()].demand = demand;
            self.enter(vm, place);
        }
    }

    pub(super) fn set_place(&mut self, vm: VmId, place: Place) {
        let before = self.vms[vm.index()].place;
        self.leave(vm, before);
        self.vms[vm.index()].place = place;
        self.enter(vm, place);
        let is_freed = matches!((before, place), (Place::On(_), Place::Stopped) | (Place::Moving { .. }, _));
        self.room_appeared |= is_freed;
    }

    /// Takes what this place means out of the sums.
    fn leave(&mut self, vm: VmId, place: Place) {
        self.sums.settle(self.now);
        let demand = self.vms[vm.index()].demand;
        match place {
            Place::Stopped => return,
            Place::Waiting => {
                self.sums.waiting -= 1;
                self.sums.missing -= demand;
            }
            Place::On(host) => {
                self.let_go(vm, host);
                self.unlist(vm, host);
                self.accounts[host.index()].load -= demand * TENTHS;
            }
            Place::Moving { from, to } => {
                self.let_go(vm, from);
                self.let_go(vm, to);
                self.unlist(vm, from);
                self.accounts[from.index()].load -= demand * TENTHS + demand;
                self.accounts[to.index()].load -= demand;
                self.sums.moving -= demand;
            }
        }
        self.sums.running -= 1;
        self.sums.demand -= demand;
    }

    /// Adds what this place means to the sums.
    fn enter(&mut self, vm: VmId, place: Place) {
        let demand = self.vms[vm.index()].demand;
        match place {
            Place::Stopped => return,
            Place::Waiting => {
                self.sums.waiting += 1;
                self.sums.missing += demand;
            }
            Place::On(host) => {
                self.hold(vm, host);
                self.hosts[host.index()].vms.push(vm);
                self.accounts[host.index()].load += demand * TENTHS;
            }
            // Memory at both ends; a tenth of the VM's demand more at either.
            Place::Moving { from, to } => {
                self.hold(vm, from);
                self.hold(vm, to);
                self.hosts[from.index()].vms.push(vm);
                self.accounts[from.index()].load += demand * TENTHS + demand;
                self.accounts[to.index()].load += demand;
                self.sums.moving += demand;
            }
        }
        self.sums.running += 1;
        self.sums.demand += demand;
    }

    fn unlist(&mut self, vm: VmId, host: HostId) {
        let here = &mut self.hosts[host.index()].vms;
        let place = here.iter().position(|other| *other == vm).expect("a VM is listed where it is");
        here.remove(place);
    }

    fn hold(&mut self, vm: VmId, host: HostId) {
        self.settle(host);
        let taken = self.vms[vm.index()].mem + self.fleet.machine(host).spec.overhead;
        let here = &mut self.hosts[host.index()];
        here.used += taken;
        here.count += 1;
    }

    fn let_go(&mut self, vm: VmId, host: HostId) {
        self.settle(host);
        let taken = self.vms[vm.index()].mem + self.fleet.machine(host).spec.overhead;
        let here = &mut self.hosts[host.index()];
        here.used -= taken;
        here.count -= 1;
    }

    fn set_power(&mut self, host: HostId, power: Power) {
        self.settle(host);
        self.sums.settle(self.now);
        let here = &mut self.hosts[host.index()];
        let mips = self.fleet.machine(host).mips;
        let (was, is) = (here.power, power);
        here.power = power;
        here.since = self.now;
        let as_count = |yes: bool| u64::from(yes);
        self.sums.awake += as_count(is != Power::Asleep);
        self.sums.awake -= as_count(was != Power::Asleep);
        self.sums.serving += mips * as_count(is == Power::On);
        self.sums.serving -= mips * as_count(was == Power::On);
        self.room_appeared |= is == Power::On;
    }

    /// Hosts that nobody was placed on at the beginning are asleep, for nothing.
    pub(super) fn sleep_unused(&mut self) {
        for host in self.fleet.host_ids() {
            let spec = &self.fleet.machine(host).spec;
            if self.hosts[host.index()].count == 0 && !spec.keep_on && spec.role.is_none() {
                self.set_power(host, Power::Asleep);
            }
        }
    }

    pub(super) fn wake(&mut self, host: HostId) {
        self.set_power(host, Power::Waking);
        self.turning.push((self.now + self.fleet.machine(host).spec.boot, host));
        self.wakes += 1;
    }

    pub(super) fn sleep(&mut self, host: HostId) {
        self.set_power(host, Power::Stopping);
        self.turning.push((self.now + self.fleet.machine(host).spec.shutdown, host));
        self.hosts[host.index()].sleeps += 1;
        self.sleeps += 1;
    }

    pub(super) fn begin_move(&mut self, vm: VmId, from: HostId, to: HostId) {
        self.set_place(vm, Place::Moving { from, to });
        let mem = self.vms[vm.index()].mem;
        self.flows.begin(self.fleet, self.now, vm, mem, from, to);
        self.moves += 1;
        let back = |(was_from, was_to, at): &(HostId, HostId, Millis)| {
            *was_from == to && *was_to == from && self.now.0 - at.0 <= THRASH.0
        };
        self.thrash += u64::from(self.last_move[vm.index()].as_ref().is_some_and(back));
        self.last_move[vm.index()] = Some((from, to, self.now));
    }

    /// The VM is not to run; a move of it ends.
    pub(super) fn stop(&mut self, vm: VmId) {
        if matches!(self.vms[vm.index()].place, Place::Moving { .. }) {
            self.flows.end(self.fleet, self.now, vm);
        }
        self.set_place(vm, Place::Stopped);
    }

    /// When something ends by itself.
    pub(super) fn next_end(&self) -> Option<Millis> {
        let turning = self.turning.iter().map(|(at, _)| *at);
        turning.chain(self.flows.next_end().map(|(at, _)| at)).min()
    }

    /// Ends what is due.
    pub(super) fn end_due(&mut self) {
        while let Some((_, vm)) = self.flows.next_end().filter(|(at, _)| *at <= self.now) {
            if let Some(flow) = self.flows.end(self.fleet, self.now, vm) {
                self.set_place(vm, Place::On(flow.to));
            }
        }
        while let Some(place) = self.turning.iter().position(|(at, _)| *at <= self.now) {
            let (_, host) = self.turning.remove(place);
            let next = if self.power(host) == Power::Waking { Power::On } else { Power::Asleep };
            self.set_power(host, next);
        }
    }

    /// Counts anew what every host holds, by where the VMs are and by nothing else, and tells what may not be.
    pub(super) fn audit(&mut self) {
        let mut used = vec![Mib::ZERO; self.hosts.len()];
        let mut count = vec![0u32; self.hosts.len()];
        let mut broken = vec![];
        for (index, vm) in self.vms.iter().enumerate() {
            let (first, second) = match vm.place {
                Place::Stopped | Place::Waiting => continue,
                Place::On(host) => (host, None),
                Place::Moving { from, to } => (from, Some(to)),
            };
            for host in std::iter::once(first).chain(second) {
                used[host.index()] += vm.mem + self.fleet.machine(host).spec.overhead;
                count[host.index()] += 1;
                if self.power(host) != Power::On {
                    let name = &self.fleet.machine(host).spec.name;
                    broken.push(format!("VM {index} is on {name}, which is not on"));
                }
            }
        }
        for host in self.fleet.host_ids() {
            let spec = &self.fleet.machine(host).spec;
            let (used, room) = (used[host.index()], spec.mem_for_vms());
            if used > room {
                broken.push(format!("{} holds VMs of {} MiB in {} MiB", spec.name, used.0, room.0));
            }
            if spec.slots.is_some_and(|slots| count[host.index()] > slots) {
                broken.push(format!("{} holds {} VMs, more than its slots", spec.name, count[host.index()]));
            }
        }
        for what in broken {
            if self.violations.len() < VIOLATIONS_MAX {
                self.violations.push(format!("{}: {what}", clock(self.now)));
            }
        }
    }
}

/// `06:05:00`: time since the beginning.
fn clock(at: Millis) -> String {
    let seconds = at.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
