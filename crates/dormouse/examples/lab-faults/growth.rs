//! What the processes of the soak hold over time, and whether it grows (L04).

use serde::{Deserialize, Serialize};
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

#[derive(Deserialize)]
struct Line {
    sample: Sample,
}

/// A line for each thing of each process that lived long enough, and whether that is too much.
pub(crate) fn of_records(records: &str) -> Vec<(String, bool)> {
    let lines = records.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    of(&lines.map(|line| line.sample).collect::<Vec<_>>())
}

fn of(samples: &[Sample]) -> Vec<(String, bool)> {
    let mut lives: BTreeMap<(&str, u32), Vec<(u64, Held)>> = BTreeMap::new();
    for sample in samples {
        for (name, held) in [("daemon", sample.daemon), ("libvirtd", sample.libvirtd)] {
            lives.entry((name, held.pid)).or_default().push((sample.wall_ms, held));
        }
    }
    let mut lines = vec![];
    for ((name, pid), life) in lives.iter().filter(|((_, pid), _)| *pid != 0) {
        let from = life.first().map_or(0, |(ms, _)| ms + WARM_UP_MS);
        let warm = life.iter().filter(|(ms, _)| *ms >= from);
        let memory: Vec<(u64, u64)> = warm.clone().map(|(ms, held)| (*ms, held.rss_kib)).collect();
        let files: Vec<(u64, u64)> = warm.map(|(ms, held)| (*ms, held.files)).collect();
        for (thing, series) in [("memory, KiB", memory), ("open files", files)] {
            let span =
                series.last().zip(series.first()).map_or(0, |(last, first)| (last.0 - first.0) / 60_000);
            let Some((mean, an_hour)) = slope(&series).filter(|_| span >= SPAN_MIN) else { continue };
            let most = series.iter().map(|(_, value)| *value).max().unwrap_or(0);
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

/// How a series of (milliseconds, value) grows, by least squares: its mean, and how much it would grow in an hour.
#[expect(clippy::cast_precision_loss, reason = "a slope of measured values")]
fn slope(series: &[(u64, u64)]) -> Option<(f64, f64)> {
    let count = series.len() as f64;
    let first = series.first()?.0;
    let hours = |ms: u64| (ms - first) as f64 / 3_600_000.0;
    let mean_x = series.iter().map(|(ms, _)| hours(*ms)).sum::<f64>() / count;
    let mean_y = series.iter().map(|(_, value)| *value as f64).sum::<f64>() / count;
    let over = series.iter().map(|(ms, value)| (hours(*ms) - mean_x) * (*value as f64 - mean_y)).sum::<f64>();
    let under = series.iter().map(|(ms, _)| (hours(*ms) - mean_x).powi(2)).sum::<f64>();
    (under > 0.0).then(|| (mean_y, over / under))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour in which the daemon takes so much more memory in each minute after its warm-up.
    fn hour(kib_a_minute: u64, files_at: impl Fn(u64) -> u64) -> Vec<(String, bool)> {
        let sample = |minute: u64| Sample {
            wall_ms: 1_000_000 + minute * 60_000,
            daemon: Held {
                pid: 7,
                rss_kib: 30_000 + minute * kib_a_minute,
                files: files_at(minute),
                threads: 9,
            },
            libvirtd: Held::default(),
            state_kib: 400,
        };
        of(&(0..60).map(sample).collect::<Vec<_>>())
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
        assert_eq!(slope(&[(5, 1)]), None);
    }
}
