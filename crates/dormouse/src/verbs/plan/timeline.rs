//! How long a plan would take: an estimate from memory, links, boot and shutdown times under the policy's budgets.
//! It only informs; the executor sets its own pace.

use super::Planned;
use dormouse_model::{Action, HostId, Mbps, Millis, Mono, StepId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// When each step would run, in the order of the plan.
pub(super) fn estimate(planned: &Planned) -> Vec<(Mono, Mono)> {
    let knobs = &planned.snapshot.cluster.policy.knobs;
    let steps = &planned.plan.steps;
    let place: BTreeMap<StepId, usize> =
        steps.iter().enumerate().map(|(index, step)| (step.id, index)).collect();
    let mut times = vec![(Mono::ZERO, Mono::ZERO); steps.len()];
    // Ready or waiting for a budget, in the order of the plan; running, by their end.
    let mut missing: Vec<usize> =
        steps.iter().map(|step| step.needs.iter().filter(|id| place.contains_key(id)).count()).collect();
    let mut dependents: Vec<Vec<usize>> = vec![vec![]; steps.len()];
    for (index, step) in steps.iter().enumerate() {
        for needed in step.needs.iter().filter_map(|id| place.get(id)) {
            dependents[*needed].push(index);
        }
    }
    let mut ready: Vec<usize> = (0..steps.len()).filter(|index| missing[*index] == 0).collect();
    let mut running: BinaryHeap<Reverse<(Mono, usize)>> = BinaryHeap::new();
    let mut moves = Moves::default();
    let mut now = Mono::ZERO;
    while !ready.is_empty() || !running.is_empty() {
        ready.sort_unstable();
        ready.retain(|&index| {
            let action = steps[index].action;
            if !moves.admit(action, knobs) {
                return true;
            }
            let end = now + duration(planned, action);
            times[index] = (now, end);
            running.push(Reverse((end, index)));
            false
        });
        let Some(Reverse((end, index))) = running.pop() else { break };
        now = end;
        moves.end(steps[index].action);
        for &dependent in &dependents[index] {
            missing[dependent] -= 1;
            if missing[dependent] == 0 {
                ready.push(dependent);
            }
        }
    }
    times
}

#[derive(Default)]
struct Moves {
    all: u32,
    out: BTreeMap<HostId, u32>,
    into: BTreeMap<HostId, u32>,
}

impl Moves {
    fn admit(&mut self, action: Action, knobs: &dormouse_model::Knobs) -> bool {
        let Action::Migrate { from, to, .. } = action else { return true };
        let out = self.out.entry(from).or_default();
        let into = self.into.entry(to).or_default();
        let all_free = knobs.moves_all == 0 || self.all < knobs.moves_all;
        if !all_free || *out >= knobs.moves_host_out.max(1) || *into >= knobs.moves_host_in.max(1) {
            return false;
        }
        *out += 1;
        *into += 1;
        self.all += 1;
        true
    }

    fn end(&mut self, action: Action) {
        if let Action::Migrate { from, to, .. } = action {
            self.all -= 1;
            *self.out.entry(from).or_default() -= 1;
            *self.into.entry(to).or_default() -= 1;
        }
    }
}

fn duration(planned: &Planned, action: Action) -> Millis {
    let snapshot = &planned.snapshot;
    match action {
        Action::Migrate { vm, from, to } => {
            // A full link would be shared by as many moves as the budgets allow on that host.
            let knobs = &snapshot.cluster.policy.knobs;
            let share =
                |host: HostId, moves: u32| Mbps(snapshot.host(host).spec.link.0 / u64::from(moves.max(1)));
            let rate = share(from, knobs.moves_host_out).min(share(to, knobs.moves_host_in));
            snapshot.vm(vm).spec.mem.transfer_time(rate.max(Mbps(1)))
        }
        Action::Wake { host } => snapshot.host(host).spec.boot,
        Action::Sleep { host } => snapshot.host(host).spec.shutdown,
        Action::Start { .. } | Action::Stop { .. } => Millis::ZERO,
    }
}

/// How many of the given spans run at each of `columns` equal parts of `0..end`, as blocks of rising height.
pub(super) fn bar(spans: &[(Mono, Mono)], end: Mono, columns: usize) -> String {
    const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let width = (end.0.max(1)).div_ceil(columns as u64).max(1);
    let counts: Vec<usize> = (0..columns as u64)
        .map(|column| {
            let (from, to) = (column * width, (column + 1) * width);
            spans.iter().filter(|(start, stop)| start.0 < to && stop.0.max(start.0 + 1) > from).count()
        })
        .collect();
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    counts.iter().map(|count| HEIGHTS[(count * 8).div_ceil(most)]).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::{Because, Goal, Plan, PlanId, PolicyName, Report, Snapshot, Step, VmId, text};
    use std::sync::Arc;
    use std::time::Duration;

    /// Two VMs go to the first host, each host left behind sleeps.
    fn planned(policy: &str) -> Planned {
        let text = format!(
            "host h[1-3] cpus=2 mem=2048M shutdown=10s link=1000M\nvm v[1-3]@h[1-3] mem=256M\npolicy balanced {policy}\n"
        );
        let snapshot = Snapshot::of(&Arc::new(text::parse(&text).unwrap()));
        let step = |id, action, needs: &[u32]| Step {
            id: StepId(id),
            action,
            needs: needs.iter().copied().map(StepId).collect(),
            deadline: Millis::from_secs(60),
            because: Because::Empty,
        };
        let migrate = |host| Action::Migrate { vm: VmId(host), from: HostId(host), to: HostId(0) };
        let steps = vec![
            step(0, migrate(1), &[]),
            step(1, Action::Sleep { host: HostId(1) }, &[0]),
            step(2, migrate(2), &[]),
            step(3, Action::Sleep { host: HostId(2) }, &[2]),
        ];
        let plan = Plan { id: PlanId(1), policy: PolicyName::Balanced, goal: Goal::Relieve, steps };
        Planned { snapshot, plan, report: Report::default(), took: Duration::ZERO, cut_short: None }
    }

    fn times(policy: &str) -> Vec<(u64, u64)> {
        estimate(&planned(policy)).into_iter().map(|(start, end)| (start.0, end.0)).collect()
    }

    #[test]
    fn moves_share_a_link_and_steps_wait_for_what_they_need() {
        assert_eq!(times(""), [(0, 4295), (4295, 14_295), (0, 4295), (4295, 14_295)]);
    }

    #[test]
    fn moves_wait_for_their_budget() {
        assert_eq!(
            times("moves.host_in=1 moves.host_out=1"),
            [(0, 2148), (2148, 12_148), (2148, 4296), (4296, 14_296)]
        );
        assert_eq!(times("moves.all=1"), [(0, 4295), (4295, 14_295), (4295, 8590), (8590, 18_590)]);
    }

    #[test]
    fn bars_are_as_high_as_what_runs_at_once() {
        let spans = [(Mono(0), Mono(50)), (Mono(0), Mono(100)), (Mono(0), Mono(25)), (Mono(0), Mono(25))];
        assert_eq!(bar(&spans, Mono(100), 4), "█▄▂▂");
    }
}
