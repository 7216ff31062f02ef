use super::*;
use crate::text::parse;
use jiff::{Timestamp, Zoned};
use proptest::prelude::*;

/// The calendar of these lines.
fn calendar(text: &str) -> Schedule {
    parse(text).unwrap_or_else(|error| panic!("{}", error.render("calendar", text))).schedule
}

/// `2026-03-29 09:00 open spread until 2026-03-29 19:45, next open 2026-03-30 09:00 up by 2026-03-30 08:30`
fn shown(schedule: &Schedule, at: &str) -> String {
    let clock =
        |at: Timestamp| at.to_zoned(schedule.zone.rules().clone()).strftime("%m-%d %H:%M %Z").to_string();
    let moment = schedule.at(instant(schedule, at));
    let mut line = format!("{} {}", moment.window.map_or("-", |window| &window.name), moment.goal);
    if let Some(until) = moment.until {
        line += &format!(" until {}", clock(until));
    }
    if let Some(next) = moment.next_opening {
        line += &format!(", {} opens {}, up by {}", next.window.name, clock(next.opens), clock(next.up_by));
    }
    line
}

fn instant(schedule: &Schedule, at: &str) -> Timestamp {
    let at: jiff::civil::DateTime = at.parse().expect("a civil time");
    at.to_zoned(schedule.zone.rules().clone()).expect("in range").timestamp()
}

fn check(text: &str, cases: &[(&str, &str)]) {
    let schedule = calendar(text);
    for (at, expected) in cases {
        assert_eq!(&shown(&schedule, at), expected, "at {at}");
    }
}

#[test]
fn the_labs_week() {
    check(
        "cluster x zone=Europe/Rome
         window open Mon-Fri 09:00-19:45, Sat 09:00-13:45 goal=spread up-by=-30m",
        &[
            (
                "2026-11-23T08:59",
                "- compact until 11-23 09:00 CET, open opens 11-23 09:00 CET, up by 11-23 08:30 CET",
            ),
            (
                "2026-11-23T09:00",
                "open spread until 11-23 19:45 CET, open opens 11-24 09:00 CET, up by 11-24 08:30 CET",
            ),
            (
                "2026-11-28T13:45",
                "- compact until 11-30 09:00 CET, open opens 11-30 09:00 CET, up by 11-30 08:30 CET",
            ),
        ],
    );
}

#[test]
fn without_windows_it_is_compact_for_ever() {
    check("", &[("2026-11-23T08:59", "- compact")]);
}

#[test]
fn the_later_line_wins_and_what_it_covers_resumes() {
    check(
        "window open Mon-Fri 09:00-18:00 up-by=-30m
         window lunch Mon-Fri 12:00-13:00 goal=compact
         window exam Tue 12:30-14:00 goal=hold",
        &[
            (
                "2026-11-23T11:00",
                "open spread until 11-23 12:00 UTC, open opens 11-23 13:00 UTC, up by 11-23 12:30 UTC",
            ),
            (
                "2026-11-24T12:00",
                "lunch compact until 11-24 12:30 UTC, open opens 11-24 14:00 UTC, up by 11-24 13:30 UTC",
            ),
            (
                "2026-11-24T13:30",
                "exam hold until 11-24 14:00 UTC, open opens 11-24 14:00 UTC, up by 11-24 13:30 UTC",
            ),
        ],
    );
}

#[test]
fn the_opening_that_needs_hosts_first_is_the_next() {
    check(
        "window early Mon 06:00-07:00
         window late Mon 08:00-09:00 up-by=-3h",
        &[(
            "2026-11-23T00:00",
            "- compact until 11-23 06:00 UTC, late opens 11-23 08:00 UTC, up by 11-23 05:00 UTC",
        )],
    );
}

#[test]
fn a_window_crosses_midnight_and_one_round_the_clock_never_ends() {
    check(
        "window night Fri 22:00-06:00",
        &[(
            "2026-11-28T05:59",
            "night spread until 11-28 06:00 UTC, night opens 12-04 22:00 UTC, up by 12-04 22:00 UTC",
        )],
    );
    check("window always Mon-Sun 00:00-00:00", &[("2026-11-28T05:59", "always spread")]);
}

#[test]
fn a_span_of_a_date_opens_once_and_also_on_a_holiday() {
    check(
        "cluster x zone=Europe/Rome
         window open Mon-Fri 09:00-18:00
         window exam 2026-11-29 08:00-14:00, 2026-12-25..2026-12-26 22:00-02:00 up-by=-30m
         holiday 2026-12-25, 2026-12-26 why=Christmas",
        &[
            (
                "2026-11-28T20:00",
                "- compact until 11-29 08:00 CET, exam opens 11-29 08:00 CET, up by 11-29 07:30 CET",
            ),
            (
                "2026-11-29T08:00",
                "exam spread until 11-29 14:00 CET, open opens 11-30 09:00 CET, up by 11-30 09:00 CET",
            ),
            // The Sunday after is as any other.
            (
                "2026-12-06T08:00",
                "- compact until 12-07 09:00 CET, open opens 12-07 09:00 CET, up by 12-07 09:00 CET",
            ),
            (
                "2026-12-25T12:00",
                "- compact until 12-25 22:00 CET, exam opens 12-25 22:00 CET, up by 12-25 21:30 CET",
            ),
            (
                "2026-12-27T01:00",
                "exam spread until 12-27 02:00 CET, open opens 12-28 09:00 CET, up by 12-28 09:00 CET",
            ),
        ],
    );
}

