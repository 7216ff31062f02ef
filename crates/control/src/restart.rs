//! VMs of a dead host: started again elsewhere, once, and only after proof (faults I3, P08, P18, M01).
//!
//! Silence is never proof. What proves a host off is the word of a person who went and saw (`fence`); and before a VM is
//! started, every other host must be down, or seen without it by a look asked for after that. A host that is silent may
//! hold anything. What cannot be started is told, with the reason; it is never forgotten and never forced.

use crate::controller::Controller;
use crate::mutants::{self, Mutant};
use crate::vms::Owed;
use crate::{Level, LogEvent};
use dormouse_model::{
    Action, Because, DomainState, HostId, HostState, IntentId, Millis, ObservationId, Outcome, OutcomeError,
    PlanId, Step, StepId, VmId,
};

/// A start has this long; one that ended without a word is believed undone only after as long again.
const START: Millis = Millis::from_secs(60);
/// What is owed is looked at this often.
const EVERY: Millis = Millis::from_secs(1);
/// Starts at once on one host: each reads a disk and fills memory.
const STARTS_HOST: usize = 2;
/// After so many failed starts a person is asked for.
const TRIES: u32 = 3;

/// Why a VM is not started now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// It settles by itself within a moment.
    Soon,
    /// These hosts may hold it as far as anybody can know.
    Unproved(Vec<HostId>),
    NoRoom,
    /// It runs somewhere, or is not owed any more.
    Settled,
    Other(&'static str),
}

impl Controller {
    /// A person says that this silent host is really off. Only one that does not answer can be.
    pub(crate) fn fence(&mut self, id: HostId, by: &str) {
        let host = self.host(id);
        if let Some(why) = self.against_fence(id) {
            return self.refuse(format!("{}: {why}", host.spec.name));
        }
        self.proved_off(id, by);
    }

    /// It is off, by a person's word or by proof: what ran there is owed.
    pub(crate) fn proved_off(&mut self, id: HostId, by: &str) {
        let name = self.host_name(id).to_owned();
        let since_look = ObservationId(self.next_observation);
        let held: Vec<VmId> = self.vms.present_on(id).collect();
        let (mut lost, mut starts) = (vec![], vec![]);
        for vm in held {
            let Some(seen) = self.vms.record(vm).seen.get(&id) else { continue };
            let (state, bound) = (seen.facts.state, seen.facts.immovable.clone());
            if seen.facts.autostart {
                starts.push(vm);
            }
            match state {
                DomainState::Running | DomainState::PausedFault | DomainState::PausedMigrating => {
                    lost.push((vm, bound))
                }
                // Its user or its guest had stopped it; what was in its memory is gone.
                _ => self.tell_restart(vm, "stays-stopped", &[]),
            }
        }
        let host = self.host_mut(id);
        host.fenced = true;
        host.wake = None;
        // What its libvirt starts when it comes back, wherever those VMs run by then: told as soon as they do.
        host.autostarts = starts;
        self.slept_after_all(id);
        let held = self.vms.forget_host(id);
        let event = LogEvent::new(Level::Warn, "host.fenced")
            .with("host", &name)
            .with("by", by)
            .with("vms", lost.len());
        self.tell(event);
        self.set_state(id, HostState::Off, "fenced");
        // What crashed there was to start there again; now it may start anywhere.
        for vm in self.vms.owed.clone() {
            if self.vms.record(vm).owed.is_some_and(|owed| owed.from == id && owed.there) {
                self.owe(vm, id, since_look);
            }
        }
        for (vm, bound) in lost {
            if bound.is_some() || self.vms.record(vm).spec.local_disk {
                self.tell_restart(vm, "bound-to-its-host", &[id]);
            } else if self.vms.record(vm).present().next().is_none() {
                self.owe(vm, id, since_look);
            }
        }
        for vm in held {
            self.judge_vm(vm);
        }
        self.remember_host(id);
        self.drop_run("host.fenced");
        self.plan_soon();
    }

    /// Why nobody can say that this host is off.
    fn against_fence(&self, id: HostId) -> Option<String> {
        let host = self.host(id);
        match host.state {
            HostState::Unknown | HostState::SetAside if host.is_silent() => None,
            HostState::Unknown | HostState::SetAside => Some(host.error.as_ref().map_or_else(
                || "it was not looked at yet".to_owned(),
                |error| format!("something answers there: {error}"),
            )),
            HostState::Off if host.fenced => Some("it is fenced already".to_owned()),
            HostState::Asleep | HostState::Off => {
                Some(format!("it is {} and holds no VM: there is nothing to fence", host.state))
            }
            state => Some(format!(
                "it is {state}; a host is fenced only when it is silent for so long that it is unknown"
            )),
        }
    }

