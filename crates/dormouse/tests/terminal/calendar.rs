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
            Calendar of ercolani, zone Europe/Rome

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
        Calendar of x, zone UTC
        It has no window: always closed, and hosts may sleep at any time.
        exit status 0
    "#]],
    );
    let shown = Terminal::with(LAB).type_in("calendar show --cluster cluster --days 63");
    assert!(shown.contains("1..=62") && shown.ends_with("exit status 2\n"), "{shown}");
}
