//! How many hosts of each kind: the sets with the least standing watts that measure enough, by branch and bound.
//!
//! A set here is a number of hosts of each class, no more. Which hosts those are, and whether a placement exists, is
//! asked elsewhere. *Standing* watts are what a host draws on and without load, beyond what it draws asleep.

use dormouse_model::{Mib, Watts};

/// Hosts that are alike in all that counts here.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// So many are on in every set.
    pub(crate) must: u32,
    pub(crate) size: u32,
    pub(crate) watts: Watts,
    /// What one of them gives in each measure, as `Needs::wanted` asks for it.
    pub(crate) gives: Vec<u64>,
    /// Memory of one of them, for the failover.
    pub(crate) mem: u64,
}

/// What a set must measure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    pub(crate) wanted: Vec<u64>,
    /// So many of the largest may die, and the rest still has this much memory.
    pub(crate) deaths: u32,
    pub(crate) mem: u64,
    /// Memory of hosts that are on in every set and of no kind; they may die as well.
    pub(crate) others: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Set {
    pub(crate) watts: Watts,
    /// What breaks ties: memory that would have to be moved.
    pub(crate) moved: Mib,
    /// By kind.
    pub(crate) counts: Vec<u32>,
}

/// The cheapest sets, cheapest first, and what no set undercuts.
pub(crate) struct Cheapest {
    pub(crate) sets: Vec<Set>,
    pub(crate) bound: Watts,
}

/// Branches looked at before the search settles for what it has.
const BRANCHES_MAX: u32 = 20_000;

impl Needs {
    fn met(&self, kinds: &[Kind], counts: &[u32]) -> bool {
        let enough = self.wanted.iter().enumerate().all(|(measure, wanted)| {
            let given = kinds.iter().zip(counts).fold(0u64, |sum, (kind, count)| {
                sum.saturating_add(kind.gives[measure].saturating_mul(u64::from(*count)))
            });
            given >= *wanted
        });
        enough && (self.deaths == 0 || self.survives(kinds, counts))
    }

    fn survives(&self, kinds: &[Kind], counts: &[u32]) -> bool {
        let all = || {
            let one = self.others.iter().map(|mem| (*mem, 1u64));
            kinds.iter().zip(counts).map(|(kind, count)| (kind.mem, u64::from(*count))).chain(one)
        };
        let mem: u64 = all().fold(0, |sum, (mem, count)| sum.saturating_add(mem.saturating_mul(count)));
        let mut largest: Vec<(u64, u64)> = all().filter(|(_, count)| *count > 0).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let mut dead = u64::from(self.deaths);
        let mut lost = 0u64;
        for (mem, count) in largest {
            let die = count.min(dead);
            lost = lost.saturating_add(mem.saturating_mul(die));
            dead -= die;
        }
        mem.saturating_sub(lost) >= self.mem
    }
}

/// `moved(kind, count)`: memory that leaves when so many of that kind stay. Kinds are best given thriftiest first.
pub(crate) fn cheapest(
    kinds: &[Kind],
    needs: &Needs,
    number: usize,
    moved: impl Fn(usize, u32) -> Mib,
) -> Cheapest {
    let bound = relaxed(kinds, needs);
    let most = kinds.iter().map(|kind| kind.size).collect::<Vec<_>>();
    if !needs.met(kinds, &most) {
        return Cheapest { sets: vec![], bound };
    }
    let left = needs
        .wanted
        .iter()
        .enumerate()
        .map(|(measure, wanted)| {
            let given = kinds.iter().fold(0u64, |sum, kind| {
                sum.saturating_add(kind.gives[measure].saturating_mul(u64::from(kind.must)))
            });
            wanted.saturating_sub(given)
        })
        .collect();
    let mut search = Search {
        kinds,
        needs,
        number,
        moved: &moved,
        counts: kinds.iter().map(|kind| kind.must).collect(),
        left,
        best: vec![],
        branches: 0,
    };
    let musts = kinds.iter().map(|kind| kind.watts * u64::from(kind.must)).sum();
    search.branch(0, musts);
    let all_seen = search.branches < BRANCHES_MAX;
    let exact = search.best.first().filter(|_| all_seen).map(|set| set.watts);
    Cheapest { bound: exact.unwrap_or(bound), sets: search.best }
}

