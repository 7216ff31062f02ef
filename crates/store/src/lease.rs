//! Leadership on one machine: a lock that the kernel gives to one process and takes back when it dies.
//!
//! A manager that is frozen keeps the lock, so nobody else can lead meanwhile; the rising epoch is for what it may have
//! left under way. The term still ends after a while without renewal, so that a store which cannot be read stops us.

use crate::{OpenError, SqliteStore, marker, open};
use async_trait::async_trait;
use dormouse_driver::{Lease, LeaseError, StoreError, Term};
use dormouse_model::{Epoch, Millis};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

const TERM: Millis = Millis::from_secs(30);

#[derive(Debug)]
pub struct FileLease {
    store: SqliteStore,
    path: PathBuf,
    held: Mutex<Option<(File, Epoch)>>,
}

impl FileLease {
    #[must_use]
    pub fn new(store: &SqliteStore) -> Self {
        Self { store: store.clone(), path: marker::beside(&store.path, ".lock"), held: Mutex::new(None) }
    }

    /// Takes the kernel's lock and writes into the file who has it, for the message that others get.
    fn lock(&self, who: &str) -> Result<File, LeaseError> {
        let file = marker::lock(&self.store.path).map_err(|error| match error {
            OpenError::Led { who } => LeaseError::Held { who },
            error => StoreError::NotWritten(error.to_string()).into(),
        })?;
        let sign = || -> io::Result<()> {
            let mut file = &file;
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{who}")
        };
        sign().map_err(|error| {
            StoreError::NotWritten(format!("cannot write {}: {error}", self.path.display()))
        })?;
        Ok(file)
    }

    /// The lock counts only while its name leads to the file that is locked.
    fn still_there(&self, file: &File) -> bool {
        let id = |meta: &std::fs::Metadata| (meta.dev(), meta.ino());
        matches!((file.metadata(), std::fs::metadata(&self.path)), (Ok(ours), Ok(named)) if id(&ours) == id(&named))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<(File, Epoch)>> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Lease for FileLease {
    async fn campaign(&self, who: &str) -> Result<Term, LeaseError> {
        let file = self.lock(who)?;
        let who = who.to_owned();
        let epoch = self.store.desk.ask(move |db| open::rise(&mut db.sure, &who)).await?;
        let epoch = Epoch(epoch.unsigned_abs());
        *self.held() = Some((file, epoch));
        Ok(Term { epoch, lasts: TERM })
    }

    async fn renew(&self, epoch: Epoch) -> Result<Term, LeaseError> {
        let holds = self.held().as_ref().is_some_and(|(file, held)| *held == epoch && self.still_there(file));
        if !holds {
            return Err(LeaseError::Over(epoch));
        }
        let stored = self.store.desk.ask(|db| open::lead(&db.sure)).await?.epoch;
        if stored.unsigned_abs() == epoch.0 {
            Ok(Term { epoch, lasts: TERM })
        } else {
            Err(LeaseError::Over(epoch))
        }
    }

    async fn resign(&self, epoch: Epoch) -> Result<(), LeaseError> {
        let mut held = self.held();
        if held.as_ref().is_some_and(|(_, ours)| *ours == epoch) {
            *held = None;
        }
        Ok(())
    }
}
