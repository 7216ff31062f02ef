//! The daemon: the one place where control meets drivers.
//!
//! One task owns the controller and does nothing that could wait: it takes events in and hands effects out. Looks and
//! effects run in tasks of their own, each with a deadline; writes go through one queue that keeps their order; verbs
//! come in over a local socket. A panic or a hang outside the loop becomes an ordinary bad outcome.
//!
//! Decides nothing: what is done comes from [`dormouse_control::Controller`], and an error here means that less is done.

pub(crate) mod client;
mod clock;
mod definitions;
mod journal;
mod journal_queue;
mod lead;
mod pulse;
mod restore;
mod rim;
mod runner;
mod socket;
mod standby;
mod systemd;
#[cfg(test)]
mod tests;
mod views;
mod weaker;
pub(crate) mod wire;

pub(crate) use clock::DaemonClock;
pub(crate) use definitions::Definitions;
pub(crate) use lead::{Lead, who};
pub(crate) use rim::Rim;
pub(crate) use runner::{Ended, Handle, Runner};
pub(crate) use socket::{Listening, name_of};
pub(crate) use standby::{Standby, Waited};
pub(crate) use systemd::Systemd;
