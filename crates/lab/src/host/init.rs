//! Pid 1 of a lab host: mounts, network, services, and then one loop that reaps every child and obeys orders.
//!
//! It outlives its daemons: a libvirtd that stops or crashes takes no guest with it. Orders come over a socket in
//! the host's `/run/lab`, from the stand-ins inside the host and from the lab outside. When this process ends, the
//! kernel ends the whole host.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::load::LoadMeter;
use super::mounts::{self, SharedFolder};
use super::priority;
use super::services::Services;
use super::{BootFaults, EXIT_FAILED, EXIT_POWER_OFF, EXIT_REBOOT};
use crate::error::{Doing, Result};
use crate::paths::{IN_HOST, LabPaths};
use crate::spec::{HostSpec, LabSpec};

/// What pid 1 is asked; one JSON line, answered by one [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// `systemctl VERB UNITS`, as far as a lab host needs it.
    Unit {
        verb: String,
        units: Vec<String>,
    },
    PowerOff,
    Reboot,
    /// SIGSTOP or SIGCONT for libvirtd.
    Freeze {
        frozen: bool,
    },
    MountShare,
    /// Puts a file system that never answers over the shared folder, or takes it away.
    HangShare {
        hung: bool,
    },
    /// Holds dpkg's locks as a running upgrade does, or lets go of them.
    HoldPackages {
        held: bool,
    },
    /// Someone at a terminal, as `who` shows it; `None` logs everybody out.
    Login {
        user: Option<String>,
        tty: String,
    },
    /// What `systemd-inhibit --list` shows, one line per inhibitor.
    Inhibitors {
        lines: Vec<String>,
    },
    /// A load average that stays as told; `None` goes back to the guests' own load.
    Load {
        hundredths: Option<u32>,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(super) fn fail(code: i32, err: impl Into<String>) -> Self {
        Self { code, out: String::new(), err: err.into() }
    }

    fn of(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::default(),
            Err(e) => Self::fail(1, e.to_string()),
        }
    }
}

/// Sends one order to a host's pid 1. `socket` differs inside and outside the host.
pub(crate) fn ask(socket: &Path, order: &Order) -> Result<Answer> {
    let what = || format!("no answer from the host's pid 1 at {}", socket.display());
    let mut stream = UnixStream::connect(socket).doing(what)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).doing(what)?;
    let mut line = serde_json::to_string(order).doing(what)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).doing(what)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).doing(what)?;
    serde_json::from_str(&answer).doing(what)
}

/// Never returns: the process ends with the host.
pub(super) fn run(lab: &LabSpec, paths: &LabPaths, host: &HostSpec, image: &Path, faults: BootFaults) -> ! {
    let code = match boot(lab, paths, host, image, faults) {
        Ok(mut init) => init.serve(),
        Err(e) => {
            note(&format!("boot failed: {e}"));
            EXIT_FAILED
        }
    };
    std::process::exit(code)
}

/// Pid 1 speaks on its console, which the lab keeps in a file.
pub(super) fn note(line: &str) {
    // The console is a file of the lab; where it cannot be written there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "init: {line}");
}

struct Init {
    signals: SignalFd,
    orders: UnixListener,
    services: Services,
    share: SharedFolder,
    load: LoadMeter,
    packages: Vec<std::fs::File>,
    ending: Option<i32>,
}

fn boot(lab: &LabSpec, paths: &LabPaths, host: &HostSpec, image: &Path, faults: BootFaults) -> Result<Init> {
    die_with_power_supply()?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .doing(|| "cannot make the host's namespaces".to_owned())?;
    if faults.hang {
        hang();
    }
    let loadavg = std::fs::File::options()
        .write(true)
        .open(paths.host(host).loadavg())
        .doing(|| "cannot open the load file".to_owned())?;
    let share = mounts::arrange(paths, host, image, !faults.no_share)?;
    nix::unistd::sethostname(&host.name).doing(|| "cannot set the host's name".to_owned())?;
    super::raise_network(host)?;
    give_up_the_machine()?;
    std::fs::write("/run/utmp", "").doing(|| "cannot make /run/utmp".to_owned())?;

    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        set.add(signal);
    }
    set.thread_block().doing(|| "cannot block signals".to_owned())?;
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .doing(|| "cannot listen for signals".to_owned())?;
    let orders = UnixListener::bind(Path::new(IN_HOST).join("init.sock"))
        .doing(|| "cannot listen for orders".to_owned())?;
    let mut services = Services::new();
    services.start_all()?;
    Ok(Init {
        signals,
        orders,
        services,
        share,
        load: LoadMeter::new(lab, loadavg),
        packages: Vec::new(),
        ending: None,
    })
}

