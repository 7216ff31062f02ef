//! The world as it really is: hosts, VMs, links, power, people, faults. It carries out what it is asked to, late and
//! imperfectly as the real one does, and tells what happened as [`Note`]s.
//!
//! Absent: anything the controller believes. Drivers' behaviour is here ([`act`]), since they act in the world's name.

mod act;
mod energy;
pub(crate) mod fault;
mod flow;
mod half_done;
mod host;
mod load;
mod people;
mod power;
mod probe;
mod vm;

use energy::Sums;
pub(crate) use fault::Control;
pub use fault::Fault;
pub(crate) use fault::Lie;
pub use flow::{Flow, FlowId};
use host::Person;
pub use host::{HostTruth, Power};
pub(crate) use probe::{LATENCY as LOOK_LATENCY, NO_ROUTE, Probe};
pub use vm::VmTruth;

use crate::note::Note;
use act::Call;
use dormouse_model::{
    Cluster, DomainState, HostId, HostState, Intent, IntentId, Mib, MilliCpu, Millis, Mono, Outcome, VmSpec,
};
use fault::ClusterFaults;
use host::HostAccount;
use load::LoadAverage;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Chance and the guard's measure; the rest of the world comes from the cluster text.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    pub seed: u64,
    /// Boot and shutdown times differ from their spec by up to this share, either way. In thousandths; 0: exact.
    pub jitter_permille: u64,
    /// A login idle for longer does not keep the guard from agreeing.
    pub login_idle: Millis,
}

#[derive(Debug)]
pub struct World {
    pub(crate) now: Mono,
    pub hosts: Vec<HostTruth>,
    pub vms: Vec<VmTruth>,
    pub flows: Vec<Flow>,
    pub(crate) faults: ClusterFaults,
    pub(crate) sums: Sums,
    /// How many hosts were awake since when.
    pub hosts_on: Vec<(Mono, u32)>,
    by_uuid: BTreeMap<Uuid, usize>,
    calls: BTreeMap<IntentId, Call>,
    /// Sent by a manager that leads no longer.
    orphans: BTreeSet<IntentId>,
    nature: Nature,
    chance: ChaCha8Rng,
    next_flow: u64,
    flow_generation: u64,
    outbox: Outbox,
}

/// What the world wants done or known; the simulator takes it after each call.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) timers: Vec<(Mono, Timer)>,
    pub(crate) answers: Vec<(Mono, IntentId, Outcome)>,
    pub(crate) notes: Vec<Note>,
}

/// Something the world has set itself for later.
#[derive(Clone, Debug)]
pub(crate) enum Timer {
    /// A command reaches its host.
    Arrives(Box<Intent>),
    CallDeadline(IntentId),
    ReadBack {
        intent: IntentId,
        host: HostId,
    },
    Booted {
        host: HostId,
        generation: u64,
    },
    GoneOff {
        host: HostId,
        generation: u64,
    },
    Flows {
        generation: u64,
    },
}

impl World {
    #[must_use]
    pub fn new(cluster: &Cluster, nature: Nature) -> Self {
        let hosts = cluster
            .hosts
            .iter()
            .enumerate()
            .map(|(index, spec)| {
                let machine = VmSpec::uuid_of_name(&format!("machine {}", spec.name));
                HostTruth {
                    id: HostId::at(index),
                    power: if spec.state.is_down() { Power::Off } else { Power::On },
                    machine,
                    boot: Uuid::new_v5(&machine, b"boot 0"),
                    boots: 0,
                    up_since: Mono::ZERO,
                    generation: 0,
                    vms: BTreeSet::new(),
                    people: vec![],
                    blocks: vec![],
                    epoch: None,
                    faults: fault::HostFaults {
                        // `unknown` in a cluster text is a host that is on and cannot be heard.
                        silent: (spec.state == HostState::Unknown)
                            .then(|| fault::Lasting::from(Mono::ZERO, None)),
                        ..fault::HostFaults::default()
                    },
                    load: LoadAverage::steady(MilliCpu::ZERO),
                    demand: MilliCpu::ZERO,
                    account: HostAccount::default(),
                    spec: spec.clone(),
                }
            })
            .collect();
        let mut world = Self {
            now: Mono::ZERO,
            hosts,
            vms: vec![],
            flows: vec![],
            faults: ClusterFaults::default(),
            sums: Sums::new(cluster),
            hosts_on: vec![],
            by_uuid: BTreeMap::new(),
            calls: BTreeMap::new(),
            orphans: BTreeSet::new(),
            chance: ChaCha8Rng::seed_from_u64(nature.seed),
            nature,
            next_flow: 0,
            flow_generation: 0,
            outbox: Outbox::default(),
        };
        for vm in &cluster.vms {
            world.place(vm.clone());
        }
        for host in 0..world.hosts.len() {
            world.hosts[host].load = LoadAverage::steady(world.hosts[host].demand);
        }
        world.awake_changed();
        world
    }

