//! The picture that plans are made on, from what is known now. The planner's is kept and brought up to date, not made
//! anew: only so is it known that nothing changed that a plan rests on, and that planning again would say the same.

use crate::Now;
use crate::controller::Controller;
use crate::forecast::Ahead;
use crate::gate::DAY;
use crate::hosts::HostRecord;
use dormouse_model::{Goal, Hold, Host, HostState, Mib, Millis, Seen, Snapshot, Vm, VmId};
use std::sync::Arc;

impl Controller {
    /// `for_planner`: states as the planner should take them. A host that is late to wake is not counted on.
    pub(crate) fn picture(&self, now: Now, for_planner: bool) -> Snapshot {
        let holds = self.holds_in_force(now);
        let hosts = self.hosts.iter().map(|host| self.host_seen(host, now, &holds, for_planner)).collect();
        let ahead = self.ahead(now);
        let ids = (0..self.vms.records.len()).map(VmId::at);
        let vms = ids.map(|vm| self.vm_seen(vm, now, &ahead)).collect();
        let mut picture =
            Snapshot { cluster: Arc::clone(&self.cluster), hosts, vms, lull: self.crowd.lull() };
        self.bar(&mut picture);
        picture
    }

    fn host_seen(&self, host: &HostRecord, now: Now, holds: &[&Hold], for_planner: bool) -> Host {
        let knobs = &self.cluster.policy.knobs;
        let in_state = now.mono.since(host.since);
        // Longer than this is as good as for ever: nothing that is planned asks for more.
        let settled = knobs.scaled(knobs.min_up.max(knobs.min_down));
        Host {
            spec: Arc::clone(&host.spec),
            state: if for_planner && host.state == HostState::Waking && host.is_late(now.mono) {
                HostState::Unusable
            } else {
                host.state
            },
            in_state: if for_planner { in_state.min(settled) } else { in_state },
            load15: host.seen_load(now.mono, self.stale()),
            cycles_day: host.cycles(now.mono, knobs.scaled(DAY)),
            held: holds.iter().find(|hold| hold.hosts.contains(&host.id)).map(|hold| (*hold).clone()),
            drain: host.drain,
            maintenance: host.maintenance,
            proven: host.proven,
            obstacles: host.obstacles(now.mono, &self.settings),
        }
    }

    fn vm_seen(&self, id: VmId, now: Now, ahead: &Ahead) -> Vm {
        let vm = self.vms.record(id);
        let knobs = &self.cluster.policy.knobs;
        let demand = vm.history.demand_seen(now.mono, &self.vms.spans, vm.spec.cpu_limit());
        Vm {
            spec: Arc::clone(&vm.spec),
            state: vm.state.clone(),
            demand: self.with_forecast(vm, demand, ahead),
            moves_hour: vm.moves_within(now.mono, knobs.scaled(Millis::from_mins(60))),
            moves_day: vm.moves_within(now.mono, knobs.scaled(DAY)),
            immovable: self.vms.immovable(id, now.mono),
            barred: vec![],
        }
    }

