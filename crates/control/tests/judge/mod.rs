//! The judge of the laws: a world that can be anything, and the rules that every effect is held against.

mod law;

use dormouse_control::{
    Automation, Controller, Event, HostMemory, ManagerMemory, Memory, Now, Order, Settings, VmMemory,
};
use dormouse_model::{
    Action, CheckFailure, Cluster, DemandRow, Devices, DomainState, Epoch, HostFacts, HostId, HostState,
    Intent, IntentId, Job, JobKind, Mib, MilliCpu, Millis, Mono, Observation, ObservationId, Outcome,
    Permille, ProbeError, VmFacts, text,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// One host as it really is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) up: bool,
    pub(crate) silent: bool,
    pub(crate) deaf: bool,
    pub(crate) people: bool,
    pub(crate) boot: u128,
    pub(crate) machine: u128,
    pub(crate) failures: Vec<CheckFailure>,
    /// VMs by their number, with state and job.
    vms: BTreeMap<u128, (DomainState, bool)>,
}

/// What the judge remembers of the last look that the controller took in.
#[derive(Clone, Copy, Debug)]
struct Seen {
    asked: Mono,
    number: u64,
    good: bool,
    empty: bool,
    people: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Written,
    Durable,
    Acted,
    Closed,
    Refused,
}

pub(crate) struct Court {
    controller: Controller,
    cluster: Arc<Cluster>,
    pub(crate) now: Now,
    pub(crate) world: Vec<Place>,
    epoch: Epoch,
    until: Mono,
    leads: bool,
    /// A person paused, until then.
    paused: Option<Option<Mono>>,
    /// Plans that a person asked for.
    asked: BTreeSet<String>,
    books: BTreeMap<IntentId, (Intent, Stage)>,
    looks: BTreeMap<HostId, (ObservationId, Mono, u64)>,
    seen: BTreeMap<HostId, Seen>,
    states: Vec<HostState>,
    /// Effects are numbered: the number at which a host was marked draining.
    draining_at: Vec<u64>,
    number: u64,
    wakes: Vec<Mono>,
    sleeps: Vec<Mono>,
    hosts_memory: BTreeMap<String, HostMemory>,
    vms_memory: BTreeMap<Uuid, VmMemory>,
    manager_memory: ManagerMemory,
    demand: Vec<DemandRow>,
    acts: BTreeMap<&'static str, u32>,
    trail: Vec<String>,
}

impl Court {
    pub(crate) fn new(cluster: &str) -> Self {
        let cluster = Arc::new(text::parse(cluster).expect("the test's cluster text"));
        let now = Now { mono: Mono(10 * 86_400_000), wall: "2026-11-23T12:00:00Z".parse().expect("a time") };
        let mut world: Vec<_> = (0..cluster.hosts.len() as u128)
            .map(|id| Place {
                up: true,
                silent: false,
                deaf: false,
                people: false,
                boot: 1,
                machine: 1000 + id,
                failures: vec![],
                vms: BTreeMap::new(),
            })
            .collect();
        for (index, vm) in cluster.vms.iter().enumerate() {
            world[vm.at.index()].vms.insert(index as u128, (DomainState::Running, false));
        }
        let settings = Settings { automation: Automation::Auto, ..Settings::default() };
        let hosts = cluster.hosts.len();
        let mut court = Self {
            controller: Controller::new(settings, Arc::clone(&cluster), Memory::default(), now),
            cluster,
            now,
            world,
            epoch: Epoch(1),
            until: Mono::ZERO,
            leads: false,
            paused: None,
            asked: BTreeSet::new(),
            books: BTreeMap::new(),
            looks: BTreeMap::new(),
            seen: BTreeMap::new(),
            states: vec![HostState::Unknown; hosts],
            draining_at: vec![0; hosts],
            number: 0,
            wakes: vec![],
            sleeps: vec![],
            hosts_memory: BTreeMap::new(),
            vms_memory: BTreeMap::new(),
            manager_memory: ManagerMemory::default(),
            demand: vec![],
            acts: BTreeMap::new(),
            trail: vec![],
        };
        court.lead(false, Millis::from_secs(1_000_000));
        court
    }

    fn uuid(&self, vm: u128) -> Uuid {
        usize::try_from(vm)
            .ok()
            .and_then(|at| self.cluster.vms.get(at))
            .map_or(Uuid::from_u128(vm + 77), |vm| vm.uuid)
    }

    // What happens.

    pub(crate) fn pass(&mut self, span: Millis) {
        self.now.mono = self.now.mono + span;
        self.now.wall += jiff::SignedDuration::from_millis(i64::try_from(span.0).expect("a short span"));
        if self.paused.flatten().is_some_and(|until| until <= self.now.mono) {
            self.paused = None;
        }
        self.send(Event::Tick);
    }

    pub(crate) fn jump(&mut self, secs: i64) {
        self.now.wall += jiff::SignedDuration::from_secs(secs);
        self.send(Event::Tick);
    }

