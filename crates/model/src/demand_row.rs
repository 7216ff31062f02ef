//! A span of a VM's demand, summed up: what the controller looks back on and the store keeps.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long the spans are that demand is summed up over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollUp {
    FiveMinutes,
    /// From one full hour of the cluster's clock to the next.
    Hour,
}

/// One VM's demand over one span. Losing it is harmless: the VM then counts as one that is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemandRow {
    pub vm: Uuid,
    pub roll_up: RollUp,
    /// Wall clock of the first sample, in seconds since 1970.
    pub start: i64,
    /// From the first sample to the last.
    pub secs: u32,
    pub samples: u16,
    /// Thousandths of a core.
    pub mean: u32,
    pub max: u32,
    /// The most memory it was seen with, in MiB.
    pub mem: u32,
    /// How many samples were on which level of the controller's scale, lowest first.
    pub levels: Vec<(u8, u16)>,
}

/// What is to be kept of demand: new rows, and how far back the old ones are of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemandBatch {
    pub rows: Vec<DemandRow>,
    /// Rows that start before these times may be forgotten, in seconds since 1970.
    pub five_minutes_from: i64,
    pub hours_from: i64,
}
