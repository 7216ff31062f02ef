//! What a VM has needed, from its samples. Two bands: a long look back decides what may sleep, a short one what must
//! wake. Both take the 90th of 100: a busy spell counts, a single sample does not. For waking a spell that is over counts
//! no longer, either.
//!
//! Samples are kept one by one as long as a window needs them and there is room, then as roll-ups of five minutes and of
//! an hour, whose bands are never below what the samples would give ([`rollup`]); each hour of the week leaves one byte
//! for the forecast ([`profile`]). Every part is bounded, whatever comes in and in whatever order.
//!
//! Absent: any decision. Time arrives as an argument; a clock that jumps costs precision and nothing else.

mod level;
mod profile;
mod rollup;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use profile::HOURS;
use profile::Profile;
use rollup::{Rollup, Tier};
use window::Window;

use dormouse_model::{Demand, DemandRow, Knobs, Mib, MilliCpu, Millis, Mono, RollUp};
use std::collections::VecDeque;
use uuid::Uuid;

/// Samples kept one by one: one every 15 s over 40 min is 160. A window that needs more is read from roll-ups.
const SAMPLES_MAX: usize = 512;
/// Five-minute roll-ups reach 21 hours back, hours ten days: a window longer than that is taken as ten days.
const FIVES_MAX: usize = 256;
const HOURS_MAX: usize = 256;
const FIVE_MINUTES: Millis = Millis::from_mins(5);
const HOUR: Millis = Millis::from_mins(60);
/// An hour teaches the profile something if at least this share of it was seen.
const TEACHES: u64 = 4;

const QUANTILE_PERCENT: u64 = 90;

/// Which of so many, counted from one in order of size, is the 90th of 100.
#[must_use]
pub const fn band_rank(count: u64) -> u64 {
    (count * QUANTILE_PERCENT).div_ceil(100)
}

/// The lengths that history is kept in, from the knobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    sleep: Millis,
    wake: Millis,
    /// The calendar's five minutes and hour in monotonic time.
    five: Millis,
    pub(crate) hour: Millis,
    /// A pause between samples of at most so long is no gap.
    patience: Millis,
}

impl Spans {
    /// `rate`: calendar seconds per second. `patience`: after so long without an answer knowledge is stale.
    pub(crate) fn of(knobs: &Knobs, rate: u32, patience: Millis) -> Self {
        let rate = u64::from(rate.max(1));
        let (five, hour) = (Millis(FIVE_MINUTES.0 / rate), Millis(HOUR.0 / rate));
        let longest = Millis(hour.0 * (HOURS_MAX as u64 - 2));
        Self {
            sleep: knobs.scaled(knobs.window_sleep).min(longest),
            wake: knobs.scaled(knobs.window_wake).min(longest),
            five,
            hour,
            patience,
        }
    }

    fn longest(&self) -> Millis {
        self.sleep.max(self.wake)
    }

    /// How far back roll-ups of that length are of use, in the store and here.
    pub(crate) fn reach(&self, roll_up: RollUp) -> Millis {
        match roll_up {
            RollUp::FiveMinutes => {
                let most = Millis(self.five.0 * (FIVES_MAX as u64 - 2));
                (self.longest() + self.five + self.five).min(most)
            }
            RollUp::Hour => Millis(self.hour.0 * (HOURS_MAX as u64 - 2)),
        }
    }

    /// Time without samples inside of a window of that length, up to which it still counts as covered.
    fn hole(&self, window: Millis) -> Millis {
        Millis(window.0 / 2).max(self.patience)
    }
}

/// The hour of the cluster's calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hour {
    /// Rises with each hour; the number itself says nothing.
    pub(crate) number: u64,
    /// Its place in the week, if it is an ordinary one.
    pub(crate) of_week: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Mono,
    used: u32,
}

