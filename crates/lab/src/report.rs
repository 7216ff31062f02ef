//! What the lab tells about itself: values to print or to compare, with stable field names.

use serde::{Deserialize, Serialize};

/// A host's power, as its power supply knows it; no host is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    Off,
    /// Power is on, nothing answers yet.
    Booting,
    /// Pid 1 runs.
    On,
    /// The boot hangs, as it was told to.
    Hung,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    pub name: String,
    pub power: Power,
    /// Seconds in this power state.
    pub for_s: u64,
    /// UUIDs of the QEMU processes in this host's pid namespace.
    pub qemu: Vec<String>,
    /// Faults that are set, in words.
    pub faults: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestStatus {
    pub name: String,
    pub uuid: String,
    /// Hosts that have a QEMU process for it: two while it moves.
    pub processes: Vec<String>,
    /// The host its last heartbeat came from: where its CPUs run.
    pub heard_on: Option<String>,
    pub heard_ms_ago: Option<u64>,
    pub heartbeats: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabStatus {
    pub id: String,
    pub hosts: Vec<HostStatus>,
    pub guests: Vec<GuestStatus>,
    /// Times a guest was heard from two hosts in one stretch of its counter.
    pub double_runs: u64,
}

/// What the listeners to the guests' tick streams have seen since they were started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamsReport {
    pub streams: u64,
    pub streams_broken: u64,
    pub ticks: u64,
    pub ticks_lost: u64,
    /// Interruptions: silences on a stream of 100 ms (and three ticks) or more.
    pub gaps: u64,
    pub gap_ms_p50: u64,
    pub gap_ms_p99: u64,
    pub gap_ms_max: u64,
    pub double_runs: u64,
    /// The interruptions one by one, oldest first, the first few thousand.
    pub gap_list: Vec<Gap>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub guest: String,
    /// Milliseconds since the listeners were started.
    pub at_ms: u64,
    pub gap_ms: u64,
}
