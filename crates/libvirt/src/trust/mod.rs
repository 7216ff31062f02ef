//! Who may move VMs to whom over libvirt's TLS: our own small CA, a certificate for each host, and on each host the list
//! of those that it lets in.
//!
//! The CA lives in the manager's state folder and is used by `host add` and `host remove` alone; the daemon needs nothing
//! of it. What the daemon believes of a host's certificates is what a look at that host brought ([`seen`]).
//!
//! Never here: a private key in an argument, a log or an error; a wildcard in a list; a file of the host that we did not
//! write changed without its copy beside it.

mod authority;
mod carried;
mod list;
mod names;
mod seen;
mod visit;

pub use authority::{Authority, CA_DAYS, HOST_DAYS, Identity, Member, RENEW_DAYS, Register, TrustError};
pub use list::{AllowList, ConfError, obstacle, with_list, without_list};
pub use names::{Named, named};
pub use seen::{Listed, Tls, TlsWay, Whose, way};
pub use visit::{Applied, Facts, Visit, VisitError};

/// Seconds in a day.
pub const DAY: i64 = 86_400;
