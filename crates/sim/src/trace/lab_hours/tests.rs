use super::people::Visit;
use super::{DAY_MINUTES, LabHours, Session, vms_of};
use crate::trace::{Trace, TraceVm};
use dormouse_model::text::parse;
use expect_test::expect;
use jiff::civil::{Date, date};
use proptest::prelude::*;

/// A Monday in term.
const MONDAY: Date = date(2026, 1, 12);

fn lab(seed: u64, start: Date, days: u32) -> LabHours {
    LabHours { start, days, exams: vec![], seed }
}

fn pcs(count: usize) -> Vec<TraceVm> {
    let text =
        format!("cluster t\nhost h[1-{count}] cpus=2 mem=2G\nvm pc[1-{count}]@h[1-{count}] vcpus=1 mem=256M");
    vms_of(&parse(&text).unwrap())
}

/// All that VMs ask for over a day, in core-hours.
fn core_hours(trace: &Trace) -> u64 {
    (0..trace.steps()).map(|step| trace.demand(step).0).sum::<u64>() / 12_000
}

fn seat_minutes(sessions: &[Session]) -> u32 {
    let sits = |session: &&Session| session.visit != Visit::Remote;
    sessions.iter().filter(sits).map(|session| session.to - session.from).sum()
}

fn hour_by_hour(trace: &Trace) -> String {
    let mean = |hour: usize| -> u64 {
        let steps = hour * 12..(hour + 1) * 12;
        steps.map(|step| trace.shares(step).iter().map(|share| u64::from(*share)).sum::<u64>()).sum::<u64>()
            / (12 * trace.vms.len() as u64)
    };
    let cells: Vec<String> = (0..24).map(|hour| format!("{}", mean(hour))).collect();
    cells.join(" ") + "\n"
}

/// Pins what a seed gives, for all versions and machines. Thousandths of the capacity, hour by hour.
#[test]
fn a_week_looks_like_a_lab() {
    let week = lab(7, MONDAY, 7).trace(pcs(62));
    let shown: String = week
        .days()
        .map(|day| day.name.split(' ').nth(1).unwrap().to_owned() + ": " + &hour_by_hour(&day))
        .collect();
    expect![[r#"
        Mon: 18 18 18 21 18 18 18 18 24 149 128 170 140 56 75 87 221 198 47 51 22 19 18 22
        Tue: 18 18 18 18 18 18 18 18 18 57 81 219 175 50 206 161 53 54 61 50 24 27 19 30
        Wed: 18 18 18 18 18 22 19 18 29 43 57 72 75 58 74 72 136 112 46 63 27 18 18 18
        Thu: 20 24 18 23 18 20 22 22 35 237 191 158 137 45 230 189 35 61 73 56 31 27 23 18
        Fri: 24 39 34 28 21 28 29 27 33 167 141 247 204 49 56 64 119 92 37 43 18 18 21 29
        Sat: 18 19 19 18 18 18 19 18 18 28 30 28 28 46 20 18 19 18 18 18 30 44 35 22
        Sun: 30 25 18 18 23 23 22 18 18 18 18 18 18 24 18 19 29 18 18 18 18 21 23 18
    "#]]
    .assert_eq(&shown);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others(seed: u64) {
        let csv = |seed| lab(seed, MONDAY, 2).trace(pcs(8)).to_csv();
        prop_assert_eq!(csv(seed), csv(seed));
        prop_assert_ne!(csv(seed), csv(seed ^ 1));
    }

    #[test]
    fn a_day_does_not_depend_on_the_days_around_it(seed: u64, from in 0i32..5) {
        let week: Vec<Trace> = lab(seed, MONDAY, 7).trace(pcs(8)).days().collect();
        let start = MONDAY + jiff::Span::new().days(from);
        let days = lab(seed, start, 2).trace(pcs(8));
        for (day, of_week) in days.days().zip(&week[usize::try_from(from).unwrap()..]) {
            prop_assert!((0..288).all(|step| day.shares(step) == of_week.shares(step)));
        }
    }

    #[test]
    fn weekends_are_quieter_and_on_sundays_nobody_comes(seed: u64) {
        let week = lab(seed, MONDAY, 7);
        let hours: Vec<u64> = week.trace(pcs(62)).days().map(|day| core_hours(&day)).collect();
        prop_assert!(hours[5].max(hours[6]) < hours[..5].iter().sum::<u64>() / 5, "{:?}", hours);
        let sessions = week.sessions(62);
        let seats = |day: u32| {
            let of_day = |session: &&Session| session.from / DAY_MINUTES == day;
            seat_minutes(&sessions.iter().filter(of_day).copied().collect::<Vec<_>>())
        };
        prop_assert!(seats(6) == 0 && seats(5) > 0);
        prop_assert!((0..5).all(|day| seats(5) < seats(day)));
    }

    #[test]
    fn exam_weeks_are_fuller_than_any_week_of_term(seed: u64) {
        let mut week = lab(seed, MONDAY, 7);
        let term = week.sessions(62);
        week.exams = vec![MONDAY..=date(2026, 1, 18)];
        let exams = week.sessions(62);
        prop_assert!(seat_minutes(&exams) * 10 > seat_minutes(&term) * 12);
        prop_assert!(exams.iter().all(|session| session.visit != Visit::Lecture));
    }

    #[test]
    fn nobody_sits_there_while_the_house_is_closed(seed: u64) {
        for session in lab(seed, MONDAY, 7).sessions(20) {
            let (day, from, to) = (session.from / DAY_MINUTES, session.from % DAY_MINUTES, session.to % DAY_MINUTES);
            prop_assert!(session.from < session.to && session.to <= (day + 1) * DAY_MINUTES);
            if session.visit != Visit::Remote {
                let closing = if day == 5 { 13 * 60 + 45 } else { 19 * 60 + 45 };
                // A class is let in early.
                prop_assert!(from >= 9 * 60 - 10 && to <= closing && day != 6, "{:?}", session);
            }
        }
    }

    #[test]
    fn two_people_never_sit_at_one_pc(seed: u64) {
        let mut sessions = lab(seed, MONDAY, 6).sessions(12);
        sessions.retain(|session| session.visit != Visit::Remote);
        sessions.sort_by_key(|session| (session.vm, session.from));
        for pair in sessions.windows(2) {
            prop_assert!(pair[0].vm != pair[1].vm || pair[0].to <= pair[1].from, "{:?}", pair);
        }
    }

    #[test]
    fn what_is_asked_for_stays_in_bounds(seed: u64) {
        let week = lab(seed, MONDAY, 7).trace(pcs(20));
        prop_assert!((0..week.steps()).all(|step| week.shares(step).iter().all(|share| (10..=1000).contains(share))));
        // Of a term week's 20 x 168 core-hours the idle PCs alone take 1 to 3 %, and people far less than half.
        let hours: u64 = week.days().map(|day| core_hours(&day)).sum();
        prop_assert!((33..1000).contains(&hours), "{}", hours);
    }
}

#[test]
fn a_lab_of_nothing_is_empty_and_a_long_one_is_cut() {
    assert_eq!(lab(1, MONDAY, 0).trace(pcs(2)).steps(), 0);
    assert_eq!(lab(1, MONDAY, 3).trace(vec![]).steps(), 0);
    assert_eq!(lab(1, Date::MAX, 3).trace(pcs(1)).steps(), 288);
    assert_eq!(lab(1, MONDAY, u32::MAX).trace(pcs(1)).steps(), 366 * 288);
}
