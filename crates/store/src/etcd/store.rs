//! The contract's [`Store`], each write one transaction with the check that we still lead.

use super::keys::{Keys, end_of, seal, unseal};
use super::link::Link;
use super::record::{self, Seen};
use super::{EtcdSettings, begin, copy};
use crate::chain::{Chain, now_ms};
use async_trait::async_trait;
use dormouse_driver::{
    AuditEntry, AuditLine, EventRecord, IntentRecord, Kind, MemoryRecord, Remembered, Store, StoreError,
};
use dormouse_model::{DemandBatch, DemandRow, Epoch, IntentId, Outcome, RollUp};
use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, MutexGuard};

/// Closed intents, lines of the audit log and of the trail that are kept at least; the oldest go in bunches.
const KEEP_INTENTS: u64 = 10_000;
const KEEP_AUDIT: u64 = 20_000;
const KEEP_EVENTS: u64 = 20_000;
const BUNCH: u64 = 500;
/// Operations in one transaction, and their bytes; etcd takes 128 and 1.5 MB unless told otherwise.
pub(super) const OPS: usize = 100;
pub(super) const BYTES: usize = 400_000;

/// The right to act, as etcd knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) lease: i64,
    /// Of the leader's key, when it was made.
    pub(super) revision: i64,
    pub(super) base: u64,
}

impl Held {
    pub(super) const fn epoch(&self) -> Epoch {
        Epoch(self.base.saturating_add(self.revision.unsigned_abs()))
    }
}

/// A store in etcd, shared by several managers.
#[derive(Clone, Debug)]
pub struct EtcdStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    keys: Keys,
    seen: Seen,
    held: Mutex<Option<Held>>,
    /// One write after the other, in the order in which they were asked for.
    turn: Turn<Ends>,
}

/// Where the two logs end, while that is known.
#[derive(Debug, Default)]
struct Ends {
    chain: Option<Chain>,
    event: Option<u64>,
    /// The line that was sent last and not answered for: it may be there, or still come.
    unsure: Option<Unsure>,
}

#[derive(Debug)]
struct Unsure {
    entry: AuditEntry,
    key: String,
    sealed: String,
}

impl Unsure {
    fn is(&self, entry: &AuditEntry, there: &KeyValue) -> bool {
        self.entry == *entry && self.key.as_bytes() == there.key() && self.sealed.as_bytes() == there.value()
    }
}

impl EtcdStore {
    /// Reaches the etcd, and makes the store where none ever was.
    ///
    /// # Errors
    /// Nobody answers; it is damaged, newer, another cluster's, or went back in time. Nothing was changed then.
    pub async fn open(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let store = Self::reach(settings).await?;
        let (found, etcd, revision) = record::read(store.link(), store.keys()).await?;
        let record = match found {
            Some((record, _)) => record,
            None if store.seen().is_none() => record::make(store.link(), store.keys(), etcd).await?,
            None => {
                let why = "the store in etcd is gone, although this manager has seen it";
                return Err(StoreError::Damaged(why.to_owned()));
            }
        };
        store.seen().judge(&record, etcd, revision)?;
        store.seen().keep()?;
        Ok(store)
    }

