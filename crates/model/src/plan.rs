//! A plan leaves the executor no choice: every step names its objects, its deadline, what it needs, and why.

use crate::{
    Goal, HostId, HostState, MilliCpu, Millis, Permille, PlanId, PolicyName, Snapshot, StepId, VmId, VmState,
    Watts,
};
use std::fmt;

/// Steps in an order that could be carried out one by one; `needs` makes every parallel order safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub id: PlanId,
    pub policy: PolicyName,
    pub goal: Goal,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub id: StepId,
    pub action: Action,
    /// Steps of the same plan that must have *succeeded* before this one may start.
    pub needs: Vec<StepId>,
    /// How long it may take before it is aborted or counts as failed.
    pub deadline: Millis,
    pub because: Because,
}

/// What a plan can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Migrate {
        vm: VmId,
        from: HostId,
        to: HostId,
    },
    Wake {
        host: HostId,
    },
    Sleep {
        host: HostId,
    },
    Start {
        vm: VmId,
        host: HostId,
    },
    Stop {
        vm: VmId,
        host: HostId,
    },
    /// A silent host is switched off by its own power control, which then proves it off. No plan asks for it.
    Fence {
        host: HostId,
    },
}

/// Why a step is in the plan: what it buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Its VMs go so that this host can sleep.
    Empties { host: HostId },
    /// Empty, and the reserves hold without it.
    Empty,
    /// This host is over its load.
    Relieves { host: HostId },
    /// Policy `seed`: the round in which the pair met.
    Round { round: u32 },
    /// Places are missing: free places for the largest VM, and how many there must be.
    Spare { free: u32, wanted: u32 },
    /// So many hosts may die at once, and their VMs would not fit on the rest.
    Failover { hosts: u32 },
    /// Fewer hosts are on than `min_on`.
    MinOn { count: u32 },
    /// Demand does not fit on the hosts that are on.
    NoRoom,
    /// It takes the place of hosts that draw so much more, with whatever else is woken for that.
    Thrift { watts: Watts },
    /// The window says hosts should be up.
    Opening,
    /// The VM's home is up.
    Home,
    /// Each host shall run a VM of its own.
    Spreads,
    /// An operator asked for this host to be emptied.
    Drains { host: HostId },
    /// A move was planned around a cycle through this spare room.
    BreaksCycle,
    /// This host did not wake in time.
    Substitute { of: HostId },
    /// An operator asked for it.
    Asked,
}

/// Why a step cannot be applied to this picture: it was planned on another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Premise {
    #[error("{vm} is not running on {from}")]
    NotThere { vm: VmId, from: HostId },
    #[error("{host} is {state}, not {wanted}")]
    HostState { host: HostId, state: HostState, wanted: HostState },
    #[error("{host} still holds {vm}")]
    NotEmpty { host: HostId, vm: VmId },
    #[error("{0} is not known here")]
    NoSuch(StepId),
}

