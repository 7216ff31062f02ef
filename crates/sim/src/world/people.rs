//! What people and programs beside us do: load, logins, locks, VMs made and moved by hand. And faults, as they begin and end.

use crate::note::{MoveEnd, Note};
use dormouse_model::{DomainState, HostId, MilliCpu, Millis, VmSpec};
use uuid::Uuid;

use super::fault::{LastSecond, Lasting, Times};
use super::{Fault, Person, Power, World};

impl World {
    pub(crate) fn set_load(&mut self, vm: Uuid, cpu: MilliCpu) {
        let Some(index) = self.index_of(vm) else { return };
        let hosts: Vec<HostId> = self.vms[index].copies.iter().map(|copy| copy.host).collect();
        for host in &hosts {
            self.settle(*host);
        }
        let limit = self.vms[index].spec.cpu_limit();
        self.vms[index].demand = cpu.min(limit);
        for host in hosts {
            self.recount(host);
        }
    }

    pub(crate) fn login(&mut self, host: HostId, idle_before: Option<Millis>) {
        let now = self.now;
        self.host_mut(host).people.push(Person {
            idle_since: idle_before.map(|_| now),
            idle_before: idle_before.unwrap_or(Millis::ZERO),
        });
    }

    pub(crate) fn logout(&mut self, host: HostId) {
        self.host_mut(host).people.clear();
    }

    pub(crate) fn block(&mut self, host: HostId, what: &str) {
        self.host_mut(host).blocks.push(what.to_owned());
    }

    pub(crate) fn unblock(&mut self, host: HostId) {
        self.host_mut(host).blocks.clear();
    }

    /// A VM that nobody announced.
    pub(crate) fn define_by_hand(&mut self, spec: VmSpec) {
        if self.host(spec.at).power == Power::On && self.index_of(spec.uuid).is_none() {
            let (uuid, at) = (spec.uuid, spec.at);
            self.place(spec);
            self.note(Note::VmStarted { vm: uuid, at });
        }
    }

    pub(crate) fn start_by_hand(&mut self, vm: Uuid) -> bool {
        let Some(index) = self.index_of(vm) else { return false };
        let Some(at) = self.vms[index].copies.first().map(|copy| copy.host) else { return false };
        let off = self.vms[index].copy_on(at).is_some_and(|state| !state.is_present());
        if !off || self.host(at).power != Power::On {
            return false;
        }
        self.start_on(index, at);
        true
    }

    /// Runs it here. Its definition elsewhere, on shared storage, is no longer the one that counts.
    pub(super) fn start_on(&mut self, index: usize, at: HostId) {
        let elsewhere: Vec<HostId> =
            self.vms[index].copies.iter().map(|copy| copy.host).filter(|host| *host != at).collect();
        for host in elsewhere {
            if self.vms[index].copy_on(host).is_some_and(|state| !state.is_present()) {
                self.drop_copy(index, host);
            }
        }
        self.vms[index].wanted = true;
        self.vms[index].crashed = false;
        self.set_copy(index, at, DomainState::Running);
        let vm = self.vms[index].spec.uuid;
        self.note(Note::VmStarted { vm, at });
    }

    pub(crate) fn stop_by_hand(&mut self, vm: Uuid) -> bool {
        let Some(index) = self.index_of(vm) else { return false };
        let Some(at) = self.vms[index].lives_on() else { return false };
        if let Some(flow) = self.vms[index].flow {
            self.end_flow(flow, MoveEnd::Stayed("the guest shut down"));
        }
        self.vms[index].wanted = false;
        self.set_copy(index, at, DomainState::ShutOff);
        self.note(Note::VmStopped { vm, at });
        true
    }

    /// Its QEMU ends by a fault of its own; its users still want it.
    pub(crate) fn crash(&mut self, vm: Uuid) {
        let Some(index) = self.index_of(vm) else { return };
        let Some(at) = self.vms[index].lives_on() else { return };
        if let Some(flow) = self.vms[index].flow {
            self.end_flow(flow, MoveEnd::Stayed("the guest crashed"));
        }
        self.vms[index].crashed = true;
        self.set_copy(index, at, DomainState::ShutOff);
        self.note(Note::VmStopped { vm, at });
    }

    pub(crate) fn pause_by_hand(&mut self, vm: Uuid, pause: bool) {
        let Some(index) = self.index_of(vm) else { return };
        let Some(at) = self.vms[index].lives_on() else { return };
        self.vms[index].wanted = !pause;
        self.set_copy(index, at, if pause { DomainState::Paused } else { DomainState::Running });
    }

