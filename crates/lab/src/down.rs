//! Taking labs down: whatever `up` came to, what bears the lab's id goes, and nothing else.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::Result;
use crate::lab::{pause, read_spec};
use crate::paths::{LabPaths, ROOT};
use crate::spec::LabSpec;
use crate::supervisor::proto::{self, Request};
use crate::{net, truth};

/// What `down` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownReport {
    pub killed: usize,
    /// Processes that are not the lab's but still sit in its network namespaces; they were left alone.
    pub strangers: Vec<i32>,
    /// What could not be removed, and why.
    pub left: Vec<String>,
}

/// The ids of all labs with a state folder, up or broken.
pub fn labs() -> Vec<String> {
    let mut ids: Vec<String> = fs::read_dir(ROOT)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|id| crate::spec::check_id(id).is_ok())
        .collect();
    ids.sort();
    ids
}

/// Removes every lab of this machine.
pub fn down_all() -> Result<Vec<(String, DownReport)>> {
    labs().into_iter().map(|id| Ok((id.clone(), down(&id)?))).collect()
}

/// Removes a lab, however far its `up` came. What does not bear its id is left alone.
pub fn down(id: &str) -> Result<DownReport> {
    let paths = LabPaths::new(id)?;
    let mut report = DownReport::default();
    if !paths.state.exists() {
        return Ok(report);
    }
    // An orderly end first; a supervisor that is gone or stuck is ended below like everything else.
    let stopping = proto::ask(&paths.control_socket(), &Request::Stop).is_ok();
    let program = paths.program();
    let asked = Instant::now();
    loop {
        let own = own_processes(&program);
        if own.is_empty() || asked.elapsed() > Duration::from_secs(60) {
            break;
        }
        // With its supervisor alive a lab ends by itself; it may need a moment for its hosts.
        if !stopping || asked.elapsed() > Duration::from_secs(15) {
            for pid in own {
                if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
                    report.killed += 1;
                }
            }
        }
        pause();
    }
    if let Ok(spec) = read_spec(&paths) {
        report.strangers = strangers(&spec);
        report.left = net::remove(&spec);
    }
    if let Err(e) = fs::remove_dir_all(&paths.state) {
        report.left.push(format!("{}: {e}", paths.state.display()));
    }
    Ok(report)
}

/// Who is still in the lab's network namespaces. A host's processes end with its pid 1, but the kernel may take a
/// few seconds to clear away many guests.
fn strangers(spec: &LabSpec) -> Vec<i32> {
    let hosts = spec.all_hosts();
    let names: Vec<&String> = hosts.iter().map(|h| &h.netns).filter(|n| net::exists(n)).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let still: Vec<i32> = names.iter().flat_map(|n| net::processes(n)).collect();
        if still.is_empty() || Instant::now() > deadline {
            return still.into_iter().chain(net::processes(&spec.switch_netns())).collect();
        }
        pause();
    }
}

/// Processes that run this lab's own copy of the program: its supervisor, power supplies and pid 1s.
fn own_processes(program: &Path) -> Vec<i32> {
    truth::pids()
        .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program))
        .collect()
}
