//! Proof that a silent host is off, by power control that sees it without its help (faults P07, P12, P13, P18).
//!
//! Asked only for a host that holds VMs nobody can reach, that has been silent for longer than a boot takes, and about
//! which no person has said anything. The proof is two things: our off command was taken and off was read back, and the
//! host stays silent to a look asked for a period after that. A host that answers although its power control says off is an
//! alarm, and nothing is started. Three failures end it, so that no account is locked out; then a person's word is needed.
//! Never is silence taken for a proof, nor an answer that does not say which; and never are more hosts proved off than may
//! vanish before we take it for a fault of our own.

use crate::agenda::is_expected;
use crate::controller::Controller;
use crate::flight::Phase;
use crate::hosts::HostRecord;
use crate::run::StepState;
use crate::{Automation, Level, LogEvent};
use dormouse_model::{
    Action, Because, DomainState, HostId, HostState, IntentId, Millis, Mono, Outcome, OutcomeError, PlanId,
    Step, StepId,
};

/// Off, and off read back twice, takes no longer.
const PROOF: Millis = Millis::from_secs(60);
const TRIES: u32 = 3;

impl Controller {
    pub(crate) fn watch_proofs(&mut self) {
        if self.settings.provers.is_empty() || self.settings.automation != Automation::Auto {
            return;
        }
        // One at a time: whatever makes hosts fall silent one after the other is noticed between them.
        if self.flights.values().any(|flight| matches!(flight.intent.action, Action::Fence { .. })) {
            return;
        }
        let wanted = self.settings.provers.iter().copied().find(|id| self.may_fence(*id).is_ok());
        if let Some(host) = wanted.filter(|_| self.leading() && self.paused.is_none()) {
            let step = Step {
                id: StepId(0),
                action: Action::Fence { host },
                needs: vec![],
                deadline: PROOF,
                because: Because::Asked,
            };
            self.write_intent(PlanId(0), None, step, false);
        }
    }

    /// The gate, before the intent and again when it is durable.
    pub(crate) fn may_fence(&self, id: HostId) -> Result<(), &'static str> {
        let now = self.now.mono;
        let Some(host) = self.hosts.get(id.index()) else { return Err("host-changed") };
        let lately = Millis(self.stale().0 + self.settings.look_deadline.0);
        let silent = host.state == HostState::Unknown
            && host.is_silent()
            && host.misses >= self.settings.stale_periods
            // Had we stood still meanwhile, its silence would be an old story.
            && host.last_look.is_some_and(|asked| now.since(asked) <= lately);
        let patience = self.settings.prove_after.max(host.usual_boot());
        let held = self.holds_in_force(self.now).iter().any(|hold| hold.hosts.contains(&id));
        let busy = self.flights.values().any(|flight| {
            flight.phase == Phase::Acting
                && flight.intent.action.hosts().contains(&id)
                && flight.intent.action != Action::Fence { host: id }
        });
        match () {
            () if self.freeze.is_frozen() || self.too_many_gone() => Err("frozen"),
            () if !silent || now.since(host.missing_since) < patience => Err("host-changed"),
            () if host.spec.role.is_some() => Err("role"),
            () if host.maintenance || host.drain || held => Err("in-hand"),
            () if host.proofs >= TRIES || host.proof_rests > now => Err("no-proof"),
            () if busy => Err("host-busy"),
            () if !self.loses_vms(id) => Err("nothing-lost"),
            () => Ok(()),
        }
    }

    /// Hosts that fall silent one by one are as suspicious as those that do at once, when they become as many.
    fn too_many_gone(&self) -> bool {
        let gone = |host: &&HostRecord| host.fenced || (host.state == HostState::Unknown && host.misses > 0);
        let expected = self.hosts.iter().filter(|host| host.fenced || is_expected(host.state)).count();
        self.hosts.iter().filter(gone).count() > self.settings.freeze_above(expected)
    }

    /// It holds VMs that ran there, as far as anybody knows.
    fn loses_vms(&self, id: HostId) -> bool {
        self.vms.present_on(id).any(|vm| {
            self.vms.record(vm).seen.get(&id).is_some_and(|seen| {
                matches!(
                    seen.facts.state,
                    DomainState::Running | DomainState::PausedFault | DomainState::PausedMigrating
                )
            })
        })
    }

    /// The command goes out: it counts, whatever becomes of it or of us.
    pub(crate) fn proof_begins(&mut self, id: HostId) {
        let host = self.host_mut(id);
        host.proofs += 1;
        host.off_boot = host.boot;
        self.remember_host(id);
    }

    /// A new boot, or a person: it may be asked for again.
    pub(crate) fn proof_anew(&mut self, id: HostId) {
        if std::mem::take(&mut self.host_mut(id).proofs) > 0 {
            let name = self.host_name(id).to_owned();
            self.clear_alarm("fence.fails", &name);
            self.clear_alarm("power.lies", &name);
        }
    }

    pub(crate) fn no_proof(&mut self, id: HostId, outcome: &Outcome) {
        let why = match outcome {
            Outcome::Failed(why) => why.to_string(),
            Outcome::Unsure(why) => why.clone(),
            Outcome::Refused(_) | Outcome::Done { .. } => "it did not go off".to_owned(),
        };
        let (now, settings) = (self.now.mono, self.settings.clone());
        let host = self.host_mut(id);
        let before = host.proofs.saturating_sub(1);
        host.proof_rests = now + crate::hosts::doubled(settings.backoff, before, settings.backoff_max);
        let name = host.spec.name.clone();
        let event = LogEvent::new(Level::Alarm, "fence.fails").with("host", &name).with("why", why);
        self.alarm("fence.fails", &name, event);
    }

    /// The power control has said off. It is believed when a look asked for a period later finds the host silent, and no
    /// look asked for since we decided found it alive: a link that was cut may be back in a moment, and shows it wrong.
    pub(crate) fn confirm_fence(&mut self, id: IntentId) {
        let Some(flight) = self.flights.get(&id) else { return };
        let Action::Fence { host } = flight.intent.action else { return };
        let record = self.host(host);
        if record.state.is_down() {
            // A person's word came first.
            return self.close(id, Outcome::Done { downtime: None }, StepState::Done);
        }
        let asked = record.last_look.filter(|_| record.look.is_none());
        let looked_since = |since: Mono| asked.is_some_and(|asked| asked >= since);
        let silent = record.is_silent();
        let answered = record.seen_since >= flight.intent.written;
        if !looked_since(flight.since)
            || (silent && !looked_since(flight.since + self.settings.observe_every))
        {
            return;
        }
        if silent && !answered {
            let name = record.spec.name.clone();
            self.close(id, Outcome::Done { downtime: None }, StepState::Done);
            self.clear_alarm("fence.fails", &name);
            return self.proved_off(host, "power-control");
        }
        let rebooted = record.off_boot.is_some() && record.boot != record.off_boot;
        let why = match () {
            () if silent => "it answered in between",
            () if rebooted => "it was switched on again",
            () => {
                self.power_lies(host);
                "its power control says off, and it answers"
            }
        };
        self.close(id, Outcome::Failed(OutcomeError::Driver(why.to_owned())), StepState::Failed);
    }

    /// Not asked again before a person has looked or the host has booted.
    fn power_lies(&mut self, id: HostId) {
        let name = self.host_name(id).to_owned();
        self.alarm("power.lies", &name, LogEvent::new(Level::Alarm, "power.lies").with("host", &name));
        self.host_mut(id).proofs = TRIES;
        self.remember_host(id);
    }
}
