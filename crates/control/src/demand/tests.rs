//! Laws of history: exact where samples are kept, never below them where they are not, bounded whatever comes in.

use super::*;
use proptest::prelude::*;

const LIMIT: MilliCpu = MilliCpu(1_000_000);
/// A pause between looks of at most so long is no gap.
const PATIENCE_S: u64 = 45;

fn spans(settings: &[(&str, &str)]) -> Spans {
    let mut knobs = Knobs::default();
    for (knob, value) in settings {
        knobs.set(knob, value).expect("a knob");
    }
    Spans::of(&knobs, 1, Millis::from_secs(PATIENCE_S))
}

/// Samples at these seconds, and what became of them.
fn fed(samples: &[(u64, u64)], spans: &Spans) -> (History, Vec<Closed>) {
    let (mut history, mut closed) = (History::default(), vec![]);
    for (at_s, used) in samples {
        let hour = Hour { number: at_s / 3600, of_week: usize::try_from(at_s / 3600 % 168).ok() };
        history.push(Mono(at_s * 1000), MilliCpu(*used), Mib(256), hour, spans, |rollup| closed.push(rollup));
    }
    (history, closed)
}

fn high(mut used: Vec<u64>) -> Option<u64> {
    used.sort_unstable();
    (used.len() * 90).div_ceil(100).checked_sub(1).map(|rank| used[rank])
}

/// What the samples of a window say, by sorting all of them.
fn naive(samples: &[(u64, u64)], now_s: u64, window_s: u64) -> Option<u64> {
    high(samples.iter().filter(|(at, _)| now_s - at <= window_s).map(|(_, used)| *used).collect())
}

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1000)
}

#[test]
fn a_young_vm_counts_at_its_limit_for_sleeping_and_at_its_last_sample_for_waking() {
    let spans = spans(&[("window.sleep", "10m")]);
    let (history, _) = fed(&[(0, 10), (15, 20)], &spans);
    assert_eq!(history.demand_seen(at(20), &spans, LIMIT), Demand { sleep: LIMIT, wake: MilliCpu(20) });
}

#[test]
fn one_spike_is_no_demand_but_a_spell_is() {
    let spans = spans(&[("window.sleep", "10m")]);
    let mut samples: Vec<_> = (0..41).map(|look| (look * 15, 20)).collect();
    samples[30].1 = 900;
    let read = |samples: &[(u64, u64)]| fed(samples, &spans).0.demand(at(600), &spans, LIMIT);
    assert_eq!(read(&samples), Demand { sleep: MilliCpu(20), wake: MilliCpu(20) });
    for sample in &mut samples[34..] {
        sample.1 = 900;
    }
    assert_eq!(read(&samples), Demand { sleep: MilliCpu(900), wake: MilliCpu(900) });
    // It was over before the last looks: nobody has to go, and nobody may sleep yet.
    for sample in &mut samples[37..] {
        sample.1 = 20;
    }
    samples[33].1 = 900;
    samples[32].1 = 900;
    assert_eq!(read(&samples), Demand { sleep: MilliCpu(900), wake: MilliCpu(20) });
}

#[test]
fn a_single_look_after_a_long_silence_is_no_history() {
    let spans = spans(&[]);
    let mut samples: Vec<_> = (0..200).map(|look| (look * 15, 20)).collect();
    samples.push((9000, 20));
    assert_eq!(fed(&samples, &spans).0.demand(at(9001), &spans, LIMIT).sleep, LIMIT);
}

#[test]
fn what_the_store_kept_spares_the_limit_after_a_restart() {
    let spans = spans(&[]);
    let samples: Vec<_> = (0..400).map(|look| (look * 15, 20 + look % 7)).collect();
    let (_, closed) = fed(&samples, &spans);
    let mut history = History::default();
    let now = at(400 * 15 + 120);
    for closed in closed {
        let row = closed.row(Uuid::nil(), |at| i64::try_from(at.0 / 1000).expect("small"));
        let start = at(row.start.unsigned_abs());
        history.restore(&row, start, now, Some(3), &spans);
    }
    history.push(now, MilliCpu(20), Mib(256), Hour::default(), &spans, |_| {});
    let demand = history.demand(now, &spans, LIMIT);
    assert!((20..=30).contains(&demand.sleep.0), "{demand:?}");
}

