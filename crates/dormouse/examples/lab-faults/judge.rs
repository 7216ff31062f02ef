//! The records of one lab, held against the rules: what lab, audit log, trail and the looks at rest have written is put
//! in the order of its times and told to the simulator's checkers.
//!
//! One JSON object a line: `cluster` (once), then `lab`, `audit`, `trail`, `cut`, `rest` and `sample` as they came.

use anyhow::{Context as _, Result};
use dormouse_control::Settings;
use dormouse_driver::{AuditEntry, IntentRecord};
use dormouse_model::{Action, Cluster, Epoch, HostId, Intent, IntentId, Mono, Outcome, VmId, text};
use dormouse_sim::{Mirror, Seen};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use uuid::Uuid;

/// A guest that has moved is heard when its next heartbeat gets through; it may have been there so much earlier.
const HEARD_LATE_MS: u64 = 1500;

/// What the records of one lab come to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The broken rules, one a line.
    pub(crate) violations: Vec<String>,
    /// Guests that began anew though nobody had ended them. Emulated memory may not arrive as it was on a starved machine
    /// (`crates/lab/README.md`): a guest whose kernel finds that out starts again.
    pub(crate) booted_anew: u64,
    /// Looks at rest that found a definition beside the one where the guest runs (fault M21).
    pub(crate) left_over: u64,
}

pub(crate) fn of_file(records: &Path) -> Result<Verdict> {
    let text = fs::read_to_string(records).with_context(|| format!("cannot read {}", records.display()))?;
    judge(&text).with_context(|| records.display().to_string())
}

fn judge(records: &str) -> Result<Verdict> {
    let mut lines = records.lines().map(serde_json::from_str::<Value>);
    let Some(first) = lines.next().transpose().context("line 1")? else { return Ok(Verdict::default()) };
    let cluster = text::parse(first["cluster"].as_str().context("the first line holds no cluster")?)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut reader = Reader { cluster: &cluster, zero_ms: 0, all: vec![] };
    for (number, line) in lines.enumerate() {
        // The last line of a run that was stopped may be half a line.
        let Ok(line) = line else { break };
        reader.read(&line).with_context(|| format!("line {}", number + 2))?;
    }
    let mut all = reader.all;
    in_order(&mut all);
    let booted_anew = booted_anew(&all);
    as_they_were(&mut all);
    in_order(&mut all);
    let all = with_first_looks(all);
    let left_over = |(_, _, seen): &&Record| match seen {
        Seen::Rest { defined, .. } => defined.values().any(|hosts| hosts.len() > 1),
        _ => false,
    };
    let left_over = u64::try_from(all.iter().filter(left_over).count())?;
    let begins = all.first().map_or(0, |(ms, _, _)| *ms);
    let mut mirror = Mirror::new(cluster.clone(), Settings::default());
    for (ms, _, seen) in all {
        mirror.see(Mono(ms - begins), seen);
    }
    Ok(Verdict { violations: mirror.end().iter().map(ToString::to_string).collect(), booted_anew, left_over })
}

fn booted_anew(all: &[Record]) -> u64 {
    let mut alive: BTreeMap<Uuid, HostId> = BTreeMap::new();
    let mut count = 0;
    for (_, _, seen) in all {
        match seen {
            Seen::Booted { vm, host } => count += u64::from(alive.insert(*vm, *host).is_some()),
            Seen::Moved { vm, to, .. } => drop(alive.insert(*vm, *to)),
            Seen::Cut { held, .. } => alive.retain(|vm, _| !held.contains(vm)),
            Seen::Died { host } => alive.retain(|_, at| at != host),
            _ => {}
        }
    }
    count
}

fn in_order(all: &mut [Record]) {
    all.sort_by_key(|(ms, source, _)| (*ms, *source));
}

