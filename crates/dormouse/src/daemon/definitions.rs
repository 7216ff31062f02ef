//! What VMs are, kept for the day their host is not there to be asked: without a definition nothing starts elsewhere.
//!
//! Taken from the host on which the VM is present, after a good look, when something new is seen there or what is kept is
//! old. Losing a write is harmless: the next look brings it again. Never here: whether and where a VM is started, and any
//! change to a definition.

use dormouse_driver::{Definition, Remembered};
use dormouse_model::{HostFacts, Millis, Mono};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Kept among what the store calls settings, under this and the UUID.
const PREFIX: &str = "definition/";
/// A change that somebody makes to a definition is known after this at the latest.
const OLD: Millis = Millis::from_mins(10);
/// A VM that a host has and does not give the definition of is not asked for with every look.
const AGAIN: Millis = Millis::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Definitions {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// A digest of what the store has of each VM: the texts themselves are many and rarely needed.
    digests: BTreeMap<Uuid, u64>,
    asked: BTreeMap<String, Mono>,
}

impl Definitions {
    pub(crate) fn of(kept: &Remembered) -> Self {
        let digests = kept.settings.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(PREFIX)?.parse().ok()?, digest(value.get("xml")?.as_str()?)))
        });
        Self { known: Mutex::new(Known { digests: digests.collect(), asked: BTreeMap::new() }) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this host should be asked for its definitions now; notes that it is.
    pub(crate) fn ask(&self, host: &str, facts: &HostFacts, now: Mono) -> bool {
        let mut known = self.known();
        let mut present = facts.vms.iter().filter(|vm| vm.state.is_present() && vm.persistent);
        let new = present.any(|vm| !known.digests.contains_key(&vm.uuid));
        let due = match known.asked.get(host) {
            None => !facts.vms.is_empty(),
            Some(asked) => now.since(*asked) >= if new { AGAIN } else { OLD },
        };
        if due {
            known.asked.insert(host.to_owned(), now);
        }
        due
    }

    /// What the store does not have yet, as key and record. A host speaks only for the VMs that are present there.
    pub(crate) fn news(&self, all: Vec<Definition>) -> Vec<(Uuid, String, Value)> {
        let known = self.known();
        all.into_iter()
            .filter(|one| one.state.is_present() && one.persistent)
            .filter(|one| known.digests.get(&one.uuid) != Some(&digest(&one.xml)))
            .map(|one| (one.uuid, format!("{PREFIX}{}", one.uuid), json!({ "xml": one.xml })))
            .collect()
    }

    /// The store has it.
    pub(crate) fn kept(&self, vm: Uuid, record: &Value) {
        if let Some(xml) = record.get("xml").and_then(Value::as_str) {
            self.known().digests.insert(vm, digest(xml));
        }
    }

    /// The definition of one VM among all that was kept.
    pub(crate) fn find(kept: &Remembered, vm: Uuid) -> Option<String> {
        let wanted = format!("{PREFIX}{vm}");
        let (_, record) = kept.settings.iter().find(|(key, _)| *key == wanted)?;
        record.get("xml")?.as_str().map(str::to_owned)
    }
}

fn digest(xml: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    xml.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::DomainState;

    fn definition(n: u128, state: DomainState, xml: &str) -> Definition {
        Definition { uuid: Uuid::from_u128(n), name: "v".into(), state, persistent: true, xml: xml.into() }
    }

    #[test]
    fn only_where_it_is_present_a_definition_is_news_and_only_when_it_changed() {
        let definitions = Definitions::default();
        let list = || {
            vec![
                definition(1, DomainState::Running, "<a/>"),
                definition(2, DomainState::ShutOff, "<b/>"),
                Definition { persistent: false, ..definition(3, DomainState::Running, "<c/>") },
            ]
        };
        let news = definitions.news(list());
        let [(vm, key, record)] = news.as_slice() else { panic!("{news:?}") };
        assert_eq!(key, "definition/00000000-0000-0000-0000-000000000001");
        definitions.kept(*vm, record);
        assert_eq!(definitions.news(list()), []);
        let kept = Remembered { settings: vec![(key.clone(), record.clone())], ..Remembered::default() };
        assert_eq!(Definitions::find(&kept, *vm).as_deref(), Some("<a/>"));
        assert_eq!(Definitions::find(&kept, Uuid::from_u128(2)), None);
        assert_eq!(Definitions::of(&kept).news(list()), [], "and after a restart");
        let changed = vec![definition(1, DomainState::Paused, "<a2/>")];
        assert_eq!(definitions.news(changed).len(), 1);
    }
}
