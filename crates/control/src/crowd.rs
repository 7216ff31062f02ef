//! The most memory that VMs took together within a window, and so how much of it may be asked for again.
//!
//! VMs that stop and start on their own do so in waves. A host that sleeps in each trough is not there for the next crest,
//! and who starts then waits for its boot. So before a host sleeps, all VMs that ran at once within `window.churn` must
//! still find a place. Nothing is woken for it: a crest higher than those before is what `spare.min` is for.
//!
//! Bounded. After a restart nothing is known, and nothing kept.

use dormouse_model::{Mib, Millis, Mono};
use std::collections::VecDeque;

/// Crests remembered; each is lower than the one before.
const CRESTS_MAX: usize = 256;

/// How much VMs took, and when.
#[derive(Clone, Debug, Default)]
pub struct Crowd {
    /// Only those that nothing later reaches; the newest last, which is what is taken now.
    crests: VecDeque<(Mono, Mib)>,
}

impl Crowd {
    /// Takes in what all VMs take together now.
    pub fn note(&mut self, now: Mono, taken: Mib, window: Millis) {
        while self.crests.back().is_some_and(|(_, crest)| *crest <= taken) {
            self.crests.pop_back();
        }
        if self.crests.len() >= CRESTS_MAX
            && let Some(lower) = self.crests.pop_back()
            && let Some(higher) = self.crests.back_mut()
        {
            // The lower one is forgotten upwards.
            higher.0 = lower.0;
        }
        self.crests.push_back((now, taken));
        while self.crests.len() > 1 && self.crests.front().is_some_and(|(at, _)| now.since(*at) > window) {
            self.crests.pop_front();
        }
    }

    /// So much more was taken at the highest than is now.
    #[must_use]
    pub fn lull(&self) -> Mib {
        let taken = |crest: Option<&(Mono, Mib)>| crest.map_or(Mib::ZERO, |(_, taken)| *taken);
        taken(self.crests.front()).saturating_sub(taken(self.crests.back()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is taken each minute; the lull after each.
    fn lulls(taken: &[u64], window_m: u64) -> Vec<u64> {
        let mut crowd = Crowd::default();
        let note = |(minute, taken): (u64, &u64)| {
            crowd.note(Mono(minute * 60_000), Mib(*taken), Millis::from_mins(window_m));
            crowd.lull().0
        };
        (0..).zip(taken).map(note).collect()
    }

    #[test]
    fn what_went_is_kept_room_for_until_the_window_has_passed() {
        assert_eq!(lulls(&[8, 5, 6, 6, 6, 6], 3), [0, 3, 2, 2, 0, 0]);
    }

    #[test]
    fn without_a_window_nothing_is_kept() {
        assert_eq!(lulls(&[8, 5, 6, 2], 0), [0; 4]);
    }

    #[test]
    fn a_clock_that_stands_or_jumps_back_costs_nothing_but_time() {
        let mut crowd = Crowd::default();
        for (at, taken) in [(9000, 8), (1000, 5), (1000, 4), (600_000, 4)] {
            crowd.note(Mono(at), Mib(taken), Millis::from_secs(60));
        }
        assert_eq!(crowd.lull(), Mib::ZERO);
    }

    proptest! {
        #[test]
        fn it_is_the_highest_of_the_window_less_what_is_now(
            taken in prop::collection::vec(0_u64..2000, 1..200), window in 0_u64..100,
        ) {
            for (now, lull) in lulls(&taken, window).into_iter().enumerate() {
                let from = now.saturating_sub(usize::try_from(window).expect("small"));
                let most = taken[from..=now].iter().max().expect("one");
                prop_assert_eq!(lull, most - taken[now]);
            }
        }

        /// Falling all the time, so that each is a crest.
        #[test]
        fn its_size_is_bounded_and_what_it_forgets_it_forgets_upwards(looks in 300_u64..2000, window in 1_u64..3000) {
            let taken: Vec<u64> = (0..looks).rev().collect();
            let mut crowd = Crowd::default();
            for (minute, taken) in (0..).zip(&taken) {
                crowd.note(Mono(minute * 60_000), Mib(*taken), Millis::from_mins(window));
                prop_assert!(crowd.crests.len() <= CRESTS_MAX);
                prop_assert!(crowd.lull().0 >= window.min(minute));
            }
        }
    }
}