/// A guest that moves is heard when its next heartbeat gets through: it may have been there for a while. Its arrival is put
/// back by that much, not before its move was begun, or was at rest, or was heard from elsewhere. One that is not heard
/// at all, since its new host lost its power at once or it booted anew there, was there when its move was done.
fn as_they_were(all: &mut Vec<Record>) {
    let mut moves: BTreeMap<IntentId, Move> = BTreeMap::new();
    let mut not_before: BTreeMap<Uuid, u64> = BTreeMap::new();
    let mut rest = 0;
    let mut arrivals = vec![];
    for place in 0..all.len() {
        let (ms, _, seen) = all[place].clone();
        match seen {
            Seen::Intended(Intent { id, vm: Some(vm), action: Action::Migrate { from, to, .. }, .. }) => {
                not_before.insert(vm, ms);
                moves.insert(id, Move { vm, from, to });
            }
            Seen::Booted { vm, .. } => {
                not_before.insert(vm, ms);
            }
            Seen::Moved { vm, .. } => {
                let earliest = not_before.insert(vm, ms).unwrap_or(0).max(rest);
                all[place].0 = ms.saturating_sub(HEARD_LATE_MS).max(earliest);
            }
            Seen::Rest { .. } => rest = ms + 1,
            Seen::Ended { intent, outcome: Outcome::Done { .. } } => {
                let one =
                    moves.remove(&intent).filter(|one| one.never_heard(ms, &all[..place], &all[place..]));
                arrivals
                    .extend(one.map(|Move { vm, from, to }| (ms, Source::Cut, Seen::Moved { vm, from, to })));
            }
            _ => {}
        }
    }
    all.append(&mut arrivals);
}

struct Move {
    vm: Uuid,
    from: HostId,
    to: HostId,
}

impl Move {
    /// Done at that time, and what comes next is not a word from its new host but the end of that host, or a new boot.
    fn never_heard(&self, done: u64, before: &[Record], after: &[Record]) -> bool {
        let heard = |seen: &Seen| match seen {
            Seen::Moved { vm, to, .. } | Seen::Booted { vm, host: to } if *vm == self.vm => Some(*to),
            _ => None,
        };
        if before.iter().rev().find_map(|(_, _, seen)| heard(seen)) == Some(self.to) {
            return false;
        }
        after.iter().find_map(|(ms, _, seen)| match seen {
            Seen::Died { host } if *host == self.to => Some(*ms <= done + HEARD_LATE_MS),
            Seen::Booted { vm, host } if *vm == self.vm => Some(*host == self.to),
            Seen::Moved { vm, .. } if *vm == self.vm => Some(false),
            _ => None,
        }) == Some(true)
    }
}

/// That the first look after a start finds a host on is routine, which the trail does not keep.
fn with_first_looks(all: Vec<Record>) -> Vec<Record> {
    let mut unknown: BTreeSet<String> = BTreeSet::new();
    let mut whole = Vec::with_capacity(all.len());
    for (ms, source, seen) in all {
        match &seen {
            Seen::Leads { .. } => unknown.clear(),
            Seen::Told { name, fields } if name == "host.state" => {
                let field =
                    |key: &str| fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
                let host = field("host").unwrap_or_default().to_owned();
                if unknown.remove(&host) && field("from") == Some("on") {
                    let words = [("host", host.as_str()), ("from", "unknown"), ("to", "on")];
                    let fields = words.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
                    whole.push((ms, source, Seen::Told { name: name.clone(), fields }));
                }
                if field("to") == Some("unknown") {
                    unknown.insert(host);
                }
            }
            _ => {}
        }
        whole.push((ms, source, seen));
    }
    whole
}

/// At the same millisecond causes come before what tells of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Cut,
    Lab,
    Audit,
    Trail,
    Rest,
}

/// When, by the wall clock; from whom; what.
type Record = (u64, Source, Seen);

struct Reader<'a> {
    cluster: &'a Cluster,
    /// The wall clock as the lab's clock stood at zero.
    zero_ms: u64,
    all: Vec<Record>,
}