/// A roll-up that was closed.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) roll_up: RollUp,
    rollup: Rollup,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<Sample>,
    /// Number of the first sample kept, counted from the first ever.
    base: u64,
    sleep: Window,
    wake: Window,
    fives: Tier,
    hours: Tier,
    hour: Hour,
    profile: Profile,
}

impl History {
    /// Takes a sample in. Those of the same VM from two hosts may come out of order: an older one counts as of now.
    pub(crate) fn push(
        &mut self,
        at: Mono,
        used: MilliCpu,
        mem: Mib,
        hour: Hour,
        spans: &Spans,
        mut closed: impl FnMut(Closed),
    ) {
        let at = self.samples.back().map_or(at, |last| last.at.max(at));
        let (used, mem) = (short(used.0), short(mem.0));
        let keep = spans.longest();
        // One sample from before the window stays: it proves that the window is covered.
        while self.samples.len() > 1
            && (self.samples.len() >= SAMPLES_MAX || at.since(self.samples[1].at) >= keep)
        {
            let next = self.base + 1;
            self.sleep.follow(&self.samples, self.base, next);
            self.wake.follow(&self.samples, self.base, next);
            self.samples.pop_front();
            self.base = next;
        }
        self.samples.push_back(Sample { at, used });
        self.sleep.insert(used);
        self.wake.insert(used);
        let over = self.fives.open().is_some_and(|open| at.since(open.start) >= spans.five);
        if let Some(rollup) = self.fives.push(at, used, mem, over) {
            closed(Closed { roll_up: RollUp::FiveMinutes, rollup: rollup.clone() });
            self.fives.keep(rollup, at, spans.reach(RollUp::FiveMinutes), FIVES_MAX);
        }
        let over = hour.number != self.hour.number;
        if let Some(rollup) = self.hours.push(at, used, mem, over) {
            self.learn(self.hour.of_week, &rollup, spans);
            closed(Closed { roll_up: RollUp::Hour, rollup: rollup.clone() });
            self.keep_hour(rollup, at, spans);
        }
        self.hour = hour;
    }

    /// Hours are kept here only for a window that five-minute roll-ups do not reach.
    fn keep_hour(&mut self, rollup: Rollup, now: Mono, spans: &Spans) {
        let far = spans.longest() > spans.reach(RollUp::FiveMinutes);
        self.hours.keep(rollup, now, if far { spans.longest() } else { Millis::ZERO }, HOURS_MAX);
    }

    fn learn(&mut self, of_week: Option<usize>, rollup: &Rollup, spans: &Spans) {
        if let Some(hour) = of_week
            && rollup.last.since(rollup.start).0 >= spans.hour.0 / TEACHES
        {
            self.profile.learn(hour, rollup.high());
        }
    }

    /// Takes a roll-up of before our start in; older ones first. `of_week`: the hour that it began in.
    pub(crate) fn restore(
        &mut self,
        row: &DemandRow,
        start: Mono,
        now: Mono,
        of_week: Option<usize>,
        spans: &Spans,
    ) {
        let rate = FIVE_MINUTES.0 / spans.five.0.max(1);
        let last = start + Millis(u64::from(row.secs) * 1000 / rate.max(1));
        let Some(rollup) = Rollup::kept(start, last, row).filter(|_| last <= now) else { return };
        match row.roll_up {
            RollUp::FiveMinutes => {
                self.fives.keep(rollup, now, spans.reach(RollUp::FiveMinutes), FIVES_MAX);
            }
            RollUp::Hour => {
                self.learn(of_week, &rollup, spans);
                self.keep_hour(rollup, now, spans);
            }
        }
    }

    /// Both bands now, brought up to date. Costs a search in each window; more only where a window is read from roll-ups.
    pub(crate) fn demand(&mut self, now: Mono, spans: &Spans, limit: MilliCpu) -> Demand {
        let first = self.first_within(now, spans.sleep);
        self.sleep.follow(&self.samples, self.base, self.base + first);
        let first = self.first_within(now, spans.wake);
        self.wake.follow(&self.samples, self.base, self.base + first);
        self.bands(now, spans, limit, |window, _| window.high())
    }

