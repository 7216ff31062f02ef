//! The one way to the store: in order, never holding up the loop.
//!
//! When the store takes nothing (disk full), intents are refused at once, so no effect starts; outcomes and memory wait
//! and are tried again until there is room. Nothing is acknowledged that is not durable.

use super::journal_queue::{Entry, Queue};
use super::runner::Input;
use dormouse_control::Event;
use dormouse_driver::{AuditEntry, EventRecord, IntentRecord, Kind, MemoryRecord, Store, StoreError};
use dormouse_model::{DemandBatch, IntentId, Outcome, OutcomeError};
use serde_json::Value;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

/// How long to wait before a store that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Resolves when it is settled whether something is written.
pub(super) type Written = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

#[derive(Debug)]
pub(super) struct Journal {
    queue: Arc<Queue>,
    more: Arc<Notify>,
    /// Rises when lines were added to the trail.
    told: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Journal {
    pub(super) fn start(store: Arc<dyn Store>, inbox: mpsc::Sender<Input>) -> Self {
        let (queue, more) = (Arc::new(Queue::default()), Arc::new(Notify::new()));
        let (telling, told) = watch::channel(0);
        let desk = Desk { store, inbox, queue: Arc::clone(&queue), telling };
        let task = tokio::spawn(desk.work(Arc::clone(&more)));
        Self { queue, more, told, task }
    }

    pub(super) fn told(&self) -> watch::Receiver<u64> {
        self.told.clone()
    }

    /// The event that answers is sent later, or at once when the intent cannot be written.
    pub(super) fn write(&self, intent: IntentRecord) -> Option<Event> {
        let id = intent.id;
        self.push(Entry::Write(intent)).err().map(|why| Event::NotDurable { intent: id, why })
    }

    pub(super) fn close(&self, intent: IntentId, outcome: Outcome) {
        _ = self.push(Entry::Close { intent, outcome });
    }

    /// For the audit log.
    pub(super) fn note(&self, entry: AuditEntry) -> Result<(), String> {
        self.push(Entry::Note(entry))
    }

    /// Refused while the audit log is far behind: no word goes unrecorded.
    pub(super) fn takes_words(&self) -> Result<(), String> {
        self.queue.takes_notes()
    }

    /// Everything handed in so far is in the store, or why it is not.
    pub(super) fn written(&self) -> Written {
        let (queue, mark) = (Arc::clone(&self.queue), self.queue.mark());
        Box::pin(async move { queue.written(mark).await })
    }

    /// Why the store takes nothing at the moment, if it does not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.queue.trouble()
    }

    /// `None` forgets.
    pub(super) fn remember(&self, kind: Kind, key: String, value: Option<Value>) {
        _ = self.push(Entry::Remember(MemoryRecord { kind, key, value }));
    }

    pub(super) fn tell(&self, event: EventRecord) {
        _ = self.push(Entry::Tell(event));
    }

    /// Not for sure: what is lost is learned again.
    pub(super) fn keep_demand(&self, batch: DemandBatch) {
        _ = self.push(Entry::Demand(batch));
    }

    fn push(&self, entry: Entry) -> Result<(), String> {
        let taken = self.queue.push(entry);
        self.more.notify_one();
        taken
    }

    /// Waits until everything is written, or that long.
    pub(super) async fn finish(self, limit: Duration) {
        let written = async {
            while !self.queue.is_empty() {
                self.more.notify_one();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(limit, written).await.is_err() {
            tracing::error!("the store did not take everything before the end");
        }
        self.task.abort();
    }
}

struct Desk {
    store: Arc<dyn Store>,
    inbox: mpsc::Sender<Input>,
    queue: Arc<Queue>,
    telling: watch::Sender<u64>,
}

impl Desk {
    async fn work(self, more: Arc<Notify>) {
        loop {
            let next = self.queue.front();
            match next.first() {
                None => more.notified().await,
                Some(Entry::Tell(_)) => self.tell(next).await,
                Some(Entry::Demand(batch)) => {
                    if let Err(error) = self.store.keep_demand(batch).await {
                        tracing::warn!("a few minutes of what VMs needed were not kept: {error}");
                    }
                    self.queue.done(1);
                }
                Some(Entry::Write(intent)) => self.write(intent).await,
                Some(Entry::Close { intent, outcome }) => {
                    let closed = match self.store.close(*intent, outcome).await {
                        // It is closed, or was never there: both are the end of it.
                        Err(StoreError::Twice(_) | StoreError::NoSuch(_)) => Ok(()),
                        other => other,
                    };
                    self.sure(1, closed).await;
                }
                Some(Entry::Note(entry)) => self.sure(1, self.store.note(entry).await).await,
                Some(Entry::Remember(_)) => {
                    let record =
                        |entry| if let Entry::Remember(record) = entry { Some(record) } else { None };
                    let records: Vec<MemoryRecord> = next.into_iter().filter_map(record).collect();
                    self.sure(records.len(), self.store.remember_all(&records).await).await;
                }
            }
        }
    }

    async fn tell(&self, entries: Vec<Entry>) {
        let count = entries.len();
        let events: Vec<EventRecord> = entries
            .into_iter()
            .filter_map(|entry| if let Entry::Tell(event) = entry { Some(event) } else { None })
            .collect();
        if let Err(error) = self.store.tell(&events).await {
            tracing::warn!("{count} lines of the trail were lost: {error}");
        }
        let dropped = self.queue.take_dropped();
        if dropped > 0 {
            tracing::warn!("{dropped} lines of the trail were dropped: the store is behind");
        }
        self.queue.done(count);
        self.telling.send_modify(|n| *n += 1);
    }

    async fn write(&self, intent: &IntentRecord) {
        let id = intent.id;
        let event = match self.store.append(intent).await {
            Ok(()) => Event::Durable(id),
            Err(error) => {
                if matches!(error, StoreError::Unknown(_)) {
                    // It may be there. If so, it says how it ended: it never began.
                    let never = Outcome::Failed(OutcomeError::Driver(
                        "never started: the store did not answer".to_owned(),
                    ));
                    _ = self.queue.push(Entry::Close { intent: id, outcome: never });
                }
                if matches!(error, StoreError::Fenced(_)) {
                    self.send(Event::Deposed).await;
                }
                Event::NotDurable { intent: id, why: error.to_string() }
            }
        };
        self.queue.done(1);
        self.send(event).await;
    }

    /// Goes on when they are written; otherwise waits, refuses intents, and lets the same entries be tried again.
    async fn sure(&self, count: usize, written: Result<(), StoreError>) {
        match written {
            Ok(()) => {
                if self.queue.recover() {
                    tracing::info!("the store takes writes again");
                }
                self.queue.done(count);
            }
            // Someone else leads and writes: this will never be taken, and what comes after it may be.
            Err(StoreError::Fenced(epoch)) => {
                tracing::warn!("a record of epoch {epoch}, which is over, is not kept");
                self.queue.fence(count);
            }
            Err(error) => {
                tracing::error!("{error}: nothing new is started until it does");
                for intent in self.queue.fail(&error.to_string()) {
                    self.send(Event::NotDurable { intent: intent.id, why: error.to_string() }).await;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn send(&self, event: Event) {
        // The loop is gone only at the end.
        _ = self.inbox.send(Input::Event(event)).await;
    }
}
