//! The script of a scenario: what happens when, and what must come of it. The grammar is told in `docs/scenarios.md`.

mod action;
mod fact;
mod words;

pub use action::{Action, ByHand, Crash, CrashPoint, Operator};
pub(crate) use fact::Sight;
pub use fact::{Compare, Condition, Count, Fact};

use dormouse_control::Restart;
use dormouse_model::text::quoted;
use dormouse_model::{Cluster, HostId, Millis, Mono};
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use words::{Names, Words, Wrong};

/// Nobody reads the log of more than a few years.
const LONGEST: Millis = Millis::from_mins(24 * 60 * 1500);
const TOO_FAR: &str = "too far in the future";

/// A Monday at noon, in winter time, no holiday anywhere we know of.
pub const DEFAULT_START: DateTime = DateTime::constant(2026, 1, 12, 12, 0, 0, 0);

#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub start: Timestamp,
    pub zone: TimeZone,
    pub actions: Vec<Timed>,
    pub expectations: Vec<Expectation>,
    pub until: Mono,
    pub seed: u64,
    pub with: With,
}

/// How the manager of this script is set up, beyond the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct With {
    /// Hosts whose power control can prove them off.
    pub provers: BTreeSet<HostId>,
    pub wake_without_quorum: bool,
    pub restart: Restart,
}

/// An action and when it happens, with the words it was written in.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    pub at: Mono,
    pub action: Action,
    pub text: String,
}

/// Something that must be so, or must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    pub line: u32,
    pub text: String,
    pub from: Mono,
    /// By then at the latest; without it, at the end.
    pub by: Option<Mono>,
    pub never: bool,
    pub fact: Fact,
}

/// What is wrong with a script, and on which line of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    pub line: u32,
    pub message: String,
}

impl Script {
    /// One that lets time pass and nothing else.
    #[must_use]
    pub fn quiet(cluster: &Cluster, start: DateTime, until: DateTime, seed: u64) -> Self {
        let zone = cluster.schedule.zone.rules().clone();
        let start = instant(&zone, start).unwrap_or(Timestamp::MAX);
        let until = instant(&zone, until).unwrap_or(Timestamp::MAX);
        let span = until.as_millisecond().saturating_sub(start.as_millisecond());
        let until = Mono(u64::try_from(span).unwrap_or(0));
        Self { start, zone, actions: vec![], expectations: vec![], until, seed, with: With::default() }
    }

    /// # Errors
    /// A line that is no script line, or names what the cluster does not have.
    pub fn parse(text: &str, cluster: &Cluster) -> Result<Self, ScriptError> {
        let mut reader = Reader {
            names: Names { cluster, defined: BTreeMap::new() },
            clock: ScriptClock::new(cluster.schedule.zone.rules().clone(), DEFAULT_START)
                .map_err(|message| ScriptError { line: 1, message })?,
            script: Self::quiet(cluster, DEFAULT_START, DEFAULT_START, 1),
            from: Mono::ZERO,
            ended: false,
        };
        for (index, line) in text.lines().enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            reader.line(number, line).map_err(|message| ScriptError { line: number, message })?;
        }
        if !reader.ended {
            let line = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
            return Err(ScriptError { line, message: "the last line must be `run until TIME`".to_owned() });
        }
        Ok(reader.script)
    }
}

struct Reader<'a> {
    names: Names<'a>,
    clock: ScriptClock,
    script: Script,
    /// The time of the last `at`.
    from: Mono,
    ended: bool,
}

