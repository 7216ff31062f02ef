//! What a VM has asked for lately, in the two bands that our planner wants.
//!
//! The rule is that of control: its quantile over `window.sleep` and over `window.wake`. Where it differs: a replay
//! begins with VMs of which nothing is known, so a young VM counts at what it was seen to ask for, not at its limit; the
//! first placement looks at the limits itself.

use dormouse_control::band_rank;
use dormouse_model::{Demand, Knobs, MilliCpu, Millis};
use std::collections::VecDeque;

/// So many samples are kept whatever the window: more than a day.
const SAMPLES_MAX: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Bands {
    samples: VecDeque<u64>,
}

/// Samples within the two windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    sleep: usize,
    wake: usize,
}

impl Windows {
    pub(super) fn of(knobs: &Knobs, step: Millis) -> Self {
        let samples = |window: Millis| {
            let whole = knobs.scaled(window).0 / step.0.max(1);
            usize::try_from(whole).unwrap_or(SAMPLES_MAX).clamp(1, SAMPLES_MAX)
        };
        Self { sleep: samples(knobs.window_sleep), wake: samples(knobs.window_wake) }
    }
}

impl Bands {
    pub(super) fn push(&mut self, sample: u64, windows: Windows) {
        if self.samples.len() >= windows.sleep.max(windows.wake) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    fn band(&self, window: usize, scratch: &mut Vec<u64>) -> u64 {
        let known = window.min(self.samples.len());
        if known <= 1 {
            return self.samples.back().copied().unwrap_or(0);
        }
        let newest = self.samples.iter().rev().take(known);
        let rank = usize::try_from(band_rank(known as u64)).unwrap_or(known).saturating_sub(1);
        // Of a few samples it is the most.
        if rank + 1 == known {
            return newest.copied().max().unwrap_or(0);
        }
        scratch.clear();
        scratch.extend(newest);
        *scratch.select_nth_unstable(rank).1
    }

    /// `milli`: MIPS in the unit of the planner.
    pub(super) fn demand(
        &self,
        windows: Windows,
        scratch: &mut Vec<u64>,
        milli: impl Fn(u64) -> MilliCpu,
    ) -> Demand {
        Demand {
            sleep: milli(self.band(windows.sleep, scratch)),
            wake: milli(self.band(windows.wake, scratch)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bands(samples: &[u64], windows: Windows) -> Demand {
        let mut bands = Bands::default();
        samples.iter().for_each(|sample| bands.push(*sample, windows));
        bands.demand(windows, &mut vec![], MilliCpu)
    }

    #[test]
    fn the_windows_are_those_of_the_policy() {
        let windows = Windows::of(&Knobs::default(), Millis::from_secs(300));
        assert_eq!((windows.sleep, windows.wake), (8, 1));
        assert_eq!(
            bands(&[900, 10, 20, 30, 30, 30, 30, 30, 25], windows),
            Demand { sleep: MilliCpu(30), wake: MilliCpu(25) }
        );
    }

    #[test]
    fn one_spike_in_many_samples_is_no_demand() {
        let windows = Windows { sleep: 20, wake: 1 };
        let mut samples = [40; 20];
        samples[5] = 900;
        assert_eq!(bands(&samples, windows).sleep, MilliCpu(40));
        samples[6] = 900;
        samples[7] = 900;
        assert_eq!(bands(&samples, windows).sleep, MilliCpu(900));
    }
}