    /// Puts a VM where its spec says.
    fn place(&mut self, spec: VmSpec) -> usize {
        let index = self.vms.len();
        let (at, uuid, stopped) = (spec.at, spec.uuid, spec.stopped);
        self.by_uuid.insert(uuid, index);
        self.vms.push(VmTruth {
            demand: spec.cpu,
            copies: vec![],
            flow: None,
            wanted: !stopped,
            worst_downtime: Millis::ZERO,
            was_lost: false,
            autostart_at: spec.autostart.then_some(at),
            crashed: false,
            spec,
        });
        self.set_copy(index, at, if stopped { DomainState::ShutOff } else { DomainState::Running });
        index
    }

    /// Time goes on; nothing else changes.
    pub(crate) fn advance(&mut self, now: Mono) {
        debug_assert!(now >= self.now, "time does not run backwards");
        self.now = now;
    }

    pub(crate) fn take_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    #[must_use]
    pub fn host(&self, id: HostId) -> &HostTruth {
        &self.hosts[id.index()]
    }

    fn host_mut(&mut self, id: HostId) -> &mut HostTruth {
        &mut self.hosts[id.index()]
    }

    #[must_use]
    pub fn vm_by_uuid(&self, uuid: Uuid) -> Option<&VmTruth> {
        self.by_uuid.get(&uuid).map(|index| &self.vms[*index])
    }

    #[must_use]
    pub fn vm_named(&self, name: &str) -> Option<&VmTruth> {
        self.vms.iter().find(|vm| vm.spec.name == name)
    }

    fn index_of(&self, uuid: Uuid) -> Option<usize> {
        self.by_uuid.get(&uuid).copied()
    }

    /// Memory that VMs hold here, a copy that is coming included; with the overhead of each.
    #[must_use]
    pub fn mem_used(&self, host: HostId) -> Mib {
        let overhead = self.host(host).spec.overhead;
        self.host(host)
            .vms
            .iter()
            .filter(|vm| self.vms[**vm].copy_on(host).is_some_and(DomainState::is_present))
            .map(|vm| self.vms[*vm].spec.mem + overhead)
            .sum()
    }

    /// VMs of which a process exists on this host, whatever it does.
    pub fn present_on(&self, host: HostId) -> impl Iterator<Item = &VmTruth> {
        self.host(host)
            .vms
            .iter()
            .map(|vm| &self.vms[*vm])
            .filter(move |vm| vm.copy_on(host).is_some_and(DomainState::is_present))
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.outbox.notes.push(note);
    }

    fn later(&mut self, after: Millis, timer: Timer) {
        self.outbox.timers.push((self.now + after, timer));
    }

    /// A span from the spec, shifted by the seed when nature is not exact.
    fn jittered(&mut self, span: Millis) -> Millis {
        let reach = span.0 * self.nature.jitter_permille / 1000;
        if reach == 0 {
            return span;
        }
        Millis(span.0 - reach + self.chance.next_u64() % (2 * reach + 1))
    }

    pub(crate) fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Arrives(intent) => self.arrives(&intent),
            Timer::CallDeadline(intent) => self.call_deadline(intent),
            Timer::ReadBack { intent, host } => self.read_back(intent, host),
            Timer::Booted { host, generation } if self.host(host).generation == generation => {
                self.booted(host)
            }
            Timer::GoneOff { host, generation } if self.host(host).generation == generation => {
                self.gone_off(host)
            }
            Timer::Flows { generation } if self.flow_generation == generation => self.flows_due(),
            Timer::Booted { .. } | Timer::GoneOff { .. } | Timer::Flows { .. } => {}
        }
    }

    /// Changes what a host holds of a VM, and what both want, in one place.
    fn set_copy(&mut self, vm: usize, host: HostId, state: DomainState) {
        self.settle(host);
        self.vms[vm].set(host, state);
        self.host_mut(host).vms.insert(vm);
        self.recount(host);
    }

    /// What was seen in a real cluster: this host has the VM so, or not at all. No world that lives by itself needs it.
    pub(crate) fn mirror(&mut self, vm: Uuid, host: HostId, state: Option<DomainState>) {
        match (self.index_of(vm), state) {
            (Some(vm), Some(state)) => self.set_copy(vm, host, state),
            (Some(vm), None) => self.drop_copy(vm, host),
            (None, _) => {}
        }
    }

    fn drop_copy(&mut self, vm: usize, host: HostId) {
        self.settle(host);
        self.vms[vm].drop_copy(host);
        self.host_mut(host).vms.remove(&vm);
        self.recount(host);
    }
}
