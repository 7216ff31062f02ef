//! What survives a restart, and who may act.
//!
//! Ids of hosts and VMs are places in a list of one process and are never stored: a record names hosts by their
//! configured name and VMs by UUID. The memory of the controller is opaque JSON here; only the controller reads it.

use async_trait::async_trait;
use dormouse_model::{
    Action, Cluster, DemandBatch, DemandRow, Epoch, Intent, IntentId, Millis, Mono, Outcome, PlanId, StepId,
    VmId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An intent as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    pub id: IntentId,
    pub epoch: Epoch,
    pub plan: PlanId,
    pub step: StepId,
    #[serde(flatten)]
    pub action: ActionRecord,
    pub vm: Option<Uuid>,
    pub deadline: Millis,
    /// Wall clock, milliseconds since 1970.
    pub written_ms: i64,
}

impl IntentRecord {
    /// The intent itself, with the places of this text in place of names; `vm` is the place of its VM, which is not the
    /// text's affair. `None`: the text has no such host.
    #[must_use]
    pub fn intent(&self, cluster: &Cluster, vm: VmId, written: Mono) -> Option<Intent> {
        let host = |name: &str| cluster.host_named(name);
        let action = match &self.action {
            ActionRecord::Migrate { from, to } => Action::Migrate { vm, from: host(from)?, to: host(to)? },
            ActionRecord::Wake { host: name } => Action::Wake { host: host(name)? },
            ActionRecord::Sleep { host: name } => Action::Sleep { host: host(name)? },
            ActionRecord::Start { host: name } => Action::Start { vm, host: host(name)? },
            ActionRecord::Fence { host: name } => Action::Fence { host: host(name)? },
            ActionRecord::Stop { host: name } => Action::Stop { vm, host: host(name)? },
        };
        let Self { id, epoch, plan, step, deadline, .. } = *self;
        Some(Intent { id, epoch, plan, step, action, vm: self.vm, deadline, written, good_until: None })
    }
}

/// [`dormouse_model::Action`] with names in place of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum ActionRecord {
    Migrate { from: String, to: String },
    Wake { host: String },
    Sleep { host: String },
    Start { host: String },
    Stop { host: String },
    Fence { host: String },
}

/// What a remembered record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Key: the host's name.
    Host,
    /// Key: the VM's UUID.
    Vm,
    /// Key: whatever the daemon calls it (changes made by verbs, pins of host keys).
    Setting,
}

/// What is to be kept under a key in place of what was there; `None` forgets.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryRecord {
    pub kind: Kind,
    pub key: String,
    pub value: Option<Value>,
}

/// One line of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Given by the store, rising; 0 in an event that is not stored yet.
    #[serde(default)]
    pub seq: u64,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: i64,
    pub level: String,
    pub name: String,
    /// In the order told. Untrusted text.
    pub fields: Vec<(String, String)>,
}

/// What the audit log says happened. Text in it is untrusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum AuditEntry {
    /// The log begins. Intents up to this one are older than it.
    Begin { after: IntentId },
    /// Something is about to be done. Added by [`Store::append`], with the intent and in the same breath.
    Intent { intent: IntentRecord },
    /// The call to the host, libvirt or network card began.
    Effect { intent: IntentId },
    /// How it ended. Added by [`Store::close`], with the outcome.
    Outcome { intent: IntentId, outcome: Outcome },
    /// What a person asked for, and what was answered at once.
    Word { by: String, order: Value, answer: String },
    /// A manager took the lead. Added by [`Lease::campaign`].
    Lead { epoch: Epoch, who: String },
    /// The store itself: brought back from a copy, moved, accepted.
    Store { change: String },
}

/// One line of the audit log. Each names the hash of the one before, so no line changes or vanishes unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// From 1, without a gap.
    pub seq: u64,
    /// Wall clock of the machine that keeps the store, milliseconds since 1970.
    pub at_ms: i64,
    /// The [`AuditEntry`] as JSON, as it was written.
    pub entry: String,
    /// Hash of the line before.
    pub prev: String,
    pub hash: String,
}

