//! A world in memory behind the drivers' traits: hosts that sleep, wake, hang, refuse or panic, and VMs that move.

use async_trait::async_trait;
use dormouse_driver::{
    Definition, DriverError, End, GuardOrder, Hypervisor, MoveRequest, Power, Probe, Settled, Settlement,
};
use dormouse_model::{
    Devices, DomainState, GuardRefusal, HostFacts, HostSpec, Mib, MilliCpu, Millis, Outcome, OutcomeError,
    Permille, ProbeError, VmFacts,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use uuid::Uuid;

/// How a host misbehaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Answers(ProbeError),
    Hangs,
    Panics,
}

#[derive(Debug, Default)]
struct FakeHost {
    on: bool,
    boot: u128,
    fault: Option<Fault>,
    vms: BTreeMap<Uuid, String>,
    /// Its power control can prove it off.
    proves: bool,
    /// VMs that crashed there.
    crashed: BTreeMap<Uuid, String>,
}

#[derive(Debug, Default)]
struct State {
    hosts: BTreeMap<String, FakeHost>,
    /// Shut-off definitions.
    defined: BTreeMap<(String, Uuid), String>,
    /// Every effect that reached the world, in order.
    calls: Vec<String>,
    /// Looks that were answered.
    looks: usize,
    /// Looks at hosts that hang: under way, and given up.
    hanging: usize,
    given_up: usize,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
    /// While closed, moves begin and do not end.
    gate: Arc<watch::Sender<bool>>,
}