/// If hosts could be cut in pieces: a bound for each measure alone, and the largest of these.
fn relaxed(kinds: &[Kind], needs: &Needs) -> Watts {
    let musts: Watts = kinds.iter().map(|kind| kind.watts * u64::from(kind.must)).sum();
    let more = needs.wanted.iter().enumerate().map(|(measure, wanted)| {
        let mut order: Vec<&Kind> = kinds.iter().filter(|kind| kind.gives[measure] > 0).collect();
        order.sort_by(|a, b| {
            let of = |x: &Kind, y: &Kind| u128::from(x.watts.0) * u128::from(y.gives[measure]);
            of(a, b).cmp(&of(b, a))
        });
        let given = kinds.iter().fold(0u64, |sum, kind| {
            sum.saturating_add(kind.gives[measure].saturating_mul(u64::from(kind.must)))
        });
        let mut left = u128::from(wanted.saturating_sub(given));
        let mut watts = 0u128;
        for kind in order {
            let gives = u128::from(kind.gives[measure]);
            let there = gives * u128::from(kind.size - kind.must);
            let taken = left.min(there);
            watts += (taken * u128::from(kind.watts.0)).div_ceil(gives).min(u128::from(u64::MAX));
            left -= taken;
            if left == 0 {
                break;
            }
        }
        // Rounded up for each kind, so one watt too much for each but the last.
        u64::try_from(watts).unwrap_or(u64::MAX).saturating_sub(kinds.len() as u64)
    });
    musts.saturating_add(Watts(more.max().unwrap_or(0)))
}

struct Search<'a> {
    kinds: &'a [Kind],
    needs: &'a Needs,
    number: usize,
    moved: &'a dyn Fn(usize, u32) -> Mib,
    counts: Vec<u32>,
    /// What is still wanted in each measure.
    left: Vec<u64>,
    best: Vec<Set>,
    branches: u32,
}