    /// Brings the planner's picture up to date. `true`: something changed in it, or the goal is another than it was made
    /// for. The picture is to be handed back as [`Controller::sketch`].
    pub(crate) fn sketched(&mut self, goal: Goal) -> (Snapshot, Goal, bool) {
        let now = self.now;
        let (mut picture, mut changed) = match self.sketch.take() {
            Some(picture) => (picture, false),
            None => {
                let cluster = Arc::clone(&self.cluster);
                (Snapshot { cluster, hosts: vec![], vms: vec![], lull: Mib::ZERO }, true)
            }
        };
        let holds = self.holds_in_force(now);
        for (at, record) in self.hosts.iter().enumerate() {
            let seen = self.host_seen(record, now, &holds, true);
            changed |= put(&mut picture.hosts, at, seen, same_host);
        }
        let ahead = self.ahead(now);
        let knobs = &self.cluster.policy.knobs;
        let (hour, day) = (knobs.scaled(Millis::from_mins(60)), knobs.scaled(DAY));
        let churn = knobs.scaled(knobs.window_churn);
        let closed = self.pairs.closed(now.mono);
        for at in 0..self.vms.records.len() {
            let spans = self.vms.spans;
            let record = &mut self.vms.records[at];
            let limit = record.spec.cpu_limit();
            let demand = record.history.demand(now.mono, &spans, limit);
            let record = &self.vms.records[at];
            let demand = self.with_forecast(record, demand, &ahead);
            let (moves_hour, moves_day) =
                (record.moves_within(now.mono, hour), record.moves_within(now.mono, day));
            let immovable = self.vms.immovable(VmId::at(at), now.mono);
            let barred = self.pairs.barred(VmId::at(at), &record.state, &closed, now.mono);
            if let Some(vm) = picture.vms.get_mut(at)
                && Arc::ptr_eq(&vm.spec, &record.spec)
                && vm.state == record.state
            {
                changed |= (vm.demand, vm.moves_hour, vm.moves_day) != (demand, moves_hour, moves_day)
                    || vm.immovable != immovable
                    || vm.barred != barred;
                (vm.demand, vm.moves_hour, vm.moves_day) = (demand, moves_hour, moves_day);
                (vm.immovable, vm.barred) = (immovable, barred);
                continue;
            }
            changed = true;
            let (spec, state) = (Arc::clone(&record.spec), record.state.clone());
            put(
                &mut picture.vms,
                at,
                Vm { spec, state, demand, moves_hour, moves_day, immovable, barred },
                |_, _| false,
            );
        }
        let running = picture.vms.iter().filter(|vm| !vm.state.hosts().is_empty());
        let held = running.map(|vm| vm.spec.mem).sum();
        self.crowd.note(now.mono, held, churn);
        changed |= picture.lull != self.crowd.lull();
        picture.lull = self.crowd.lull();
        let goal = coarse(self.goal_before_rise(goal, &picture.vms));
        changed |= self.planned_for.replace(goal) != Some(goal);
        (picture, goal, changed)
    }

    /// After so long without an answer knowledge is stale.
    pub(crate) fn stale(&self) -> Millis {
        Millis(self.settings.observe_every.0 * u64::from(self.settings.stale_periods))
    }

    /// Holds whose end, in the cluster's zone, has not come.
    pub(crate) fn holds_in_force(&self, now: Now) -> Vec<&Hold> {
        if self.cluster.holds.is_empty() {
            return vec![];
        }
        let local = self.cluster.schedule.zone.rules().to_datetime(now.wall);
        self.cluster.holds.iter().filter(|hold| hold.until.is_none_or(|until| until > local)).collect()
    }
}

/// Puts a value into its place. `true`: it is another than before.
fn put<T>(list: &mut Vec<T>, at: usize, value: T, same: impl Fn(&T, &T) -> bool) -> bool {
    match list.get_mut(at) {
        Some(old) if same(old, &value) => false,
        Some(old) => {
            *old = value;
            true
        }
        None => {
            list.push(value);
            true
        }
    }
}

fn same_host(a: &Host, b: &Host) -> bool {
    Arc::ptr_eq(&a.spec, &b.spec)
        && a.state == b.state
        && a.in_state == b.in_state
        && same_load(a, b)
        && a.cycles_day == b.cycles_day
        && a.held == b.held
        && (a.drain, a.maintenance, a.proven) == (b.drain, b.maintenance, b.proven)
        && a.obstacles == b.obstacles
}

fn same_load(a: &Host, b: &Host) -> bool {
    match (&a.load15, &b.load15) {
        (Seen::Known(a), Seen::Known(b)) => a == b,
        // Not known: for how long and why says nothing to the planner.
        (Seen::Known(_), _) | (_, Seen::Known(_)) => false,
        (a, b) => a.last() == b.last(),
    }
}

/// The time left, rounded down by a sixteenth at most: a plan that pays only within the last minutes is none, and a
/// night is not planned anew each time it has got a little shorter.
fn coarse(goal: Goal) -> Goal {
    match goal {
        Goal::Compact { horizon } if horizon.0 > 0 => {
            let step = horizon.0.ilog2().saturating_sub(4);
            Goal::Compact { horizon: Millis((horizon.0 >> step) << step) }
        }
        goal => goal,
    }
}