#[test]
fn a_span_of_a_date_in_the_night_that_clocks_change() {
    // 02:00 is skipped on March 29 and comes twice on October 25.
    check(
        "cluster x zone=Europe/Rome
         window exam 2026-03-29, 2026-10-25 02:30-08:00 up-by=-1h",
        &[
            (
                "2026-03-28T23:00",
                "- compact until 03-29 03:00 CEST, exam opens 03-29 03:00 CEST, up by 03-29 01:00 CET",
            ),
            (
                "2026-10-24T23:00",
                "- compact until 10-25 02:30 CEST, exam opens 10-25 02:30 CEST, up by 10-25 01:30 CEST",
            ),
        ],
    );
}

#[test]
fn holidays_close_the_day_or_make_it_another() {
    check(
        "window open Mon-Fri 09:00-18:00, Sun 10:00-12:00
         window night Thu 22:00-06:00 goal=hold
         holiday 2026-12-25..2027-01-06
         holiday 2026-12-28 as=Sun
         holiday 2026-12-30, 2026-12-31 as=Mon",
        &[
            // The night that began before the holiday runs to its end.
            (
                "2026-12-25T01:00",
                "night hold until 12-25 06:00 UTC, open opens 12-28 10:00 UTC, up by 12-28 10:00 UTC",
            ),
            (
                "2026-12-25T09:30",
                "- compact until 12-28 10:00 UTC, open opens 12-28 10:00 UTC, up by 12-28 10:00 UTC",
            ),
            (
                "2026-12-28T12:00",
                "- compact until 12-30 09:00 UTC, open opens 12-30 09:00 UTC, up by 12-30 09:00 UTC",
            ),
            // A Thursday that counts as a Monday has no night.
            (
                "2026-12-31T23:00",
                "- compact until 01-07 09:00 UTC, open opens 01-07 09:00 UTC, up by 01-07 09:00 UTC",
            ),
        ],
    );
}

#[test]
fn an_opening_beyond_the_near_look_is_found_and_one_beyond_the_far_look_is_not() {
    let closed = |to: &str| format!("window open Mon-Fri 09:00-18:00 up-by=-30m\nholiday 2026-11-24..{to}");
    check(
        &closed("2027-09-30"),
        &[(
            "2026-11-24T12:00",
            "- compact until 10-01 09:00 UTC, open opens 10-01 09:00 UTC, up by 10-01 08:30 UTC",
        )],
    );
    check(&closed("2028-09-30"), &[("2026-11-24T12:00", "- compact")]);
}

#[test]
fn the_clock_jumps_forward_under_a_window() {
    let rome = |spans: &str| format!("cluster x zone=Europe/Rome\nwindow w {spans} up-by=-30m");
    // 02:00 to 03:00 does not exist on 29 March 2026.
    check(
        &rome("Sun 02:30-05:00"),
        &[(
            "2026-03-29T01:59",
            "- compact until 03-29 03:00 CEST, w opens 03-29 03:00 CEST, up by 03-29 01:30 CET",
        )],
    );
    check(
        &rome("Sun 02:15-02:45"),
        &[(
            "2026-03-29T03:29",
            "w spread until 03-29 03:30 CEST, w opens 04-05 02:15 CEST, up by 04-05 01:45 CEST",
        )],
    );
    check(
        &rome("Sat 22:00-06:00"),
        &[(
            "2026-03-29T00:00",
            "w spread until 03-29 06:00 CEST, w opens 04-04 22:00 CEST, up by 04-04 21:30 CEST",
        )],
    );
    // 02:00 to 03:00 comes twice on 25 October 2026: the first counts.
    check(
        &rome("Sun 02:30-05:00"),
        &[(
            "2026-10-25T01:59",
            "- compact until 10-25 02:30 CEST, w opens 10-25 02:30 CEST, up by 10-25 02:00 CEST",
        )],
    );
}

#[test]
fn a_day_that_an_island_left_out_has_no_window() {
    let apia = calendar("cluster x zone=Pacific/Apia\nwindow w 09:00-10:00");
    let days: Vec<String> = apia
        .occurrences(instant(&apia, "2011-12-29T00:00"), 3)
        .iter()
        .map(|o| o.start.to_zoned(apia.zone.rules().clone()).strftime("%m-%d %H:%M").to_string())
        .collect();
    assert_eq!(days, ["12-29 09:00", "12-31 09:00", "01-01 09:00"]);
}

