//! What a VM has needed lately, from its samples. Two bands: a long look back decides what may sleep, a short one what
//! must wake. Both take the 90th of 100: a busy spell counts, a single sample does not.

use dormouse_model::{Demand, MilliCpu, Millis, Mono};
use std::collections::VecDeque;

/// So many samples are kept whatever the window: one every 15 s over 40 min is 160.
const SAMPLES_MAX: usize = 512;
const QUANTILE_PERCENT: usize = 90;

#[derive(Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<(Mono, MilliCpu)>,
}

impl History {
    pub(crate) fn push(&mut self, at: Mono, used: MilliCpu, keep: Millis) {
        self.samples.push_back((at, used));
        // One sample from before the window stays: it proves that the window is covered.
        while self.samples.len() > 2
            && (self.samples.len() > SAMPLES_MAX || at.since(self.samples[1].0) >= keep)
        {
            self.samples.pop_front();
        }
    }

    /// A VM with less history than the window counts at its limit.
    fn band(&self, now: Mono, window: Millis, limit: MilliCpu) -> MilliCpu {
        let covered = self.samples.front().is_some_and(|(first, _)| now.since(*first) >= window);
        if !covered {
            return limit;
        }
        let mut used: Vec<MilliCpu> = self
            .samples
            .iter()
            .rev()
            .take_while(|(at, _)| now.since(*at) <= window)
            .map(|(_, used)| *used)
            .collect();
        if used.is_empty() {
            return limit;
        }
        let rank = ((used.len() * QUANTILE_PERCENT).div_ceil(100)).saturating_sub(1);
        *used.select_nth_unstable(rank).1
    }

    pub(crate) fn demand(&self, now: Mono, sleep: Millis, wake: Millis, limit: MilliCpu) -> Demand {
        // For waking, too little history is no reason to wake hosts: what was seen last counts, and before that nothing.
        let last = self.samples.back().map_or(MilliCpu::ZERO, |(_, used)| *used);
        Demand { sleep: self.band(now, sleep, limit), wake: self.band(now, wake, last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(samples: &[(u64, u64)]) -> History {
        let mut history = History::default();
        for (at_s, used) in samples {
            history.push(Mono(at_s * 1000), MilliCpu(*used), Millis::from_secs(600));
        }
        history
    }

    #[test]
    fn a_young_vm_counts_at_its_limit_for_sleeping_and_at_its_last_sample_for_waking() {
        let demand = history(&[(0, 10), (15, 20)]).demand(
            Mono(20_000),
            Millis::from_secs(600),
            Millis::from_secs(300),
            MilliCpu(1000),
        );
        assert_eq!(demand, Demand { sleep: MilliCpu(1000), wake: MilliCpu(20) });
    }

    #[test]
    fn one_spike_is_no_demand_but_a_spell_is() {
        let quiet = |at: u64| (at * 15, 20);
        let mut samples: Vec<_> = (0..41).map(quiet).collect();
        samples[30].1 = 900;
        let read = |samples: &[(u64, u64)]| {
            history(samples).demand(
                Mono(600_000),
                Millis::from_secs(600),
                Millis::from_secs(300),
                MilliCpu(1000),
            )
        };
        assert_eq!(read(&samples), Demand { sleep: MilliCpu(20), wake: MilliCpu(20) });
        for sample in &mut samples[34..] {
            sample.1 = 900;
        }
        assert_eq!(read(&samples), Demand { sleep: MilliCpu(900), wake: MilliCpu(900) });
    }
}
