//! Moving, starting and defining VMs.

use async_trait::async_trait;
use dormouse_model::{DomainState, HostSpec, Job, Millis, Outcome};
use std::fmt;
use tokio::sync::watch;
use uuid::Uuid;

use crate::DriverError;

/// One live move: the plan has left nothing open.
#[derive(Clone, Debug)]
pub struct MoveRequest<'a> {
    pub vm: Uuid,
    pub from: &'a HostSpec,
    pub to: &'a HostSpec,
    /// From the size of its memory and the rate of the link; the move is aborted then.
    pub deadline: Millis,
    /// Where progress is told, if anybody wants it.
    pub progress: Option<watch::Sender<Option<Job>>>,
}

/// A VM as a host has it defined, running or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub uuid: Uuid,
    /// Untrusted text.
    pub name: String,
    pub state: DomainState,
    pub persistent: bool,
    /// The persistent definition; untrusted text.
    pub xml: String,
}

/// How one host has a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It was asked and does not know the VM.
    Absent,
    /// It knows the VM.
    Has { state: DomainState, persistent: bool },
    /// It could not be asked.
    Unseen,
}

/// What was found and done about a move that may be half done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub settlement: Settlement,
    /// What was seen at the ends, before anything was done.
    pub source: End,
    pub destination: End,
}

/// The cases of a half-done move (fault M04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// Runs at the destination, and the source is without it.
    Moved,
    /// Runs (or is paused by its user) at the source, and the destination is without it.
    Stayed,
    /// Runs at the destination; the source holds a paused copy from the move, which is dropped.
    DropSource,
    /// Held by the move at the source, and the destination knows nothing of it: it is resumed.
    ResumeSource,
    /// Runs at the destination; a shut-off definition is left at the source, and the destination's is persistent.
    DropDefinition,
    /// A job still runs: nothing is touched before it ends.
    UnderWay,
    /// An end could not be seen: wait.
    Unseen,
    /// Both run, or nothing here is safe to touch: a person decides.
    Conflict,
    /// Neither end has it running: it ended while it moved.
    Gone,
}

/// Decides what a half-done move is, from both ends. Touches nothing. Never picks an action that could end the last
/// running copy, start a second one, or remove the last definition.
#[must_use]
pub fn judge(source: End, destination: End, job: bool) -> Settlement {
    use DomainState::{Crashed, Paused, PausedFault, PausedMigrating, Running, Saved, ShutOff, ShuttingDown};
    use End::{Absent, Has, Unseen};
    match (source, destination) {
        (Unseen, _) | (_, Unseen) => Settlement::Unseen,
        _ if job => Settlement::UnderWay,
        (Absent, Has { state: Running | Paused | PausedFault | ShuttingDown, .. }) => Settlement::Moved,
        (
            Has { state: Running | Paused | PausedFault | ShuttingDown, .. },
            Absent | Has { state: ShutOff, .. },
        ) => Settlement::Stayed,
        (Has { state: PausedMigrating, .. }, Has { state: Running, .. }) => Settlement::DropSource,
        // A definition that is shut off there was perhaps started and ended since: the memory held here is past then.
        (Has { state: PausedMigrating, .. }, Absent) => Settlement::ResumeSource,
        (Has { state: ShutOff, .. }, Has { state: Running | Paused | ShuttingDown, persistent: true }) => {
            Settlement::DropDefinition
        }
        (
            Absent | Has { state: ShutOff | Saved | Crashed, .. },
            Absent | Has { state: ShutOff | Saved | Crashed, .. },
        ) => Settlement::Gone,
        _ => Settlement::Conflict,
    }
}

/// Who carries moves, for people to know: as far as the driver can tell beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub by: Carrier,
    /// The same in words, with the reason where it is the weaker way.
    pub words: String,
    /// The host at which something is to be done about it.
    pub mend: Option<String>,
    /// What will have to be done some day.
    pub notes: Vec<String>,
    /// Until the host's certificate ends.
    pub days_left: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carrier {
    /// The hosts themselves, and each lets in only hosts of the cluster.
    HostsListed,
    /// The hosts themselves.
    Hosts,
    /// The manager: weaker, since a move that it does not live to end is left half done.
    Manager,
}

impl Carrier {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostsListed => "peer-to-peer-listed",
            Self::Hosts => "peer-to-peer",
            Self::Manager => "managed",
        }
    }
}

