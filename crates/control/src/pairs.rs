//! Moves that failed: which way a VM is not sent again, and for how long.
//!
//! A failure says as much of the way as of the VM. So the pair of source and destination rests, twice as long with each
//! failure, and another destination is tried meanwhile. What the destination lacks is remembered until one end boots or
//! gets another hypervisor, the VM ends, or a day is over: a bridge may have been made without a boot. Two VMs that
//! failed on one way speak of the link between its hosts: while both rest, nobody is sent there.
//!
//! Decides no move, and never shortens the rest of the VM itself.

use crate::controller::Controller;
use crate::hosts::{ahead, doubled, until};
use crate::{Level, LogEvent, Memory, Now, PairMemory, Settings};
use dormouse_model::{Barred, HostId, Lack, Millis, Mono, Outcome, OutcomeError, Snapshot, VmId, VmState};
use std::collections::{BTreeMap, BTreeSet};

/// Ways remembered per VM. The one that is over first gives way to another.
const PAIRS_MAX: usize = 16;
const LACK_MAX: Millis = Millis::from_mins(24 * 60);
/// So many VMs that failed on the same way close it for all.
const WITNESSES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    from: HostId,
    to: HostId,
    until: Mono,
    failures: u32,
    lacks: Option<Lack>,
    /// Nobody has come this way since it failed.
    of_link: bool,
}

/// By VM; one without failed moves is not there.
#[derive(Debug, Default)]
pub(crate) struct Pairs(BTreeMap<VmId, Vec<Pair>>);

/// Ways that are closed for every VM.
pub(crate) type Closed = BTreeSet<(HostId, HostId)>;

impl Pairs {
    /// What the store remembers, of hosts that are still there. `find`: a VM by its UUID.
    pub(crate) fn remembered(
        memory: &Memory,
        find: impl Fn(uuid::Uuid) -> Option<VmId>,
        host_named: impl Fn(&str) -> Option<HostId>,
        now: Now,
        rate: u32,
    ) -> Self {
        let pair = |kept: &PairMemory| {
            Some(Pair {
                from: host_named(&kept.from)?,
                to: host_named(&kept.to)?,
                // A clock that was set back makes no rest of years.
                until: until(now, kept.until, rate).min(now.mono + LACK_MAX),
                failures: kept.failures,
                lacks: kept.lacks,
                of_link: false,
            })
        };
        let mut pairs = BTreeMap::new();
        for vm in memory.vms.iter().filter(|vm| !vm.pairs.is_empty()) {
            let kept: Vec<Pair> = vm.pairs.iter().filter_map(pair).take(PAIRS_MAX).collect();
            if let Some(id) = find(vm.vm).filter(|_| !kept.is_empty()) {
                pairs.insert(id, kept);
            }
        }
        Self(pairs)
    }

    /// A way of this VM rests, or did.
    pub(crate) fn has(&self, vm: VmId) -> bool {
        self.0.contains_key(&vm)
    }

    pub(crate) fn memory(
        &self,
        vm: VmId,
        name: impl Fn(HostId) -> String,
        now: Now,
        rate: u32,
    ) -> Vec<PairMemory> {
        let kept = self.0.get(&vm).into_iter().flatten().map(|pair| PairMemory {
            from: name(pair.from),
            to: name(pair.to),
            until: ahead(now, pair.until, rate),
            failures: pair.failures,
            lacks: pair.lacks,
        });
        kept.collect()
    }

    /// A move failed. Answers how long its way rests.
    fn failed(
        &mut self,
        vm: VmId,
        way: (HostId, HostId),
        lacks: Option<Lack>,
        now: Mono,
        settings: &Settings,
    ) -> Millis {
        let pairs = self.0.entry(vm).or_default();
        // One whose rest has been over for long begins anew.
        pairs.retain(|pair| now < pair.until + settings.backoff_max);
        let before = pairs.iter().position(|pair| (pair.from, pair.to) == way).map(|at| pairs.remove(at));
        let failures = before.map_or(0, |pair| pair.failures);
        let rest = match lacks {
            Some(_) => LACK_MAX,
            None => doubled(settings.backoff, failures, settings.backoff_max),
        };
        if pairs.len() >= PAIRS_MAX
            && let Some(first) = pairs.iter().enumerate().min_by_key(|(_, pair)| pair.until).map(|(at, _)| at)
        {
            pairs.remove(first);
        }
        let (from, to) = way;
        let failures = failures.saturating_add(1);
        pairs.push(Pair { from, to, until: now + rest, failures, lacks, of_link: lacks.is_none() });
        rest
    }

