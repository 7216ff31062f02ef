use super::{number, page};
use dormouse_model::Millis;
use dormouse_sim::replay::{Day, Figures, Row, Rules, Series};
use expect_test::{expect, expect_file};
use std::collections::BTreeMap;

/// A day of a few steps, whose figures follow from how many hosts are on.
fn day(trace: &str, policy: &str, hosts_on: &[u32]) -> Day {
    let on = hosts_on.iter().map(|hosts| f64::from(*hosts));
    let mean = on.clone().sum::<f64>() / f64::from(u32::try_from(hosts_on.len()).unwrap());
    let (energy, bound) = (mean * 2.4, 19.2);
    let mut before = hosts_on[0];
    let rows = hosts_on.iter().map(|hosts| {
        let moves = before.abs_diff(*hosts) * 4;
        let (wakes, sleeps) = (hosts.saturating_sub(before), before.saturating_sub(*hosts));
        before = *hosts;
        let hosts = f64::from(*hosts);
        Row {
            hosts_on: hosts,
            watts: hosts * 100.0,
            bound_watts: 800.0,
            demand: 12_000.0,
            capacity: hosts * 4000.0,
            moves,
            wakes,
            sleeps,
            unserved: 0.0,
            waiting: 0.0,
        }
    });
    let rows: Vec<Row> = rows.collect();
    let migrations = rows.iter().map(|row| u64::from(row.moves)).sum();
    let figures = Figures {
        trace: trace.to_owned(),
        fleet: "lab".to_owned(),
        rules: Rules::Honest,
        policy: policy.to_owned(),
        seed: 0,
        days: 1.0,
        hosts: 20,
        vms: 1052,
        energy_kwh: energy,
        energy_always_on_kwh: 48.0,
        floor_kwh: 18.0,
        bound_kwh: bound,
        over_floor: energy / 18.0,
        over_bound: energy / bound,
        hosts_on_mean: mean,
        hosts_on_min: hosts_on.iter().copied().min().unwrap(),
        migrations,
        wakes: 1,
        sleeps: 2,
        slatah: 0.01,
        pdm: 0.002,
        slav: 0.00002,
        thrash: 0,
        unserved_mips_s: 0.0,
        unserved_share: 0.0,
        waiting_vm_min: 0.0,
        waiting_share: 0.0,
        moves_vm_day: 0.0,
        knobs: BTreeMap::from([("failover".to_owned(), "1".to_owned())]),
        violations: vec![],
        wall_ms: 0,
    };
    Day { figures, series: Series { step: Millis::from_mins(360), rows } }
}

/// Opened in a browser it is also what to look at after a change of the style.
#[test]
fn a_small_page() {
    let days = [
        day("monday", "none", &[12, 12, 12, 12]),
        day("monday", "balanced", &[9, 8, 8, 10]),
        day("tuesday", "none", &[12, 12, 12, 12]),
        day("tuesday", "balanced", &[9, 9, 8, 9]),
    ];
    expect_file!["small.html"].assert_eq(&page(&days));
}

#[test]
fn what_others_wrote_stays_text() {
    const HOSTILE: &str = "x\"'><script>alert(1)</script>&amp;\u{202e}\u{1b}[2J";
    let mut days = [day(HOSTILE, "none", &[1, 2]), day(HOSTILE, HOSTILE, &[1, 2])];
    for day in &mut days {
        day.figures.fleet = HOSTILE.to_owned();
        day.figures.knobs = BTreeMap::from([(HOSTILE.to_owned(), HOSTILE.to_owned())]);
        day.figures.violations = vec![HOSTILE.to_owned(); 9];
    }
    let page = page(&days);
    assert!(!page.contains("<script") && !page.contains('\u{202e}') && !page.contains('\u{1b}'));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;"));
    // Every tag that is opened is one of ours.
    const TAGS: [&str; 41] = [
        "!doctype",
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "h3",
        "p",
        "b",
        "small",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "span",
        "section",
        "figure",
        "figcaption",
        "svg",
        "path",
        "defs",
        "use",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "code",
        "abbr",
        "em",
        "i",
        "br",
        "a",
        "time",
    ];
    for opened in page.split('<').skip(1) {
        let name = opened.trim_start_matches('/').split([' ', '>', '\n']).next().unwrap();
        assert!(TAGS.contains(&name), "{opened}");
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let page = page(&[day("monday", "balanced", &[9, 8])]);
    for word in ["http:", "https:", "//", "src=", "@import", "url(", "<script", "<link", "<img"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn odd_numbers_break_no_page() {
    let mut odd = day("monday", "balanced", &[9, 8, 7]);
    odd.figures.energy_kwh = f64::NAN;
    odd.figures.bound_kwh = 0.0;
    odd.figures.days = 0.0;
    odd.series.rows[0].watts = f64::INFINITY;
    odd.series.rows[1].unserved = f64::NAN;
    odd.series.rows[2].capacity = -1.0;
    odd.series.step = Millis::ZERO;
    let mut empty = day("tuesday", "balanced", &[9]);
    empty.series.rows.clear();
    let page = page(&[odd, empty]);
    assert!(!page.contains("NaN") && !page.contains("inf"));
    assert!(super::page(&[]).contains("nothing"));
}

#[test]
fn numbers_are_shown_for_people() {
    let shown = [
        number(0.0, 0),
        number(1234.56, 1),
        number(1_234_567.0, 0),
        number(-0.001, 1),
        number(-12.0, 0),
        number(f64::NAN, 2),
        number(999.95, 1),
    ];
    assert_eq!(shown, ["0", "1,234.6", "1,234,567", "0.0", "−12", "–", "1,000.0"]);
}

/// Less energy for less service is a matter of taste; what is worse in both, or broke a rule, is not named.
#[test]
fn the_page_begins_with_those_that_nobody_beats() {
    let lead = |days: &[Day]| {
        let page = page(days);
        let (_, after) = page.split_once("<p class=\"lead\">").expect("there is a lead");
        after.split_once("<h2>").expect("tables follow").0.to_owned()
    };
    let mut days = [
        day("monday", "none", &[12, 12]),
        day("monday", "thrift", &[6, 6]),
        day("monday", "worse", &[7, 7]),
        day("monday", "balanced", &[9, 8]),
    ];
    assert!(lead(&days).contains("than this one"));
    days[1].figures.unserved_share = 0.0002;
    days[2].figures.unserved_share = 0.0003;
    expect![[r#"
        Energy is easily saved by not serving. These are the policies that no other beats in both, from the least energy to the least unserved:</p>
        <ul class="lead">
        <li><b>thrift</b>: 14.4 kWh (0.7500 × bound), 0.0200 % unserved, moves: 0</li>
        <li><b>balanced</b>: 20.4 kWh (1.0625 × bound), 0.0000 % unserved, moves: 4</li>
        </ul>
    "#]].assert_eq(&lead(&days));
    for day in &mut days {
        day.figures.violations.push("lab07 held 2,304 MiB of 2,048".to_owned());
    }
    expect![[r#"
        Every policy broke a rule.</p>
    "#]]
    .assert_eq(&lead(&days));
}
