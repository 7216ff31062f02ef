//! Looks: when to ask, and what an answer or a failure means for hosts and VMs.
//!
//! What is seen always wins over what was believed. Silence moves a host to `unknown` and no further.

use crate::agenda::is_expected;
use crate::controller::Controller;
use crate::flight::Phase;
use crate::hosts::Look;
use crate::{Aside, Effect, Level, LogEvent};
use dormouse_model::{
    Action, CheckFailure, DomainState, HostFacts, HostId, HostState, HostTime, Millis, Mono, Observation,
    ObservationId, ProbeError, VmFacts, VmId, VmState,
};

/// Hosts that are down are looked at this many times less often: only to notice that someone woke them.
const DOWN_PERIODS: u64 = 4;
/// Hosts on their way up or down are looked at this many times more often.
const BUSY_FRACTION: u64 = 5;

impl Controller {
    /// A look at this host is wanted at once; one that is under way is followed by another.
    pub(crate) fn look_soon(&mut self, id: HostId) {
        let now = self.now.mono;
        match &mut self.host_mut(id).look {
            Some(look) => look.again = true,
            None => self.look_at(id, now),
        }
    }

    /// The next look, while none is under way.
    fn look_at(&mut self, id: HostId, at: Mono) {
        let before = std::mem::replace(&mut self.host_mut(id).next_look, at);
        self.agenda.plan(id, Some(before), at);
    }

    pub(crate) fn ask_looks(&mut self) {
        let now = self.now.mono;
        let deadline = self.settings.look_deadline;
        if self.agenda.next_due().is_none_or(|due| due > now) {
            return;
        }
        for id in self.agenda.due(now) {
            let observation = ObservationId(self.next_observation);
            self.next_observation += 1;
            let host = self.host_mut(id);
            let due = host.next_look;
            host.look = Some(Look { id: observation, asked: now, again: false });
            self.agenda.asks(id, due, now, observation);
            self.out.push(Effect::Look { id: observation, host: id, deadline });
        }
    }

    /// A runner that does not answer a look in time has failed it.
    pub(crate) fn watch_looks(&mut self) {
        let now = self.now.mono;
        let limit = Millis(self.settings.look_deadline.0 + 2000);
        let hosts = &self.hosts;
        let under_way = |id: HostId, look| hosts[id.index()].look.is_some_and(|open| open.id == look);
        for id in self.agenda.overdue(Mono(now.0.saturating_sub(limit.0)), under_way) {
            self.look_over(id);
            self.missed(id, ProbeError::Timeout(limit));
        }
    }

    fn period(&self, state: HostState) -> Millis {
        let every = self.settings.observe_every;
        match state {
            HostState::Asleep | HostState::Off => Millis(every.0 * DOWN_PERIODS),
            HostState::Waking | HostState::Stopping => Millis(every.0 / BUSY_FRACTION),
            _ => every,
        }
    }

    fn look_over(&mut self, id: HostId) -> Option<Look> {
        let now = self.now.mono;
        let period = self.period(self.host(id).state);
        let host = self.host_mut(id);
        let look = host.look.take()?;
        host.last_look = Some(look.asked);
        let at = if look.again { now } else { look.asked + period };
        host.next_look = at;
        self.agenda.plan(id, None, at);
        Some(look)
    }

    pub(crate) fn observed(&mut self, observation: Observation) {
        let id = observation.host;
        if id.index() >= self.hosts.len() || self.host(id).look.is_none_or(|look| look.id != observation.id) {
            return; // late or doubled: a newer look has taken its place
        }
        let Some(look) = self.look_over(id) else { return };
        match observation.result {
            Ok(facts) => self.answered(id, facts, look, observation.answered),
            Err(error) => self.missed(id, error),
        }
        // The state may have changed how soon the next look is due.
        let period = self.period(self.host(id).state);
        let at = look.asked + period;
        if !look.again && self.host(id).look.is_none() && self.host(id).next_look > at {
            self.look_at(id, at);
        }
    }