impl Reader<'_> {
    fn line(&mut self, number: u32, line: &str) -> Result<(), Wrong> {
        let mut words = Words::of(line)?;
        if words.is_empty() {
            return Ok(());
        }
        if self.ended {
            return Err("nothing may follow `run until`".to_owned());
        }
        let text = line.trim().to_owned();
        match words.one_of(
            "script line",
            &[("start", 0), ("at", 1), ("expect", 2), ("never", 3), ("run", 4), ("with", 5)],
        )? {
            5 => {
                if !self.script.actions.is_empty() {
                    return Err("`with` comes before anything happens".to_owned());
                }
                match words
                    .one_of("setting", &[("power-control", 0), ("wake-without-quorum", 1), ("restart", 2)])?
                {
                    0 => self.script.with.provers.extend(self.names.hosts(&words.take("hosts")?)?),
                    1 => self.script.with.wake_without_quorum = true,
                    _ => {
                        let kinds = [("never", Restart::Never), ("on-crash", Restart::OnCrash)];
                        self.script.with.restart = words.one_of("restart", &kinds)?;
                    }
                }
            }
            0 => {
                if !self.script.actions.is_empty() || !self.script.expectations.is_empty() {
                    return Err("`start` comes first".to_owned());
                }
                let start = date_time(&words.take("a date and time")?)?;
                self.clock = ScriptClock::new(self.clock.zone.clone(), start)?;
                self.script.start = self.clock.start;
            }
            1 => {
                let at = self.clock.read(&words.take("a time")?)?;
                if at < self.from {
                    return Err("time does not run backwards".to_owned());
                }
                self.from = at;
                let after = text.find(char::is_whitespace).map_or("", |place| text[place..].trim_start());
                let after = after
                    .find(char::is_whitespace)
                    .map_or("", |place| after[place..].trim_start())
                    .to_owned();
                let action = Action::parse(&mut words, &mut self.names)?;
                self.script.actions.push(Timed { at, action, text: after });
            }
            kind @ (2 | 3) => {
                let within = fact::within(&mut words)?;
                let fact = Fact::parse(&mut words, &self.names)?;
                let by = within.map(|span| self.from + span);
                let never = kind == 3;
                self.script.expectations.push(Expectation {
                    line: number,
                    text,
                    from: self.from,
                    by,
                    never,
                    fact,
                });
            }
            _ => {
                words.one_of("word", &[("until", ())])?;
                let seed = words.option("seed");
                self.script.until = self.clock.read(&words.take("a time")?)?;
                if self.script.until < self.from {
                    return Err("it would end before its last line".to_owned());
                }
                if self.script.until > Mono::ZERO + LONGEST {
                    return Err(format!("longer than {} days", LONGEST.as_secs() / 86_400));
                }
                self.script.seed = seed.map_or(Ok(1), |seed| words::number(&seed))?;
                self.ended = true;
            }
        }
        words.end()
    }
}

/// Turns the times of a script into spans since its start. Times of day roll over midnight.
#[derive(Debug)]
struct ScriptClock {
    zone: TimeZone,
    start: Timestamp,
    last: DateTime,
}

impl ScriptClock {
    fn new(zone: TimeZone, start: DateTime) -> Result<Self, Wrong> {
        Ok(Self { start: instant(&zone, start).ok_or(TOO_FAR)?, zone, last: start })
    }

    /// `HH:MM[:SS]`, `+SECONDS` since the start, or a date and time.
    fn read(&mut self, text: &str) -> Result<Mono, Wrong> {
        let at = if let Some(span) = text.strip_prefix('+') {
            let span = words::span(span)?;
            let at = Timestamp::from_millisecond(
                self.start.as_millisecond().saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX)),
            )
            .map_err(|_| TOO_FAR)?;
            self.last = self.zone.to_datetime(at);
            return Ok(Mono::ZERO + span);
        } else if text.contains('T') {
            date_time(text)?
        } else {
            let time: Time = text.parse().map_err(|_| {
                format!("{} is no time: HH:MM[:SS], +SECONDS or 2026-10-25T02:30", quoted(text))
            })?;
            let same_day = self.last.date().to_datetime(time);
            if same_day < self.last {
                self.last.date().tomorrow().map_err(|_| TOO_FAR)?.to_datetime(time)
            } else {
                same_day
            }
        };
        self.last = at;
        let span = instant(&self.zone, at).ok_or(TOO_FAR)?.as_millisecond() - self.start.as_millisecond();
        u64::try_from(span).map(Mono).map_err(|_| "before the start".to_owned())
    }
}

fn date_time(text: &str) -> Result<DateTime, Wrong> {
    text.parse().map_err(|_| format!("{} is no date and time like 2026-10-25T02:30", quoted(text)))
}

/// Where clocks are put back the first of two equal times is meant; where they are put forward, the hour after the gap.
fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    zone.to_timestamp(local).ok()
}
