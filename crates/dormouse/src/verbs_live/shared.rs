//! The store in an etcd, as the verbs handle it: each call reaches the etcd anew and waits for it.

use crate::cli::Failure;
use crate::config::Config;
use dormouse_store::Dump;

/// What is there, as far as it says so at all.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) dump: Dump,
    pub(super) place: String,
}

#[cfg(feature = "etcd")]
mod with_etcd {
    use super::{Config, Dump, Failure, Found};
    use crate::verbs_live::kept::{cannot_use, etcd, place};
    use dormouse_driver::StoreError;
    use dormouse_store::EtcdStore;

    fn run<T>(config: &Config, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new("cannot start").because(&error))?;
        runtime.block_on(work).map_err(|error| cannot_use(config, &error))
    }

    /// Found whole, and not gone back in time.
    pub(in super::super) fn read(config: &Config) -> Result<Found, Failure> {
        let settings = etcd(config);
        let dump = run(config, async { EtcdStore::open(&settings).await?.dump().await })?;
        Ok(Found { dump, place: place(config) })
    }

    /// Found whole, wherever it was before.
    pub(in super::super) fn read_whatever(config: &Config) -> Result<Found, Failure> {
        let settings = etcd(config);
        Ok(Found { dump: run(config, EtcdStore::read_whatever(&settings))?, place: place(config) })
    }

    pub(in super::super) fn replace(config: &Config, dump: &Dump) -> Result<(), Failure> {
        let settings = etcd(config);
        run(config, EtcdStore::replace(&settings, dump))
    }

    pub(in super::super) fn say_moved(config: &Config) -> Result<(), Failure> {
        let settings = etcd(config);
        run(config, EtcdStore::say_moved(&settings))
    }

    /// Cluster and highest epoch of the store that is there, whether it is whole or not.
    pub(in super::super) fn identity(config: &Config) -> Result<Option<(uuid::Uuid, u64)>, Failure> {
        let settings = etcd(config);
        run(config, EtcdStore::identity(&settings))
    }
}

#[cfg(not(feature = "etcd"))]
mod with_etcd {
    use super::{Config, Dump, Failure, Found};

    fn without<T>() -> Result<T, Failure> {
        Err(Failure::usage("this program was built without etcd")
            .hint("build it with `make build-etcd`, or `cargo build --release -p dormouse --features etcd`"))
    }

    pub(in super::super) fn read(_: &Config) -> Result<Found, Failure> {
        without()
    }

    pub(in super::super) fn read_whatever(_: &Config) -> Result<Found, Failure> {
        without()
    }

    pub(in super::super) fn replace(_: &Config, _: &Dump) -> Result<(), Failure> {
        without()
    }

    pub(in super::super) fn say_moved(_: &Config) -> Result<(), Failure> {
        without()
    }

    pub(in super::super) fn identity(_: &Config) -> Result<Option<(uuid::Uuid, u64)>, Failure> {
        without()
    }
}

pub(super) use with_etcd::{identity, read, read_whatever, replace, say_moved};
