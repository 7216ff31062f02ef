//! The files beside the database: `….id` says that a store was made and for which cluster, so that an empty or missing
//! one is never taken for a new cluster; `….lock` is held by the manager that leads.

use crate::OpenError;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

pub(crate) fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(ending);
    PathBuf::from(name)
}

pub(crate) fn marker(store: &Path) -> PathBuf {
    beside(store, ".id")
}

/// The lock that a leading manager has, or who has it.
pub(crate) fn lock(store: &Path) -> Result<File, OpenError> {
    let path = beside(store, ".lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(OpenError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            _ = (&file).take(256).read_to_string(&mut who);
            Err(OpenError::Led { who: who.trim().escape_default().to_string() })
        }
        Err(TryLockError::Error(error)) => Err(OpenError::io("lock", &path)(error)),
    }
}

/// The cluster that this store was made for, if one ever was. A marker that does not read is as good as any.
pub(crate) fn read(store: &Path) -> Result<Option<Option<Uuid>>, OpenError> {
    let path = marker(store);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().parse().ok())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(Some(None)),
        Err(error) => Err(OpenError::io("read", &path)(error)),
    }
}

/// Durable before the store is used for the first time.
pub(crate) fn write(store: &Path, cluster: Uuid) -> Result<(), OpenError> {
    let path = marker(store);
    let write = || {
        let new = beside(store, ".id.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        writeln!(file, "{cluster}")?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        sync_dir(store)
    };
    write().map_err(OpenError::io("write", &path))
}

/// Makes new names in the store's folder durable.
pub(crate) fn sync_dir(store: &Path) -> std::io::Result<()> {
    File::open(folder(store))?.sync_all()
}

pub(crate) fn folder(store: &Path) -> &Path {
    store.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// 128 bits of chance from the kernel, as a UUID.
pub(crate) fn new_cluster() -> std::io::Result<Uuid> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
