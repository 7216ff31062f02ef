//! Replays a day of measured demand on a fleet of hosts, under rules that are the same for every policy.
//!
//! - [`Fleet`]: the hosts, with their power curves. - [`crate::trace::Trace`]: what the VMs asked for.
//! - [`Policy`]: who is under test. It sees what an operator could see at that moment, and never the trace.
//! - `engine`: what really happens, to the millisecond: demand, memory, moves over shared links, hosts that boot.
//! - `bound`: what no policy could beat, from the trace alone.
//!
//! The rules are told in `docs/replay.md`. Absent: chance, and any clock.

mod bound;
mod day;
mod engine;
mod fleet;
mod policy;
mod presence;

pub use bound::Bounds;
pub use day::{Day, Figures, Row, Series};
pub use engine::{Replay, ReplayError};
pub use fleet::{Curve, Fleet, FleetError, Machine};
pub use policy::{Act, HostNow, Orders, Place, Policy, PolicyError, Power, Step, View, VmNow, all, named};

use serde::{Deserialize, Serialize};
use std::fmt;

/// The rulebook of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// Every VM runs the whole day.
    #[default]
    Honest,
    /// A VM with two samples of 0 in a row is stopped at the second and started again at the next above 0.
    Churn,
}

impl Rules {
    pub const ALL: [Self; 2] = [Self::Honest, Self::Churn];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Churn => "churn",
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
