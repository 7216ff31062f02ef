//! Reading all of it at one revision, and writing all of it: for copies, for moving, for accepting an etcd that went back,
//! and to see that it is whole.

use super::keys::{end_of, seal, unseal};
use super::record::{self, Record, State};
use super::store::{BYTES, OPS};
use super::{EtcdSettings, EtcdStore, begin};
use crate::audit::Judge;
use crate::dump::Dump;
use crate::journal::unclosed;
use dormouse_driver::{Kind, StoreError};
use dormouse_model::{DemandRow, IntentId};
use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, Txn, TxnOp};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{Read, Write};

/// Why nothing is put in the place of a store while anyone leads.
pub const IN_USE: &str = "a manager is at work on it";
/// What is read of a range, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) keys_only: bool,
    /// Records read at once.
    pub(super) page: i64,
    /// 0: the newest there is.
    pub(super) revision: i64,
    pub(super) limit: usize,
}

impl Range {
    pub(super) const ALL: Self = Self { keys_only: false, page: 500, revision: 0, limit: usize::MAX };
    pub(super) const KEYS: Self = Self { keys_only: true, page: 5_000, ..Self::ALL };
}

/// What the standbys are shown, unpacked: no view is larger.
const VIEW_BYTES_MAX: u64 = 64 << 20;

/// Everything from a key to another, all of one revision.
pub(super) async fn all(
    store: &EtcdStore,
    from: &str,
    to: &[u8],
    range: Range,
) -> Result<Vec<KeyValue>, StoreError> {
    let Range { keys_only, page, mut revision, limit } = range;
    let (mut found, mut from) = (vec![], from.to_owned());
    loop {
        let page = page.min(i64::try_from(limit - found.len()).unwrap_or(i64::MAX));
        let options = GetOptions::new().with_range(to).with_limit(page).with_revision(revision);
        let options = if keys_only { options.with_keys_only() } else { options };
        let mut answer = store.link().get(&from, Some(options)).await?;
        if revision == 0 {
            revision = record::place(answer.header()).1;
        }
        let (kvs, more) = (answer.take_kvs(), answer.more());
        let next = kvs.last().map(|kv| [kv.key(), b"\0"].concat());
        found.extend(kvs);
        match next {
            Some(next) if more && found.len() < limit => {
                from = String::from_utf8(next)
                    .map_err(|_| StoreError::Damaged("a key in etcd is not text".to_owned()))?;
            }
            _ => return Ok(found),
        }
    }
}

pub(super) async fn range<T: DeserializeOwned>(
    store: &EtcdStore,
    from: &str,
    to: &[u8],
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    if limit == 0 {
        return Ok(vec![]);
    }
    all(store, from, to, Range { limit, ..Range::ALL }).await?.iter().map(unseal).collect()
}

