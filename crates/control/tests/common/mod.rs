//! A world of the simplest kind for tests of the controller: every effect is answered at once and truthfully, unless the
//! test says otherwise. Text in (a cluster), trail out.

use dormouse_control::{
    Automation, Controller, Effect, Event, HostMemory, Level, ManagerMemory, Memory, Now, Order, Settings,
    VmMemory,
};
use dormouse_model::{
    Action, DemandRow, Devices, DomainState, Epoch, GuardRefusal, HostFacts, HostId, HostState, Intent,
    IntentId, Job, JobKind, Lack, Mib, MilliCpu, Millis, Mono, Observation, Outcome, OutcomeError, Permille,
    ProbeError, VmFacts, text,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use uuid::Uuid;

/// Days before the start, so that remembered times have a place.
pub(crate) const START: Mono = Mono(10 * 86_400_000);

pub(crate) struct World {
    pub(crate) controller: Controller,
    pub(crate) cluster: Arc<dormouse_model::Cluster>,
    pub(crate) now: Now,
    /// Hosts that run, and what runs on them.
    pub(crate) up: BTreeSet<HostId>,
    pub(crate) vms: BTreeMap<HostId, BTreeSet<usize>>,
    pub(crate) boots: BTreeMap<HostId, u128>,
    pub(crate) hypervisors: BTreeMap<HostId, String>,
    /// Hosts that lack something: moves there are refused. Hosts that do not reach each other: moves fail.
    pub(crate) lacks: BTreeMap<HostId, Lack>,
    pub(crate) cut: BTreeSet<(HostId, HostId)>,
    /// VMs that crashed, by place: shut off, and their host says why.
    pub(crate) crashed: BTreeSet<usize>,
    /// Power controls that say off and do nothing, and those that refuse us.
    pub(crate) lying: BTreeSet<HostId>,
    pub(crate) refusing: BTreeMap<HostId, String>,
    /// Wakes sent without a word on disk.
    pub(crate) alone: Vec<HostId>,
    /// Hosts that do not answer looks.
    pub(crate) silent: BTreeSet<HostId>,
    /// Hosts that answer with nonsense, and hosts whose VMs are larger than anything.
    pub(crate) garbled: BTreeSet<HostId>,
    pub(crate) boasts: BTreeSet<HostId>,
    /// Hosts on which libvirt locks no disks.
    pub(crate) unlocked: BTreeSet<HostId>,
    /// VMs that their users paused, and VMs on which a job runs, by place.
    pub(crate) paused: BTreeSet<usize>,
    pub(crate) jobs: BTreeSet<usize>,
    /// Those jobs are backups, not moves.
    pub(crate) backups: bool,
    /// What a host says of a VM, where that is not simply running.
    pub(crate) states: BTreeMap<(HostId, usize), DomainState>,
    pub(crate) people: BTreeMap<HostId, Vec<Millis>>,
    pub(crate) clock_offset: BTreeMap<HostId, i64>,
    /// Wakes that never arrive.
    pub(crate) deaf: BTreeSet<HostId>,
    /// Hosts whose guard agrees and which do not go off.
    pub(crate) stubborn: BTreeSet<HostId>,
    pub(crate) store_full: bool,
    /// `Some`: the store takes its time; what it was asked to write waits here.
    pub(crate) held: Option<Vec<IntentId>>,
    /// Outcomes forced for the next acts, by kind.
    pub(crate) next_outcome: BTreeMap<&'static str, Outcome>,
    /// Acts that are not answered.
    pub(crate) mute: bool,
    pub(crate) epoch: Epoch,
    pub(crate) trail: Vec<String>,
    pub(crate) acts: Vec<Intent>,
    /// How often each host was looked at.
    pub(crate) looks: BTreeMap<HostId, usize>,
    pub(crate) closed: Vec<(IntentId, Outcome)>,
    pub(crate) written: BTreeMap<IntentId, Intent>,
    pub(crate) hosts_memory: BTreeMap<String, HostMemory>,
    pub(crate) vms_memory: BTreeMap<Uuid, VmMemory>,
    pub(crate) manager_memory: ManagerMemory,
    pub(crate) demand: Vec<DemandRow>,
    pub(crate) settings: Settings,
    begun: Mono,
}

impl World {
    /// Mon 2026-11-23 12:00 UTC, automation `auto`, an epoch that never ends.
    pub(crate) fn new(text: &str) -> Self {
        Self::with(text, Settings { automation: Automation::Auto, ..Settings::default() })
    }

    pub(crate) fn with(text: &str, settings: Settings) -> Self {
        let cluster = Arc::new(text::parse(text).expect("the test's cluster text"));
        let now = Now { mono: START, wall: "2026-11-23T12:00:00Z".parse().expect("a time") };
        let mut vms: BTreeMap<HostId, BTreeSet<usize>> = BTreeMap::new();
        for (index, vm) in cluster.vms.iter().enumerate().filter(|(_, vm)| !vm.stopped) {
            vms.entry(vm.at).or_default().insert(index);
        }
        let memory = Memory { hosts: remembered(&cluster), ..Memory::default() };
        let up = cluster.host_ids().filter(|id| cluster.hosts[id.index()].state == HostState::On).collect();
        let mut world = Self {
            controller: Controller::new(settings.clone(), Arc::clone(&cluster), memory, now),
            cluster,
            now,
            up,
            vms,
            boots: BTreeMap::new(),
            hypervisors: BTreeMap::new(),
            lacks: BTreeMap::new(),
            cut: BTreeSet::new(),
            crashed: BTreeSet::new(),
            lying: BTreeSet::new(),
            refusing: BTreeMap::new(),
            alone: vec![],
            silent: BTreeSet::new(),
            garbled: BTreeSet::new(),
            boasts: BTreeSet::new(),
            unlocked: BTreeSet::new(),
            paused: BTreeSet::new(),
            jobs: BTreeSet::new(),
            backups: false,
            states: BTreeMap::new(),
            people: BTreeMap::new(),
            clock_offset: BTreeMap::new(),
            deaf: BTreeSet::new(),
            stubborn: BTreeSet::new(),
            store_full: false,
            held: None,
            next_outcome: BTreeMap::new(),
            mute: false,
            epoch: Epoch(1),
            trail: vec![],
            acts: vec![],
            looks: BTreeMap::new(),
            closed: vec![],
            written: BTreeMap::new(),
            hosts_memory: BTreeMap::new(),
            vms_memory: BTreeMap::new(),
            manager_memory: ManagerMemory::default(),
            demand: vec![],
            settings: settings.clone(),
            begun: START,
        };
        world.send(Event::Leads { epoch: Epoch(1), until: Mono(u64::MAX) });
        world
    }

    /// The manager dies and another starts from what the store holds.
    pub(crate) fn restart(&mut self) {
        let open = self
            .written
            .values()
            .filter(|intent| !self.closed.iter().any(|(id, _)| *id == intent.id))
            .cloned()
            .collect();
        let memory = Memory {
            hosts: self.hosts_memory.values().cloned().collect(),
            vms: self.vms_memory.values().cloned().collect(),
            demand: self.demand.clone(),
            manager: self.manager_memory.clone(),
            open,
            last_intent: self.written.keys().map(|id| id.0).max().unwrap_or(0),
        };
        self.controller = Controller::new(self.settings.clone(), Arc::clone(&self.cluster), memory, self.now);
        self.epoch = Epoch(self.epoch.0 + 1);
        self.mute = false;
        self.note("manager restarts");
        self.send(Event::Leads { epoch: self.epoch, until: Mono(u64::MAX) });
    }

    /// What the store held back becomes durable now.
    pub(crate) fn release(&mut self) {
        for id in self.held.take().unwrap_or_default() {
            self.send(Event::Durable(id));
        }
    }

    pub(crate) fn host(&self, name: &str) -> HostId {
        self.cluster.host_named(name).expect("a host of the test")
    }

    pub(crate) fn state(&self, name: &str) -> HostState {
        self.controller.snapshot(self.now).host(self.host(name)).state
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.send(Event::Order { by: "test".to_owned(), order });
    }

    /// Lets time pass, a second at a time.
    pub(crate) fn run(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now.mono = self.now.mono + Millis(1000);
            self.now.wall += jiff::SignedDuration::from_secs(1);
            self.send(Event::Tick);
        }
    }

    pub(crate) fn send(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.controller.handle(self.now, event) {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn note(&mut self, line: &str) {
        let at = self.now.mono.since(self.begun).as_secs();
        self.trail.push(format!("{at:>5} {line}"));
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Look { id, host, .. } => {
                *self.looks.entry(host).or_default() += 1;
                let result = self.look(host);
                Some(Event::Observed(Observation {
                    id,
                    host,
                    asked: self.now.mono,
                    answered: self.now.mono,
                    result,
                }))
            }
            Effect::Write(intent) if self.store_full => {
                Some(Event::NotDurable { intent: intent.id, why: "disk full".to_owned() })
            }
            Effect::Write(intent) => {
                let id = intent.id;
                self.written.insert(id, intent);
                if let Some(held) = &mut self.held {
                    held.push(id);
                    return None;
                }
                Some(Event::Durable(id))
            }
            Effect::Act(intent) => self.act(&intent),
            Effect::Close { intent, outcome } => {
                self.closed.push((intent, outcome));
                None
            }
            Effect::RememberHost(memory) => {
                self.hosts_memory.insert(memory.host.clone(), memory);
                None
            }
            Effect::RememberVm(memory) => {
                self.vms_memory.insert(memory.vm, memory);
                None
            }
            Effect::RememberManager(memory) => {
                self.manager_memory = memory;
                None
            }
            Effect::RememberDemand(batch) => {
                self.demand.extend(batch.rows);
                None
            }
            Effect::Tell(event) => {
                if event.level > Level::Debug {
                    self.note(&event.to_string());
                }
                None
            }
            Effect::Abort(intent) => {
                self.note(&format!("abort {}", intent.id));
                None
            }
            Effect::WakeAlone(host) => {
                self.alone.push(host);
                if !self.deaf.contains(&host) && self.up.insert(host) {
                    *self.boots.entry(host).or_default() += 1;
                }
                None
            }
            Effect::Settle(intent) => {
                self.note(&format!("settle {}", intent.id));
                None
            }
        }
    }

    /// An act that was not answered is carried out and answered now.
    pub(crate) fn answer(&mut self, intent: &Intent) {
        self.acts.retain(|act| act.id != intent.id);
        if let Some(event) = self.act(intent) {
            self.send(event);
        }
    }

    /// An act that was not answered ends like this, and nothing was done.
    pub(crate) fn end(&mut self, intent: &Intent, outcome: Outcome) {
        self.send(Event::Ended { intent: intent.id, outcome });
    }

    fn act(&mut self, intent: &Intent) -> Option<Event> {
        self.acts.push(intent.clone());
        if self.mute {
            return None;
        }
        if let Some(outcome) = self.next_outcome.remove(intent.action.kind()) {
            return Some(Event::Ended { intent: intent.id, outcome });
        }
        let mut outcome = Outcome::Done { downtime: None };
        match intent.action {
            Action::Migrate { to, .. } if self.lacks.contains_key(&to) => {
                let why = "unsupported configuration".to_owned();
                outcome = Outcome::Failed(OutcomeError::Unfit { lacks: self.lacks[&to], why });
            }
            Action::Migrate { from, to, .. } if self.cut.contains(&(from, to)) => {
                outcome = Outcome::Failed(OutcomeError::Driver("unable to connect".to_owned()));
            }
            Action::Migrate { vm, from, to } => {
                assert!(
                    self.vms.entry(from).or_default().remove(&vm.index()),
                    "moved a VM that was not there"
                );
                assert!(self.up.contains(&to), "moved a VM to a host that is off");
                self.vms.entry(to).or_default().insert(vm.index());
            }
            Action::Sleep { host } => {
                let running = self.vms.get(&host).map_or(0, BTreeSet::len);
                assert_eq!(running, 0, "asked the guard of a host with VMs");
                if self.people.contains_key(&host) {
                    outcome = Outcome::Refused(vec![GuardRefusal::People { count: 1 }]);
                } else if !self.stubborn.contains(&host) {
                    self.up.remove(&host);
                }
            }
            Action::Wake { host } => {
                if !self.deaf.contains(&host) && self.up.insert(host) {
                    *self.boots.entry(host).or_default() += 1;
                }
            }
            Action::Start { vm, host } => {
                let crashed = self.crashed.remove(&vm.index());
                let runs = !crashed
                    && self.vms.iter().any(|(at, vms)| self.up.contains(at) && vms.contains(&vm.index()));
                assert!(!runs, "started a VM that runs");
                assert!(self.up.contains(&host), "started a VM on a host that is off");
                self.vms.values_mut().for_each(|vms| _ = vms.remove(&vm.index()));
                self.vms.entry(host).or_default().insert(vm.index());
            }
            Action::Fence { host } => {
                if let Some(why) = self.refusing.get(&host) {
                    outcome = Outcome::Failed(OutcomeError::Driver(why.clone()));
                } else if !self.lying.contains(&host) {
                    self.up.remove(&host);
                    self.vms.remove(&host);
                }
            }
            Action::Stop { .. } => panic!("no policy stops VMs"),
        }
        Some(Event::Ended { intent: intent.id, outcome })
    }

    fn look(&self, id: HostId) -> Result<HostFacts, ProbeError> {
        if !self.up.contains(&id) || self.silent.contains(&id) {
            return Err(ProbeError::Unreachable("no route".to_owned()));
        }
        if self.garbled.contains(&id) {
            return Err(ProbeError::Malformed("half an answer".to_owned()));
        }
        let spec = &self.cluster.hosts[id.index()];
        let vms = self.vms.get(&id).into_iter().flatten().map(|index| {
            let vm = &self.cluster.vms[*index];
            VmFacts {
                uuid: vm.uuid,
                name: vm.name.clone(),
                state: match self.states.get(&(id, *index)) {
                    Some(state) => *state,
                    None if self.crashed.contains(index) => DomainState::ShutOff,
                    None if self.paused.contains(index) => DomainState::Paused,
                    None => DomainState::Running,
                },
                vcpus: vm.vcpus,
                mem: if self.boasts.contains(&id) { Mib::MAX } else { vm.mem },
                cpu: Some(vm.cpu),
                dirty_mib_s: 0,
                job: self.jobs.contains(index).then_some(Job {
                    kind: if self.backups { JobKind::Other } else { JobKind::MigrationOut },
                    elapsed: Millis(0),
                    remaining: Mib(100),
                    processed: Mib(1),
                }),
                persistent: true,
                autostart: false,
                crashed: self.crashed.contains(index),
                immovable: None,
                devices: Devices::default(),
            }
        });
        Ok(HostFacts {
            machine: Uuid::from_u128(1000 + u128::from(id.0)),
            boot: Uuid::from_u128(
                1_000_000 * (1 + self.boots.get(&id).copied().unwrap_or(0)) + u128::from(id.0),
            ),
            uptime: self.now.mono.since(Mono::ZERO),
            hypervisor: self.hypervisors.get(&id).cloned(),
            cpus: spec.cpus,
            mem: spec.mem,
            mem_available: Mib(0),
            load15: Permille(50),
            cpu_used: MilliCpu(0),
            clock_offset_ms: self.clock_offset.get(&id).copied().unwrap_or(0),
            macs: vec![],
            wake_on_lan: Some(true),
            networks: vec![],
            disk_lock: Some(!self.unlocked.contains(&id)),
            people_idle: self.people.get(&id).cloned().unwrap_or_default(),
            blocks: vec![],
            epoch: None,
            failures: vec![],
            vms: vms.collect(),
        })
    }

    /// How many lines of the trail contain all of this.
    pub(crate) fn told(&self, words: &[&str]) -> usize {
        self.trail.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// The lines of the trail that contain any of these words.
    pub(crate) fn trail_of(&self, words: &[&str]) -> String {
        let mut lines = String::new();
        for line in self.trail.iter().filter(|line| words.iter().any(|word| line.contains(word))) {
            writeln!(lines, "{line}").expect("a string takes all");
        }
        lines
    }

    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.acts.iter().map(|intent| intent.action.kind()).collect()
    }
}

/// Hosts that the text says are not on, as a store would remember them.
fn remembered(cluster: &dormouse_model::Cluster) -> Vec<HostMemory> {
    cluster
        .hosts
        .iter()
        .filter(|host| host.state != HostState::On)
        .map(|host| HostMemory {
            host: host.name.clone(),
            state: host.state,
            since: 0,
            machine: None,
            hypervisor: None,
            boot: None,
            proven: true,
            maintenance: false,
            drain: false,
            sleep_asked: false,
            maybe_asleep: false,
            fenced: false,
            proofs: 0,
            aside: None,
            sleeps: vec![],
            tries: 0,
            wake_try: None,
            word_gone: false,
            offs: vec![],
            boots_s: vec![],
        })
        .collect()
}
