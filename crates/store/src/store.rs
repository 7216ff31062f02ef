//! The contract's [`Store`] on the thread that owns the database.

use crate::desk::Desk;
use crate::dump::Dump;
use crate::error::store_error;
use crate::{OpenError, audit, demand, journal, memory, open, trail};
use async_trait::async_trait;
use dormouse_driver::{
    AuditEntry, AuditLine, EventRecord, IntentRecord, Kind, MemoryRecord, Remembered, Store, StoreError,
};
use dormouse_model::{DemandBatch, IntentId, Outcome};
use rusqlite::TransactionBehavior;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A store in one file, with its log and its marker beside it.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pub(crate) desk: Desk,
    pub(crate) path: PathBuf,
}

impl SqliteStore {
    /// Opens the store, or makes it where none ever was. Its folder must exist.
    ///
    /// # Errors
    /// It is damaged, gone, newer than this program, or not ours. Nothing was changed then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let db = open::open(path)?;
        let desk = Desk::open(db).map_err(OpenError::io("start a thread for", path))?;
        Ok(Self { desk, path: path.to_owned() })
    }

    /// All that is in it, found whole.
    ///
    /// # Errors
    /// It could not be read, or is damaged.
    pub async fn dump(&self) -> Result<Dump, StoreError> {
        self.desk.ask(|db| Dump::read(&db.sure)).await
    }

    /// How an intent ended, if it did.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn outcome(&self, intent: IntentId) -> Result<Option<Outcome>, StoreError> {
        self.desk.ask(move |db| journal::outcome(&db.sure, intent)).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<Remembered, StoreError> {
        self.desk
            .ask(|db| {
                let cluster = open::lead(&db.sure)?.cluster;
                let (open, last_intent) = journal::open(&journal::all(&db.sure)?)?;
                audit::verify(&db.sure)?;
                Ok(Remembered {
                    cluster,
                    hosts: memory::load(&db.sure, Kind::Host)?,
                    vms: memory::load(&db.sure, Kind::Vm)?,
                    settings: memory::load(&db.sure, Kind::Setting)?,
                    demand: demand::load(&db.sure)?,
                    open,
                    last_intent,
                })
            })
            .await
    }

    async fn append(&self, intent: &IntentRecord) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.desk.ask(move |db| journal::append(&mut db.sure, &intent)).await
    }

    async fn close(&self, intent: IntentId, outcome: &Outcome) -> Result<(), StoreError> {
        let outcome = outcome.clone();
        self.desk.ask(move |db| journal::close(&mut db.sure, intent, &outcome)).await
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let entry = entry.clone();
        self.desk
            .ask(move |db| {
                let all =
                    db.sure.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
                audit::add(&all, &entry)?;
                all.commit().map_err(store_error)
            })
            .await
    }

    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        self.desk.ask(move |db| audit::after(&db.sure, after, limit)).await
    }

    async fn remember(&self, kind: Kind, key: &str, value: Value) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.desk.ask(move |db| memory::remember(&db.sure, kind, &key, &value)).await
    }

    async fn forget(&self, kind: Kind, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.desk.ask(move |db| memory::forget(&db.sure, kind, &key)).await
    }

    async fn remember_all(&self, records: &[MemoryRecord]) -> Result<(), StoreError> {
        let records = records.to_vec();
        self.desk
            .ask(move |db| {
                let all =
                    db.sure.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
                for MemoryRecord { kind, key, value } in &records {
                    match value {
                        Some(value) => memory::remember(&all, *kind, key, value)?,
                        None => memory::forget(&all, *kind, key)?,
                    }
                }
                all.commit().map_err(store_error)
            })
            .await
    }

    async fn keep_demand(&self, batch: &DemandBatch) -> Result<(), StoreError> {
        let batch = batch.clone();
        self.desk.ask(move |db| demand::keep(&mut db.soon, &batch)).await
    }

    async fn tell(&self, events: &[EventRecord]) -> Result<(), StoreError> {
        let events = events.to_vec();
        self.desk.ask(move |db| trail::tell(&mut db.soon, &events)).await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        self.desk.ask(move |db| trail::after(&db.soon, after, limit)).await
    }

    async fn last_events(&self, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        self.desk.ask(move |db| trail::last(&db.soon, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_driver::ActionRecord;
    use dormouse_model::{Epoch, Millis, PlanId, StepId};
    use serde_json::json;

    fn sleep(id: u64) -> IntentRecord {
        let action = ActionRecord::Sleep { host: "lab07".to_owned() };
        let (epoch, deadline) = (Epoch(0), Millis::from_secs(60));
        IntentRecord {
            id: IntentId(id),
            epoch,
            plan: PlanId(3),
            step: StepId(1),
            action,
            vm: None,
            deadline,
            written_ms: 5,
        }
    }

    /// The store may not grow beyond so many pages: SQLite then answers as on a full disk.
    async fn limit(store: &SqliteStore, pages: u32) {
        let set = move |db: &mut crate::desk::Db| {
            db.sure.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).map_err(store_error)
        };
        store.desk.ask(set).await.expect("the limit");
    }

    #[tokio::test]
    async fn a_full_disk_is_a_plain_no_and_ends_when_there_is_room() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let store = SqliteStore::open(&dir.path().join("dormouse.db")).expect("a new store");
        limit(&store, 40).await;
        let refused = loop {
            let filler = json!("x".repeat(20_000));
            if let Err(error) = store.remember(Kind::Setting, "filler", filler).await {
                break error;
            }
            let key = format!("filler{}", store.load().await.expect("whole").settings.len());
            if let Err(error) = store.remember(Kind::Setting, &key, json!("x".repeat(500))).await {
                break error;
            }
        };
        assert_eq!(refused, StoreError::NotWritten("database or disk is full".to_owned()));
        let mut id = 1;
        let refused = loop {
            match store.append(&sleep(id)).await {
                Ok(()) => id += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, StoreError::NotWritten("database or disk is full".to_owned()));
        assert_eq!(store.load().await.expect("whole").last_intent, id - 1, "the refused one is not there");
        limit(&store, 1000).await;
        store.append(&sleep(id)).await.expect("taken now");
    }
}
