//! Who is looked at next, and which hosts want watching: kept up to date as things happen, so that an event costs what it
//! brings and not a pass over the cluster. Decides nothing.

use dormouse_model::{HostId, HostState, Mono, ObservationId};
use std::collections::{BTreeSet, VecDeque};

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// Hosts without a look under way, by when the next one is due.
    due: BTreeSet<(Mono, HostId)>,
    /// Looks in the order in which they were asked for; answered ones are dropped when they come to the front.
    asked: VecDeque<(Mono, HostId, ObservationId)>,
    /// Hosts between states, or in one that needs watching.
    pub(crate) restless: BTreeSet<HostId>,
    /// Hosts that answered once, are expected to answer, and do not.
    pub(crate) missing: BTreeSet<HostId>,
    /// Hosts that were not heard of yet and had no chance.
    pub(crate) unheard: BTreeSet<HostId>,
}

impl Agenda {
    pub(crate) fn plan(&mut self, host: HostId, before: Option<Mono>, at: Mono) {
        if let Some(before) = before {
            self.due.remove(&(before, host));
        }
        self.due.insert((at, host));
    }

    pub(crate) fn asks(&mut self, host: HostId, due: Mono, now: Mono, look: ObservationId) {
        self.due.remove(&(due, host));
        self.asked.push_back((now, host, look));
    }

    pub(crate) fn next_due(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Hosts whose look is due, in the order of the inventory.
    pub(crate) fn due(&self, now: Mono) -> Vec<HostId> {
        let mut hosts: Vec<HostId> =
            self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, host)| *host).collect();
        hosts.sort_unstable();
        hosts
    }

    /// Looks asked for before that time and not answered, in the order of the inventory.
    pub(crate) fn overdue(
        &mut self,
        before: Mono,
        under_way: impl Fn(HostId, ObservationId) -> bool,
    ) -> Vec<HostId> {
        let mut hosts = vec![];
        while let Some((asked, host, look)) = self.asked.front().copied() {
            let open = under_way(host, look);
            if open && asked >= before {
                break;
            }
            if open {
                hosts.push(host);
            }
            self.asked.pop_front();
        }
        hosts.sort_unstable();
        hosts
    }

    pub(crate) fn entered(&mut self, host: HostId, state: HostState) {
        if is_restless(state) {
            self.restless.insert(host);
        } else {
            self.restless.remove(&host);
        }
    }

    /// The first restless host from that place on: the set may change while it is walked.
    pub(crate) fn restless_from(&self, place: usize) -> Option<HostId> {
        self.restless.range(HostId::at(place)..).next().copied()
    }
}

const fn is_restless(state: HostState) -> bool {
    matches!(
        state,
        HostState::Draining
            | HostState::Stopping
            | HostState::Waking
            | HostState::Unusable
            | HostState::Unknown
    )
}

/// A host that we expect to answer.
pub(crate) const fn is_expected(state: HostState) -> bool {
    matches!(state, HostState::On | HostState::Draining | HostState::Unusable | HostState::Unknown)
}
