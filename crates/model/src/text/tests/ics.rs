//! Calendars of other programs in, events or the refused line out.

use crate::schedule::Zone;
use crate::text::ics::{Event, When, parse};
use expect_test::{Expect, expect};
use jiff::civil::{Date, date};
use proptest::prelude::*;

const FROM: Date = date(2026, 11, 23);
const UNTIL: Date = date(2028, 12, 31);

fn rome() -> Zone {
    Zone::named("Europe/Rome").expect("known")
}

/// The lines of one event in a calendar, or of several with `BEGIN:VEVENT` between them.
fn calendar(event: &str) -> String {
    let lines = event.lines().map(|line| format!("{line}\r\n"));
    let event: String = lines.collect();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{event}END:VEVENT\r\nEND:VCALENDAR\r\n")
}

fn check(event: &str, expected: Expect) {
    let text = calendar(event);
    let shown = match parse(&text, &rome(), FROM, UNTIL) {
        Ok(events) => events.iter().map(shown).collect::<Vec<_>>().join("\n"),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

fn shown(event: &Event) -> String {
    let when = match event.when {
        When::Days { from, to } => format!("{from}..{to}"),
        When::Hours { start, end } => format!("{start} - {end}"),
    };
    format!("{when} {}", event.summary.as_deref().unwrap_or("-"))
}

#[test]
fn whole_days_and_hours() {
    check("DTSTART;VALUE=DATE:20261225\nSUMMARY:Christmas", expect!["2026-12-25..2026-12-25 Christmas"]);
    // The end of whole days is the first day behind them.
    check(
        "DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20270107\nSUMMARY:Winter\\, and\n\u{20} more",
        expect!["2026-12-24..2027-01-06 Winter, and more"],
    );
    check(
        "DTSTART:20261129T080000\nDTEND:20261129T140000\nSUMMARY:Exam",
        expect!["2026-11-29T08:00:00 - 2026-11-29T14:00:00 Exam"],
    );
    // In UTC and in New York: told in the zone of the cluster.
    check(
        "DTSTART:20261129T070000Z\nDTEND;TZID=America/New_York:20261129T080000",
        expect!["2026-11-29T08:00:00 - 2026-11-29T14:00:00 -"],
    );
    check("DTSTART;VALUE=DATE:20251225\nSUMMARY:over", expect![""]);
    check("DTSTART;VALUE=DATE:20261225\nSTATUS:CANCELLED", expect![""]);
}

#[test]
fn every_year() {
    check(
        "DTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY\nSUMMARY:Christmas",
        expect![[r#"
            2026-12-25..2026-12-25 Christmas
            2027-12-25..2027-12-25 Christmas
            2028-12-25..2028-12-25 Christmas"#]],
    );
    check("DTSTART;VALUE=DATE:20240229\nRRULE:FREQ=YEARLY", expect!["2028-02-29..2028-02-29 -"]);
    check(
        "DTSTART:20251001T080000\nDTEND:20251001T100000\nRRULE:FREQ=YEARLY;COUNT=3",
        expect!["2027-10-01T08:00:00 - 2027-10-01T10:00:00 -"],
    );
    check(
        "DTSTART;VALUE=DATE:20000101\nRRULE:FREQ=YEARLY;UNTIL=20270101T000000Z",
        expect!["2027-01-01..2027-01-01 -"],
    );
    check("DTSTART;VALUE=DATE:20250101\nRRULE:FREQ=YEARLY;INTERVAL=2", expect!["2027-01-01..2027-01-01 -"]);
}

#[test]
fn what_is_not_read_is_refused_at_its_line() {
    check("SUMMARY:no day", expect!["3:1: this event has no DTSTART"]);
    check(
        "DTSTART;VALUE=DATE:20261301",
        expect!["4:1: `20261301` is no day and no time; like 20261225, or 20261129T080000"],
    );
    check(
        "DTSTART:20261129T080000",
        expect!["3:1: this event has no DTEND; hours need an end; DURATION is not read"],
    );
    check("DTSTART:20261129T080000\nDTEND:20261129T080000", expect!["3:1: this event ends before it begins"]);
    check(
        "DTSTART:20261129T080000\nDTEND:20261130",
        expect!["3:1: one end of this event is a day, the other a time of day"],
    );
    check(
        "DTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20290101",
        expect!["3:1: this event lasts longer than 400 days"],
    );
    check(
        "DTSTART;TZID=W. Europe Standard Time:20261129T080000",
        expect![
            "4:1: no time zone is called `W. Europe Standard Time`; names like Europe/Rome are known; export the calendar in UTC or with such a name"
        ],
    );
    check(
        "DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=MONTHLY",
        expect![
            "5:1: this repetition is not read: `FREQ=MONTHLY`; only FREQ=YEARLY is; hours of every week are a `window` line of the cluster text"
        ],
    );
    check(
        "DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=YEARLY;BYDAY=4TH",
        expect![
            "5:1: this repetition is not read: `BYDAY=4TH`; only FREQ=YEARLY is; hours of every week are a `window` line of the cluster text"
        ],
    );
    check(
        "DTSTART;VALUE=DATE:20261225\nEXDATE:20261225",
        expect![
            "5:1: EXDATE is not read: this event comes on days of its own; export the single events, or take it out and enter its dates by hand"
        ],
    );
    check("DTSTART;VALUE=DATE:20261225\nDTSTART:20261226", expect!["5:1: a second DTSTART in one event"]);
    check("BEGIN:VEVENT", expect!["4:1: an event within an event"]);
    check(
        "no colon",
        expect![
            "4:1: this line has no `:`; a line is NAME:value; what goes on from the line before begins with a blank"
        ],
    );
    let whole = |text: &str| parse(text, &rome(), FROM, UNTIL).expect_err("refused").to_string();
    expect!["1:1: there is no calendar in this file"].assert_eq(&whole("\n\n"));
    expect!["1:1: a calendar begins with BEGIN:VCALENDAR; is this an `.ics` file? other programs export one as iCalendar"]
        .assert_eq(&whole("<html>:"));
    expect!["2:1: `VEVENT` is not closed; was the file cut off?"]
        .assert_eq(&whole("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261225\n"));
    expect!["2:1: `VCALENDAR` is to be closed here"].assert_eq(&whole("BEGIN:VCALENDAR\nEND:VEVENT\n"));
    expect!["1:1: this calendar is larger than 4 MiB"].assert_eq(&whole(&" ".repeat((4 << 20) + 1)));
}

#[test]
fn what_stands_in_alarms_and_zones_says_nothing() {
    check(
        "DTSTART;VALUE=DATE:20261225\nBEGIN:VALARM\nDTSTART:19700101\nSUMMARY:get up\nEND:VALARM",
        expect!["2026-12-25..2026-12-25 -"],
    );
}

proptest! {
    /// Days that are written as an event are read as those days, whatever they are called.
    #[test]
    fn days_come_back(ahead in 0..700i32, long in 0..300i32, name in "[a-z\\\\,;:\"\u{20}\n]{0,40}") {
        use jiff::ToSpan as _;
        let from = FROM.checked_add(ahead.days()).expect("near");
        let to = from.checked_add(long.days()).expect("near");
        let compact = |date: Date| date.strftime("%Y%m%d").to_string();
        let escaped = name.replace('\\', "\\\\").replace(',', "\\,").replace(';', "\\;").replace('\n', "\\n");
        let text = calendar(&format!(
            "SUMMARY:{escaped}\nDTSTART;VALUE=DATE:{}\nDTEND;VALUE=DATE:{}",
            compact(from), compact(to.tomorrow().expect("near"))
        ));
        let events = parse(&text, &rome(), FROM, UNTIL).expect("reads");
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(events[0].when, When::Days { from, to });
        let words: Vec<&str> = name.split_whitespace().collect();
        prop_assert_eq!(events[0].summary.clone().unwrap_or_default(), words.join(" "));
    }

    /// Whatever comes is read or refused at a line that exists.
    #[test]
    fn no_text_does_harm(lines in prop::collection::vec("(BEGIN|END|DTSTART|DTEND|RRULE|SUMMARY|;|:|=|VEVENT|VCALENDAR|20261225|T0800|Z|[ -~é\t]){0,8}", 0..12)) {
        let text = format!("BEGIN:VCALENDAR\n{}", lines.join("\n"));
        match parse(&text, &rome(), FROM, UNTIL) {
            Ok(events) => prop_assert!(events.iter().all(|event| event.line as usize <= text.lines().count())),
            Err(error) => {
                prop_assert!(error.line as usize <= text.lines().count());
                prop_assert!(!error.render("x.ics", &text).is_empty());
            }
        }
    }
}
