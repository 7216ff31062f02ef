//! One look at one host: everything a probe brings back, or why it brought nothing.
//!
//! The probe takes no decision; a failed look is part of the picture. What it says is hostile text until escaped.

use crate::{Devices, Epoch, HostId, Mib, MilliCpu, Millis, Mono, ObservationId, Permille};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The result of one look, with the time it was asked for: freshness counts from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub id: ObservationId,
    pub host: HostId,
    pub asked: Mono,
    pub answered: Mono,
    pub result: Result<HostFacts, ProbeError>,
}

/// What a host said of itself. Load and VMs are one answer: never half of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// From the firmware or libvirt: another one under the same address is another machine.
    pub machine: Uuid,
    /// Changes with each boot; knowledge of an earlier one is void.
    pub boot: Uuid,
    /// How long that boot has lasted, by the host's own clock that no setting of the time moves.
    pub uptime: Millis,
    /// Versions of the hypervisor, as it tells them: another one may take what this one refused. Untrusted text.
    pub hypervisor: Option<String>,
    pub cpus: u32,
    pub mem: Mib,
    pub mem_available: Mib,
    /// loadavg15 / CPUs.
    pub load15: Permille,
    pub cpu_used: MilliCpu,
    /// Host clock minus ours.
    pub clock_offset_ms: i64,
    pub macs: Vec<[u8; 6]>,
    /// `Some(true)`: a magic packet is listened to; `None`: could not be read.
    pub wake_on_lan: Option<bool>,
    /// Bridges, cards and active networks of libvirt's that VMs can be plugged into, in order. Empty: not known.
    pub networks: Vec<String>,
    /// libvirt there locks the disks of running VMs; `None`: could not be read.
    pub disk_lock: Option<bool>,
    /// Idle time of each login session.
    pub people_idle: Vec<Millis>,
    /// What else says "not now": inhibitors, package locks, resyncs. Untrusted text.
    pub blocks: Vec<String>,
    /// The highest epoch the guard has seen there, if it keeps one.
    pub epoch: Option<Epoch>,
    /// What makes the host unusable although it answers.
    pub failures: Vec<CheckFailure>,
    pub vms: Vec<VmFacts>,
}

/// A readiness check that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum CheckFailure {
    #[error("libvirt does not answer: {0}")]
    Libvirt(String),
    #[error("shared storage is missing: {0}")]
    Storage(String),
    #[error("its clock is off by {0} ms")]
    Clock(i64),
    /// Nothing there would keep a second host from writing to the same disk.
    #[error("it locks no disks: {0}")]
    DiskLock(String),
}

/// One VM on the host that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmFacts {
    pub uuid: Uuid,
    /// Untrusted text.
    pub name: String,
    pub state: DomainState,
    pub vcpus: u32,
    pub mem: Mib,
    /// In use since the look before; `None` where there was none, or where the copying of a move is in the figure.
    pub cpu: Option<MilliCpu>,
    pub dirty_mib_s: u64,
    /// A job that runs on it now: ours or someone else's.
    pub job: Option<Job>,
    pub persistent: bool,
    pub autostart: bool,
    /// It does not run because it crashed, by the word of its host.
    pub crashed: bool,
    /// Why it cannot move (local disk, passed-through device), if so. Untrusted text.
    pub immovable: Option<String>,
    pub devices: Devices,
}

/// libvirt's domain states, as far as they differ for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DomainState {
    Running,
    /// By its user.
    Paused,
    /// Held by a migration: not started yet at the destination, or finished at the source.
    PausedMigrating,
    /// By an I/O error or another fault of its surroundings.
    PausedFault,
    ShuttingDown,
    Crashed,
    /// Defined, not running.
    ShutOff,
    /// Shut off with its memory saved to disk.
    Saved,
}

impl DomainState {
    /// There is a QEMU process or its remains: the host is not empty.
    #[must_use]
    pub const fn is_present(self) -> bool {
        !matches!(self, Self::ShutOff | Self::Saved)
    }

    /// Its processors may be running.
    #[must_use]
    pub const fn runs(self) -> bool {
        matches!(self, Self::Running | Self::ShuttingDown)
    }
}

/// A job on a VM, with its progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub kind: JobKind,
    pub elapsed: Millis,
    pub remaining: Mib,
    pub processed: Mib,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    MigrationOut,
    MigrationIn,
    /// Backup, snapshot, block copy, save.
    Other,
}

/// Why a look brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeError {
    #[error("not looked at yet")]
    NotYet,
    #[error("no answer within {0}")]
    Timeout(Millis),
    #[error("cannot connect: {0}")]
    Unreachable(String),
    #[error("it refused our key: {0}")]
    Auth(String),
    /// ssh host key or machine UUID differ from what was pinned.
    #[error("it is not the machine we know: {0}")]
    Identity(String),
    #[error("its answer makes no sense: {0}")]
    Malformed(String),
    /// It answered, and cannot be used as it is: the checks that failed, in words.
    #[error("{0}")]
    Unfit(String),
}

impl ProbeError {
    /// One stable word for golden events and metrics.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::NotYet => "probe.not-yet",
            Self::Timeout(_) => "probe.timeout",
            Self::Unreachable(_) => "probe.unreachable",
            Self::Auth(_) => "probe.auth",
            Self::Identity(_) => "probe.identity",
            Self::Malformed(_) => "probe.malformed",
            Self::Unfit(_) => "probe.unfit",
        }
    }
}
