//! Starting, stopping and defining VMs. Moves are in `moves`, half-done moves in `settle`.

use crate::ffi::{Connection, Error, ListFlags};
use crate::settle::refused;
use crate::worker::CallError;
use crate::{Libvirt, vms, xml};
use async_trait::async_trait;
use dormouse_driver::{Carried, Definition, DriverError, End, Hypervisor, MoveRequest, Settled};
use dormouse_model::{DomainState, HostSpec, Millis, Outcome, OutcomeError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Between two looks at a guest that was asked to shut down.
const AGAIN: Duration = Duration::from_millis(300);

#[async_trait]
impl Hypervisor for Libvirt {
    async fn migrate(&self, request: MoveRequest<'_>) -> Outcome {
        self.carry_out(request).await
    }

    async fn abort(&self, vm: Uuid, from: &HostSpec, deadline: Millis) -> Outcome {
        self.act(from, deadline, move |connection| match connection.find(vm)? {
            Some(domain) => match domain.abort_job() {
                // There is none, or it ended by itself meanwhile; or this driver has none ever.
                Err(error) if error.is_wrong_state() || error.is_unsupported() => Ok(()),
                other => other,
            },
            _ => Ok(()),
        })
        .await
    }

    async fn start(&self, vm: Uuid, host: &HostSpec, deadline: Millis) -> Outcome {
        self.act(host, deadline, move |connection| {
            let domain = connection.find(vm)?.ok_or_else(|| Error::ours("it is not defined there"))?;
            match state(connection, vm)? {
                Some(DomainState::Running) => Ok(()),
                Some(DomainState::ShutOff | DomainState::Saved | DomainState::Crashed) => {
                    domain.start().map_err(explained)
                }
                other => Err(Error::ours(format!("it is there already: {}", named(other)))),
            }
        })
        .await
    }

    async fn stop(&self, vm: Uuid, host: &HostSpec, deadline: Millis) -> Outcome {
        let until = Instant::now() + Duration::from_millis(deadline.0);
        let asked = self
            .act(host, deadline, move |connection| match (state(connection, vm)?, connection.find(vm)?) {
                (Some(DomainState::Running), Some(domain)) => domain.shut_down(),
                (Some(DomainState::ShuttingDown | DomainState::ShutOff) | None, _) => Ok(()),
                (other, _) => Err(Error::ours(format!("it cannot shut down while it is {}", named(other)))),
            })
            .await;
        if !matches!(asked, Outcome::Done { .. }) {
            return asked;
        }
        loop {
            match self.end(vm, host, until).await.0 {
                End::Absent | End::Has { state: DomainState::ShutOff, .. } => {
                    return Outcome::Done { downtime: None };
                }
                // It may obey yet.
                end if Instant::now() + AGAIN >= until => {
                    return Outcome::Unsure(format!(
                        "the guest was asked to shut down; after {deadline} it is {end}"
                    ));
                }
                _ => sleep_until(Instant::now() + AGAIN).await,
            }
        }
    }

    async fn define(&self, host: &HostSpec, xml: &str, deadline: Millis) -> Result<Uuid, DriverError> {
        // The same limits as for what comes from a host.
        xml::read(xml, &[]).map_err(|why| DriverError::Refused { what: "defining a VM", why })?;
        let xml = xml.to_owned();
        self.call(host, deadline, move |connection| connection.define(&xml)?.uuid())
            .await
            .map_err(|error| refused("defining a VM", error))
    }

    async fn undefine(&self, vm: Uuid, host: &HostSpec, deadline: Millis) -> Outcome {
        self.act(host, deadline, move |connection| match (state(connection, vm)?, connection.find(vm)?) {
            (None, _) | (_, None) => Ok(()),
            (Some(DomainState::ShutOff), Some(domain)) => domain.undefine(),
            (other, _) => Err(Error::ours(format!("its definition stays while it is {}", named(other)))),
        })
        .await
    }

    async fn definitions(&self, host: &HostSpec, deadline: Millis) -> Result<Vec<Definition>, DriverError> {
        self.call(host, deadline, definitions).await.map_err(|error| refused("listing VMs", error))
    }

    async fn settle(
        &self,
        vm: Uuid,
        from: &HostSpec,
        to: &HostSpec,
        deadline: Millis,
    ) -> Result<Settled, DriverError> {
        self.set_right(vm, from, to, Instant::now() + Duration::from_millis(deadline.0)).await
    }

    fn carried(&self, from: &HostSpec, to: &HostSpec) -> Option<Carried> {
        self.carried_between(from, to)
    }

    fn carried_at(&self, host: &HostSpec) -> Option<Carried> {
        self.carried_of(host)
    }
}

impl Libvirt {
    async fn call<T: Send + 'static>(
        &self,
        host: &HostSpec,
        deadline: Millis,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let until = Instant::now() + Duration::from_millis(deadline.0);
        self.worker(host, until).await?.call(until, work).await
    }

    /// A short effect. What libvirt refuses has not happened; a call that broke off may have.
    async fn act(
        &self,
        host: &HostSpec,
        deadline: Millis,
        work: impl FnOnce(&Connection) -> Result<(), Error> + Send + 'static,
    ) -> Outcome {
        match self.call(host, deadline, work).await {
            Ok(()) => Outcome::Done { downtime: None },
            Err(error @ (CallError::Libvirt(_) | CallError::Connect(_) | CallError::Host(_))) => {
                Outcome::Failed(OutcomeError::Driver(error.to_string()))
            }
            Err(error @ (CallError::Lost(_) | CallError::Deadline(_))) => Outcome::Unsure(error.to_string()),
        }
    }
}

