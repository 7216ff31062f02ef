//! All VMs ever named or seen, where each was sighted, and what follows from that.

use crate::demand::{Closed, History, Hour, Spans};
use crate::doubles::Doubles;
use crate::hosts::{Look, past};
use crate::{Memory, Now, VmMemory};
use dormouse_model::{
    Cluster, Devices, DomainState, HostId, JobKind, Millis, Mono, ObservationId, RefusalReason, VmFacts,
    VmId, VmSpec, VmState,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Moves remembered per VM; more than a day's budget.
const MOVES_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Vms {
    pub(crate) records: Vec<VmRecord>,
    by_uuid: BTreeMap<Uuid, VmId>,
    /// VMs of the text without a domain of their own yet: the first domain of that name is theirs.
    unbound: BTreeMap<String, VmId>,
    /// Which VMs were sighted on a host, so that a look costs what it brings.
    on: BTreeMap<HostId, Vec<VmId>>,
    pub(crate) spans: Spans,
    pub(crate) hour: Hour,
    /// Roll-ups that were closed and not handed to the store yet.
    pub(crate) closed: Vec<(VmId, Closed)>,
    pub(crate) closed_since: Option<Mono>,
    /// VMs to be started again, since their host is proved off.
    pub(crate) owed: BTreeSet<VmId>,
    /// What is remembered of VMs that were not met yet.
    histories: BTreeMap<Uuid, History>,
    pub(crate) doubles: Doubles,
}

#[derive(Debug)]
pub(crate) struct VmRecord {
    pub(crate) uuid: Uuid,
    pub(crate) spec: Arc<VmSpec>,
    pub(crate) seen: BTreeMap<HostId, Sighting>,
    pub(crate) state: VmState,
    pub(crate) history: History,
    pub(crate) moves: VecDeque<Mono>,
    /// When it was seen crashed, newest last.
    pub(crate) crashes: VecDeque<Mono>,
    /// It crashed so often that nobody starts it again but a person.
    pub(crate) given_up: bool,
    pub(crate) rest_until: Mono,
    pub(crate) failures: u32,
    /// What the planned deadline of its next move is multiplied by, in thousandths.
    pub(crate) stretch: u64,
    /// Told as a state once; before that the first sighting is no news.
    pub(crate) known: bool,
    /// Where the store has it, with memory there.
    pub(crate) remembered_at: Option<HostId>,
    /// It is to be started again.
    pub(crate) owed: Option<Owed>,
    /// The text names it: its sizes there beat what is seen.
    named: bool,
    /// Devices that the text gives it, beside those that are seen.
    told: Devices,
    /// The look that first sighted it on more than one host.
    double_since: Option<ObservationId>,
    /// Since when a job runs on it that is no move.
    pub(crate) job_since: Option<Mono>,
    /// That it does not end was told.
    pub(crate) job_told: bool,
}

/// A VM of a host that is proved off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) from: HostId,
    /// Looks with this number or a later one were asked for after the proof.
    pub(crate) since_look: ObservationId,
    /// Where a start ended without a word: there first is it tried again.
    pub(crate) tried_at: Option<HostId>,
    pub(crate) tries: u32,
    pub(crate) rest_until: Mono,
    /// It crashed on a host that lives: it starts there or nowhere.
    pub(crate) there: bool,
}

impl Owed {
    pub(crate) const fn new(from: HostId, since_look: ObservationId) -> Self {
        Self { from, since_look, tried_at: None, tries: 0, rest_until: Mono::ZERO, there: false }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) facts: VmFacts,
    pub(crate) look: ObservationId,
}

impl Vms {
    pub(crate) fn new(cluster: &Cluster, memory: &Memory, spans: Spans, now: Now, rate: u32) -> Self {
        let mut vms = Self {
            records: vec![],
            by_uuid: BTreeMap::new(),
            unbound: BTreeMap::new(),
            on: BTreeMap::new(),
            spans,
            hour: Hour::default(),
            closed: vec![],
            closed_since: None,
            owed: BTreeSet::new(),
            histories: histories(cluster, memory, &spans, now, rate),
            doubles: Doubles::default(),
        };
        for spec in &cluster.vms {
            let id = vms.add(spec.clone());
            vms.record_mut(id).named = true;
            if spec.uuid == VmSpec::uuid_of_name(&spec.name) {
                vms.unbound.insert(spec.name.clone(), id);
            }
        }
        for known in &memory.vms {
            let id = match vms.by_uuid.get(&known.vm).copied().or_else(|| vms.bind(&known.name, known.vm)) {
                Some(id) => id,
                None => {
                    let at =
                        known.at.as_deref().and_then(|name| cluster.host_named(name)).unwrap_or(HostId(0));
                    vms.add(remembered_spec(known, at))
                }
            };
            let record = vms.record_mut(id);
            record.moves = known.moves.iter().map(|at| past(now, *at, rate)).collect();
            record.crashes = known.crashes.iter().map(|at| past(now, *at, rate)).collect();
            record.given_up = known.given_up;
            vms.presume(id, known, cluster, memory);
        }
        vms
    }

