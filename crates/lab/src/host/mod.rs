//! A lab host from power-on to power-off.
//!
//! Two processes make a host. The *power supply* (this file) enters the host's network namespace, makes a pid
//! namespace, starts pid 1 in it and waits; when pid 1 ends, by whatever cause, the kernel ends everything in
//! the host at once, and the power supply takes the host's address off the wire. The other is pid 1 itself
//! ([`init`]). If the power supply dies, pid 1 dies with it.

pub(crate) mod init;
mod load;
mod mounts;
mod priority;
mod services;
mod stand_in;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::error::{Doing, LabError, Result, checked};
use crate::paths::{HostPaths, LabPaths};
use crate::spec::{HOST_BRIDGE, HostSpec, PREFIX};

pub(crate) use stand_in::stand_in_main;

/// How pid 1 ended, told by the power supply's exit code.
pub(crate) const EXIT_POWER_OFF: i32 = 0;
pub(crate) const EXIT_FAILED: i32 = 1;
pub(crate) const EXIT_REBOOT: i32 = 2;
pub(crate) const EXIT_CUT: i32 = 3;

/// What may be wrong with one boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BootFaults {
    pub(crate) hang: bool,
    pub(crate) no_share: bool,
}

impl BootFaults {
    pub(crate) fn args(self) -> Vec<&'static str> {
        let mut args = Vec::new();
        if self.hang {
            args.push("--hang");
        }
        if self.no_share {
            args.push("--no-share");
        }
        args
    }

    fn parse(args: &[String]) -> Self {
        Self { hang: args.iter().any(|a| a == "--hang"), no_share: args.iter().any(|a| a == "--no-share") }
    }
}

/// `lab-internal host STATE NAME IMAGE [--hang] [--no-share]`: one power cycle of a host.
pub(crate) fn power_supply_main(args: &[String]) -> Result<i32> {
    let [state, name, image, faults @ ..] = args else {
        return Err(LabError::new("host wants STATE NAME IMAGE"));
    };
    let paths = LabPaths::from_state(Path::new(state));
    let lab = crate::lab::read_spec(&paths)?;
    let host = lab.host(name)?;
    let own = paths.host(&host);
    let faults = BootFaults::parse(faults);

    enter_netns(&host.netns)?;
    fresh_boot(&own)?;
    let machine = fs::File::open("/proc/self/ns/pid").doing(|| "cannot open a pid namespace".to_owned())?;
    // Only for the child; pid 1 makes its other namespaces itself, so that this process keeps the machine's view.
    unshare(CloneFlags::CLONE_NEWPID).doing(|| format!("cannot make the pid namespace of {name}"))?;
    // SAFETY: this process has one thread, so the child may use everything the parent could.
    let pid = match unsafe { fork() }.doing(|| format!("cannot start pid 1 of {name}"))? {
        ForkResult::Child => init::run(&lab, &paths, &host, Path::new(image), faults),
        ForkResult::Parent { child } => child,
    };
    fs::write(own.init_pid(), pid.to_string()).doing(|| format!("cannot note the pid of {name}"))?;
    let ended = waitpid(pid, None).doing(|| format!("cannot wait for {name}"))?;
    // A pid namespace without its pid 1 takes no new process.
    setns(machine, CloneFlags::CLONE_NEWPID).doing(|| "cannot leave the host's pid namespace".to_owned())?;
    // A host without power has no address; its network card stays on the wire and hears magic packets.
    let gone = quiet_network(&host);
    let _ = fs::remove_file(own.init_pid());
    gone?;
    Ok(match ended {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => EXIT_CUT,
        _ => EXIT_FAILED,
    })
}

pub(crate) fn enter_netns(name: &str) -> Result<()> {
    let path = Path::new("/run/netns").join(name);
    let file = fs::File::open(&path).doing(|| format!("cannot open {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).doing(|| format!("cannot enter the network namespace {name}"))
}

/// Empties `/run` and makes a new boot id.
fn fresh_boot(own: &HostPaths) -> Result<()> {
    let run = own.root.join("run");
    let _ = fs::remove_file(own.init_pid());
    if run.exists() {
        fs::remove_dir_all(&run).doing(|| format!("cannot empty {}", run.display()))?;
    }
    for dir in ["run/lab", "run/lock", "run/sshd", "run/libvirt"] {
        crate::hostfs::make(&own.root.join(dir), 0o755)?;
    }
    let id =
        fs::read_to_string("/proc/sys/kernel/random/uuid").doing(|| "cannot make a boot id".to_owned())?;
    crate::hostfs::put(&own.boot_id(), &id)
}

/// Gives the host its bridge and address. Runs in the host's network namespace.
fn raise_network(host: &HostSpec) -> Result<()> {
    let bridge = HOST_BRIDGE;
    ip_batch(&format!(
        "link set lo up\n\
         link add {bridge} address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
         link set eth0 master {bridge}\n\
         link set eth0 up\n\
         addr add {address}/{PREFIX} brd + dev {bridge}\n\
         link set {bridge} up\n",
        mac = host.mac,
        address = host.address,
    ))
}

fn quiet_network(host: &HostSpec) -> Result<()> {
    // A boot that hung never made it.
    if nix::net::if_::if_nametoindex(HOST_BRIDGE).is_err() {
        return Ok(());
    }
    ip_batch(&format!("link del {HOST_BRIDGE}\n"))
        .map_err(|e| LabError::new(format!("{} keeps its address", host.name)).because(e))
}

pub(crate) fn ip_batch(lines: &str) -> Result<()> {
    let run = || {
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(lines.as_bytes())?;
        }
        child.wait_with_output()
    };
    checked("ip -batch", run()).map(drop)
}

/// The uuids of the QEMU processes that `/proc` shows here.
pub(crate) fn qemu_here() -> Vec<String> {
    crate::truth::qemu_processes().into_iter().map(|q| q.uuid).collect()
}
