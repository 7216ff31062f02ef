//! The picture that a plan is made on: the cluster with what was seen of it, and nothing the planner has to ask for.

use crate::{
    Cluster, HostId, HostSpec, HostState, Mib, MilliCpu, Millis, Permille, Seen, VmId, VmSpec, VmState, Watts,
};
use std::fmt;
use std::sync::Arc;

/// A picture of the cluster at one instant. `HostId` and `VmId` are places in its lists.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Rules, calendar and policy; its host and VM lists may be shorter than the picture's.
    pub cluster: Arc<Cluster>,
    pub hosts: Vec<Host>,
    pub vms: Vec<Vm>,
    /// So much more memory VMs took together at the highest within `window.churn`: they may come back. It is kept free
    /// beside `spare.target` before a host may sleep.
    pub lull: Mib,
}

/// A host as last seen.
#[derive(Clone, Debug)]
pub struct Host {
    pub spec: Arc<HostSpec>,
    pub state: HostState,
    /// How long it has been in that state.
    pub in_state: Millis,
    /// Whether this cycle's look succeeded; the value is loadavg15 / CPUs.
    pub load15: Seen<Permille>,
    /// Times it was put to sleep within the last 24 h.
    pub cycles_day: u32,
    /// An unexpired hold lies on it.
    pub held: Option<crate::Hold>,
    /// An operator is emptying it.
    pub drain: bool,
    pub maintenance: bool,
    /// Seen to wake at least once.
    pub proven: bool,
    /// What stands against switching it off or moving its VMs.
    pub obstacles: Vec<Obstacle>,
}

/// What a host itself says against being switched off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// People are logged in; the least idle of them.
    People { count: u32, idle: Millis },
    /// Inhibitors, locks, resyncs. Untrusted text.
    Block(String),
    /// So many VMs that are stopped there would be started by libvirt when the host wakes, wherever they run by then.
    Autostart { count: u32 },
    /// The guard refused lately; not asked again before this time has passed.
    GuardRefused { left: Millis },
    /// A step of ours failed there lately.
    BackOff { left: Millis },
}

/// A VM as last seen.
#[derive(Clone, Debug)]
pub struct Vm {
    pub spec: Arc<VmSpec>,
    pub state: VmState,
    pub demand: Demand,
    pub moves_hour: u32,
    pub moves_day: u32,
    /// Cannot move, found at run time: a foreign job, a device, too many failures.
    pub immovable: Option<crate::RefusalReason>,
    /// Where it must not go from where it is, in the order of hosts: the last move there failed.
    pub barred: Vec<Barred>,
}

/// A host to which a VM is not moved from where it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Barred {
    pub to: HostId,
    /// What is missing there; `None`: nobody knows, it is tried again after a rest.
    pub lacks: Option<crate::Lack>,
}

/// CPU demand in two bands. A VM with less history than the window counts at its limit in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// For deciding what may sleep: what it has needed over `window.sleep`.
    pub sleep: MilliCpu,
    /// For deciding what must wake: what it has needed over `window.wake`.
    pub wake: MilliCpu,
}

/// What a plan is for. It says nothing about how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// Few hosts on; what a host saves, it saves until the horizon at most.
    Compact { horizon: Millis },
    /// End overloads, restore reserves; put nothing to sleep.
    Relieve,
    /// All hosts up, clones home, a VM for each host. `wake_off`: also hosts switched off by others.
    Spread { wake_off: bool },
    /// Move nothing, switch nothing.
    Hold,
}

impl Demand {
    #[must_use]
    pub const fn flat(cpu: MilliCpu) -> Self {
        Self { sleep: cpu, wake: cpu }
    }
}

impl Snapshot {
    /// The picture that a cluster text paints: everything just seen, on for ever, with no history of moves.
    #[must_use]
    pub fn of(cluster: &Arc<Cluster>) -> Self {
        let mut used = vec![MilliCpu::ZERO; cluster.hosts.len()];
        for vm in cluster.vms.iter().filter(|vm| !vm.stopped) {
            if let Some(used) = used.get_mut(vm.at.index()) {
                *used += vm.cpu;
            }
        }
        let hosts = cluster
            .hosts
            .iter()
            .zip(used)
            .enumerate()
            .map(|(index, (spec, used))| {
                let id = HostId::at(index);
                Host {
                    spec: Arc::new(spec.clone()),
                    state: spec.state,
                    in_state: Millis::from_secs(7 * 86_400),
                    load15: match spec.state {
                        HostState::On | HostState::Draining => {
                            Seen::Known(used.share_of(spec.cpu_capacity()))
                        }
                        _ => Seen::Unknown {
                            last: None,
                            since: crate::Mono::ZERO,
                            why: crate::ProbeError::NotYet,
                        },
                    },
                    cycles_day: 0,
                    held: cluster.holds.iter().find(|hold| hold.hosts.contains(&id)).cloned(),
                    drain: false,
                    maintenance: spec.maintenance,
                    proven: !spec.unproven,
                    obstacles: vec![],
                }
            })
            .collect();
        let vms = cluster
            .vms
            .iter()
            .map(|spec| Vm {
                spec: Arc::new(spec.clone()),
                state: if spec.stopped { VmState::Stopped } else { VmState::Running { at: spec.at } },
                demand: Demand::flat(spec.cpu),
                moves_hour: 0,
                moves_day: 0,
                immovable: None,
                barred: vec![],
            })
            .collect();
        Self { cluster: Arc::clone(cluster), hosts, vms, lull: Mib::ZERO }
    }