    /// Until its host has answered us, a VM is where the store has it: silence after a restart proves as little as before.
    fn presume(&mut self, id: VmId, known: &VmMemory, cluster: &Cluster, memory: &Memory) {
        let host_named = |name: &Option<String>| name.as_deref().and_then(|name| cluster.host_named(name));
        if let Some(from) = host_named(&known.owed) {
            let owed = Owed { there: known.owed_there, ..Owed::new(from, ObservationId(1)) };
            self.record_mut(id).owed = Some(owed);
            self.owed.insert(id);
        }
        let Some(at) = host_named(&known.at).filter(|_| known.present) else { return };
        let down =
            memory.hosts.iter().any(|host| known.at.as_ref() == Some(&host.host) && host.state.is_down());
        let record = self.record_mut(id);
        record.remembered_at = Some(at);
        if down {
            return;
        }
        record.state = VmState::Running { at };
        let facts = VmFacts {
            uuid: record.uuid,
            name: record.spec.name.clone(),
            state: DomainState::Running,
            vcpus: record.spec.vcpus,
            mem: record.spec.mem,
            cpu: None,
            dirty_mib_s: 0,
            job: None,
            persistent: true,
            autostart: false,
            crashed: false,
            immovable: None,
            devices: Devices::default(),
        };
        record.seen.insert(at, Sighting { facts, look: ObservationId(0) });
        self.on.entry(at).or_default().push(id);
    }

    fn add(&mut self, spec: VmSpec) -> VmId {
        let id = VmId::at(self.records.len());
        let history = self.histories.remove(&spec.uuid).unwrap_or_default();
        self.by_uuid.insert(spec.uuid, id);
        self.records.push(VmRecord {
            uuid: spec.uuid,
            state: VmState::Stopped,
            told: spec.devices.clone(),
            spec: Arc::new(spec),
            seen: BTreeMap::new(),
            history,
            moves: VecDeque::new(),
            crashes: VecDeque::new(),
            given_up: false,
            stretch: crate::rate::ONE,
            rest_until: Mono::ZERO,
            failures: 0,
            known: false,
            remembered_at: None,
            owed: None,
            named: false,
            double_since: None,
            job_since: None,
            job_told: false,
        });
        id
    }

    /// The first domain with the name of a VM that the text names without a UUID is that VM.
    fn bind(&mut self, name: &str, uuid: Uuid) -> Option<VmId> {
        let id = self.unbound.remove(name)?;
        let record = &mut self.records[id.index()];
        self.by_uuid.remove(&record.uuid);
        record.uuid = uuid;
        record.history = self.histories.remove(&uuid).unwrap_or_default();
        Arc::make_mut(&mut record.spec).uuid = uuid;
        self.by_uuid.insert(uuid, id);
        Some(id)
    }

    pub(crate) fn record(&self, id: VmId) -> &VmRecord {
        &self.records[id.index()]
    }

    pub(crate) fn record_mut(&mut self, id: VmId) -> &mut VmRecord {
        &mut self.records[id.index()]
    }

    pub(crate) fn find(&self, uuid: Uuid) -> Option<VmId> {
        self.by_uuid.get(&uuid).copied()
    }

    /// VMs sighted on this host, present or only defined.
    pub(crate) fn sighted_on(&self, host: HostId) -> &[VmId] {
        self.on.get(&host).map_or(&[], Vec::as_slice)
    }

