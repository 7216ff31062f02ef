//! Whether the loop keeps up: what the watchdog is fed by.
//!
//! A cycle ended on time when the loop came to its tick when it was due and no look is overdue. A program that runs and
//! does not do that (a deadlock, a timer that died, a driver that swallowed its answer) gives no sign of life, is ended
//! by whoever watches, and begins anew by looking.

use super::systemd::Systemd;
use dormouse_model::{Millis, Mono, ObservationId};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Pulse {
    systemd: Arc<Systemd>,
    /// A tick that is later than this is late: one period.
    patience: Millis,
    /// By when each look that was asked for is back.
    looks: BTreeMap<ObservationId, Mono>,
    behind: bool,
}

impl Pulse {
    pub(super) fn new(systemd: Arc<Systemd>, patience: Millis) -> Self {
        Self { systemd, patience, looks: BTreeMap::new(), behind: false }
    }

    pub(super) fn asked(&mut self, look: ObservationId, back_by: Mono) {
        self.looks.insert(look, back_by);
    }

    pub(super) fn answered(&mut self, look: ObservationId) {
        self.looks.remove(&look);
    }

    /// After each tick, with the time at which it was due.
    pub(super) fn tick(&mut self, due: Mono, now: Mono) {
        let overdue = self.looks.values().filter(|back_by| **back_by < now).count();
        let late = now.since(due);
        let behind = overdue > 0 || late > self.patience;
        match (behind, self.behind) {
            (true, false) => {
                tracing::warn!("the loop is behind: its tick {late} late, {overdue} looks overdue");
            }
            (false, true) => tracing::info!("the loop keeps up again"),
            _ => {}
        }
        self.behind = behind;
        if !behind {
            self.systemd.alive();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::systemd::tests::{heard, listener};
    use super::*;

    #[test]
    fn only_a_cycle_that_ended_on_time_is_a_sign_of_life() {
        let (listener, systemd) = listener("pulse", Some(Millis::from_secs(60)));
        let mut pulse = Pulse::new(Arc::new(systemd), Millis(15_000));
        let lives = |pulse: &mut Pulse, due, now| {
            pulse.tick(Mono(due), Mono(now));
            heard(&listener) == ["WATCHDOG=1"]
        };
        assert!(lives(&mut pulse, 1_000, 1_200));
        assert!(lives(&mut pulse, 10_000, 25_000), "a period late is not late");
        assert!(!lives(&mut pulse, 10_000, 25_001), "a tick that came too late");

        pulse.asked(ObservationId(7), Mono(30_000));
        assert!(lives(&mut pulse, 26_000, 26_000), "a look on its way");
        assert!(!lives(&mut pulse, 31_000, 31_000), "a look that never came back");
        assert!(!lives(&mut pulse, 46_000, 46_000), "and still has not");
        pulse.answered(ObservationId(7));
        assert!(lives(&mut pulse, 61_000, 61_000));
    }
}
