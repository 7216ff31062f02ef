//! Laws on any cluster: whatever the picture, no plan breaks a constraint in any order that its needs allow.

use crate::show::{NIGHT, show};
use crate::world::{Order, shuffled, world};
use dormouse_model::{
    Action, Because, Goal, HostId, Millis, Plan, PlanId, PolicyName, Report, Seen, Snapshot,
};
use proptest::prelude::*;

fn goals() -> [Goal; 6] {
    [
        NIGHT,
        Goal::Compact { horizon: Millis::from_mins(10) },
        Goal::Relieve,
        Goal::Spread { wake_off: false },
        Goal::Spread { wake_off: true },
        Goal::Hold,
    ]
}

fn plan(snapshot: &Snapshot, goal: Goal) -> (Plan, Report) {
    dormouse_planner::plan(snapshot, goal, PlanId(1))
}

/// The picture after a plan, as the next look would see it.
fn after(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = plan.apply(snapshot).expect("checked before");
    for step in &plan.steps {
        match step.action {
            Action::Wake { host } => after.host_mut(host).load15 = Seen::Known(dormouse_model::Permille(0)),
            // It has just fallen asleep, and is not woken for a few watts.
            Action::Sleep { host } => after.host_mut(host).in_state = Millis::ZERO,
            _ => {}
        }
    }
    after
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_that_the_needs_allow_breaks_a_constraint(world in world(6)) {
        let mut snapshot = world.snapshot();
        for policy in PolicyName::ALL {
            let mut cluster = (*snapshot.cluster).clone();
            cluster.policy.name = policy;
            snapshot.cluster = cluster.into();
            for goal in goals() {
                let (plan, report) = plan(&snapshot, goal);
                let violations = dormouse_planner::check(&snapshot, &plan);
                prop_assert!(violations.is_empty(), "{policy} {goal}: {}\n{}", violations[0], show(&snapshot, &plan, &report));
            }
        }
    }

    #[test]
    fn the_report_tells_what_the_plan_does(world in world(6)) {
        let snapshot = world.snapshot();
        for goal in goals() {
            let (plan, report) = plan(&snapshot, goal);
            let after = plan.apply(&snapshot).expect("checked elsewhere");
            prop_assert_eq!(report.hosts_on_before, snapshot.hosts_on());
            prop_assert_eq!(report.hosts_on_after, after.hosts_on());
            prop_assert_eq!(report.watts_after, after.watts());
            let awake: Vec<HostId> = report.awake.iter().map(|(host, _)| *host).collect();
            let on: Vec<HostId> = after.host_ids().filter(|host| !after.host(*host).state.is_down()).collect();
            prop_assert_eq!(awake, on);
        }
    }

    #[test]
    fn planning_again_on_the_result_does_nothing(world in world(4)) {
        for goal in [NIGHT, Goal::Relieve, Goal::Spread { wake_off: false }] {
            let mut snapshot = world.snapshot();
            let mut plans = 0;
            let mut trail = String::new();
            loop {
                let (plan, report) = plan(&snapshot, goal);
                if plan.steps.is_empty() {
                    break;
                }
                // Hosts woken or relieved in a plan are open only to the next one; all else is done at once.
                let urgent = |step: &dormouse_model::Step| {
                    matches!(step.action, Action::Wake { .. }) || matches!(step.because, Because::Relieves { .. })
                };
                let woke = plan.steps.iter().any(urgent);
                plans += 1;
                trail += &show(&snapshot, &plan, &report);
                prop_assert!(plans < 4, "{goal}: no end\n{trail}");
                snapshot = after(&snapshot, &plan);
                if !woke && !matches!(goal, Goal::Spread { .. }) {
                    let (again, report) = self::plan(&snapshot, goal);
                    prop_assert!(again.steps.is_empty(), "{goal}:\n{trail}then\n{}", show(&snapshot, &again, &report));
                }
            }
        }
    }

    #[test]
    fn a_host_is_emptied_and_put_to_sleep_or_left_alone(world in world(4)) {
        let snapshot = world.snapshot();
        let (plan, report) = plan(&snapshot, NIGHT);
        for step in &plan.steps {
            if let (Action::Migrate { from, .. }, Because::Empties { .. }) = (step.action, &step.because) {
                let sleeps = plan.steps.iter().any(|other| other.action == Action::Sleep { host: from });
                prop_assert!(sleeps, "{from}\n{}", show(&snapshot, &plan, &report));
            }
        }
    }

    #[test]
    fn the_bound_is_never_above_the_plan(mut world in world(4)) {
        world.knobs = "balanced spare.min=0 spare.target=0 failover=0 min_on=0 payback=0 disrupt.max=1000".to_owned();
        let snapshot = world.snapshot();
        let bound = dormouse_planner::lower_bound(&snapshot);
        let (plan, report) = plan(&snapshot, NIGHT);
        prop_assert!(bound <= report.hosts_on_after, "bound {bound}\n{}", show(&snapshot, &plan, &report));
    }
}

