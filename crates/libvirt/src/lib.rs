//! Hypervisor and Probe over libvirt (qemu) and ssh.
//!
//! Nothing is installed on a host: one ssh connection carries our probe's channel and a forward of libvirt's socket; the
//! manager's own host (address `local`) is reached directly. Every call ends by its deadline, because the socket that
//! libvirt talks through is ours to close. Hosts never wait for each other.
//!
//! Never here: a decision what should move, the force flag, a copy of disks, an end to a running VM.

mod answer;
mod ffi;
#[doc(hidden)]
pub mod hostile;
mod hypervisor;
mod line;
mod moves;
mod probe;
mod settle;
mod ssh;
mod survey;
mod sweep;
pub mod trust;
mod vms;
mod worker;
mod xml;

pub use ssh::{LOCAL, Links, SshSettings};
pub use survey::{Card, Folder, Survey};
pub use sweep::sweep;

use crate::worker::{CallError, Target, Worker};
use dormouse_driver::SystemClock;
use dormouse_model::{HostSpec, Millis, ProbeError};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How hosts are reached and moves are made.
#[derive(Clone, Debug)]
pub struct Settings {
    pub ssh: SshSettings,
    /// libvirtd's socket on the hosts.
    pub socket: PathBuf,
    /// Folders that every host must see: mount points, or folders with a file `.dormouse-shared`. Disks below them can move.
    pub shared: Vec<String>,
    /// A clock further off makes a host unusable.
    pub clock_offset: Millis,
    /// A host on which libvirt does not lock the disks of running VMs is unusable.
    pub require_disk_lock: bool,
    pub cpu: HostCpu,
    pub moves: MoveSettings,
}

/// Where a host's CPU use is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostCpu {
    /// The kernel's own count.
    #[default]
    Measured,
    /// What its guests use: for hosts that share one kernel.
    Guests,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveSettings {
    pub way: Way,
    /// Encrypt the guest's memory on its way (QEMU needs certificates of its own for this).
    pub encrypt: bool,
    /// A move whose rest has not shrunk for so long is aborted.
    pub no_progress: Millis,
}

/// Who carries a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The hosts themselves where they trust each other, and otherwise this process.
    #[default]
    Best,
    /// The hosts themselves, over libvirt's TLS: goes on when the manager dies.
    PeerToPeer,
    /// This process, one at a time: when it dies in the middle, the move is left half done.
    ByUs,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ssh: SshSettings::default(),
            socket: PathBuf::from("/run/libvirt/libvirt-sock"),
            shared: vec![],
            clock_offset: Millis::from_secs(2),
            require_disk_lock: false,
            cpu: HostCpu::default(),
            moves: MoveSettings::default(),
        }
    }
}

impl Default for MoveSettings {
    fn default() -> Self {
        Self { way: Way::default(), encrypt: false, no_progress: Millis::from_secs(150) }
    }
}

/// All hosts with libvirt and qemu.
pub struct Libvirt {
    settings: Settings,
    shared: Arc<Vec<String>>,
    /// The machine's own: what hosts' clocks are held against.
    clock: SystemClock,
    links: Arc<Links>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    /// Client-managed moves go one at a time.
    by_us: tokio::sync::Mutex<()>,
    changes: Option<mpsc::Sender<String>>,
    /// In place of each host's socket: libvirt's test driver.
    uri: Option<String>,
}

/// What is held for one host.
#[derive(Debug, Default)]
struct Host {
    worker: Mutex<Option<Attached>>,
    held: Arc<tokio::sync::Mutex<probe::Held>>,
    before: Arc<Mutex<vms::Before>>,
    /// Its TLS as the last look saw it.
    tls: Mutex<Option<trust::Tls>>,
}

/// A worker, and the ssh connection that it goes through.
#[derive(Debug)]
struct Attached {
    link: Option<Arc<ssh::Link>>,
    worker: Arc<Worker>,
}

impl Libvirt {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let links = Arc::new(Links::new(settings.ssh.clone(), settings.socket.clone()));
        let shared = Arc::new(settings.shared.clone());
        let clock = SystemClock::new();
        Self {
            settings,
            shared,
            clock,
            links,
            hosts: Mutex::default(),
            by_us: tokio::sync::Mutex::default(),
            changes: None,
            uri: None,
        }
    }

    /// Every host speaks through this libvirt URI instead of its own socket (`test:///default`).
    #[must_use]
    pub fn with_uri(mut self, uri: &str) -> Self {
        self.uri = Some(uri.to_owned());
        self
    }

    /// Sends the name of a host whenever libvirt says that a VM there changed its state. A hint to look soon, no more:
    /// when the receiver is full it is dropped, and the next look sees it anyway.
    #[must_use]
    pub fn with_changes(mut self, changes: mpsc::Sender<String>) -> Self {
        self.changes = Some(changes);
        self
    }

    /// The ssh connections, for what else must run on a host (the guard).
    #[must_use]
    pub fn links(&self) -> Arc<Links> {
        Arc::clone(&self.links)
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(name.to_owned()).or_default())
    }

    fn forget_host(&self, name: &str) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.links.forget(name);
    }

    /// The thread that holds this host's connection.
    async fn worker(&self, host: &HostSpec, until: Instant) -> Result<Arc<Worker>, CallError> {
        let (target, link) = self.target(host, until).await?;
        let entry = self.host(&host.name);
        let mut held = entry.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attached) = &*held
            && attached.link.as_ref().map(Arc::as_ptr) == link.as_ref().map(Arc::as_ptr)
        {
            return Ok(Arc::clone(&attached.worker));
        }
        let on_change = self.changes.clone().map(|changes| {
            let name = host.name.clone();
            // Full: a look is due anyway.
            Arc::new(move || drop(changes.try_send(name.clone()))) as Arc<dyn Fn() + Send + Sync>
        });
        let worker = Arc::new(Worker::start(&host.name, target, on_change).map_err(CallError::Connect)?);
        *held = Some(Attached { link, worker: Arc::clone(&worker) });
        Ok(worker)
    }

    /// Where this host's libvirt is found now, and the connection that must live meanwhile.
    async fn target(
        &self,
        host: &HostSpec,
        until: Instant,
    ) -> Result<(Target, Option<Arc<ssh::Link>>), CallError> {
        if let Some(uri) = &self.uri {
            return Ok((Target::Uri(uri.clone()), None));
        }
        let link = self.links.link(host, until).await.map_err(CallError::Host)?;
        Ok((Target::Socket(link.libvirt.clone()), Some(link)))
    }
}

impl std::fmt::Debug for Libvirt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Libvirt").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl From<ProbeError> for CallError {
    fn from(error: ProbeError) -> Self {
        Self::Host(error)
    }
}
