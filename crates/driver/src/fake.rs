//! Pretend hosts in memory, for tests of what sits above the drivers and for the conformance suite itself.

use crate::{
    Definition, DriverError, End, GuardOrder, Hypervisor, MoveRequest, Power, Probe, Settled, Settlement,
    judge,
};
use async_trait::async_trait;
use dormouse_model::{
    Devices, DomainState, Epoch, GuardRefusal, HostFacts, HostSpec, HostState, Mbps, Mib, MilliCpu, Millis,
    Outcome, OutcomeError, Permille, ProbeError, VmFacts, Watts,
};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// A host as a cluster text with nothing but its name would give it.
#[must_use]
pub fn host(name: &str) -> HostSpec {
    HostSpec {
        name: name.to_owned(),
        address: None,
        macs: vec![],
        cpus: 2,
        mem: Mib(2048),
        reserve: Mib(0),
        overhead: Mib(0),
        watts_idle: Watts(45),
        watts_busy: Watts(95),
        watts_asleep: Watts(3),
        boot: Millis::from_secs(75),
        shutdown: Millis::from_secs(15),
        link: Mbps(1000),
        slots: None,
        cpu_group: None,
        networks: vec![],
        circuit: None,
        role: None,
        keep_on: false,
        maintenance: false,
        unproven: false,
        state: HostState::On,
    }
}

/// A few hosts that do at once whatever they are asked. All are on to begin with.
#[derive(Debug, Default)]
pub struct World(Mutex<BTreeMap<String, Machine>>);

#[derive(Debug)]
struct Machine {
    on: bool,
    boots: u32,
    epoch: Option<(Uuid, Epoch)>,
    vms: BTreeMap<Uuid, Definition>,
}

impl World {
    #[must_use]
    pub fn of(hosts: &[&str]) -> Self {
        let machine = || Machine { on: true, boots: 1, epoch: None, vms: BTreeMap::new() };
        Self(Mutex::new(hosts.iter().map(|name| ((*name).to_owned(), machine())).collect()))
    }

    fn machines(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        host: &HostSpec,
        work: impl FnOnce(&mut Machine) -> Result<T, String>,
    ) -> Result<T, DriverError> {
        let silent = || ProbeError::Unreachable("nobody answers".into());
        let mut machines = self.machines();
        let machine = machines.get_mut(&host.name).filter(|machine| machine.on).ok_or_else(silent)?;
        work(machine).map_err(|why| DriverError::Refused { what: "asked", why })
    }

    fn end(&self, vm: Uuid, host: &HostSpec) -> End {
        let find = |machine: &mut Machine| {
            Ok(machine.vms.get(&vm).map(|vm| End::Has { state: vm.state, persistent: vm.persistent }))
        };
        self.with(host, find).map_or(End::Unseen, |end| end.unwrap_or(End::Absent))
    }
}

fn boot_of(machine: &Machine) -> Uuid {
    Uuid::from_u128(u128::from(machine.boots))
}

fn outcome(result: Result<(), DriverError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done { downtime: None },
        Err(error) => Outcome::Failed(OutcomeError::Driver(error.to_string())),
    }
}

/// Only as much of libvirt's XML as names a VM.
fn named(xml: &str) -> Option<(Uuid, String)> {
    let between = |open: &str, close: &str| Some(xml.split_once(open)?.1.split_once(close)?.0);
    if xml.contains("<!DOCTYPE") || !xml.contains("<domain") {
        return None;
    }
    Some((between("<uuid>", "</uuid>")?.parse().ok()?, between("<name>", "</name>")?.to_owned()))
}

#[async_trait]
impl Hypervisor for World {
    async fn migrate(&self, request: MoveRequest<'_>) -> Outcome {
        if !matches!(
            self.end(request.vm, request.to),
            End::Absent | End::Has { state: DomainState::ShutOff, .. }
        ) {
            return Outcome::Failed(OutcomeError::Driver("the destination does not take it".into()));
        }
        let leave = |machine: &mut Machine| match machine.vms.remove(&request.vm) {
            Some(vm) if vm.state == DomainState::Running => Ok(vm),
            Some(vm) => {
                machine.vms.insert(vm.uuid, vm);
                Err("it does not run".to_owned())
            }
            None => Err("it is not there".to_owned()),
        };
        outcome(self.with(request.from, leave).and_then(|vm| {
            self.with(request.to, |machine| {
                machine.vms.insert(vm.uuid, vm);
                Ok(())
            })
        }))
    }

    async fn abort(&self, _: Uuid, from: &HostSpec, _: Millis) -> Outcome {
        outcome(self.with(from, |_| Ok(())))
    }

    async fn start(&self, vm: Uuid, host: &HostSpec, _: Millis) -> Outcome {
        outcome(self.with(host, |machine| {
            machine
                .vms
                .get_mut(&vm)
                .map(|vm| vm.state = DomainState::Running)
                .ok_or_else(|| "it is not there".to_owned())
        }))
    }

    async fn stop(&self, vm: Uuid, host: &HostSpec, _: Millis) -> Outcome {
        outcome(self.with(host, |machine| {
            if let Some(vm) = machine.vms.get_mut(&vm) {
                vm.state = DomainState::ShutOff;
            }
            Ok(())
        }))
    }

