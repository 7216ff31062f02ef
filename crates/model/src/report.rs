//! What planning returns beside the plan: why it did no more, and how far from the best it is.

use crate::{HostId, HostState, Mib, MilliCpu, Millis, Obstacle, Permille, Role, Snapshot, VmId, Watts};
use std::fmt;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub hosts_on_before: u32,
    pub hosts_on_after: u32,
    /// No placement that keeps the constraints needs fewer hosts on.
    pub lower_bound: u32,
    pub watts_before: Watts,
    pub watts_after: Watts,
    /// What hosts draw in the end before any VM does anything: those that are on idle, the others asleep.
    pub watts_standing: Watts,
    /// No placement that keeps the constraints stands at less.
    pub watts_bound: Watts,
    /// For every host that is on at the end, what keeps it awake.
    pub awake: Vec<(HostId, AwakeReason)>,
    pub refusals: Vec<Refusal>,
    /// Policy `seed`: rounds of moves.
    pub rounds: u32,
    /// From the begin of the plan to the end of its last move, at the full rate of the links and within the budgets;
    /// wakes that a move waits for are in it.
    pub moves_time: Millis,
    /// No order of these moves is over sooner.
    pub moves_bound: Millis,
}

/// What keeps a host awake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwakeReason {
    /// It carries VMs, and as many hosts as now are needed: the bound says why.
    Carries {
        vms: u32,
    },
    /// The window's goal wants it up.
    Window,
    Role(Role),
    KeepOn,
    Keep {
        count: u32,
    },
    MinOn {
        count: u32,
    },
    /// Free for the reserve: places for the largest VM with and without it, and how many there must be.
    Spare {
        without: u32,
        wanted: u32,
    },
    /// So many hosts may die at once and their VMs must fit on the rest.
    Failover {
        hosts: u32,
    },
    Maintenance,
    Hold {
        by: Option<String>,
        why: Option<String>,
    },
    Unproven,
    /// It is not `on`, so it is not ours to put to sleep now.
    State(HostState),
    /// This cycle's look brought no answer: it counts as full and busy.
    NotSeen,
    /// An operator is emptying it: it stays on for him.
    Drain,
    /// On for less than `min_up`.
    MinUp {
        left: Millis,
    },
    /// Power cycles of this day used up.
    Cycles {
        used: u32,
    },
    /// One of its VMs has to stay, and why.
    Immovable {
        vm: VmId,
        why: RefusalReason,
    },
    /// What the host itself says against it: a person, a lock, a job.
    Obstacle(Obstacle),
    /// Watts saved over the horizon do not pay for moves and boot.
    Payback {
        ratio: Permille,
        wanted: Permille,
    },
    /// Share of VMs disturbed over share of watts saved.
    Disrupt {
        ratio: Permille,
        wanted: Permille,
    },
    /// All hosts beside it have less memory free, together, than its VMs ask.
    Full {
        vms: u32,
        asked: Mib,
        free: Mib,
        hosts: u32,
    },
    /// The same for CPU demand below `cpu.target`.
    FullCpu {
        vms: u32,
        asked: MilliCpu,
        free: MilliCpu,
        hosts: u32,
    },
    /// Without it, what the fullest host carries would find no room if that host died.
    FailoverRoom {
        lost: Mib,
        free: Mib,
        host: HostId,
    },
    /// Its CPU demand does not fit elsewhere under `cpu.target`: what its VM asks and the most that is free on one host.
    NoCpu {
        vm: VmId,
        asked: MilliCpu,
        best: MilliCpu,
        on: Option<HostId>,
    },
    /// Its memory does not fit elsewhere: what its VM asks and the most that is free on one host.
    NoMemory {
        vm: VmId,
        asked: Mib,
        best: Mib,
        on: Option<HostId>,
    },
    NoSlot {
        vm: VmId,
    },
    /// The load is above `load.low` (policy `seed`).
    Load {
        load: Permille,
    },
    /// The goal is to hold still.
    GoalHold,
    /// Plans work through it in a later round or cycle.
    Later,
    /// Planning was told to stop before it came to this host.
    NoTime,
}

fn its_vms(vms: u32) -> String {
    if vms == 1 { "its VM asks".to_owned() } else { format!("its {vms} VMs ask") }
}

fn free_on(free: &dyn fmt::Display, below: &str, hosts: u32) -> String {
    match hosts {
        0 => "no other host takes VMs".to_owned(),
        1 => format!("{free} free{below} on the other host"),
        hosts => format!("{free} free{below} on the other {hosts} hosts together"),
    }
}

