//! The record that makes a prefix a store, and the note that each manager keeps of how far it saw it: together they show
//! an etcd that went back in time.

use super::keys::{Keys, seal, unseal};
use super::link::Link;
use crate::chain::{Chain, now_ms};
use dormouse_driver::{AuditEntry, StoreError};
use dormouse_model::IntentId;
use etcd_client::{Compare, CompareOp, ResponseHeader, Txn, TxnOp};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// What this program writes.
pub(super) const SCHEMA: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Ready,
    /// A copy is being written; whoever did it was interrupted.
    Filling,
    /// The cluster keeps its store elsewhere.
    Moved,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) schema: u32,
    pub(super) cluster: Uuid,
    /// An epoch is this and a revision.
    pub(super) base: u64,
    /// The etcd's own id for itself. A backup that is restored comes up under another.
    pub(super) etcd: u64,
    pub(super) state: State,
}

impl Record {
    pub(super) const fn new(cluster: Uuid, base: u64, etcd: u64, state: State) -> Self {
        Self { schema: SCHEMA, cluster, base, etcd, state }
    }

    pub(super) fn usable(&self) -> Result<(), StoreError> {
        if self.schema > SCHEMA {
            return Err(StoreError::Newer { found: self.schema, known: SCHEMA });
        }
        let damaged = |why: &str| Err(StoreError::Damaged(why.to_owned()));
        match self.state {
            State::Ready => Ok(()),
            State::Filling => damaged("a copy was being written into etcd and did not come to its end"),
            State::Moved => damaged("this cluster keeps its store elsewhere now; it was moved there"),
        }
    }
}

/// The record as it is now, and the etcd's id and revision.
pub(super) async fn read(link: &Link, keys: &Keys) -> Result<(Option<(Record, i64)>, u64, i64), StoreError> {
    let found = link.get(&keys.cluster(), None).await?;
    let (etcd, revision) = place(found.header());
    let record =
        found.kvs().first().map(|kv| Ok::<_, StoreError>((unseal(kv)?, kv.mod_revision()))).transpose()?;
    Ok((record, etcd, revision))
}

pub(super) fn place(header: Option<&ResponseHeader>) -> (u64, i64) {
    header.map_or((0, 0), |header| (header.cluster_id(), header.revision()))
}

/// Makes the record where none ever was, and begins the audit log.
pub(super) async fn make(link: &Link, keys: &Keys, etcd: u64) -> Result<Record, StoreError> {
    let cluster = crate::marker::new_cluster().map_err(|error| StoreError::NotWritten(error.to_string()))?;
    let record = Record::new(cluster, 0, etcd, State::Ready);
    let key = keys.cluster();
    let free = Compare::version(key.clone(), CompareOp::Equal, 0);
    let put = TxnOp::put(key.clone(), seal(&key, &record)?, None);
    let line = Chain::default().next(now_ms(), &AuditEntry::Begin { after: IntentId(0) })?;
    let begin = keys.audit(line.seq);
    let begun = TxnOp::put(begin.clone(), seal(&begin, &line)?, None);
    link.txn(Txn::new().when([free]).and_then([put, begun])).await?;
    // Another manager may have been first.
    match read(link, keys).await?.0 {
        Some((record, _)) => Ok(record),
        None => Err(StoreError::Unknown("etcd does not hold what was written".to_owned())),
    }
}

/// How far this manager saw the etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    cluster: Uuid,
    base: u64,
    etcd: u64,
    revision: i64,
}

/// [`Noted`], in memory at every answer and in a file now and then.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    path: PathBuf,
    noted: Arc<Mutex<Option<Noted>>>,
}

impl Seen {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let noted = match std::fs::read(&path) {
            // One that does not read is a note all the same: it says that there was an etcd.
            Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| {
                StoreError::Damaged(format!("the note {} does not read: {error}", path.display()))
            })?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(StoreError::NotWritten(format!("cannot read {}: {error}", path.display())));
            }
        };
        Ok(Self { path, noted: Arc::new(Mutex::new(noted)) })
    }

    fn noted(&self) -> MutexGuard<'_, Option<Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_none(&self) -> bool {
        self.noted().is_none()
    }

    /// Judges what was just read, and notes it.
    pub(super) fn judge(&self, record: &Record, etcd: u64, revision: i64) -> Result<(), StoreError> {
        record.usable()?;
        let back = |why: String| Err(StoreError::Damaged(format!("the etcd went back in time: {why}")));
        if record.etcd != etcd {
            return back(
                "it has another id than the one this store was made in, as after a restore from a backup"
                    .into(),
            );
        }
        let mut noted = self.noted();
        match *noted {
            Some(before) if before.cluster != record.cluster => {
                return Err(StoreError::Damaged(format!(
                    "etcd holds cluster {}, and this manager belonged to {}",
                    record.cluster, before.cluster
                )));
            }
            Some(before) if record.base < before.base => {
                return back(format!("epochs begin at {}, and began at {} before", record.base, before.base));
            }
            Some(before) if record.base == before.base && revision < before.revision => {
                return back(format!("it is at revision {revision}, and was at {} before", before.revision));
            }
            _ => {}
        }
        *noted = Some(Noted { cluster: record.cluster, base: record.base, etcd, revision });
        Ok(())
    }

    /// Makes the note durable.
    pub(super) fn keep(&self) -> Result<(), StoreError> {
        let Some(noted) = *self.noted() else { return Ok(()) };
        let write = || -> std::io::Result<()> {
            let new = crate::marker::beside(&self.path, ".new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(&noted)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            crate::marker::sync_dir(&self.path)
        };
        write().map_err(|error| {
            StoreError::NotWritten(format!("cannot write the note {}: {error}", self.path.display()))
        })
    }

    /// A person accepted the etcd as it is.
    pub(super) fn forget(&self) {
        *self.noted() = None;
    }
}
