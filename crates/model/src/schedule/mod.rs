//! The calendar: spans of the week with a goal of their own, in a named zone.
//!
//! Hours are the zone's wall clock. A time that the clock skips in spring happens the moment it has jumped; a time it
//! shows twice in autumn happens the first time. So each span opens once and closes once on each of its days, and one
//! that lies wholly inside the skipped hour keeps its length. `up-by` counts back from the opening in real time.
//! A span belongs to the day on which it starts: on a holiday none starts (or those of the `as` day), and one that
//! began the evening before runs to its end. A span of a date starts on it whatever else is said of that day: who writes
//! a date means it. The later of two holiday lines wins, and the later of two windows.

mod moment;
#[cfg(test)]
mod tests;
mod zone;

pub use moment::{Moment, Occurrence, Opening};

pub use zone::Zone;

use crate::Millis;
use jiff::civil::{Date, Time, Weekday};
use std::fmt;

/// Windows and holidays in one zone. Outside every window the goal is `compact`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    /// `UTC` when the text names none.
    pub zone: Zone,
    /// In the order of the text: the later line wins where two overlap.
    pub windows: Vec<Window>,
    pub holidays: Vec<Holiday>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub name: String,
    pub spans: Vec<Span>,
    pub goal: WindowGoal,
    /// How long before its start hosts should be up, usable and spread over.
    pub up_by: Millis,
    /// Also wake hosts that someone else switched off.
    pub wake_all: bool,
}

/// From `start` on each of `days` to `end`, which lies on the next day when it is not after `start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub days: Days,
    pub start: Time,
    pub end: Time,
}

/// On which days a span starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Days {
    /// Every week, but for holidays.
    Week(Vec<Weekday>),
    /// Once on each, both ends of a range included; also on holidays.
    Dates(Vec<(Date, Date)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowGoal {
    Compact,
    Spread,
    Hold,
}

/// Dates, both ends included, that count as another weekday; `None`: closed, no weekly span starts on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holiday {
    pub from: Date,
    pub to: Date,
    pub as_day: Option<Weekday>,
    /// What people call it.
    pub why: Option<String>,
}

impl Span {
    /// Whether it starts on this date, which counts as `weekday`, or as none.
    #[must_use]
    pub fn starts_on(&self, date: Date, weekday: Option<Weekday>) -> bool {
        match &self.days {
            Days::Week(days) => weekday.is_some_and(|weekday| days.contains(&weekday)),
            Days::Dates(dates) => dates.iter().any(|(from, to)| (*from..=*to).contains(&date)),
        }
    }
}

impl WindowGoal {
    pub const ALL: [Self; 3] = [Self::Compact, Self::Spread, Self::Hold];

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|goal| goal.as_str() == name)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Spread => "spread",
            Self::Hold => "hold",
        }
    }
}

impl fmt::Display for WindowGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
