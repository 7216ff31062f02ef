//! Opening: every check before the first write, so that a store which is not fine is left as it was.

use crate::audit;
use crate::checksum::checksum;
use crate::desk::Db;
use crate::dump::Dump;
use crate::error::store_error;
use crate::{OpenError, marker, schema};
use dormouse_driver::{AuditEntry, StoreError};
use dormouse_model::{Epoch, IntentId};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// Opens the store, or makes it where none ever was.
pub(crate) fn open(path: &Path) -> Result<Db, OpenError> {
    let made = marker::read(path)?;
    match (header(path)?, made) {
        (Header::None, None) => {
            let cluster = marker::new_cluster().map_err(OpenError::io("make an id for", path))?;
            create(path, &Dump::empty(cluster, 0))?
        }
        (Header::None, Some(_)) => {
            return Err(OpenError::Gone { store: path.to_owned(), marker: marker::marker(path) });
        }
        (Header::Foreign, None) => return Err(OpenError::Foreign(path.to_owned())),
        (Header::Foreign, Some(_)) => {
            let source = StoreError::Damaged("its first page is not that of a store".to_owned());
            return Err(OpenError::store(path)(source));
        }
        (Header::Ours { version }, _) => known(version).map_err(OpenError::store(path))?,
    }
    let mut db = Db {
        sure: connect(path, "FULL").map_err(store_error).map_err(OpenError::store(path))?,
        soon: connect(path, "NORMAL").map_err(store_error).map_err(OpenError::store(path))?,
    };
    let found = verify(&db.sure).map_err(OpenError::store(path))?;
    match made.flatten() {
        Some(wanted) if wanted == found => {}
        Some(wanted) => {
            let (store, marker) = (path.to_owned(), marker::marker(path));
            return Err(OpenError::Swapped {
                store,
                marker,
                found: found.to_string(),
                wanted: wanted.to_string(),
            });
        }
        // The store is whole, its marker is not: make it again.
        None => marker::write(path, found)?,
    }
    migrate(&mut db.sure).map_err(OpenError::store(path))?;
    Ok(db)
}

enum Header {
    None,
    Foreign,
    Ours { version: u32 },
}

/// The first bytes of the file, read without SQLite: looking must not touch anything.
fn header(path: &Path) -> Result<Header, OpenError> {
    let mut bytes = [0_u8; 100];
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Header::None),
        other => other.map_err(OpenError::io("open", path))?,
    };
    let empty = file.metadata().map_err(OpenError::io("look at", path))?.len() == 0;
    match file.read_exact(&mut bytes) {
        // SQLite makes an empty file first: a store whose making was cut short is no store yet.
        Err(_) if empty => return Ok(Header::None),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Header::Foreign),
        other => other.map_err(OpenError::io("read", path))?,
    }
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let ours = bytes.starts_with(b"SQLite format 3\0") && word(68) == schema::APPLICATION.unsigned_abs();
    Ok(if ours { Header::Ours { version: word(60) } } else { Header::Foreign })
}

/// It is there, it is a store, and this program knows its version.
pub(crate) fn ours(path: &Path) -> Result<(), OpenError> {
    match header(path)? {
        Header::None => Err(OpenError::Missing(path.to_owned())),
        Header::Foreign => Err(OpenError::Foreign(path.to_owned())),
        Header::Ours { version } => known(version).map_err(OpenError::store(path)),
    }
}

fn known(found: u32) -> Result<(), StoreError> {
    match found {
        _ if found > schema::VERSION => Err(StoreError::Newer { found, known: schema::VERSION }),
        0 => Err(StoreError::Damaged(format!("there never was a schema version {found}"))),
        _ => Ok(()),
    }
}

fn version(db: &Connection) -> rusqlite::Result<u32> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// A store of an earlier version, found whole, becomes one of this: in one transaction, so that a crash leaves the one or
/// the other.
pub(crate) fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    let all = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    let found = version(&all).map_err(store_error)?;
    if found < schema::VERSION {
        schema::bring_up(&all, found).map_err(store_error)?;
        if found < schema::AUDITED {
            let after = all
                .query_row("SELECT coalesce(max(id), 0) FROM intents", [], |row| row.get::<_, i64>(0))
                .map_err(store_error)?;
            audit::add(&all, &AuditEntry::Begin { after: IntentId(after.unsigned_abs()) })?;
        }
        all.commit().map_err(store_error)?;
    }
    Ok(())
}

