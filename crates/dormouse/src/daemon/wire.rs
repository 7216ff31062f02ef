//! What verbs and daemon say to each other: one JSON value a line, in both directions. Field names are stable
//! (`docs/json.md`); a request of another version is refused, not guessed at.

use dormouse_driver::EventRecord;
use dormouse_model::schedule::Schedule;
use dormouse_model::text;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) const VERSION: u32 = 1;

/// A longer line is no request.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Lines of the trail in one answer, at most.
pub(crate) const EVENTS_MAX: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) v: u32,
    #[serde(flatten)]
    pub(crate) verb: Verb,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub(crate) enum Verb {
    Status,
    Hosts,
    Vms,
    /// What would be done now, or with the calendar's goal of another time: [`PlanView`].
    Plan {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_ms: Option<i64>,
    },
    /// The calendar in use: [`CalendarView`].
    Calendar,
    Why {
        name: String,
    },
    /// The trail after `after`, or its last lines; with `follow` also those to come, until the reader leaves.
    Events {
        #[serde(default)]
        after: Option<u64>,
        #[serde(default)]
        last: Option<usize>,
        #[serde(default)]
        follow: bool,
    },
    Order(OrderWord),
}

/// What a person asks for, with names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum OrderWord {
    Pause {
        #[serde(default)]
        for_ms: Option<u64>,
    },
    Resume,
    Normalise,
    Apply,
    /// Read settings and cluster text again.
    Reload,
    Refresh {
        #[serde(default)]
        hosts: Vec<String>,
    },
    Drain {
        host: String,
    },
    Clear {
        host: String,
    },
    Maintenance {
        host: String,
        on: bool,
    },
    Wake {
        host: String,
    },
    Sleep {
        host: String,
    },
    SayOff {
        host: String,
    },
    /// It is really off: its VMs may start elsewhere.
    Fence {
        host: String,
    },
    /// Its guard obeys this cluster from now on.
    Adopt {
        host: String,
    },
    Move {
        vm: String,
        to: String,
    },
}

/// One line back. Followed events come as one such line each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) v: u32,
    pub(crate) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<WireError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireError {
    pub(crate) code: Code,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// As the exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    Failed,
    Usage,
    Refused,
    Unreachable,
    Nothing,
}