    pub(crate) fn lead(&mut self, new_epoch: bool, span: Millis) {
        self.epoch.0 += u64::from(new_epoch);
        (self.until, self.leads) = (self.now.mono + span, true);
        self.send(Event::Leads { epoch: self.epoch, until: self.until });
    }

    pub(crate) fn depose(&mut self) {
        self.leads = false;
        self.send(Event::Deposed);
        self.epoch.0 += 1;
    }

    pub(crate) fn order(&mut self, order: Order) {
        match &order {
            Order::Pause { until } => self.paused = Some(*until),
            Order::Resume => self.paused = None,
            _ => {}
        }
        if self.paused.flatten().is_some_and(|until| until <= self.now.mono) {
            self.paused = None;
        }
        self.send(Event::Order { by: "someone".to_owned(), order });
    }

    pub(crate) fn place_vm(&mut self, vm: u128, at: HostId, state: DomainState) {
        self.world[at.index()].vms.insert(vm, (state, false));
    }

    pub(crate) fn remove_vm(&mut self, vm: u128, at: HostId) {
        self.world[at.index()].vms.remove(&vm);
    }

    pub(crate) fn toggle_job(&mut self, at: HostId) {
        for vm in self.world[at.index()].vms.values_mut() {
            vm.1 = !vm.1;
        }
    }

    fn facts(&self, id: HostId) -> Result<HostFacts, ProbeError> {
        let place = &self.world[id.index()];
        if !place.up || place.silent {
            return Err(ProbeError::Unreachable("no route".to_owned()));
        }
        let spec = &self.cluster.hosts[id.index()];
        let vms = place.vms.iter().map(|(vm, (state, job))| VmFacts {
            uuid: self.uuid(*vm),
            name: format!("v{}", vm + 1),
            state: *state,
            vcpus: 1,
            mem: Mib(200),
            cpu: Some(MilliCpu(20)),
            dirty_mib_s: 0,
            job: job.then_some(Job {
                kind: JobKind::Other,
                elapsed: Millis(1),
                remaining: Mib(1),
                processed: Mib(1),
            }),
            persistent: true,
            autostart: false,
            crashed: false,
            immovable: None,
            devices: Devices::default(),
        });
        Ok(HostFacts {
            machine: Uuid::from_u128(place.machine),
            boot: Uuid::from_u128((place.boot << 64) + u128::from(id.0)),
            uptime: self.now.mono.since(Mono::ZERO),
            hypervisor: None,
            cpus: spec.cpus,
            mem: spec.mem,
            mem_available: Mib(0),
            load15: Permille(50),
            cpu_used: MilliCpu(0),
            clock_offset_ms: 0,
            macs: vec![],
            wake_on_lan: Some(true),
            networks: vec![],
            disk_lock: Some(true),
            people_idle: if place.people { vec![Millis(5)] } else { vec![] },
            blocks: vec![],
            epoch: None,
            failures: place.failures.clone(),
            vms: vms.collect(),
        })
    }

    /// The look under way there is answered by the world, or by this failure.
    pub(crate) fn answer_look(&mut self, host: HostId, error: Option<ProbeError>) {
        let Some((id, asked, number)) = self.looks.remove(&host) else { return };
        let result = error.map_or_else(|| self.facts(host), Err);
        let libvirt = |facts: &HostFacts| {
            !facts.failures.iter().any(|failure| matches!(failure, CheckFailure::Libvirt(_)))
        };
        let seen = match &result {
            Ok(facts) => Seen {
                asked,
                number,
                good: libvirt(facts),
                empty: !facts.vms.iter().any(|vm| vm.state.is_present()),
                people: !facts.people_idle.is_empty(),
            },
            Err(_) => Seen { asked, number, good: false, empty: false, people: false },
        };
        self.seen.insert(host, seen);
        self.send(Event::Observed(Observation { id, host, asked, answered: self.now.mono, result }));
    }

    /// An answer to a look that nobody waits for.
    pub(crate) fn stale_look(&mut self, host: HostId, id: ObservationId) {
        if self.looks.get(&host).is_none_or(|(waited, ..)| *waited != id) {
            let result = self.facts(host);
            self.send(Event::Observed(Observation {
                id,
                host,
                asked: self.now.mono,
                answered: self.now.mono,
                result,
            }));
        }
    }

    /// A word of the store that was said before, or that nobody asked for.
    pub(crate) fn durable_again(&mut self, id: IntentId) {
        if self.books.get(&id).is_none_or(|(_, stage)| *stage != Stage::Written) {
            self.send(Event::Durable(id));
        }
    }

    fn at_stage(&self, stage: Stage) -> Vec<IntentId> {
        self.books.iter().filter(|(_, (_, at))| *at == stage).map(|(id, _)| *id).collect()
    }

    pub(crate) fn answer_write(&mut self, which: usize, durable: bool) {
        let open = self.at_stage(Stage::Written);
        let Some(id) = (!open.is_empty()).then(|| open[which % open.len()]) else { return };
        self.book(id, if durable { Stage::Durable } else { Stage::Refused });
        self.send(if durable {
            Event::Durable(id)
        } else {
            Event::NotDurable { intent: id, why: "full".to_owned() }
        });
    }

