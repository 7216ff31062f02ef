//! What the cluster *is*: the parsed cluster text. What was *seen* of it is a [`crate::Snapshot`].

use crate::schedule::Schedule;
use crate::{Devices, HostId, HostState, Mbps, Mib, MilliCpu, Millis, Policy, VmId, Watts};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// All hosts that one manager looks after, with their VMs, rules, calendar and policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    pub name: String,
    /// The network between hosts where a host names none.
    pub link: Mbps,
    /// In the order of the text; a [`HostId`] is a place in this list.
    pub hosts: Vec<HostSpec>,
    /// In the order of the text; a [`VmId`] is a place in this list.
    pub vms: Vec<VmSpec>,
    pub groups: Vec<Group>,
    pub circuits: Vec<Circuit>,
    pub holds: Vec<Hold>,
    pub keeps: Vec<Keep>,
    pub policy: Policy,
    pub schedule: Schedule,
}

/// One host, as configured. Sizes given here beat what is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSpec {
    pub name: String,
    /// Where ssh finds it; live hosts only.
    pub address: Option<String>,
    /// Where the magic packet goes; live hosts only.
    pub macs: Vec<[u8; 6]>,
    pub cpus: u32,
    pub mem: Mib,
    /// Memory kept for the host itself.
    pub reserve: Mib,
    /// Memory that each VM takes here beyond its own.
    pub overhead: Mib,
    pub watts_idle: Watts,
    pub watts_busy: Watts,
    pub watts_asleep: Watts,
    pub boot: Millis,
    pub shutdown: Millis,
    pub link: Mbps,
    /// VM count limit. `None`: no limit, and policy `seed` takes memory / 256 MiB.
    pub slots: Option<u32>,
    /// VMs move only within one CPU group.
    pub cpu_group: Option<String>,
    /// Bridges, cards and libvirt's networks that it has, in order. Empty: not known, and nothing is held against it.
    pub networks: Vec<String>,
    pub circuit: Option<String>,
    pub role: Option<Role>,
    pub keep_on: bool,
    pub maintenance: bool,
    /// Never seen to wake: automation does not put it to sleep.
    pub unproven: bool,
    /// What the text says it is; `On` unless named otherwise.
    pub state: HostState,
}

/// Hosts with a role are never switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Manager,
    Quorum,
    Storage,
    Gateway,
}

/// One VM, as configured or as first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmSpec {
    /// What drivers address it by. In a cluster text without `uuid=` it is derived from the name.
    pub uuid: Uuid,
    pub name: String,
    pub vcpus: u32,
    pub mem: Mib,
    /// Cores in use now.
    pub cpu: MilliCpu,
    /// Memory written per second.
    pub dirty_mib_s: u64,
    pub home: Option<HostId>,
    /// Where it may be; empty means anywhere.
    pub pin: Vec<HostId>,
    /// Where it may not be.
    pub ban: Vec<HostId>,
    pub no_move: bool,
    /// Its disk exists on one host only: it cannot move.
    pub local_disk: bool,
    pub stopped: bool,
    /// libvirt starts it whenever its host boots.
    pub autostart: bool,
    pub devices: Devices,
    /// Where the text places it.
    pub at: HostId,
}

/// VMs that belong together for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub vms: Vec<VmId>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No two of them on one host.
    Spread,
    /// All of them on one host.
    Gather,
    /// Only on these hosts.
    Fence(Vec<HostId>),
}

/// Hosts on one fuse: at most `wakes` of them boot at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    pub name: String,
    pub wakes: u32,
}

/// A person's word that these hosts stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub hosts: Vec<HostId>,
    /// In the cluster's zone; `None` never expires.
    pub until: Option<jiff::civil::DateTime>,
    pub by: Option<String>,
    pub why: Option<String>,
}

/// At least `count` of these hosts stay on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    pub count: u32,
    pub hosts: Vec<HostId>,
}

impl HostSpec {
    /// Memory that VMs may take, their overhead included.
    #[must_use]
    pub const fn mem_for_vms(&self) -> Mib {
        self.mem.saturating_sub(self.reserve)
    }

    #[must_use]
    pub fn cpu_capacity(&self) -> MilliCpu {
        MilliCpu(u64::from(self.cpus) * 1000)
    }

    /// The first network of a VM that this host is known to be without.
    #[must_use]
    pub fn lacks<'d>(&self, devices: &'d Devices) -> Option<&'d str> {
        let missing = |name: &&String| self.networks.binary_search(name).is_err();
        let mut wanted = devices.networks.iter().filter(|_| !self.networks.is_empty());
        wanted.find(missing).map(String::as_str)
    }

    /// Power while on, with so much CPU in use: a straight line from idle to busy.
    #[must_use]
    pub fn watts_at(&self, used: MilliCpu) -> Watts {
        let capacity = self.cpu_capacity().0.max(1);
        let span = self.watts_busy.saturating_sub(self.watts_idle).0;
        Watts(self.watts_idle.0 + span * used.0.min(capacity) / capacity)
    }
}

impl VmSpec {
    /// What its processors can take at most.
    #[must_use]
    pub fn cpu_limit(&self) -> MilliCpu {
        MilliCpu(u64::from(self.vcpus) * 1000)
    }

    /// The UUID of a VM that only a cluster text knows: version 5 of its name.
    #[must_use]
    pub fn uuid_of_name(name: &str) -> Uuid {
        const SPACE: Uuid = Uuid::from_u128(0x6f1d_2f2e_8a3c_4b57_9c55_646f_726d_6f75);
        Uuid::new_v5(&SPACE, name.as_bytes())
    }
}

impl Cluster {
    #[must_use]
    pub fn host_ids(&self) -> impl ExactSizeIterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId::at)
    }
    #[must_use]
    pub fn host_named(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|host| host.name == name).map(HostId::at)
    }
    #[must_use]
    pub fn vm_named(&self, name: &str) -> Option<VmId> {
        self.vms.iter().position(|vm| vm.name == name).map(VmId::at)
    }
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Manager, Self::Quorum, Self::Storage, Self::Gateway];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manager => "manager",
            Self::Quorum => "quorum",
            Self::Storage => "storage",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
