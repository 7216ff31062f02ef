//! What goes into the controller and what comes out.

use dormouse_model::{
    DemandBatch, Epoch, HostId, Intent, IntentId, Millis, Mono, Observation, ObservationId, Outcome, VmId,
};
use std::fmt;

use crate::mutants::{self, Mutant};
use crate::{HostMemory, ManagerMemory, VmMemory};

/// Both clocks at the moment of an event. Timeouts and leases use `mono`, the calendar uses `wall`, nothing mixes them.
/// The origin of `mono` lies at least a day before the start, so that remembered moves and sleeps have a place on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub mono: Mono,
    pub wall: jiff::Timestamp,
}

/// Something that happened. Events may come late, twice or never; only effects already asked for may be answered.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "events are taken one by one, and nearly all of them are looks"
)]
pub enum Event {
    /// Time has passed. The runner sends one at `Controller::next_tick` at the latest; more do no harm.
    Tick,
    /// A look ended, well or not. Answers [`Effect::Look`].
    Observed(Observation),
    /// The intent is durable: its effect may start. Answers [`Effect::Write`].
    Durable(IntentId),
    /// The intent could not be written: its effect must not start. Answers [`Effect::Write`].
    NotDurable { intent: IntentId, why: String },
    /// An effect ended. Answers [`Effect::Act`].
    Ended { intent: IntentId, outcome: Outcome },
    /// We lead until then, at least; sent at each renewal.
    Leads { epoch: Epoch, until: Mono },
    /// We lead no longer.
    Deposed,
    /// A person's word.
    Order { by: String, order: Order },
}

/// What a person may ask for. Orders pass the same gate as plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// No new effect before that time (`None`: until resumed). Running ones end.
    Pause {
        until: Option<Mono>,
    },
    Resume,
    /// Wake all and spread now, and stay so until `Resume` or the next window begins.
    Normalise,
    /// Plan now instead of at the next cycle (`apply`); with `Automation::Advise` carries that one plan out.
    Apply,
    /// Look at these hosts now; all when empty.
    Refresh {
        hosts: Vec<HostId>,
    },
    /// Empty the host and leave it on.
    Drain {
        host: HostId,
    },
    /// End of drain, maintenance or set-aside: trust the host again.
    Clear {
        host: HostId,
    },
    Maintenance {
        host: HostId,
        on: bool,
    },
    Wake {
        host: HostId,
    },
    Sleep {
        host: HostId,
    },
    /// The host was switched off by a person, on purpose.
    SayOff {
        host: HostId,
    },
    /// A silent host is really off, by the word of a person who went and saw: its VMs may start elsewhere.
    Fence {
        host: HostId,
    },
    Move {
        vm: VmId,
        to: HostId,
    },
    Automation(crate::Automation),
}

/// Something to be done. The order within one answer is the order of doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look at this host; answer with [`Event::Observed`] within the deadline.
    Look {
        id: ObservationId,
        host: HostId,
        deadline: Millis,
    },
    /// Make the intent durable, then answer [`Event::Durable`] or [`Event::NotDurable`].
    Write(Intent),
    /// Carry it out, then answer [`Event::Ended`]. Only ever sent after its `Durable`.
    Act(Intent),
    /// Send a wake although nobody can write it down: our store is out of reach, and a wake does no harm. No answer.
    WakeAlone(HostId),
    /// End this running move at the source. Its `Act` still answers with [`Event::Ended`].
    Abort(Intent),
    /// A move was left half-done: paused by the migration at its source, running at its destination. Look at both ends
    /// again and set right what is safe (faults M04). No answer; looks follow.
    Settle(Intent),
    /// Make the outcome durable. Exactly one per written intent; no answer.
    Close {
        intent: IntentId,
        outcome: Outcome,
    },
    /// Keep what must survive a restart. No answer; writes are in order.
    RememberHost(HostMemory),
    RememberVm(VmMemory),
    RememberManager(ManagerMemory),
    /// Keep what VMs needed. Losing it is harmless: no other write waits for it.
    RememberDemand(DemandBatch),
    /// For the trail: golden files, `dormouse events`, the journal of the system.
    Tell(LogEvent),
}

/// How much a person should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    /// Someone has to do something.
    Alarm,
}

/// A fact in fixed fields, not prose: `ev=host.state host=h07 from=on to=unknown cause=probe.timeout`.
/// Values are escaped when printed; wording for people is made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    pub level: Level,
    pub name: &'static str,
    pub fields: Vec<(&'static str, String)>,
}

impl LogEvent {
    #[must_use]
    pub fn new(level: Level, name: &'static str) -> Self {
        Self { level, name, fields: vec![] }
    }

    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.fields.push((key, value.to_string()));
        self
    }

    #[must_use]
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }
}

/// `ev=NAME key=value …` on one line; a value with blanks, quotes or control characters is quoted and escaped.
impl fmt::Display for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ev={}", self.name)?;
        for (key, value) in &self.fields {
            let plain = !value.is_empty()
                && value.chars().all(|c| {
                    c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '=')
                        || (c.is_alphanumeric() && !c.is_control())
                });
            if plain || mutants::has(Mutant::WritesRawText) {
                write!(f, " {key}={value}")?;
            } else {
                write!(f, " {key}=\"{}\"", value.escape_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_values_stay_on_one_line() {
        let event =
            LogEvent::new(Level::Info, "vm.seen").with("vm", "$(reboot)\n\u{1b}[2Jx").with("host", "h07");
        assert_eq!(event.to_string(), r#"ev=vm.seen vm="$(reboot)\n\u{1b}[2Jx" host=h07"#);
    }
}