/// All of it, every record verified.
pub(super) async fn read(store: &EtcdStore) -> Result<Dump, StoreError> {
    let keys = store.keys();
    let found = all(store, keys.all(), &end_of(keys.all()), Range::ALL).await?;
    let mut dump = Dump::empty(uuid::Uuid::nil(), 0);
    let mut judge = Judge::default();
    let (mut record, mut demand) = (None, vec![]);
    for kv in &found {
        let key = String::from_utf8_lossy(kv.key()).into_owned();
        let below = |prefix: &str| key.strip_prefix(prefix);
        if key == keys.cluster() {
            record = Some(unseal::<Record>(kv)?);
        } else if below(&keys.intents()).is_some() {
            dump.intents.push(unseal(kv)?);
        } else if let Some(id) = below(&keys.outcomes()) {
            let id = id.parse().map_err(|_| crate::journal::damaged("the outcome", key.escape_default()))?;
            dump.outcomes.push((IntentId(id), unseal(kv)?));
        } else if below(&keys.audits()).is_some() {
            let line = unseal(kv)?;
            judge.take(&line)?;
            dump.audit.push(line);
        } else if below(&keys.events()).is_some() {
            dump.events.push(unseal(kv)?);
        } else if below(&keys.demands()).is_some() {
            demand.push(kv);
        } else {
            for (kind, into) in [
                (Kind::Host, &mut dump.hosts),
                (Kind::Vm, &mut dump.vms),
                (Kind::Setting, &mut dump.settings),
            ] {
                if let Some(name) = below(&keys.memories(kind)) {
                    into.push((name.to_owned(), unseal(kv)?));
                }
            }
        }
    }
    let record = record.ok_or_else(|| StoreError::Damaged("the store in etcd is gone".to_owned()))?;
    record.usable()?;
    dump.cluster = record.cluster;
    dump.epoch = dump.intents.iter().map(|intent| intent.epoch.0).max().unwrap_or(0).max(record.base);
    dump.demand = begin::rows(demand);
    // Outcomes without their intent are found here.
    unclosed(dump.intents.iter().map(|intent| intent.id), dump.outcomes.iter().map(|(id, _)| *id))?;
    // The log of a store that was just made is still empty.
    if !(dump.audit.is_empty() && dump.intents.is_empty()) {
        judge.end(&dump.intents, &dump.outcomes)?;
    }
    Ok(dump)
}

impl EtcdStore {
    /// All that is in it, found whole. A leader may be at work on it.
    ///
    /// # Errors
    /// Nobody answers, or it is damaged.
    pub async fn dump(&self) -> Result<Dump, StoreError> {
        let mut dump = read(self).await?;
        // Whoever leads now, or led last, did so below this.
        let (found, _, revision) = record::read(self.link(), self.keys()).await?;
        let base = found.map_or(0, |(record, _)| record.base);
        dump.epoch = dump.epoch.max(base.saturating_add(revision.unsigned_abs()));
        Ok(dump)
    }

    /// Puts all of this in the place of what is there, on an operator's word. Epochs go on above `dump.epoch`.
    ///
    /// # Errors
    /// A manager leads, nobody answers, or etcd does not take it: then what is there is refused until this succeeds.
    pub async fn replace(settings: &EtcdSettings, dump: &Dump) -> Result<(), StoreError> {
        let store = Self::reach(settings).await?;
        if let Some(who) = store.leader().await? {
            return Err(StoreError::NotWritten(format!("{IN_USE}: {who}")));
        }
        let etcd = record::read(store.link(), store.keys()).await?.1;
        let record = |state| Record::new(dump.cluster, dump.epoch, etcd, state);
        store.write_record(&record(State::Filling)).await?;
        store.clear().await?;
        store.fill(dump).await?;
        store.write_record(&record(State::Ready)).await?;
        store.seen().forget();
        let (found, etcd, revision) = record::read(store.link(), store.keys()).await?;
        if let Some((record, _)) = found {
            store.seen().judge(&record, etcd, revision)?;
        }
        store.seen().keep()
    }

    /// What is there although it went back in time, or was made in another etcd: for [`Self::replace`].
    ///
    /// # Errors
    /// Nobody answers, or it is damaged.
    pub async fn read_whatever(settings: &EtcdSettings) -> Result<Dump, StoreError> {
        Self::reach(settings).await?.dump().await
    }

    /// Cluster and highest epoch of the store that is there, whether it is whole or not.
    ///
    /// # Errors
    /// Nobody answers, or the record is damaged.
    pub async fn identity(settings: &EtcdSettings) -> Result<Option<(uuid::Uuid, u64)>, StoreError> {
        let store = Self::reach(settings).await?;
        let (found, _, revision) = record::read(store.link(), store.keys()).await?;
        Ok(found.map(|(record, _)| (record.cluster, record.base.saturating_add(revision.unsigned_abs()))))
    }

    /// The cluster keeps its store elsewhere from now on.
    ///
    /// # Errors
    /// Nobody answers, or there is none.
    pub async fn say_moved(settings: &EtcdSettings) -> Result<(), StoreError> {
        let store = Self::reach(settings).await?;
        match record::read(store.link(), store.keys()).await?.0 {
            Some((record, _)) => store.write_record(&Record { state: State::Moved, ..record }).await,
            None => Ok(()),
        }
    }

