//! What a look at a host brings back, built from what is really there.

use dormouse_model::{
    CheckFailure, HostFacts, HostId, Job, JobKind, Mib, MilliCpu, Millis, Permille, VmFacts,
};

use super::{Flow, HostTruth, Lie, Power, VmTruth, World};

/// A look takes so long, there and back.
pub(crate) const LATENCY: Millis = Millis(40);
/// When nobody holds the address, the neighbour's silence is known after this.
pub(crate) const NO_ROUTE: Millis = Millis(3000);

#[derive(Debug)]
pub(crate) enum Probe {
    Facts(Box<HostFacts>),
    NoRoute,
    Silence,
}

impl World {
    pub(crate) fn probe(&self, host: HostId) -> Probe {
        let truth = self.host(host);
        if truth.faults.is_silent(self.now) {
            return Probe::Silence;
        }
        match truth.power {
            // A host on its way off has closed its doors: the connection is refused or just ends.
            Power::Off | Power::Dead | Power::Booting | Power::Stopping => Probe::NoRoute,
            Power::On => Probe::Facts(Box::new(self.facts(truth))),
        }
    }

    fn facts(&self, truth: &HostTruth) -> HostFacts {
        let frozen = truth.faults.is_frozen(self.now);
        let mut failures = vec![];
        if frozen {
            failures.push(CheckFailure::Libvirt("no answer within 5s".to_owned()));
        }
        if truth.faults.share_missing {
            failures.push(CheckFailure::Storage("/var/lib/libvirt/images is not mounted".to_owned()));
        }
        if truth.faults.clock_ms.abs() >= 2000 {
            failures.push(CheckFailure::Clock(truth.faults.clock_ms));
        }
        let vms: Vec<VmFacts> = if frozen {
            // libvirt is the only one who knows: an answer without VMs, not an answer of none.
            vec![]
        } else {
            truth.vms.iter().filter_map(|vm| self.vm_facts(truth, &self.vms[*vm])).collect()
        };
        let mut facts = HostFacts {
            machine: truth.machine,
            boot: truth.boot,
            uptime: truth.uptime(self.now),
            hypervisor: None,
            cpus: truth.spec.cpus,
            mem: truth.spec.mem,
            mem_available: truth.spec.mem.saturating_sub(self.mem_used(truth.id)),
            load15: self.load_now(truth),
            cpu_used: truth.used(),
            clock_offset_ms: truth.faults.clock_ms,
            macs: truth.spec.macs.clone(),
            wake_on_lan: Some(true),
            networks: truth.spec.networks.clone(),
            disk_lock: Some(true),
            people_idle: truth.people.iter().map(|person| person.idle(self.now)).collect(),
            blocks: truth.blocks.clone(),
            epoch: truth.epoch,
            failures,
            vms,
        };
        if let Some(lie) = truth.faults.lie {
            distort(&mut facts, lie);
        }
        facts
    }

    pub(crate) fn load_now(&self, truth: &HostTruth) -> Permille {
        let mut load = truth.load;
        load.pass(self.now.since(truth.account.since), truth.demand);
        load.per_cpu(truth.spec.cpus)
    }

    fn vm_facts(&self, truth: &HostTruth, vm: &VmTruth) -> Option<VmFacts> {
        let state = vm.copy_on(truth.id)?;
        let flow = vm.flow.and_then(|id| self.flows.iter().find(|flow| flow.id == id));
        let capacity = truth.spec.cpu_capacity().0;
        // An overloaded host serves everyone in proportion.
        let cpu = match vm.demand.0 {
            demand if truth.demand.0 > capacity => demand * capacity / truth.demand.0,
            demand => demand,
        };
        Some(VmFacts {
            uuid: vm.spec.uuid,
            name: vm.spec.name.clone(),
            state,
            vcpus: vm.spec.vcpus,
            mem: vm.spec.mem,
            cpu: state.runs().then_some(MilliCpu(cpu)),
            dirty_mib_s: vm.spec.dirty_mib_s,
            job: flow.map(|flow| self.job(flow, truth.id)),
            persistent: true,
            autostart: vm.autostart_at == Some(truth.id),
            crashed: state == dormouse_model::DomainState::ShutOff && vm.crashed,
            immovable: vm.spec.local_disk.then(|| "its disk is on this host only".to_owned()),
            devices: vm.spec.devices.clone(),
        })
    }

    fn job(&self, flow: &Flow, at: HostId) -> Job {
        Job {
            kind: if flow.from == at { JobKind::MigrationOut } else { JobKind::MigrationIn },
            elapsed: self.now.since(flow.started),
            remaining: Mib(flow.remaining_mib()),
            processed: Mib(flow.sent_mib()),
        }
    }
}

/// What a host makes of the truth about its load. That a VM is there it says in any case: no lie about that can be seen
/// through from outside.
fn distort(facts: &mut HostFacts, lie: Lie) {
    let (load, available, cpu) = match lie {
        Lie::Idle => (Permille(0), facts.mem, MilliCpu::ZERO),
        Lie::Busy => (Permille(8000), Mib::ZERO, MilliCpu(1000 * u64::from(facts.cpus))),
        Lie::Absurd => (Permille(u64::MAX), Mib(u64::MAX), MilliCpu(u64::MAX)),
    };
    (facts.load15, facts.mem_available, facts.cpu_used) = (load, available, cpu);
    for vm in &mut facts.vms {
        vm.cpu = vm.cpu.map(|_| cpu.min(MilliCpu(1000 * u64::from(vm.vcpus))));
    }
}
