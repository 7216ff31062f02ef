//! Where a lab keeps its things. Everything lives under `/run/dormouse-lab/<id>`, so a reboot of the machine
//! leaves nothing, and `down` removes one folder. Only the download cache lives elsewhere.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::spec::{HostSpec, SHARED_FOLDER, check_id};

pub(crate) const ROOT: &str = "/run/dormouse-lab";
/// The folder of lab tools inside each host.
pub(crate) const IN_HOST: &str = "/run/lab";

/// The files of one lab that others use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabPaths {
    pub state: PathBuf,
}

impl LabPaths {
    pub fn new(id: &str) -> Result<Self> {
        check_id(id)?;
        Ok(Self { state: Path::new(ROOT).join(id) })
    }

    pub(crate) fn from_state(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// The spec the lab was built from.
    pub fn lab_json(&self) -> PathBuf {
        self.state.join("lab.json")
    }

    /// The lab's copy of the program: a rebuild cannot pull it away under a running lab, and every process of
    /// this lab can be told by it.
    pub fn program(&self) -> PathBuf {
        self.state.join("program")
    }

    /// Where the supervisor listens.
    pub fn control_socket(&self) -> PathBuf {
        self.state.join("control.sock")
    }

    /// One JSON object a line: what happened to the lab's hosts, in order.
    pub fn events(&self) -> PathBuf {
        self.state.join("events.jsonl")
    }

    /// Hosts (and what the spec adds) as a cluster text: what a manager is given.
    pub fn cluster(&self) -> PathBuf {
        self.state.join("cluster")
    }

    /// The same with the guests where they start: for `plan --cluster`.
    pub fn cluster_with_guests(&self) -> PathBuf {
        self.state.join("cluster.guests")
    }

    /// The manager's settings; written by whoever owns their format.
    pub fn dormouse_toml(&self) -> PathBuf {
        self.state.join("dormouse.toml")
    }

    pub fn ssh_config(&self) -> PathBuf {
        self.state.join("ssh/config")
    }

    /// `ssh` with that config, as one word: for libvirt's `qemu+ssh://…?command=`.
    pub fn ssh_command(&self) -> PathBuf {
        self.state.join("ssh/ssh")
    }

    pub fn ssh_key(&self) -> PathBuf {
        self.state.join("ssh/id_ed25519")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.state.join("ssh/known_hosts")
    }

    /// CA certificate, and the manager's own certificate and key (libvirt `pkipath` names).
    pub fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    /// The shared folder as the machine sees it; hosts see it at [`LabPaths::shared_in_host`].
    pub fn shared(&self) -> PathBuf {
        self.state.join("shared")
    }

    pub fn shared_in_host() -> &'static Path {
        Path::new(SHARED_FOLDER)
    }

    pub fn domains(&self) -> PathBuf {
        self.state.join("domains")
    }

    pub fn supervisor_log(&self) -> PathBuf {
        self.state.join("supervisor.log")
    }

    pub fn host(&self, host: &HostSpec) -> HostPaths {
        HostPaths { root: self.state.join("hosts").join(&host.name) }
    }
}

/// The folders that stand in for a host's own disk; each is mounted over its namesake inside the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPaths {
    pub root: PathBuf,
}

impl HostPaths {
    /// (folder here, where the host sees it)
    pub(crate) fn own_folders(&self) -> [(PathBuf, &'static str); 6] {
        [
            (self.root.join("etc"), "/etc"),
            (self.root.join("var-lib"), "/var/lib"),
            (self.root.join("var-log"), "/var/log"),
            (self.root.join("tmp"), "/tmp"),
            (self.root.join("root"), "/root"),
            (self.root.join("run"), "/run"),
        ]
    }

    pub fn etc(&self) -> PathBuf {
        self.root.join("etc")
    }

    /// Libvirt's read-write socket, seen from outside the host: a true connection to the host's own daemon.
    pub fn libvirt_socket(&self) -> PathBuf {
        self.root.join("run/libvirt/libvirt-sock")
    }

    pub(crate) fn init_socket(&self) -> PathBuf {
        self.root.join("run/lab/init.sock")
    }

    /// Where the process that holds the host's power notes the host's pid 1, as this machine numbers it.
    pub(crate) fn init_pid(&self) -> PathBuf {
        self.root.join("init.pid")
    }

    /// What pid 1 saw when it was told to end.
    pub(crate) fn last_words(&self) -> PathBuf {
        self.root.join("run/lab/last-words")
    }

    /// What dormouse's guard keeps on the host.
    pub(crate) fn guard_memory(&self) -> PathBuf {
        self.root.join("var-lib/dormouse-guard/epoch")
    }

    pub fn loadavg(&self) -> PathBuf {
        self.root.join("proc/loadavg")
    }

    pub(crate) fn boot_id(&self) -> PathBuf {
        self.root.join("proc/boot_id")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("console.log")
    }
}

/// `$DORMOUSE_LAB_CACHE` or `/var/cache/dormouse-lab`.
pub fn cache_dir() -> PathBuf {
    std::env::var_os("DORMOUSE_LAB_CACHE")
        .filter(|v| !v.is_empty())
        .map_or_else(|| PathBuf::from("/var/cache/dormouse-lab"), PathBuf::from)
}
