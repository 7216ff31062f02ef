//! The traits between dormouse and the world.
//!
//! Absent from this crate: any decision about what should be done, and any knowledge of how it is done. A trait here
//! says what a driver promises; [`conformance`] holds every implementation to it, the hosts of [`fake`] included.
//!
//! Hosts are given as [`HostSpec`](dormouse_model::HostSpec): its name is the key under which a driver keeps a
//! connection, its address is where it is found. VMs are addressed by UUID and by nothing else.
//! Every call has a deadline and returns by then, whatever the host does.

mod child;
mod clock;
pub mod conformance;
pub mod conformance_store;
pub mod fake;
mod hypervisor;
mod power;
mod probe;
mod remote;
mod store;

pub use child::passed_environment;
pub use clock::{Clock, SystemClock};
pub use hypervisor::{
    Carried, Carrier, Definition, End, Hypervisor, MoveRequest, Settled, Settlement, judge,
};
pub use power::{GuardOrder, Power};
pub use probe::Probe;
pub use remote::{Channel, Local, Remote, Script};
pub use store::{
    ActionRecord, AuditEntry, AuditLine, EventRecord, IntentRecord, Kind, Lease, LeaseError, MemoryRecord,
    Remembered, Store, StoreError, Term,
};

use dormouse_model::{Millis, ProbeError};

/// Why a question to a driver brought no answer. Effects answer with [`dormouse_model::Outcome`] instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The host could not be asked.
    #[error(transparent)]
    Host(#[from] ProbeError),
    /// It answered, and the answer is no. Untrusted text.
    #[error("{what}: {why}")]
    Refused { what: &'static str, why: String },
    #[error("{what}: not over after {after}")]
    Deadline { what: &'static str, after: Millis },
}

/// Shell functions of `checks.sh`, which the probe and the guard both begin with: `look_at_processes`, `people`,
/// `inhibitors`, `package_locks`, `resyncs`.
#[macro_export]
macro_rules! with_checks {
    ($script:literal) => {
        concat!(include_str!("../../driver/src/checks.sh"), include_str!($script))
    };
}
