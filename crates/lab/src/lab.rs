//! A lab as a whole: up, look, load, break, down.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::down::{DownReport, down, labs};
use crate::error::{Doing, LabError, Result};
use crate::guests::{self, Load};
use crate::host::init::{self, Order};
use crate::hostfs::{make, make_executable, put};
use crate::image::Image;
use crate::paths::{LabPaths, ROOT};
use crate::pki::{self, Authority};
use crate::report::{LabStatus, Power, StreamsReport};
use crate::spec::{LabSpec, TLS_PORT};
use crate::supervisor::proto::{self, Reply, Request};
use crate::{doctor, host, hostfs, net};

/// Hears what a long operation is at.
pub trait Progress {
    fn step(&mut self, what: &str);

    fn count(&mut self, what: &str, done: usize, of: usize) {
        self.step(&format!("{what}: {done} of {of}"));
    }
}

/// For those who do not want to hear.
impl Progress for () {
    fn step(&mut self, _: &str) {}
}

/// What can be broken. Each is about one host, and [`Lab::heal`] takes it back (but for the power).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The plug is pulled: everything on the host dies at once.
    PowerCut,
    /// The network cable is pulled: the host goes on, unheard, and hears no magic packet.
    Silence,
    /// The next so many magic packets do nothing.
    LoseWakes(u32),
    /// The next boot draws power and never answers.
    HangBoot,
    /// libvirtd is stopped in its tracks: it accepts and never answers.
    FreezeLibvirtd,
    ThawLibvirtd,
    /// The next boot comes up without the shared folder.
    NoShare,
    /// The shared folder's server is gone: whoever touches the folder waits. Files that are open already go on.
    HangShare,
    /// Nothing passes between this host and that one; the manager reaches both.
    CutFrom(String),
    /// This share of the packets to the host (or from it) is lost, in percent. The guests' packets are not.
    LoseInward(u8),
    LoseOutward(u8),
    /// Someone sits at this terminal (`who` shows it).
    Login {
        user: String,
        tty: String,
    },
    /// A package upgrade holds dpkg's locks.
    HoldPackages,
    /// What `systemd-inhibit --list` shows: lines of WHO UID USER PID COMM WHAT WHY MODE.
    Inhibitors(Vec<String>),
    /// The load average stays at this, in hundredths; `None`: the guests' own again.
    LoadAverage(Option<u32>),
}

/// A running lab.
#[derive(Debug, Clone)]
pub struct Lab {
    pub spec: LabSpec,
    pub paths: LabPaths,
}

pub(crate) fn read_spec(paths: &LabPaths) -> Result<LabSpec> {
    let path = paths.lab_json();
    let text = fs::read_to_string(&path).doing(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).doing(|| format!("{} is not a lab's spec", path.display()))
}

impl Lab {
    /// Builds a lab and starts its hosts and guests. What was made is removed again if that fails.
    pub fn up(spec: LabSpec, progress: &mut dyn Progress) -> Result<Self> {
        spec.check()?;
        let missing = doctor::missing();
        if !missing.is_empty() {
            return Err(LabError::new("this machine cannot run a lab yet").because(missing.join("; ")));
        }
        let paths = LabPaths::new(&spec.id)?;
        let id = &spec.id;
        if paths.state.exists() {
            return Err(LabError::new(format!("lab {id} exists already"))
                .with_hint(format!("look at it with `dormouse lab status --id {id}`, remove it with `dormouse lab down --id {id}`")));
        }
        if let Some(name) = net::leftovers(id).first() {
            return Err(LabError::new(format!("a network namespace {name} exists that no lab owns"))
                .with_hint(format!("choose another id, or remove it: ip netns del {name}")));
        }
        let image = Image::ensure(progress)?;
        make(Path::new(ROOT), 0o755)?;
        fs::create_dir(&paths.state).doing(|| format!("cannot make {}", paths.state.display()))?;
        let lab = Self { spec, paths };
        match lab.build(&image, progress) {
            Ok(()) => Ok(lab),
            Err(e) if lab.spec.keep_broken => {
                Err(e.with_hint(format!("kept as it is in {}", lab.paths.state.display())))
            }
            Err(e) => {
                progress.step("giving up: removing what was made");
                let report = down(&lab.spec.id)?;
                if report.left.is_empty() {
                    return Err(e);
                }
                Err(LabError::new(e.to_string())
                    .with_hint(format!("some of it is left: {}", report.left.join("; "))))
            }
        }
    }