    pub(crate) fn owe(&mut self, vm: VmId, from: HostId, since_look: ObservationId) {
        self.owe_as(vm, Owed::new(from, since_look));
    }

    pub(crate) fn owe_as(&mut self, vm: VmId, owed: Owed) {
        self.vms.record_mut(vm).owed = Some(owed);
        self.vms.owed.insert(vm);
        self.remember_vm(vm, None);
    }

    /// A move is found with its VM on neither end: was one of them proved off? Then the VM went down with it.
    pub(crate) fn owe_after_move(&mut self, vm: VmId, from: HostId, to: HostId) -> bool {
        let Some(dead) = [from, to].into_iter().find(|end| self.host(*end).fenced) else { return false };
        if self.vms.record(vm).owed.is_none() {
            self.owe(vm, dead, ObservationId(self.next_observation));
        }
        true
    }

    /// The host answers: the word about it is over. Had it never gone, that word was wrong.
    pub(crate) fn fence_over(&mut self, id: HostId, rebooted: bool) {
        let level = if rebooted { Level::Info } else { Level::Alarm };
        let event = LogEvent::new(level, "fence.over")
            .with("host", self.host_name(id))
            .with("boot", if rebooted { "new" } else { "same" });
        self.tell(event);
        self.remember_host(id);
    }

    /// Starts what is owed and may start.
    pub(crate) fn watch_restarts(&mut self) {
        if self.vms.owed.is_empty() || self.restarts_due > self.now.mono {
            return;
        }
        self.restarts_due = self.now.mono + EVERY;
        let mut homeless = vec![];
        for vm in self.vms.owed.clone() {
            if self.vms.record(vm).present().next().is_some() {
                self.pay(vm);
                continue;
            }
            match self.place_for(vm) {
                Ok(host) => {
                    let name = self.vm_name(vm).to_owned();
                    self.clear_alarm("restart.waits", &name);
                    let step = single(Action::Start { vm, host }, START);
                    self.write_intent(PlanId(0), None, step, true);
                }
                Err(Waits::NoRoom) => {
                    // Another host would not help one that starts where it crashed.
                    homeless.extend(self.vms.record(vm).owed.filter(|owed| !owed.there).map(|_| vm));
                    self.tell_restart(vm, "no-room", &[]);
                }
                Err(Waits::Unproved(hosts)) => self.tell_restart(vm, "may-run-there", &hosts),
                Err(Waits::Other(why)) => self.tell_restart(vm, why, &[]),
                Err(Waits::Soon | Waits::Settled) => {}
            }
        }
        self.make_room(&homeless);
    }

    /// It runs again, by us or by somebody else.
    fn pay(&mut self, vm: VmId) {
        let name = self.vm_name(vm).to_owned();
        self.vms.owed.remove(&vm);
        let Some(owed) = self.vms.record_mut(vm).owed.take() else { return };
        let at = self.vms.record(vm).present().next().map(|(host, _)| host);
        self.clear_alarm("restart.waits", &name);
        self.remember_vm(vm, at);
        self.note_autostarts(owed.from, self.host(owed.from).autostarts.clone());
        let event = LogEvent::new(Level::Info, "vm.restarted")
            .with("vm", name)
            .with("from", self.host_name(owed.from))
            .with("at", at.map_or("", |at| self.host_name(at)));
        self.tell(event);
    }

    fn tell_restart(&mut self, vm: VmId, why: &'static str, hosts: &[HostId]) {
        let name = self.vm_name(vm).to_owned();
        let at: Vec<&str> = hosts.iter().map(|host| self.host_name(*host)).collect();
        let event = LogEvent::new(Level::Alarm, "restart.waits")
            .with("vm", &name)
            .with("uuid", self.vm_uuid(vm))
            .with("why", why)
            .with("hosts", at.join(","));
        self.alarm("restart.waits", &name, event);
    }

