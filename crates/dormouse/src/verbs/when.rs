//! Times and days as people say them: `Fri 22:00`, `tomorrow 6:30`, `in 2h`, beside the exact forms. What is said without a
//! date is the next such time from now on.

use dormouse_model::schedule::Schedule;
use dormouse_model::text;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{SignedDuration, Timestamp};

/// For hints.
pub(crate) const TIMES: &str = "write `Fri 22:00`, `tomorrow 6:30`, `22:00`, `in 2h`, or exactly like 2026-12-01T20:00 or 2026-12-01T19:00:00Z";
#[cfg(feature = "live")]
pub(crate) const DAYS: &str = "a day is `Sun`, `today`, `tomorrow` or like 2026-11-29";

const WEEK: [(&str, &str, Weekday); 7] = [
    ("mon", "monday", Weekday::Monday),
    ("tue", "tuesday", Weekday::Tuesday),
    ("wed", "wednesday", Weekday::Wednesday),
    ("thu", "thursday", Weekday::Thursday),
    ("fri", "friday", Weekday::Friday),
    ("sat", "saturday", Weekday::Saturday),
    ("sun", "sunday", Weekday::Sunday),
];

/// The instant meant, on the clocks of the schedule's zone. `None`: no such time.
pub(crate) fn time(said: &str, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    let zone = schedule.zone.rules();
    let at = |shown: DateTime| zone.to_timestamp(shown).ok();
    let said = said.trim();
    if said.eq_ignore_ascii_case("now") {
        return Some(now);
    }
    if let Some(span) = said.strip_prefix("in ") {
        let span = text::duration(span.trim())?;
        return now.checked_add(SignedDuration::from_millis(i64::try_from(span.0).ok()?)).ok();
    }
    // With an offset it is an instant by itself; without one it is what clocks there show.
    if let Ok(instant) = said.parse::<Timestamp>() {
        return Some(instant);
    }
    if let Ok(shown) = said.parse::<DateTime>() {
        return at(shown);
    }
    let shown_now = zone.to_datetime(now);
    let words: Vec<&str> = said.split_whitespace().collect();
    match words[..] {
        [hour] => {
            let clock = clock(hour)?;
            let date = shown_now.date();
            let date = if clock >= shown_now.time() { date } else { date.tomorrow().ok()? };
            at(date.to_datetime(clock))
        }
        [day_said, hour] => {
            let clock = clock(hour)?;
            let date = day(day_said, shown_now.date())?;
            let is_weekday = weekday(day_said).is_some();
            // Today's weekday at an hour that is over is that of next week.
            let over = is_weekday && date == shown_now.date() && clock < shown_now.time();
            let date = if over { date.checked_add(jiff::Span::new().days(7)).ok()? } else { date };
            at(date.to_datetime(clock))
        }
        _ => None,
    }
}

/// `Sun`, `today`, `tomorrow`, `2026-11-29`: the next such day, today included.
pub(crate) fn day(said: &str, today: Date) -> Option<Date> {
    match said.to_ascii_lowercase().as_str() {
        "today" => return Some(today),
        "tomorrow" => return today.tomorrow().ok(),
        _ => {}
    }
    if let Some(weekday) = weekday(said) {
        let ahead = (weekday.to_monday_zero_offset() - today.weekday().to_monday_zero_offset()).rem_euclid(7);
        return today.checked_add(jiff::Span::new().days(ahead)).ok();
    }
    (said.len() == 10).then(|| said.parse().ok()).flatten()
}

fn weekday(said: &str) -> Option<Weekday> {
    let said = said.to_ascii_lowercase();
    WEEK.iter().find(|(short, long, _)| said == *short || said == *long).map(|(.., day)| *day)
}

/// `6:30`, `22:00`.
fn clock(said: &str) -> Option<Time> {
    let (hour, minute) = said.split_once(':')?;
    let digits = |text: &str| !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    (digits(hour) && digits(minute) && minute.len() == 2).then_some(())?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let schedule = text::parse("cluster x zone=Europe/Rome").expect("a calendar").schedule;
        let now: Timestamp = "2026-11-25T20:15:00Z".parse().expect("a time");
        time(text, &schedule, now).map_or_else(
            || "none".to_owned(),
            |at| at.to_zoned(schedule.zone.rules().clone()).strftime("%a %m-%d %H:%M %Z").to_string(),
        )
    }

    #[test]
    fn times_as_people_say_them() {
        // Now it is Wed 21:15.
        for (text, expected) in [
            ("now", "Wed 11-25 21:15 CET"),
            ("in 2h", "Wed 11-25 23:15 CET"),
            ("in 90m", "Wed 11-25 22:45 CET"),
            ("22:00", "Wed 11-25 22:00 CET"),
            ("6:30", "Thu 11-26 06:30 CET"),
            ("today 6:30", "Wed 11-25 06:30 CET"),
            ("tomorrow 6:30", "Thu 11-26 06:30 CET"),
            ("Fri 22:00", "Fri 11-27 22:00 CET"),
            ("friday 22:00", "Fri 11-27 22:00 CET"),
            ("Wed 21:15", "Wed 11-25 21:15 CET"),
            ("Wed 21:14", "Wed 12-02 21:14 CET"),
            ("Tue 00:00", "Tue 12-01 00:00 CET"),
            ("2026-12-01 20:00", "Tue 12-01 20:00 CET"),
            ("2026-12-01T20:00", "Tue 12-01 20:00 CET"),
            ("2026-12-01T20:00:00Z", "Tue 12-01 21:00 CET"),
            ("2026-12-01T20:00:00-05:00", "Wed 12-02 02:00 CET"),
            ("2026-12-01", "Tue 12-01 00:00 CET"),
            // Skipped on the wall: as much later as it lies inside the gap.
            ("2027-03-28 02:30", "Sun 03-28 03:30 CEST"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "Fri",
            "Fri 24:00",
            "Fri 9",
            "Fry 9:00",
            "in",
            "in 2",
            "in -1h",
            "in 9999999999999999d",
            "2026-13-01T20:00",
            "9:5",
            "+9:00",
            "Fri 22:00 or so",
            "\u{1b}[2J",
            "99999-01-01 00:00",
        ] {
            let expected = if text == "in 2" { "Wed 11-25 21:15 CET" } else { "none" };
            assert_eq!(said(text), expected, "{text:?}");
        }
    }
}
