//! Ways of measuring memory by which no placement can cheat: what all VMs measure together, the hosts must measure too.
//!
//! A measure is *superadditive*: two sizes together never measure less than the two apart. So the VMs on a host measure
//! at most what its capacity does, whatever they are, and every measure gives a sound bound. Volume is one. Counting
//! whole steps shows how many VMs of a size fit side by side (Fekete and Schepers' u(k)); growing the large and
//! forgetting the small shows what cannot be put beside the large (their U(eps); with the steps it gives Martello and
//! Toth's L2).

use std::cmp::Reverse;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Volume,
    /// Whole steps of this size.
    Steps(u64),
    /// What leaves less than `small` of `whole` counts as the whole, what is less than `small` as nothing.
    Large {
        small: u64,
        whole: u64,
    },
}

/// Capacities up to which steps are tried: so many VMs side by side.
const SIDE_BY_SIDE_MAX: u64 = 16;
/// Distinct sizes up to which each is tried as a step.
const SIZES_AS_STEPS_MAX: usize = 32;
/// Measures that are kept beside volume.
const KEPT: usize = 4;

impl Measure {
    pub(crate) fn of(self, size: u64) -> u64 {
        match self {
            Self::Volume => size,
            Self::Steps(step) => size / step,
            Self::Large { small, whole } => match size {
                size if size > whole.saturating_sub(small) => size.max(whole),
                size if size < small => 0,
                size => size,
            },
        }
    }
}

/// Sizes of VMs, how many there are of each, largest first.
pub(crate) struct Sizes {
    counted: Vec<(u64, u64)>,
}

impl Sizes {
    pub(crate) fn of(sizes: impl Iterator<Item = u64>) -> Self {
        let mut all: Vec<u64> = sizes.filter(|size| *size > 0).collect();
        all.sort_unstable_by_key(|size| Reverse(*size));
        let mut counted: Vec<(u64, u64)> = vec![];
        for size in all {
            match counted.last_mut() {
                Some((last, count)) if *last == size => *count += 1,
                _ => counted.push((size, 1)),
            }
        }
        Self { counted }
    }

    pub(crate) fn total(&self, measure: Measure) -> u64 {
        self.counted
            .iter()
            .fold(0, |sum, (size, count)| u64::saturating_add(sum, measure.of(*size).saturating_mul(*count)))
    }

    /// The measures that say more than volume does about hosts of one of these capacities, the most telling first.
    pub(crate) fn telling(&self, capacities: &[u64]) -> Vec<Measure> {
        let Some(whole) = capacities.iter().copied().max().filter(|whole| *whole > 0) else { return vec![] };
        let mut steps: Vec<u64> = capacities
            .iter()
            .flat_map(|capacity| (2..=SIDE_BY_SIDE_MAX + 1).map(move |parts| capacity / parts + 1))
            .collect();
        if self.counted.len() <= SIZES_AS_STEPS_MAX {
            steps.extend(self.counted.iter().map(|(size, _)| *size));
        }
        steps.sort_unstable();
        steps.dedup();
        let volume = u128::from(self.total(Measure::Volume));
        let mut found: Vec<(u128, Measure)> = vec![];
        for measure in steps.into_iter().map(Measure::Steps).chain(self.large(whole)) {
            let total = u128::from(self.total(measure));
            // How many thousandths of the hosts that volume asks for, at best.
            let tells = |capacity: &u64| {
                let part = u128::from(measure.of(*capacity));
                (total * u128::from(*capacity) * 1000).checked_div(part * volume).unwrap_or(0)
            };
            let most = capacities.iter().map(tells).max().unwrap_or(0);
            if most > 1000 {
                found.push((most, measure));
            }
        }
        found.sort_by_key(|(tells, _)| Reverse(*tells));
        found.into_iter().take(KEPT).map(|(_, measure)| measure).collect()
    }

    /// Of all thresholds the one that measures most.
    fn large(&self, whole: u64) -> Option<Measure> {
        let mut sums = vec![(0u64, 0u64)];
        for (size, count) in &self.counted {
            let (sum, number) = sums[sums.len() - 1];
            sums.push((sum.saturating_add(size.saturating_mul(*count)), number + count));
        }
        let larger_than = |size: u64| self.counted.partition_point(|(other, _)| *other > size);
        let at_least = |size: u64| self.counted.partition_point(|(other, _)| *other >= size);
        let total = |small: u64| {
            let (alone, end) = (larger_than(whole - small), at_least(small));
            let rest = sums[end.max(alone)].0 - sums[alone].0;
            rest.saturating_add(sums[alone].1.saturating_mul(whole))
        };
        let smalls = self.counted.iter().map(|(size, _)| *size).filter(|size| *size <= whole / 2);
        smalls.max_by_key(|small| total(*small)).map(|small| Measure::Large { small, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_units_fit_a_host_however_much_room_is_left_beside_them() {
        // 3,480 of 4,096 MB: volume would let 871 VMs share 185 hosts.
        let sizes = Sizes::of(std::iter::repeat_n(870, 871));
        let best = sizes.telling(&[4096])[0];
        assert_eq!(sizes.total(best).div_ceil(best.of(4096)), 218);
    }

    #[test]
    fn vms_that_no_other_fits_beside_count_as_a_whole_host() {
        let sizes = Sizes::of([60, 60, 60, 45, 45, 50].into_iter());
        let bound = |measure: Measure| sizes.total(measure).div_ceil(measure.of(100));
        assert_eq!(bound(Measure::Volume), 4);
        assert_eq!(sizes.telling(&[100]).into_iter().map(bound).max(), Some(5));
    }

    #[test]
    fn two_sizes_together_never_measure_less_than_apart() {
        let measures = [Measure::Volume, Measure::Steps(7), Measure::Large { small: 20, whole: 100 }];
        for measure in measures {
            for a in 0..=100u64 {
                for b in 0..=100 - a {
                    assert!(measure.of(a) + measure.of(b) <= measure.of(a + b), "{measure:?} {a} {b}");
                }
            }
        }
    }
}
