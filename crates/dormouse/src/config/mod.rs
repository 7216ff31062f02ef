//! The daemon's own settings: `/etc/dormouse/dormouse.toml` or `--config`, then `DORMOUSE_*`.
//!
//! One table of keys, [`KEYS`], serves reading, overriding, `config check`, `config explain` and the documentation.
//! Reading is all or nothing: the first mistake is named with its place and what to write instead, and a running daemon
//! keeps what it has. Never here: hosts, calendar and policy (the cluster text has them), and secrets (only their paths).

mod check;
mod error;
mod read;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use error::ConfigError;
pub(crate) use read::{Loaded, Source, load};
pub(crate) use table::Config;
#[cfg(feature = "live")]
pub(crate) use value::{HostCpu, LogFormat, StoreKind, Transport};

#[cfg(any(feature = "live", test))]
use dormouse_control::Settings;
use std::path::{Path, PathBuf};

/// Read unless `--config` or `DORMOUSE_CONFIG` names another.
pub(crate) const DEFAULT_PATH: &str = "/etc/dormouse/dormouse.toml";

/// The private key among the credentials that a service is given (`LoadCredential=` of systemd).
#[cfg(any(feature = "live", test))]
const KEY_CREDENTIAL: &str = "dormouse.ssh-key";

/// The folder of those credentials: only this service can read it.
#[cfg(any(feature = "live", test))]
pub(crate) fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// What the daemon makes of them.
#[cfg(any(feature = "live", test))]
impl Config {
    /// The store's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.state.join("dormouse.db")
    }

    /// Host keys that were confirmed; `None` leaves it to the admin's own ssh.
    pub(crate) fn known_hosts(&self) -> Option<PathBuf> {
        self.ssh_known_hosts
            .clone()
            .or_else(|| Some(self.state.join("ssh/known_hosts")).filter(|path| path.exists()))
    }

    /// The private key that hosts know us by; `None` leaves it to the admin's own ssh.
    pub(crate) fn identity(&self) -> Option<PathBuf> {
        self.ssh_identity
            .clone()
            .or_else(|| Some(credentials()?.join(KEY_CREDENTIAL)).filter(|path| path.exists()))
            .or_else(|| Some(self.state.join("ssh/id_ed25519")).filter(|path| path.exists()))
    }

    /// The controller's numbers.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            automation: self.mode,
            observe_every: self.observe_every,
            look_deadline: self.look_deadline,
            fresh: self.fresh,
            t_on: self.t_on,
            t_off: self.t_off,
            heal_after: self.heal_after,
            login_idle: self.login_idle,
            clock_offset: self.clock_offset,
            backoff: self.backoff,
            backoff_max: self.backoff_max,
            seed_every: self.seed_every,
            confirm_within: self.confirm_within,
            calendar_rate: self.calendar_rate,
            wake_without_quorum: self.wake_without_quorum,
            restart: self.restart,
            ..Settings::default()
        }
    }
}

impl Config {
    /// Paths in the file are meant from its folder, not from wherever the program was started.
    fn anchor(&mut self, folder: &Path) {
        let anchor = |path: &mut PathBuf| {
            if path.is_relative() {
                *path = folder.join(&path);
            }
        };
        [&mut self.cluster, &mut self.state, &mut self.socket].into_iter().for_each(anchor);
        let ssh = [&mut self.ssh_identity, &mut self.ssh_known_hosts, &mut self.ssh_config];
        let etcd = [&mut self.etcd_ca, &mut self.etcd_certificate, &mut self.etcd_key];
        ssh.into_iter().chain(etcd).flatten().for_each(anchor);
    }
}
