//! 128 MB for the daemon and all that it starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const LIMIT: u64 = 128 << 20;
const ROOT: &str = "/sys/fs/cgroup";

/// A group of the kernel's, of either version. Where none can be made, each process has its own data limited to as much.
pub(crate) enum Cage {
    First(PathBuf),
    Second(PathBuf),
    None,
}

impl Cage {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("dormouse-lab-{name}");
        let first = Path::new(ROOT).join("memory").join(&name);
        let made = |group: &Path, limit: &str| {
            (group.is_dir() || fs::create_dir(group).is_ok())
                && fs::write(group.join(limit), LIMIT.to_string()).is_ok()
        };
        if made(&first, "memory.limit_in_bytes") {
            return Self::First(first);
        }
        let second = Path::new(ROOT).join(&name);
        if Path::new(ROOT).join("cgroup.controllers").exists() {
            // Refused where this very process is in the root group; then the next line says no.
            let _ = fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory");
            if made(&second, "memory.max") {
                return Self::Second(second);
            }
        }
        println!(
            "     no memory group can be made here: each process of the daemon's gets a limit of its own"
        );
        Self::None
    }

    pub(crate) fn holds(&self, daemon: &Child) {
        let pid = daemon.id().to_string();
        match self {
            Self::First(group) | Self::Second(group) => fs::write(group.join("cgroup.procs"), pid).unwrap(),
            Self::None => {
                let limit = format!("--data={LIMIT}");
                let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
                assert!(set.success());
            }
        }
    }

    fn number(&self, first: &str, second: &str) -> Option<u64> {
        let file = match self {
            Self::First(group) => group.join(first),
            Self::Second(group) => group.join(second),
            Self::None => return None,
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// The most that was ever in use, files it read among it.
    pub(crate) fn report(&self) -> String {
        match self.number("memory.max_usage_in_bytes", "memory.peak") {
            Some(peak) => format!("the daemon and its children: at most {} MiB of 128", peak >> 20),
            None => "how much the daemon used is not known here".to_owned(),
        }
    }

    pub(crate) fn assert_nothing_was_killed(&self) {
        let said = match self {
            Self::First(group) => fs::read_to_string(group.join("memory.oom_control")),
            Self::Second(group) => fs::read_to_string(group.join("memory.events")),
            Self::None => return,
        }
        .unwrap();
        let killed = said.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
        assert_eq!(killed, "0", "{said}");
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Self::First(group) | Self::Second(group) = self {
            // Busy while somebody is in it; then the next one takes it over.
            let _ = fs::remove_dir(group);
        }
    }
}
