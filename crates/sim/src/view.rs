//! The run as a screen shows it: nothing here changes anything.

use dormouse_model::{Goal, HostId, HostState, Mib, MilliJoules, Mono, Permille};
use jiff::civil::DateTime;

use crate::run::{Sim, Tally};
use crate::world::Power;

/// One host, as it is and as it is believed to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView<'a> {
    pub id: HostId,
    pub name: &'a str,
    pub state: HostState,
    pub power: Power,
    /// loadavg15 / CPUs.
    pub load15: Permille,
    /// What its VMs take now.
    pub cpu: Permille,
    pub vms: usize,
    pub mem_used: Mib,
    pub mem: Mib,
    pub milliwatts: u64,
    /// Moves out and in.
    pub moves: (usize, usize),
}

/// One move under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveView<'a> {
    pub vm: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub progress: Permille,
}

impl Sim {
    /// Time since the start of the run.
    #[must_use]
    pub const fn now(&self) -> Mono {
        self.now
    }

    /// The time of day in the cluster's zone, as the manager's clock has it.
    #[must_use]
    pub fn local_time(&self) -> DateTime {
        self.cluster.schedule.zone.rules().to_datetime(self.clocks().wall)
    }

    /// What the manager is after now; `None` while it is down.
    #[must_use]
    pub fn goal(&self) -> Option<Goal> {
        self.controller.as_ref().map(|controller| controller.goal_now(self.clocks()))
    }

    pub fn hosts(&self) -> impl ExactSizeIterator<Item = HostView<'_>> {
        self.world.hosts.iter().map(|host| HostView {
            id: host.id,
            name: &host.spec.name,
            state: self.belief[host.id.index()],
            power: host.power,
            load15: self.world.load_now(host),
            cpu: host.used().share_of(host.spec.cpu_capacity()),
            vms: self.world.present_on(host.id).count(),
            mem_used: self.world.mem_used(host.id),
            mem: host.spec.mem,
            milliwatts: host.milliwatts(),
            moves: (
                self.world.flows.iter().filter(|flow| flow.from == host.id).count(),
                self.world.flows.iter().filter(|flow| flow.to == host.id).count(),
            ),
        })
    }

    pub fn moves(&self) -> impl ExactSizeIterator<Item = MoveView<'_>> {
        self.world.flows.iter().map(|flow| MoveView {
            vm: &self.world.vms[flow.vm].spec.name,
            from: &self.world.host(flow.from).spec.name,
            to: &self.world.host(flow.to).spec.name,
            progress: Permille(flow.progress_permille()),
        })
    }

    #[must_use]
    pub fn milliwatts(&self) -> u64 {
        self.world.milliwatts()
    }

    /// Drawn since the start; exact up to the last [`Sim::step_until`].
    #[must_use]
    pub fn energy(&self) -> MilliJoules {
        self.world.energy()
    }

    #[must_use]
    pub fn energy_always_on(&self) -> MilliJoules {
        self.world.energy_always_on()
    }

    /// How many hosts were awake, since when.
    #[must_use]
    pub fn hosts_on(&self) -> &[(Mono, u32)] {
        &self.world.hosts_on
    }

    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Every line of the log so far, routine included.
    #[must_use]
    pub fn log_lines(&self) -> &[String] {
        self.log.lines()
    }

    #[must_use]
    pub fn cluster(&self) -> &dormouse_model::Cluster {
        &self.cluster
    }

    /// The controller itself, for `why` and plans; `None` while the manager is down.
    #[must_use]
    pub const fn controller(&self) -> Option<&dormouse_control::Controller> {
        self.controller.as_ref()
    }
}
