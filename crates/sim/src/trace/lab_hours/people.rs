//! Who comes on one day, and how long they stay.

use super::timetable::{LECTURE_MINUTES, Lecture, Timetable, open};
use super::{Chance, DAY_MINUTES, STEP_MINUTES};
use jiff::civil::{Date, Weekday};
use std::ops::RangeInclusive;

/// One person using one VM. A VM may have one who sits there and one who is far away at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Place in the list of VMs.
    pub vm: usize,
    /// Minutes since the midnight that the lab begins with. A session ends on the day it begins on.
    pub from: u32,
    pub to: u32,
    pub visit: Visit,
    /// What it asks for on average, in thousandths of the VM's capacity.
    pub mean: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    Lecture,
    /// Somebody sits down at a free PC.
    WalkIn,
    /// By ssh, at any hour.
    Remote,
}

/// A class comes so early at most, and so late.
const EARLY: u32 = 10;
const LATE: u32 = 10;
/// How long people stay, in minutes, each as likely as the others; 63 on average.
const STAYS: [u32; 6] = [15, 25, 40, 60, 90, 150];
/// The day's turnout, in percent of the usual.
const TURNOUT: RangeInclusive<u32> = 70..=130;

/// Chances in ten thousand that somebody sits down at a free PC within five minutes.
/// In term 380 fills a third of the seats at noon; with exams 4000 fills four in five.
const BY_DAY: u32 = 380;
const IN_THE_EVENING: u32 = 220;
const ON_SATURDAY: u32 = 100;
const EXAMS_BY_DAY: u32 = 4000;
const EXAMS_ON_SATURDAY: u32 = 1200;
/// About one login from afar for each seven VMs and day.
const REMOTE: u32 = 5;
const EVENING: u32 = 17 * 60;

const fn means(visit: Visit) -> RangeInclusive<u32> {
    match visit {
        Visit::Lecture => 120..=350,
        Visit::WalkIn => 60..=250,
        // Who logs in at night has something to compute.
        Visit::Remote => 200..=900,
    }
}

/// The sessions of a day that begins `midnight` minutes after the lab does.
pub(super) fn day(
    midnight: u32,
    date: Date,
    timetable: &Timetable,
    exams: bool,
    vms: usize,
    chance: &mut Chance,
) -> Vec<Session> {
    let lectures: Vec<Lecture> = if exams { vec![] } else { timetable.lectures(date).collect() };
    let turnout = chance.within(TURNOUT);
    let mut sessions = vec![];
    for vm in 0..vms {
        let mut stay = |from: u32, to: u32, visit: Visit, chance: &mut Chance| {
            let mean = chance.within(means(visit));
            sessions.push(Session { vm, from: midnight + from, to: midnight + to, visit, mean });
        };
        let mut free_from = 0;
        for step in 0..DAY_MINUTES / STEP_MINUTES {
            let minute = step * STEP_MINUTES;
            if let Some(lecture) = lectures.iter().find(|lecture| lecture.from - EARLY == minute)
                && chance.below(100) < lecture.seats
            {
                let from = minute + chance.below(EARLY + LATE);
                let to = lecture.from + LECTURE_MINUTES - EARLY - chance.below(EARLY);
                stay(from, to, Visit::Lecture, chance);
            } else if minute >= free_from && chance.hits(rate(date, minute, exams) * turnout / 100) {
                let from = minute + chance.below(STEP_MINUTES);
                if let Some(until) = until(date, &lectures, from) {
                    let to = until.min(from + stays(chance));
                    stay(from, to, Visit::WalkIn, chance);
                    free_from = to;
                }
            }
            if chance.hits(REMOTE) {
                let to = (minute + stays(chance)).min(DAY_MINUTES);
                stay(minute, to, Visit::Remote, chance);
            }
        }
    }
    sessions
}

fn stays(chance: &mut Chance) -> u32 {
    let which = chance.below(u32::try_from(STAYS.len()).expect("a few")) as usize;
    STAYS[which] + chance.below(STEP_MINUTES)
}

fn rate(date: Date, minute: u32, exams: bool) -> u32 {
    match (open(date).contains(&minute), date.weekday(), exams) {
        (false, ..) => 0,
        (_, Weekday::Saturday, false) => ON_SATURDAY,
        (_, Weekday::Saturday, true) => EXAMS_ON_SATURDAY,
        (_, _, true) => EXAMS_BY_DAY,
        (_, _, false) if minute >= EVENING => IN_THE_EVENING,
        _ => BY_DAY,
    }
}

/// Until when somebody who sits down now may stay: the next lecture or closing. None while a lecture holds the room.
fn until(date: Date, lectures: &[Lecture], now: u32) -> Option<u32> {
    let held = |lecture: &Lecture| (lecture.from - EARLY..lecture.from + LECTURE_MINUTES).contains(&now);
    if lectures.iter().any(held) {
        return None;
    }
    let next = lectures.iter().map(|lecture| lecture.from - EARLY).filter(|from| *from > now).min();
    Some(next.unwrap_or(u32::MAX).min(open(date).end)).filter(|until| *until > now)
}
