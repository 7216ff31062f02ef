//! What one manager leaves to the next: where VMs are, and intents without an outcome. Nothing is done again here: what was
//! under way is looked at.

use super::{Flight, Phase};
use crate::controller::Controller;
use crate::{Effect, Level, VmMemory};
use dormouse_model::{Action, HostId, HostState, Intent, ObservationId, Outcome, VmId};

impl Controller {
    /// An intent from before our start that has no outcome: it is settled by looking, never by doing it again.
    pub(crate) fn adopt(&mut self, mut intent: Intent) {
        if let (Action::Migrate { .. } | Action::Start { .. }, Some(uuid)) = (intent.action, intent.vm) {
            // VM ids do not outlive a process; the UUID says which one it was.
            let Some(vm) = self.vms.find(uuid) else {
                let outcome = Outcome::Unsure("the manager restarted and does not know this VM".to_owned());
                return self.out.push(Effect::Close { intent: intent.id, outcome });
            };
            intent.action = match intent.action {
                Action::Migrate { from, to, .. } => Action::Migrate { vm, from, to },
                Action::Start { host, .. } => Action::Start { vm, host },
                other => other,
            };
        }
        let event = self.intent_event(Level::Info, "intent.adopted", &intent);
        self.tell(event);
        match intent.action {
            Action::Migrate { .. } | Action::Start { .. } => {
                let flight = Flight {
                    step: None,
                    phase: Phase::Confirming,
                    since: self.now.mono,
                    since_look: ObservationId(self.next_observation),
                    said: Some(Outcome::Unsure("the manager restarted".to_owned())),
                    took: None,
                    planned: intent.deadline,
                    abort_sent: None,
                    settle_sent: false,
                    by_order: false,
                    given_up: false,
                    in_doubt: None,
                    intent,
                };
                self.flights.insert(flight.intent.id, flight);
            }
            Action::Sleep { host } => {
                // The call itself may still be under way: until it is void, nobody else sleeps on that host's account, and
                // it counts as late as it may come.
                let void = self.now.mono + self.settings.off_span;
                self.sleeps_after = void;
                self.sleeps.push_back(void);
                let outcome = Outcome::Unsure("the manager restarted".to_owned());
                // A remembered `stopping` or `asleep` is the guard's word, written before we fell.
                if matches!(self.host(host).state, HostState::Draining | HostState::On | HostState::Unknown) {
                    // Nobody knows whether it went out. It counts as a try: rather one too few.
                    self.host_mut(host).offs.insert(intent.id);
                    self.sleep_answered(host, intent.id, &outcome);
                    self.remember_host(host);
                }
                self.out.push(Effect::Close { intent: intent.id, outcome });
            }
            Action::Wake { .. } | Action::Stop { .. } | Action::Fence { .. } => {
                if let Action::Wake { host } = intent.action {
                    self.adopt_wake(host);
                }
                let outcome = Outcome::Unsure("the manager restarted".to_owned());
                self.out.push(Effect::Close { intent: intent.id, outcome });
            }
        }
    }

    pub(crate) fn remember_vm(&mut self, vm: VmId, at: Option<HostId>) {
        let now = self.now;
        let rate = self.settings.calendar_rate.max(1);
        self.vms.record_mut(vm).remembered_at = at;
        let record = self.vms.record(vm);
        let memory = VmMemory {
            vm: record.uuid,
            name: record.spec.name.clone(),
            at: at.map(|at| self.host_name(at).to_owned()),
            present: at.is_some(),
            mem_mib: record.spec.mem.0,
            vcpus: record.spec.vcpus,
            owed: record.owed.map(|owed| self.host_name(owed.from).to_owned()),
            owed_there: record.owed.is_some_and(|owed| owed.there),
            moves: record.moves.iter().map(|moved| crate::hosts::wall(now, *moved, rate)).collect(),
            crashes: record.crashes.iter().map(|then| crate::hosts::wall(now, *then, rate)).collect(),
            given_up: record.given_up,
            pairs: self.pairs.memory(vm, |host| self.host_name(host).to_owned(), now, rate),
        };
        self.out.push(Effect::RememberVm(memory));
    }
}
