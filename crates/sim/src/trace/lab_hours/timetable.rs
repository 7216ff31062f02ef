//! When the house is open, and which hours of the week are lectures.

use super::{Chance, Stream};
use jiff::civil::{Date, Weekday};
use std::ops::Range;

/// Minutes of the day at which lectures begin; each lasts two hours.
const LECTURES: [u32; 4] = [9 * 60, 11 * 60, 14 * 60, 16 * 60];
pub(super) const LECTURE_MINUTES: u32 = 120;
const WEEKDAYS: usize = 5;
/// So many of the 20 places in the week are taken: a little more than half, as in a lab that is shared.
const TAKEN: std::ops::RangeInclusive<u32> = 11..=13;
/// So many of the hundred seats a course fills.
const SEATS: std::ops::RangeInclusive<u32> = 40..=95;

/// The lectures of a half-year: the same in each of its weeks, so that a forecast has something to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timetable {
    /// By weekday from Monday and place of the day: percent of the seats.
    seats: [[Option<u32>; LECTURES.len()]; WEEKDAYS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lecture {
    /// Minute of the day.
    pub(super) from: u32,
    /// Percent of the PCs in use.
    pub(super) seats: u32,
}

impl Timetable {
    /// The one in force on this day.
    pub(super) fn of(seed: u64, date: Date) -> Self {
        let half_year = u32::from(date.year().unsigned_abs()) * 2 + u32::from(date.month() > 6);
        let mut chance = Chance::of(seed, Stream::Timetable { half_year });
        let mut places: Vec<(usize, usize)> =
            (0..WEEKDAYS).flat_map(|day| (0..LECTURES.len()).map(move |place| (day, place))).collect();
        let mut seats = [[None; LECTURES.len()]; WEEKDAYS];
        for _ in 0..chance.within(TAKEN) {
            let count = u32::try_from(places.len()).expect("20 at most");
            let (day, place) = places.swap_remove(chance.below(count) as usize);
            seats[day][place] = Some(chance.within(SEATS));
        }
        Self { seats }
    }

    pub(super) fn lectures(&self, date: Date) -> impl Iterator<Item = Lecture> {
        let day = self.seats.get(weekday(date)).copied().unwrap_or_default();
        LECTURES.into_iter().zip(day).filter_map(|(from, seats)| Some(Lecture { from, seats: seats? }))
    }
}

/// The minutes of the day at which the doors are open.
pub(super) fn open(date: Date) -> Range<u32> {
    match date.weekday() {
        Weekday::Sunday => 0..0,
        Weekday::Saturday => 9 * 60..13 * 60 + 45,
        _ => 9 * 60..19 * 60 + 45,
    }
}

fn weekday(date: Date) -> usize {
    date.weekday().to_monday_zero_offset().unsigned_abs().into()
}
