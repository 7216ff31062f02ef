//! The second opinion: is this plan safe on this picture, in *every* order that its needs allow?
//!
//! Shares no code with the planner, on purpose: its own arithmetic, straight from the snapshot and from `Action::apply`.
//! Where the planner argues, this counts; where a question has no exact cheap answer (failover), it only says what it
//! can prove, so that what it says is never a matter of taste.
//!
//! How many moves and wakes run at once is not a plan's business: link budgets, `wakes.burst` and the wakes of a circuit
//! are kept by the controller's gate, whatever order the needs allow.

mod capacity;
mod course;
mod flow;
mod graph;
mod hosts;
mod reserve;
mod rules;
mod violation;

pub use violation::Violation;

use course::Course;
use dormouse_model::{Action, Goal, Plan, Snapshot, StepId};
use graph::Graph;

/// Everything that is wrong with a plan made on this picture; empty if it may be carried out.
#[must_use]
pub fn check(before: &Snapshot, plan: &Plan) -> Vec<Violation> {
    let mut found = vec![];
    shape(before, plan, &mut found);
    if !found.is_empty() {
        // What names things that do not exist cannot be replayed.
        return found;
    }
    let after = match plan.replay(before) {
        Ok(after) => after,
        Err((step, premise)) => return vec![Violation::Premise { step, premise }],
    };
    let course = Course::of(before, plan);
    let mut graph = Graph::of(plan);
    hosts::check(before, &after, plan, &course, &mut graph, &mut found);
    capacity::check(before, plan, &course, &mut graph, &mut found);
    rules::check(before, &after, &course, &mut graph, &mut found);
    reserve::check(before, &after, plan, &mut graph, &mut found);
    found
}

/// Steps are numbered in order, need only earlier ones, and speak of what exists.
fn shape(before: &Snapshot, plan: &Plan, found: &mut Vec<Violation>) {
    for (index, step) in plan.steps.iter().enumerate() {
        let id = StepId::at(index);
        if step.id != id {
            found.push(Violation::Numbering { step: step.id, place: id });
        }
        if let Some(needs) = step.needs.iter().find(|need| need.index() >= index) {
            found.push(Violation::NeedsLater { step: id, needs: *needs });
        }
        let no_host = step.action.hosts().into_iter().any(|host| host.index() >= before.hosts.len());
        let no_vm = step.action.vm().is_some_and(|vm| vm.index() >= before.vms.len());
        if no_host || no_vm {
            found.push(Violation::NoSuch { step: id });
        }
        if step.deadline.0 == 0 {
            found.push(Violation::NoDeadline { step: id });
        }
        if let Action::Migrate { from, to, .. } = step.action
            && from == to
        {
            found.push(Violation::NoMove { step: id });
        }
        if plan.goal == Goal::Hold {
            found.push(Violation::ActsWhileHolding { step: id });
        }
    }
}
