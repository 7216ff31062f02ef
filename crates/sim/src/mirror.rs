//! What really happened, told by whoever watched it: the rules of the simulation over the records of a real cluster.
//!
//! A [`Mirror`] is a [`World`] in which nothing happens by itself. Heartbeats, power, audit log and trail are told to it in
//! the order of their times, and the simulator's own checkers judge them. It knows no file and no format.

use dormouse_control::{Level, LogEvent, Settings};
use dormouse_model::{
    Cluster, DomainState, Epoch, HostId, HostState, Intent, IntentId, Millis, Mono, Outcome,
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use crate::invariants::{Checkers, Scene, Violation};
use crate::note::{MoveEnd, Note};
use crate::world::{Nature, Power, World};

/// One thing that was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Heard from this host, after a boot of its own.
    Booted {
        vm: Uuid,
        host: HostId,
    },
    /// Heard from this host, and it went on counting where it had left off.
    Moved {
        vm: Uuid,
        from: HostId,
        to: HostId,
    },
    /// Heard from both in one stretch of its counter.
    Twice {
        vm: Uuid,
        host: HostId,
        other: HostId,
    },
    /// The host has power.
    On {
        host: HostId,
    },
    /// Someone pulls the plug; these may go down with it.
    Cut {
        host: HostId,
        held: Vec<Uuid>,
    },
    /// It is without power, by no word of its own.
    Died {
        host: HostId,
    },
    /// It switched itself off. What its guard had written down, and the VMs whose processes were still there.
    WentOff {
        host: HostId,
        epoch: Option<Epoch>,
        held: Vec<Uuid>,
    },
    /// A manager took the lead.
    Leads {
        epoch: Epoch,
    },
    /// Written to the audit log: before, at and after an effect.
    Intended(Intent),
    Began {
        intent: IntentId,
    },
    Ended {
        intent: IntentId,
        outcome: Outcome,
    },
    /// A line of the trail.
    Told {
        name: String,
        fields: Vec<(String, String)>,
    },
    /// Nothing is under way: the hosts with a process of each VM, and those whose disks hold its definition.
    Rest {
        processes: BTreeMap<Uuid, Vec<HostId>>,
        defined: BTreeMap<Uuid, Vec<HostId>>,
    },
}

#[derive(Debug)]
pub struct Mirror {
    cluster: Cluster,
    world: World,
    settings: Settings,
    belief: Vec<HostState>,
    ordered: BTreeSet<HostId>,
    checkers: Checkers,
    intents: BTreeMap<IntentId, Intent>,
    /// May be without a process: they went down with a host.
    excused: BTreeSet<Uuid>,
    at: Mono,
}

/// By then every intent has its outcome.
const IN_THE_END: Millis = Millis::from_mins(60 * 24 * 365);

impl Mirror {
    /// VMs of the text bear the UUIDs that are told.
    #[must_use]
    pub fn new(cluster: Cluster, settings: Settings) -> Self {
        let nature = Nature { seed: 0, jitter_permille: 0, login_idle: settings.login_idle };
        let hosts = cluster.hosts.len();
        Self {
            world: World::new(&cluster, nature),
            belief: cluster.hosts.iter().map(|host| host.state).collect(),
            ordered: BTreeSet::new(),
            checkers: Checkers::of_records(hosts),
            intents: BTreeMap::new(),
            excused: BTreeSet::new(),
            at: Mono::ZERO,
            cluster,
            settings,
        }
    }

    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Takes what was seen at that time. Times do not run backwards; one that does counts as now.
    pub fn see(&mut self, at: Mono, seen: Seen) {
        self.at = self.at.max(at);
        self.world.advance(self.at);
        let notes = self.take(seen);
        for note in &notes {
            self.judge(|checkers, scene| checkers.note(note, scene));
        }
        self.judge(|checkers, scene| checkers.after(scene));
    }

    /// The records are over, and nothing is under way.
    #[must_use]
    pub fn end(mut self) -> Vec<Violation> {
        self.at = self.at + IN_THE_END;
        self.judge(|checkers, scene| checkers.at_end(scene));
        self.checkers.found.violations
    }

    fn take(&mut self, seen: Seen) -> Vec<Note> {
        match seen {
            Seen::Booted { vm, host } => {
                self.excused.remove(&vm);
                self.lives(vm, host);
                vec![Note::VmStarted { vm, at: host }]
            }
            Seen::Moved { vm, from, to } => {
                self.world.mirror(vm, from, None);
                self.lives(vm, to);
                let end = MoveEnd::Done { downtime: Millis::ZERO };
                vec![Note::MoveEnded { vm, from, to, intent: None, end, took: Millis::ZERO }]
            }
            Seen::Twice { vm, host, other } => {
                self.world.mirror(vm, host, Some(DomainState::Running));
                self.world.mirror(vm, other, Some(DomainState::Running));
                vec![]
            }
            Seen::On { host } => vec![self.power(host, Power::On, "seen")],
            Seen::Cut { held, .. } => {
                self.excused.extend(held);
                vec![]
            }
            Seen::Died { host } => {
                let lost = self.goes_down(host);
                lost.into_iter().chain([self.power(host, Power::Off, "cut")]).collect()
            }
            Seen::WentOff { host, epoch, held } => self.goes_off(host, epoch, &held),
            Seen::Leads { epoch } => {
                let epoch = epoch.0;
                vec![Note::ManagerUp { epoch }, Note::Leased { epoch, until: Mono(u64::MAX) }]
            }
            Seen::Intended(intent) => {
                let id = intent.id;
                self.intents.insert(id, intent.clone());
                vec![Note::Wrote(intent), Note::Durable(id)]
            }
            Seen::Began { intent } => {
                let written = self.intents.get(&intent).cloned();
                if written.is_none() {
                    let text = format!("i{} was carried out, and nobody wrote that it would be", intent.0);
                    self.checkers.found.add("I15", self.at, text);
                }
                written.map(Note::Acted).into_iter().collect()
            }
            Seen::Ended { intent, outcome } => vec![Note::Closed { intent, outcome }],
            Seen::Told { name, fields } => self.tells(&name, &fields),
            Seen::Rest { processes, defined } => {
                self.rests(&processes, &defined);
                vec![]
            }
        }
    }

