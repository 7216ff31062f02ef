//! The services of a lab host, in the words of systemd: libvirtd with its sockets, and sshd.
//!
//! What matters to dormouse is kept true: a stopped libvirtd whose socket unit still listens comes back with the
//! next connection; a masked unit does not start; a service that will not end is killed after a while.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::init::{Answer, note};
use super::priority::GUEST_NICE;
use crate::error::{Doing, LabError, Result};
use crate::hostfs::{TLS_SOCKET, WANTED};

const LIBVIRT_SOCKET: &str = "/run/libvirt/libvirt-sock";
const STOP_PATIENCE: Duration = Duration::from_secs(10);

struct Daemon {
    unit: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    log: &'static str,
    nice: i32,
    pid: Option<Pid>,
    masked: bool,
}

/// A socket unit: while active, a connection starts libvirtd.
struct SocketUnit {
    unit: &'static str,
    active: bool,
    masked: bool,
}

pub(super) struct Services {
    daemons: [Daemon; 2],
    sockets: [SocketUnit; 4],
    /// libvirt's socket, held open in libvirtd's stead while only its socket unit is active.
    door: Option<UnixListener>,
}

enum Unit {
    Daemon(usize),
    Socket(usize),
}

const LIBVIRTD: usize = 0;
const TLS: usize = 3;

/// There while the TLS socket is to be opened at boot.
fn enabled() -> PathBuf {
    Path::new("/etc").join(WANTED).join(TLS_SOCKET)
}

