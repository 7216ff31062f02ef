//! A real store on a disk that misbehaves.

use async_trait::async_trait;
use dormouse_driver::{
    AuditEntry, AuditLine, EventRecord, IntentRecord, Kind, MemoryRecord, Remembered, Store, StoreError,
};
use dormouse_model::{DemandBatch, IntentId, Outcome};
use dormouse_store::SqliteStore;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::watch;

/// A store whose disk can be full, or hang.
pub(super) struct Disk {
    pub(super) store: SqliteStore,
    pub(super) full: Arc<AtomicBool>,
    pub(super) hangs: Arc<watch::Sender<bool>>,
    /// How often records were written, few or many at once.
    pub(super) writes: Arc<AtomicUsize>,
}

impl Disk {
    async fn room(&self) -> Result<(), StoreError> {
        _ = self.hangs.subscribe().wait_for(|hangs| !hangs).await;
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::NotWritten("database or disk is full".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Disk {
    async fn load(&self) -> Result<Remembered, StoreError> {
        self.store.load().await
    }
    async fn append(&self, intent: &IntentRecord) -> Result<(), StoreError> {
        self.room().await?;
        self.store.append(intent).await
    }
    async fn close(&self, intent: IntentId, outcome: &Outcome) -> Result<(), StoreError> {
        self.room().await?;
        self.store.close(intent, outcome).await
    }
    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.room().await?;
        self.store.note(entry).await
    }
    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        self.store.audit(after, limit).await
    }
    async fn remember(&self, kind: Kind, key: &str, value: Value) -> Result<(), StoreError> {
        self.room().await?;
        self.store.remember(kind, key, value).await
    }
    async fn forget(&self, kind: Kind, key: &str) -> Result<(), StoreError> {
        self.room().await?;
        self.store.forget(kind, key).await
    }
    async fn remember_all(&self, records: &[MemoryRecord]) -> Result<(), StoreError> {
        self.room().await?;
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.store.remember_all(records).await
    }
    async fn keep_demand(&self, batch: &DemandBatch) -> Result<(), StoreError> {
        self.room().await?;
        self.store.keep_demand(batch).await
    }
    async fn tell(&self, events: &[EventRecord]) -> Result<(), StoreError> {
        self.room().await?;
        self.store.tell(events).await
    }
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        self.store.events(after, limit).await
    }
    async fn last_events(&self, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        self.store.last_events(limit).await
    }
}