impl AwakeReason {
    /// One stable word for JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Carries { .. } => "carries",
            Self::Window => "window",
            Self::Role(_) => "role",
            Self::KeepOn => "keep-on",
            Self::Keep { .. } => "keep",
            Self::MinOn { .. } => "min-on",
            Self::Spare { .. } => "spare",
            Self::Failover { .. } | Self::FailoverRoom { .. } => "failover",
            Self::Maintenance => "maintenance",
            Self::Hold { .. } => "hold",
            Self::Unproven => "unproven",
            Self::State(_) => "state",
            Self::NotSeen => "not-seen",
            Self::Drain => "drain",
            Self::MinUp { .. } => "min-up",
            Self::Cycles { .. } => "cycles",
            Self::Immovable { .. } => "immovable",
            Self::Obstacle(_) => "obstacle",
            Self::Payback { .. } => "payback",
            Self::Disrupt { .. } => "disrupt",
            Self::Full { .. } | Self::NoMemory { .. } => "memory",
            Self::FullCpu { .. } | Self::NoCpu { .. } => "cpu",
            Self::NoSlot { .. } => "slot",
            Self::Load { .. } => "load",
            Self::GoalHold => "goal-hold",
            Self::Later => "later",
            Self::NoTime => "no-time",
        }
    }

    /// In words, with names from the picture it was planned on. Names, and what an obstacle or a hold says, are untrusted.
    #[must_use]
    pub fn words(&self, snapshot: &Snapshot) -> String {
        let vm_name = |vm: &VmId| snapshot.vm(*vm).spec.name.as_str();
        match self {
            Self::Carries { vms: 0 } => "runs no VM, but as many hosts are needed".to_owned(),
            Self::Carries { vms: 1 } => "carries 1 VM".to_owned(),
            Self::Carries { vms } => format!("carries {vms} VMs"),
            Self::Window => "the window wants it up".to_owned(),
            Self::Role(role) => format!("role {role}: never switched off"),
            Self::KeepOn => "marked keep-on".to_owned(),
            Self::Keep { count } => format!("a rule keeps {count} of its hosts on"),
            Self::MinOn { count } => format!("at least {count} hosts stay on (min_on)"),
            Self::Spare { without, wanted } => {
                format!("reserve: without it {without} places for the largest VM stay free, {wanted} wanted")
            }
            Self::Failover { hosts: 1 } => "failover: the VMs of 1 lost host must fit on the rest".to_owned(),
            Self::Failover { hosts } => {
                format!("failover: the VMs of {hosts} lost hosts must fit on the rest")
            }
            Self::Maintenance => "in maintenance".to_owned(),
            Self::Hold { by, why } => {
                let by = by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
                let why = why.as_deref().map_or_else(String::new, |why| format!(": {why}"));
                format!("held{by}{why}")
            }
            Self::Unproven => "never seen to wake".to_owned(),
            Self::State(state) => format!("it is {state}"),
            Self::NotSeen => "not seen in this cycle: counts as full and busy".to_owned(),
            Self::Drain => "an operator is emptying it".to_owned(),
            Self::MinUp { left } => format!("on for too short a time; {left} left (min_up)"),
            Self::Cycles { used } => format!("put to sleep {used} times within a day already"),
            Self::Immovable { vm, why } => format!("{} has to stay: {why}", vm_name(vm)),
            Self::Obstacle(obstacle) => obstacle.to_string(),
            Self::Payback { ratio, wanted } => {
                format!("does not pay: saves {ratio} times what moves and boot cost, {wanted} wanted")
            }
            Self::Disrupt { ratio, wanted } => {
                format!("disturbs too much: share of VMs over share of watts is {ratio}, {wanted} allowed")
            }
            Self::Full { vms, asked, free, hosts } => {
                format!("memory: {} {asked}, {}", its_vms(*vms), free_on(free, "", *hosts))
            }
            Self::FullCpu { vms, asked, free, hosts } => {
                format!("CPU: {} {asked}, {}", its_vms(*vms), free_on(free, " below cpu.target", *hosts))
            }
            Self::FailoverRoom { lost, free, host } => {
                let name = &snapshot.host(*host).spec.name;
                format!("failover: without it the {lost} on {name} would find {free} free if {name} died")
            }
            Self::NoCpu { vm, asked, best, on } => {
                let on = on.map_or_else(String::new, |on| format!(" on {}", snapshot.host(on).spec.name));
                format!("CPU: {asked} asked by {}, best free {best} below cpu.target{on}", vm_name(vm))
            }
            Self::NoMemory { vm, asked, best, on } => {
                let on = on.map_or_else(String::new, |on| format!(" on {}", snapshot.host(on).spec.name));
                format!("memory: {asked} asked by {}, best free {best}{on}", vm_name(vm))
            }
            Self::NoSlot { vm } => format!("no other host has a slot for {}", vm_name(vm)),
            Self::Load { load } => format!("its load {load} is not below load.low"),
            Self::GoalHold => "the goal is to hold still".to_owned(),
            Self::Later => "its turn comes in a later round".to_owned(),
            Self::NoTime => "planning had no time left to look further".to_owned(),
        }
    }
}

