//! Spans of demand summed up, and a row of them: what is left of samples that are too old to be kept one by one.
//!
//! A roll-up knows how many samples lay on which level. Whatever it has to forget it forgets upwards, so that what is
//! read from it is never below what the samples would have said.

use super::band_rank;
use super::level::{LEVELS, level, top};
use dormouse_model::{Millis, Mono};
use std::collections::VecDeque;

/// Different levels kept apart in one roll-up. Demand between x and 4 x needs no more.
const LEVELS_APART: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rollup {
    /// The first sample and the last.
    pub(super) start: Mono,
    pub(super) last: Mono,
    pub(super) sum: u64,
    pub(super) max: u32,
    pub(super) mem: u32,
    pub(super) samples: u16,
    used: u8,
    levels: [u8; LEVELS_APART],
    counts: [u16; LEVELS_APART],
}

impl Rollup {
    pub(super) fn new(at: Mono) -> Self {
        Self {
            start: at,
            last: at,
            sum: 0,
            max: 0,
            mem: 0,
            samples: 0,
            used: 0,
            levels: [0; LEVELS_APART],
            counts: [0; LEVELS_APART],
        }
    }

    /// One as it was kept. `None`: its numbers do not belong together.
    pub(super) fn kept(start: Mono, last: Mono, row: &dormouse_model::DemandRow) -> Option<Self> {
        let sum: u64 = row.levels.iter().map(|(_, count)| u64::from(*count)).sum();
        let rising = row.levels.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if row.samples == 0
            || sum != u64::from(row.samples)
            || !rising
            || row.levels.len() > LEVELS_APART
            || last < start
        {
            return None;
        }
        let mut rollup = Self {
            last,
            sum: u64::from(row.mean) * u64::from(row.samples),
            max: row.max,
            mem: row.mem,
            samples: row.samples,
            used: u8::try_from(row.levels.len()).ok()?,
            ..Self::new(start)
        };
        for (at, (level, count)) in row.levels.iter().enumerate() {
            rollup.levels[at] = *level;
            rollup.counts[at] = *count;
        }
        Some(rollup)
    }

    pub(super) fn is_full(&self) -> bool {
        self.samples == u16::MAX
    }

    pub(super) fn add(&mut self, at: Mono, value: u32, mem: u32) {
        self.last = at;
        self.sum += u64::from(value);
        self.max = self.max.max(value);
        self.mem = self.mem.max(mem);
        self.samples += 1;
        let (level, used) = (level(value), usize::from(self.used));
        let place = self.levels[..used].partition_point(|known| *known < level);
        if place < used && self.levels[place] == level {
            self.counts[place] += 1;
        } else if used < LEVELS_APART {
            self.levels.copy_within(place..used, place + 1);
            self.counts.copy_within(place..used, place + 1);
            (self.levels[place], self.counts[place]) = (level, 1);
            self.used += 1;
        } else {
            self.join(place, level);
        }
    }

    /// One level too many: of all neighbours those two become one, at the upper's level, that lift the least demand by it.
    fn join(&mut self, place: usize, new: u8) {
        let mut all: [(u8, u16); LEVELS_APART + 1] = [(0, 0); LEVELS_APART + 1];
        for (at, slot) in all.iter_mut().enumerate() {
            *slot = match at.cmp(&place) {
                std::cmp::Ordering::Less => (self.levels[at], self.counts[at]),
                std::cmp::Ordering::Equal => (new, 1),
                std::cmp::Ordering::Greater => (self.levels[at - 1], self.counts[at - 1]),
            };
        }
        let lifted = |at: &usize| u64::from(all[*at].1) * u64::from(top(all[at + 1].0) - top(all[*at].0));
        let cheapest = (0..LEVELS_APART).min_by_key(lifted).expect("more than one level");
        let count = all[cheapest].1;
        all[cheapest + 1].1 += count;
        all.copy_within(cheapest + 1.., cheapest);
        for (at, (level, count)) in all[..LEVELS_APART].iter().enumerate() {
            (self.levels[at], self.counts[at]) = (*level, *count);
        }
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = (u8, u16)> + '_ {
        let used = usize::from(self.used);
        self.levels[..used].iter().copied().zip(self.counts[..used].iter().copied())
    }