    /// VMs whose QEMU was present there at the last good look.
    pub(crate) fn present_on(&self, host: HostId) -> impl Iterator<Item = VmId> + '_ {
        self.sighted_on(host).iter().copied().filter(move |vm| {
            self.record(*vm).seen.get(&host).is_some_and(|seen| seen.facts.state.is_present())
        })
    }

    /// Takes in what one good look said of a host's VMs. Returns each VM whose sightings changed hands.
    pub(crate) fn sighted(&mut self, host: HostId, facts: Vec<VmFacts>, look: Look) -> Vec<VmId> {
        let before = self.on.remove(&host).unwrap_or_default();
        let mut now_on = Vec::with_capacity(facts.len());
        for vm in facts {
            let id = self
                .find(vm.uuid)
                .or_else(|| self.bind(&vm.name, vm.uuid))
                .unwrap_or_else(|| self.add(seen_spec(&vm, host)));
            let Self { records, spans, hour, closed, doubles, .. } = self;
            let record = &mut records[id.index()];
            record.take_devices(&vm);
            doubles.put(id, &record.spec.devices);
            if !record.named && (record.spec.mem != vm.mem || record.spec.vcpus != vm.vcpus) {
                record.spec = Arc::new(seen_spec(&vm, host));
            }
            if let Some(cpu) = vm.cpu.filter(|_| vm.state.runs()) {
                record
                    .history
                    .push(look.asked, cpu, vm.mem, *hour, spans, |rollup| closed.push((id, rollup)));
            }
            if vm.state.is_present() {
                let busy = vm.job.as_ref().is_some_and(|job| job.kind == JobKind::Other);
                record.job_since = busy.then(|| record.job_since.unwrap_or(look.asked));
            }
            record.seen.insert(host, Sighting { facts: vm, look: look.id });
            now_on.push(id);
        }
        let mut touched = now_on.clone();
        for id in before {
            if !now_on.contains(&id) {
                self.record_mut(id).seen.remove(&host);
                if self.record(id).seen.is_empty() {
                    self.doubles.drop(id);
                }
                touched.push(id);
            }
        }
        self.on.insert(host, now_on);
        touched
    }

    /// Another VM that is on a host has a disk of this one open.
    pub(crate) fn disk_open_elsewhere(&self, id: VmId) -> bool {
        self.doubles.share_disk(id).any(|other| self.record(other).present().next().is_some())
    }

    /// What makes a VM immovable now, beyond what the text says.
    pub(crate) fn immovable(&self, id: VmId, now: Mono) -> Option<RefusalReason> {
        let record = self.record(id);
        record.immovable(now).or_else(|| {
            let open = record.present().next().is_some() && self.disk_open_elsewhere(id);
            open.then_some(RefusalReason::SharedDisk)
        })
    }

    /// A host that is certainly down holds nothing, and what was known of it is void. Definitions outlive it: what was
    /// doubled stays so.
    pub(crate) fn forget_host(&mut self, host: HostId) -> Vec<VmId> {
        let before = self.on.remove(&host).unwrap_or_default();
        for id in &before {
            self.record_mut(*id).seen.remove(&host);
        }
        before
    }
}

impl VmRecord {
    pub(crate) fn present(&self) -> impl Iterator<Item = (HostId, &Sighting)> {
        self.seen.iter().filter(|(_, seen)| seen.facts.state.is_present()).map(|(host, seen)| (*host, seen))
    }

    pub(crate) fn moved(&mut self, at: Mono) {
        self.moves.push_back(at);
        if self.moves.len() > MOVES_MAX {
            self.moves.pop_front();
        }
    }

    pub(crate) fn moves_within(&self, now: Mono, span: Millis) -> u32 {
        u32::try_from(self.moves.iter().filter(|at| now.since(**at) < span).count()).unwrap_or(u32::MAX)
    }

    /// The devices of the definition that runs, or of any while none does.
    fn take_devices(&mut self, facts: &VmFacts) {
        if !facts.state.is_present() && self.present().next().is_some() {
            return;
        }
        let same = if self.told == Devices::default() {
            self.spec.devices == facts.devices
        } else {
            self.spec.devices == self.told.with(&facts.devices)
        };
        if !same {
            Arc::make_mut(&mut self.spec).devices = self.told.with(&facts.devices);
        }
    }

    /// What makes it immovable now, as far as it is about itself.
    fn immovable(&self, now: Mono) -> Option<RefusalReason> {
        let (_, seen) = self.present().next()?;
        if seen.facts.immovable.is_some() {
            return Some(RefusalReason::LocalDisk);
        }
        if seen.facts.job.is_some() {
            return Some(RefusalReason::ForeignJob);
        }
        (self.rest_until > now).then(|| RefusalReason::BackOff { left: self.rest_until.since(now) })
    }

