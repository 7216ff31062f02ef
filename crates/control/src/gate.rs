//! The one gate to the world. Every effect passes it twice: before its intent is written, and again once it is durable,
//! because a write takes time and the picture moves on. A refusal is an ordinary outcome.

use crate::controller::Controller;
use crate::flight::Phase;
use crate::mutants::{self, Mutant};
use dormouse_model::{Action, HostId, HostState, Intent, Mib, Millis, Mono, VmId, VmState};
use std::collections::VecDeque;

const WAKE_SPAN: Millis = Millis::from_secs(10);
const SLEEP_SPAN: Millis = Millis::from_mins(10);
const HOUR: Millis = Millis::from_mins(60);
pub(crate) const DAY: Millis = Millis::from_mins(24 * 60);

/// May this step start now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Go,
    /// Not yet: a budget, a look, a reservation.
    Wait(&'static str),
    /// Not as planned: the plan no longer fits what is seen.
    Refuse(&'static str),
    /// The world is already as the step wants it.
    Already,
}

use Admission::{Already, Go, Refuse, Wait};

impl Controller {
    /// We lead for long enough to start something that ends by itself (moves are peer-to-peer, off commands are guarded).
    pub(crate) fn leading(&self) -> bool {
        self.leads.is_some_and(|(_, until)| {
            until > self.now.mono + self.settings.lease_margin || mutants::has(Mutant::ActsWithoutLease)
        })
    }

    /// `by_order`: a person asked for it, so that budgets made against restlessness do not count.
    pub(crate) fn admit(&mut self, action: Action, by_order: bool) -> Admission {
        if !self.leading() {
            return Wait("not-leading");
        }
        if self.freeze.is_frozen() && action.is_destructive() {
            return Wait("frozen");
        }
        match action {
            Action::Migrate { vm, from, to } => self.admit_move(vm, from, to, by_order),
            Action::Sleep { host } => self.admit_sleep(host, by_order),
            Action::Wake { host } => self.admit_wake(host),
            Action::Start { vm, host } => self.admit_start(vm, host),
            Action::Fence { host } => self.may_fence(host).map_or_else(Refuse, |()| Go),
            Action::Stop { .. } => Refuse("not-automated"),
        }
    }

    fn admit_move(&mut self, vm: VmId, from: HostId, to: HostId, by_order: bool) -> Admission {
        let now = self.now.mono;
        let stale = Millis(self.settings.observe_every.0 * u64::from(self.settings.stale_periods));
        let knobs = &self.cluster.policy.knobs;
        let record = self.vms.record(vm);
        match record.state {
            VmState::Running { at } | VmState::Paused { at } if at == to => return Already,
            VmState::Running { at } | VmState::Paused { at } if at == from => {}
            VmState::Migrating { .. } => return Wait("vm-busy"),
            _ => return Refuse("vm-changed"),
        }
        if self.flights.values().any(|flight| flight.migration().is_some_and(|(other, ..)| other == vm)) {
            return Wait("vm-busy");
        }
        let (source, target) = (self.host(from), self.host(to));
        if !matches!(source.state, HostState::On | HostState::Draining) || target.state != HostState::On {
            return Refuse("host-changed");
        }
        if !source.is_fresh(now, stale) || !target.is_fresh(now, stale) {
            return Wait("not-fresh");
        }
        if self.vms.immovable(vm, now).is_some() {
            return Refuse("immovable");
        }
        if target.spec.lacks(&record.spec.devices).is_some() {
            return Refuse("network-missing");
        }
        if !by_order && self.way_rests(vm, from, to) {
            return Refuse("way-rests");
        }
        if !by_order
            && !source.drain
            && (record.moves_within(now, knobs.scaled(HOUR)) >= knobs.moves_vm_hour
                || record.moves_within(now, knobs.scaled(DAY)) >= knobs.moves_vm_day)
        {
            return Refuse("move-budget");
        }
        let moves = || self.flights.values().filter_map(|flight| flight.migration());
        let out = moves().filter(|(_, source, _)| *source == from).count();
        let incoming = moves().filter(|(_, _, target)| *target == to).count();
        if out >= knobs.moves_host_out as usize || incoming >= knobs.moves_host_in as usize {
            return Wait("host-budget");
        }
        if knobs.moves_all > 0 && moves().count() >= knobs.moves_all as usize {
            return Wait("cluster-budget");
        }
        let asked = record.spec.mem + target.spec.overhead;
        if self.mem_claimed(to) + asked > target.spec.mem_for_vms() {
            return Wait("no-room");
        }
        Go
    }

    /// Memory taken or promised on a host: VMs present there, and moves of ours on their way in.
    pub(crate) fn mem_claimed(&self, id: HostId) -> Mib {
        let overhead = self.host(id).spec.overhead;
        let present: Vec<VmId> = self.vms.present_on(id).collect();
        let incoming = self
            .flights
            .values()
            .filter_map(|flight| flight.migration())
            .filter(|(vm, _, to)| *to == id && !present.contains(vm))
            .map(|(vm, ..)| vm);
        let starting = self
            .flights
            .values()
            .filter_map(|flight| flight.start())
            .filter(|(vm, to)| *to == id && !present.contains(vm))
            .map(|(vm, _)| vm);
        present
            .iter()
            .copied()
            .chain(incoming)
            .chain(starting)
            .map(|vm| self.vms.record(vm).spec.mem + overhead)
            .sum()
    }

    fn admit_sleep(&mut self, id: HostId, by_order: bool) -> Admission {
        let now = self.now.mono;
        match self.host(id).state {
            HostState::Asleep => return Already,
            HostState::On | HostState::Draining => {}
            _ => return Refuse("host-changed"),
        }
        if let Err(why) = self.may_ever_sleep(id, by_order) {
            return Refuse(why);
        }
        if self.has_intent_on(id) {
            return Wait("host-busy");
        }
        if now < self.sleeps_after {
            return Wait("off-under-way");
        }
        if self.holds_vm(id) {
            return Refuse("not-empty");
        }
        let writing = self
            .flights
            .values()
            .filter(|flight| {
                matches!(flight.intent.action, Action::Sleep { .. }) && flight.phase == Phase::Writing
            })
            .count();
        if recent(&mut self.sleeps, now, SLEEP_SPAN) + writing
            >= self.cluster.policy.knobs.sleeps_burst as usize
        {
            return Wait("sleep-budget");
        }
        if self.host(id).state == HostState::On {
            self.set_state(id, HostState::Draining, "plan");
        }
        if !self.freshly_empty(id) {
            if self.host(id).look.is_none() {
                self.look_soon(id);
            }
            return Wait("not-fresh");
        }
        if !self.host(id).obstacles(now, &self.settings).is_empty() {
            return Refuse("obstacle");
        }
        Go
    }

    /// What forbids putting this host to sleep whatever the picture.
    fn may_ever_sleep(&self, id: HostId, by_order: bool) -> Result<(), &'static str> {
        let now = self.now.mono;
        let knobs = &self.cluster.policy.knobs;
        let host = self.host(id);
        if host.spec.role.is_some() {
            return Err("role");
        }
        // One that missed its last look, or should have been looked at again, may be dying: nobody else sleeps on its account.
        let unseen = self.settings.observe_every + self.settings.look_deadline;
        let relied_on = |other: &&crate::hosts::HostRecord| {
            other.id != id && other.state == HostState::On && other.is_fresh(now, unseen)
        };
        let others_usable = self.hosts.iter().filter(relied_on).count();
        if others_usable < knobs.min_on as usize {
            return Err("min-on");
        }
        if by_order {
            return Ok(());
        }
        if host.never_goes(&self.settings) {
            return Err("never-went");
        }
        if host.spec.keep_on {
            return Err("keep-on");
        }
        if host.maintenance {
            return Err("maintenance");
        }
        if !host.proven && !knobs.unproven_sleep {
            return Err("unproven");
        }
        if host.cycles(now, knobs.scaled(DAY)) >= knobs.cycles_host_day {
            return Err("cycles");
        }
        Ok(())
    }

    /// Any VM that holds or may hold memory there, by sightings and by moves of ours.
    pub(crate) fn holds_vm(&self, id: HostId) -> bool {
        self.vms.present_on(id).next().is_some()
            || self.flights.values().any(|flight| {
                flight.migration().is_some_and(|(_, from, to)| from == id || to == id)
                    || flight.start().is_some_and(|(_, host)| host == id)
            })
    }

    /// Seen empty by a look that was asked for after it was marked draining, and not long ago (faults I1).
    fn freshly_empty(&self, id: HostId) -> bool {
        let host = self.host(id);
        host.is_fresh(self.now.mono, self.settings.fresh)
            && self.looked_since(id, host.since_look)
            && !self.holds_vm(id)
    }

    fn admit_wake(&mut self, id: HostId) -> Admission {
        match self.host(id).state {
            HostState::On => return Already,
            HostState::Waking => return Already,
            HostState::Asleep | HostState::Off if self.has_intent_on(id) => return Wait("host-busy"),
            HostState::Asleep | HostState::Off => {}
            _ => return Refuse("host-changed"),
        }
        if self.may_wake_now(id) { Go } else { Wait("wake-budget") }
    }

    /// Within the burst and within what its circuit bears.
    pub(crate) fn may_wake_now(&mut self, id: HostId) -> bool {
        self.may_send_wake() && self.circuit_bears(id)
    }

    pub(crate) fn circuit_bears(&self, id: HostId) -> bool {
        let Some(name) = self.host(id).spec.circuit.clone() else { return true };
        let Some(circuit) = self.cluster.circuits.iter().find(|circuit| circuit.name == name) else {
            return true;
        };
        let soon: Vec<HostId> = self
            .flights
            .values()
            .filter_map(|flight| match flight.intent.action {
                Action::Wake { host } if flight.phase == Phase::Writing => Some(host),
                _ => None,
            })
            .collect();
        // A host of which nobody knows whether it slept is woken, too, and boots as any other.
        let boots = |host: &&crate::hosts::HostRecord| {
            host.state == HostState::Waking
                || soon.contains(&host.id)
                || host.state == HostState::Unknown && host.maybe_asleep && host.wake.is_some()
        };
        let on_circuit =
            |host: &&crate::hosts::HostRecord| host.spec.circuit.as_ref() == Some(&name) && host.id != id;
        self.hosts.iter().filter(on_circuit).filter(boots).count() < circuit.wakes as usize
    }

    /// We lead, and the burst of wakes has room for one more packet.
    pub(crate) fn may_send_wake(&mut self) -> bool {
        self.leading() && self.burst_bears()
    }

    pub(crate) fn burst_bears(&mut self) -> bool {
        let now = self.now.mono;
        let writing = self
            .flights
            .values()
            .filter(|flight| {
                matches!(flight.intent.action, Action::Wake { .. }) && flight.phase == Phase::Writing
            })
            .count();
        recent(&mut self.wakes, now, WAKE_SPAN) + writing < self.cluster.policy.knobs.wakes_burst as usize
    }

    /// The second pass, with the intent durable: the shortest list of what may have changed meanwhile.
    pub(crate) fn still_allowed(&mut self, intent: &Intent, by_order: bool) -> Result<(), &'static str> {
        if !self.leading() || self.leads.is_none_or(|(epoch, _)| epoch != intent.epoch) {
            return Err("not-leading");
        }
        if self.freeze.is_frozen() && intent.action.is_destructive() {
            return Err("frozen");
        }
        if self.paused.is_some() && !by_order {
            return Err("paused");
        }
        match intent.action {
            Action::Migrate { vm, from, to } => {
                let there = matches!(self.vms.record(vm).state, VmState::Running { at } | VmState::Paused { at } if at == from);
                let busy = self.flights.values().any(|other| {
                    other.intent.id != intent.id
                        && other.phase != Phase::Writing
                        && other.intent.action.vm() == Some(vm)
                });
                let ready = !busy
                    && matches!(self.host(from).state, HostState::On | HostState::Draining)
                    && self.host(to).state == HostState::On;
                // The reservation is already counted: the flight itself claims it.
                let room = self.mem_claimed(to) <= self.host(to).spec.mem_for_vms();
                if there && ready && room { Ok(()) } else { Err("changed") }
            }
            Action::Sleep { host } => {
                self.may_ever_sleep(host, by_order)?;
                let draining = self.host(host).state == HostState::Draining && !self.has_flight_on(host);
                let clear = self.host(host).obstacles(self.now.mono, &self.settings).is_empty();
                if draining && clear && self.freshly_empty(host) { Ok(()) } else { Err("changed") }
            }
            Action::Wake { host } => {
                let state = self.host(host).state;
                let ours = state == HostState::Unknown && self.host(host).maybe_asleep;
                if state.is_down() || state == HostState::Waking || ours { Ok(()) } else { Err("changed") }
            }
            Action::Start { vm, host } => self.may_start(vm, host, Some(intent.id)).map_err(|_| "changed"),
            Action::Fence { host } => self.may_fence(host),
            Action::Stop { .. } => Err("not-automated"),
        }
    }
}

/// How many of these lie within the span; older ones are dropped.
fn recent(times: &mut VecDeque<Mono>, now: Mono, span: Millis) -> usize {
    while times.front().is_some_and(|first| now.since(*first) > span) {
        times.pop_front();
    }
    times.len()
}
