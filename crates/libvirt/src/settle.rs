//! Looking at both ends of a move, and setting right what can only be set right in one way (fault M04).

use crate::Libvirt;
use crate::ffi::{Connection, Error};
use crate::worker::CallError;
use dormouse_driver::{DriverError, End, Settled, Settlement, judge};
use dormouse_model::{DomainState, HostSpec, ProbeError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Between two looks at a move that is just ending.
const AGAIN: Duration = Duration::from_millis(200);

/// One end, and whether a job runs on the VM there.
fn look(connection: &Connection, vm: Uuid) -> Result<(End, bool), Error> {
    let Some(domain) = connection.find(vm)? else { return Ok((End::Absent, false)) };
    let found = || -> Result<(End, bool), Error> {
        let (code, reason) = domain.state()?;
        let number = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
        let state = crate::vms::state(number(code), number(reason), domain.has_saved_memory()?);
        let job = state.is_present() && crate::vms::job(&domain)?.is_some();
        Ok((End::Has { state, persistent: domain.is_persistent()? }, job))
    };
    match found() {
        // It went between two questions.
        Err(error) if error.is_no_domain() => Ok((End::Absent, false)),
        other => other,
    }
}

impl Libvirt {
    /// How a host has the VM. One that cannot be asked is `Unseen`.
    pub(crate) async fn end(&self, vm: Uuid, host: &HostSpec, until: Instant) -> (End, bool) {
        let asked = async {
            self.worker(host, until).await?.call(until, move |connection| look(connection, vm)).await
        };
        asked.await.unwrap_or_else(|error| {
            tracing::warn!(host = host.name, %vm, %error, "an end of a move cannot be seen");
            (End::Unseen, false)
        })
    }

    /// Both ends, again and again until no job runs there or time is over.
    pub(crate) async fn ends(
        &self,
        vm: Uuid,
        from: &HostSpec,
        to: &HostSpec,
        until: Instant,
    ) -> (End, End, Settlement) {
        loop {
            let ((source, job_there), (destination, job_here)) =
                tokio::join!(self.end(vm, from, until), self.end(vm, to, until));
            let settlement = judge(source, destination, job_there || job_here);
            let next = Instant::now() + AGAIN;
            if settlement != Settlement::UnderWay || next >= until {
                return (source, destination, settlement);
            }
            sleep_until(next).await;
        }
    }

    /// Acts on the safe cases; each act looks once more, in the same breath, at what it is about to touch.
    pub(crate) async fn set_right(
        &self,
        vm: Uuid,
        from: &HostSpec,
        to: &HostSpec,
        until: Instant,
    ) -> Result<Settled, DriverError> {
        let (source, destination, settlement) = self.ends(vm, from, to, until).await;
        let kept = matches!(destination, End::Has { persistent: true, .. });
        let act: fn(&Connection, Uuid, bool) -> Result<(), Error> = match settlement {
            Settlement::DropSource => drop_source,
            Settlement::ResumeSource => resume_source,
            Settlement::DropDefinition => |connection, vm, _| drop_definition(connection, vm),
            _ => return Ok(Settled { settlement, source, destination }),
        };
        tracing::warn!(%vm, from = from.name, to = to.name, ?settlement, "setting a half-done move right");
        let done = async {
            self.worker(from, until).await?.call(until, move |connection| act(connection, vm, kept)).await
        };
        done.await.map_err(|error| refused("settling a move", error))?;
        Ok(Settled { settlement, source, destination })
    }
}

/// The running VM is at the destination; this is what it left.
fn drop_source(connection: &Connection, vm: Uuid, kept: bool) -> Result<(), Error> {
    match (look(connection, vm)?, connection.find(vm)?) {
        ((End::Has { state: DomainState::PausedMigrating, .. }, false), Some(domain)) => {
            domain.drop_copy()?
        }
        _ => return Err(Error::ours("the source has changed meanwhile")),
    }
    // The last definition of a VM is never removed.
    if kept { drop_definition(connection, vm) } else { Ok(()) }
}

fn resume_source(connection: &Connection, vm: Uuid, _: bool) -> Result<(), Error> {
    match (look(connection, vm)?, connection.find(vm)?) {
        ((End::Has { state: DomainState::PausedMigrating, .. }, false), Some(domain)) => domain.resume(),
        _ => Err(Error::ours("the source has changed meanwhile")),
    }
}

fn drop_definition(connection: &Connection, vm: Uuid) -> Result<(), Error> {
    match (look(connection, vm)?, connection.find(vm)?) {
        ((End::Has { state: DomainState::ShutOff, .. }, false), Some(domain)) => domain.undefine(),
        // Nothing left: it was transient, or the hypervisor was faster.
        ((End::Absent, _), _) => Ok(()),
        _ => Err(Error::ours("the definition at the source is in use")),
    }
}

/// A question that brought no answer, in the words of the driver trait.
pub(crate) fn refused(what: &'static str, error: CallError) -> DriverError {
    match error {
        CallError::Host(error) => DriverError::Host(error),
        CallError::Connect(error) => DriverError::Host(ProbeError::Unreachable(format!("libvirt: {error}"))),
        CallError::Deadline(after) => DriverError::Deadline { what, after },
        CallError::Libvirt(error) | CallError::Lost(error) => {
            DriverError::Refused { what, why: error.to_string() }
        }
    }
}