impl World {
    /// Hosts, each with as many VMs as given.
    pub(super) fn new(hosts: &[(&str, usize)]) -> Self {
        let mut state = State::default();
        for (number, (name, count)) in (1..).zip(hosts) {
            let vm = |n: usize| (Uuid::from_u128(number * 100 + n as u128), format!("{name}-vm{n}"));
            let vms = (1..=*count).map(vm).collect();
            state.hosts.insert(
                (*name).to_owned(),
                FakeHost { on: true, boot: 1, fault: None, vms, ..FakeHost::default() },
            );
        }
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::new(watch::Sender::new(true)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn fault(&self, host: &str, fault: Option<Fault>) {
        self.state().hosts.get_mut(host).expect("a host").fault = fault;
    }

    pub(super) fn has_power_control(&self, host: &str) {
        self.state().hosts.get_mut(host).expect("a host").proves = true;
    }

    /// Its first VM crashes, and libvirt there says so.
    pub(super) fn crashes(&self, host: &str) {
        let mut state = self.state();
        let host = state.hosts.get_mut(host).expect("a host");
        let (vm, name) = host.vms.pop_first().expect("a VM");
        host.crashed.insert(vm, name);
    }

    /// Its power is cut.
    pub(super) fn dies(&self, host: &str) {
        let mut state = self.state();
        let host = state.hosts.get_mut(host).expect("a host");
        host.on = false;
        host.vms.clear();
    }

    pub(super) fn hold_moves(&self, hold: bool) {
        self.gate.send_replace(!hold);
    }

    pub(super) fn calls(&self, kind: &str) -> Vec<String> {
        self.state().calls.iter().filter(|call| call.starts_with(kind)).cloned().collect()
    }

    pub(super) fn effects(&self) -> usize {
        self.state().calls.len()
    }

    /// The move happens between the hosts, whoever still waits for it.
    pub(super) fn complete_move(&self, vm: Uuid, from: &str, to: &str) {
        let mut state = self.state();
        if let Some(name) = state.hosts.get_mut(from).expect("a host").vms.remove(&vm) {
            state.hosts.get_mut(to).expect("a host").vms.insert(vm, name);
        }
    }

    pub(super) fn all_vms(&self) -> usize {
        self.state().hosts.values().filter(|host| host.on).map(|host| host.vms.len()).sum()
    }

    pub(super) fn looks(&self) -> usize {
        self.state().looks
    }

    pub(super) fn hanging(&self) -> usize {
        self.state().hanging
    }

    pub(super) fn given_up(&self) -> usize {
        self.state().given_up
    }

    fn called(&self, call: String) {
        self.state().calls.push(call);
    }
}

fn facts(name: &str, host: &FakeHost, number: u128) -> HostFacts {
    let vm = |(uuid, name): (&Uuid, &String), crashed: bool| VmFacts {
        uuid: *uuid,
        name: name.clone(),
        state: if crashed { DomainState::ShutOff } else { DomainState::Running },
        vcpus: 1,
        mem: Mib(256),
        cpu: Some(MilliCpu(20)),
        dirty_mib_s: 0,
        job: None,
        persistent: true,
        autostart: false,
        crashed,
        immovable: None,
        devices: Devices::default(),
    };
    HostFacts {
        machine: Uuid::from_u128(number),
        boot: Uuid::from_u128(number << 64 | host.boot),
        uptime: Millis(0),
        hypervisor: None,
        cpus: 2,
        mem: Mib(2048),
        mem_available: Mib(1024),
        load15: Permille(u64::try_from(host.vms.len()).expect("few") * 10),
        cpu_used: MilliCpu(20),
        clock_offset_ms: 0,
        macs: vec![[2, 0, 0, 0, 0, name.len().to_le_bytes()[0]]],
        wake_on_lan: Some(true),
        networks: vec![],
        disk_lock: Some(true),
        people_idle: vec![],
        blocks: vec![],
        epoch: None,
        failures: vec![],
        vms: host
            .vms
            .iter()
            .map(|one| vm(one, false))
            .chain(host.crashed.iter().map(|one| vm(one, true)))
            .collect(),
    }
}

/// A look that nobody answers, until it is given up.
struct Hanging<'a>(&'a World);

impl<'a> Hanging<'a> {
    fn new(world: &'a World) -> Self {
        let mut state = world.state();
        // It is not answered.
        state.looks -= 1;
        state.hanging += 1;
        drop(state);
        Self(world)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.hanging -= 1;
        state.given_up += 1;
    }
}

#[async_trait]
impl Probe for World {
    async fn look(&self, host: &HostSpec, _deadline: Millis) -> Result<HostFacts, ProbeError> {
        let fault = {
            let mut state = self.state();
            state.looks += 1;
            let number = state.hosts.keys().position(|name| *name == host.name).expect("a host") as u128 + 1;
            let fake = &state.hosts[&host.name];
            match &fake.fault {
                None if fake.on => return Ok(facts(&host.name, fake, number)),
                None => return Err(ProbeError::Unreachable("no route to host".to_owned())),
                Some(fault) => fault.clone(),
            }
        };
        match fault {
            Fault::Answers(error) => Err(error),
            Fault::Hangs => {
                let _hangs = Hanging::new(self);
                std::future::pending().await
            }
            Fault::Panics => panic!("a bug in a driver"),
        }
    }

    async fn forget(&self, _host: &str) {}
}

#[async_trait]
impl Hypervisor for World {
    async fn migrate(&self, request: MoveRequest<'_>) -> Outcome {
        let (from, to) = (&request.from.name, &request.to.name);
        self.called(format!("migrate {} {from} {to}", request.vm));
        let mut gate = self.gate.subscribe();
        if gate.wait_for(|open| *open).await.is_err() {
            return Outcome::Unsure("the world ended".to_owned());
        }
        self.complete_move(request.vm, from, to);
        Outcome::Done { downtime: Some(Millis(20)) }
    }

    async fn abort(&self, vm: Uuid, from: &HostSpec, _deadline: Millis) -> Outcome {
        self.called(format!("abort {vm} {}", from.name));
        Outcome::Done { downtime: None }
    }

