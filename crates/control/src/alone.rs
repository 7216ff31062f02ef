//! A manager whose store is out of reach: it moves nothing and switches nothing off, and where a setting allows it, wakes
//! hosts at an opening all the same (fault C06).
//!
//! A wake without a word on disk is the one effect that can do no harm: whoever leads by then finds a host awake. Only a
//! manager that led and could not renew its lease does this; one that was told that another leads does nothing.

use crate::controller::Controller;
use crate::{Automation, Effect, Level, LogEvent};
use dormouse_model::{Goal, HostId, HostState, Millis};

/// The store is given so long to come back before anything is done without it.
const PATIENCE: Millis = Millis::from_secs(60);

impl Controller {
    pub(crate) fn watch_alone(&mut self) {
        let now = self.now.mono;
        let alone = self.leads.is_some_and(|(_, until)| now.since(until) > PATIENCE);
        if !alone || !self.settings.wake_without_quorum {
            return self.clear_alarm("alone", "");
        }
        let may = self.paused.is_none() && self.settings.automation == Automation::Auto;
        if !may || !matches!(self.goal, Some(Goal::Spread { .. })) {
            return;
        }
        self.alarm("alone", "", LogEvent::new(Level::Alarm, "alone").with("does", "wake"));
        for id in self.asleep_and_free() {
            if self.burst_bears() && self.circuit_bears(id) {
                self.wake_alone(id);
                self.begin_wake(id);
            }
        }
        for id in self.host_ids() {
            // A lost packet is sent again, as ever; a second try waits for the store.
            if self.host(id).state == HostState::Waking && self.burst_bears() && self.resend_is_due(id) {
                self.wake_alone(id);
                self.begin_wake(id);
            }
        }
    }

    fn wake_alone(&mut self, id: HostId) {
        let event = LogEvent::new(Level::Warn, "wake.alone").with("host", self.host_name(id));
        self.tell(event);
        self.out.push(Effect::WakeAlone(id));
    }

    fn asleep_and_free(&self) -> Vec<HostId> {
        let holds = self.holds_in_force(self.now);
        self.hosts
            .iter()
            .filter(|host| host.state == HostState::Asleep && !host.maintenance && !host.drain)
            .filter(|host| !holds.iter().any(|hold| hold.hosts.contains(&host.id)))
            .map(|host| host.id)
            .collect()
    }
}