/// What a plan comes to: less is better, and the first figure that differs decides.
fn worth(snapshot: &Snapshot, plan: &Plan, report: &Report) -> (u64, usize, u64) {
    let moved = plan.steps.iter().filter_map(|step| match step.action {
        Action::Migrate { vm, .. } => Some(snapshot.vm(vm).spec.mem.0),
        _ => None,
    });
    (report.watts_after.0, plan.migrations(), moved.sum())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_lines_does_not_change_the_plan((world, order) in shuffled(4)) {
        for goal in goals() {
            let mut plans = vec![];
            for order in [&Order::straight(&world), &order] {
                let snapshot = world.in_order(order);
                let (plan, report) = plan(&snapshot, goal);
                // Reasons are listed by host in the order of the text; everything else is the same to the letter.
                let mut lines: Vec<String> = show(&snapshot, &plan, &report).lines().map(ToOwned::to_owned).collect();
                lines[1 + plan.steps.len()..].sort();
                plans.push(lines.join("\n"));
            }
            prop_assert!(plans[0] == plans[1], "{goal}\n{}\n\nin another order\n{}", plans[0], plans[1]);
        }
    }

    #[test]
    fn a_limited_patience_gives_a_valid_plan_and_more_of_it_no_worse_one(world in world(4)) {
        let snapshot = world.snapshot();
        for goal in [NIGHT, Goal::Relieve, Goal::Spread { wake_off: false }] {
            let mut last = None;
            for patience in 0.. {
                let mut asked = 0;
                let mut more = || {
                    asked += 1;
                    asked <= patience
                };
                let (plan, report) = dormouse_planner::plan_within(&snapshot, goal, PlanId(1), &mut more);
                let violations = dormouse_planner::check(&snapshot, &plan);
                prop_assert!(violations.is_empty(), "{goal}, patience {patience}: {}\n{}", violations[0], show(&snapshot, &plan, &report));
                // What must be done, such as a drain, is no saving, and a plan that had no time to see it no better one.
                let saves = plan.steps.iter().all(|step| matches!(step.because, Because::Empties { .. } | Because::Empty));
                let worth = worth(&snapshot, &plan, &report);
                if goal == NIGHT && saves {
                    prop_assert!(last.is_none_or(|last| worth <= last), "patience {patience}: {worth:?} after {last:?}\n{}", show(&snapshot, &plan, &report));
                    last = Some(worth);
                }
                if asked < patience {
                    break;
                }
            }
        }
    }

    #[test]
    fn what_sleeps_by_night_is_not_woken_for_relief(world in world(0)) {
        // Without any change of load the goals do not work against each other.
        let mut snapshot = world.snapshot();
        for _ in 0..4 {
            snapshot = after(&snapshot, &plan(&snapshot, NIGHT).0);
        }
        let (relief, report) = plan(&snapshot, Goal::Relieve);
        prop_assert!(relief.steps.is_empty(), "{}", show(&snapshot, &relief, &report));
    }
}
