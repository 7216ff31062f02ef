//! What a night came to: `lab night --format json`, field for field as documented, and the same for people.

use dormouse_lab::Gap;
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Debug, Default, Serialize)]
pub(super) struct NightReport {
    pub(super) hosts: u16,
    pub(super) guests: u16,
    pub(super) time_scale: u32,
    /// Seconds since the lab closed, and hosts whose power is on.
    pub(super) hosts_on: Vec<(f64, usize)>,
    /// Seconds from closing to the first move, from that to the last, and from closing until the last host slept.
    pub(super) first_move_s: Option<f64>,
    pub(super) moves_s: Option<f64>,
    pub(super) packed_s: Option<f64>,
    pub(super) hosts_packed: usize,
    /// Seconds from the goal `spread` until all hosts were up and each ran a guest.
    pub(super) open_s: Option<f64>,
    pub(super) moves: Vec<MoveReport>,
    pub(super) moves_failed: usize,
    pub(super) burst_wakes: usize,
    pub(super) streams: u64,
    pub(super) streams_broken: u64,
    pub(super) ticks_lost: u64,
    pub(super) gap_ms_p50: u64,
    pub(super) gap_ms_p99: u64,
    pub(super) gap_ms_max: u64,
    /// The longest silences of a guest's stream, `at_ms` after the night began.
    pub(super) gaps_longest: Vec<Gap>,
    pub(super) double_runs: u64,
    pub(super) wakes: usize,
    pub(super) sleeps: usize,
    pub(super) manager_kills: u32,
    /// What the manager thought a person should know.
    pub(super) alarms: Vec<String>,
    pub(super) violations: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct MoveReport {
    pub(super) vm: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) ms: u64,
    pub(super) downtime_ms: Option<u64>,
}

impl NightReport {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let secs = |value: Option<f64>| value.map_or("never".to_owned(), |secs| format!("{secs:.1} s"));
        let mut line =
            |head: &str, words: String| writeln!(text, "{head:<18}{words}").expect("a string takes all");
        line("hosts, guests", format!("{}, {} (time scale {})", self.hosts, self.guests, self.time_scale));
        line("hosts on", plot(&self.hosts_on, usize::from(self.hosts)));
        line(
            "packed",
            format!(
                "onto {} hosts, {} after closing (moves took {})",
                self.hosts_packed,
                secs(self.packed_s),
                secs(self.moves_s)
            ),
        );
        line("open", format!("all up and spread {} after it began", secs(self.open_s)));
        let mut took: Vec<u64> = self.moves.iter().map(|one| one.ms).collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or(0);
        line(
            "moves",
            format!(
                "{} ({} failed), median {median} ms, longest {} ms",
                self.moves.len(),
                self.moves_failed,
                took.last().unwrap_or(&0)
            ),
        );
        line(
            "wakes, sleeps",
            format!("{}, {} ({} for the burst of load)", self.wakes, self.sleeps, self.burst_wakes),
        );
        line(
            "streams",
            format!("{} ({} broken), {} ticks lost", self.streams, self.streams_broken, self.ticks_lost),
        );
        line(
            "interruptions",
            format!("p50 {} ms, p99 {} ms, longest {} ms", self.gap_ms_p50, self.gap_ms_p99, self.gap_ms_max),
        );
        line("ran twice", self.double_runs.to_string());
        if self.manager_kills > 0 {
            line("manager killed", format!("{} times", self.manager_kills));
        }
        for alarm in &self.alarms {
            line("alarm", alarm.clone());
        }
        for violation in &self.violations {
            line("VIOLATION", violation.clone());
        }
        text
    }
}

/// A line of blocks, as many as fit a terminal: hosts on over the night.
fn plot(series: &[(f64, usize)], most: usize) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 60;
    let (Some(first), Some(last)) = (series.first(), series.last()) else { return String::new() };
    let span = (last.0 - first.0).max(1.0);
    #[expect(clippy::cast_precision_loss, reason = "a column of a plot")]
    let at = |column: usize| first.0 + span * column as f64 / WIDTH as f64;
    let line: String = (0..WIDTH)
        .map(|column| {
            let on = series
                .iter()
                .take_while(|(secs, _)| *secs <= at(column))
                .last()
                .map_or(first.1, |(_, on)| *on);
            BLOCKS[(on * 8).div_ceil(most.max(1)).min(8)]
        })
        .collect();
    let least = series.iter().map(|(_, on)| *on).min().unwrap_or(0);
    format!("{line} {} -> {least} -> {}", first.1, last.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_falls_and_rises() {
        let line = plot(&[(0.0, 8), (20.0, 8), (30.0, 2), (90.0, 8), (100.0, 8)], 8);
        assert!(line.starts_with('█') && line.contains('▂') && line.ends_with("8 -> 2 -> 8"), "{line}");
    }
}