impl Reader<'_> {
    fn read(&mut self, line: &Value) -> Result<()> {
        if let Some(event) = line.get("lab") {
            return self.lab(event);
        }
        if let Some(line) = line.get("audit") {
            let ms = line["at_ms"].as_u64().context("no time")?;
            let entry = serde_json::from_value(line.clone()).context("no line of an audit log")?;
            if let Some(seen) = self.audit(entry) {
                self.all.push((ms, Source::Audit, seen));
            }
        }
        if let Some(event) = line.get("trail") {
            let event: dormouse_driver::EventRecord =
                serde_json::from_value(event.clone()).context("no line of a trail")?;
            let ms = u64::try_from(event.at_ms)?;
            self.all.push((ms, Source::Trail, Seen::Told { name: event.name, fields: event.fields }));
        }
        if let Some(cut) = line.get("cut") {
            let host = self.host(&cut["host"])?;
            let seen = Seen::Cut { host, held: uuids(&cut["held"]) };
            self.all.push((cut["wall_ms"].as_u64().context("no time")?, Source::Cut, seen));
        }
        if let Some(rest) = line.get("rest") {
            let seen = self.rest(rest)?;
            self.all.push((rest["wall_ms"].as_u64().context("no time")?, Source::Rest, seen));
        }
        Ok(())
    }

    fn lab(&mut self, event: &Value) -> Result<()> {
        let ev = event["ev"].as_str().unwrap_or_default();
        if ev == "up" {
            self.zero_ms = event["wall_ms"].as_str().and_then(|ms| ms.parse().ok()).context("no time")?;
        }
        let ms = self.zero_ms + event["at_ms"].as_u64().context("no time")?;
        let seen = match ev {
            "guest-boot" => Seen::Booted { vm: self.guest(event)?, host: self.host(&event["host"])? },
            "guest-move" => Seen::Moved {
                vm: self.guest(event)?,
                from: self.host(&event["from"])?,
                to: self.host(&event["host"])?,
            },
            "double-run" => Seen::Twice {
                vm: self.guest(event)?,
                host: self.host(&event["host"])?,
                other: self.host(&event["other"])?,
            },
            "boot" => Seen::On { host: self.host(&event["host"])? },
            "power-off" if event["how"] == "poweroff" => {
                let epoch =
                    event["guard"].as_str().and_then(|words| words.split_whitespace().nth(1)?.parse().ok());
                let held = event["qemu"].as_str().unwrap_or_default().split_whitespace();
                Seen::WentOff {
                    host: self.host(&event["host"])?,
                    epoch: epoch.map(Epoch),
                    held: held.filter_map(|uuid| uuid.parse().ok()).collect(),
                }
            }
            "power-off" => Seen::Died { host: self.host(&event["host"])? },
            _ => return Ok(()),
        };
        self.all.push((ms, Source::Lab, seen));
        Ok(())
    }

    fn audit(&self, entry: AuditEntry) -> Option<Seen> {
        match entry {
            AuditEntry::Intent { intent } => self.intent(&intent).map(Seen::Intended),
            AuditEntry::Effect { intent } => Some(Seen::Began { intent }),
            AuditEntry::Outcome { intent, outcome } => Some(Seen::Ended { intent, outcome }),
            AuditEntry::Lead { epoch, .. } => Some(Seen::Leads { epoch }),
            AuditEntry::Begin { .. } | AuditEntry::Word { .. } | AuditEntry::Store { .. } => None,
        }
    }

    /// With the places of the text in place of names; `None` for a host that it does not have.
    fn intent(&self, record: &IntentRecord) -> Option<Intent> {
        let place = self.cluster.vms.iter().position(|vm| Some(vm.uuid) == record.vm);
        record.intent(self.cluster, VmId::at(place.unwrap_or(self.cluster.vms.len())), Mono::ZERO)
    }

    fn rest(&self, rest: &Value) -> Result<Seen> {
        let mut processes: BTreeMap<Uuid, Vec<HostId>> = BTreeMap::new();
        for guest in rest["guests"].as_array().context("no guests")? {
            let uuid = guest["uuid"].as_str().and_then(|uuid| uuid.parse().ok()).context("no UUID")?;
            let hosts = guest["processes"].as_array().context("no processes")?;
            processes.insert(uuid, hosts.iter().map(|host| self.host(host)).collect::<Result<_>>()?);
        }
        let mut defined: BTreeMap<Uuid, Vec<HostId>> = BTreeMap::new();
        for (host, held) in rest["defined"].as_object().context("no definitions")? {
            let host = self.host(&Value::from(host.as_str()))?;
            for uuid in uuids(held) {
                defined.entry(uuid).or_default().push(host);
            }
        }
        Ok(Seen::Rest { processes, defined })
    }

    fn host(&self, name: &Value) -> Result<HostId> {
        let host = name.as_str().and_then(|name| self.cluster.host_named(name));
        host.with_context(|| format!("{name} is no host of this lab"))
    }

    fn guest(&self, event: &Value) -> Result<Uuid> {
        let name = event["guest"].as_str().unwrap_or_default();
        let vm = self.cluster.vms.iter().find(|vm| vm.name == name);
        vm.map(|vm| vm.uuid).with_context(|| format!("{name} is no guest of this lab"))
    }
}

fn uuids(list: &Value) -> Vec<Uuid> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|uuid| uuid.as_str()?.parse().ok()).collect()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