    fn answered(&mut self, id: HostId, mut facts: HostFacts, look: Look, by: Mono) {
        if let Some(known) = self.host(id).machine.filter(|machine| *machine != facts.machine) {
            let why = format!("machine {} instead of {known}", facts.machine);
            return self.missed(id, ProbeError::Identity(why));
        }
        if let Some(why) = implausible(&facts) {
            return self.missed(id, ProbeError::Malformed(why));
        }
        let offset = facts.clock_offset_ms;
        if offset.unsigned_abs() > self.settings.clock_offset.0 {
            facts.failures.push(CheckFailure::Clock(offset));
        }
        let first = self.host(id).facts.is_none();
        let now = self.now.mono;
        let host = self.host_mut(id);
        host.fill_sizes(&facts);
        let rebooted = host.boot.is_some_and(|boot| boot != facts.boot);
        let fenced = std::mem::take(&mut host.fenced);
        let replaced = facts.hypervisor.is_some() && host.hypervisor != facts.hypervisor;
        let news = replaced || host.machine != Some(facts.machine) || host.boot != Some(facts.boot);
        host.machine = Some(facts.machine);
        host.boot = Some(facts.boot);
        host.clock = Some((HostTime { boot: facts.boot, uptime: facts.uptime }, by));
        if replaced {
            host.hypervisor.clone_from(&facts.hypervisor);
        }
        if host.misses > 0 {
            host.seen_since = look.asked;
        }
        host.misses = 0;
        host.error = None;
        let failures = facts.failures.clone();
        let libvirt_speaks = !failures.iter().any(|failure| matches!(failure, CheckFailure::Libvirt(_)));
        let vms = std::mem::take(&mut facts.vms);
        let disk_lock = facts.disk_lock;
        host.facts = Some((facts, look.asked, look.id));
        self.heard(id);
        if rebooted {
            // So it had gone, although the guard's word was lost.
            self.slept_after_all(id);
            let host = self.host_mut(id);
            host.tries = 0;
            host.offs.clear();
            // It did go after all: from here on health counts again.
            host.aside = host.aside.filter(|why| *why != Aside::NeverWent);
            let name = host.spec.name.clone();
            if host.state == HostState::On {
                host.since = now;
            }
            if matches!(host.state, HostState::On | HostState::Draining) {
                // It has been up for a moment only, and plans were made for what it was before.
                let knobs = &self.cluster.policy.knobs;
                let rests = now + knobs.scaled(knobs.min_up);
                let host = self.host_mut(id);
                host.rest_until = host.rest_until.max(rests);
                self.disturb(id, "host.rebooted");
            }
            self.tell(LogEvent::new(Level::Info, "host.rebooted").with("host", name));
            for vm in self.vms.forget_host(id) {
                self.judge_vm(vm);
            }
        }
        // Where libvirt does not answer, its list says nothing: the VMs of the last good look are presumed.
        if libvirt_speaks {
            let crashed: Vec<_> = vms.iter().filter(|vm| vm.crashed).map(|vm| vm.uuid).collect();
            let before = self.ran_here(id, &crashed);
            for vm in self.vms.sighted(id, vms, look) {
                self.judge_vm(vm);
                self.note_job(vm);
            }
            for vm in before {
                self.crashed(vm, id);
            }
            self.tell_doubles();
            let starts = |vm: &VmId| {
                let seen = self.vms.record(*vm).seen.get(&id).map(|seen| &seen.facts);
                seen.is_some_and(|facts| facts.autostart && !facts.state.is_present())
            };
            let autostarts = self.vms.sighted_on(id).iter().copied().filter(starts).collect();
            self.note_autostarts(id, autostarts);
        }
        self.note_disk_lock(id, disk_lock);
        if rebooted || replaced {
            self.ways_anew(id);
        }
        if rebooted {
            self.proof_anew(id);
        }
        if news {
            self.remember_host(id);
        }
        if fenced {
            self.fence_over(id, rebooted);
        }
        self.seen_up(id, &failures, rebooted, first);
    }

