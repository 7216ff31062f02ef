//! What the controller knows of one host.

use crate::doubles::take_networks;
use crate::mutants::{self, Mutant};
use crate::{Aside, HostMemory, Now, Settings};
use dormouse_model::{
    HostFacts, HostId, HostSpec, HostState, HostTime, IntentId, Mib, Millis, Mono, ObservationId, Obstacle,
    Permille, ProbeError, Seen, VmId,
};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Measured boot times kept per host.
const BOOTS_MAX: usize = 16;
/// More than any day's budget of cycles.
const SLEEPS_MAX: usize = 64;
const RESERVE_MIN: Mib = Mib(512);
const OVERHEAD: Mib = Mib(64);

#[derive(Debug)]
pub(crate) struct HostRecord {
    pub(crate) id: HostId,
    pub(crate) spec: Arc<HostSpec>,
    pub(crate) state: HostState,
    pub(crate) since: Mono,
    /// Looks with this number or a later one were asked for after it came into that state.
    pub(crate) since_look: ObservationId,
    /// The last good answer and the moment it was asked for: freshness counts from there.
    pub(crate) facts: Option<(HostFacts, Mono, ObservationId)>,
    /// Failed looks since the last good one, the first of them, and why the last failed.
    pub(crate) misses: u32,
    pub(crate) missing_since: Mono,
    pub(crate) error: Option<ProbeError>,
    pub(crate) look: Option<Look>,
    /// When the last look that is over was asked for, whatever it showed.
    pub(crate) last_look: Option<Mono>,
    /// Every look since this moment was answered.
    pub(crate) seen_since: Mono,
    pub(crate) next_look: Mono,
    pub(crate) machine: Option<Uuid>,
    pub(crate) boot: Option<Uuid>,
    /// What its own clock showed in the last good answer, and the moment by which that was read.
    pub(crate) clock: Option<(HostTime, Mono)>,
    /// Its versions, as it told them last.
    pub(crate) hypervisor: Option<String>,
    pub(crate) proven: bool,
    pub(crate) maintenance: bool,
    /// An operator's drain; unlike a plan's it stays until cleared.
    pub(crate) drain: bool,
    /// An operator asked for sleep: once empty it goes.
    pub(crate) sleep_asked: bool,
    pub(crate) sleeps: VecDeque<Mono>,
    pub(crate) tries: u32,
    /// Off commands that went out to this boot and that the guard may have agreed to. By intent, so that none counts twice.
    pub(crate) offs: BTreeSet<IntentId>,
    pub(crate) boots: VecDeque<Millis>,
    /// When the present try to wake it began, and the sends of this try.
    pub(crate) wake: Option<Wake>,
    /// The guard agreed; silence now means asleep.
    pub(crate) guard_agreed: bool,
    /// An off command of ours went out and its answer was lost: silence may be sleep, so it may be woken in good time.
    pub(crate) maybe_asleep: bool,
    /// The boot that was seen last when an off command of ours went out: another one since voids the guard's word.
    pub(crate) off_boot: Option<Uuid>,
    /// An operator's word that it is really off. It is over when the host is seen again.
    pub(crate) fenced: bool,
    /// Times its power control was asked to prove it off, since a person or a new boot gave it trust, and since when it
    /// rests from that.
    pub(crate) proofs: u32,
    pub(crate) proof_rests: Mono,
    /// Why it is set aside, while it is.
    pub(crate) aside: Option<Aside>,
    pub(crate) healthy_since: Option<Mono>,
    pub(crate) rest_until: Mono,
    pub(crate) refused_until: Mono,
    pub(crate) failures: u32,
    /// VMs that are stopped there and that libvirt would start at the next boot.
    pub(crate) autostarts: Vec<VmId>,
    /// libvirt there locks no disks.
    pub(crate) unlocked: bool,
    /// What planned deadlines of moves from and to it are multiplied by, in thousandths.
    pub(crate) stretch: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) id: ObservationId,
    pub(crate) asked: Mono,
    /// Something happened since: look again right after this one.
    pub(crate) again: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Wake {
    /// Start of the first try: boot time is measured from here.
    pub(crate) first: Mono,
    pub(crate) try_began: Mono,
    pub(crate) sends: u32,
    /// A substitute was allowed for.
    pub(crate) late_told: bool,
}

