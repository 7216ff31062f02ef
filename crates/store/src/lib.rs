//! Store and lease over embedded SQLite: what must survive a restart, and who may act.
//!
//! One thread owns the database and does one thing after another, so writes keep the order in which they were asked
//! for. Intents, outcomes and memory are on the disk when a call returns (`synchronous=FULL`); the trail may lose its
//! last lines in a power cut and nothing else.
//!
//! Rules that must hold whatever the program does are the database's own: one outcome per intent, no outcome without
//! an intent, no intent of an epoch that does not lead. Every row that a decision rests on carries a checksum, because
//! SQLite notices a torn page but not a changed letter.
//!
//! Absent from this crate: any idea of what an intent or a memory means, and any repair. A damaged store is refused and
//! named; [`rebuild`] and [`restore`] exist for an operator who says so.
#![forbid(unsafe_code)]

mod audit;
mod backup;
mod chain;
mod checksum;
mod demand;
mod desk;
mod dump;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod journal;
mod lease;
mod marker;
mod memory;
mod open;
mod schema;
mod store;
mod trail;

pub use backup::{Copied, audit_lines, backup, read, rebuild, replace, restore, set_aside, write};
pub use chain::{BadLine, Chain};
pub use dump::Dump;
pub use error::OpenError;
#[cfg(feature = "etcd")]
pub use etcd::{EtcdLease, EtcdSettings, EtcdStore, IN_USE, LEASE_SECS};
pub use lease::FileLease;
pub use schema::VERSION;
pub use store::SqliteStore;
