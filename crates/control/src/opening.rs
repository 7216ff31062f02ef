//! Whether the house will open as it should: told early and by name, while somebody can still do something about it (faults
//! I14, T05, T08). Decides nothing.

use crate::controller::Controller;
use crate::{Level, LogEvent};
use dormouse_model::HostState;

const SHORT: &str = "opening.short";

impl Controller {
    /// From the moment waking begins: which hosts will not be there by the up-by, as far as anybody can see.
    pub(crate) fn watch_opening(&mut self) {
        let Some(up_by) = self.opening else { return self.opening_is_fine() };
        let now = self.now.mono;
        let ours = |host: &&crate::hosts::HostRecord| {
            !host.maintenance && !host.drain && host.state != HostState::Off
        };
        let missing: Vec<&str> = self
            .hosts
            .iter()
            .filter(ours)
            .filter(|host| match host.state {
                HostState::SetAside | HostState::Unknown | HostState::Unusable => true,
                HostState::Waking => host.is_late(now),
                _ => false,
            })
            .map(|host| host.spec.name.as_str())
            .collect();
        if missing.is_empty() {
            return self.opening_is_fine();
        }
        let names = missing.join(",");
        let local = self.cluster.schedule.zone.rules().to_datetime(up_by);
        let event = LogEvent::new(Level::Alarm, SHORT)
            .with("up_by", local.strftime("%Y-%m-%dT%H:%M"))
            .with("missing", missing.len())
            .with("of", self.hosts.iter().filter(ours).count())
            .with("hosts", &names);
        // Others are missing than were told of last: that is told, too.
        self.standing.retain(|(name, subject), ()| *name != SHORT || *subject == names);
        self.alarm(SHORT, &names, event);
    }

    fn opening_is_fine(&mut self) {
        let stands = self.standing.keys().find(|(name, _)| *name == SHORT);
        if let Some((_, names)) = stands.cloned() {
            self.clear_alarm(SHORT, &names);
        }
    }
}
