//! Replays a day of measured demand on a fleet of hosts, under rules that are the same for every policy.
//!
//! The rules are told in `docs/replay.md`. Absent: chance, and any clock.

mod day;
mod fleet;

pub use day::{Day, Figures, Row, Series};
pub use fleet::{Curve, Fleet, FleetError, Machine};

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
