//! What the calendar says of each day: which window is in force when, which holiday it is, by when hosts are to be up.
//! Pure: the days come from the schedule and a first instant alone.

use dormouse_model::schedule::{Days, Occurrence, Schedule, Window, WindowGoal};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

/// One date of the cluster's zone, which may have 23 or 25 hours.
#[derive(Debug)]
pub(super) struct Day<'s> {
    pub(super) date: Date,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// It counts as another day of the week, or as none; and what people call it.
    pub(super) holiday: Option<&'s dormouse_model::schedule::Holiday>,
    /// In order, without gaps; neighbours differ.
    pub(super) parts: Vec<Part<'s>>,
    /// What starts on it, also where another window lies over it.
    pub(super) starts: Vec<Start<'s>>,
    /// By when hosts are to be up on this day, for an opening that comes into force.
    pub(super) up_by: Vec<Timestamp>,
}

/// From `start` to `end` this window is in force, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'s> {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) window: Option<&'s Window>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'s> {
    pub(super) window: &'s Window,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// Written for this date, and not for every week.
    pub(super) once: bool,
}

impl Part<'_> {
    pub(super) fn goal(&self) -> WindowGoal {
        self.window.map_or(WindowGoal::Compact, |window| window.goal)
    }
}

/// `days` dates from the one that `from` lies on.
pub(super) fn of(schedule: &Schedule, from: Timestamp, days: u16) -> Vec<Day<'_>> {
    let zone = schedule.zone.rules();
    let midnight =
        |date: Date| zone.to_zoned(date.at(0, 0, 0, 0)).map_or(Timestamp::MAX, |at| at.timestamp());
    let first = zone.to_datetime(from).date();
    let dates: Vec<Date> =
        (0..i32::from(days)).filter_map(|ahead| first.checked_add(ahead.days()).ok()).collect();
    // Two days more: what is up by tonight may open tomorrow.
    let all = schedule.occurrences(midnight(first), u32::from(days) + 2);
    let day = |date: Date| {
        let start = midnight(date);
        let end = date.tomorrow().map_or(Timestamp::MAX, midnight);
        let inside = |at: Timestamp| (start..end).contains(&at);
        let touching: Vec<&Occurrence> = all.iter().filter(|o| o.start < end && o.end > start).collect();
        let starts = touching.iter().filter(|o| inside(o.start)).map(|o| {
            let window = &schedule.windows[o.window];
            Start { window, start: o.start, end: o.end, once: is_once(window, date) }
        });
        let in_force = |o: &&Occurrence| {
            let later = all.iter().filter(|other| other.window > o.window);
            !later.clone().any(|other| (other.start..other.end).contains(&o.start))
        };
        let up_by = all
            .iter()
            .filter(|o| inside(o.up_by))
            .filter(|o| schedule.windows[o.window].goal == WindowGoal::Spread && in_force(o));
        Day {
            date,
            start,
            end,
            holiday: schedule.holiday(date),
            parts: parts(schedule, &touching, start, end),
            starts: starts.collect(),
            up_by: up_by.map(|o| o.up_by).collect(),
        }
    };
    dates.into_iter().map(day).collect()
}

/// Whether the window has a span that was written for this date.
fn is_once(window: &Window, date: Date) -> bool {
    window.spans.iter().any(|span| matches!(span.days, Days::Dates(_)) && span.starts_on(date, None))
}

fn parts<'s>(
    schedule: &'s Schedule,
    touching: &[&Occurrence],
    start: Timestamp,
    end: Timestamp,
) -> Vec<Part<'s>> {
    let mut edges: Vec<Timestamp> = touching.iter().flat_map(|o| [o.start, o.end]).collect();
    edges.extend([start, end]);
    edges.retain(|edge| (start..=end).contains(edge));
    edges.sort_unstable();
    edges.dedup();
    let mut parts: Vec<Part<'_>> = vec![];
    for pair in edges.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        // The later line wins.
        let window = touching.iter().filter(|o| o.start <= from && from < o.end).map(|o| o.window).max();
        let window = window.map(|index| &schedule.windows[index]);
        match parts.last_mut() {
            Some(last) if last.window.map(|w| &w.name) == window.map(|w| &w.name) => last.end = to,
            _ => parts.push(Part { start: from, end: to, window }),
        }
    }
    parts
}