    /// A lab that is up.
    pub fn open(id: &str) -> Result<Self> {
        let paths = LabPaths::new(id)?;
        if !paths.state.exists() {
            let known = labs().join(", ");
            return Err(LabError::new(format!("there is no lab {id}")).with_hint(if known.is_empty() {
                "none is up".to_owned()
            } else {
                format!("up: {known}")
            }));
        }
        Ok(Self { spec: read_spec(&paths)?, paths })
    }

    fn build(&self, image: &Image, progress: &mut dyn Progress) -> Result<()> {
        self.write_files(progress)?;
        progress.step("wiring the switch");
        net::build(&self.spec)?;
        self.start_supervisor(image)?;
        self.start_hosts(progress)?;
        self.start_guests(progress)
    }

    fn write_files(&self, progress: &mut dyn Progress) -> Result<()> {
        let (lab, paths) = (&self.spec, &self.paths);
        progress.step("keys, certificates, files");
        let json = serde_json::to_string_pretty(lab).doing(|| "cannot write the lab's spec".to_owned())?;
        put(&paths.lab_json(), &json)?;
        let program = match &lab.program {
            Some(p) => p.clone(),
            None => std::env::current_exe().doing(|| "cannot find the running program".to_owned())?,
        };
        fs::copy(&program, paths.program()).doing(|| format!("cannot copy {}", program.display()))?;
        make(&paths.state.join("ssh"), 0o700)?;
        make(&paths.shared(), 0o777)?;
        put(&paths.shared().join(".dormouse-shared"), &format!("{}\n", lab.id))?;
        put(&paths.cluster(), &lab.cluster_text(false))?;
        put(&paths.cluster_with_guests(), &lab.cluster_text(true))?;
        make(&paths.domains(), 0o755)?;
        for guest in lab.all_guests() {
            put(&paths.domains().join(format!("{}.xml", guest.name)), &guests::domain_xml(lab, &guest))?;
        }
        let authority = Authority::create(paths)?;
        authority.equip_manager(&paths.pki())?;
        let key = pki::ssh_key(&paths.ssh_key(), &format!("dormouse lab {}", lab.id))?;
        let mut known = String::new();
        let mut config = String::new();
        for host in lab.all_hosts() {
            let host_key = {
                make(&paths.host(&host).etc().join("ssh"), 0o755)?;
                hostfs::write(lab, paths, &host, &key)?
            };
            if lab.pki {
                authority.equip_host(&paths.host(&host).etc(), &host)?;
            }
            known += &format!("{},{} {host_key}\n", host.name, host.address);
            config += &format!("Host {0}\n  HostName {1}\n", host.name, host.address);
        }
        config += &format!(
            "Host *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
             GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 5\n",
            paths.ssh_key().display(),
            paths.known_hosts().display()
        );
        put(&paths.known_hosts(), &known)?;
        put(&paths.ssh_config(), &config)?;
        let ssh = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", paths.ssh_config().display());
        put(&paths.ssh_command(), &ssh)?;
        make_executable(&paths.ssh_command())
    }