impl Answer {
    pub(crate) fn data(value: &impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(data) => Self { v: VERSION, ok: true, data: Some(data), error: None },
            Err(error) => Self::error(Code::Failed, format!("the answer cannot be written: {error}")),
        }
    }

    pub(crate) fn error(code: Code, message: impl Into<String>) -> Self {
        let error = WireError { code, message: message.into(), hint: None };
        Self { v: VERSION, ok: false, data: None, error: Some(error) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(error) = &mut self.error {
            error.hint = Some(hint.into());
        }
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusView {
    pub(crate) version: String,
    pub(crate) cluster: String,
    pub(crate) mode: String,
    /// `null`: we do not lead.
    pub(crate) epoch: Option<u64>,
    /// Why the store takes no writes, while it does not: nothing new is started then.
    #[serde(default)]
    pub(crate) store_trouble: Option<String>,
    /// This manager does not lead, and shows what the leader told.
    #[serde(default)]
    pub(crate) standby: Option<StandbyView>,
    pub(crate) paused: bool,
    /// Too many hosts vanished at once: nothing destructive is done.
    pub(crate) frozen: bool,
    pub(crate) policy: String,
    pub(crate) goal: String,
    /// For how long hosts could sleep, where the goal is `compact`.
    pub(crate) horizon_ms: Option<u64>,
    /// The calendar's time, in the cluster's zone.
    pub(crate) time: String,
    /// Hosts in each state; states without a host are left out.
    pub(crate) hosts: Vec<Count>,
    pub(crate) hosts_on: u32,
    pub(crate) vms: Vec<Count>,
    pub(crate) watts: u64,
    /// The same load with every host on.
    #[serde(default)]
    pub(crate) watts_all_on: u64,
    /// What the calendar does next; `null`: nothing within 400 days.
    #[serde(default)]
    pub(crate) next: Option<NextView>,
    pub(crate) running: Vec<RunningView>,
    /// Hosts that are not as they should be, each with the reason.
    pub(crate) trouble: Vec<TroubleView>,
    /// A MAC address or a disk that several VMs have.
    #[serde(default)]
    pub(crate) doubles: Vec<DoubleView>,
    pub(crate) since_start: TallyView,
    /// Who carries the moves of how many hosts; hosts of which it is not known are left out.
    #[serde(default)]
    pub(crate) moves: Vec<Count>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StandbyView {
    /// As it calls itself, or why it is not known.
    pub(crate) leader: String,
    /// How long ago it told what is shown.
    pub(crate) age_ms: u64,
}

/// What a leader tells the managers that stand by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Wall clock of the leader, milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) status: StatusView,
    pub(crate) hosts: Vec<HostView>,
    pub(crate) vms: Vec<VmView>,
    pub(crate) plan: Option<PlanView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NextView {
    /// `opens` or `ends`.
    pub(crate) event: String,
    pub(crate) window: String,
    /// In the cluster's zone.
    pub(crate) at: String,
    pub(crate) in_ms: u64,
    /// When hosts shall be up for it.
    pub(crate) up_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) state: String,
    pub(crate) count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningView {
    pub(crate) intent: u64,
    pub(crate) kind: String,
    pub(crate) vm: Option<String>,
    pub(crate) host: String,
    pub(crate) to: Option<String>,
    pub(crate) for_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TroubleView {
    pub(crate) host: String,
    pub(crate) state: String,
    pub(crate) why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoubleView {
    /// `mac` or `disk`.
    pub(crate) kind: String,
    pub(crate) what: String,
    pub(crate) vms: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TallyView {
    pub(crate) moves: u64,
    pub(crate) moves_failed: u64,
    pub(crate) wakes: u64,
    pub(crate) sleeps: u64,
    pub(crate) plans: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostView {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) in_state_ms: u64,
    pub(crate) address: Option<String>,
    pub(crate) vms: Vec<String>,
    pub(crate) mem_mib: u64,
    pub(crate) mem_used_mib: u64,
    pub(crate) cpus: u32,
    /// loadavg15 / CPUs in thousandths; `null`: not seen in this cycle.
    pub(crate) load15_permille: Option<u64>,
    /// `maintenance`, `drain`, `hold`, `keep-on`, `role:…`, `unproven`, `fenced`, `no-disk-lock`.
    pub(crate) marks: Vec<String>,
    /// What stands against switching it off.
    pub(crate) obstacles: Vec<String>,
    pub(crate) cycles_day: u32,
    /// Age of the last answer; `null`: it never answered.
    pub(crate) seen_ms: Option<u64>,
    /// Why the last look failed.
    pub(crate) error: Option<String>,
    /// Who carries moves to it and from it; `null`: not known.
    #[serde(default)]
    pub(crate) moves: Option<MovesView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MovesView {
    /// `peer-to-peer-listed`, `peer-to-peer` or `managed`.
    pub(crate) way: String,
    /// For people, with the reason where it is the weaker way.
    pub(crate) words: String,
    /// What will have to be done some day.
    pub(crate) notes: Vec<String>,
    /// The host for `dormouse host add`, if something is to be done.
    pub(crate) mend: Option<String>,
    /// Until its certificate of ours ends.
    pub(crate) certificate_days: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VmView {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) state: String,
    /// Where it runs, or where it comes from.
    pub(crate) host: Option<String>,
    /// Every host that may hold it, when that is not one.
    pub(crate) hosts: Vec<String>,
    pub(crate) home: Option<String>,
    pub(crate) mem_mib: u64,
    pub(crate) vcpus: u32,
    /// Demand in thousandths of a core, as the wake decision sees it.
    pub(crate) cpu_milli: u64,
    pub(crate) moves_hour: u32,
    pub(crate) moves_day: u32,
    /// Why it cannot move, if so.
    pub(crate) immovable: Option<String>,
    /// What it has that another VM has, too: `MAC 52:54:… as web2`, `disk … as web2`.
    #[serde(default)]
    pub(crate) doubles: Vec<String>,
    /// Hosts to which its last move failed: it is not sent there now.
    #[serde(default)]
    pub(crate) barred: Vec<String>,
}

/// A plan, ready to be shown and as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanView {
    pub(crate) steps: usize,
    pub(crate) text: String,
    /// As `plan --format json`.
    pub(crate) plan: Value,
}

/// The calendar that is in use, as lines of a cluster text, and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CalendarView {
    pub(crate) text: String,
    /// Milliseconds since 1970.
    pub(crate) now_ms: i64,
}

/// A schedule as the lines of a cluster text: nothing else of the cluster is in it.
pub(crate) fn calendar_text(name: &str, schedule: &Schedule) -> String {
    let mut cluster = text::parse("").expect("an empty text is a cluster");
    name.clone_into(&mut cluster.name);
    cluster.schedule = schedule.clone();
    text::print(&cluster)
}

/// What keeps a host awake, or where a VM is, ready to be shown and as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WhyView {
    pub(crate) text: String,
    /// As `why --format json`.
    pub(crate) why: Vec<Value>,
}

/// What an order led to at once. The rest is told by events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderView {
    pub(crate) order: String,
    pub(crate) by: String,
    pub(crate) told: Vec<EventRecord>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_documented() {
        let line = |verb| serde_json::to_string(&Request { v: VERSION, verb }).expect("writes");
        assert_eq!(line(Verb::Status), r#"{"v":1,"verb":"status"}"#);
        let pause = Verb::Order(OrderWord::Pause { for_ms: Some(7_200_000) });
        assert_eq!(line(pause), r#"{"v":1,"verb":"order","order":"pause","for_ms":7200000}"#);
        let read = |text: &str| {
            serde_json::from_str::<Request>(text).map(|request| request.verb).map_err(|e| e.to_string())
        };
        assert_eq!(
            read(r#"{"v":1,"verb":"order","order":"drain","host":"lab07"}"#),
            Ok(Verb::Order(OrderWord::Drain { host: "lab07".into() }))
        );
        assert_eq!(
            read(r#"{"v":1,"verb":"plan"}"#),
            Ok(Verb::Plan { at_ms: None }),
            "as before there was a time"
        );
        assert_eq!(
            read(r#"{"v":1,"verb":"events"}"#),
            Ok(Verb::Events { after: None, last: None, follow: false })
        );
        assert!(read(r#"{"v":1,"verb":"reboot"}"#).is_err());
    }
}