fn enable(on: bool) -> Result<()> {
    let path = enabled();
    let done = if on { File::create(&path).map(drop) } else { std::fs::remove_file(&path) };
    match done {
        Err(e) if on || e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).doing(|| format!("cannot change {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Services {
    pub(super) fn new() -> Self {
        let socket = |unit| SocketUnit { unit, active: true, masked: false };
        let tls = SocketUnit { unit: TLS_SOCKET, active: enabled().exists(), masked: false };
        Self {
            daemons: [
                Daemon {
                    unit: "libvirtd.service",
                    program: "/usr/sbin/libvirtd",
                    args: &[],
                    log: "/var/log/libvirtd.out",
                    nice: GUEST_NICE,
                    pid: None,
                    masked: false,
                },
                Daemon {
                    unit: "ssh.service",
                    program: "/usr/sbin/sshd",
                    args: &["-D", "-e"],
                    log: "/var/log/sshd.log",
                    nice: 0,
                    pid: None,
                    masked: false,
                },
            ],
            sockets: [
                socket("libvirtd.socket"),
                socket("libvirtd-ro.socket"),
                socket("libvirtd-admin.socket"),
                tls,
            ],
            door: None,
        }
    }

    pub(super) fn start_all(&mut self) -> Result<()> {
        (0..self.daemons.len()).try_for_each(|i| self.start(i))
    }

    /// A child of pid 1 ended. A daemon that ends by itself stays down, as with `Restart=no`.
    pub(super) fn ended(&mut self, pid: Pid) {
        for d in &mut self.daemons {
            if d.pid == Some(pid) {
                note(&format!("{} ended", d.unit));
                d.pid = None;
            }
        }
        self.keep_door();
    }

    pub(super) fn door(&self) -> Option<BorrowedFd<'_>> {
        self.door.as_ref().map(AsFd::as_fd)
    }

    /// Someone connected to libvirt's socket while only the socket unit was active.
    pub(super) fn knocked(&mut self) {
        note("a connection to libvirtd.socket starts libvirtd");
        if let Err(e) = self.start(LIBVIRTD) {
            note(&e.to_string());
            // A unit that cannot start must not make us spin.
            self.door = None;
        }
    }

    pub(super) fn freeze(&mut self, frozen: bool) -> Result<()> {
        let pid = self.daemons[LIBVIRTD].pid.ok_or_else(|| LabError::new("libvirtd does not run"))?;
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(pid, signal).doing(|| "cannot signal libvirtd".to_owned())
    }

    pub(super) fn unit(&mut self, verb: &str, units: &[String]) -> Answer {
        if units.is_empty() {
            return Answer::fail(1, format!("systemctl (lab): {verb} wants units\n"));
        }
        let mut answer = Answer::default();
        for name in units {
            let one = self.one(verb, name);
            answer.code = if answer.code == 0 { one.code } else { answer.code };
            answer.out += &one.out;
            answer.err += &one.err;
        }
        answer
    }

    fn one(&mut self, verb: &str, name: &str) -> Answer {
        let Some(unit) = self.find(name) else {
            return match verb {
                "is-active" => Answer { code: 4, out: "inactive\n".to_owned(), err: String::new() },
                "show" => Answer {
                    out: "LoadState=not-found\nActiveState=inactive\n".to_owned(),
                    ..Answer::default()
                },
                _ => Answer::fail(5, format!("Failed to {verb} {name}: Unit {name} not loaded.\n")),
            };
        };
        let done = match verb {
            "start" => self.set(&unit, true),
            "stop" | "kill" => self.set(&unit, false),
            "restart" | "try-restart" => self.set(&unit, false).and_then(|()| self.set(&unit, true)),
            "mask" | "unmask" => {
                self.mask(&unit, verb == "mask");
                Ok(())
            }
            "is-active" | "status" | "show" | "is-enabled" => return self.say(verb, &unit),
            "enable" | "disable" if matches!(unit, Unit::Socket(TLS)) => enable(verb == "enable"),
            "reset-failed" | "enable" | "disable" => Ok(()),
            other => Err(LabError::new(format!("systemctl (lab): unknown verb {other}"))),
        };
        match done {
            Ok(()) => Answer::default(),
            Err(e) => Answer::fail(1, format!("Failed to {verb} {name}: {e}\n")),
        }
    }

    fn find(&self, name: &str) -> Option<Unit> {
        let full = if name.contains('.') { name.to_owned() } else { format!("{name}.service") };
        let full = if full == "sshd.service" { "ssh.service".to_owned() } else { full };
        let daemon = self.daemons.iter().position(|d| d.unit == full).map(Unit::Daemon);
        daemon.or_else(|| self.sockets.iter().position(|s| s.unit == full).map(Unit::Socket))
    }

    fn say(&self, verb: &str, unit: &Unit) -> Answer {
        let (name, active, masked) = match *unit {
            Unit::Daemon(i) => (self.daemons[i].unit, self.daemons[i].pid.is_some(), self.daemons[i].masked),
            Unit::Socket(i) => (self.sockets[i].unit, self.sockets[i].active, self.sockets[i].masked),
        };
        let state = if active { "active" } else { "inactive" };
        let load = if masked { "masked" } else { "loaded" };
        let out = match verb {
            "is-active" => format!("{state}\n"),
            "is-enabled" if matches!(*unit, Unit::Socket(TLS)) && !enabled().exists() => {
                "disabled\n".to_owned()
            }
            "is-enabled" => format!("{}\n", if masked { "masked-runtime" } else { "enabled" }),
            "show" => format!("Id={name}\nLoadState={load}\nActiveState={state}\n"),
            _ => format!("{name} - lab unit\n     Loaded: {load}\n     Active: {state}\n"),
        };
        let failed = if verb == "is-enabled" { masked } else { !active && verb != "show" };
        Answer { code: if failed { 3 } else { 0 }, out, err: String::new() }
    }

    fn mask(&mut self, unit: &Unit, masked: bool) {
        match *unit {
            Unit::Daemon(i) => self.daemons[i].masked = masked,
            Unit::Socket(i) => self.sockets[i].masked = masked,
        }
    }

    fn set(&mut self, unit: &Unit, on: bool) -> Result<()> {
        match *unit {
            Unit::Daemon(i) if on => self.start(i)?,
            Unit::Daemon(i) => self.stop(i)?,
            Unit::Socket(i) if on && self.sockets[i].masked => {
                return Err(LabError::new(format!("Unit {} is masked.", self.sockets[i].unit)));
            }
            // As systemd: a socket is not opened for a service that runs already.
            Unit::Socket(TLS) if on && !self.sockets[TLS].active && self.daemons[LIBVIRTD].pid.is_some() => {
                return Err(LabError::new("Socket service libvirtd.service already active, refusing."));
            }
            Unit::Socket(i) => self.sockets[i].active = on,
        }
        self.keep_door();
        Ok(())
    }

    /// Holds libvirt's socket exactly while libvirtd is down and the main socket unit is active.
    fn keep_door(&mut self) {
        let wanted = self.daemons[LIBVIRTD].pid.is_none() && self.sockets[0].active;
        if wanted && self.door.is_none() {
            // libvirtd leaves its socket file behind when it is killed.
            let _ = std::fs::remove_file(LIBVIRT_SOCKET);
            match UnixListener::bind(LIBVIRT_SOCKET) {
                Ok(door) => self.door = Some(door),
                Err(e) => note(&format!("cannot listen on {LIBVIRT_SOCKET}: {e}")),
            }
        } else if !wanted && self.door.take().is_some() {
            let _ = std::fs::remove_file(LIBVIRT_SOCKET);
        }
    }

    fn start(&mut self, i: usize) -> Result<()> {
        let d = &mut self.daemons[i];
        if d.masked {
            return Err(LabError::new(format!("Unit {} is masked.", d.unit)));
        }
        if d.pid.is_some() {
            return Ok(());
        }
        if i == LIBVIRTD && self.door.take().is_some() {
            let _ = std::fs::remove_file(LIBVIRT_SOCKET);
        }
        // `systemctl start` of the service pulls its sockets in again unless they are masked.
        if i == LIBVIRTD {
            for s in self.sockets[..TLS].iter_mut().filter(|s| !s.masked) {
                s.active = true;
            }
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(d.log)
            .doing(|| format!("cannot open {}", d.log))?;
        let err = log.try_clone().doing(|| format!("cannot open {}", d.log))?;
        let mut command = Command::new(d.program);
        // Only with it libvirtd takes connections from other hosts, in the place of the socket unit.
        let listen = (i == LIBVIRTD && self.sockets[TLS].active).then_some("--listen");
        command
            .args(d.args)
            .args(listen)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(err);
        let nice = d.nice;
        // SAFETY: only async-signal-safe calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                // A lab on a crowded machine is worse, not impossible, without it.
                libc::setpriority(libc::PRIO_PROCESS, 0, nice);
                nix::sys::signal::SigSet::empty().thread_set_mask()?;
                nix::unistd::setsid()?;
                Ok(())
            });
        }
        // The child is reaped by pid 1's loop; the handle itself is not waited for.
        let child = command.spawn().doing(|| format!("cannot start {}", d.program))?;
        d.pid = Some(Pid::from_raw(i32::try_from(child.id()).expect("a pid is an i32")));
        Ok(())
    }

    fn stop(&mut self, i: usize) -> Result<()> {
        let Some(pid) = self.daemons[i].pid else { return Ok(()) };
        kill(pid, Signal::SIGTERM).doing(|| format!("cannot stop {}", self.daemons[i].unit))?;
        let started = Instant::now();
        let mut killed = false;
        while self.daemons[i].pid.is_some() {
            match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(5)),
                // Ended now, or reaped before.
                Ok(_) | Err(_) => self.daemons[i].pid = None,
            }
            if !killed && started.elapsed() > STOP_PATIENCE {
                killed = true;
                kill(pid, Signal::SIGKILL).doing(|| format!("cannot kill {}", self.daemons[i].unit))?;
            }
        }
        Ok(())
    }
}
