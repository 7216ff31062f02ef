//! Decides which hosts may sleep and how to get there. Pure: a snapshot goes in, a plan and a report come out.
//!
//! ```text
//! Snapshot -> Picture -> drain, relieve, reserve, compact | spread -> Draft -> order -> Plan + Report
//!                        (or the rules of policy `seed`)                       check(Snapshot, Plan) -> Violations
//! ```
//! The thinking is done on *layouts* (who is where); order, needs and deadlines come last, in one place for all goals.
//! [`check`] shares no code with the rest.
//!
//! Absent from this crate: any clock, chance, async, I/O and logging.
#![forbid(unsafe_code)]

mod balanced;
mod bound;
mod canon;
mod check;
mod draft;
mod layout;
mod level;
mod measure;
mod order;
mod patience;
mod picture;
mod place;
mod report;
mod reserve;
mod seed;
mod sets;
mod tame;
mod trial;
mod why;

pub use bound::{lower_bound, watts_bound};
pub use check::{Violation, check};
pub use order::{Pace, pace};
pub use place::place;

use dormouse_model::{Goal, Plan, PlanId, PolicyName, Report, Snapshot};
use draft::Draft;
use layout::Layout;
use patience::Patience;
use picture::Picture;

/// Plans the way from this picture to the goal, by the policy and knobs of the picture's cluster.
///
/// The same picture gives the same plan, in whatever order it lists its hosts and VMs (policy `seed` takes them in
/// order). Whatever cannot be done is in the report and stops nothing else. `Goal::Hold` means hold: not even an
/// operator's drain is carried out then.
#[must_use]
pub fn plan(snapshot: &Snapshot, goal: Goal, id: PlanId) -> (Plan, Report) {
    plan_within(snapshot, goal, id, &mut || true)
}

/// The same within a patience: `more` is asked between units of work, and once it says no the best plan so far is
/// the answer. Later answers are never worse than earlier ones; with too little patience for any, nothing is done and
/// the report says so.
#[must_use]
pub fn plan_within(
    snapshot: &Snapshot,
    goal: Goal,
    id: PlanId,
    more: &mut dyn FnMut() -> bool,
) -> (Plan, Report) {
    let mut patience = Patience::of(more);
    let tamed = tame::tamed(snapshot);
    let snapshot = tamed.as_ref().unwrap_or(snapshot);
    let tame_goal = tame::tamed_goal(goal);
    let (mut plan, report) = match canon::ordered(snapshot, &mut patience) {
        None => plan_ordered(snapshot, tame_goal, id, &mut patience),
        Some((ordered, canon)) => {
            let (mut plan, mut report) = plan_ordered(&ordered, tame_goal, id, &mut patience);
            canon.put_back(&mut plan, &mut report);
            (plan, report)
        }
    };
    plan.goal = goal;
    (plan, report)
}

fn plan_ordered(snapshot: &Snapshot, goal: Goal, id: PlanId, patience: &mut Patience<'_>) -> (Plan, Report) {
    let plan = |steps| Plan { id, policy: snapshot.cluster.policy.name, goal, steps };
    if patience.is_out() {
        return (plan(vec![]), report::out_of_patience(snapshot));
    }
    let Some(picture) = Picture::within(snapshot, patience) else {
        return (plan(vec![]), report::out_of_patience(snapshot));
    };
    let before = Layout::of(&picture);
    let bounds = bound::of(&picture, &before);
    let mut after = before.clone();
    let mut draft = Draft::default();
    let seed = picture.policy == PolicyName::Seed;
    match goal {
        Goal::Hold => {}
        Goal::Spread { wake_off } => balanced::spread(&picture, &mut after, &mut draft, wake_off),
        Goal::Compact { .. } | Goal::Relieve if seed => {
            // An operator's word is no rule of the seed, but it counts under every policy.
            balanced::drain(&picture, &mut after, &mut draft);
            balanced::moves_between(&picture, &before, &after, &mut draft);
            match goal {
                Goal::Compact { .. } => seed::compact(&picture, &mut after, &mut draft),
                _ => seed::relieve(&picture, &mut after, &mut draft),
            }
        }
        Goal::Compact { horizon } => {
            balanced::compact(&picture, &mut after, &mut draft, horizon, bounds, patience)
        }
        Goal::Relieve => balanced::relieve(&picture, &mut after, &mut draft),
    }
    // The rounds of `seed` are a list in order; everything else is a layout still to be reached.
    let listed = seed && !matches!(goal, Goal::Spread { .. });
    let ordered = if listed {
        order::as_listed(&picture, &before, &draft)
    } else {
        balanced::moves_between(&picture, &before, &after, &mut draft);
        order::arrange(&picture, &before, &after.takes, &mut draft)
    };
    // Where the rounds of `seed` lead, and an order that refused a move, is known from the moves alone.
    let reached = (!listed && ordered.reaches).then_some(after);
    let mut report = report::report(&picture, &before, reached, &draft, goal, bounds, patience);
    (report.moves_time, report.moves_bound) = (ordered.time, ordered.bound);
    (plan(ordered.steps), report)
}
