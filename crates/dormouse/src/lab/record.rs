//! What is seen of a night, from the lab's own truth (power, processes, heartbeats) and from the manager's trail. The
//! report is made from these records and from nothing that the manager believes.

use super::report::{MoveReport, NightReport};
use dormouse_driver::EventRecord;
use dormouse_lab::{LabStatus, Power};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Seconds as they are reported.
pub(super) fn tenths(secs: f64) -> f64 {
    (secs * 10.0).round() / 10.0
}

#[derive(Debug)]
pub(super) struct Record {
    closed: Instant,
    pub(super) on: usize,
    pub(super) last: Option<LabStatus>,
    pub(super) series: Vec<(f64, usize)>,
    pub(super) seen: u64,
    pub(super) moves: Vec<MoveReport>,
    pub(super) moves_failed: usize,
    pub(super) first_move: Option<f64>,
    pub(super) last_move: Option<f64>,
    pub(super) wakes: usize,
    pub(super) sleeps: usize,
    /// Since when the manager has changed nothing and no host's power has.
    still_since: Instant,
    pub(super) alarms: Vec<String>,
    /// When the manager began to open the lab again, and how many hosts had been woken before.
    pub(super) opening: Option<(f64, usize)>,
}

impl Record {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self {
            closed: now,
            on: 0,
            last: None,
            series: vec![],
            seen: 0,
            moves: vec![],
            moves_failed: 0,
            first_move: None,
            last_move: None,
            wakes: 0,
            sleeps: 0,
            still_since: now,
            alarms: vec![],
            opening: None,
        }
    }

    /// The night's zero: the lab has closed.
    pub(super) fn close(&mut self) {
        self.closed = Instant::now();
        self.series.clear();
        self.series.push((0.0, self.on));
    }

    pub(super) fn secs(&self) -> f64 {
        tenths(self.closed.elapsed().as_secs_f64())
    }

    pub(super) fn truth(&mut self, status: LabStatus) {
        let on = status.hosts.iter().filter(|host| host.power != Power::Off).count();
        if on != self.on || self.series.is_empty() {
            self.on = on;
            self.still_since = Instant::now();
            self.series.push((self.secs(), on));
        }
        self.last = Some(status);
    }

    pub(super) fn still_for(&self) -> Duration {
        self.still_since.elapsed()
    }

    /// All power is on, and on each host a guest is heard from and has a process.
    pub(super) fn is_spread(&self) -> bool {
        let Some(status) = &self.last else { return false };
        let mut guests: BTreeMap<&str, usize> =
            status.hosts.iter().map(|host| (host.name.as_str(), 0)).collect();
        for guest in &status.guests {
            if let [host] = guest.processes.as_slice() {
                *guests.entry(host).or_default() += 1;
            }
        }
        let enough = status.guests.len() >= status.hosts.len();
        status.hosts.iter().all(|host| host.power == Power::On)
            && (!enough || guests.values().all(|count| *count > 0))
    }

    pub(super) fn trail(&mut self, events: Vec<EventRecord>) {
        for event in events {
            self.seen = self.seen.max(event.seq);
            if event.name.starts_with("step.")
                || event.name.starts_with("plan.")
                || event.name == "host.state"
            {
                self.still_since = Instant::now();
            }
            let field = |key: &str| {
                event.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
            };
            match (event.name.as_str(), field("kind"), field("outcome")) {
                ("step.start", Some("migrate"), _) => {
                    self.first_move.get_or_insert(self.secs());
                }
                ("step.end", Some("migrate"), Some("done")) => {
                    self.last_move = Some(self.secs());
                    let text = |key| field(key).unwrap_or("?").to_owned();
                    self.moves.push(MoveReport {
                        vm: text("vm"),
                        from: text("from"),
                        to: text("to"),
                        ms: field("took").and_then(|took| took.parse().ok()).unwrap_or(0),
                        downtime_ms: field("downtime").and_then(|downtime| downtime.parse().ok()),
                    });
                }
                ("step.end", Some("migrate"), _) => self.moves_failed += 1,
                // The night begins in open hours: only what follows on sleep is an opening.
                ("goal", ..)
                    if field("goal") == Some("spread") && self.sleeps > 0 && self.opening.is_none() =>
                {
                    self.opening = Some((self.secs(), self.wakes));
                }
                ("host.state", ..) if field("to") == Some("waking") => self.wakes += 1,
                ("host.state", ..) if field("to") == Some("asleep") => self.sleeps += 1,
                _ => {}
            }
            if event.level == "alarm" {
                let fields: Vec<String> =
                    event.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
                self.alarms.push(format!("{} {}", event.name, fields.join(" ")));
            }
        }
    }

    pub(super) fn fill(self, report: &mut NightReport) {
        report.moves_s = self.first_move.zip(report.moves_s).map(|(first, last)| tenths(last - first));
        report.first_move_s = self.first_move;
        report.hosts_on = self.series;
        report.moves = self.moves;
        report.moves_failed = self.moves_failed;
        report.wakes = self.wakes;
        report.sleeps = self.sleeps;
        report.alarms = self.alarms;
    }
}