/// A new store comes into being under another name, whole and durable, and gets its own name last. The marker is
/// written when the store is opened: between the two a crash leaves a store that is simply opened.
pub(crate) fn create(path: &Path, all: &Dump) -> Result<(), OpenError> {
    let new = marker::beside(path, ".new");
    for ending in ["", "-wal", "-shm"] {
        match std::fs::remove_file(marker::beside(&new, ending)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(OpenError::io("remove", &new)(error));
            }
            _ => {}
        }
    }
    // SQLite would make it readable for everyone.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(OpenError::io("make", &new))?;
    fill(&new, all).map_err(OpenError::store(&new))?;
    std::fs::rename(&new, path).map_err(OpenError::io("name", path))?;
    marker::sync_dir(path).map_err(OpenError::io("sync the folder of", path))
}

fn fill(path: &Path, dump: &Dump) -> Result<(), StoreError> {
    let mut db = Connection::open(path).map_err(store_error)?;
    // One file until it is complete: no journal mode that would leave a part of it elsewhere.
    db.pragma_update(None, "journal_mode", "MEMORY").map_err(store_error)?;
    db.pragma_update(None, "synchronous", "EXTRA").map_err(store_error)?;
    let all = db.transaction().map_err(store_error)?;
    schema::bring_up(&all, 0).map_err(store_error)?;
    dump.write(&all)?;
    all.pragma_update(None, "application_id", schema::APPLICATION).map_err(store_error)?;
    all.commit().map_err(store_error)?;
    db.close().map_err(|(_, error)| store_error(error))
}

pub(crate) fn connect(path: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(Duration::from_secs(2))?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", synchronous)?;
    Ok(db)
}

/// Structure, schema, version, and the row that names the cluster. The other rows are verified when they are read.
pub(crate) fn verify(db: &Connection) -> Result<Uuid, StoreError> {
    // Once more through SQLite: what a crash left in the log counts, too.
    let version = version(db).map_err(store_error)?;
    known(version)?;
    let verdict: String =
        db.pragma_query_value(None, "integrity_check", |row| row.get(0)).map_err(store_error)?;
    if verdict != "ok" {
        return Err(StoreError::Damaged(verdict));
    }
    let (found, expected) =
        (schema::objects(db).map_err(store_error)?, schema::expected(version).map_err(store_error)?);
    if found != expected {
        return Err(StoreError::Damaged("its tables are not those of a store".to_owned()));
    }
    lead(db).map(|lead| lead.cluster)
}

#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub(crate) cluster: Uuid,
    pub(crate) epoch: i64,
}

pub(crate) fn lead(db: &Connection) -> Result<Lead, StoreError> {
    let damaged =
        || StoreError::Damaged("the row that names cluster and epoch does not read back".to_owned());
    let (cluster, epoch, who, sum): (String, i64, String, i64) = db
        .query_row("SELECT cluster, epoch, who, sum FROM lead", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .map_err(|error| {
            if error == rusqlite::Error::QueryReturnedNoRows { damaged() } else { store_error(error) }
        })?;
    if sum != lead_sum(&cluster, epoch, &who) {
        return Err(damaged());
    }
    Ok(Lead { cluster: cluster.parse().map_err(|_| damaged())?, epoch })
}

/// The next epoch, durable when this returns.
pub(crate) fn rise(db: &mut Connection, who: &str) -> Result<i64, StoreError> {
    let all = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    let before = lead(&all)?;
    let epoch = before.epoch + 1;
    let row = params![epoch, who, lead_sum(&before.cluster.to_string(), epoch, who)];
    all.execute("UPDATE lead SET epoch = ?1, who = ?2, sum = ?3", row).map_err(store_error)?;
    audit::add(&all, &AuditEntry::Lead { epoch: Epoch(epoch.unsigned_abs()), who: who.to_owned() })?;
    all.commit().map_err(store_error)?;
    Ok(epoch)
}

pub(crate) fn lead_sum(cluster: &str, epoch: i64, who: &str) -> i64 {
    checksum(&[cluster, &epoch.to_string(), who])
}
