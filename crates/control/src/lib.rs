//! The cycle as a state machine: an event goes in, effects come out.
//!
//! `Observation* -> Snapshot -> Goal -> Plan + Report -> check -> intent -> admit (fresh look) -> Step -> Outcome -> Observation*`
//!
//! Absent from this crate: any clock, randomness, async, logging, file or socket. The runner of the daemon and the
//! simulator feed it the same events and carry out the same effects; neither may add to what it decides.
#![forbid(unsafe_code)]

mod event;
mod memory;
mod settings;

pub use event::{Effect, Event, Level, LogEvent, Now, Order};
pub use memory::{HostMemory, Memory, VmMemory};
pub use settings::{Automation, Settings};