    /// The host on which to start it now: of those that every rule allows the one with the most room.
    fn place_for(&mut self, vm: VmId) -> Result<HostId, Waits> {
        if !self.leading() {
            return Err(Waits::Soon);
        }
        if self.paused.is_some() {
            return Err(Waits::Other("paused"));
        }
        self.may_start_at_all(vm, None)?;
        let owed = self.vms.record(vm).owed;
        let tried_at = owed.and_then(|owed| owed.tried_at);
        let only = owed.filter(|owed| owed.there).map(|owed| owed.from);
        let asked = self.vms.record(vm).spec.mem;
        let mut hosts: Vec<(u64, HostId)> = self
            .host_ids()
            .filter(|id| self.host(*id).state == HostState::On && only.is_none_or(|only| only == *id))
            .map(|id| {
                let host = self.host(id);
                (host.spec.mem_for_vms().saturating_sub(self.mem_claimed(id) + host.spec.overhead).0, id)
            })
            .filter(|(free, _)| *free >= asked.0)
            .collect();
        hosts.sort_by_key(|(free, id)| (tried_at != Some(*id), std::cmp::Reverse(*free), *id));
        if hosts.is_empty() {
            let gone = only.is_some_and(|only| self.host(only).state != HostState::On);
            return Err(if gone { Waits::Other("host-changed") } else { Waits::NoRoom });
        }
        let picture = self.picture(self.now, true);
        let fits = |id: HostId| {
            let plan = self.single(Action::Start { vm, host: id }, START);
            dormouse_planner::check(&picture, &plan).is_empty()
        };
        let place = hosts.iter().map(|(_, id)| *id).find(|id| fits(*id)).ok_or(Waits::NoRoom)?;
        match self.may_start(vm, place, None) {
            Ok(()) => Ok(place),
            Err(why) => Err(why),
        }
    }

    /// The gate for a start, before its intent and again when it is durable (`intent`: then).
    pub(crate) fn may_start(&mut self, vm: VmId, id: HostId, intent: Option<IntentId>) -> Result<(), Waits> {
        self.may_start_at_all(vm, intent)?;
        let host = self.host(id);
        if host.state != HostState::On {
            return Err(Waits::Other("host-changed"));
        }
        let since = self.vms.record(vm).owed.map_or(ObservationId(0), |owed| owed.since_look);
        if !host.is_fresh(self.now.mono, self.settings.fresh) || !self.looked_since(id, since) {
            if host.look.is_none() {
                self.look_soon(id);
            }
            return Err(Waits::Soon);
        }
        if !self.fenced_are_still_silent(id) {
            return Err(Waits::Soon);
        }
        let starts = self.flights.iter().filter(|(other, flight)| {
            Some(**other) != intent && flight.start().is_some_and(|(_, host)| host == id)
        });
        if starts.count() >= STARTS_HOST {
            return Err(Waits::Soon);
        }
        // The reservation of an intent that is written is counted already: its flight claims it.
        let asked = self.vms.record(vm).spec.mem + self.host(id).spec.overhead;
        let asked = if intent.is_some() { dormouse_model::Mib::ZERO } else { asked };
        if self.mem_claimed(id) + asked > self.host(id).spec.mem_for_vms() {
            return Err(Waits::NoRoom);
        }
        Ok(())
    }

    /// The word about a host is as old as the person's look; while we saw nobody, it may have come back. So each one must
    /// have been silent to a look of late, asked for since every look at the host to start on was answered.
    fn fenced_are_still_silent(&mut self, target: HostId) -> bool {
        let seen_since = self.host(target).seen_since;
        let late = Millis(self.stale().0 + self.settings.look_deadline.0);
        let unproved: Vec<HostId> = self
            .hosts
            .iter()
            .filter(|host| host.fenced)
            .filter(|host| {
                let asked = host.last_look.filter(|asked| self.now.mono.since(*asked) <= late);
                !host.is_silent() || asked.is_none_or(|asked| asked < seen_since)
            })
            .map(|host| host.id)
            .collect();
        for id in &unproved {
            if self.host(*id).look.is_none() {
                self.look_soon(*id);
            }
        }
        unproved.is_empty()
    }