/// A hypervisor on many hosts. One call at a time per VM; the caller sees to that.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// Moves a running VM. `Done` only when afterwards the source was seen without it and the destination with it
    /// running (invariant I22). `Failed` only when the source was seen running it. Anything else is `Unsure`.
    async fn migrate(&self, request: MoveRequest<'_>) -> Outcome;

    /// Ends a running move at its source. The move's own call then answers. `Done` when there was nothing to end, too.
    async fn abort(&self, vm: Uuid, from: &HostSpec, deadline: Millis) -> Outcome;

    async fn start(&self, vm: Uuid, host: &HostSpec, deadline: Millis) -> Outcome;

    /// Asks the guest to shut down and waits for it. Never pulls the plug.
    async fn stop(&self, vm: Uuid, host: &HostSpec, deadline: Millis) -> Outcome;

    /// Defines a VM from libvirt's XML and gives back its UUID.
    async fn define(&self, host: &HostSpec, xml: &str, deadline: Millis) -> Result<Uuid, DriverError>;

    /// Removes a definition of a VM that does not run there. Never its disks.
    async fn undefine(&self, vm: Uuid, host: &HostSpec, deadline: Millis) -> Outcome;

    /// All VMs that the host has defined or running.
    async fn definitions(&self, host: &HostSpec, deadline: Millis) -> Result<Vec<Definition>, DriverError>;

    /// Looks at both ends of a move that may be half done and sets right the safe cases of [`judge`].
    async fn settle(
        &self,
        vm: Uuid,
        from: &HostSpec,
        to: &HostSpec,
        deadline: Millis,
    ) -> Result<Settled, DriverError>;

    /// Who would carry a move from one host to another, by what was last seen of both. Asks nobody.
    fn carried(&self, _from: &HostSpec, _to: &HostSpec) -> Option<Carried> {
        None
    }

    /// The same for a host by itself: how moves to it and from it go where the other end is as it should be.
    fn carried_at(&self, _host: &HostSpec) -> Option<Carried> {
        None
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Unseen => f.write_str("not seen"),
            Self::Has { state, .. } => write!(
                f,
                "{}",
                match state {
                    DomainState::Running => "running",
                    DomainState::Paused => "paused",
                    DomainState::PausedMigrating => "held by a move",
                    DomainState::PausedFault => "paused by a fault",
                    DomainState::ShuttingDown => "shutting down",
                    DomainState::Crashed => "crashed",
                    DomainState::ShutOff => "shut off",
                    DomainState::Saved => "saved",
                }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DomainState::{Crashed, Paused, PausedFault, PausedMigrating, Running, Saved, ShutOff, ShuttingDown};

    const STATES: [DomainState; 8] =
        [Running, Paused, PausedMigrating, PausedFault, ShuttingDown, Crashed, ShutOff, Saved];

    fn ends() -> Vec<End> {
        let has = |persistent| STATES.map(|state| End::Has { state, persistent });
        [[End::Absent, End::Unseen].as_slice(), &has(true), &has(false)].concat()
    }

    fn state(end: End) -> Option<DomainState> {
        match end {
            End::Has { state, .. } => Some(state),
            _ => None,
        }
    }

    /// Every combination of ends, so that no act can be unsafe: what it touches is no running copy, the other end is
    /// known, and the last definition stays.
    #[test]
    fn no_act_ends_the_last_copy_or_makes_a_second_one() {
        for source in ends() {
            for destination in ends() {
                for job in [false, true] {
                    let (from, to) = (state(source), state(destination));
                    let settlement = judge(source, destination, job);
                    let why = format!("{source:?} {destination:?} job={job}: {settlement:?}");
                    match settlement {
                        Settlement::DropSource => {
                            assert!(!job && from == Some(PausedMigrating) && to == Some(Running), "{why}")
                        }
                        Settlement::ResumeSource => {
                            let never_ran = destination == End::Absent;
                            assert!(!job && from == Some(PausedMigrating) && never_ran, "{why}");
                        }
                        Settlement::DropDefinition => {
                            let kept = matches!(destination, End::Has { persistent: true, .. });
                            assert!(
                                !job && from == Some(ShutOff)
                                    && kept
                                    && to.is_some_and(DomainState::is_present),
                                "{why}"
                            );
                        }
                        Settlement::Moved => {
                            assert!(source == End::Absent && to.is_some_and(DomainState::is_present), "{why}")
                        }
                        Settlement::Stayed => assert!(
                            from.is_some_and(DomainState::is_present)
                                && !to.is_some_and(DomainState::is_present),
                            "{why}"
                        ),
                        Settlement::Gone => {
                            assert!(![from, to].into_iter().flatten().any(DomainState::runs), "{why}")
                        }
                        Settlement::Unseen => {
                            assert!(source == End::Unseen || destination == End::Unseen, "{why}")
                        }
                        Settlement::UnderWay => assert!(job, "{why}"),
                        Settlement::Conflict => {}
                    }
                    if from.is_some_and(DomainState::runs) && to.is_some_and(DomainState::runs) && !job {
                        assert_eq!(settlement, Settlement::Conflict, "two copies run: {why}");
                    }
                }
            }
        }
    }
}