    pub(crate) fn migrate_by_hand(&mut self, vm: Uuid, to: HostId) -> bool {
        let Some(index) = self.index_of(vm) else { return false };
        let Some(from) = self.vms[index].runs_on() else { return false };
        let holds = self.vms[index].copy_on(to).is_some_and(DomainState::is_present);
        if from == to || holds || self.vms[index].flow.is_some() || self.host(to).power != Power::On {
            return false;
        }
        self.begin_flow(index, from, to, None);
        true
    }

    /// What the script planned for the guard's last second happens now.
    pub(super) fn last_second(&mut self, host: HostId) {
        match self.host_mut(host).faults.last_second.take() {
            Some(LastSecond::Login) => self.login(host, None),
            Some(LastSecond::Start(vm)) => {
                if let Some(index) = self.index_of(vm)
                    && !self.vms[index].copies.iter().any(|copy| copy.state.is_present())
                {
                    self.start_on(index, host);
                }
            }
            None => {}
        }
    }

    /// A fault begins. What befalls the manager itself is not the world's; the simulator makes it.
    pub(crate) fn inject(&mut self, fault: &Fault) {
        let now = self.now;
        match fault {
            Fault::WakeLost { host, times } => self.host_mut(*host).faults.wake_lost = Times::of(*times),
            Fault::BootSlow { host, by } => self.host_mut(*host).faults.boot_slow = *by,
            Fault::BootHangs { host, span } => self.host_mut(*host).faults.boot_hangs = Some(*span),
            Fault::OffIgnored { host } => self.host_mut(*host).faults.off_ignored = true,
            Fault::Dies { host } => self.die(*host, "power cut"),
            Fault::Reboots { host } => self.reboot(*host),
            Fault::Silent { hosts, span, oneway } => {
                for host in hosts {
                    let faults = &mut self.host_mut(*host).faults;
                    faults.silent = Some(Lasting::from(now, *span));
                    faults.oneway = *oneway;
                }
            }
            Fault::MoveFails { vm, times } => self.faults.moves.push((*vm, Times::of(*times))),
            Fault::Drops { host } => self.drop_off(*host, "crash"),
            Fault::Control { host, how } => self.host_mut(*host).faults.control = Some(*how),
            Fault::Lacks { host, lack } => self.host_mut(*host).faults.lacks = Some(*lack),
            Fault::MoveStuck { vm } => self.faults.stuck.push(*vm),
            Fault::MoveCut { vm, early, times } => self.faults.cuts.push((*vm, *early, Times::of(*times))),
            Fault::AbortHangs { vm } => self.faults.abort_hangs.push(*vm),
            Fault::LeaseLost { span } => self.faults.lease_lost = Some(Lasting::from(now, Some(*span))),
            Fault::ShareMissing { host } => self.host_mut(*host).faults.share_missing = true,
            Fault::LibvirtFrozen { host, span } => {
                self.host_mut(*host).faults.libvirt_frozen = Some(Lasting::from(now, *span));
            }
            Fault::Clock { host, by_ms } => self.host_mut(*host).faults.clock_ms = *by_ms,
            Fault::Lies { host, lie } => self.host_mut(*host).faults.lie = Some(*lie),
            Fault::PowerRefused { host, times } => {
                self.host_mut(*host).faults.power_refused = Times::of(*times);
            }
            Fault::Apart { ends, span } => {
                self.faults.apart.push((*ends, Lasting::from(now, *span)));
                self.part(*ends);
            }
            Fault::ManagerClock { .. } | Fault::ManagerFrozen { .. } => {}
            Fault::StoreFull { span } => self.faults.store_full = Some(Lasting::from(now, *span)),
            Fault::ReplyLost { host, times } => self.host_mut(*host).faults.reply_lost = Times::of(*times),
            Fault::LastSecondLogin { host } => {
                self.host_mut(*host).faults.last_second = Some(LastSecond::Login)
            }
            Fault::LastSecondStart { host, vm } => {
                self.host_mut(*host).faults.last_second = Some(LastSecond::Start(*vm));
            }
        }
    }

    /// Ends every fault of a host (of all hosts and of the cluster, without one).
    pub(crate) fn heal(&mut self, host: Option<HostId>) {
        let hosts: Vec<HostId> =
            host.map_or_else(|| self.hosts.iter().map(|truth| truth.id).collect(), |host| vec![host]);
        for host in hosts {
            self.end_hang(host);
            self.host_mut(host).faults = super::fault::HostFaults::default();
            self.revive(host);
        }
        if host.is_none() {
            self.faults = super::fault::ClusterFaults::default();
            self.free_flows();
        }
    }
}
