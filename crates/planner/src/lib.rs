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
#[cfg(feature = "exact")]
mod exact;
mod layout;
mod level;
mod measure;
mod order;
mod part;
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
#[cfg(feature = "exact")]
pub use exact::{Exact, exact};
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
    // Made first: once patience is out there is no time left to look at all hosts.
    let nothing = report::nothing_done(snapshot);
    match tamed_plan(snapshot, tame::tamed_goal(goal), id, &mut patience) {
        Some((plan, report)) => (Plan { goal, ..plan }, report),
        None => (Plan { id, policy: snapshot.cluster.policy.name, goal, steps: vec![] }, nothing),
    }
}

/// `None` if patience ends before there is anything to show.
fn tamed_plan(
    snapshot: &Snapshot,
    goal: Goal,
    id: PlanId,
    patience: &mut Patience<'_>,
) -> Option<(Plan, Report)> {
    let tamed = tame::tamed(snapshot, patience);
    let snapshot = tamed.as_ref().unwrap_or(snapshot);
    let canon = if patience.is_out() { None } else { canon::ordered(snapshot, patience) };
    if patience.is_out() {
        return None;
    }
    let Some((ordered, canon)) = canon else { return plan_ordered(snapshot, goal, id, patience) };
    let (mut plan, mut report) = plan_ordered(&ordered, goal, id, patience)?;
    canon.put_back(&mut plan, &mut report);
    Some((plan, report))
}

/// Without patience for more so many moves are put in order, which takes about a millisecond.
const ORDERED_ANYWAY: usize = 2048;

fn plan_ordered(
    snapshot: &Snapshot,
    goal: Goal,
    id: PlanId,
    patience: &mut Patience<'_>,
) -> Option<(Plan, Report)> {
    let picture = Picture::within(snapshot, patience)?;
    let before = Layout::of(&picture);
    if !patience.lasts() {
        return None;
    }
    let bounds = bound::of(&picture, &before);
    if !patience.lasts() {
        return None;
    }
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
        if patience.is_out() && draft.is_empty() {
            return None;
        }
        match order::arrange(&picture, &before, &after.takes, &mut draft, &mut || patience.lasts()) {
            Some(ordered) => ordered,
            None if part::keep_part(&picture, &before, &mut after, &mut draft, ORDERED_ANYWAY) => {
                order::arrange(&picture, &before, &after.takes, &mut draft, &mut || true)?
            }
            None => return None,
        }
    };
    // Where the rounds of `seed` lead, and an order that refused a move, is known from the moves alone.
    let reached = (!listed && ordered.reaches).then_some(after);
    let mut report = report::report(&picture, &before, reached, &draft, goal, bounds, patience);
    (report.moves_time, report.moves_bound) = (ordered.time, ordered.bound);
    let plan = Plan { id, policy: picture.policy, goal, steps: ordered.steps };
    Some((plan, report))
}