    /// A move came through: its VM forgets what it knew of that way, and the others no longer speak of the link.
    fn came_through(&mut self, vm: VmId, way: (HostId, HostId)) {
        for pair in self.0.values_mut().flatten().filter(|pair| (pair.from, pair.to) == way) {
            pair.of_link = false;
        }
        self.forget(|other, pair| other == vm && (pair.from, pair.to) == way);
    }

    /// Drops what `gone` says; answers the VMs that lost something.
    fn forget(&mut self, gone: impl Fn(VmId, &Pair) -> bool) -> Vec<VmId> {
        let mut touched = vec![];
        self.0.retain(|vm, pairs| {
            let before = pairs.len();
            pairs.retain(|pair| !gone(*vm, pair));
            if pairs.len() < before {
                touched.push(*vm);
            }
            !pairs.is_empty()
        });
        touched
    }

    pub(crate) fn closed(&self, now: Mono) -> Closed {
        let mut witnesses: BTreeMap<(HostId, HostId), usize> = BTreeMap::new();
        for pair in self.0.values().flatten().filter(|pair| pair.of_link && pair.until > now) {
            *witnesses.entry((pair.from, pair.to)).or_default() += 1;
        }
        witnesses.into_iter().filter(|(_, count)| *count >= WITNESSES).map(|(way, _)| way).collect()
    }

    /// Where this VM must not go from where it is.
    pub(crate) fn barred(&self, vm: VmId, state: &VmState, closed: &Closed, now: Mono) -> Vec<Barred> {
        if self.0.is_empty() {
            return vec![];
        }
        let (VmState::Running { at } | VmState::Paused { at }) = *state else { return vec![] };
        let ours = self.0.get(&vm).into_iter().flatten().filter(|pair| pair.from == at && pair.until > now);
        let all = closed.range((at, HostId(0))..).take_while(|(from, _)| *from == at);
        let mut barred: Vec<Barred> = ours.map(|pair| Barred { to: pair.to, lacks: pair.lacks }).collect();
        barred.extend(all.map(|(_, to)| Barred { to: *to, lacks: None }));
        // Of two reasons for one host the one that lasts.
        barred.sort_by_key(|barred| (barred.to, barred.lacks.is_none()));
        barred.dedup_by_key(|barred| barred.to);
        barred
    }
}

impl Controller {
    /// A move ended with the VM where it was: its way rests. A newer manager's word says nothing of the way.
    pub(crate) fn way_failed(&mut self, vm: VmId, from: HostId, to: HostId, outcome: &Outcome) {
        let lacks = match outcome {
            Outcome::Failed(OutcomeError::Fenced) => return,
            Outcome::Failed(OutcomeError::Unfit { lacks, .. }) => Some(*lacks),
            _ => None,
        };
        let rest = self.pairs.failed(vm, (from, to), lacks, self.now.mono, &self.settings);
        let event = LogEvent::new(Level::Info, "way.rests")
            .with("vm", self.vm_name(vm))
            .with("from", self.host_name(from))
            .with("to", self.host_name(to))
            .with("lacks", lacks.map_or("nothing-known", Lack::code))
            .with("seconds", rest.as_secs());
        self.tell(event);
        self.remember_ways(&[vm]);
    }

    pub(crate) fn way_open(&mut self, vm: VmId, from: HostId, to: HostId) {
        self.pairs.came_through(vm, (from, to));
    }

    /// It ended: whatever starts under its name may be another machine.
    pub(crate) fn ways_of_ended(&mut self, vm: VmId) {
        if !self.pairs.0.contains_key(&vm) {
            return;
        }
        let touched = self.pairs.forget(|other, pair| other == vm && pair.lacks.is_some());
        self.remember_ways(&touched);
    }

    /// The host is no longer what it was, or a person vouches for it.
    pub(crate) fn ways_anew(&mut self, host: HostId) {
        let touched =
            self.pairs.forget(|_, pair| pair.lacks.is_some() && (pair.from == host || pair.to == host));
        self.remember_ways(&touched);
    }

    fn remember_ways(&mut self, vms: &[VmId]) {
        for vm in vms {
            self.remember_vm(*vm, self.vms.record(*vm).remembered_at);
        }
    }

    /// The way that this move takes rests.
    pub(crate) fn way_rests(&self, vm: VmId, from: HostId, to: HostId) -> bool {
        let now = self.now.mono;
        let closed = self.pairs.closed(now);
        let barred = self.pairs.barred(vm, &VmState::Running { at: from }, &closed, now);
        barred.iter().any(|barred| barred.to == to)
    }

    /// What the planner is told of it.
    pub(crate) fn bar(&self, picture: &mut Snapshot) {
        let closed = self.pairs.closed(self.now.mono);
        for (at, vm) in picture.vms.iter_mut().enumerate() {
            vm.barred = self.pairs.barred(VmId::at(at), &vm.state, &closed, self.now.mono);
        }
    }
}
