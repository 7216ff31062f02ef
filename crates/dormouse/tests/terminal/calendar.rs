//! The calendar: drawn, changed, and contradicted.

use super::{LAB, Terminal};
use expect_test::expect;

#[test]
fn the_coming_days_are_drawn() {
    Terminal::with(&format!(
        "{LAB}window exam 2026-11-29 08:00-14:00 up-by=-45m\nholiday 2026-11-30 why=\"St Andrew\"\n"
    ))
    .check(
        "calendar show --cluster cluster --from 2026-11-26T22:00 --days 6",
        expect![[r#"
            $ dormouse calendar show --cluster cluster --from 2026-11-26T22:00 --days 6
            Calendar of ercolani, zone Europe/Rome, from cluster

                         0     3     6     9     12    15    18    21    24
            > Thu 11-26  .................^######################........  09:00-19:45
              Fri 11-27  .................^######################........  09:00-19:45
              Sat 11-28  .................^##########....................  09:00-13:45
              Sun 11-29  ..............^.############....................  exam
              Mon 11-30  ................................................  St Andrew
              Tue 12-01  .................^######################........  09:00-19:45

              # open   ~ quiet: nothing is moved   . closed: hosts may sleep   ^ hosts up by

            Other than usual
              Sun 2026-11-29  exam 08:00-14:00, open
              Mon 2026-11-30  St Andrew: closed

            Now, Thu 2026-11-26 22:00: closed (no window) until Fri 2026-11-27 09:00.
            Next opening: open, Fri 2026-11-27 09:00, hosts up by 08:30.
            Waking begins before that, by as much as boots were measured to take.
            exit status 0
        "#]],
    );
}

#[test]
fn a_calendar_without_hours() {
    Terminal::with("cluster x\nhost a cpus=1 mem=1G\n").check(
        "calendar show --cluster cluster",
        expect![[r#"
            $ dormouse calendar show --cluster cluster
            Calendar of x, zone UTC, from cluster
            It has no window: always closed, and hosts may sleep at any time.
            exit status 0
        "#]],
    );
    let shown = Terminal::with(LAB).type_in("calendar show --cluster cluster --days 63");
    assert!(shown.contains("1..=62") && shown.ends_with("exit status 2\n"), "{shown}");
}

#[test]
fn the_plan_of_another_time_says_what_it_assumes() {
    let lab = Terminal::with(LAB);
    lab.check_head("plan --cluster cluster --at 2026-11-28T13:45", 4, expect![[r#"
        $ dormouse plan --cluster cluster --at 2026-11-28T13:45
        As of Sat 2026-11-28 13:45 CET: no window is in force then. Assumed: hosts, VMs and their demand as the text says; no forecast, no orders.

        62 hosts on -> 8 hosts on; lower bound 8, no placement needs fewer
        2790 W -> 552 W, 2238 W less (80 %)
    "#]]);
    assert_eq!(lab.json("plan --cluster cluster --at 2026-12-01T09:00:00Z --format json")["goal"], "spread");
}

#[cfg(feature = "live")]
mod changes {
    use super::*;

    const TEXT: &str = "\
cluster lab zone=Europe/Rome   # ours
host a cpus=2 mem=2G
window open Mon-Fri 09:00-18:00 up-by=-30m   # term
policy balanced
";

    /// The years ahead are far enough that no run of the test is behind them.
    fn read(terminal: &Terminal) -> String {
        std::fs::read_to_string(terminal.folder.path().join("cluster")).unwrap()
    }

    #[test]
    fn an_exam_and_holidays_come_and_go_and_nothing_else_changes() {
        let lab = Terminal::with(TEXT);
        lab.check(
            "calendar open 2090-12-03 8:00-14:00 --why exam --cluster cluster",
            expect![[r#"
            $ dormouse calendar open 2090-12-03 8:00-14:00 --why exam --cluster cluster
            + window exam 2090-12-03 8:00-14:00 goal=spread up-by=-30m
            Written to cluster.
            exit status 0
        "#]],
        );
        lab.check(
            "calendar quiet 2090-12-04..2090-12-06 22:00-02:00 --cluster cluster",
            expect![[r#"
            $ dormouse calendar quiet 2090-12-04..2090-12-06 22:00-02:00 --cluster cluster
            + window quiet-2090-12-04 2090-12-04..2090-12-06 22:00-02:00 goal=hold
            Written to cluster.
            exit status 0
        "#]],
        );
        lab.check(
            "calendar close 2090-12-25, 2090-12-31..2091-01-06 --name Winter --cluster cluster",
            expect![[r#"
                $ dormouse calendar close 2090-12-25, 2090-12-31..2091-01-06 --name Winter --cluster cluster
                + holiday 2090-12-25, 2090-12-31..2091-01-06 why=Winter
                Written to cluster.
                exit status 0
            "#]],
        );
        expect![[r#"
            cluster lab zone=Europe/Rome   # ours
            host a cpus=2 mem=2G
            window open Mon-Fri 09:00-18:00 up-by=-30m   # term
            window exam 2090-12-03 8:00-14:00 goal=spread up-by=-30m
            window quiet-2090-12-04 2090-12-04..2090-12-06 22:00-02:00 goal=hold
            holiday 2090-12-25, 2090-12-31..2091-01-06 why=Winter
            policy balanced
        "#]]
        .assert_eq(&read(&lab));
        lab.check(
            "calendar remove 2091-01-02 --cluster cluster",
            expect![[r#"
            $ dormouse calendar remove 2091-01-02 --cluster cluster
            - holiday 2090-12-25, 2090-12-31..2091-01-06 why=Winter
            + holiday 2090-12-25, 2090-12-31..2091-01-01, 2091-01-03..2091-01-06 why=Winter
            Written to cluster.
            exit status 0
        "#]],
        );
        lab.check(
            "calendar remove 2090-12-05 --cluster cluster",
            expect![[r#"
            $ dormouse calendar remove 2090-12-05 --cluster cluster
            - window quiet-2090-12-04 2090-12-04..2090-12-06 22:00-02:00 goal=hold
            + window quiet-2090-12-04 2090-12-04,2090-12-06 22:00-02:00 goal=hold
            Written to cluster.
            exit status 0
        "#]],
        );
        lab.check(
            "calendar remove exam --cluster cluster",
            expect![[r#"
            $ dormouse calendar remove exam --cluster cluster
            - window exam 2090-12-03 8:00-14:00 goal=spread up-by=-30m
            Written to cluster.
            exit status 0
        "#]],
        );
        expect![[r#"
            cluster lab zone=Europe/Rome   # ours
            host a cpus=2 mem=2G
            window open Mon-Fri 09:00-18:00 up-by=-30m   # term
            window quiet-2090-12-04 2090-12-04,2090-12-06 22:00-02:00 goal=hold
            holiday 2090-12-25, 2090-12-31..2091-01-01, 2091-01-03..2091-01-06 why=Winter
            policy balanced
        "#]]
        .assert_eq(&read(&lab));
    }

    #[test]
    fn what_contradicts_is_refused_with_its_place_and_nothing_is_written() {
        let text = format!("{TEXT}window exam 2090-12-03 08:00-14:00\nholiday 2090-12-25\n");
        let lab = Terminal::with(&text);
        lab.check(
            "calendar close 2090-12-03 --cluster cluster",
            expect![[r#"
            $ dormouse calendar close 2090-12-03 --cluster cluster
            stderr: Error: window exam opens on 2090-12-03 by its date
            stderr: Caused by: cluster:5
            stderr: Hint: take it back first: dormouse calendar remove 2090-12-03
            exit status 2
        "#]],
        );
        lab.check(
            "calendar close 2090-12-20..2090-12-26 --cluster cluster",
            expect![[r#"
            $ dormouse calendar close 2090-12-20..2090-12-26 --cluster cluster
            stderr: Error: 2090-12-25 is a holiday already
            stderr: Caused by: cluster:6
            stderr: Hint: dormouse calendar remove 2090-12-25
            exit status 5
        "#]],
        );
        lab.check(
            "calendar open 2090-12-04 10:00-12:00 --cluster cluster",
            expect![[r#"
            $ dormouse calendar open 2090-12-04 10:00-12:00 --cluster cluster
            stderr: Error: it is so already, by window open
            stderr: Caused by: cluster:3
            exit status 5
        "#]],
        );
        lab.check(
            "calendar quiet 2090-12-03 10:00-12:00 --cluster cluster",
            expect![[r#"
            $ dormouse calendar quiet 2090-12-03 10:00-12:00 --cluster cluster
            stderr: Error: it contradicts window exam, which is spread in these hours
            stderr: Caused by: cluster:5
            stderr: Hint: dormouse calendar remove exam
            exit status 2
        "#]],
        );
        // The hint names today.
        let over = lab.type_in("calendar open 2020-12-03 8:00-14:00 --cluster cluster");
        assert!(over.contains("Error: 2020-12-03 is over\n") && over.ends_with("exit status 2\n"), "{over}");
        lab.check("calendar open 2090-12-03 8:00-24:00 --cluster cluster", expect![[r#"
            $ dormouse calendar open 2090-12-03 8:00-24:00 --cluster cluster
            stderr: Error: `2090-12-03 8:00-24:00` cannot be read
            stderr: Caused by: `8:00-24:00` is no span of hours
            stderr: Hint: there is no hour 24: write `00:00`, which as an end is the midnight that ends the day
            exit status 2
        "#]]);
        lab.check(
            "calendar open someday 8:00-14:00 --cluster cluster",
            expect![[r#"
            $ dormouse calendar open someday 8:00-14:00 --cluster cluster
            stderr: Error: `someday` is no day
            stderr: Hint: a day is `Sun`, `today`, `tomorrow` or like 2026-11-29
            exit status 2
        "#]],
        );
        lab.check(
            "calendar remove exma --cluster cluster",
            expect![[r#"
            $ dormouse calendar remove exma --cluster cluster
            stderr: Error: nothing in the calendar is called `exma`, and no line names such a date
            stderr: Hint: did you mean `exam`?
            exit status 2
        "#]],
        );
        assert_eq!(read(&lab), text);
    }

    #[test]
    fn calendars_of_other_programs_are_taken_over() {
        let lab = Terminal::with(TEXT);
        // Every year: whatever year this runs in, Christmas is to come twice within two years.
        let ics = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY\nSUMMARY:Christmas \\\"eve\\\"\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART:20000301T080000\nDTEND:20000301T140000\nRRULE:FREQ=YEARLY\nSUMMARY:Written exam\nEND:VEVENT\nEND:VCALENDAR\n";
        std::fs::write(lab.folder.path().join("x.ics"), ics).unwrap();
        let shown = lab.type_in("calendar import x.ics --cluster cluster");
        assert!(shown.contains("2 events of some hours not taken: --as openings"), "{shown}");
        assert!(shown.contains("-12-25, ") && shown.contains("why=\"Christmas \\\"eve\\\"\""), "{shown}");
        let shown = lab.type_in("calendar import x.ics --cluster cluster");
        assert!(shown.contains("2 events known already") && shown.ends_with("exit status 5\n"), "{shown}");
        let shown = lab.type_in("calendar import x.ics --as openings --cluster cluster");
        assert!(
            shown.contains("window Written-exam 20") && shown.contains("08:00-14:00 goal=spread"),
            "{shown}"
        );
        assert!(shown.ends_with("Written to cluster.\nexit status 0\n"), "{shown}");
        std::fs::write(lab.folder.path().join("bad.ics"), ics.replace("YEARLY", "HOURLY")).unwrap();
        lab.check(
            "calendar import bad.ics --cluster cluster",
            expect![[r#"
            $ dormouse calendar import bad.ics --cluster cluster
            stderr: Error: the calendar `bad.ics` cannot be used
            stderr: Caused by: bad.ics:4:1: this repetition is not read: `FREQ=HOURLY`
            stderr:     |
            stderr:   4 | RRULE:FREQ=HOURLY
            stderr:     | ^^^^^
            stderr: Hint: only FREQ=YEARLY is; hours of every week are a `window` line of the cluster text
            exit status 2
        "#]],
        );
    }

    #[test]
    fn without_a_daemon_it_counts_from_the_next_start() {
        let lab = super::super::live::terminal(super::super::live::SETTINGS, TEXT);
        let line = "--config dormouse.toml calendar close 2090-12-25";
        let shown = super::super::live::shown(&lab, line);
        expect![[r#"
            $ dormouse --config dormouse.toml calendar close 2090-12-25
            + holiday 2090-12-25
            Written to DIR/cluster.
            No daemon runs here: it counts from its next start.
            exit status 0
        "#]]
        .assert_eq(&shown);
        assert!(
            super::super::live::shown(&lab, "--config dormouse.toml calendar show")
                .contains("no daemon answers\n")
        );
    }
}
