//! What the processes of the soak hold over time, and whether it grows (L04).
//!
//! The daemon holds a connection to each host that is awake, and hosts come and go with the hours of the day: only what is
//! held with as many hosts awake is compared.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What may be added in an hour, as a share of the mean.
const GROWTH_MAX: f64 = 0.05;
/// At the start memory is taken that is kept.
const WARM_UP_MS: u64 = 10 * 60_000;
/// A slope of a few minutes says nothing.
const SPAN_MIN: u64 = 20;

/// What one process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) pid: u32,
    pub(crate) rss_kib: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
}

/// One look at both, and at the folder of the daemon's state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) wall_ms: u64,
    pub(crate) daemon: Held,
    pub(crate) libvirtd: Held,
    pub(crate) state_kib: u64,
}

/// A line for each thing of each process that lived long enough, and whether that is too much.
pub(crate) fn of_records(records: &str) -> Vec<(String, bool)> {
    let mut samples: Vec<Sample> = vec![];
    // When a host more was awake, or one less.
    let mut changes: Vec<(u64, i64)> = vec![];
    let mut zero_ms = 0;
    for line in records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if let Some(sample) = line.get("sample") {
            samples.extend(serde_json::from_value::<Sample>(sample.clone()));
        }
        let Some(event) = line.get("lab") else { continue };
        let ms = zero_ms + event["at_ms"].as_u64().unwrap_or(0);
        match event["ev"].as_str() {
            Some("up") => zero_ms = event["wall_ms"].as_str().and_then(|ms| ms.parse().ok()).unwrap_or(0),
            Some("boot") => changes.push((ms, 1)),
            Some("power-off") => changes.push((ms, -1)),
            _ => {}
        }
    }
    let awake_at = |sample: &Sample| -> i64 {
        changes.iter().take_while(|(ms, _)| *ms <= sample.wall_ms).map(|(_, change)| change).sum()
    };
    of(&samples.iter().map(|sample| (*sample, awake_at(sample))).collect::<Vec<_>>())
}

/// Each sample with how many hosts were awake.
fn of(samples: &[(Sample, i64)]) -> Vec<(String, bool)> {
    // When, what, and how many hosts were awake; by name and pid.
    type Life = Vec<(u64, Held, i64)>;
    let mut lives: BTreeMap<(&str, u32), Life> = BTreeMap::new();
    for (sample, awake) in samples {
        for (name, held) in [("daemon", sample.daemon), ("libvirtd", sample.libvirtd)] {
            lives.entry((name, held.pid)).or_default().push((sample.wall_ms, held, *awake));
        }
    }
    let mut lines = vec![];
    for ((name, pid), life) in lives.iter().filter(|((_, pid), _)| *pid != 0) {
        let from = life.first().map_or(0, |(ms, _, _)| ms + WARM_UP_MS);
        let warm = life.iter().filter(|(ms, _, _)| *ms >= from);
        let series = |value: fn(&Held) -> u64| -> Vec<Point> {
            warm.clone()
                .map(|(ms, held, awake)| Point { ms: *ms, value: value(held), awake: *awake })
                .collect()
        };
        let both = [("memory, KiB", series(|held| held.rss_kib)), ("open files", series(|held| held.files))];
        for (thing, series) in both {
            let span =
                series.last().zip(series.first()).map_or(0, |(last, first)| (last.ms - first.ms) / 60_000);
            let Some((mean, an_hour)) = slope(&series).filter(|_| span >= SPAN_MIN) else { continue };
            let most = series.iter().map(|point| point.value).max().unwrap_or(0);
            let share = an_hour / mean.max(1.0);
            let line = format!(
                "{name} {pid}, {thing}: mean {mean:.1}, most {most}, {:+.2} % an hour over {span} min",
                share * 100.0
            );
            lines.push((line, share > GROWTH_MAX));
        }
    }
    lines
}

#[derive(Clone, Copy, Debug)]
struct Point {
    ms: u64,
    value: u64,
    awake: i64,
}

/// How a series grows, by least squares within each number of hosts awake: its mean, and what it would add in an hour.
#[expect(clippy::cast_precision_loss, reason = "a slope of measured values")]
fn slope(series: &[Point]) -> Option<(f64, f64)> {
    let first = series.first()?.ms;
    let mut groups: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    for point in series {
        let hours = (point.ms - first) as f64 / 3_600_000.0;
        groups.entry(point.awake).or_default().push((hours, point.value as f64));
    }
    let (mut over, mut under) = (0.0, 0.0);
    for group in groups.values() {
        let count = group.len() as f64;
        let mean_x = group.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = group.iter().map(|(_, y)| y).sum::<f64>() / count;
        over += group.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
        under += group.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    }
    let mean = series.iter().map(|point| point.value as f64).sum::<f64>() / series.len() as f64;
    (under > 0.0).then(|| (mean, over / under))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awake(minute: u64) -> i64 {
        if (minute / 7).is_multiple_of(2) { 4 } else { 1 }
    }

    /// An hour in which the daemon takes so much more memory in each minute after its warm-up.
    fn hour(kib_a_minute: u64, files_at: impl Fn(u64) -> u64) -> Vec<(String, bool)> {
        let sample = |minute: u64| Sample {
            wall_ms: 1_000_000 + minute * 60_000,
            daemon: Held {
                pid: 7,
                rss_kib: 30_000 + minute * kib_a_minute,
                files: files_at(minute) + 10 * awake(minute).unsigned_abs(),
                threads: 9,
            },
            libvirtd: Held::default(),
            state_kib: 400,
        };
        // Seven minutes of night, seven of day; the daemon holds ten files for each host.
        of(&(0..60).map(|minute| (sample(minute), awake(minute))).collect::<Vec<_>>())
    }

    #[test]
    fn what_grows_is_found_and_what_goes_up_and_down_is_not() {
        let verdicts = |lines: Vec<(String, bool)>| lines.into_iter().map(|(_, bad)| bad).collect::<Vec<_>>();
        assert_eq!(verdicts(hour(0, |minute| 60 + minute % 5)), [false, false]);
        assert_eq!(verdicts(hour(100, |_| 60)), [true, false]);
        assert_eq!(verdicts(hour(0, |minute| 60 + minute / 4)), [false, true]);
        assert_eq!(
            hour(2, |_| 60)[0].0,
            "daemon 7, memory, KiB: mean 30069.0, most 30118, +0.40 % an hour over 49 min"
        );
    }

    #[test]
    fn a_short_life_has_no_slope() {
        assert_eq!(slope(&[Point { ms: 5, value: 1, awake: 1 }]), None);
    }
}
