//! A VM as it really is: what it wants, and every copy of it.

use dormouse_model::{DomainState, HostId, MilliCpu, Millis, VmSpec};

use super::flow::FlowId;

#[derive(Clone, Debug)]
pub struct VmTruth {
    pub spec: VmSpec,
    /// What it wants now; changed by the script.
    pub demand: MilliCpu,
    /// Present or defined somewhere. Two entries only while it moves.
    pub copies: Vec<Copy>,
    pub flow: Option<FlowId>,
    /// Its users want it to run.
    pub wanted: bool,
    /// The longest single time for which a move held its processors.
    pub worst_downtime: Millis,
    /// Where libvirt starts it at each boot. A move of ours takes the definition away, and with it this mark.
    pub autostart_at: Option<HostId>,
    /// It went down with a host.
    pub was_lost: bool,
    /// It does not run because it crashed.
    pub(crate) crashed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    pub host: HostId,
    pub state: DomainState,
}

impl VmTruth {
    #[must_use]
    pub fn copy_on(&self, host: HostId) -> Option<DomainState> {
        self.copies.iter().find(|copy| copy.host == host).map(|copy| copy.state)
    }

    /// Where its processors run.
    #[must_use]
    pub fn runs_on(&self) -> Option<HostId> {
        self.copies.iter().find(|copy| copy.state.runs()).map(|copy| copy.host)
    }

    /// Where it runs, is paused, or is held by its own move at the source.
    #[must_use]
    pub fn lives_on(&self) -> Option<HostId> {
        self.runs_on().or_else(|| {
            self.copies.iter().find(|copy| copy.state == DomainState::Paused).map(|copy| copy.host)
        })
    }

    #[must_use]
    pub fn running_copies(&self) -> usize {
        self.copies.iter().filter(|copy| copy.state.runs()).count()
    }

    pub(crate) fn set(&mut self, host: HostId, state: DomainState) {
        match self.copies.iter_mut().find(|copy| copy.host == host) {
            Some(copy) => copy.state = state,
            None => self.copies.push(Copy { host, state }),
        }
    }

    pub(crate) fn drop_copy(&mut self, host: HostId) {
        self.copies.retain(|copy| copy.host != host);
        self.autostart_at = self.autostart_at.filter(|at| *at != host);
    }
}
