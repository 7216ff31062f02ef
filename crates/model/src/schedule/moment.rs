//! From the calendar to instants: when each window is open, what holds at a given time, what comes next.

use super::{Holiday, Schedule, Span, Window, WindowGoal};
use crate::Millis;
use jiff::civil::{Date, Weekday};
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::collections::BTreeMap;

/// One opening of one span of a window, whatever other windows lie over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Occurrence {
    pub start: Timestamp,
    /// Not included.
    pub end: Timestamp,
    /// Place in [`Schedule::windows`].
    pub window: usize,
    pub up_by: Timestamp,
}

/// What the calendar says at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment<'s> {
    /// The window in force; of several, the latest line.
    pub window: Option<&'s Window>,
    /// Its goal; `compact` outside every window.
    pub goal: WindowGoal,
    /// When another window, or none, is in force. `None`: not within 400 days.
    pub until: Option<Timestamp>,
    /// Of the openings to come within 400 days, the one that hosts must be up for first.
    pub next_opening: Option<Opening<'s>>,
}

/// A window with the goal `spread` comes into force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opening<'s> {
    pub window: &'s Window,
    pub opens: Timestamp,
    /// By then hosts should be up, usable and spread over; may have passed.
    pub up_by: Timestamp,
}

/// From `at` on this window is in force, or none.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: Timestamp,
    window: Option<usize>,
}

/// A look this far ahead is enough on most days.
const NEAR: i32 = 15;
/// Nothing is looked for behind this: every yearly date has come once.
const FAR: i32 = 400;
/// Room that a near look leaves, since `up-by` may lie a day before its opening.
const SURE: i32 = NEAR - 2;

impl Schedule {
    /// What holds at `now`, and what comes next.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Moment<'_> {
        let near = self.look(now, NEAR);
        let sure =
            now.checked_add(SignedDuration::from_hours(24 * i64::from(SURE))).unwrap_or(Timestamp::MAX);
        if near.until.is_some() && near.next_opening.is_some_and(|next| next.opens <= sure) {
            return near;
        }
        self.look(now, FAR)
    }

    /// Every opening of every window that touches the `days` days from `from` on, by start.
    #[must_use]
    pub fn occurrences(&self, from: Timestamp, days: u32) -> Vec<Occurrence> {
        // A century is further than any zone's rules are known.
        let days = i32::try_from(days.min(36_525)).expect("bounded");
        let until =
            from.checked_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MAX);
        let mut found = self.around(from, days);
        found.retain(|occurrence| occurrence.end > from && occurrence.start < until);
        found
    }

    /// The hour of the week that this instant counts as, from Monday's first: 0 to 167. On a holiday it is an hour of the
    /// day that it counts as; `None` on one that counts as none, since no week repeats it.
    #[must_use]
    pub fn hour_of_week(&self, now: Timestamp) -> Option<usize> {
        let local = self.zone.rules().to_datetime(now);
        let day = usize::try_from(self.weekday(local.date())?.to_monday_zero_offset()).ok()?;
        Some(day * 24 + usize::try_from(local.hour()).ok()?)
    }

    fn look(&self, now: Timestamp, days: i32) -> Moment<'_> {
        let mut changes = changes(&self.around(now, days));
        // What seems to close at the edge of the look may go on behind it.
        let edge = self.today(now).checked_add((days + 1).days()).ok();
        let edge = edge.and_then(|day| self.zone.rules().to_zoned(day.at(0, 0, 0, 0)).ok());
        changes.retain(|change| edge.as_ref().is_none_or(|edge| change.at < edge.timestamp()));
        let next = changes.partition_point(|change| change.at <= now);
        let window =
            next.checked_sub(1).and_then(|last| changes[last].window).map(|index| &self.windows[index]);
        let opening = |change: &Change| {
            let window = &self.windows[change.window?];
            (window.goal == WindowGoal::Spread).then(|| Opening {
                window,
                opens: change.at,
                up_by: before(change.at, window.up_by),
            })
        };
        Moment {
            window,
            goal: window.map_or(WindowGoal::Compact, |window| window.goal),
            until: changes.get(next).map(|change| change.at),
            next_opening: changes[next..]
                .iter()
                .filter_map(opening)
                .min_by_key(|next| (next.up_by, next.opens)),
        }
    }

    fn today(&self, now: Timestamp) -> Date {
        self.zone.rules().to_datetime(now).date()
    }

    /// Occurrences that start from two days before `from` (longer lasts none) to `days` days behind it, by start.
    fn around(&self, from: Timestamp, days: i32) -> Vec<Occurrence> {
        let today = self.today(from);
        let mut found = vec![];
        for date in (-2..=days).filter_map(|offset| today.checked_add(offset.days()).ok()) {
            let weekday = self.weekday(date);
            for (index, window) in self.windows.iter().enumerate() {
                for span in window.spans.iter().filter(|span| span.starts_on(date, weekday)) {
                    let Some((start, end)) = self.open(span, date) else { continue };
                    found.push(Occurrence { start, end, window: index, up_by: before(start, window.up_by) });
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// The day of the week that a date counts as; `None`: closed.
    fn weekday(&self, date: Date) -> Option<Weekday> {
        self.holiday(date).map_or_else(|| Some(date.weekday()), |holiday| holiday.as_day)
    }

    /// The holiday that counts on this date.
    #[must_use]
    pub fn holiday(&self, date: Date) -> Option<&Holiday> {
        self.holidays.iter().rev().find(|holiday| (holiday.from..=holiday.to).contains(&date))
    }

    /// Start and end of a span that starts on `date`.
    fn open(&self, span: &Span, date: Date) -> Option<(Timestamp, Timestamp)> {
        let last = if span.end > span.start { date } else { date.tomorrow().ok()? };
        let (start, end) = (date.to_datetime(span.start), last.to_datetime(span.end));
        let opens = self.zone.instant(start)?;
        // The day of the end may be one that the zone left out; then, as inside a skipped hour, the length counts.
        let closes = self.zone.instant(end).filter(|closes| *closes > opens);
        let closes = closes.or_else(|| opens.checked_add(start.duration_until(end)).ok())?;
        Some((opens, closes))
    }
}

fn before(at: Timestamp, span: Millis) -> Timestamp {
    let span = SignedDuration::from_millis(i64::try_from(span.0).unwrap_or(i64::MAX));
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// When which window is in force, the later line over the earlier; neighbours differ.
fn changes(occurrences: &[Occurrence]) -> Vec<Change> {
    let mut edges: Vec<(Timestamp, usize, bool)> = occurrences
        .iter()
        .flat_map(|occurrence| {
            [(occurrence.start, occurrence.window, true), (occurrence.end, occurrence.window, false)]
        })
        .collect();
    edges.sort_unstable();
    // How many occurrences of each window are open.
    let mut open: BTreeMap<usize, u32> = BTreeMap::new();
    let mut changes: Vec<Change> = vec![];
    for same_time in edges.chunk_by(|a, b| a.0 == b.0) {
        for (_, window, opens) in same_time {
            // `false` sorts before `true`; what closes here was opened at an earlier edge.
            let count = open.entry(*window).or_default();
            *count = if *opens { *count + 1 } else { *count - 1 };
        }
        open.retain(|_, count| *count > 0);
        let window = open.last_key_value().map(|(window, _)| *window);
        if changes.last().and_then(|change| change.window) != window {
            changes.push(Change { at: same_time[0].0, window });
        }
    }
    changes
}
