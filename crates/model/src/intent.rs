//! An intent is written and durable before its effect; its outcome is written after. Exactly one of each.

use crate::{Action, Epoch, IntentId, Millis, Mono, PlanId, StepId};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// A step on its way into the world. It carries everything the executor needs and leaves it no choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub id: IntentId,
    pub epoch: Epoch,
    pub plan: PlanId,
    pub step: StepId,
    pub action: Action,
    /// The VM's UUID where the action has a VM.
    pub vm: Option<Uuid>,
    pub deadline: Millis,
    pub written: Mono,
    /// Until when the host may obey it. The record of an intent keeps none: what is read back is never sent again.
    pub good_until: Option<HostTime>,
}

/// A moment on a host's own clock: nobody's clock has to agree with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTime {
    pub boot: Uuid,
    pub uptime: Millis,
}

/// How a step ended. `Unsure` is not failure: the effect may have happened, so look before anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The driver says it is done, where applicable with the VM's downtime.
    Done { downtime: Option<Millis> },
    /// Certainly not done, and the world is as before.
    Failed(OutcomeError),
    /// The guard looked once more on the host and opened the doors again.
    Refused(Vec<GuardRefusal>),
    /// No answer, or one that does not say which.
    Unsure(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeError {
    #[error("not over after {0}, aborted")]
    Deadline(Millis),
    #[error("no progress for {0}, aborted")]
    NoProgress(Millis),
    #[error("the host did not take it: {0}")]
    Driver(String),
    /// The destination of a move cannot take this VM, and trying again changes nothing.
    #[error("the destination cannot take it, {lacks}: {why}")]
    Unfit { lacks: Lack, why: String },
    #[error("no longer allowed: a newer manager leads")]
    Fenced,
}

/// What a VM needs and a host has not got: as long as neither changes, no move goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    Cpu,
    Machine,
    Network,
}

impl Lack {
    /// One stable word for JSON, golden events and scripts.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Machine => "machine",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "its processors do not fit",
            Self::Machine => "it does not know the machine type",
            Self::Network => "a network or bridge is missing there",
        })
    }
}

/// Why the guard on the host refused to switch it off. Text parts are untrusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum GuardRefusal {
    #[error("{count} QEMU processes run there")]
    Qemu { count: u32 },
    #[error("a migration or other libvirt job is under way")]
    Job,
    #[error("{count} people are logged in")]
    People { count: u32 },
    #[error("inhibited: {0}")]
    Inhibitor(String),
    #[error("a package manager holds its lock")]
    PackageLock,
    #[error("a RAID resync runs")]
    Resync,
    #[error("libvirt would start {count} stopped VMs when it wakes (autostart)")]
    Autostart { count: u32 },
    #[error("a newer epoch {0} was seen there")]
    Epoch(Epoch),
    #[error("it belongs to another cluster")]
    Cluster,
    #[error("the command came too late, or was meant for an earlier boot")]
    Late,
    #[error("the doors could not be closed: {0}")]
    Doors(String),
}