impl HostRecord {
    /// A host of the configuration with what the store remembers of it. Without memory it is `unknown` until seen.
    pub(crate) fn new(id: HostId, spec: &HostSpec, memory: Option<&HostMemory>, now: Now, rate: u32) -> Self {
        let mut record = Self {
            id,
            spec: Arc::new(spec.clone()),
            state: HostState::Unknown,
            since: now.mono,
            since_look: ObservationId(0),
            facts: None,
            misses: 0,
            missing_since: now.mono,
            error: None,
            look: None,
            last_look: None,
            seen_since: now.mono,
            next_look: now.mono,
            machine: None,
            boot: None,
            clock: None,
            hypervisor: None,
            proven: !spec.unproven,
            maintenance: spec.maintenance,
            drain: false,
            sleep_asked: false,
            sleeps: VecDeque::new(),
            tries: 0,
            offs: BTreeSet::new(),
            boots: VecDeque::new(),
            wake: None,
            guard_agreed: false,
            maybe_asleep: false,
            off_boot: None,
            fenced: false,
            proofs: 0,
            proof_rests: Mono::ZERO,
            aside: None,
            healthy_since: None,
            rest_until: Mono::ZERO,
            refused_until: Mono::ZERO,
            failures: 0,
            autostarts: vec![],
            unlocked: false,
            stretch: crate::rate::ONE,
        };
        if let Some(memory) = memory {
            record.state = memory.state;
            record.since = past(now, memory.since, rate);
            record.machine = memory.machine;
            record.boot = memory.boot;
            record.hypervisor.clone_from(&memory.hypervisor);
            record.proven |= memory.proven;
            record.maintenance |= memory.maintenance;
            record.drain = memory.drain;
            record.sleep_asked = memory.sleep_asked;
            record.maybe_asleep = memory.maybe_asleep;
            record.aside = memory.aside.filter(|_| memory.state == HostState::SetAside);
            record.fenced = memory.fenced;
            record.proofs = memory.proofs;
            record.tries = memory.tries;
            record.offs = memory.offs.iter().copied().collect();
            record.sleeps = memory.sleeps.iter().map(|at| past(now, *at, rate)).collect();
            record.boots = memory.boots_s.iter().map(|secs| Millis::from_secs(*secs)).collect();
            // It was accepted before we fell: the guard's word was given.
            record.guard_agreed = memory.state == HostState::Stopping && !memory.word_gone;
            let try_began = memory.wake_try.map(|at| past(now, at, rate));
            let began = match memory.state {
                HostState::Waking => Some((record.since, try_began.unwrap_or(record.since))),
                HostState::Unknown | HostState::Unusable => try_began.map(|at| (at, at)),
                _ => None,
            };
            record.wake =
                began.map(|(first, try_began)| Wake { first, try_began, sends: 1, late_told: false });
        }
        record
    }

    pub(crate) fn memory(&self, now: Now, rate: u32) -> HostMemory {
        HostMemory {
            host: self.spec.name.clone(),
            state: self.state,
            since: wall(now, self.since, rate),
            machine: self.machine,
            boot: self.boot,
            hypervisor: self.hypervisor.clone(),
            proven: self.proven,
            maintenance: self.maintenance,
            drain: self.drain,
            sleep_asked: self.sleep_asked,
            maybe_asleep: self.maybe_asleep,
            fenced: self.fenced,
            proofs: self.proofs,
            sleeps: self.sleeps.iter().map(|at| wall(now, *at, rate)).collect(),
            tries: self.tries,
            wake_try: self.wake.map(|wake| wall(now, wake.try_began, rate)),
            word_gone: self.state == HostState::Stopping && !self.guard_agreed,
            offs: self.offs.iter().copied().collect(),
            aside: self.aside,
            boots_s: self.boots.iter().map(|boot| boot.as_secs()).collect(),
        }
    }

    /// Sizes that the text leaves out are taken as seen; a live host then keeps memory for itself (512 MiB or 5 %,
    /// whichever is more) and each VM takes 64 MiB beyond its own.
    pub(crate) fn fill_sizes(&mut self, facts: &HostFacts) {
        take_networks(&mut self.spec, &facts.networks);
        if self.spec.cpus > 0 && self.spec.mem > Mib::ZERO {
            return;
        }
        let spec = Arc::make_mut(&mut self.spec);
        if spec.cpus == 0 {
            spec.cpus = facts.cpus;
        }
        if spec.mem == Mib::ZERO {
            spec.mem = facts.mem;
            spec.reserve = spec.reserve.max(RESERVE_MIN).max(Mib(facts.mem.0 / 20));
            spec.overhead = spec.overhead.max(OVERHEAD);
        }
    }

    /// Age of the last good answer, counted from when it was asked for.
    pub(crate) fn age(&self, now: Mono) -> Option<Millis> {
        self.facts.as_ref().map(|(_, asked, _)| now.since(*asked))
    }

    /// The last look was good and is not older than that.
    pub(crate) fn is_fresh(&self, now: Mono, limit: Millis) -> bool {
        self.misses == 0 && self.age(now).is_some_and(|age| age <= limit)
    }

    /// So much later than now, on its own clock. A manager that stands still meanwhile, even with its clock, makes it earlier.
    pub(crate) fn own_time(&self, now: Mono, span: Millis) -> Option<HostTime> {
        let (read, by) = self.clock?;
        let passed = now.since(by) + span;
        Some(HostTime { uptime: Millis(read.uptime.0.saturating_add(passed.0)), ..read })
    }

    /// How long it usually takes from wake to usable: the slowest of the last boots, or what the text says.
    pub(crate) fn usual_boot(&self) -> Millis {
        self.boots.iter().copied().max().unwrap_or(self.spec.boot)
    }

    pub(crate) fn booted(&mut self, took: Millis) {
        self.boots.push_back(took);
        if self.boots.len() > BOOTS_MAX {
            self.boots.pop_front();
        }
    }

