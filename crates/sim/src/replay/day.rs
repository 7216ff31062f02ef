//! What a day of replay came to: its figures, and one row for each step.

use super::Rules;
use dormouse_model::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One trace under one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Day {
    #[serde(flatten)]
    pub figures: Figures,
    /// Not part of the JSON that is printed: 288 rows a day.
    #[serde(skip)]
    pub series: Series,
}

/// Field names are those of `replay --format json`. Nothing in them differs between two runs but `wall_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The trace's name.
    pub trace: String,
    pub fleet: String,
    pub rules: Rules,
    pub policy: String,
    /// Nothing in a replay is left to chance: always 0.
    pub seed: u64,
    pub days: f64,
    pub hosts: u32,
    pub vms: u32,
    pub energy_kwh: f64,
    /// The same placements, but no host ever asleep.
    pub energy_always_on_kwh: f64,
    /// What no placement can do without: memory as if VMs were water, and the power of the demand.
    pub floor_kwh: f64,
    /// The same, but VMs are whole: as few hosts as can hold them, on the least watts.
    pub bound_kwh: f64,
    pub over_floor: f64,
    pub over_bound: f64,
    pub hosts_on_mean: f64,
    pub hosts_on_min: u32,
    pub migrations: u64,
    pub wakes: u64,
    pub sleeps: u64,
    /// Share of the time hosts were on in which they were asked for more than they have.
    pub slatah: f64,
    /// Share of the demand that moves cost.
    pub pdm: f64,
    pub slav: f64,
    /// Moves from A to B and back to A within an hour.
    pub thrash: u64,
    pub unserved_mips_s: f64,
    pub unserved_share: f64,
    /// Minutes in which VMs that should run did not.
    pub waiting_vm_min: f64,
    /// `waiting_vm_min` over the minutes in which VMs should have run.
    pub waiting_share: f64,
    /// Moves over the VMs that were there, for a day.
    pub moves_vm_day: f64,
    pub knobs: BTreeMap<String, String>,
    /// Hard constraints that were broken, each with its time.
    pub violations: Vec<String>,
    /// Filled by the caller, who has a clock.
    pub wall_ms: u64,
}

/// One row for each step of the trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub step: Millis,
    pub rows: Vec<Row>,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// Not asleep, on average.
    pub hosts_on: f64,
    /// On average.
    pub watts: f64,
    /// The least watts for the VMs that were there: see `bound_kwh`.
    pub bound_watts: f64,
    /// Of the VMs that should run, in MIPS.
    pub demand: f64,
    /// Of the hosts that serve, in MIPS, on average.
    pub capacity: f64,
    pub moves: u32,
    pub wakes: u32,
    pub sleeps: u32,
    /// MIPS-seconds that were not served.
    pub unserved: f64,
    /// VMs that wait for a host, on average.
    pub waiting: f64,
}