    /// What an answer means for the state.
    fn seen_up(&mut self, id: HostId, failures: &[CheckFailure], rebooted: bool, first: bool) {
        let state = self.host(id).state;
        let healthy = failures.is_empty();
        if !healthy {
            let words = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let host = self.host_mut(id);
            host.healthy_since = None;
            host.error = Some(ProbeError::Unfit(words));
        }
        let cause = if first { "first-look" } else { "seen" };
        match state {
            // It was told to go off as often as may be, whatever came of each, and here it is: it does not go.
            HostState::On | HostState::Unusable | HostState::Unknown
                if healthy && self.host(id).never_goes(&self.settings) =>
            {
                self.set_aside(id, Aside::NeverWent);
            }
            HostState::On if !healthy => self.turn_unusable(id, failures),
            // Our own guard closes the doors before it answers: libvirt is silent then.
            HostState::Draining if !healthy && self.has_sleep_on(id) => {}
            HostState::Draining if !healthy => self.turn_unusable(id, failures),
            HostState::On => self.host_mut(id).failures = 0,
            HostState::Draining => {}
            // Its doors are closed, so failing checks are to be expected; a new boot is not.
            HostState::Stopping if rebooted => {
                let now = self.now.mono;
                let host = self.host_mut(id);
                // It went, and was back before anybody heard it silent.
                if std::mem::take(&mut host.guard_agreed) {
                    host.slept(now);
                }
                self.set_state(id, HostState::On, "rebooted");
            }
            // The guard closed its doors before it spoke. They are open again, so it does not go: from here on silence
            // says nothing.
            HostState::Stopping if healthy && self.looked_since(id, self.host(id).since_look) => {
                // Our successor must know that, or it would take a cut cable for sleep.
                if std::mem::take(&mut self.host_mut(id).guard_agreed) {
                    self.remember_host(id);
                }
            }
            HostState::Stopping => {}
            HostState::Asleep | HostState::Off => {
                // The sleep that was asked for is over, and with it the drain.
                self.host_mut(id).drain = false;
                self.set_state(id, HostState::On, "woke-by-itself");
                self.woke(id);
                if !healthy {
                    self.turn_unusable(id, failures);
                }
            }
            HostState::Waking if healthy => {
                self.host_mut(id).drain = false;
                self.set_state(id, HostState::On, "usable");
                self.woke(id);
            }
            HostState::Waking => self.turn_unusable(id, failures),
            HostState::Unusable | HostState::Unknown if healthy => {
                self.set_state(id, HostState::On, cause);
                self.woke(id);
                // Its VMs count again: whoever is to sleep may be needed for them.
                self.disturb(id, "host.back");
            }
            HostState::Unknown => self.turn_unusable(id, failures),
            HostState::Unusable => {}
            HostState::SetAside if healthy && self.host(id).aside != Some(Aside::NeverWent) => {
                let now = self.now.mono;
                let heal_after = self.settings.heal_after;
                let since = *self.host_mut(id).healthy_since.get_or_insert(now);
                if now.since(since) >= heal_after {
                    self.trust_again(id, "healthy-again");
                }
            }
            HostState::SetAside => {}
        }
    }

    fn turn_unusable(&mut self, id: HostId, failures: &[CheckFailure]) {
        let cause = match failures.first() {
            Some(CheckFailure::Libvirt(_)) => "check.libvirt",
            Some(CheckFailure::Storage(_)) => "check.storage",
            Some(CheckFailure::Clock(_)) => "check.clock",
            Some(CheckFailure::DiskLock(_)) => "check.disk-lock",
            None => "check",
        };
        self.set_state(id, HostState::Unusable, cause);
        self.disturb(id, "host.unusable");
    }

    /// It answers and everything works: it was woken, or came back by itself.
    fn woke(&mut self, id: HostId) {
        let now = self.now.mono;
        let name = self.host_name(id).to_owned();
        let longest = Millis(self.settings.t_on.0.saturating_mul(u64::from(self.settings.tries)));
        let host = self.host_mut(id);
        if let Some(wake) = host.wake.take() {
            let took = now.since(wake.first);
            // Longer than any try waits was no boot but a repair.
            if took <= longest {
                host.booted(took);
            }
            host.tries = 0;
        }
        // One that was only taken for asleep is on the boot of before, and its off commands stand.
        let slept = host.cycles(now, Millis(u64::MAX)) > 0 && host.offs.is_empty();
        host.proven |= host.boot.is_some() && slept;
        host.failures = 0;
        host.guard_agreed = false;
        host.maybe_asleep = false;
        host.healthy_since = None;
        self.remember_host(id);
        self.clear_alarm("host.unreachable", &name);
        self.plan_soon();
    }

    /// An operator cleared it or it was seen healthy for a while.
    pub(crate) fn trust_again(&mut self, id: HostId, cause: &'static str) {
        let host = self.host_mut(id);
        host.tries = 0;
        // Health proves nothing about a host that ignores its off command: it answers healthily all the while.
        if cause == "cleared" {
            host.offs.clear();
        }
        host.failures = 0;
        host.healthy_since = None;
        host.rest_until = Mono::ZERO;
        host.refused_until = Mono::ZERO;
        if host.state == HostState::SetAside {
            let why = host.aside.take();
            let healthy =
                host.misses == 0 && host.facts.as_ref().is_some_and(|(facts, ..)| facts.failures.is_empty());
            // A host that we put to sleep and that never woke is tried again.
            host.maybe_asleep |= !healthy && why == Some(Aside::NeverWoke);
            self.set_state(id, if healthy { HostState::On } else { HostState::Unknown }, cause);
            self.look_soon(id);
        }
        self.remember_host(id);
        let name = self.host_name(id).to_owned();
        self.clear_alarm("host.set-aside", &name);
    }

