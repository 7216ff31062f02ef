//! The cycle as a state machine: an event goes in, effects come out.
//!
//! `Observation* -> Snapshot -> Goal -> Plan + Report -> check -> intent -> admit (fresh look) -> Step -> Outcome -> Observation*`
//!
//! Absent from this crate: any clock, randomness, async, logging, file or socket. The runner of the daemon and the
//! simulator feed it the same events and carry out the same effects; neither may add to what it decides.
#![forbid(unsafe_code)]

mod agenda;
mod alone;
mod controller;
mod crash;
mod crowd;
mod demand;
mod doubles;
mod event;
mod flight;
mod forecast;
mod freeze;
mod gate;
mod goal;
mod hosts;
mod jobs;
mod memory;
pub mod mutants;
mod observe;
mod opening;
mod orders;
mod pairs;
mod picture;
mod power;
mod proof;
mod rate;
mod restart;
mod run;
mod settings;
mod vms;

pub use controller::{Controller, Tally};
pub use crowd::Crowd;
pub use demand::band_rank;
pub use doubles::Single;
pub use event::{Effect, Event, Level, LogEvent, Now, Order};
pub use memory::{
    Aside, HostMemory, KeptAutomation, KeptNormalise, KeptPause, ManagerMemory, Memory, PairMemory, VmMemory,
};
pub use settings::{Automation, Restart, Settings};