    fn book(&mut self, id: IntentId, stage: Stage) {
        self.books.get_mut(&id).expect("a known intent").1 = stage;
    }

    /// One running effect ends with that word; whether it took place is another matter.
    pub(crate) fn end_act(&mut self, which: usize, outcome: Outcome, happened: bool) {
        let open = self.at_stage(Stage::Acted);
        let Some(id) = (!open.is_empty()).then(|| open[which % open.len()]) else { return };
        if happened {
            self.happen(id);
        }
        self.send(Event::Ended { intent: id, outcome });
    }

    fn happen(&mut self, id: IntentId) {
        let intent = self.books[&id].0.clone();
        match intent.action {
            Action::Migrate { from, to, .. } => {
                let uuid = intent.vm.expect("a move has a VM");
                let vm = (0..16).find(|vm| self.uuid(*vm) == uuid).expect("a VM of the test");
                if let Some(moved) = self.world[from.index()].vms.remove(&vm) {
                    self.world[to.index()].vms.insert(vm, moved);
                }
            }
            Action::Sleep { host } => {
                let place = &mut self.world[host.index()];
                place.up &= place.vms.values().any(|(state, _)| state.is_present());
            }
            Action::Wake { host } => {
                let place = &mut self.world[host.index()];
                if !place.up && !place.deaf {
                    place.up = true;
                    place.boot += 1;
                }
            }
            Action::Start { .. } | Action::Stop { .. } | Action::Fence { .. } => {
                panic!("nobody asked for that")
            }
        }
    }

    /// Everything is answered at once and truthfully for so many seconds.
    pub(crate) fn honest(&mut self, secs: u64) {
        for _ in 0..secs {
            self.pass(Millis(1000));
            for _ in 0..64 {
                let hosts: Vec<_> = self.looks.keys().copied().collect();
                let (writes, acts) = (self.at_stage(Stage::Written), self.at_stage(Stage::Acted));
                let acts: Vec<_> = acts
                    .into_iter()
                    .filter(|id| self.controller.in_flight().any(|flight| flight.id == *id))
                    .collect();
                let waiting = |id: &IntentId| self.controller.in_flight().any(|flight| flight.id == *id);
                if hosts.is_empty() && writes.is_empty() && !acts.iter().any(waiting) {
                    break;
                }
                hosts.into_iter().for_each(|host| self.answer_look(host, None));
                writes.iter().for_each(|_| self.answer_write(0, true));
                for id in acts {
                    self.happen(id);
                    self.send(Event::Ended { intent: id, outcome: Outcome::Done { downtime: None } });
                }
            }
        }
    }

    /// The manager dies, and another starts from what is stored; of what was being written, all or nothing had arrived.
    pub(crate) fn restart(&mut self, arrived: bool) {
        for id in self.at_stage(Stage::Written) {
            self.book(id, if arrived { Stage::Durable } else { Stage::Refused });
        }
        let open = [self.at_stage(Stage::Durable), self.at_stage(Stage::Acted)].concat();
        let memory = Memory {
            hosts: self.hosts_memory.values().cloned().collect(),
            vms: self.vms_memory.values().cloned().collect(),
            demand: self.demand.clone(),
            manager: self.manager_memory.clone(),
            open: open.iter().map(|id| Intent { written: Mono::ZERO, ..self.books[id].0.clone() }).collect(),
            last_intent: self.books.keys().map(|id| id.0).max().unwrap_or(0),
        };
        for (index, host) in self.cluster.hosts.iter().enumerate() {
            self.states[index] =
                self.hosts_memory.get(&host.name).map_or(HostState::Unknown, |memory| memory.state);
        }
        let settings = Settings { automation: Automation::Auto, ..Settings::default() };
        self.controller = Controller::new(settings, Arc::clone(&self.cluster), memory, self.now);
        (self.paused, self.leads) = (None, false);
        for forgotten in [&mut self.wakes, &mut self.sleeps] {
            forgotten.clear();
        }
        self.looks.clear();
        self.seen.clear();
        self.trail.push("restart".to_owned());
        self.lead(true, Millis::from_secs(100_000));
    }

    /// Every fault ends: hosts answer and are whole, each VM runs in one place, nobody stands in the way.
    pub(crate) fn heal(&mut self) {
        let mut placed = BTreeSet::new();
        for (index, place) in self.world.iter_mut().enumerate() {
            (place.silent, place.deaf, place.people, place.machine) =
                (false, false, false, 1000 + index as u128);
            place.failures.clear();
            place.vms.retain(|vm, _| placed.insert(*vm));
            place.vms.values_mut().for_each(|vm| *vm = (DomainState::Running, false));
            place.up |= !place.vms.is_empty();
        }
        self.order(Order::Automation(Automation::Auto));
        for id in self.at_stage(Stage::Acted) {
            self.send(Event::Ended { intent: id, outcome: Outcome::Unsure("healed".to_owned()) });
        }
        self.order(Order::Resume);
    }
}
