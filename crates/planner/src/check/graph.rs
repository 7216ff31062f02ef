//! Which steps are certainly over when a step starts: all that it needs, and what those need in turn.
//!
//! A question names the earliest step that it is about; what lies before that is not looked at, since a step needs
//! earlier ones only. So long chains cost no more than the stretch in question.

use dormouse_model::{Plan, StepId};

pub(super) struct Graph<'a> {
    plan: &'a Plan,
    /// The question in which a step was last met: nothing is cleared between questions.
    met: Vec<u32>,
    question: u32,
    open: Vec<StepId>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self { plan, met: vec![0; plan.steps.len()], question: 0, open: vec![] }
    }

    /// Asks which steps, from `earliest` on, must have succeeded before this one may start; [`Self::over`] answers.
    pub(super) fn ask(&mut self, step: StepId, earliest: StepId) {
        self.question += 1;
        self.open.clear();
        self.open.push(step);
        while let Some(next) = self.open.pop() {
            for need in &self.plan.steps[next.index()].needs {
                let met = &mut self.met[need.index()];
                if *need >= earliest && *met != self.question {
                    *met = self.question;
                    self.open.push(*need);
                }
            }
        }
    }

    /// Is this step certainly over when the one starts that was asked about?
    pub(super) fn over(&self, step: StepId) -> bool {
        self.met[step.index()] == self.question
    }

    /// Is the first certainly over when the second starts?
    pub(super) fn follows(&mut self, first: StepId, second: StepId) -> bool {
        if first >= second {
            return false;
        }
        self.ask(second, first);
        self.over(first)
    }
}