    /// Runs there; what other hosts have of it is a definition at most.
    fn lives(&mut self, vm: Uuid, host: HostId) {
        for other in self.copies(vm) {
            self.world.mirror(vm, other, Some(DomainState::ShutOff));
        }
        self.world.mirror(vm, host, Some(DomainState::Running));
    }

    fn copies(&self, vm: Uuid) -> Vec<HostId> {
        let copies = self.world.vm_by_uuid(vm).map(|vm| vm.copies.as_slice()).unwrap_or_default();
        copies.iter().map(|copy| copy.host).collect()
    }

    fn power(&mut self, host: HostId, to: Power, cause: &'static str) -> Note {
        let from = std::mem::replace(&mut self.world.hosts[host.index()].power, to);
        Note::Power { host, from, to, cause }
    }

    fn goes_down(&mut self, host: HostId) -> Vec<Note> {
        let lost: Vec<Uuid> = self.world.present_on(host).map(|vm| vm.spec.uuid).collect();
        for vm in &lost {
            self.excused.insert(*vm);
            self.world.mirror(*vm, host, Some(DomainState::ShutOff));
        }
        lost.into_iter().map(|vm| Note::VmLost { vm, at: host }).collect()
    }

    fn goes_off(&mut self, host: HostId, epoch: Option<Epoch>, held: &[Uuid]) -> Vec<Note> {
        for vm in held {
            // Whether it ran or was paused nobody knows: it was there.
            if self.world.vm_by_uuid(*vm).and_then(|vm| vm.copy_on(host)) != Some(DomainState::Running) {
                self.world.mirror(*vm, host, Some(DomainState::Paused));
            }
        }
        // The rule is about what is there as the guard lets go: it must hear of that before it is gone.
        let agreed = Note::GuardAgreed { host, epoch: epoch.unwrap_or(Epoch(0)) };
        self.judge(|checkers, scene| checkers.note(&agreed, scene));
        let stopping = self.power(host, Power::Stopping, "guard");
        let lost = self.goes_down(host);
        [stopping].into_iter().chain(lost).chain([self.power(host, Power::Off, "off")]).collect()
    }

    fn tells(&mut self, name: &str, fields: &[(String, String)]) -> Vec<Note> {
        const NAMES: [&str; 2] = ["host.state", "vm.state"];
        const KEYS: [&str; 5] = ["host", "vm", "from", "to", "cause"];
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else { return vec![] };
        let mut event = LogEvent::new(Level::Info, name);
        for (key, value) in fields {
            if let Some(key) = KEYS.into_iter().find(|known| known == key) {
                event = event.with(key, value);
            }
        }
        vec![Note::Told(event)]
    }

    fn rests(&mut self, processes: &BTreeMap<Uuid, Vec<HostId>>, defined: &BTreeMap<Uuid, Vec<HostId>>) {
        let none = vec![];
        let vms: Vec<(Uuid, String)> =
            self.world.vms.iter().map(|vm| (vm.spec.uuid, vm.spec.name.clone())).collect();
        for (vm, name) in vms {
            let (runs, holds) = (processes.get(&vm).unwrap_or(&none), defined.get(&vm).unwrap_or(&none));
            if runs.is_empty() && !self.excused.contains(&vm) {
                let text = format!("{name} runs nowhere, and no host went down with it");
                self.checkers.found.add(LOST, self.at, text);
            }
            if !runs.is_empty() {
                self.excused.remove(&vm);
            }
            if let [first, second, ..] = runs.as_slice() {
                let host = |id: &HostId| self.cluster.hosts[id.index()].name.clone();
                let text = format!("{name} has processes on {} and {} at rest", host(first), host(second));
                self.checkers.found.add("I22", self.at, text);
            }
            for host in self.copies(vm) {
                self.world.mirror(vm, host, None);
            }
            for host in holds {
                self.world.mirror(vm, *host, Some(DomainState::ShutOff));
            }
            for host in runs {
                self.world.mirror(vm, *host, Some(DomainState::Paused));
            }
            if let [only] = runs.as_slice() {
                self.world.mirror(vm, *only, Some(DomainState::Running));
            }
            // A definition is what is kept on a disk: a process alone does not survive its end.
            if holds.is_empty() {
                let text = format!("{name} is on no disk any more");
                self.checkers.found.add("I23", self.at, text);
            }
        }
    }

    fn judge(&mut self, judge: impl FnOnce(&mut Checkers, &Scene<'_>)) {
        let mut checkers = std::mem::take(&mut self.checkers);
        let scene = Scene {
            at: self.at,
            world: &self.world,
            cluster: &self.cluster,
            settings: &self.settings,
            belief: &self.belief,
            manager_up: true,
            ordered: &self.ordered,
            wall: jiff::Timestamp::UNIX_EPOCH,
        };
        judge(&mut checkers, &scene);
        self.checkers = checkers;
    }
}

/// No rule of the table has it for a name: a VM that is gone, and no host went down with it.
const LOST: &str = "lost";