    async fn define(&self, host: &HostSpec, xml: &str, _: Millis) -> Result<Uuid, DriverError> {
        self.with(host, |machine| {
            let (uuid, name) = named(xml).ok_or_else(|| "it is no definition".to_owned())?;
            let state = DomainState::ShutOff;
            machine.vms.insert(uuid, Definition { uuid, name, state, persistent: true, xml: xml.to_owned() });
            Ok(uuid)
        })
    }

    async fn undefine(&self, vm: Uuid, host: &HostSpec, _: Millis) -> Outcome {
        outcome(self.with(host, |machine| match machine.vms.get(&vm).map(|vm| vm.state) {
            None => Ok(()),
            Some(DomainState::ShutOff) => {
                machine.vms.remove(&vm);
                Ok(())
            }
            Some(state) => Err(format!("it is {state:?}")),
        }))
    }

    async fn definitions(&self, host: &HostSpec, _: Millis) -> Result<Vec<Definition>, DriverError> {
        self.with(host, |machine| Ok(machine.vms.values().cloned().collect()))
    }

    async fn settle(
        &self,
        vm: Uuid,
        from: &HostSpec,
        to: &HostSpec,
        _: Millis,
    ) -> Result<Settled, DriverError> {
        let (source, destination) = (self.end(vm, from), self.end(vm, to));
        let settlement = judge(source, destination, false);
        self.with(from, |machine| {
            match settlement {
                Settlement::DropSource | Settlement::DropDefinition => drop(machine.vms.remove(&vm)),
                Settlement::ResumeSource => {
                    if let Some(vm) = machine.vms.get_mut(&vm) {
                        vm.state = DomainState::Running;
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Settled { settlement, source, destination })
    }
}

#[async_trait]
impl Probe for World {
    async fn look(&self, host: &HostSpec, _: Millis) -> Result<HostFacts, ProbeError> {
        let machines = self.machines();
        let machine = machines.get(&host.name).filter(|machine| machine.on);
        let machine = machine.ok_or_else(|| ProbeError::Unreachable("nobody answers".into()))?;
        let vm = |vm: &Definition| VmFacts {
            uuid: vm.uuid,
            name: vm.name.clone(),
            state: vm.state,
            vcpus: 1,
            mem: Mib(256),
            cpu: Some(MilliCpu(20)),
            dirty_mib_s: 0,
            job: None,
            persistent: vm.persistent,
            autostart: false,
            crashed: false,
            immovable: None,
            devices: Devices::default(),
        };
        Ok(HostFacts {
            machine: dormouse_model::VmSpec::uuid_of_name(&host.name),
            boot: boot_of(machine),
            uptime: Millis(0),
            hypervisor: None,
            cpus: host.cpus,
            mem: host.mem,
            mem_available: host.mem,
            load15: Permille(0),
            cpu_used: MilliCpu(0),
            clock_offset_ms: 0,
            macs: host.macs.clone(),
            wake_on_lan: Some(true),
            networks: vec![],
            disk_lock: Some(true),
            people_idle: vec![],
            blocks: vec![],
            epoch: machine.epoch.map(|(_, epoch)| epoch),
            failures: vec![],
            vms: machine.vms.values().map(vm).collect(),
        })
    }

    async fn forget(&self, _: &str) {}
}

#[async_trait]
impl Power for World {
    async fn wake(&self, host: &HostSpec, _: Millis) -> Outcome {
        if let Some(machine) = self.machines().get_mut(&host.name).filter(|machine| !machine.on) {
            machine.on = true;
            machine.boots += 1;
        }
        Outcome::Done { downtime: None }
    }

    async fn off(&self, host: &HostSpec, order: &GuardOrder, _: Millis) -> Outcome {
        let asked = self.with(host, |machine| {
            let running = machine.vms.values().filter(|vm| vm.state.is_present()).count();
            let refusal = match machine.epoch {
                Some((cluster, _)) if cluster != order.cluster => Some(GuardRefusal::Cluster),
                Some((_, epoch)) if epoch > order.epoch => Some(GuardRefusal::Epoch(epoch)),
                _ if order.good_until.is_none_or(|until| until.boot != boot_of(machine)) => {
                    Some(GuardRefusal::Late)
                }
                _ if running > 0 => {
                    Some(GuardRefusal::Qemu { count: u32::try_from(running).unwrap_or(u32::MAX) })
                }
                _ => None,
            };
            if refusal.is_none() {
                machine.epoch = Some((order.cluster, order.epoch));
                machine.on = false;
            }
            Ok(refusal)
        });
        match asked {
            Ok(None) => Outcome::Done { downtime: None },
            Ok(Some(refusal)) => Outcome::Refused(vec![refusal]),
            Err(error) => outcome(Err(error)),
        }
    }

    async fn adopt(&self, host: &HostSpec, order: &GuardOrder, _: Millis) -> Outcome {
        outcome(self.with(host, |machine| {
            machine.epoch = Some((order.cluster, order.epoch));
            Ok(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Given, hypervisor, probe};

    #[test]
    fn pretend_hosts_keep_the_rules() {
        let world = World::of(&["a", "b"]);
        let (a, b) = (host("a"), host("b"));
        let vm = Uuid::from_u128(7);
        let xml = format!("<domain><name>$(reboot)</name><uuid>{vm}</uuid></domain>");
        let given = Given { hosts: [&a, &b], vm, xml: &xml, moves: true, guest_obeys: true };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            assert_eq!(hypervisor(&world, &given).await, Vec::<String>::new());
            assert_eq!(probe(&world, &a).await, Vec::<String>::new());
        });
    }
}
