//! Copies of a store, and putting another in its place. Every one of these is an operator's explicit word; nothing here
//! happens by itself, and what was there before is kept under another name.

use crate::chain::Chain;
use crate::dump::Dump;
use crate::error::store_error;
use crate::{OpenError, audit, marker, open};
use dormouse_driver::{AuditEntry, AuditLine, StoreError};
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// What an operator is told about a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub cluster: Uuid,
    pub epoch: u64,
    /// Intents without an outcome.
    pub open: usize,
    /// Number and hash of the last line of the audit log.
    pub audit: Option<(u64, String)>,
    /// Where what was there before is kept, if anything was.
    pub aside: Option<PathBuf>,
}

impl Copied {
    #[must_use]
    pub fn of(dump: &Dump, aside: Option<PathBuf>) -> Self {
        let audit = dump.audit.last().map(|line| (line.seq, line.hash.clone()));
        let open = dump.intents.len().saturating_sub(dump.outcomes.len());
        Self { cluster: dump.cluster, epoch: dump.epoch, open, audit, aside }
    }
}

/// All that is in a store or a copy of one, found whole. Changes nothing; a manager may be at work on it.
///
/// # Errors
/// It is not there, not ours, damaged, or newer than this program.
pub fn read(path: &Path) -> Result<Dump, OpenError> {
    open::ours(path)?;
    let store = |error| OpenError::store(path)(store_error(error));
    let source = source(path).map_err(store)?;
    let mut copy = Connection::open_in_memory().map_err(store)?;
    run(&source, &mut copy).map_err(store)?;
    let mut whole = || -> Result<Dump, StoreError> {
        open::verify(&copy)?;
        open::migrate(&mut copy)?;
        Dump::read(&copy)
    };
    whole().map_err(OpenError::store(path))
}

/// The lines of the audit log as they are, also where they do not hold.
///
/// # Errors
/// The store is not there, not ours, or cannot be read.
pub fn audit_lines(path: &Path, after: u64) -> Result<Vec<AuditLine>, OpenError> {
    open::ours(path)?;
    let lines = source(path).map_err(store_error).and_then(|db| audit::after(&db, after, usize::MAX));
    lines.map_err(OpenError::store(path))
}

/// Copies a store, also one that a manager is at work on: what the copy holds is what the store held at one moment.
///
/// # Errors
/// The store is not whole, or `to` is there already or cannot be written.
pub fn backup(path: &Path, to: &Path) -> Result<Copied, OpenError> {
    let dump = read(path)?;
    write(to, &dump)?;
    Ok(Copied::of(&dump, None))
}

/// A new file with all of this in it, readable for its owner alone.
///
/// # Errors
/// It is there already, or cannot be written.
pub fn write(to: &Path, dump: &Dump) -> Result<(), OpenError> {
    // Nothing is ever written over.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(OpenError::io("make", to))?;
    open::create(to, dump)
}

/// Puts a copy in the place of the store. `now_ms`: the wall clock, milliseconds since 1970. `distrust` is handed what
/// the copy says before it is written: hosts and VMs went on since, and only the caller knows what that means.
///
/// # Errors
/// The copy is not whole or of another cluster, a manager is at work on the store, or files could not be renamed.
pub fn restore(
    from: &Path,
    path: &Path,
    now_ms: u64,
    distrust: impl FnOnce(&mut Dump),
) -> Result<Copied, OpenError> {
    let mut dump = read(from)?;
    if let Some(wanted) = marker::read(path)?.flatten().filter(|wanted| *wanted != dump.cluster) {
        let (store, marker) = (from.to_owned(), marker::marker(path));
        let (found, wanted) = (dump.cluster.to_string(), wanted.to_string());
        return Err(OpenError::Swapped { store, marker, found, wanted });
    }
    distrust(&mut dump);
    dump.epoch = beyond(dump.epoch, path, now_ms);
    dump.note(&AuditEntry::Store { change: "brought back from a copy".to_owned() });
    replace(path, &dump, now_ms)
}

/// Gives up what is in the store: a new one is made for the same cluster. Hosts that do not answer are then unknown, not
/// asleep, until they are seen again.
///
/// # Errors
/// A manager is at work on it, files could not be renamed, or the new store not be made.
pub fn rebuild(path: &Path, now_ms: u64) -> Result<Copied, OpenError> {
    let cluster = match marker::read(path)?.flatten() {
        Some(cluster) => cluster,
        None => marker::new_cluster().map_err(OpenError::io("make an id for", path))?,
    };
    let mut dump = Dump::empty(cluster, beyond(0, path, now_ms));
    dump.note(&AuditEntry::Store { change: "made anew, from what is seen".to_owned() });
    replace(path, &dump, now_ms)
}

/// Guards on the hosts refuse an epoch below the highest they saw. Epochs rise by a few a second at most, so the
/// milliseconds since 1970 are above any that was.
fn beyond(copied: u64, path: &Path, now_ms: u64) -> u64 {
    let current = read(path).map_or(0, |dump| dump.epoch);
    now_ms.max(copied).max(current).saturating_add(1)
}

/// Puts a store with all of this in the place of the one that is there, if one is. What was there is kept aside.
///
/// # Errors
/// A manager is at work on the store, or files could not be renamed or written.
pub fn replace(path: &Path, dump: &Dump, now_ms: u64) -> Result<Copied, OpenError> {
    let aside = set_aside(path, now_ms)?;
    open::create(path, dump)?;
    marker::write(path, dump.cluster)?;
    Ok(Copied::of(dump, aside))
}

/// Gives the store another name. Its marker stays: what was there is missing from now on, and not new.
///
/// # Errors
/// A manager is at work on it, or files could not be renamed.
pub fn set_aside(path: &Path, now_ms: u64) -> Result<Option<PathBuf>, OpenError> {
    let _lock = marker::lock(path)?;
    let mut aside = None;
    for ending in ["", "-wal", "-shm"] {
        let from = marker::beside(path, ending);
        if from.exists() {
            let kept = aside.get_or_insert_with(|| marker::beside(path, &format!(".kept-{now_ms}")));
            std::fs::rename(&from, marker::beside(kept, ending))
                .map_err(OpenError::io("move aside", &from))?;
        }
    }
    Ok(aside)
}

/// For reading only, and with its log left as it is.
fn source(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.busy_timeout(Duration::from_secs(2))?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

fn run(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    Backup::new(from, to)?.run_to_completion(i32::MAX, Duration::from_millis(20), None)
}

impl Dump {
    /// Adds a line to its audit log.
    pub fn note(&mut self, entry: &AuditEntry) {
        let begin = AuditEntry::Begin { after: dormouse_model::IntentId(0) };
        let first = if self.audit.is_empty() { Some(&begin) } else { None };
        for entry in first.into_iter().chain([entry]) {
            let chain = self.audit.last().map_or_else(Chain::default, Chain::after);
            // Plain data: it always can be written.
            self.audit.extend(chain.next(crate::chain::now_ms(), entry));
        }
    }
}