impl Action {
    /// The word of `plan --format json`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Migrate { .. } => "migrate",
            Self::Wake { .. } => "wake",
            Self::Sleep { .. } => "sleep",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Fence { .. } => "fence",
        }
    }

    #[must_use]
    pub const fn vm(self) -> Option<VmId> {
        match self {
            Self::Migrate { vm, .. } | Self::Start { vm, .. } | Self::Stop { vm, .. } => Some(vm),
            Self::Wake { .. } | Self::Sleep { .. } | Self::Fence { .. } => None,
        }
    }

    /// The hosts it changes.
    #[must_use]
    pub fn hosts(self) -> Vec<HostId> {
        match self {
            Self::Migrate { from, to, .. } => vec![from, to],
            Self::Wake { host }
            | Self::Sleep { host }
            | Self::Fence { host }
            | Self::Start { host, .. }
            | Self::Stop { host, .. } => vec![host],
        }
    }

    /// Waking and starting are always allowed when in doubt; the rest freezes.
    #[must_use]
    pub const fn is_destructive(self) -> bool {
        matches!(self, Self::Migrate { .. } | Self::Sleep { .. } | Self::Stop { .. } | Self::Fence { .. })
    }

    /// Makes the picture what it will be once this is done.
    /// The expected end picture, the checker's replay and `compare` all come from here.
    ///
    /// # Errors
    /// The premise no longer holds; the picture is unchanged.
    pub fn apply(self, snapshot: &mut Snapshot) -> Result<(), Premise> {
        let first_on = match self {
            Self::Sleep { host } => snapshot.vms_on(host).next(),
            _ => None,
        };
        self.apply_knowing(snapshot, first_on)
    }

    /// `first_on`: for a host to be put to sleep, a VM that is still there.
    fn apply_knowing(self, snapshot: &mut Snapshot, first_on: Option<VmId>) -> Result<(), Premise> {
        match self {
            Self::Migrate { vm, from, to } => {
                let paused = match snapshot.vm(vm).state {
                    VmState::Running { at } if at == from => false,
                    VmState::Paused { at } if at == from => true,
                    _ => return Err(Premise::NotThere { vm, from }),
                };
                expect_state(snapshot, to, HostState::On)?;
                snapshot.vm_mut(vm).state =
                    if paused { VmState::Paused { at: to } } else { VmState::Running { at: to } };
            }
            Self::Wake { host } => {
                let state = snapshot.host(host).state;
                if !state.is_down() {
                    return Err(Premise::HostState { host, state, wanted: HostState::Asleep });
                }
                snapshot.host_mut(host).state = HostState::On;
            }
            Self::Sleep { host } => {
                let state = snapshot.host(host).state;
                if !matches!(state, HostState::On | HostState::Draining) {
                    return Err(Premise::HostState { host, state, wanted: HostState::On });
                }
                if let Some(vm) = first_on {
                    return Err(Premise::NotEmpty { host, vm });
                }
                snapshot.host_mut(host).state = HostState::Asleep;
            }
            Self::Start { vm, host } => {
                expect_state(snapshot, host, HostState::On)?;
                if let Some(at) = snapshot.vm(vm).state.hosts().first() {
                    return Err(Premise::NotEmpty { host: *at, vm });
                }
                snapshot.vm_mut(vm).state = VmState::Running { at: host };
            }
            Self::Fence { host } => expect_state(snapshot, host, HostState::Unknown)?,
            Self::Stop { vm, host } => {
                if snapshot.vm(vm).state.host() != Some(host) {
                    return Err(Premise::NotThere { vm, from: host });
                }
                snapshot.vm_mut(vm).state = VmState::Stopped;
            }
        }
        Ok(())
    }
}

fn expect_state(snapshot: &Snapshot, host: HostId, wanted: HostState) -> Result<(), Premise> {
    let state = snapshot.host(host).state;
    if state == wanted { Ok(()) } else { Err(Premise::HostState { host, state, wanted }) }
}

impl Plan {
    /// The picture after all steps.
    ///
    /// # Errors
    /// A step's premise does not hold when its turn comes.
    pub fn apply(&self, snapshot: &Snapshot) -> Result<Snapshot, Premise> {
        self.replay(snapshot).map_err(|(_, premise)| premise)
    }

    /// The picture after all steps, one by one as listed.
    ///
    /// # Errors
    /// The first step whose premise does not hold when its turn comes.
    pub fn replay(&self, snapshot: &Snapshot) -> Result<Snapshot, (StepId, Premise)> {
        let mut after = snapshot.clone();
        // How many VMs are, or may be, on each host: nobody looks through all VMs for each host that goes to sleep.
        let mut held = vec![0u32; after.hosts.len()];
        for host in after.vms.iter().flat_map(|vm| vm.state.hosts()) {
            held.get_mut(host.index()).into_iter().for_each(|held| *held += 1);
        }
        for step in &self.steps {
            let first_on = match step.action {
                Action::Sleep { host } if held[host.index()] > 0 => after.vms_on(host).next(),
                _ => None,
            };
            step.action.apply_knowing(&mut after, first_on).map_err(|premise| (step.id, premise))?;
            match step.action {
                Action::Migrate { from, to, .. } => {
                    held[from.index()] -= 1;
                    held[to.index()] += 1;
                }
                Action::Start { host, .. } => held[host.index()] += 1,
                Action::Stop { host, .. } => held[host.index()] -= 1,
                Action::Wake { .. } | Action::Sleep { .. } | Action::Fence { .. } => {}
            }
        }
        Ok(after)
    }

