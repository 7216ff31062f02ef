//! The hosts' power: on by a magic packet or a button, off by their own pid 1 or by a cut.
//!
//! Each host that is on has a thread here that waits for its power supply to end and says how it ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Shared, lock};
use crate::error::{Doing, Result};
use crate::host::{BootFaults, EXIT_CUT, EXIT_POWER_OFF, EXIT_REBOOT};
use crate::report::{HostStatus, Power};
use crate::spec::HostSpec;

pub(super) struct Host {
    spec: HostSpec,
    power: Power,
    since: Instant,
    /// The boot this state belongs to: a cut makes a boot that still waits void.
    boot: u64,
    pub(super) lose_wakes: u32,
    pub(super) next: BootFaults,
    pub(super) now: BootFaults,
}

impl Host {
    fn set(&mut self, power: Power) {
        self.power = power;
        self.since = Instant::now();
    }
}

pub(super) struct Hosts {
    all: Mutex<BTreeMap<String, Host>>,
    changed: Condvar,
}

impl Hosts {
    pub(super) fn new(specs: Vec<HostSpec>) -> Self {
        let hosts = specs.into_iter().map(|spec| {
            let host = Host {
                power: Power::Off,
                since: Instant::now(),
                boot: 0,
                lose_wakes: 0,
                next: BootFaults::default(),
                now: BootFaults::default(),
                spec,
            };
            (host.spec.name.clone(), host)
        });
        Self { all: Mutex::new(hosts.collect()), changed: Condvar::new() }
    }

    pub(super) fn change(&self, name: &str, f: impl FnOnce(&mut Host)) {
        if let Some(host) = lock(&self.all).get_mut(name) {
            f(host);
        }
    }

    /// Counts a magic packet against those that are to be lost.
    pub(super) fn loses_packet(&self, name: &str) -> bool {
        let mut all = lock(&self.all);
        match all.get_mut(name) {
            Some(h) if h.lose_wakes > 0 => {
                h.lose_wakes -= 1;
                true
            }
            _ => false,
        }
    }

    /// A host that has power already takes no notice.
    pub(super) fn power_on(&self, shared: &Arc<Shared>, name: &str, at_once: bool) {
        let mut all = lock(&self.all);
        let Some(host) = all.get_mut(name) else { return };
        if host.power != Power::Off {
            return;
        }
        host.set(Power::Booting);
        host.boot += 1;
        host.now = std::mem::take(&mut host.next);
        let (spec, boot, faults, shared) = (host.spec.clone(), host.boot, host.now, Arc::clone(shared));
        shared.event("power-on", Some(name), &[]);
        thread::spawn(move || shared.hosts.live(&shared, &spec, boot, faults, at_once));
    }

    /// As if the plug were pulled.
    pub(super) fn cut(&self, shared: &Shared, name: &str) {
        let mut all = lock(&self.all);
        let Some(host) = all.get_mut(name) else { return };
        match host.power {
            Power::Off => return,
            Power::Booting => {
                host.boot += 1;
                host.set(Power::Off);
            }
            Power::On | Power::Hung => {
                let note = shared.paths.host(&host.spec).init_pid();
                drop(all);
                // The thread that waits for the host sees its end and says so.
                if let Some(pid) = noted_pid(&note) {
                    let _ = kill(pid, Signal::SIGKILL);
                }
            }
        }
        self.changed.notify_all();
    }

    /// Cuts every host and waits until all are gone, for a while.
    pub(super) fn cut_all(&self, shared: &Shared) {
        let names: Vec<String> = lock(&self.all).keys().cloned().collect();
        for name in &names {
            self.cut(shared, name);
        }
        let all = lock(&self.all);
        // What is left after this time, `down` finds and ends itself.
        let _ = self.changed.wait_timeout_while(all, Duration::from_secs(10), |all| {
            all.values().any(|h| h.power != Power::Off)
        });
    }