impl Search<'_> {
    /// Numbers of the kinds from this one on; those before are settled and draw so much, with all musts.
    fn branch(&mut self, at: usize, watts: Watts) {
        self.branches += 1;
        if self.branches >= BRANCHES_MAX || self.hopeless(at, watts) {
            return;
        }
        if self.left.iter().all(|left| *left == 0) && self.needs.met(self.kinds, &self.counts) {
            self.found(watts);
            return;
        }
        let Some(kind) = self.kinds.get(at) else { return };
        // As many as could be of use, then fewer and fewer.
        let more = kind.size - kind.must;
        let useful = if self.needs.deaths > 0 { more } else { self.useful(kind).min(more) };
        let last = at + 1 == self.kinds.len();
        let least = if last { self.least_of_last(at, useful) } else { Some(0) };
        let Some(least) = least else { return };
        let saved = self.left.clone();
        let range: Vec<u32> = if last { vec![least] } else { (0..=useful).rev().collect() };
        for count in range {
            self.counts[at] = kind.must + count;
            for (measure, left) in self.left.iter_mut().enumerate() {
                *left = saved[measure].saturating_sub(kind.gives[measure].saturating_mul(u64::from(count)));
            }
            self.branch(at + 1, watts + kind.watts * u64::from(count));
            if self.branches >= BRANCHES_MAX {
                break;
            }
        }
        self.counts[at] = kind.must;
        self.left = saved;
    }

    /// More than so many of this kind are never needed.
    fn useful(&self, kind: &Kind) -> u32 {
        let each = self.left.iter().zip(&kind.gives).filter(|(left, _)| **left > 0);
        let most =
            each.map(|(left, gives)| left.checked_div(*gives).map_or(u64::MAX, |whole| whole + 1)).max();
        u32::try_from(most.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// The least number of the last kind that suffices.
    fn least_of_last(&mut self, at: usize, most: u32) -> Option<u32> {
        let must = self.kinds[at].must;
        let mut suffices = |count: u32| {
            self.counts[at] = must + count;
            self.needs.met(self.kinds, &self.counts)
        };
        let (mut low, mut high) = (0, most);
        if !suffices(high) {
            high = self.kinds[at].size - must;
            if !suffices(high) {
                return None;
            }
        }
        while low < high {
            let middle = low.midpoint(high);
            if suffices(middle) { high = middle } else { low = middle + 1 }
        }
        Some(low)
    }

    /// Can nothing below this branch be among the best?
    fn hopeless(&self, at: usize, watts: Watts) -> bool {
        let Some(worst) = self.best.get(self.number - 1) else { return false };
        // The thriftiest that is left, in pieces, for the first measure.
        let first = self.left.first().copied().unwrap_or(0);
        let thriftiest = self.kinds[at..]
            .iter()
            .filter(|kind| kind.gives.first().is_some_and(|gives| *gives > 0))
            .map(|kind| (u128::from(first) * u128::from(kind.watts.0)).div_ceil(u128::from(kind.gives[0])))
            .min();
        let more = u64::try_from(thriftiest.unwrap_or(0)).unwrap_or(u64::MAX);
        watts.saturating_add(Watts(more)) > worst.watts
    }

    fn found(&mut self, watts: Watts) {
        let moved = self.counts.iter().enumerate().map(|(kind, count)| (self.moved)(kind, *count)).sum();
        let set = Set { watts, moved, counts: self.counts.clone() };
        let place = self.best.partition_point(|other| *other < set);
        if self.best.get(place) != Some(&set) {
            self.best.insert(place, set);
            self.best.truncate(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(size: u32, watts: u64, mem: u64) -> Kind {
        Kind { must: 0, size, watts: Watts(watts), gives: vec![mem], mem }
    }

    fn best(kinds: &[Kind], mem: u64, deaths: u32) -> (u64, Vec<u32>) {
        let needs = Needs { wanted: vec![mem], deaths, mem, others: vec![] };
        let found = cheapest(kinds, &needs, 3, |_, _| Mib::ZERO);
        assert!(found.bound <= found.sets[0].watts);
        (found.sets[0].watts.0, found.sets[0].counts.clone())
    }

    #[test]
    fn one_small_host_beside_the_large_ones_where_that_is_enough() {
        let kinds = [kind(100, 102, 64), kind(100, 56, 32)];
        assert_eq!(best(&kinds, 64 * 71, 0), (7242, vec![71, 0]));
        assert_eq!(best(&kinds, 64 * 71 + 1, 0), (7298, vec![71, 1]));
        assert_eq!(best(&kinds, 64 * 71 + 33, 0), (7344, vec![72, 0]));
    }

    #[test]
    fn who_may_die_is_counted_out() {
        assert_eq!(best(&[kind(10, 50, 8)], 16, 1).1, [3]);
        assert_eq!(best(&[kind(2, 90, 32), kind(9, 50, 8)], 16, 1).1, [0, 3]);
    }

    #[test]
    fn many_kinds_end_in_time_with_a_good_set() {
        let kinds: Vec<Kind> = (0..40).map(|at| kind(5, 100 + at, 64 + at / 2)).collect();
        let needs = Needs { wanted: vec![4000], ..Needs::default() };
        let found = cheapest(&kinds, &needs, 3, |_, _| Mib::ZERO);
        assert!(found.sets[0].watts.0 <= found.bound.0 * 102 / 100, "{:?} {:?}", found.sets[0], found.bound);
    }
}