    pub(super) fn mean(&self) -> u32 {
        u32::try_from(self.sum / u64::from(self.samples.max(1))).unwrap_or(u32::MAX)
    }

    /// The level at or below which 90 of 100 samples lie.
    pub(super) fn high(&self) -> u8 {
        let mut left = band_rank(u64::from(self.samples));
        for (level, count) in self.levels() {
            left = left.saturating_sub(u64::from(count));
            if left == 0 {
                return level;
            }
        }
        level(self.max)
    }
}

/// Roll-ups of one length, oldest first, and the one that is being filled.
#[derive(Debug, Default)]
pub(super) struct Tier {
    closed: VecDeque<Rollup>,
    open: Option<Rollup>,
}

impl Tier {
    /// Takes a sample in. `ends`: it belongs to the next span. Returns the roll-up that is closed by it.
    pub(super) fn push(&mut self, at: Mono, value: u32, mem: u32, ends: bool) -> Option<Rollup> {
        let closed = self.open.take_if(|open| ends || open.is_full());
        self.open.get_or_insert_with(|| Rollup::new(at)).add(at, value, mem);
        closed
    }

    pub(super) fn open(&self) -> Option<&Rollup> {
        self.open.as_ref()
    }

    /// Keeps a closed one, at most so many of them and no further back than that. One from before stays: it proves that
    /// the time since is covered.
    pub(super) fn keep(&mut self, rollup: Rollup, now: Mono, reach: Millis, most: usize) {
        while self.closed.len() >= most
            || self.closed.get(1).is_some_and(|next| now.since(next.start) >= reach)
        {
            self.closed.pop_front();
        }
        self.closed.push_back(rollup);
    }

    /// The 90th of 100 of the samples since so long ago, each counted at the top of its level. Those of the roll-up that
    /// only partly belongs there count in whichever way gives more. `None`: that time is not covered.
    pub(super) fn band(&self, now: Mono, span: Millis, hole: Millis) -> Option<u32> {
        let oldest = self.closed.front().or(self.open.as_ref())?;
        if now.since(oldest.start) < span {
            return None;
        }
        let mut counts = [0_u32; LEVELS];
        let (mut inside, mut edge) = (0_u64, 0_u64);
        let (mut edge_max, mut before, mut first) = (0, None, None);
        for rollup in self.closed.iter().chain(&self.open) {
            if now.since(rollup.start) <= span {
                first.get_or_insert(rollup.start);
                inside += u64::from(rollup.samples);
                rollup.levels().for_each(|(level, count)| counts[usize::from(level)] += u32::from(count));
            } else {
                before = Some(rollup.last);
                if now.since(rollup.last) <= span {
                    edge += u64::from(rollup.samples);
                    edge_max = edge_max.max(rollup.max);
                }
            }
        }
        if inside + edge == 0 || first.zip(before).is_some_and(|(first, before)| first.since(before) > hole) {
            return None;
        }
        let lower = quantile(&counts, inside);
        counts[usize::from(level(edge_max))] += u32::try_from(edge).unwrap_or(u32::MAX);
        Some(top(lower.max(quantile(&counts, inside + edge))))
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.closed.capacity() * size_of::<Rollup>()
    }
}

fn quantile(counts: &[u32; LEVELS], of: u64) -> u8 {
    let mut left = band_rank(of);
    if left == 0 {
        return 0;
    }
    for (level, count) in counts.iter().enumerate() {
        left = left.saturating_sub(u64::from(*count));
        if left == 0 {
            return u8::try_from(level).unwrap_or(u8::MAX);
        }
    }
    u8::MAX
}