    pub(super) fn status(&self, qemu: impl Fn(&HostSpec) -> Option<Vec<String>>) -> Vec<HostStatus> {
        let all = lock(&self.all);
        let status = all.values().map(|h| {
            let mut faults = Vec::new();
            let mut say = |set: bool, what: &str| {
                if set {
                    faults.push(what.to_owned());
                }
            };
            say(h.lose_wakes > 0, &format!("loses {} wakes", h.lose_wakes));
            say(h.next.hang, "next boot hangs");
            say(h.next.no_share, "next boot without the shared folder");
            say(h.now.no_share && h.power == Power::On, "booted without the shared folder");
            HostStatus {
                name: h.spec.name.clone(),
                power: h.power,
                for_s: h.since.elapsed().as_secs(),
                qemu: qemu(&h.spec).unwrap_or_default(),
                faults,
            }
        });
        status.collect()
    }

    /// One host from power-on to power-off, through any reboots.
    fn live(&self, shared: &Shared, host: &HostSpec, boot: u64, faults: BootFaults, at_once: bool) {
        let mut delay = if at_once { Duration::ZERO } else { Duration::from_secs(shared.lab.boot_s.into()) };
        let mut faults = faults;
        loop {
            if !self.wait_boot(&host.name, boot, delay) {
                break shared.event("power-off", Some(&host.name), &[("how", "cut".to_owned())]);
            }
            let state = if faults.hang { Power::Hung } else { Power::On };
            self.change(&host.name, |h| h.set(state));
            shared.event("boot", Some(&host.name), &[]);
            let how = match power_supply(shared, host, faults) {
                Ok(code) => code,
                Err(e) => {
                    shared.event("failed", Some(&host.name), &[("why", e.to_string())]);
                    EXIT_CUT
                }
            };
            let words = match how {
                EXIT_POWER_OFF => "poweroff",
                EXIT_REBOOT => "reboot",
                EXIT_CUT => "cut",
                _ => "failed",
            };
            let last_words =
                std::fs::read_to_string(shared.paths.host(host).last_words()).unwrap_or_default();
            let mut more = vec![("how", words.to_owned())];
            if how != EXIT_CUT {
                more.push(("qemu", last_words));
                // What the last guard wrote down before it let go: the cluster it obeys, and its epoch.
                let guard = shared.paths.host(host).guard_memory();
                more.push(("guard", std::fs::read_to_string(guard).unwrap_or_default().trim().to_owned()));
            }
            shared.event("power-off", Some(&host.name), &more);
            if how != EXIT_REBOOT {
                break;
            }
            delay = Duration::from_secs(shared.lab.boot_s.into());
            self.change(&host.name, |h| {
                h.set(Power::Booting);
                h.now = std::mem::take(&mut h.next);
                faults = h.now;
            });
        }
        // A cut in the boot delay has already said so, and the host may be booting anew.
        let mut all = lock(&self.all);
        if let Some(h) = all.get_mut(&host.name)
            && h.boot == boot
        {
            h.set(Power::Off);
        }
        drop(all);
        self.changed.notify_all();
    }

    /// Waits the boot time; false if the power went meanwhile.
    fn wait_boot(&self, name: &str, boot: u64, delay: Duration) -> bool {
        let valid = |all: &BTreeMap<String, Host>| all.get(name).is_some_and(|h| h.boot == boot);
        let all = lock(&self.all);
        let (all, _) = self
            .changed
            .wait_timeout_while(all, delay, |all| valid(all))
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        valid(&all)
    }
}

/// The host's pid 1; in the first moments of a host it is not noted yet.
fn noted_pid(note: &Path) -> Option<Pid> {
    for _ in 0..200 {
        if let Some(pid) = std::fs::read_to_string(note).ok().and_then(|p| p.parse().ok()) {
            return Some(Pid::from_raw(pid));
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Runs a host's power supply and waits for its end.
fn power_supply(shared: &Shared, host: &HostSpec, faults: BootFaults) -> Result<i32> {
    let own = shared.paths.host(host);
    let log = File::options()
        .create(true)
        .append(true)
        .open(own.log())
        .doing(|| format!("cannot open the console of {}", host.name))?;
    let out = log.try_clone().doing(|| format!("cannot open the console of {}", host.name))?;
    let status = Command::new(shared.paths.program())
        .args(["lab-internal", "host"])
        .arg(&shared.paths.state)
        .arg(&host.name)
        .arg(&shared.image)
        .args(faults.args())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(log)
        .status()
        .doing(|| format!("cannot power {}", host.name))?;
    Ok(status.code().unwrap_or(EXIT_CUT))
}
