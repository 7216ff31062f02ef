//! What a VM asked for lately: a few samples, the newest last.

use std::collections::VecDeque;

/// A bounded history of samples.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    samples: VecDeque<u64>,
}

impl History {
    pub(super) fn push(&mut self, sample: u64, keep: usize) {
        while self.samples.len() >= keep.max(1) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// A VM that was stopped begins anew.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = u64> + '_ {
        self.samples.iter().rev().copied()
    }
}