    /// What the sightings say, without regard to moves of ours. `silent(host)`: no good answer from it for long.
    ///
    /// Two sightings may be one VM that someone moved between the looks. It is a conflict only when every host has been
    /// asked again since and still has it.
    pub(crate) fn sighted_state(&mut self, silent: impl Fn(HostId) -> bool) -> VmState {
        let mut present: Vec<(HostId, Sighting)> =
            self.present().map(|(host, seen)| (host, seen.clone())).collect();
        if present.len() < 2 {
            self.double_since = None;
        }
        match present.as_slice() {
            [] => self
                .seen
                .iter()
                .find(|(_, seen)| seen.facts.state == DomainState::Saved)
                .map(|(host, _)| VmState::Saved { at: *host })
                .unwrap_or(if self.given_up { VmState::Failed { at: None } } else { VmState::Stopped }),
            [(at, _)] if silent(*at) => VmState::Lost { at: *at },
            [(at, seen)] => match seen.facts.state {
                DomainState::Running | DomainState::ShuttingDown => VmState::Running { at: *at },
                DomainState::Paused | DomainState::PausedFault => VmState::Paused { at: *at },
                DomainState::PausedMigrating => VmState::Conflict { hosts: vec![*at] },
                DomainState::Crashed => VmState::Failed { at: Some(*at) },
                DomainState::ShutOff | DomainState::Saved => VmState::Stopped,
            },
            _ => {
                present.sort_by_key(|(_, seen)| seen.look);
                let newest = &present[present.len() - 1];
                let since = *self.double_since.get_or_insert(newest.1.look);
                let under_way = present.iter().any(|(_, seen)| {
                    seen.facts
                        .job
                        .as_ref()
                        .is_some_and(|job| matches!(job.kind, JobKind::MigrationOut | JobKind::MigrationIn))
                });
                let asked_again = present.iter().all(|(_, seen)| seen.look > since);
                if present.len() == 2 && (under_way || !asked_again) {
                    // Told the same way round as long as it lasts, whoever was looked at last.
                    let (from, to) = (present[0].0, newest.0);
                    if self.state == (VmState::Migrating { from: to, to: from }) {
                        self.state.clone()
                    } else {
                        VmState::Migrating { from, to }
                    }
                } else {
                    // In one order, whoever was looked at last: the same conflict is no news.
                    let mut hosts: Vec<HostId> = present.iter().map(|(host, _)| *host).collect();
                    hosts.sort_unstable();
                    VmState::Conflict { hosts }
                }
            }
        }
    }
}

/// What the store kept of demand, VM by VM.
fn histories(
    cluster: &Cluster,
    memory: &Memory,
    spans: &Spans,
    now: Now,
    rate: u32,
) -> BTreeMap<Uuid, History> {
    let mut histories: BTreeMap<Uuid, History> = BTreeMap::new();
    for row in &memory.demand {
        let start = jiff::Timestamp::from_second(row.start).ok().filter(|start| *start <= now.wall);
        let Some(start) = start else { continue };
        let of_week = cluster.schedule.hour_of_week(start);
        let history = histories.entry(row.vm).or_default();
        history.restore(row, past(now, row.start, rate), now.mono, of_week, spans);
    }
    histories
}

/// Sizes as seen, for a VM that no text names.
fn seen_spec(facts: &VmFacts, at: HostId) -> VmSpec {
    VmSpec {
        uuid: facts.uuid,
        name: facts.name.clone(),
        vcpus: facts.vcpus,
        mem: facts.mem,
        cpu: facts.cpu.unwrap_or_default(),
        dirty_mib_s: facts.dirty_mib_s,
        home: None,
        pin: vec![],
        ban: vec![],
        no_move: false,
        local_disk: false,
        stopped: false,
        autostart: false,
        devices: facts.devices.clone(),
        at,
    }
}

/// A VM known only from memory, with the sizes it had.
fn remembered_spec(known: &VmMemory, at: HostId) -> VmSpec {
    VmSpec {
        uuid: known.vm,
        name: known.name.clone(),
        vcpus: known.vcpus.max(1),
        mem: dormouse_model::Mib(known.mem_mib),
        cpu: dormouse_model::MilliCpu::ZERO,
        dirty_mib_s: 0,
        home: None,
        pin: vec![],
        ban: vec![],
        no_move: false,
        local_disk: false,
        stopped: true,
        autostart: false,
        devices: Devices::default(),
        at,
    }
}
