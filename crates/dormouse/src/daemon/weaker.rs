//! Tells a person once what could be better about moves: those that the manager leads although hosts could, and
//! certificates that come to their end. Decides nothing; the driver moves as it can.

use super::Rim;
use dormouse_control::{Level, LogEvent};
use dormouse_driver::Carrier;
use dormouse_model::HostId;
use std::collections::BTreeMap;

/// Days before the end of a certificate at which it is told once more.
const STEPS: [i64; 7] = [60, 30, 14, 7, 3, 1, 0];

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Weaker {
    moves: BTreeMap<(HostId, HostId), String>,
    ends: BTreeMap<HostId, i64>,
}

impl Weaker {
    /// A move is about to begin.
    pub(super) fn moves(&mut self, rim: &Rim, from: HostId, to: HostId) -> Option<LogEvent> {
        let (here, there) = (rim.host(from), rim.host(to));
        let carried = rim.hypervisor.carried(here, there)?;
        if carried.by != Carrier::Manager {
            self.moves.remove(&(from, to));
            return None;
        }
        let before = self.moves.insert((from, to), carried.words.clone());
        // Without a host to mend, it is what the settings ask for.
        let mend = carried.mend.filter(|_| before.as_ref() != Some(&carried.words))?;
        let event = LogEvent::new(Level::Warn, "move.managed");
        let event = event.with("from", &here.name).with("to", &there.name).with("why", carried.words);
        Some(event.with("hint", format!("dormouse host add {mend}")))
    }

    /// A host was looked at.
    pub(super) fn certificate(&mut self, rim: &Rim, host: HostId) -> Option<LogEvent> {
        let spec = rim.host(host);
        let days = rim.hypervisor.carried_at(spec)?.days_left?;
        let Some(step) = STEPS.into_iter().filter(|step| days <= *step).min() else {
            self.ends.remove(&host);
            return None;
        };
        if self.ends.insert(host, step) == Some(step) {
            return None;
        }
        let event =
            LogEvent::new(Level::Warn, "certificate.ends").with("host", &spec.name).with("days", days);
        Some(event.with("hint", format!("dormouse host add {}", spec.name)))
    }
}
