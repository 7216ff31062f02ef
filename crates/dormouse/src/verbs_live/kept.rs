//! The store of the settings, of whichever kind: for the daemon, and for the verbs that handle it.

use super::run::cannot_open;
#[cfg(feature = "etcd")]
use crate::cli::Exit;
use crate::cli::Failure;
use crate::config::{Config, StoreKind};
#[cfg(feature = "etcd")]
use dormouse_driver::StoreError;
use dormouse_driver::{Lease, Store};
#[cfg(feature = "etcd")]
use dormouse_store::{EtcdLease, EtcdSettings, EtcdStore};
use dormouse_store::{FileLease, SqliteStore};
use std::fmt;
use std::sync::Arc;

pub(super) enum Kept {
    Sqlite(SqliteStore, String),
    #[cfg(feature = "etcd")]
    Etcd(EtcdStore, String),
}

/// Why a store was not opened.
pub(super) enum NotOpened {
    Failed(Failure),
    /// Nobody answers; it may later.
    #[cfg(feature = "etcd")]
    Silent(StoreError),
}

impl Kept {
    pub(super) async fn open(config: &Config) -> Result<Self, NotOpened> {
        match config.store_kind {
            StoreKind::Sqlite => {
                let path = config.store();
                let store =
                    SqliteStore::open(&path).map_err(|error| NotOpened::Failed(cannot_open(&error)))?;
                Ok(Self::Sqlite(store, path.display().to_string()))
            }
            #[cfg(feature = "etcd")]
            StoreKind::Etcd => {
                let settings = etcd(config);
                match EtcdStore::open(&settings).await {
                    Ok(store) => Ok(Self::Etcd(store, place(config))),
                    Err(error @ (StoreError::Damaged(_) | StoreError::Newer { .. })) => {
                        Err(NotOpened::Failed(cannot_use(config, &error)))
                    }
                    Err(error) => Err(NotOpened::Silent(error)),
                }
            }
            #[cfg(not(feature = "etcd"))]
            StoreKind::Etcd => Err(NotOpened::Failed(Failure::usage("this program was built without etcd"))),
        }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store, _) => Arc::new(store.clone()),
            #[cfg(feature = "etcd")]
            Self::Etcd(store, _) => Arc::new(store.clone()),
        }
    }

    pub(super) fn lease(&self) -> Arc<dyn Lease> {
        match self {
            Self::Sqlite(store, _) => Arc::new(FileLease::new(store)),
            #[cfg(feature = "etcd")]
            Self::Etcd(store, _) => Arc::new(EtcdLease::new(store)),
        }
    }

    /// Several managers may use it.
    pub(super) const fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(..) => false,
            #[cfg(feature = "etcd")]
            Self::Etcd(..) => true,
        }
    }

    /// What remains when it is damaged.
    pub(super) const fn give_up(&self) -> &'static str {
        match self {
            Self::Sqlite(..) => {
                "`dormouse store restore FILE` brings back a copy; without one, `dormouse store rebuild \
                 --from-observation` keeps the files aside and begins anew from what is seen"
            }
            #[cfg(feature = "etcd")]
            Self::Etcd(..) => ACCEPT,
        }
    }
}

#[cfg(feature = "etcd")]
const ACCEPT: &str = "look at the etcd first; then `dormouse store accept` takes it as it is, and `dormouse store restore \
                      FILE` puts a copy there";

/// The etcd of these settings.
#[cfg(feature = "etcd")]
pub(super) fn etcd(config: &Config) -> EtcdSettings {
    EtcdSettings {
        endpoints: config.etcd_endpoints.0.clone(),
        prefix: format!("/{}", config.etcd_prefix),
        ca: config.etcd_ca.clone(),
        identity: config.etcd_certificate.clone().zip(config.etcd_key.clone()),
        seen: config.state.join("etcd.seen"),
    }
}

#[cfg(feature = "etcd")]
pub(super) fn place(config: &Config) -> String {
    format!("/{} in the etcd at {}", config.etcd_prefix, config.etcd_endpoints.0.join(", "))
}

#[cfg(feature = "etcd")]
pub(super) fn cannot_use(config: &Config, error: &StoreError) -> Failure {
    let failure =
        Failure::new(format!("the store {} cannot be used: nothing is done without it", place(config)));
    let failure = failure.because(error);
    match error {
        StoreError::Damaged(_) => failure.hint(ACCEPT),
        StoreError::Newer { .. } => failure.hint("install the version that wrote it, or a later one"),
        StoreError::NotWritten(why) if why.starts_with(dormouse_store::IN_USE) => {
            Failure::with_exit(Exit::Refused, "the store is in use").because(error).hint("stop it first")
        }
        _ => failure
            .hint("name its members as `endpoints` in [etcd]; they must be reachable and agree on a leader"),
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(_, place) => f.write_str(place),
            #[cfg(feature = "etcd")]
            Self::Etcd(_, place) => f.write_str(place),
        }
    }
}