    pub(crate) fn set_aside(&mut self, id: HostId, why: Aside) {
        let cause = why.cause();
        let host = self.host_mut(id);
        host.aside = Some(why);
        // No try goes on: neither its late boot nor its circuit waits for one.
        host.wake = None;
        self.set_state(id, HostState::SetAside, cause);
        let name = self.host_name(id).to_owned();
        let event = LogEvent::new(Level::Alarm, "host.set-aside").with("host", &name).with("cause", cause);
        self.alarm("host.set-aside", &name, event);
        self.disturb(id, "host.set-aside");
    }

    fn missed(&mut self, id: HostId, error: ProbeError) {
        let now = self.now.mono;
        let stale_periods = self.settings.stale_periods;
        let cause = error.cause();
        let identity = matches!(error, ProbeError::Identity(_));
        let host = self.host_mut(id);
        if host.misses == 0 {
            host.missing_since = now;
        }
        host.misses = host.misses.saturating_add(1);
        host.error = Some(error);
        host.healthy_since = None;
        let silent = host.misses >= stale_periods;
        let first = host.misses == 1;
        let state = host.state;
        self.heard(id);
        if first && matches!(state, HostState::Unknown | HostState::SetAside) {
            // VMs that a store remembers there, or that were there when we began, are lost with it.
            for vm in self.vms.present_on(id).collect::<Vec<_>>() {
                self.judge_vm(vm);
            }
        }
        match state {
            HostState::On | HostState::Unknown | HostState::Stopping if identity => {
                self.set_aside(id, Aside::Identity)
            }
            HostState::On | HostState::Draining | HostState::Unusable if silent || identity => {
                self.set_state(id, HostState::Unknown, cause);
                self.disturb(id, "host.silent");
                let name = self.host_name(id).to_owned();
                let event =
                    LogEvent::new(Level::Alarm, "host.unreachable").with("host", &name).with("cause", cause);
                self.alarm("host.unreachable", &name, event);
            }
            HostState::Stopping => self.silent_while_stopping(id),
            _ => {}
        }
    }

    /// States the VM anew from its sightings and from our own moves, and tells what changed.
    pub(crate) fn judge_vm(&mut self, id: VmId) {
        let ours = self.flights.values().find_map(|flight| flight.vm_state(id));
        let hosts = &self.hosts;
        let silent = |host: HostId| {
            matches!(hosts[host.index()].state, HostState::Unknown | HostState::SetAside)
                && hosts[host.index()].misses > 0
        };
        let seen = self.vms.record_mut(id).sighted_state(silent);
        let next = ours.unwrap_or(seen);
        match next {
            VmState::Running { at } | VmState::Paused { at } => {
                self.remember_place(id, Some(at));
                self.runs_again(id);
            }
            VmState::Stopped | VmState::Saved { .. } | VmState::Failed { at: None } => {
                self.remember_place(id, None);
                self.ways_of_ended(id);
            }
            // Not certain: what was certain last is what our successor must know.
            _ => {}
        }
        let record = self.vms.record_mut(id);
        if record.state == next {
            record.known = true;
            return;
        }
        let was = std::mem::replace(&mut record.state, next.clone());
        let first = !std::mem::replace(&mut record.known, true);
        let name = record.spec.name.clone();
        self.tell_vm(id, &name, &was, &next, first);
        // A VM that left, came or changed hands without us: plans made before do not hold. One that nobody knew and that
        // holds nothing is no news to a plan.
        let no_news = first && next.hosts().is_empty();
        let expected = no_news
            || matches!((&was, &next), (_, VmState::Migrating { .. }) | (VmState::Migrating { .. }, _));
        if !expected {
            self.drop_run("vm.changed");
        }
        if let VmState::Migrating { from, to } = next
            && !self.flights.values().any(|flight| flight.intent.action.vm() == Some(id))
        {
            self.look_soon(from);
            self.look_soon(to);
        }
    }

    fn remember_place(&mut self, vm: VmId, at: Option<HostId>) {
        if self.vms.record(vm).remembered_at != at {
            self.remember_vm(vm, at);
        }
    }

