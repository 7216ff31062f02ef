//! Which steps are certainly over when a step starts: all that it needs, and what those need in turn.

use dormouse_model::{Plan, StepId};
use std::collections::BTreeSet;

pub(super) struct Graph<'a> {
    plan: &'a Plan,
}

impl<'a> Graph<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self { plan }
    }

    /// The steps that must have succeeded before this one may start.
    pub(super) fn before(&self, step: StepId) -> BTreeSet<StepId> {
        let mut over = BTreeSet::new();
        let mut open: Vec<StepId> = self.plan.steps[step.index()].needs.clone();
        while let Some(next) = open.pop() {
            if over.insert(next) {
                open.extend(&self.plan.steps[next.index()].needs);
            }
        }
        over
    }
}
