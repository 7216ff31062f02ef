//! Calendars in, drawings out.

use super::{days, draw, json};
use dormouse_model::schedule::Schedule;
use dormouse_model::text;
use expect_test::{Expect, expect};
use jiff::Timestamp;

fn calendar(text: &str) -> Schedule {
    text::parse(text).expect("a calendar").schedule
}

fn at(schedule: &Schedule, shown: &str) -> Timestamp {
    let shown: jiff::civil::DateTime = shown.parse().expect("a time");
    shown.to_zoned(schedule.zone.rules().clone()).expect("in range").timestamp()
}

fn check(text: &str, from: &str, count: u16, expected: Expect) {
    let schedule = calendar(text);
    let now = at(&schedule, from);
    let drawn = draw::draw(&schedule, &days::of(&schedule, now, count), now, draw::ASCII);
    let plain = anstream::adapter::strip_str(&drawn).to_string();
    assert!(plain.lines().take_while(|line| !line.is_empty()).all(|line| line.chars().count() <= 80));
    expected.assert_eq(&plain);
}

#[test]
fn the_labs_two_weeks_with_an_exam_on_sunday_and_a_holiday_on_monday() {
    check(
        "cluster lab zone=Europe/Rome
         window open Mon-Fri 09:00-19:45, Sat 09:00-13:45 up-by=-30m
         window lunch Mon-Fri 12:30-13:30 goal=hold
         window exam 2026-11-29 08:00-14:00 up-by=-45m
         holiday 2026-11-30 why=\"Saint Andrew's day, patron of fishermen\"
         holiday 2026-12-02 as=Sun",
        "2026-11-24T10:00",
        10,
        expect![[r#"
                         0     3     6     9     12    15    18    21    24
            > Tue 11-24  .................^#######~~#############........  09:00-19:45
              Wed 11-25  .................^#######~~#############........  09:00-19:45
              Thu 11-26  .................^#######~~#############........  09:00-19:45
              Fri 11-27  .................^#######~~#############........  09:00-19:45
              Sat 11-28  .................^##########....................  09:00-13:45
              Sun 11-29  ..............^.############....................  exam
              Mon 11-30  ................................................  Saint Andrew's >
              Tue 12-01  .................^#######~~#############........  09:00-19:45
              Wed 12-02  ................................................  holiday
              Thu 12-03  .................^#######~~#############........  09:00-19:45

              # open   ~ quiet: nothing is moved   . closed: hosts may sleep   ^ hosts up by

            Other than usual
              Sun 2026-11-29  exam 08:00-14:00, open
              Mon 2026-11-30  Saint Andrew's day, patron of fishermen: closed
              Wed 2026-12-02  holiday: as on a Sunday

            Now, Tue 2026-11-24 10:00: open (open) until Tue 2026-11-24 12:30.
            Next opening: open, Tue 2026-11-24 13:30, hosts up by 13:00.
            Waking begins before that, by as much as boots were measured to take.
        "#]],
    );
}

#[test]
fn the_nights_that_clocks_change() {
    let text = "cluster lab zone=Europe/Rome
         window night Sat-Sun 01:00-04:00
         window early Mon 02:00-02:30 goal=hold";
    check(
        text,
        "2026-03-28T12:00",
        3,
        expect![[r#"
                         0     3     6     9     12    15    18    21    24
            > Sat 03-28  ..######........................................  01:00-04:00
              Sun 03-29  ..##  ##........................................  23 h
              Mon 03-30  ....~...........................................

              # open   ~ quiet: nothing is moved   . closed: hosts may sleep   ^ hosts up by

            Other than usual
              Sun 2026-03-29  the clocks change: a day of 23 h

            Now, Sat 2026-03-28 12:00: closed (no window) until Sun 2026-03-29 01:00.
            Next opening: night, Sun 2026-03-29 01:00.
            Waking begins before that, by as much as boots were measured to take.
        "#]],
    );
    check(
        text,
        "2026-10-24T12:00",
        3,
        expect![[r#"
                         0     3     6     9     12    15    18    21    24
            > Sat 10-24  ..######........................................  01:00-04:00
              Sun 10-25  ..######........................................  25 h
              Mon 10-26  ....~...........................................

              # open   ~ quiet: nothing is moved   . closed: hosts may sleep   ^ hosts up by

            Other than usual
              Sun 2026-10-25  the clocks change: a day of 25 h

            Now, Sat 2026-10-24 12:00: closed (no window) until Sun 2026-10-25 01:00.
            Next opening: night, Sun 2026-10-25 01:00.
            Waking begins before that, by as much as boots were measured to take.
        "#]],
    );
}

#[test]
fn a_day_that_was_left_out_and_hours_across_midnight() {
    check(
        "cluster x zone=Pacific/Apia\nwindow w Mon-Sun 22:00-06:00 up-by=-3h",
        "2011-12-29T12:00",
        3,
        expect![[r#"
                         0     3     6     9     12    15    18    21    24
            > Thu 12-29  ############..........................^.....####  22:00-06:00
              Fri 12-30                                                    0 h
              Sat 12-31  ############..........................^.....####  22:00-06:00

              # open   ~ quiet: nothing is moved   . closed: hosts may sleep   ^ hosts up by

            Other than usual
              Fri 2011-12-30  the zone leaves this day out

            Now, Thu 2011-12-29 12:00: closed (no window) until Thu 2011-12-29 22:00.
            Next opening: w, Thu 2011-12-29 22:00, hosts up by 19:00.
            Waking begins before that, by as much as boots were measured to take.
        "#]],
    );
}

#[test]
fn days_for_programs() {
    let schedule = calendar(
        "cluster lab zone=Europe/Rome
         window night Sun 01:00-04:00 up-by=-2h
         holiday 2026-10-26 as=Sun why=later",
    );
    let now = at(&schedule, "2026-10-25T12:00");
    let document = json::Document::of(&schedule, &days::of(&schedule, now, 2), now);
    expect![[r#"
        {
          "zone": "Europe/Rome",
          "now": "2026-10-25T12:00:00+01:00",
          "goal": "compact",
          "window": null,
          "until": "2026-10-26T01:00:00+01:00",
          "next_opening": {
            "window": "night",
            "opens": "2026-10-26T01:00:00+01:00",
            "up_by": "2026-10-25T23:00:00+01:00"
          },
          "days": [
            {
              "date": "2026-10-25",
              "today": true,
              "minutes": 1500,
              "holiday": null,
              "parts": [
                {
                  "start": "2026-10-25T00:00:00+02:00",
                  "end": "2026-10-25T01:00:00+02:00",
                  "window": null,
                  "goal": "compact"
                },
                {
                  "start": "2026-10-25T01:00:00+02:00",
                  "end": "2026-10-25T04:00:00+01:00",
                  "window": "night",
                  "goal": "spread"
                },
                {
                  "start": "2026-10-25T04:00:00+01:00",
                  "end": "2026-10-26T00:00:00+01:00",
                  "window": null,
                  "goal": "compact"
                }
              ],
              "up_by": [
                "2026-10-25T23:00:00+01:00"
              ]
            },
            {
              "date": "2026-10-26",
              "today": false,
              "minutes": 1440,
              "holiday": {
                "why": "later",
                "as": "Sun"
              },
              "parts": [
                {
                  "start": "2026-10-26T00:00:00+01:00",
                  "end": "2026-10-26T01:00:00+01:00",
                  "window": null,
                  "goal": "compact"
                },
                {
                  "start": "2026-10-26T01:00:00+01:00",
                  "end": "2026-10-26T04:00:00+01:00",
                  "window": "night",
                  "goal": "spread"
                },
                {
                  "start": "2026-10-26T04:00:00+01:00",
                  "end": "2026-10-27T00:00:00+01:00",
                  "window": null,
                  "goal": "compact"
                }
              ],
              "up_by": []
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&document).expect("plain data"));
}