/// A host or VM that was left where it is although the goal would have had it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub subject: Subject,
    pub reason: RefusalReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Host(HostId),
    Vm(VmId),
}

/// Why a host or VM was left where it is. Shown to operators; counted in metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// No awake host has room for it.
    NoMemory {
        asked: Mib,
        best: Mib,
    },
    NoCpu,
    NoSlot,
    /// `no-move`.
    NoMove,
    /// Its disk or a device is on this host only.
    LocalDisk,
    /// Pin, ban or fence leaves it no other host.
    Rule,
    CpuGroup,
    /// No other host that could take it has this network.
    Network(String),
    /// Another VM that is there has its disk open, too.
    SharedDisk,
    /// Two VMs of a spread group would meet.
    Spread,
    /// Its group must stay together and does not fit elsewhere.
    Gather,
    /// Moved as often as it may be in this hour or day.
    MoveBudget,
    /// Not plainly running where it is (paused counts as running).
    VmState(&'static str),
    /// A job of someone else runs on it.
    ForeignJob,
    /// The host has never been seen to wake, so putting it to sleep is a one-way trip.
    WakeUnproven,
    /// Something about this host could not be seen in this cycle.
    NotSeen,
    /// Moves form a cycle and no spare room breaks it.
    Cycle,
    /// The last try failed; not again before its back-off ends.
    BackOff {
        left: Millis,
    },
    /// Its last moves to the only hosts that are left failed, and rest.
    Barred,
    /// No host is left to wake.
    NothingToWake,
    /// No host, even empty, is large enough.
    Unplaceable,
}

impl RefusalReason {
    /// One stable word for JSON, golden events and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoMemory { .. } => "no-memory",
            Self::NoCpu => "no-cpu",
            Self::NoSlot => "no-slot",
            Self::NoMove => "no-move",
            Self::LocalDisk => "local-disk",
            Self::Rule => "rule",
            Self::CpuGroup => "cpu-group",
            Self::Network(_) => "network",
            Self::SharedDisk => "shared-disk",
            Self::Spread => "spread",
            Self::Gather => "gather",
            Self::MoveBudget => "move-budget",
            Self::VmState(_) => "vm-state",
            Self::ForeignJob => "foreign-job",
            Self::WakeUnproven => "wake-unproven",
            Self::NotSeen => "not-seen",
            Self::Cycle => "cycle",
            Self::BackOff { .. } => "back-off",
            Self::Barred => "barred",
            Self::NothingToWake => "nothing-to-wake",
            Self::Unplaceable => "unplaceable",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory { asked, best } => write!(f, "memory: {asked} asked, best free {best}"),
            Self::NoCpu => f.write_str("its CPU demand fits nowhere else"),
            Self::NoSlot => f.write_str("no host has a free slot"),
            Self::NoMove => f.write_str("it is marked no-move"),
            Self::LocalDisk => f.write_str("its disk or a device is on this host only"),
            Self::Rule => f.write_str("pin, ban or fence leaves it no other host"),
            Self::CpuGroup => f.write_str("no other host of its CPU group has room"),
            Self::Network(name) => write!(f, "no other host that could take it has its network {name}"),
            Self::SharedDisk => f.write_str("its disk is open in another VM, too"),
            Self::Spread => f.write_str("it would meet a VM of its spread group"),
            Self::Gather => f.write_str("its group must stay together and fits nowhere else"),
            Self::MoveBudget => f.write_str("moved as often as it may be for now"),
            Self::VmState(state) => write!(f, "it is {state}"),
            Self::ForeignJob => f.write_str("someone else's job runs on it"),
            Self::WakeUnproven => f.write_str("never seen to wake"),
            Self::NotSeen => f.write_str("not seen in this cycle"),
            Self::Cycle => f.write_str("moves form a cycle and no spare room breaks it"),
            Self::BackOff { left } => write!(f, "the last try failed; again in {left}"),
            Self::Barred => f.write_str("its last moves to the hosts that are left failed, and rest"),
            Self::NothingToWake => f.write_str("no host is left to wake"),
            Self::Unplaceable => f.write_str("larger than any host"),
        }
    }
}