    /// Refused while anyone leads.
    async fn write_record(&self, record: &Record) -> Result<(), StoreError> {
        let key = self.keys().cluster();
        let put = TxnOp::put(key.clone(), seal(&key, record)?, None);
        self.unled(vec![put]).await
    }

    async fn unled(&self, ops: Vec<TxnOp>) -> Result<(), StoreError> {
        let nobody = Compare::version(self.keys().leader(), CompareOp::Equal, 0);
        let done = self.link().txn(Txn::new().when([nobody]).and_then(ops)).await?;
        if done.succeeded() { Ok(()) } else { Err(StoreError::NotWritten(IN_USE.to_owned())) }
    }

    /// Everything but the record.
    async fn clear(&self) -> Result<(), StoreError> {
        let (all, record) = (self.keys().all(), self.keys().cluster());
        let before = DeleteOptions::new().with_range(record.clone());
        let after = DeleteOptions::new().with_range(end_of(all));
        self.unled(vec![TxnOp::delete(all, Some(before)), TxnOp::delete(record + "\0", Some(after))]).await
    }

    async fn fill(&self, dump: &Dump) -> Result<(), StoreError> {
        let keys = self.keys();
        let mut puts: Vec<(String, String)> = vec![];
        let mut put =
            |key: String, value: Result<String, StoreError>| value.map(|value| puts.push((key, value)));
        for intent in &dump.intents {
            let key = keys.intent(intent.id);
            put(key.clone(), seal(&key, intent))?;
        }
        for (id, outcome) in &dump.outcomes {
            let key = keys.outcome(*id);
            put(key.clone(), seal(&key, outcome))?;
        }
        for line in &dump.audit {
            let key = keys.audit(line.seq);
            put(key.clone(), seal(&key, line))?;
        }
        for event in &dump.events {
            let key = keys.event(event.seq);
            put(key.clone(), seal(&key, event))?;
        }
        for (kind, records) in
            [(Kind::Host, &dump.hosts), (Kind::Vm, &dump.vms), (Kind::Setting, &dump.settings)]
        {
            for (name, value) in records {
                let key = keys.memory(kind, name);
                put(key.clone(), seal(&key, value))?;
            }
        }
        let mut demand = std::collections::BTreeMap::<String, Vec<&DemandRow>>::new();
        for row in &dump.demand {
            demand.entry(keys.demand(row.roll_up, row.start, row.vm)).or_default().push(row);
        }
        for (key, rows) in demand {
            put(key.clone(), seal(&key, &rows))?;
        }
        let (mut ops, mut bytes) = (vec![], 0);
        for (key, value) in puts {
            if ops.len() == OPS || bytes + value.len() > BYTES {
                self.unled(std::mem::take(&mut ops)).await?;
                bytes = 0;
            }
            bytes += key.len() + value.len();
            ops.push(TxnOp::put(key, value, None));
        }
        self.unled(ops).await
    }
}

/// A view as the standbys find it. Nothing is decided from it.
pub(super) fn packed(view: &Value) -> Result<Vec<u8>, StoreError> {
    let pack = || -> std::io::Result<Vec<u8>> {
        let mut gz = GzEncoder::new(vec![], Compression::fast());
        gz.write_all(&serde_json::to_vec(view)?)?;
        gz.finish()
    };
    pack().map_err(|error| StoreError::NotWritten(error.to_string()))
}

pub(super) fn unpacked(bytes: &[u8]) -> Result<Value, StoreError> {
    let mut text = vec![];
    let read = GzDecoder::new(bytes).take(VIEW_BYTES_MAX).read_to_end(&mut text);
    let view = read.ok().and_then(|_| serde_json::from_slice(&text).ok());
    view.ok_or_else(|| StoreError::Damaged("what the leader told does not read".to_owned()))
}