    async fn start(&self, vm: Uuid, host: &HostSpec, _deadline: Millis) -> Outcome {
        self.called(format!("start {vm} {}", host.name));
        let mut state = self.state();
        let runs = state.hosts.values().any(|host| host.on && host.vms.contains_key(&vm));
        assert!(!runs, "{vm} must not be started on {}", host.name);
        let crashed = state.hosts.get_mut(&host.name).expect("a host").crashed.remove(&vm);
        let Some(name) = state.defined.remove(&(host.name.clone(), vm)).or(crashed) else {
            return Outcome::Failed(OutcomeError::Driver("it is not defined there".to_owned()));
        };
        state.hosts.get_mut(&host.name).expect("a host").vms.insert(vm, name);
        Outcome::Done { downtime: None }
    }

    async fn stop(&self, vm: Uuid, host: &HostSpec, _deadline: Millis) -> Outcome {
        panic!("{vm} must not be stopped on {}", host.name)
    }

    async fn define(&self, host: &HostSpec, xml: &str, _deadline: Millis) -> Result<Uuid, DriverError> {
        self.called(format!("define {} {xml}", host.name));
        let (uuid, name) = xml.split_once(' ').expect("as `definitions` gave it");
        let uuid = uuid.parse().expect("a UUID");
        self.state().defined.insert((host.name.clone(), uuid), name.to_owned());
        Ok(uuid)
    }

    async fn undefine(&self, vm: Uuid, _host: &HostSpec, _deadline: Millis) -> Outcome {
        panic!("{vm} must not be undefined")
    }

    async fn definitions(&self, host: &HostSpec, _deadline: Millis) -> Result<Vec<Definition>, DriverError> {
        let of = |(uuid, name): (&Uuid, &String), state: DomainState| Definition {
            uuid: *uuid,
            name: name.clone(),
            state,
            persistent: true,
            xml: format!("{uuid} {name}"),
        };
        let host = &self.state().hosts[&host.name];
        let run = host.vms.iter().map(|one| of(one, DomainState::Running));
        Ok(run.chain(host.crashed.iter().map(|one| of(one, DomainState::ShutOff))).collect())
    }

    async fn settle(
        &self,
        vm: Uuid,
        from: &HostSpec,
        to: &HostSpec,
        _deadline: Millis,
    ) -> Result<Settled, DriverError> {
        self.called(format!("settle {vm} {} {}", from.name, to.name));
        Ok(Settled { settlement: Settlement::Unseen, source: End::Unseen, destination: End::Unseen })
    }
}

#[async_trait]
impl Power for World {
    fn can_prove_off(&self, host: &HostSpec) -> bool {
        self.state().hosts[&host.name].proves
    }

    async fn prove_off(&self, host: &HostSpec, _deadline: Millis) -> Outcome {
        self.called(format!("prove {}", host.name));
        self.dies(&host.name);
        Outcome::Done { downtime: None }
    }

    async fn wake(&self, host: &HostSpec, _deadline: Millis) -> Outcome {
        self.called(format!("wake {}", host.name));
        let mut state = self.state();
        let fake = state.hosts.get_mut(&host.name).expect("a host");
        fake.boot += u128::from(!fake.on);
        fake.on = true;
        Outcome::Done { downtime: None }
    }

    async fn off(&self, host: &HostSpec, order: &GuardOrder, _deadline: Millis) -> Outcome {
        self.called(format!("off {} {}", host.name, order.epoch));
        let mut state = self.state();
        let fake = state.hosts.get_mut(&host.name).expect("a host");
        if order.good_until.is_none() {
            return Outcome::Refused(vec![GuardRefusal::Late]);
        }
        if !fake.vms.is_empty() {
            return Outcome::Refused(vec![GuardRefusal::Qemu {
                count: u32::try_from(fake.vms.len()).expect("few"),
            }]);
        }
        fake.on = false;
        Outcome::Done { downtime: None }
    }

    async fn adopt(&self, host: &HostSpec, _order: &GuardOrder, _deadline: Millis) -> Outcome {
        self.called(format!("adopt {}", host.name));
        Outcome::Done { downtime: None }
    }
}