    fn tell_vm(&mut self, id: VmId, name: &str, was: &VmState, next: &VmState, first: bool) {
        let places: Vec<_> = next.hosts().iter().map(|host| self.host_name(*host).to_owned()).collect();
        let level = match next {
            VmState::Conflict { .. } | VmState::Stuck { .. } => Level::Alarm,
            VmState::Lost { .. } | VmState::Failed { .. } => Level::Warn,
            _ if first => Level::Debug,
            VmState::Migrating { .. } => Level::Debug,
            _ if matches!(was, VmState::Migrating { .. }) => Level::Debug,
            _ => Level::Info,
        };
        let event = LogEvent::new(level, "vm.state")
            .with("vm", name)
            .with("uuid", self.vm_uuid(id))
            .with("from", was.as_str())
            .with("to", next.as_str())
            .with("at", places.join(","));
        self.tell(event);
    }

    /// Whether every host has been heard of, or has had its chance.
    pub(crate) fn looked_everywhere(&self) -> bool {
        self.agenda.unheard.iter().all(|id| self.host(*id).state.is_down())
    }

    /// A look at this host ended, or its state changed: whether it counts as missing now.
    pub(crate) fn heard(&mut self, id: HostId) {
        let host = self.host(id);
        let (misses, known, state) = (host.misses, host.facts.is_some(), host.state);
        if known || misses > 0 {
            self.agenda.unheard.remove(&id);
        }
        if known && misses > 0 && is_expected(state) {
            self.agenda.missing.insert(id);
        } else {
            self.agenda.missing.remove(&id);
        }
    }

    /// A VM as one host saw it last.
    pub(crate) fn sighting(&self, vm: VmId, host: HostId) -> Option<(DomainState, bool)> {
        let seen = self.vms.record(vm).seen.get(&host)?;
        Some((seen.facts.state, seen.facts.job.is_some()))
    }

    /// The last look at this host was good and is this one or a later one. Looks are numbered as they are asked for, so
    /// the number tells what came after what where clocks are too coarse.
    pub(crate) fn looked_since(&self, host: HostId, look: ObservationId) -> bool {
        let host = self.host(host);
        host.misses == 0
            && host.facts.as_ref().is_some_and(|(facts, _, id)| {
                *id >= look
                    && !facts.failures.iter().any(|failure| matches!(failure, CheckFailure::Libvirt(_)))
            })
    }

    /// Something happened on this host that plans did not count on.
    pub(crate) fn disturb(&mut self, id: HostId, why: &'static str) {
        // Whoever is put to sleep relies on those that stay, also where the plan does not touch them.
        let in_plan = self.run.as_ref().is_some_and(|run| run.concerns(id) || run.will_sleep());
        if in_plan {
            self.drop_run(why);
        }
        self.plan_soon();
    }

    /// Effects on this host that have not ended.
    pub(crate) fn has_flight_on(&self, id: HostId) -> bool {
        self.flights
            .values()
            .any(|flight| flight.phase != Phase::Writing && flight.intent.action.hosts().contains(&id))
    }

    /// The same, without moves in doubt.
    pub(crate) fn is_worked_on(&self, id: HostId) -> bool {
        self.flights
            .values()
            .any(|flight| flight.is_under_way() && flight.intent.action.hosts().contains(&id))
    }

    /// The same, and those whose intent is being written.
    pub(crate) fn has_intent_on(&self, id: HostId) -> bool {
        self.flights.values().any(|flight| flight.intent.action.hosts().contains(&id))
    }

    /// An off command of ours is with the guard there.
    fn has_sleep_on(&self, id: HostId) -> bool {
        self.flights
            .values()
            .any(|flight| flight.phase == Phase::Acting && flight.intent.action == Action::Sleep { host: id })
    }
}

/// Sizes beyond any machine: sums over them would leave their range, and one lying host would end the manager.
fn implausible(facts: &HostFacts) -> Option<String> {
    const MOST: u64 = 1 << 32;
    let host = [
        ("mem", facts.mem.0),
        ("mem_available", facts.mem_available.0),
        ("load15", facts.load15.0),
        ("cpu", facts.cpu_used.0),
    ];
    let of_vm = |vm: &VmFacts| {
        [
            ("mem", vm.mem.0),
            ("cpu", vm.cpu.unwrap_or_default().0),
            ("vcpus", u64::from(vm.vcpus) << 8),
            ("dirty", vm.dirty_mib_s),
        ]
    };
    let wrong = |fields: &[(&str, u64)]| {
        fields.iter().find(|(_, value)| *value > MOST).map(|(field, _)| (*field).to_owned())
    };
    if let Some(field) = wrong(&host) {
        return Some(format!("{field} of the host is beyond any machine"));
    }
    facts.vms.iter().find_map(|vm| {
        wrong(&of_vm(vm)).map(|field| format!("{field} of VM {} is beyond any machine", vm.uuid))
    })
}