    /// Without a look at what is there.
    pub(super) async fn reach(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let inner = Inner {
            link: Link::to(settings).await?,
            keys: Keys::below(&settings.prefix),
            seen: Seen::open(settings.seen.clone())?,
            held: Mutex::default(),
            turn: Turn::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(super) fn link(&self) -> &Link {
        &self.inner.link
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.inner.seen
    }

    pub(super) fn held(&self) -> Option<Held> {
        *self.inner.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lead(&self, held: Option<Held>) {
        *self.inner.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Who leads, if anyone does.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn leader(&self) -> Result<Option<String>, StoreError> {
        let found = self.link().get(&self.keys().leader(), None).await?;
        Ok(found.kvs().first().map(|kv| kv.value_str().unwrap_or("").escape_default().to_string()))
    }

    /// How an intent ended, if it did.
    ///
    /// # Errors
    /// Nobody answers, or the record is damaged.
    pub async fn outcome(&self, intent: IntentId) -> Result<Option<Outcome>, StoreError> {
        let found = self.link().get(&self.keys().outcome(intent), None).await?;
        found.kvs().first().map(unseal).transpose()
    }

    /// Our turn to write, with the end of the audit log known.
    async fn turn(&self) -> Result<(MutexGuard<'_, Ends>, Chain), StoreError> {
        let mut ends = self.inner.turn.lock().await;
        let chain = match ends.chain.take() {
            Some(chain) => chain,
            None => match self.last(&self.keys().audits()).await? {
                Some(kv) => Chain::after(&unseal(&kv)?),
                None => Chain::default(),
            },
        };
        Ok((ends, chain))
    }

    async fn last(&self, prefix: &str) -> Result<Option<KeyValue>, StoreError> {
        let options =
            GetOptions::new().with_prefix().with_sort(SortTarget::Key, SortOrder::Descend).with_limit(1);
        Ok(self.link().get(prefix, Some(options)).await?.take_kvs().pop())
    }

    /// What must hold for a leader's write.
    fn leads(&self) -> Result<(Held, Compare), StoreError> {
        let held = self.held().ok_or(StoreError::Fenced(Epoch(0)))?;
        let ours = Compare::create_revision(self.keys().leader(), CompareOp::Equal, held.revision);
        Ok((held, ours))
    }

    /// Puts in one transaction; `false`: not, because someone else leads.
    async fn put(&self, ops: Vec<TxnOp>) -> Result<(), StoreError> {
        let (held, ours) = self.leads()?;
        let done = self.link().txn(Txn::new().when([ours]).and_then(ops)).await?;
        if done.succeeded() { Ok(()) } else { Err(StoreError::Fenced(held.epoch())) }
    }

    /// Records and one line of the audit log, all or nothing. `compares` and `puts` are made for one try; the answer is
    /// `None` when it is done, or what stood in the way: the keys of `puts` as they are.
    async fn record(
        &self,
        compares: Vec<Compare>,
        puts: Vec<(String, String)>,
        entry: &AuditEntry,
        look: &[String],
    ) -> Result<Option<Vec<Option<KeyValue>>>, StoreError> {
        let (mut ends, mut chain) = self.turn().await?;
        // The same once more, because nobody answered: its line may be written.
        let unsure = ends.unsure.take().filter(|unsure| unsure.entry == *entry);
        if let Some(unsure) = &unsure
            && puts.is_empty()
            && self.link().get(&unsure.key, None).await?.kvs().iter().any(|kv| unsure.is(entry, kv))
        {
            return Ok(None);
        }
        for _ in 0..3 {
            let line = chain.next(now_ms(), entry)?;
            let key = self.keys().audit(line.seq);
            let (line_key, sealed) = (key.clone(), seal(&key, &line)?);
            let mut when = compares.clone();
            when.push(Compare::version(key.clone(), CompareOp::Equal, 0));
            let mut ops: Vec<TxnOp> =
                puts.iter().map(|(key, value)| TxnOp::put(key.clone(), value.clone(), None)).collect();
            ops.push(TxnOp::put(key.clone(), sealed.clone(), None));
            let mut gets: Vec<TxnOp> = look.iter().map(|key| TxnOp::get(key.clone(), None)).collect();
            gets.push(TxnOp::get(key, None));
            let txn = Txn::new().when(when).and_then(ops).or_else(gets);
            // A call that is never answered leaves the end of the log open: it is looked for the next time.
            let done = match self.link().txn(txn).await {
                Ok(done) => done,
                Err(failure) => {
                    ends.unsure = Some(Unsure { entry: entry.clone(), key: line_key, sealed });
                    return Err(failure.into());
                }
            };
            let mut found = vec![];
            for answer in done.op_responses() {
                if let TxnOpResponse::Get(mut answer) = answer {
                    found.push(answer.take_kvs().pop());
                }
            }
            let there = found.pop().flatten();
            // It arrived twice, and the first had its way.
            let ours = there.as_ref().is_some_and(|kv| kv.value() == sealed.as_bytes());
            // An earlier try came late.
            let earlier =
                unsure.as_ref().zip(there.as_ref()).is_some_and(|(unsure, kv)| unsure.is(entry, kv));
            if earlier && puts.is_empty() {
                return Ok(None);
            }
            if done.succeeded() || ours {
                _ = chain.take(&line);
                if line.seq.is_multiple_of(BUNCH) {
                    self.forget_before(
                        &self.keys().audits(),
                        &self.keys().audit(line.seq.saturating_sub(KEEP_AUDIT)),
                    )
                    .await;
                }
                ends.chain = Some(chain);
                return Ok(None);
            }
            match there {
                // A manager that no longer leads told how an effect of its own ended.
                Some(kv) => _ = chain.take(&unseal(&kv)?),
                None => {
                    ends.chain = Some(chain);
                    return Ok(Some(found));
                }
            }
        }
        Err(StoreError::NotWritten("etcd: others write into the audit log at the same time".to_owned()))
    }

    /// Room for what is new. Failing is no harm: it is tried again with the next bunch.
    async fn forget_before(&self, from: &str, to: &str) {
        if to > from {
            let drop = TxnOp::delete(from, Some(DeleteOptions::new().with_range(to)));
            _ = self.put(vec![drop]).await;
        }
    }

    /// Closed intents far below this one.
    async fn forget_closed(&self, id: IntentId) {
        let before = IntentId(id.0.saturating_sub(KEEP_INTENTS));
        // Twice what has come since the last time: a backlog, as after a move, goes too.
        let options = GetOptions::new()
            .with_range(self.keys().outcome(before))
            .with_keys_only()
            .with_limit(2 * BUNCH.cast_signed());
        let Ok(closed) = self.link().get(&self.keys().outcomes(), Some(options)).await else { return };
        let ids = closed.kvs().iter().filter_map(|kv| kv.key_str().ok()?.rsplit('/').next()?.parse().ok());
        let ops: Vec<TxnOp> = ids
            .flat_map(|id| [self.keys().intent(IntentId(id)), self.keys().outcome(IntentId(id))])
            .map(|key| TxnOp::delete(key, None))
            .collect();
        for ops in ops.chunks(OPS) {
            _ = self.put(ops.to_vec()).await;
        }
    }

    async fn next_event(&self, ends: &mut Ends) -> Result<u64, StoreError> {
        if let Some(next) = ends.event.take() {
            return Ok(next);
        }
        let last: Option<EventRecord> =
            self.last(&self.keys().events()).await?.as_ref().map(unseal).transpose()?;
        Ok(last.map_or(1, |last| last.seq.saturating_add(1)))
    }

    /// Rows of one value, with what was there before.
    async fn merged(&self, key: &str, rows: &[DemandRow]) -> Result<TxnOp, StoreError> {
        let found = self.link().get(key, None).await?;
        // One that does not read is written anew: losing history is harmless.
        let before: Vec<DemandRow> = found.kvs().first().and_then(|kv| unseal(kv).ok()).unwrap_or_default();
        let mut by_vm: BTreeMap<_, DemandRow> = before.into_iter().map(|row| (row.vm, row)).collect();
        by_vm.extend(rows.iter().map(|row| (row.vm, row.clone())));
        let all: Vec<DemandRow> = by_vm.into_values().collect();
        Ok(TxnOp::put(key, seal(key, &all)?, None))
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn load(&self) -> Result<Remembered, StoreError> {
        begin::read(self).await
    }

    async fn verify(&self) -> Result<(), StoreError> {
        copy::read(self).await.map(drop)
    }

    async fn append(&self, intent: &IntentRecord) -> Result<(), StoreError> {
        let fenced = StoreError::Fenced(intent.epoch);
        let (held, ours) = self.leads().map_err(|_| fenced.clone())?;
        if held.epoch() != intent.epoch {
            return Err(fenced);
        }
        let key = self.keys().intent(intent.id);
        let free = Compare::version(key.clone(), CompareOp::Equal, 0);
        let value = seal(&key, intent)?;
        let entry = AuditEntry::Intent { intent: intent.clone() };
        let stood = self.record(vec![ours, free], vec![(key.clone(), value)], &entry, &[key]).await?;
        match stood.map(|mut stood| stood.pop().flatten()) {
            None => Ok(()),
            Some(Some(_)) => Err(StoreError::Twice(intent.id)),
            Some(None) => Err(fenced),
        }
    }

    /// Also by a manager that no longer leads: it alone knows how its last effects ended, and the first word counts.
    async fn close(&self, intent: IntentId, outcome: &Outcome) -> Result<(), StoreError> {
        let (key, of) = (self.keys().outcome(intent), self.keys().intent(intent));
        let when = vec![
            Compare::version(of.clone(), CompareOp::Greater, 0),
            Compare::version(key.clone(), CompareOp::Equal, 0),
        ];
        let value = seal(&key, outcome)?;
        let entry = AuditEntry::Outcome { intent, outcome: outcome.clone() };
        let stood = self.record(when, vec![(key, value)], &entry, &[of]).await?;
        if intent.0.is_multiple_of(BUNCH) {
            self.forget_closed(intent).await;
        }
        match stood.map(|mut stood| stood.pop().flatten()) {
            None => Ok(()),
            Some(Some(_)) => Err(StoreError::Twice(intent)),
            Some(None) => Err(StoreError::NoSuch(intent)),
        }
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let (held, ours) = self.leads()?;
        match self.record(vec![ours], vec![], entry, &[]).await? {
            None => Ok(()),
            Some(_) => Err(StoreError::Fenced(held.epoch())),
        }
    }

    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        let from = self.keys().audit(after.saturating_add(1));
        copy::range(self, &from, &end_of(&self.keys().audits()), limit).await
    }

    async fn remember(&self, kind: Kind, key: &str, value: Value) -> Result<(), StoreError> {
        let key = self.keys().memory(kind, key);
        let _turn = self.inner.turn.lock().await;
        self.put(vec![TxnOp::put(key.clone(), seal(&key, &value)?, None)]).await
    }

    async fn forget(&self, kind: Kind, key: &str) -> Result<(), StoreError> {
        let _turn = self.inner.turn.lock().await;
        self.put(vec![TxnOp::delete(self.keys().memory(kind, key), None)]).await
    }

    async fn remember_all(&self, records: &[MemoryRecord]) -> Result<(), StoreError> {
        let _turn = self.inner.turn.lock().await;
        let (mut ops, mut bytes) = (vec![], 0);
        for MemoryRecord { kind, key, value } in records {
            let key = self.keys().memory(*kind, key);
            let sealed = value.as_ref().map(|value| seal(&key, value)).transpose()?;
            let size = key.len() + sealed.as_ref().map_or(0, String::len);
            if ops.len() == OPS || (bytes + size > BYTES && !ops.is_empty()) {
                self.put(std::mem::take(&mut ops)).await?;
                bytes = 0;
            }
            bytes += size;
            ops.push(match sealed {
                Some(sealed) => TxnOp::put(key, sealed, None),
                None => TxnOp::delete(key, None),
            });
        }
        if ops.is_empty() { Ok(()) } else { self.put(ops).await }
    }

    async fn keep_demand(&self, batch: &DemandBatch) -> Result<(), StoreError> {
        let mut by_key: BTreeMap<String, Vec<DemandRow>> = BTreeMap::new();
        for row in &batch.rows {
            by_key.entry(self.keys().demand(row.roll_up, row.start, row.vm)).or_default().push(row.clone());
        }
        let mut ops = vec![];
        for (key, rows) in &by_key {
            ops.push(self.merged(key, rows).await?);
        }
        for (roll_up, from) in
            [(RollUp::FiveMinutes, batch.five_minutes_from), (RollUp::Hour, batch.hours_from)]
        {
            let from = from.max(0);
            let range = DeleteOptions::new().with_range(self.keys().demand_of(roll_up, from));
            ops.push(TxnOp::delete(self.keys().demand_of(roll_up, 0), Some(range)));
        }
        // A few at a time: together they may be more than etcd takes at once.
        for ops in ops.chunks(8) {
            self.put(ops.to_vec()).await?;
        }
        Ok(())
    }

    async fn tell(&self, events: &[EventRecord]) -> Result<(), StoreError> {
        let mut ends = self.inner.turn.lock().await;
        let mut next = self.next_event(&mut ends).await?;
        for events in events.chunks(OPS) {
            let mut ops = vec![];
            for (seq, event) in (next..).zip(events) {
                let key = self.keys().event(seq);
                ops.push(TxnOp::put(key.clone(), seal(&key, &EventRecord { seq, ..event.clone() })?, None));
            }
            self.put(ops).await?;
            let before = next;
            next = next.saturating_add(events.len() as u64);
            if before / BUNCH != next / BUNCH {
                let keys = self.keys();
                self.forget_before(&keys.events(), &keys.event(next.saturating_sub(KEEP_EVENTS))).await;
            }
        }
        ends.event = Some(next);
        Ok(())
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        let from = self.keys().event(after.saturating_add(1));
        copy::range(self, &from, &end_of(&self.keys().events()), limit).await
    }

    async fn last_events(&self, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        let last: Option<EventRecord> =
            self.last(&self.keys().events()).await?.as_ref().map(unseal).transpose()?;
        let Some(last) = last.filter(|_| limit > 0) else { return Ok(vec![]) };
        self.events(last.seq.saturating_sub(limit as u64), limit).await
    }

    async fn publish(&self, view: &Value) -> Result<(), StoreError> {
        let key = self.keys().view();
        self.put(vec![TxnOp::put(key.clone(), copy::packed(view)?, None)]).await
    }

    async fn published(&self) -> Result<Option<Value>, StoreError> {
        let found = self.link().get(&self.keys().view(), None).await?;
        found.kvs().first().map(|kv| copy::unpacked(kv.value())).transpose()
    }
}