/// Faults paper, T02: each window opens and closes exactly once, 10 years in five zones that change their clocks.
#[test]
fn every_span_opens_and_closes_once_on_each_of_its_days() {
    let zones =
        ["Europe/Rome", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo"];
    let spans = [
        "22:00-06:00",
        "02:30-03:10",
        "02:15-02:45",
        "01:30-02:30",
        "03:20-02:40",
        "00:00-00:00",
        "00:30-23:30",
    ];
    for zone in zones {
        for hours in spans {
            let schedule = calendar(&format!("cluster x zone={zone}\nwindow w {hours}"));
            let from: Zoned = "2026-01-01T12:00"
                .parse::<jiff::civil::DateTime>()
                .expect("valid")
                .to_zoned(schedule.zone.rules().clone())
                .expect("valid");
            let days = (from.date().saturating_add(jiff::Span::new().years(10)) - from.date()).get_days();
            let found = schedule.occurrences(from.timestamp(), u32::try_from(days).expect("positive"));
            let mut date = found[0].start.to_zoned(schedule.zone.rules().clone()).date();
            for pair in found.windows(2) {
                let (this, next) = (pair[0], pair[1]);
                assert!(this.start < this.end && this.end <= next.start, "{zone} {hours}: {this:?} {next:?}");
                let next = next.start.to_zoned(schedule.zone.rules().clone()).date();
                assert_eq!(date.tomorrow().ok(), Some(next), "{zone} {hours}");
                date = next;
            }
            assert!((days..=days + 1).contains(&i32::try_from(found.len()).expect("few")), "{zone} {hours}");
        }
    }
}

#[test]
fn walking_from_change_to_change_meets_each_opening_of_two_years() {
    let schedule = calendar("cluster x zone=Europe/Rome\nwindow w Mon-Sun 02:30-03:10");
    let end = instant(&schedule, "2028-01-01T00:00");
    let mut now = instant(&schedule, "2026-01-01T00:00");
    let (mut opened, mut closed) = (0, 0);
    while let Some(next) = schedule.at(now).until.filter(|next| *next < end) {
        now = next;
        *(if schedule.at(now).window.is_some() { &mut opened } else { &mut closed }) += 1;
    }
    assert_eq!((opened, closed), (730, 730));
}

#[test]
fn the_ends_of_time_do_no_harm() {
    let schedule = calendar("cluster x zone=Europe/Rome\nwindow w Mon-Sun 22:00-06:00 up-by=-1d");
    for at in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let moment = schedule.at(at);
        assert_eq!(moment.goal == WindowGoal::Spread, moment.window.is_some());
        assert!(schedule.occurrences(at, u32::MAX).is_sorted());
    }
}

fn arb_calendar() -> impl Strategy<Value = String> {
    let day = prop::sample::select(vec!["Mon", "Tue-Thu", "Fri-Mon", "Sun", "Mon-Sun"]);
    let window =
        (day, 0..24u8, 0..4u8, 0..24u8, 0..4u8, prop::sample::select(vec!["spread", "compact", "hold"]))
            .prop_map(|(day, h1, m1, h2, m2, goal)| {
                format!("{day} {h1:02}:{:02}-{h2:02}:{:02} goal={goal}", m1 * 15, m2 * 15)
            });
    let window =
        prop_oneof![4 => window, 1 => Just("2026-03-28..2026-03-30, 2026-10-25 02:15-04:45".to_owned())];
    let zone = prop::sample::select(vec!["UTC", "Europe/Rome", "America/Santiago"]);
    (zone, prop::collection::vec(window, 0..5)).prop_map(|(zone, windows)| {
        let lines = windows.iter().enumerate().map(|(index, window)| format!("window w{index} {window}\n"));
        format!("cluster x zone={zone}\n{}holiday 2026-03-30, 2026-10-24 as=Sun\n", lines.collect::<String>())
    })
}

proptest! {
    /// The window in force is the latest line that is open; it stays so until `until` and no longer.
    #[test]
    fn a_moment_agrees_with_the_occurrences(text in arb_calendar(), hour in 0..(40 * 24i64), spring in any::<bool>()) {
        let schedule = calendar(&text);
        let base = instant(&schedule, if spring { "2026-03-10T00:00" } else { "2026-10-05T00:00" });
        let now = base + jiff::SignedDuration::from_mins(hour * 60 + 7);
        let in_force = |at: Timestamp| {
            let open = schedule.occurrences(at, 1).into_iter().filter(|o| o.start <= at && at < o.end);
            open.map(|o| o.window).max().map(|index| &schedule.windows[index])
        };
        let moment = schedule.at(now);
        prop_assert_eq!(moment.window, in_force(now));
        if let Some(until) = moment.until {
            prop_assert!(until > now);
            prop_assert_ne!(in_force(until), moment.window);
            let mut between = now;
            while between < until {
                prop_assert_eq!(in_force(between), moment.window);
                between += jiff::SignedDuration::from_mins(45);
            }
        }
        if let Some(next) = moment.next_opening {
            prop_assert!(next.opens > now && in_force(next.opens) == Some(next.window));
        }
    }
}