#[test]
fn rows_that_make_no_sense_are_left_out() {
    let spans = spans(&[]);
    let row = DemandRow {
        vm: Uuid::nil(),
        roll_up: RollUp::FiveMinutes,
        start: 0,
        secs: 300,
        samples: 20,
        mean: 20,
        max: 20,
        mem: 256,
        levels: vec![(20, 20)],
    };
    let taken = |row: &DemandRow, start: u64| {
        let mut history = History::default();
        history.restore(row, at(start), at(3000), None, &spans);
        history.fives.bytes() > 0
    };
    assert!(taken(&row, 100));
    assert!(!taken(&row, 2900), "it would end in the future");
    for levels in
        [vec![], vec![(20, 19)], vec![(20, 10), (20, 10)], vec![(21, 10), (20, 10)], vec![(1, 1); 40]]
    {
        assert!(!taken(&DemandRow { levels: levels.clone(), ..row.clone() }, 100), "{levels:?}");
    }
}

#[test]
fn each_hour_of_the_week_is_what_it_was_the_week_before() {
    let spans = spans(&[]);
    // Two weeks: Mondays from 9 to 10 something runs; the second time it is more.
    let busy = |at: u64| if at / 3600 % 168 == 9 { 400 + at / 604_800 * 300 } else { 20 };
    let samples: Vec<_> = (0..2 * 168 * 60).map(|minute| (minute * 60, busy(minute * 60))).collect();
    let expected = |minutes: usize| {
        let (history, _) = fed(&samples[..minutes], &spans);
        [8, 9, 10].map(|hour| history.expected(hour).map(|cpu| cpu.0))
    };
    assert_eq!(expected(8 * 60), [None; 3], "never seen");
    assert_eq!(expected(12 * 60), [Some(21), Some(415), Some(21)]);
    assert_eq!(expected(168 * 60), [Some(21), Some(415), Some(21)]);
    assert_eq!(expected((168 + 12) * 60), [Some(21), Some(703), Some(21)]);
}

#[test]
fn a_vm_costs_nine_kilobytes_with_the_standard_windows() {
    let spans = spans(&[]);
    let samples: Vec<_> = (0..40_000).map(|look| (look * 15, look * 7919 % 2000)).collect();
    let bytes = fed(&samples, &spans).0.bytes();
    assert!(bytes <= 9 * 1024, "{bytes}");
}

/// Looks every so often with these values, for a test of long windows.
fn steady(every_s: u64, values: &[u64]) -> Vec<(u64, u64)> {
    values.iter().enumerate().map(|(look, used)| (look as u64 * every_s, *used)).collect()
}

