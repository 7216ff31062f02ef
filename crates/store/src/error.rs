//! What SQLite says, in the words of the contract.

use dormouse_driver::StoreError;
use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// Why a store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store {} is gone, although it was made once ({} says so)", .store.display(), .marker.display())]
    Gone { store: PathBuf, marker: PathBuf },
    #[error("there is no store {}", .0.display())]
    Missing(PathBuf),
    #[error("a manager is at work on it: {who}")]
    Led { who: String },
    #[error("{} is not a store of dormouse", .0.display())]
    Foreign(PathBuf),
    #[error("the store {} belongs to cluster {found}, but {} names {wanted}", .store.display(), .marker.display())]
    Swapped { store: PathBuf, marker: PathBuf, found: String, wanted: String },
    #[error("cannot {what} {}: {source}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: {source}", .path.display())]
    Store { path: PathBuf, source: StoreError },
}

impl OpenError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn store(path: &Path) -> impl FnOnce(StoreError) -> Self {
        let path = path.to_owned();
        move |source| Self::Store { path, source }
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Gone { .. } | Self::Swapped { .. } | Self::Store { source: StoreError::Damaged(_), .. } => {
                Some(
                    "`dormouse store restore FILE` brings back a copy; without one, `dormouse store rebuild --from-observation` keeps the files aside and begins anew from what is seen",
                )
            }
            Self::Foreign(_) => Some("name another `state` directory in the config"),
            Self::Missing(_) => {
                Some("`dormouse run` makes one; `--config FILE` names the settings that say where")
            }
            Self::Led { .. } => Some("stop it first"),
            Self::Io { .. } => {
                Some("the state directory must exist and be writable for the user that runs dormouse")
            }
            Self::Store { source: StoreError::Newer { .. }, .. } => {
                Some("install the version that wrote it, or a later one")
            }
            Self::Store { .. } => None,
        }
    }
}

/// What kind of failure it is, for a caller who must know whether something may have been written.
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch) => {
            StoreError::Damaged(error.to_string())
        }
        // A failed fsync leaves open what is on the disk.
        Some(ErrorCode::SystemIoFailure) if is_unclear(&error) => StoreError::Unknown(error.to_string()),
        Some(_) => StoreError::NotWritten(error.to_string()),
        // Not SQLite's own: a column that does not hold what it should.
        None => StoreError::Damaged(error.to_string()),
    }
}

fn is_unclear(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.extended_code,
            rusqlite::ffi::SQLITE_IOERR_FSYNC
                | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC
                | rusqlite::ffi::SQLITE_IOERR_CLOSE
        ),
        _ => false,
    }
}