    /// It does not answer at all. An answer that makes no sense, refuses our key or comes from another machine is no silence.
    pub(crate) fn is_silent(&self) -> bool {
        self.misses > 0 && matches!(self.error, Some(ProbeError::Timeout(_) | ProbeError::Unreachable(_)))
    }

    /// Late by more than its usual boot time: a substitute is woken.
    pub(crate) fn is_late(&self, now: Mono) -> bool {
        self.wake.is_some_and(|wake| now.since(wake.first).0 > 2 * self.usual_boot().0)
    }

    pub(crate) fn seen_load(&self, now: Mono, stale: Millis) -> Seen<Permille> {
        match &self.facts {
            Some((facts, asked, _)) if self.misses == 0 && now.since(*asked) <= stale => {
                Seen::Known(facts.load15)
            }
            Some((facts, asked, _)) if now.since(*asked) <= stale => {
                Seen::Stale { was: facts.load15, age: now.since(*asked) }
            }
            other => Seen::Unknown {
                last: other.as_ref().map(|(facts, _, _)| facts.load15),
                since: self.missing_since,
                why: self.error.clone().unwrap_or(ProbeError::NotYet),
            },
        }
    }

    /// What stands against switching it off.
    pub(crate) fn obstacles(&self, now: Mono, settings: &Settings) -> Vec<Obstacle> {
        let mut obstacles = vec![];
        if let Some((facts, _, _)) = self.facts.as_ref().filter(|_| !mutants::has(Mutant::IgnoresPeople)) {
            let active = || facts.people_idle.iter().filter(|idle| **idle < settings.login_idle);
            if let Some(idle) = active().min() {
                let count = u32::try_from(active().count()).unwrap_or(u32::MAX);
                obstacles.push(Obstacle::People { count, idle: *idle });
            }
            obstacles.extend(facts.blocks.iter().cloned().map(Obstacle::Block));
        }
        if !self.autostarts.is_empty() {
            let count = u32::try_from(self.autostarts.len()).unwrap_or(u32::MAX);
            obstacles.push(Obstacle::Autostart { count });
        }
        if self.refused_until > now {
            obstacles.push(Obstacle::GuardRefused { left: self.refused_until.since(now) });
        }
        if self.rest_until > now {
            obstacles.push(Obstacle::BackOff { left: self.rest_until.since(now) });
        }
        obstacles
    }

    /// It rests after a failure: twice as long each time.
    pub(crate) fn back_off(&mut self, now: Mono, settings: &Settings) {
        self.rest_until = now + doubled(settings.backoff, self.failures, settings.backoff_max);
        self.failures = self.failures.saturating_add(1);
    }

    /// It was told to go off as often as a host is told, and is here still.
    pub(crate) fn never_goes(&self, settings: &Settings) -> bool {
        self.offs.len() >= settings.tries as usize
    }

    /// It went to sleep by our word.
    pub(crate) fn slept(&mut self, now: Mono) {
        self.sleeps.push_back(now);
        while self.sleeps.len() > SLEEPS_MAX {
            self.sleeps.pop_front();
        }
    }

    /// Put to sleep so often within the last day.
    pub(crate) fn cycles(&self, now: Mono, day: Millis) -> u32 {
        u32::try_from(self.sleeps.iter().filter(|at| now.since(**at) < day).count()).unwrap_or(u32::MAX)
    }
}

/// `base`, doubled for each failure before this one, up to `max`.
pub(crate) fn doubled(base: Millis, failures: u32, max: Millis) -> Millis {
    Millis(base.0.saturating_mul(1 << failures.min(20))).min(max)
}

/// A remembered calendar time on today's monotonic clock; the future counts as now.
pub(crate) fn past(now: Now, wall_s: i64, rate: u32) -> Mono {
    let age_s = u64::try_from(now.wall.as_second().saturating_sub(wall_s)).unwrap_or(0);
    Mono(now.mono.0.saturating_sub(age_s.saturating_mul(1000) / u64::from(rate)))
}

/// A monotonic time as calendar seconds, for memory only.
pub(crate) fn wall(now: Now, at: Mono, rate: u32) -> i64 {
    let age_s = now.mono.since(at).as_secs().saturating_mul(u64::from(rate));
    now.wall.as_second().saturating_sub(i64::try_from(age_s).unwrap_or(i64::MAX))
}

/// A monotonic time to come as calendar seconds, for memory only.
pub(crate) fn ahead(now: Now, until: Mono, rate: u32) -> i64 {
    let left = i64::try_from(until.since(now.mono).as_secs().saturating_mul(u64::from(rate)));
    wall(now, now.mono, rate).saturating_add(left.unwrap_or(i64::MAX))
}

/// Remembered calendar seconds to come as a monotonic time; the past counts as now.
pub(crate) fn until(now: Now, wall_s: i64, rate: u32) -> Mono {
    let left_s = u64::try_from(wall_s.saturating_sub(now.wall.as_second())).unwrap_or(0);
    Mono(now.mono.0.saturating_add(left_s.saturating_mul(1000) / u64::from(rate)))
}