    fn start_supervisor(&self, image: &Image) -> Result<()> {
        let log = fs::File::create(self.paths.supervisor_log())
            .doing(|| "cannot write the lab's log".to_owned())?;
        let err = log.try_clone().doing(|| "cannot write the lab's log".to_owned())?;
        let mut command = Command::new(self.paths.program());
        command
            .args(["lab-internal", "supervisor"])
            .arg(&self.paths.state)
            .arg(&image.dir)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(err);
        // SAFETY: setsid is async-signal-safe and the only thing done between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?));
        }
        let mut child = command.spawn().doing(|| "cannot start the lab's supervisor".to_owned())?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            // The file is there a moment before anybody listens behind it.
            if UnixStream::connect(self.paths.control_socket()).is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = child.try_wait() {
                let said = fs::read_to_string(self.paths.supervisor_log()).unwrap_or_default();
                return Err(
                    LabError::new(format!("the lab's supervisor ended ({status})")).because(said.trim())
                );
            }
            pause();
        }
        Err(LabError::new("the lab's supervisor does not come up"))
    }

    /// The first host alone, so that what libvirt finds out about QEMU is known to the others.
    fn start_hosts(&self, progress: &mut dyn Progress) -> Result<()> {
        let hosts = self.spec.all_hosts();
        let (first, rest) = hosts.split_at(1);
        let mut ready = 0;
        for batch in [first, rest] {
            for h in batch {
                self.ask(&Request::PowerOn { host: h.name.clone(), at_once: true })?;
            }
            let deadline = Instant::now() + Duration::from_secs(30 + 2 * batch.len() as u64);
            for h in batch {
                while !self.answers(&h.name)? {
                    let status = self.status()?;
                    let ended = status.hosts.iter().any(|s| s.name == h.name && s.power == Power::Off);
                    if ended || Instant::now() > deadline {
                        let console = fs::read_to_string(self.paths.host(h).log()).unwrap_or_default();
                        return Err(LabError::new(format!("host {} does not come up", h.name))
                            .because(console.lines().next_back().unwrap_or("its console is empty")));
                    }
                    pause();
                }
                ready += 1;
                progress.count("hosts up", ready, hosts.len());
            }
        }
        Ok(())
    }

    /// Whether a host's sshd and libvirtd (socket, and TLS where hosts begin with certificates) take connections.
    pub fn answers(&self, host: &str) -> Result<bool> {
        let host = self.spec.host(host)?;
        let netns = self.spec.switch_netns();
        let socket = self.paths.host(&host).libvirt_socket();
        let ports = if self.spec.pki { vec![22, TLS_PORT] } else { vec![22] };
        if UnixStream::connect(socket).is_err() {
            return Ok(false);
        }
        let open = in_netns(&netns, move || {
            Ok(ports.iter().all(|port| {
                let address = std::net::SocketAddr::from((host.address, *port));
                std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
            }))
        })?;
        Ok(open)
    }

    fn start_guests(&self, progress: &mut dyn Progress) -> Result<()> {
        let guests = self.spec.all_guests();
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let queue = std::sync::Mutex::new(guests.iter());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..workers.min(guests.len()) {
                let (tell, queue) = (tell.clone(), &queue);
                scope.spawn(move || {
                    loop {
                        let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                        let Some(guest) = next else { return };
                        // The receiver is gone once one guest has failed: stop here too.
                        if tell.send(self.start_guest(guest)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(tell);
            for (done, result) in told.into_iter().enumerate() {
                result?;
                progress.count("guests up", done + 1, guests.len());
            }
            Ok(())
        })
    }

    /// Starts a guest where it belongs; a boot that takes too long gets one more try.
    fn start_guest(&self, guest: &crate::GuestSpec) -> Result<()> {
        let host = self.spec.host(&self.spec.host_name(guest.first_host(&self.spec)))?;
        let own = self.paths.host(&host);
        let xml = self.paths.domains().join(format!("{}.xml", guest.name));
        for attempt in 1..=2 {
            guests::define_and_start(&own, &xml, guest)?;
            let deadline = Instant::now() + Duration::from_secs(45);
            while Instant::now() < deadline {
                let heard =
                    self.status()?.guests.into_iter().any(|g| g.name == guest.name && g.heard_on.is_some());
                if heard {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            if attempt == 1 {
                guests::virsh(&own, &["destroy", &guest.uuid.to_string()])?;
            }
        }
        Err(LabError::new(format!("guest {} does not boot on {}", guest.name, host.name))
            .with_hint(format!("its console: {}", own.root.join("var-log/libvirt/qemu").display())))
    }

    fn ask(&self, request: &Request) -> Result<Reply> {
        proto::ask(&self.paths.control_socket(), request)
    }

    /// What is really there, asking neither libvirt nor the manager.
    pub fn status(&self) -> Result<LabStatus> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            other => Err(LabError::new(format!("the supervisor answered {other:?}"))),
        }
    }

    /// Makes a guest really work for so many seconds; `None` stops it.
    pub fn load(&self, guest: &str, load: Option<Load>, seconds: u32) -> Result<()> {
        let guest = self.spec.guest(guest)?;
        let order = load.map_or_else(|| "stop".to_owned(), |l| l.order(seconds));
        in_netns(&self.spec.switch_netns(), move || guests::order(&guest, &order))
    }

    /// A host's power button; takes its boot time, as after a magic packet.
    pub fn power_on(&self, host: &str) -> Result<()> {
        self.ask(&Request::PowerOn { host: host.to_owned(), at_once: false }).map(drop)
    }

    pub fn fault(&self, host: &str, fault: &Fault) -> Result<()> {
        let spec = self.spec.host(host)?;
        let name = || host.to_owned();
        self.ask(&Request::Note { what: format!("{fault:?}"), host: Some(name()) })?;
        let pid1 = |order: Order| self.pid1(host, &order);
        match fault {
            Fault::PowerCut => self.ask(&Request::PowerCut { host: name() }).map(drop),
            Fault::Silence => net::cable(&self.spec, &spec, false),
            Fault::LoseWakes(packets) => {
                self.ask(&Request::LoseWakes { host: name(), packets: *packets }).map(drop)
            }
            Fault::HangBoot => self.ask(&Request::HangBoot { host: name() }).map(drop),
            Fault::NoShare => self.ask(&Request::NoShare { host: name() }).map(drop),
            Fault::FreezeLibvirtd => pid1(Order::Freeze { frozen: true }),
            Fault::ThawLibvirtd => pid1(Order::Freeze { frozen: false }),
            Fault::HangShare => pid1(Order::HangShare { hung: true }),
            Fault::CutFrom(other) => net::cut(&spec, &self.spec.host(other)?),
            Fault::LoseInward(percent) => net::lose(&spec, true, *percent),
            Fault::LoseOutward(percent) => net::lose(&spec, false, *percent),
            Fault::Login { user, tty } => pid1(Order::Login { user: Some(user.clone()), tty: tty.clone() }),
            Fault::HoldPackages => pid1(Order::HoldPackages { held: true }),
            Fault::Inhibitors(lines) => pid1(Order::Inhibitors { lines: lines.clone() }),
            Fault::LoadAverage(hundredths) => pid1(Order::Load { hundredths: *hundredths }),
        }
    }

    /// Takes back every fault of a host; a host without power stays without.
    pub fn heal(&self, host: &str) -> Result<()> {
        let spec = self.spec.host(host)?;
        self.ask(&Request::Note { what: "heal".to_owned(), host: Some(host.to_owned()) })?;
        self.ask(&Request::ForgetFaults { host: host.to_owned() })?;
        net::cable(&self.spec, &spec, true)?;
        net::lose(&spec, true, 0)?;
        net::lose(&spec, false, 0)?;
        let on = self.status()?.hosts.iter().any(|h| h.name == host && h.power == Power::On);
        if !on {
            return Ok(());
        }
        for order in [
            Order::Freeze { frozen: false },
            Order::HangShare { hung: false },
            Order::MountShare,
            Order::HoldPackages { held: false },
            Order::Login { user: None, tty: String::new() },
            Order::Inhibitors { lines: Vec::new() },
            Order::Load { hundredths: None },
        ] {
            match (self.pid1(host, &order), &order) {
                // A libvirtd that does not run is not frozen either.
                (Err(_), Order::Freeze { .. }) | (Ok(()), _) => {}
                (Err(e), _) => return Err(e),
            }
        }
        Ok(())
    }

    fn pid1(&self, host: &str, order: &Order) -> Result<()> {
        let spec = self.spec.host(host)?;
        let answer = init::ask(&self.paths.host(&spec).init_socket(), order)?;
        if answer.code == 0 {
            return Ok(());
        }
        Err(LabError::new(format!("host {host} refuses")).because(answer.err.trim()))
    }

    /// Listens to the tick streams of all guests that are heard, from now on.
    pub fn streams_start(&self) -> Result<()> {
        self.ask(&Request::StreamsStart).map(drop)
    }

    /// What the listeners have counted; `stop` hangs up.
    pub fn streams(&self, stop: bool) -> Result<StreamsReport> {
        match self.ask(&Request::Streams { stop })? {
            Reply::Streams(report) => Ok(report),
            other => Err(LabError::new(format!("the supervisor answered {other:?}"))),
        }
    }

    /// The lab's events so far, one JSON object a line.
    pub fn events(&self) -> Result<String> {
        let path = self.paths.events();
        fs::read_to_string(&path).doing(|| format!("cannot read {}", path.display()))
    }

    /// Moves the calling thread into the manager's network namespace; threads it starts later are there too.
    pub fn enter_manager_netns(&self) -> Result<()> {
        host::enter_netns(&self.spec.switch_netns())
    }

    /// A command that will run where the manager runs.
    pub fn command_in_manager_netns(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        in_namespace(&self.spec.switch_netns(), program.as_ref())
    }

    /// A command that will run inside a host, as seen by the host itself.
    pub fn command_in_host(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let spec = self.spec.host(host)?;
        let pid =
            fs::read_to_string(self.paths.host(&spec).init_pid()).doing(|| format!("host {host} is off"))?;
        let mut command = Command::new("nsenter");
        command.args(["-t", pid.trim(), "-m", "-u", "-i", "-n", "-p", "--"]).arg(program);
        Ok(command)
    }

    pub fn down(self) -> Result<DownReport> {
        down(&self.spec.id)
    }
}

fn in_namespace(netns: &str, program: &std::ffi::OsStr) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns]).arg(program);
    command
}

/// Runs something in a thread of its own that is in a network namespace.
fn in_netns<T: Send>(netns: &str, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            host::enter_netns(netns)?;
            f()
        });
        work.join().unwrap_or_else(|_| Err(LabError::new("a lab thread panicked")))
    })
}

pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