/// A lock on a disk says that somebody else has the disk open, or died with it open: it is left to whoever gave it (fault S04).
fn explained(error: Error) -> Error {
    if !error.is_locked() {
        return error;
    }
    let message = format!(
        "{}; a disk of it is locked: its host runs, or died and the lock has not run out yet; never broken by us \
         (docs/doctor.md)",
        error.message
    );
    Error { message, ..error }
}

/// `None`: the host does not have it.
fn state(connection: &Connection, vm: Uuid) -> Result<Option<DomainState>, Error> {
    let Some(domain) = connection.find(vm)? else { return Ok(None) };
    let (code, reason) = domain.state()?;
    let number = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(Some(vms::state(number(code), number(reason), domain.has_saved_memory()?)))
}

fn named(state: Option<DomainState>) -> String {
    state.map_or(End::Absent, |state| End::Has { state, persistent: true }).to_string()
}

fn definitions(connection: &Connection) -> Result<Vec<Definition>, Error> {
    let mut all = vec![];
    for vm in connection.list(ListFlags::ALL)? {
        let Some(domain) = connection.find(vm)? else { continue };
        let persistent = domain.is_persistent()?;
        let xml = domain.xml(persistent)?;
        if let Err(why) = xml::read(&xml, &[]) {
            return Err(Error::ours(format!("VM {vm}: {why}")));
        }
        let Some(state) = state(connection, vm)? else { continue };
        all.push(Definition {
            uuid: vm,
            name: domain.name().chars().take(256).collect(),
            state,
            persistent,
            xml,
        });
    }
    all.sort_by_key(|definition| definition.uuid);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_told_as_a_lock() {
        let said = |message: &str| explained(Error::ours(message)).message;
        for lock in [
            "resource busy: Lockspace resource '/srv/vms/a.qcow2' is locked",
            "Failed to acquire lock: File exists",
            "internal error: Failed to acquire lock: error -243",
            "internal error: process exited: -device virtio-blk-pci: Failed to get \"write\" lock",
        ] {
            let told = said(lock);
            assert!(told.starts_with(lock) && told.contains("never broken by us"), "{told}");
        }
        assert_eq!(said("cannot allocate memory"), "cannot allocate memory");
    }
}
