//! The picture that plans are made on, from what is known now.

use crate::Now;
use crate::controller::Controller;
use crate::gate::DAY;
use dormouse_model::{Demand, Hold, Host, HostState, Millis, Snapshot, Vm};
use std::sync::Arc;

impl Controller {
    /// `for_planner`: states as the planner should take them. A host that is late to wake is not counted on.
    pub(crate) fn picture(&self, now: Now, for_planner: bool) -> Snapshot {
        let knobs = &self.cluster.policy.knobs;
        let stale = Millis(self.settings.observe_every.0 * u64::from(self.settings.stale_periods));
        let holds = self.holds_in_force(now);
        let hosts = self
            .hosts
            .iter()
            .map(|host| Host {
                spec: Arc::clone(&host.spec),
                state: if for_planner && host.state == HostState::Waking && host.is_late(now.mono) {
                    HostState::Unusable
                } else {
                    host.state
                },
                in_state: now.mono.since(host.since),
                load15: host.seen_load(now.mono, stale),
                cycles_day: host.cycles(now.mono, knobs.scaled(DAY)),
                held: holds.iter().find(|hold| hold.hosts.contains(&host.id)).map(|hold| (*hold).clone()),
                drain: host.drain,
                maintenance: host.maintenance,
                proven: host.proven,
                obstacles: host.obstacles(now.mono, &self.settings),
            })
            .collect();
        let vms = self
            .vms
            .records
            .iter()
            .map(|vm| Vm {
                spec: Arc::clone(&vm.spec),
                state: vm.state.clone(),
                demand: self.demand_of(vm, now),
                moves_hour: vm.moves_within(now.mono, knobs.scaled(Millis::from_mins(60))),
                moves_day: vm.moves_within(now.mono, knobs.scaled(DAY)),
                immovable: vm.immovable(now.mono),
            })
            .collect();
        Snapshot { cluster: Arc::clone(&self.cluster), hosts, vms }
    }

    fn demand_of(&self, vm: &crate::vms::VmRecord, now: Now) -> Demand {
        let knobs = &self.cluster.policy.knobs;
        vm.history.demand(
            now.mono,
            knobs.scaled(knobs.window_sleep),
            knobs.scaled(knobs.window_wake),
            vm.spec.cpu_limit(),
        )
    }

    /// Holds whose end, in the cluster's zone, has not come.
    fn holds_in_force(&self, now: Now) -> Vec<&Hold> {
        let local = self.cluster.schedule.zone.rules().to_datetime(now.wall);
        self.cluster.holds.iter().filter(|hold| hold.until.is_none_or(|until| until > local)).collect()
    }
}
