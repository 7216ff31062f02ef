//! Which VMs should run at which step: all of them, or by the churn rule.

use super::Rules;
use crate::trace::Trace;

/// Goes through a trace step by step, beginning before the first. All VMs run at the first.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    rules: Rules,
    next: usize,
    runs: Vec<bool>,
}

impl Presence {
    pub(crate) fn new(rules: Rules, trace: &Trace) -> Self {
        Self { rules, next: 0, runs: vec![true; trace.vms.len()] }
    }

    /// The next step: for each VM whether it should run.
    pub(crate) fn advance(&mut self, trace: &Trace) -> &[bool] {
        let step = self.next;
        self.next += 1;
        if self.rules == Rules::Churn && step > 0 {
            let before_and_now = trace.shares(step - 1).iter().zip(trace.shares(step));
            for (runs, (before, now)) in self.runs.iter_mut().zip(before_and_now) {
                match (*before, *now) {
                    (0, 0) => *runs = false,
                    (_, 0) => {}
                    _ => *runs = true,
                }
            }
        }
        &self.runs
    }
}
