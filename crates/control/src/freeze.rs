//! When many hosts vanish at once it is rather our own side that is cut: nothing destructive then (faults I5, N02).

use crate::agenda::is_expected;
use crate::controller::Controller;
use crate::mutants::{self, Mutant};
use crate::{Level, LogEvent, Settings};
use dormouse_model::{HostId, Mono};
use std::collections::BTreeSet;

/// The hosts that vanished together, while they are still away.
#[derive(Debug, Default)]
pub(crate) struct Freeze {
    away: BTreeSet<HostId>,
    /// Who vanishes before that belongs to them, too: silence is noticed host by host.
    until: Mono,
}

impl Freeze {
    pub(crate) fn is_frozen(&self) -> bool {
        !self.away.is_empty()
    }
}

impl Settings {
    /// More than this many hosts vanishing within one period freezes us.
    pub(crate) fn freeze_above(&self, hosts: usize) -> usize {
        let share = hosts * usize::try_from(self.freeze_permille).unwrap_or(usize::MAX) / 1000;
        share.max(self.freeze_hosts as usize)
    }
}

impl Controller {
    pub(crate) fn watch_freeze(&mut self) {
        if self.agenda.missing.is_empty() && !self.freeze.is_frozen() {
            return;
        }
        let now = self.now.mono;
        let asked = self.hosts.iter().filter(|host| is_expected(host.state)).count();
        let limit = self.settings.freeze_above(asked);
        let missing = &self.agenda.missing;
        // Hosts are asked over one period, and a timeout is noticed later than a refusal.
        let span = self.settings.observe_every + self.settings.look_deadline;
        let since = |id: &HostId| self.host(*id).missing_since;
        let burst: BTreeSet<_> = missing.iter().copied().filter(|id| now.since(since(id)) <= span).collect();
        let was_frozen = self.freeze.is_frozen();
        // Another burst while some are away already is one more reason to keep still.
        let (more, unseen) = (burst.len() > limit && !mutants::has(Mutant::NeverFreezes), burst.len());
        let late: Vec<HostId> =
            missing.iter().copied().filter(|id| was_frozen && since(id) <= self.freeze.until).collect();
        if more {
            self.freeze.away.extend(burst);
            self.freeze.until = now + span;
        }
        self.freeze.away.extend(late);
        let missing = &self.agenda.missing;
        self.freeze.away.retain(|id| missing.contains(id));
        if more && !was_frozen {
            self.tell(
                LogEvent::new(Level::Alarm, "freeze")
                    .with("unseen", unseen)
                    .with("of", asked)
                    .with("limit", limit),
            );
            self.drop_run("freeze");
        } else if was_frozen && self.freeze.away.len() <= limit {
            self.freeze.away.clear();
            self.tell(LogEvent::new(Level::Info, "thaw"));
        }
    }

    /// A person says that those hosts are really gone.
    pub(crate) fn thaw(&mut self) {
        if self.freeze.is_frozen() {
            self.freeze.away.clear();
            self.tell(LogEvent::new(Level::Info, "thaw").with("by", "operator"));
        }
    }
}