/// All that was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// Made once with the store; the guards on the hosts obey this cluster alone.
    pub cluster: Uuid,
    /// Key and record, in the order of keys.
    pub hosts: Vec<(String, Value)>,
    pub vms: Vec<(String, Value)>,
    pub settings: Vec<(String, Value)>,
    /// What VMs needed, each VM's in the order of time. A row that does not read back is left out: without it less is
    /// known, and nothing wrong believed.
    pub demand: Vec<DemandRow>,
    /// Written and without an outcome, in the order written.
    pub open: Vec<IntentRecord>,
    /// The highest intent id ever written; 0 when there is none.
    pub last_intent: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written: no space, not writable, busy for too long.
    #[error("the store did not take it: {0}")]
    NotWritten(String),
    /// The write may or may not be there.
    #[error("the store did not answer: {0}")]
    Unknown(String),
    /// A record does not read back. Nothing is half used; says which.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    #[error("the store was written by a newer version (schema {found}, this program knows {known})")]
    Newer { found: u32, known: u32 },
    /// The epoch is not the current one: someone else leads.
    #[error("epoch {0} no longer leads")]
    Fenced(Epoch),
    #[error("intent {0} was written or closed before")]
    Twice(IntentId),
    #[error("intent {0} is not known")]
    NoSuch(IntentId),
}

#[async_trait]
pub trait Store: Send + Sync {
    /// Everything that a leader begins with, each record of it verified. A damaged store is an error, never an empty one.
    async fn load(&self) -> Result<Remembered, StoreError>;

    /// Whether all of it is whole, also what [`Self::load`] left unread because nothing is begun from it. Takes the longer
    /// the more history there is, and may run beside everything else. A store that reads all of itself in `load` has nothing
    /// to add.
    async fn verify(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes an intent durable: when this returns `Ok`, a power cut does not lose it. Refused (`Fenced`) in the same
    /// transaction when the intent's epoch is not the current one.
    async fn append(&self, intent: &IntentRecord) -> Result<(), StoreError>;

    /// Makes the outcome durable. Exactly one per written intent: a second one is refused (`Twice`).
    async fn close(&self, intent: IntentId, outcome: &Outcome) -> Result<(), StoreError>;

    /// Adds a line to the audit log, durable when this returns.
    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError>;

    /// The audit log after `seq`, oldest first, at most `limit` lines.
    async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, StoreError>;

    /// Keeps a record under a key in place of the one before. Later writes win; order is kept.
    async fn remember(&self, kind: Kind, key: &str, value: Value) -> Result<(), StoreError>;

    async fn forget(&self, kind: Kind, key: &str) -> Result<(), StoreError>;

    /// Many at once, in their order, durable when this returns. Of those that are refused together the first may be there.
    async fn remember_all(&self, records: &[MemoryRecord]) -> Result<(), StoreError> {
        for MemoryRecord { kind, key, value } in records {
            match value {
                Some(value) => self.remember(*kind, key, value.clone()).await?,
                None => self.forget(*kind, key).await?,
            }
        }
        Ok(())
    }

    /// Keeps what VMs needed, and forgets what is of no use any more. May be lost in a power cut.
    async fn keep_demand(&self, batch: &DemandBatch) -> Result<(), StoreError>;

    /// Appends to the trail. May be lost in a power cut, never reordered.
    async fn tell(&self, events: &[EventRecord]) -> Result<(), StoreError>;

    /// The trail after `seq`, oldest first, at most `limit`.
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<EventRecord>, StoreError>;

    /// The last `limit` events, oldest first.
    async fn last_events(&self, limit: usize) -> Result<Vec<EventRecord>, StoreError>;

    /// Shows managers that stand by what the leader sees. Nothing is decided from it.
    async fn publish(&self, _view: &Value) -> Result<(), StoreError> {
        Ok(())
    }

    /// What the leader showed last.
    async fn published(&self) -> Result<Option<Value>, StoreError> {
        Ok(None)
    }
}

/// The right to act, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub epoch: Epoch,
    /// Counted from *before* the call that granted or renewed it: add it to the monotonic time read then.
    pub lasts: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Someone else leads; `who` as far as known.
    #[error("another manager leads: {who}")]
    Held { who: String },
    /// The term is over; only a new campaign, with a new epoch, leads again.
    #[error("epoch {0} is over")]
    Over(Epoch),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Leadership. At most one term is current in one store, and each has a higher epoch than all before it.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Takes the lead if it is free.
    async fn campaign(&self, who: &str) -> Result<Term, LeaseError>;

    async fn renew(&self, epoch: Epoch) -> Result<Term, LeaseError>;

    /// Gives the lead up early. Without it the next manager waits for the end of the term.
    async fn resign(&self, epoch: Epoch) -> Result<(), LeaseError>;
}