    #[must_use]
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.index()]
    }
    #[must_use]
    pub fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.index()]
    }
    #[must_use]
    pub fn vm(&self, id: VmId) -> &Vm {
        &self.vms[id.index()]
    }
    #[must_use]
    pub fn vm_mut(&mut self, id: VmId) -> &mut Vm {
        &mut self.vms[id.index()]
    }
    pub fn host_ids(&self) -> impl ExactSizeIterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId::at)
    }
    pub fn vm_ids(&self) -> impl ExactSizeIterator<Item = VmId> + use<> {
        (0..self.vms.len()).map(VmId::at)
    }

    /// VMs that hold, or may hold, memory on this host.
    pub fn vms_on(&self, host: HostId) -> impl Iterator<Item = VmId> + '_ {
        self.vm_ids().filter(move |vm| self.vm(*vm).state.may_be_on(host))
    }

    /// Memory taken on this host by its VMs, their overhead included.
    #[must_use]
    pub fn mem_used(&self, host: HostId) -> Mib {
        let overhead = self.host(host).spec.overhead;
        self.vms_on(host).map(|vm| self.vm(vm).spec.mem + overhead).sum()
    }

    /// Power now, by each host's curve and the demand on it. Unknown hosts draw their full power.
    #[must_use]
    pub fn watts(&self) -> Watts {
        self.power(|host, used| match host.state {
            HostState::Asleep | HostState::Off => host.spec.watts_asleep,
            HostState::Unknown | HostState::SetAside | HostState::Waking => host.spec.watts_busy,
            _ => host.spec.watts_at(used),
        })
    }

    /// The same load with every host on: what the cluster would draw if nothing was ever put to sleep.
    #[must_use]
    pub fn watts_all_on(&self) -> Watts {
        self.power(|host, used| match host.state {
            HostState::Unknown | HostState::SetAside => host.spec.watts_busy,
            _ => host.spec.watts_at(used),
        })
    }

    fn power(&self, of: impl Fn(&Host, MilliCpu) -> Watts) -> Watts {
        let mut used = vec![MilliCpu::ZERO; self.hosts.len()];
        for vm in &self.vms {
            if let Some(at) = vm.state.host() {
                used[at.index()] += vm.demand.wake;
            }
        }
        self.hosts.iter().zip(used).map(|(host, used)| of(host, used)).sum()
    }

    /// Hosts that are not known to be down.
    #[must_use]
    pub fn hosts_on(&self) -> u32 {
        u32::try_from(self.hosts.iter().filter(|host| !host.state.is_down()).count())
            .expect("fewer than 2^32 hosts")
    }
}

impl Goal {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compact { .. } => "compact",
            Self::Relieve => "relieve",
            Self::Spread { .. } => "spread",
            Self::Hold => "hold",
        }
    }
}

/// What a `Block` says is untrusted text.
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::People { count: 1, idle } => write!(f, "1 person is logged in, idle for {idle}"),
            Self::People { count, idle } => {
                write!(f, "{count} people are logged in, the least idle for {idle}")
            }
            Self::Block(what) => write!(f, "the host says not now: {what}"),
            Self::Autostart { count: 1 } => {
                write!(f, "1 stopped VM has autostart: libvirt would start it when the host wakes")
            }
            Self::Autostart { count } => {
                write!(f, "{count} stopped VMs have autostart: libvirt would start them when the host wakes")
            }
            Self::GuardRefused { left } => write!(f, "the guard refused lately; asked again in {left}"),
            Self::BackOff { left } => write!(f, "a step failed there lately; again in {left}"),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compact { horizon } => write!(f, "compact for {horizon}"),
            other => f.write_str(other.as_str()),
        }
    }
}
