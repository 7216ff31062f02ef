//! Where things lie below the prefix, and how a value is written so that a changed letter is seen.

use crate::checksum::checksum;
use dormouse_driver::{Kind, StoreError};
use dormouse_model::{IntentId, RollUp};
use etcd_client::KeyValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// Numbers are written so that the order of keys is theirs.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn below(prefix: &str) -> Self {
        Self { prefix: format!("{}/", prefix.trim_end_matches('/')) }
    }

    pub(super) fn all(&self) -> &str {
        &self.prefix
    }

    /// The record that makes it a store.
    pub(super) fn cluster(&self) -> String {
        format!("{}cluster", self.prefix)
    }

    pub(super) fn leader(&self) -> String {
        format!("{}leader", self.prefix)
    }

    pub(super) fn view(&self) -> String {
        format!("{}view", self.prefix)
    }

    pub(super) fn intents(&self) -> String {
        format!("{}intents/", self.prefix)
    }

    pub(super) fn intent(&self, id: IntentId) -> String {
        format!("{}intents/{:020}", self.prefix, id.0)
    }

    pub(super) fn outcomes(&self) -> String {
        format!("{}outcomes/", self.prefix)
    }

    pub(super) fn outcome(&self, id: IntentId) -> String {
        format!("{}outcomes/{:020}", self.prefix, id.0)
    }

    pub(super) fn audits(&self) -> String {
        format!("{}audit/", self.prefix)
    }

    pub(super) fn audit(&self, seq: u64) -> String {
        format!("{}audit/{seq:020}", self.prefix)
    }

    pub(super) fn events(&self) -> String {
        format!("{}trail/", self.prefix)
    }

    pub(super) fn event(&self, seq: u64) -> String {
        format!("{}trail/{seq:020}", self.prefix)
    }

    pub(super) fn memories(&self, kind: Kind) -> String {
        format!("{}memory/{}/", self.prefix, crate::memory::word(kind))
    }

    pub(super) fn memory(&self, kind: Kind, key: &str) -> String {
        self.memories(kind) + key
    }

    pub(super) fn demands(&self) -> String {
        format!("{}demand/", self.prefix)
    }

    /// All rows of one span.
    pub(super) fn demand_of(&self, roll_up: RollUp, start: i64) -> String {
        format!("{}{}/{start:020}/", self.demands(), crate::demand::word(roll_up))
    }

    /// The rows of a sixteenth of all VMs: no value grows beyond what etcd takes.
    pub(super) fn demand(&self, roll_up: RollUp, start: i64, vm: Uuid) -> String {
        format!("{}{:x}", self.demand_of(roll_up, start), vm.as_bytes()[15] & 0xf)
    }
}

/// The key after all that begin so.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // Our prefixes end in `/` or a digit, never in the last byte there is.
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

pub(super) fn seal(key: &str, value: &impl Serialize) -> Result<String, StoreError> {
    let text = serde_json::to_string(value).map_err(|error| StoreError::NotWritten(error.to_string()))?;
    Ok(format!("{:08x} {text}", checksum(&[key, &text])))
}

pub(super) fn unseal<T: DeserializeOwned>(found: &KeyValue) -> Result<T, StoreError> {
    let key = String::from_utf8_lossy(found.key());
    let read = || {
        let (sum, text) = found.value_str().ok()?.split_once(' ')?;
        let right = sum == format!("{:08x}", checksum(&[&key, text]));
        right.then(|| serde_json::from_str(text).ok()).flatten()
    };
    read().ok_or_else(|| crate::journal::damaged("the record", key.escape_default()))
}
