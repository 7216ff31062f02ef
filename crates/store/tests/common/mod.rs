//! One store in a folder of its own, and words to use it with.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use dormouse_driver::{ActionRecord, IntentRecord, Lease, LeaseError, Store, Term};
use dormouse_model::{Epoch, IntentId, Millis, Outcome, PlanId, StepId};
use dormouse_store::{FileLease, OpenError, SqliteStore};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use uuid::Uuid;

pub struct Place {
    pub dir: TempDir,
    rt: tokio::runtime::Runtime,
}

/// All files of a store with their bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

pub const DONE: Outcome = Outcome::Done { downtime: Some(Millis(21)) };

impl Place {
    pub fn new() -> Self {
        let rt = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Self { dir: TempDir::new().expect("a folder"), rt }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("dormouse.db")
    }

    pub fn open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(&self.path())
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.rt.block_on(future)
    }

    pub fn lead(&self, store: &SqliteStore) -> (FileLease, Result<Term, LeaseError>) {
        let lease = FileLease::new(store);
        let term = self.run(lease.campaign("test"));
        (lease, term)
    }

    pub fn files(&self) -> Files {
        let read = |entry: std::fs::DirEntry| {
            (
                entry.file_name().into_string().expect("our names"),
                std::fs::read(entry.path()).expect("a file"),
            )
        };
        std::fs::read_dir(self.dir.path())
            .expect("a folder")
            .map(|entry| read(entry.expect("an entry")))
            .collect()
    }

    /// What a manager that starts after a power cut finds.
    pub fn with(files: &Files) -> Self {
        let place = Self::new();
        for (name, bytes) in files.iter().filter(|(name, _)| !name.ends_with("-shm")) {
            std::fs::write(place.dir.path().join(name), bytes).expect("write");
        }
        place
    }
}

pub fn vm(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub fn migrate(id: u64, epoch: u64) -> IntentRecord {
    let action = ActionRecord::Migrate { from: "lab07".to_owned(), to: "lab01".to_owned() };
    record(id, epoch, action, Some(vm(7)))
}

pub fn sleep(id: u64, epoch: u64) -> IntentRecord {
    record(id, epoch, ActionRecord::Sleep { host: "lab07".to_owned() }, None)
}

fn record(id: u64, epoch: u64, action: ActionRecord, vm: Option<Uuid>) -> IntentRecord {
    let written_ms = 1_795_000_000_000;
    let (plan, step, deadline) = (PlanId(3), StepId(1), Millis::from_secs(60));
    IntentRecord { id: IntentId(id), epoch: Epoch(epoch), plan, step, action, vm, deadline, written_ms }
}

/// Everything in the store that a decision may rest on, as one text.
pub fn contents(place: &Place, store: &SqliteStore) -> Result<String, String> {
    place.run(async {
        let all = store.load().await.map_err(|error| error.to_string())?;
        let mut text = format!("{all:?}\n");
        for line in store.audit(0, usize::MAX).await.map_err(|error| error.to_string())? {
            text += &format!("{line:?}\n");
        }
        for id in 1..=all.last_intent {
            text += &format!("{:?}\n", store.outcome(IntentId(id)).await.map_err(|error| error.to_string())?);
        }
        Ok(text)
    })
}

/// Nothing holds the files any more.
pub fn closed(store: SqliteStore, path: &Path) {
    drop(store);
    let wal = path.with_file_name("dormouse.db-wal");
    while wal.exists() {
        std::thread::yield_now();
    }
}
