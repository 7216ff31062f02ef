//! The same store in etcd, for several managers: one leads, the others stand by and take over.
//!
//! The leader's key hangs on a lease; its creation revision, on top of the cluster's base, is the epoch. Every write
//! that a decision rests on is one transaction with the check that this key is still ours, so a late leader writes
//! nothing. Each value carries a checksum over its key and text.
//!
//! Every call goes to one member and, when that takes long, to the next as well; the first answer counts. So each call
//! must be one that may arrive twice: what was written already, letter by letter, is a success.
//!
//! An etcd that went back (restored from a backup, or another one under the same name) is refused until a person
//! accepts it. Nothing here repairs, compacts or defragments: that is the etcd's owner's.

mod begin;
mod copy;
mod keys;
mod lease;
mod link;
mod record;
mod store;

pub use copy::IN_USE;
pub use lease::EtcdLease;
pub use store::EtcdStore;

use std::path::PathBuf;

/// Where the etcd is, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// `https://10.0.0.1:2379`, one for each member.
    pub endpoints: Vec<String>,
    /// What all our keys begin with.
    pub prefix: String,
    /// Who vouches for the members; the machine's own roots are not asked.
    pub ca: Option<PathBuf>,
    /// Certificate and key by which the members know us.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The file in which this manager notes how far it saw the etcd.
    pub seen: PathBuf,
}

/// How long a leader is given without a word from it.
pub const LEASE_SECS: i64 = 6;
