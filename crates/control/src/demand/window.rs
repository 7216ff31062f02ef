//! The samples of one window in order of size, kept up to date as they come and go: a look costs a search and a short
//! shift, never a pass over all of them.

use super::{Sample, band_rank};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Window {
    sorted: Vec<u32>,
    /// How many samples of this VM came before the first one inside.
    first: u64,
}

impl Window {
    pub(super) fn insert(&mut self, used: u32) {
        let at = self.sorted.partition_point(|other| *other <= used);
        self.sorted.insert(at, used);
    }

    /// Lets go of the samples before the `first`. The front of `samples` is number `base`.
    pub(super) fn follow(&mut self, samples: &VecDeque<Sample>, base: u64, first: u64) {
        while self.first < first {
            let place = usize::try_from(self.first - base).ok();
            if let Some(sample) = place.and_then(|place| samples.get(place)) {
                let at = self.sorted.partition_point(|other| *other < sample.used);
                self.sorted.remove(at);
            }
            self.first += 1;
        }
    }

    pub(super) fn high(&self) -> Option<u32> {
        let rank = band_rank(self.sorted.len() as u64);
        usize::try_from(rank).ok()?.checked_sub(1).and_then(|at| self.sorted.get(at)).copied()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<u32>()
    }
}