    /// What forbids starting it anywhere.
    fn may_start_at_all(&mut self, vm: VmId, intent: Option<IntentId>) -> Result<(), Waits> {
        let record = self.vms.record(vm);
        let Some(owed) = record.owed.filter(|_| record.present().next().is_none()) else {
            return Err(Waits::Settled);
        };
        if owed.there && !self.starts_what_crashed() {
            return Err(Waits::Other("not-automated"));
        }
        if owed.rest_until > self.now.mono {
            return if owed.tries >= TRIES { Err(Waits::Other("fails")) } else { Err(Waits::Soon) };
        }
        if self
            .flights
            .iter()
            .any(|(id, flight)| Some(*id) != intent && flight.intent.action.vm() == Some(vm))
        {
            return Err(Waits::Soon);
        }
        if self.freeze.is_frozen() {
            return Err(Waits::Other("frozen"));
        }
        if self.disk_in_use(vm) {
            return Err(Waits::Other("disk-in-use"));
        }
        let stale = self.stale();
        let (mut silent, mut unseen) = (vec![], vec![]);
        for host in self.hosts.iter().filter(|host| !host.state.is_down()) {
            let seen = host.is_fresh(self.now.mono, stale) && self.looked_since(host.id, owed.since_look);
            if seen || mutants::has(Mutant::StartsWithoutProof) {
                continue;
            }
            let settled =
                matches!(host.state, HostState::Unknown | HostState::SetAside | HostState::Unusable);
            if settled { silent.push(host.id) } else { unseen.push(host.id) }
        }
        for id in &unseen {
            if self.host(*id).look.is_none() && self.host(*id).misses == 0 {
                self.look_soon(*id);
            }
        }
        match () {
            () if !silent.is_empty() => Err(Waits::Unproved(silent)),
            () if !unseen.is_empty() => Err(Waits::Soon),
            () => Ok(()),
        }
    }

    pub(crate) fn admit_start(&mut self, vm: VmId, host: HostId) -> crate::gate::Admission {
        use crate::gate::Admission;
        match self.may_start(vm, host, None) {
            Ok(()) => Admission::Go,
            Err(Waits::Settled) => Admission::Already,
            Err(Waits::Soon) => Admission::Wait("not-fresh"),
            Err(Waits::Unproved(_)) => Admission::Refuse("unproved"),
            Err(Waits::NoRoom) => Admission::Refuse("no-room"),
            Err(Waits::Other(why)) => Admission::Refuse(why),
        }
    }

    /// What has no room gets a host woken, one at a time.
    fn make_room(&mut self, homeless: &[VmId]) {
        let coming = |host: &crate::hosts::HostRecord| host.state == HostState::Waking;
        if homeless.is_empty() || self.hosts.iter().any(coming) || self.paused.is_some() {
            return;
        }
        let least = homeless.iter().map(|vm| self.vms.record(*vm).spec.mem).min().unwrap_or_default();
        let holds = self.holds_in_force(self.now);
        let fits = |host: &&crate::hosts::HostRecord| {
            host.state == HostState::Asleep
                && !host.maintenance
                && !holds.iter().any(|hold| hold.hosts.contains(&host.id))
                && host.spec.mem_for_vms() >= least + host.spec.overhead
        };
        let Some(id) = self.hosts.iter().find(fits).map(|host| host.id) else { return };
        let action = Action::Wake { host: id };
        if self.admit(action, true) == crate::gate::Admission::Go {
            self.write_intent(PlanId(0), None, single(action, self.settings.t_on), true);
        }
    }

    /// A start is done when the host is seen with the VM; the driver's word only explains it.
    pub(crate) fn confirm_start(&mut self, id: IntentId) {
        let Some(flight) = self.flights.get(&id) else { return };
        let Some((vm, host)) = flight.start() else { return };
        let spent = self.now.mono.since(flight.since);
        let unsure = !matches!(flight.said, Some(Outcome::Done { .. } | Outcome::Failed(_)));
        if !self.host(host).state.is_down() && !self.looked_since(host, flight.since_look) {
            return; // the host is not seen: it may run there, and nobody starts it elsewhere
        }
        let said = flight.said.clone();
        if self.sighting(vm, host).is_some_and(|(state, _)| state.is_present()) {
            return self.close(id, Outcome::Done { downtime: None }, crate::run::StepState::Done);
        }
        // A word that was lost may still be carried out; looks go on until it is not.
        if unsure && spent < START && !self.host(host).state.is_down() {
            return;
        }
        let why = match said {
            Some(Outcome::Failed(why)) => why,
            Some(Outcome::Unsure(why)) => OutcomeError::Driver(why),
            _ => OutcomeError::Driver("it is not there".to_owned()),
        };
        let (now, settings) = (self.now.mono, self.settings.clone());
        let down = self.host(host).state.is_down();
        if let Some(owed) = &mut self.vms.record_mut(vm).owed {
            owed.rest_until = now + crate::hosts::doubled(settings.backoff, owed.tries, settings.backoff_max);
            owed.tries = owed.tries.saturating_add(1);
            owed.tried_at = (unsure && !down).then_some(host);
        }
        self.close(id, Outcome::Failed(why), crate::run::StepState::Failed);
    }
}

fn single(action: Action, deadline: Millis) -> Step {
    Step { id: StepId(0), action, needs: vec![], deadline, because: Because::Asked }
}