    /// The same without keeping anything; costs a pass over the samples.
    pub(crate) fn demand_seen(&self, now: Mono, spans: &Spans, limit: MilliCpu) -> Demand {
        self.bands(now, spans, limit, |_, first| {
            let mut used: Vec<u32> = self.samples.range(first..).map(|sample| sample.used).collect();
            let rank = usize::try_from(band_rank(used.len() as u64)).ok()?.checked_sub(1)?;
            Some(*used.select_nth_unstable(rank).1)
        })
    }

    fn bands(
        &self,
        now: Mono,
        spans: &Spans,
        limit: MilliCpu,
        high: impl Fn(&Window, usize) -> Option<u32>,
    ) -> Demand {
        let band = |window: &Window, span: Millis| {
            let exact = self.covering(now, span, spans.hole(span)).and_then(|first| high(window, first));
            exact
                .or_else(|| self.fives.band(now, span, spans.hole(span)))
                .or_else(|| self.hours.band(now, span, spans.hole(span)))
                .map(|used| MilliCpu(u64::from(used)))
        };
        // A VM with less history than the window counts at its limit. For waking, too little history is no reason to
        // wake hosts: what was seen last counts, and before that nothing.
        let last = self.samples.back().map_or(MilliCpu::ZERO, |sample| MilliCpu(u64::from(sample.used)));
        let wake = band(&self.wake, spans.wake).unwrap_or(last);
        Demand {
            sleep: band(&self.sleep, spans.sleep).unwrap_or(limit),
            wake: self.peak(now, spans.patience).map_or(wake, |peak| wake.min(peak)),
        }
    }

    /// The most that the last looks showed. An overload that is over moves nobody and wakes nothing, however long it was.
    fn peak(&self, now: Mono, span: Millis) -> Option<MilliCpu> {
        let lately = self.samples.iter().rev().take_while(|sample| now.since(sample.at) <= span);
        lately.map(|sample| sample.used).max().map(|used| MilliCpu(u64::from(used)))
    }

    /// Place of the first sample inside.
    fn first_within(&self, now: Mono, span: Millis) -> u64 {
        self.samples.partition_point(|sample| now.since(sample.at) > span) as u64
    }

    /// The same, if the window is covered by samples kept one by one.
    fn covering(&self, now: Mono, span: Millis, hole: Millis) -> Option<usize> {
        let oldest = self.samples.front()?;
        let first = usize::try_from(self.first_within(now, span)).ok()?;
        let begins = self.samples.get(first)?.at;
        let before = first.checked_sub(1).and_then(|before| self.samples.get(before));
        let whole =
            now.since(oldest.at) >= span && before.is_none_or(|before| begins.since(before.at) <= hole);
        whole.then_some(first)
    }

    /// What the same hour of the week before needed, if that was ever seen.
    pub(crate) fn expected(&self, hour: usize) -> Option<MilliCpu> {
        self.profile.expected(hour).map(|used| MilliCpu(u64::from(used)))
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.samples.capacity() * size_of::<Sample>()
            + self.sleep.bytes()
            + self.wake.bytes()
            + self.fives.bytes()
            + self.hours.bytes()
    }
}

impl Closed {
    /// As the store keeps it; `wall` turns our time into the calendar's.
    pub(crate) fn row(&self, vm: Uuid, wall: impl Fn(Mono) -> i64) -> DemandRow {
        let (start, last) = (wall(self.rollup.start), wall(self.rollup.last));
        DemandRow {
            vm,
            roll_up: self.roll_up,
            start,
            secs: u32::try_from(last.saturating_sub(start)).unwrap_or(0),
            samples: self.rollup.samples,
            mean: self.rollup.mean(),
            max: self.rollup.max,
            mem: self.rollup.mem,
            levels: self.rollup.levels().collect(),
        }
    }
}

fn short(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