impl Init {
    fn serve(&mut self) -> i32 {
        let mut next_load = Instant::now();
        loop {
            let mut fds = vec![
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.orders.as_fd(), PollFlags::POLLIN),
            ];
            if let Some(door) = self.services.door() {
                fds.push(PollFd::new(door, PollFlags::POLLIN));
            }
            // An interrupted poll is looked at as one where nothing is ready.
            let polled = poll(&mut fds, PollTimeout::from(1000_u16)).is_ok();
            let ready = |i: usize| {
                polled && fds.get(i).and_then(PollFd::revents).is_some_and(|r| r.contains(PollFlags::POLLIN))
            };
            let (signal, order, knock) = (ready(0), ready(1), ready(2));
            if signal {
                while let Ok(Some(_)) = self.signals.read_signal() {}
            }
            self.reap();
            if order && let Ok((stream, _)) = self.orders.accept() {
                self.answer(stream);
            }
            if knock {
                self.services.knocked();
            }
            if Instant::now() >= next_load {
                next_load = Instant::now() + Duration::from_secs(1);
                self.load.measure();
                priority::keep();
            }
            if let Some(code) = self.ending {
                return code;
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::StillAlive => break,
                WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) => self.services.ended(pid),
                _ => {}
            }
        }
    }

    fn answer(&mut self, stream: UnixStream) {
        // A client that does not speak must not stop pid 1; one that is gone needs no answer.
        let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
        let mut line = String::new();
        if BufReader::new(&stream).read_line(&mut line).is_err() {
            return;
        }
        let answer = match serde_json::from_str::<Order>(&line) {
            Ok(order) => self.obey(order),
            Err(e) => Answer::fail(2, format!("not an order: {e}")),
        };
        if let Ok(mut text) = serde_json::to_string(&answer) {
            text.push('\n');
            let _ = (&stream).write_all(text.as_bytes());
        }
    }

    fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Unit { verb, units } => self.services.unit(&verb, &units),
            Order::PowerOff => self.end(EXIT_POWER_OFF),
            Order::Reboot => self.end(EXIT_REBOOT),
            Order::Freeze { frozen } => Answer::of(self.services.freeze(frozen)),
            Order::MountShare => Answer::of(self.share.mount()),
            Order::HangShare { hung } => Answer::of(self.share.hang(hung)),
            Order::HoldPackages { held } => Answer::of(self.hold_packages(held)),
            Order::Login { user, tty } => Answer::of(login(user.as_deref(), &tty)),
            Order::Inhibitors { lines } => {
                Answer::of(crate::hostfs::put(&Path::new(IN_HOST).join("inhibitors"), &lines.join("\n")))
            }
            Order::Load { hundredths } => {
                self.load.fix(hundredths);
                Answer::default()
            }
        }
    }

    /// Ends the host at the end of this turn, and leaves word of what still ran: it must have been nothing.
    fn end(&mut self, code: i32) -> Answer {
        let running = super::qemu_here().join(" ");
        self.ending = Some(code);
        Answer::of(crate::hostfs::put(&Path::new(IN_HOST).join("last-words"), &running))
    }

    fn hold_packages(&mut self, held: bool) -> Result<()> {
        self.packages.clear();
        if !held {
            return Ok(());
        }
        for name in ["lock-frontend", "lock"] {
            let path = Path::new("/var/lib/dpkg").join(name);
            let file = std::fs::File::options()
                .write(true)
                .open(&path)
                .doing(|| format!("cannot open {}", path.display()))?;
            // dpkg's locks are fcntl locks on the whole file.
            let whole = libc::flock {
                l_type: short(libc::F_WRLCK),
                l_whence: short(libc::SEEK_SET),
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETLK(&whole))
                .doing(|| format!("cannot lock {}", path.display()))?;
            self.packages.push(file);
        }
        Ok(())
    }
}

/// The fields of a lock are narrower than the constants made for them.
fn short(constant: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(constant).expect("lock constants are small")
}

/// Writes a login record that belongs to pid 1, so that `who` counts it as alive.
#[expect(clippy::disallowed_methods, reason = "a login record carries the wall time it began at")]
fn login(user: Option<&str>, tty: &str) -> Result<()> {
    let Some(user) = user else {
        return std::fs::write("/run/utmp", "").doing(|| "cannot clear /run/utmp".to_owned());
    };
    // SAFETY: utmpx is plain data; all zero is a valid (empty) record.
    let mut record: libc::utmpx = unsafe { std::mem::zeroed() };
    record.ut_type = libc::USER_PROCESS;
    record.ut_pid = 1;
    fill(&mut record.ut_user, user);
    fill(&mut record.ut_line, tty);
    fill(&mut record.ut_id, &tty[tty.len().saturating_sub(4)..]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    record.ut_tv.tv_sec = i32::try_from(now).unwrap_or(i32::MAX);
    // SAFETY: single-threaded use of the utmp functions, with a record that lives through the calls.
    let written = unsafe {
        libc::setutxent();
        let w = libc::pututxline(&record);
        libc::endutxent();
        w
    };
    if written.is_null() {
        return Err(std::io::Error::last_os_error()).doing(|| "cannot write the login record".to_owned());
    }
    Ok(())
}

fn fill(field: &mut [libc::c_char], text: &str) {
    let len = field.len().saturating_sub(1);
    for (to, from) in field.iter_mut().zip(text.bytes().take(len)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
}

fn die_with_power_supply() -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).doing(|| "cannot tie pid 1 to its power".to_owned())
}

/// No host may set the machine's clock or load modules into its kernel.
fn give_up_the_machine() -> Result<()> {
    const CAP_SYS_MODULE: libc::c_ulong = 16;
    const CAP_SYS_TIME: libc::c_ulong = 25;
    for cap in [CAP_SYS_MODULE, CAP_SYS_TIME] {
        // SAFETY: prctl with plain integers.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, cap, 0, 0, 0) };
        if done != 0 {
            return Err(std::io::Error::last_os_error()).doing(|| "cannot drop a capability".to_owned());
        }
    }
    Ok(())
}

/// A boot that never gets anywhere: it draws power until it is cut.
fn hang() -> ! {
    note("hanging in boot, as told");
    loop {
        nix::unistd::pause();
    }
}