/// What the roll-ups may say at most: the samples inside with those of the roll-up on the edge left out, or all counted at
/// their highest; an eighth more for the scale.
fn most(samples: &[(u64, u64)], now_s: u64, window_s: u64) -> u64 {
    let begin = now_s - window_s;
    let mut spans: Vec<Vec<(u64, u64)>> = vec![];
    for sample in samples {
        match spans.last_mut() {
            Some(open) if sample.0 - open[0].0 < 300 => open.push(*sample),
            _ => spans.push(vec![*sample]),
        }
    }
    let inside: Vec<u64> =
        spans.iter().filter(|span| span[0].0 >= begin).flatten().map(|(_, used)| *used).collect();
    let edge = spans.iter().find(|span| span[0].0 < begin && span[span.len() - 1].0 >= begin);
    let lifted = edge.map_or(vec![], |edge| {
        let max = edge.iter().map(|(_, used)| *used).max().expect("not empty");
        vec![max; edge.len()]
    });
    let all = [inside.clone(), lifted].concat();
    let most = high(inside).unwrap_or(0).max(high(all).unwrap_or(0));
    most + most / 8
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn kept_samples_are_read_as_if_all_were_sorted(
        gaps in prop::collection::vec((1_u64..30, 0_u64..2000), 2..400),
        wait in 0_u64..40,
    ) {
        let spans = spans(&[("window.sleep", "20m"), ("window.wake", "2m")]);
        let mut now = 0;
        let samples: Vec<_> = gaps.iter().map(|(gap, used)| { now += gap; (now, *used) }).collect();
        let (mut history, _) = fed(&samples, &spans);
        let now = now + wait;
        let read = history.demand(at(now), &spans, LIMIT);
        prop_assert_eq!(read, history.demand_seen(at(now), &spans, LIMIT));
        let old = |window: u64| now - samples[0].0 >= window;
        let sleep = if old(1200) { naive(&samples, now, 1200).map(MilliCpu) } else { Some(LIMIT) };
        prop_assert_eq!(Some(read.sleep), sleep);
        let last = Some(MilliCpu(samples[samples.len() - 1].1));
        let wake = if old(120) { naive(&samples, now, 120).map(MilliCpu) } else { last };
        // What is over counts no longer: no more than the looks of the last `PATIENCE_S`.
        let lately = samples.iter().filter(|(at, _)| now - at <= PATIENCE_S).map(|(_, used)| MilliCpu(*used)).max();
        let wake = wake.map(|wake| lately.map_or(wake, |lately| wake.min(lately)));
        prop_assert_eq!(Some(read.wake), wake);
    }

    /// Few different values, as each roll-up can keep apart.
    #[test]
    fn roll_ups_say_an_eighth_more_at_most_and_never_less(
        values in prop::collection::vec(prop::sample::select(vec![0_u64, 3, 9, 20, 55, 130, 400, 900, 1500, 4000]), 700..900),
        window_m in 140_u64..170,
        wait in 0_u64..15,
    ) {
        let spans = spans(&[("window.sleep", &format!("{window_m}m"))]);
        let samples = steady(15, &values);
        let now = samples[samples.len() - 1].0 + wait;
        let (mut history, _) = fed(&samples, &spans);
        let read = history.demand(at(now), &spans, LIMIT).sleep.0;
        let least = naive(&samples, now, window_m * 60).expect("looked");
        let most = most(&samples, now, window_m * 60);
        prop_assert!((least..=most).contains(&read), "{read} of {least}..={most}");
    }

    #[test]
    fn roll_ups_never_say_less_whatever_the_values(
        values in prop::collection::vec(0_u64..40_000, 600..1000),
        every in 15_u64..200,
        days in prop::bool::ANY,
    ) {
        // A window of days reads hours, one of hours reads five minutes.
        let window_s = if days { 30 * 3600 } else { 150 * 60 };
        let spans = spans(&[("window.sleep", &format!("{window_s}s"))]);
        let samples = steady(every, &values);
        let now = samples[samples.len() - 1].0;
        let (mut history, _) = fed(&samples, &spans);
        let read = history.demand(at(now), &spans, LIMIT).sleep;
        match naive(&samples, now, window_s) {
            Some(least) if now >= window_s => prop_assert!(read.0 >= least, "{read} below {least}"),
            _ => prop_assert_eq!(read, LIMIT),
        }
    }

    /// Whatever the clocks do, and in whatever order looks come in.
    #[test]
    fn the_size_is_bounded_by_any_input(
        steps in prop::collection::vec((prop_oneof![0_u64..100, 0_u64..10_000_000, Just(u64::MAX)], any::<u64>()), 1..200),
        runs in 1_u64..30,
        window in prop_oneof![Just("0s"), Just("40m"), Just("366d")],
    ) {
        let spans = spans(&[("window.sleep", window), ("window.wake", window)]);
        let mut history = History::default();
        let mut closed = 0;
        for run in 0..runs {
            for (index, (ms, used)) in (0_u64..).zip(&steps) {
                let hour = Hour { number: used % 5 * run, of_week: usize::try_from(used % 300).ok() };
                let at = Mono(ms.saturating_add(index * run * 977));
                history.push(at, MilliCpu(*used), Mib(*used), hour, &spans, |_| closed += 1);
                history.demand(at, &spans, LIMIT);
            }
        }
        prop_assert!(closed <= 2 * runs * steps.len() as u64);
        prop_assert!(history.bytes() <= 64 * 1024, "{}", history.bytes());
    }
}