    #[must_use]
    pub fn migrations(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.action, Action::Migrate { .. })).count()
    }
}

/// What a step is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buys {
    /// So much less power, once the host that it helps to empty is asleep.
    Watts { host: HostId, watts: Watts },
    /// The end of an overload: the host's load now, and the load up to which it is none.
    Relief { host: HostId, load: Permille, limit: Permille },
}

impl Buys {
    /// In words, with names from the picture it was planned on.
    #[must_use]
    pub fn words(self, snapshot: &Snapshot) -> String {
        let name = |host: HostId| &snapshot.host(host).spec.name;
        match self {
            Self::Watts { host, watts } => format!("{watts} less, with {} asleep", name(host)),
            Self::Relief { host, load, limit } => {
                format!("load {load} on {} comes down towards {limit}", name(host))
            }
        }
    }
}

impl Step {
    /// What it buys, where that is a figure: nobody's watts change when a clone goes home.
    #[must_use]
    pub fn buys(&self, snapshot: &Snapshot) -> Option<Buys> {
        let saved = |host: HostId| {
            let spec = &snapshot.host(host).spec;
            Buys::Watts { host, watts: spec.watts_idle.saturating_sub(spec.watts_asleep) }
        };
        match (&self.because, self.action) {
            (Because::Empties { host }, _) => Some(saved(*host)),
            (_, Action::Sleep { host }) => Some(saved(host)),
            (Because::Relieves { host }, Action::Migrate { .. }) => {
                let here = snapshot.vms.iter().filter(|vm| vm.state.host() == Some(*host));
                let used: MilliCpu = here.map(|vm| vm.demand.wake).sum();
                let load = used.share_of(snapshot.host(*host).spec.cpu_capacity());
                Some(Buys::Relief { host: *host, load, limit: snapshot.cluster.policy.knobs.load_high })
            }
            _ => None,
        }
    }
}

impl Because {
    /// In words, with names from the picture it was planned on.
    #[must_use]
    pub fn words(&self, snapshot: &Snapshot) -> String {
        let name = |host: &HostId| snapshot.host(*host).spec.name.clone();
        match self {
            Self::Empties { host } => format!("empties {}", name(host)),
            Self::Empty => "empty, and the reserves hold without it".to_owned(),
            Self::Relieves { host } => format!("relieves {}", name(host)),
            Self::Round { round } => format!("round {round}"),
            Self::Spare { free, wanted } => format!("{free} places free for the largest VM, {wanted} wanted"),
            Self::Failover { hosts: 1 } => "the VMs of a lost host would not fit on the rest".to_owned(),
            Self::Failover { hosts } => format!("the VMs of {hosts} lost hosts would not fit on the rest"),
            Self::MinOn { count } => format!("at least {count} hosts stay on (min_on)"),
            Self::Thrift { watts } => format!("{watts} less than with those whose place is taken"),
            Self::NoRoom => "demand does not fit on the hosts that are on".to_owned(),
            Self::Opening => "opening".to_owned(),
            Self::Home => "goes home".to_owned(),
            Self::Spreads => "a VM for each host".to_owned(),
            Self::Drains { host } => format!("drains {}", name(host)),
            Self::BreaksCycle => "makes room for an exchange".to_owned(),
            Self::Substitute { of } => format!("takes the place of {}, which did not wake", name(of)),
            Self::Asked => "asked for".to_owned(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migrate { vm, from, to } => write!(f, "migrate {vm} {from} -> {to}"),
            Self::Wake { host } => write!(f, "wake {host}"),
            Self::Sleep { host } => write!(f, "sleep {host}"),
            Self::Start { vm, host } => write!(f, "start {vm} on {host}"),
            Self::Fence { host } => write!(f, "fence {host}"),
            Self::Stop { vm, host } => write!(f, "stop {vm} on {host}"),
        }
    }
}
