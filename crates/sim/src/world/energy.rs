//! Sums over time: energy, demand, service. Whole numbers throughout; brought up to date before each change.

use dormouse_model::{Cluster, HostId, MilliCpu, MilliJoules, Mono};

use super::{Flow, Power, World};

/// A VM loses a tenth of its processor time while it moves, at both ends (scoring: honest rules).
pub(crate) const MOVE_COST_DIVISOR: u64 = 10;

/// Sums over the whole cluster.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    since: Mono,
    /// What all VMs that should run want, and those of them that do not run.
    demand: MilliCpu,
    missing: MilliCpu,
    waiting: u64,
    awake: u64,
    /// Draw if every host were on with its own VMs.
    always_on_mw: u64,
    pub(crate) demand_time: u128,
    pub(crate) missing_time: u128,
    pub(crate) waiting_ms: u128,
    pub(crate) awake_ms: u128,
    pub(crate) always_on_uj: u128,
    /// Processor time lost to moves.
    pub(crate) moved_loss: u128,
    homes: Vec<HostId>,
}

impl Sums {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self {
            since: Mono::ZERO,
            demand: MilliCpu::ZERO,
            missing: MilliCpu::ZERO,
            waiting: 0,
            awake: 0,
            always_on_mw: 0,
            demand_time: 0,
            missing_time: 0,
            waiting_ms: 0,
            awake_ms: 0,
            always_on_uj: 0,
            moved_loss: 0,
            homes: cluster.vms.iter().map(|vm| vm.home.unwrap_or(vm.at)).collect(),
        }
    }
}

impl World {
    /// Brings a host's sums and the cluster's up to now, before something there changes.
    pub(super) fn settle(&mut self, host: HostId) {
        let now = self.now;
        self.host_mut(host).settle(now);
        self.settle_sums();
    }

    fn settle_sums(&mut self) {
        let sums = &mut self.sums;
        let span = u128::from(self.now.since(sums.since).0);
        sums.since = self.now;
        sums.demand_time += u128::from(sums.demand.0) * span;
        sums.missing_time += u128::from(sums.missing.0) * span;
        sums.waiting_ms += u128::from(sums.waiting) * span;
        sums.awake_ms += u128::from(sums.awake) * span;
        sums.always_on_uj += u128::from(sums.always_on_mw) * span;
    }

    /// Brings everything up to now, for reading.
    pub(crate) fn settle_all(&mut self) {
        for host in 0..self.hosts.len() {
            self.settle(HostId::at(host));
        }
    }

    /// What a host's VMs and moves want, after something there changed.
    pub(super) fn recount(&mut self, host: HostId) {
        let running: MilliCpu = self
            .host(host)
            .vms
            .iter()
            .map(|vm| &self.vms[*vm])
            .filter(|vm| vm.runs_on() == Some(host))
            .map(|vm| vm.demand)
            .sum();
        let moving = |flow: &&Flow| flow.from == host || flow.to == host;
        let moves: MilliCpu = self
            .flows
            .iter()
            .filter(moving)
            .map(|flow| MilliCpu(self.vms[flow.vm].demand.0 / MOVE_COST_DIVISOR))
            .sum();
        let on = self.host(host).power == Power::On;
        self.host_mut(host).demand = if on { running + moves } else { MilliCpu::ZERO };
        self.recount_sums();
    }

    pub(super) fn recount_sums(&mut self) {
        let mut wanted = vec![MilliCpu::ZERO; self.hosts.len()];
        let sums = &mut self.sums;
        sums.demand = MilliCpu::ZERO;
        sums.missing = MilliCpu::ZERO;
        sums.waiting = 0;
        for (index, vm) in self.vms.iter().enumerate().filter(|(_, vm)| vm.wanted) {
            sums.demand += vm.demand;
            wanted[sums.homes.get(index).copied().unwrap_or(vm.spec.at).index()] += vm.demand;
            if vm.runs_on().is_none() {
                sums.missing += vm.demand;
                // Held by its own move is not waiting.
                sums.waiting += u64::from(vm.flow.is_none());
            }
        }
        sums.always_on_mw = self
            .hosts
            .iter()
            .zip(wanted)
            .map(|(host, wanted)| {
                let (spec, capacity) = (&host.spec, host.spec.cpu_capacity().0.max(1));
                let span = spec.watts_busy.saturating_sub(spec.watts_idle).0 * 1000;
                spec.watts_idle.0 * 1000 + span * wanted.0.min(capacity) / capacity
            })
            .sum();
    }

    /// A host came up or went away: the count of those awake.
    pub(super) fn awake_changed(&mut self) {
        self.settle_sums();
        let awake = self.hosts.iter().filter(|host| host.is_awake()).count();
        self.sums.awake = awake as u64;
        let count = u32::try_from(awake).expect("fewer than 2^32 hosts");
        match self.hosts_on.last_mut() {
            Some((_, last)) if *last == count => {}
            Some((at, last)) if *at == self.now => *last = count,
            _ => self.hosts_on.push((self.now, count)),
        }
    }

    /// Energy drawn up to the last settling.
    pub(crate) fn energy(&self) -> MilliJoules {
        MilliJoules(self.hosts.iter().map(|host| host.account.energy_uj).sum::<u128>() / 1000)
    }

    pub(crate) fn energy_always_on(&self) -> MilliJoules {
        MilliJoules(self.sums.always_on_uj / 1000)
    }

    pub(crate) fn milliwatts(&self) -> u64 {
        self.hosts.iter().map(super::HostTruth::milliwatts).sum()
    }
}
