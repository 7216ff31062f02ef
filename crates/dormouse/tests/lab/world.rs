//! The lab, the daemon on it, and a person at the terminal.

use crate::cage::Cage;
use dormouse_lab::{Fault, GuestStatus, Lab, LabSpec, LabStatus, Power};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_dormouse");
pub(crate) const HOSTS: [&str; 4] = ["h01", "h02", "h03", "h04"];
pub(crate) const SHARED: &str = "/var/lib/libvirt/shared";
/// Anything that is to come comes within this, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The rules of all scenarios: everything fits on one host, and nobody waits for hours.
pub(crate) const POLICY: &str = "policy balanced failover=0 spare.min=0 spare.target=0 min_on=1 payback=0 disrupt.max=1000 \
    window.sleep=4s window.wake=2s min_up=2s min_down=2s cycles.host_day=1000 moves.vm_hour=1000 moves.vm_day=1000 \
    load.high=1000 cpu.target=1000 window.churn=0s\n";

/// What the calendar wants, all day long.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    Hold,
    Compact,
    Spread,
}

pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) folder: PathBuf,
    daemon: Option<Child>,
    pub(crate) cage: Cage,
}

impl World {
    /// The lab is up, and the daemon holds everything as it is: each guest on its own host.
    pub(crate) fn up() -> Self {
        // Two of these at once need two names.
        let id = std::env::var("DORMOUSE_LAB_ID").unwrap_or_else(|_| "e2e".into());
        dormouse_lab::down(&id).unwrap();
        let cage = Cage::new(&id);
        let mut spec = LabSpec::new(id, 4, 4);
        spec.boot_s = 1;
        spec.program = Some(PROGRAM.into());
        let lab = Lab::up(spec, &mut ()).unwrap_or_else(|error| panic!("{error} ({:?})", error.hint()));
        let folder = lab.paths.state.join("manager");
        fs::create_dir(&folder).unwrap();
        let mut world = Self { lab, folder, daemon: None, cage };
        world.lab.streams_start().unwrap();
        world.write_cluster(Goal::Hold, "");
        fs::write(world.config(), world.settings("auto", &world.lab.paths.ssh_key(), "state")).unwrap();
        world.start();
        world.wait("all hosts are on and all guests are seen", |world| {
            HOSTS.iter().all(|host| world.state(host) == "on")
                && world.json("vm list").as_array().unwrap().len() == 4
        });
        world
    }

    /// Around a lab that somebody else set up; no daemon runs yet.
    pub(crate) fn around(lab: Lab, folder: PathBuf) -> Self {
        let cage = Cage::new(&lab.spec.id);
        Self { lab, folder, daemon: None, cage }
    }

    pub(crate) fn down(mut self) {
        self.stop();
        self.cage.assert_nothing_was_killed();
    }

    /// Ends the listening to the guests' streams, which is for once: none broke and nothing was lost on them.
    #[track_caller]
    pub(crate) fn hang_up_on_guests(&self) {
        let streams = self.lab.streams(true).unwrap();
        assert_eq!((streams.streams, streams.streams_broken, streams.ticks_lost), (4, 0, 0), "{streams:?}");
    }

    // The daemon.

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("dormouse.toml")
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    pub(crate) fn settings(&self, mode: &str, key: &Path, name: &str) -> String {
        let paths = &self.lab.paths;
        format!(
            "mode = \"{mode}\"\ncluster = \"cluster\"\nstate = \"{name}\"\nsocket = \"{name}.sock\"\n\n\
             [ssh]\nuser = \"root\"\nidentity = \"{}\"\nknown-hosts = \"{}\"\n\n\
             [hosts]\nshared = \"{SHARED}\"\ncpu = \"guests\"\n\n\
             [time]\nobserve-every = \"4s\"\nlook-deadline = \"3s\"\nfresh = \"8s\"\nt-on = \"20s\"\nt-off = \"20s\"\nbackoff = \"2s\"\nheal-after = \"4s\"\n\n\
             [lab]\ncalendar-rate = 2\n",
            key.display(),
            paths.known_hosts().display(),
        )
    }

    pub(crate) fn write_cluster(&self, goal: Goal, lines: &str) {
        let window = match goal {
            Goal::Hold => "window still 00:00-00:00 goal=hold\n",
            Goal::Spread => "window open 00:00-00:00 goal=spread\n",
            Goal::Compact => "",
        };
        let text = self.lab.spec.cluster_text(true) + POLICY + window + lines;
        fs::write(self.cluster(), text).unwrap();
    }

    /// The daemon of these settings as a child in the manager's network; its log goes where `log` says.
    pub(crate) fn spawn(&self, config: &Path, log: &Path) -> Child {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = self.lab.command_in_manager_netns(PROGRAM);
        command.arg("--config").arg(config).arg("run");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    pub(crate) fn start(&mut self) {
        let mut daemon = self.spawn(&self.config(), &self.folder.join("log"));
        self.cage.holds(&daemon);
        self.wait("the daemon answers", |world| {
            assert_eq!(daemon.try_wait().unwrap(), None, "{}", world.log());
            world.type_in("status").code == 0
        });
        self.daemon = Some(daemon);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn kill_9(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    pub(crate) fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        signal("TERM", &daemon);
        self.wait("the daemon ends when it is told to", |_| daemon.try_wait().unwrap().is_some());
        assert_eq!(daemon.wait().unwrap().code(), Some(0));
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.daemon.as_ref().unwrap());
    }

    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Changes the cluster text and has the daemon read it.
    #[track_caller]
    pub(crate) fn change(&self, goal: Goal, lines: &str) {
        self.write_cluster(goal, lines);
        self.hang_up_and_wait();
    }

    #[track_caller]
    pub(crate) fn hang_up_and_wait(&self) {
        let before = self.log().matches("read again and are taken into use").count();
        self.hang_up();
        self.wait("the text is taken into use", |world| {
            world.log().matches("read again and are taken into use").count() > before
                && world.type_in("status").code == 0
        });
    }

    /// Has a VM moved by a person's order, once the daemon has seen enough to take one, and returns when it is on its way.
    #[track_caller]
    pub(crate) fn send(&self, vm: &str, to: &str) {
        let (line, after, mut asked) = (format!("vm move {vm} {to}"), self.now(), 0);
        self.wait(&format!("{vm} is on its way"), |world| {
            let refused = world.events(after).iter().filter(|event| event.is("order.refused")).count();
            if refused == asked {
                asked += 1;
                world.type_in(&line);
            }
            world.guest(vm).processes.iter().any(|host| host == to)
        });
    }

    // The terminal.

    /// Types `dormouse …` with our settings.
    pub(crate) fn type_in(&self, line: &str) -> Typed {
        self.type_with(&self.config(), line)
    }

    pub(crate) fn type_with(&self, config: &Path, line: &str) -> Typed {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(config).args(line.split_whitespace());
        let out = command.current_dir(&self.folder).stdin(Stdio::null()).output().unwrap();
        Typed {
            out: String::from_utf8(out.stdout).unwrap(),
            err: String::from_utf8(out.stderr).unwrap(),
            code: out.status.code().unwrap(),
        }
    }

    /// Types at the manager itself, in its network: for verbs that go to the hosts without a daemon.
    pub(crate) fn type_at_manager(&self, line: &str) -> Typed {
        let mut command = self.lab.command_in_manager_netns(PROGRAM);
        command.arg("--config").arg(self.config()).args(line.split_whitespace());
        let out = command.current_dir(&self.folder).stdin(Stdio::null()).output().unwrap();
        Typed {
            out: String::from_utf8(out.stdout).unwrap(),
            err: String::from_utf8(out.stderr).unwrap(),
            code: out.status.code().unwrap(),
        }
    }

    /// A reading verb's JSON.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let typed = self.type_in(&format!("{line} --format json"));
        assert_eq!(typed.code, 0, "{line}: {}", typed.err);
        serde_json::from_str(&typed.out).unwrap()
    }

    #[track_caller]
    pub(crate) fn host(&self, name: &str) -> Value {
        self.json(&format!("host show {name}"))
    }

    #[track_caller]
    pub(crate) fn state(&self, host: &str) -> String {
        self.host(host)["state"].as_str().unwrap().to_owned()
    }

    /// What `status` says is wrong with this host.
    #[track_caller]
    pub(crate) fn trouble(&self, host: &str) -> Option<String> {
        let status = self.json("status");
        let found = status["trouble"].as_array().unwrap().iter().find(|one| one["host"] == host)?;
        Some(format!("{}: {}", found["state"].as_str().unwrap(), found["why"].as_str().unwrap()))
    }

    /// The trail after this event.
    #[track_caller]
    pub(crate) fn events(&self, after: u64) -> Vec<Trail> {
        let typed = self.type_in(&format!("events --after {after} --format json"));
        assert_eq!(typed.code, 0, "{}", typed.err);
        typed.out.lines().map(|line| Trail(serde_json::from_str(line).unwrap())).collect()
    }

    /// The number of the last event.
    pub(crate) fn now(&self) -> u64 {
        self.events(0).last().map_or(0, Trail::seq)
    }

    // The truth.

    pub(crate) fn truth(&self) -> LabStatus {
        self.lab.status().unwrap()
    }

    pub(crate) fn power(&self, host: &str) -> Power {
        self.truth().hosts.iter().find(|found| found.name == host).unwrap().power
    }

    pub(crate) fn powered(&self) -> Vec<String> {
        let on = self.truth().hosts.into_iter().filter(|host| host.power != Power::Off);
        on.map(|host| host.name).collect()
    }

    pub(crate) fn guest(&self, name: &str) -> GuestStatus {
        self.truth().guests.into_iter().find(|found| found.name == name).unwrap()
    }

    /// Guests that have a QEMU process there.
    pub(crate) fn guests_at(&self, host: &str) -> Vec<String> {
        let guests = self.truth().guests.into_iter();
        guests.filter(|guest| guest.processes.iter().any(|at| at == host)).map(|guest| guest.name).collect()
    }

    /// How often this host's power was switched, by whom ever.
    pub(crate) fn power_events(&self, host: &str) -> usize {
        let events = self.lab.events().unwrap();
        events.lines().filter(|line| line.contains("power-") && line.contains(host)).count()
    }

    /// `virsh` at a host, as a person there would type it.
    #[track_caller]
    pub(crate) fn virsh(&self, host: &str, words: &[&str]) {
        let out = self.virsh_may_fail(host, words);
        assert!(out.status.success(), "virsh {words:?} at {host}: {}", String::from_utf8_lossy(&out.stderr));
    }

    pub(crate) fn virsh_may_fail(&self, host: &str, words: &[&str]) -> Output {
        let socket = self.lab.paths.host(&self.lab.spec.host(host).unwrap()).libvirt_socket();
        let uri = format!("qemu:///system?socket={}", socket.display());
        Command::new("virsh").args(["-q", "-c", &uri]).args(words).output().unwrap()
    }

    /// Of a VM with nothing to boot and no wire: it only is.
    pub(crate) fn bare_definition(&self, name: &str, uuid: &str) -> String {
        let xml = fs::read_to_string(self.lab.paths.domains().join("pc01.xml")).unwrap();
        let cut = |xml: &str, from: &str, to: &str| {
            let (head, rest) = xml.split_once(from).unwrap();
            head.to_owned() + rest.split_once(to).unwrap().1
        };
        let xml = cut(&cut(&xml, "<interface", "</interface>"), "<kernel>", "</cmdline>");
        let xml = cut(&cut(&xml, "<serial", "</serial>"), "<console", "</console>");
        let xml = xml.replace("<name>pc01</name>", &format!("<name>{name}</name>"));
        xml.replace(&self.lab.spec.guest("pc01").unwrap().uuid.to_string(), uuid)
    }

    pub(crate) fn fault(&self, host: &str, fault: &Fault) {
        self.lab.fault(host, fault).unwrap_or_else(|error| panic!("{fault:?} at {host}: {error}"));
    }

    pub(crate) fn heal(&self, host: &str) {
        self.lab.heal(host).unwrap_or_else(|error| panic!("healing {host}: {error}"));
    }

    /// Nothing is under way. No guest ever ran twice; each runs on exactly one host and is heard from there.
    #[track_caller]
    pub(crate) fn assert_rest_and_unharmed(&self) {
        self.wait("nothing is under way", Self::is_at_rest);
        assert_eq!(self.truth().double_runs, 0, "a guest ran twice");
        self.wait("every guest runs on one host and is heard from there", |world| {
            world.truth().guests.iter().all(|guest| {
                guest.processes.len() == 1
                    && guest.heard_on.as_ref() == guest.processes.first()
                    && guest.heard_ms_ago.is_some_and(|ms| ms < 2000)
            })
        });
    }

    /// Nothing is under way and nothing is planned any more.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.json("status")["running"].as_array().unwrap().is_empty()
            && self.json("plan")["steps"].as_array().unwrap().is_empty()
    }

    /// Polls until it is so; neither lab nor daemon has a bell to wait for.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, so: impl FnMut(&Self) -> bool) {
        self.wait_or(what, so, Self::scene);
    }

    /// The same where the daemon has no ear for us.
    #[track_caller]
    pub(crate) fn wait_blind(&self, what: &str, so: impl FnMut(&Self) -> bool) {
        self.wait_or(what, so, Self::log);
    }

    #[track_caller]
    fn wait_or(&self, what: &str, mut so: impl FnMut(&Self) -> bool, scene: fn(&Self) -> String) {
        let until = Instant::now() + PATIENCE;
        while !so(self) {
            assert!(Instant::now() < until, "it never came to be that {what}\n{}", scene(self));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Everything one would look at, for whoever has to find out what went wrong.
    fn scene(&self) -> String {
        let mut scene = String::new();
        for line in ["status", "host list", "vm list", "plan", "events --last 40"] {
            let typed = self.type_in(line);
            scene += &format!("\n$ dormouse {line}\n{}{}", typed.out, typed.err);
        }
        let log = self.log();
        let from = log.len().saturating_sub(4000);
        format!(
            "{scene}\n{}\n{}",
            serde_json::to_string(&self.truth()).unwrap(),
            &log[log.ceil_char_boundary(from)..]
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            _ = daemon.kill();
            _ = daemon.wait();
        }
        let report = dormouse_lab::down(&self.lab.spec.id).unwrap();
        assert!(std::thread::panicking() || report.left.is_empty(), "{report:?}");
    }
}

fn signal(name: &str, to: &Child) {
    let sent = Command::new("kill").args(["-s", name, &to.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

/// One line of the trail.
#[derive(Debug)]
pub(crate) struct Trail(Value);

impl Trail {
    pub(crate) fn seq(&self) -> u64 {
        self.0["seq"].as_u64().unwrap()
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.0["name"] == name
    }

    pub(crate) fn field(&self, key: &str) -> Option<&str> {
        self.0["fields"].as_array()?.iter().find(|field| field[0] == key)?[1].as_str()
    }

    pub(crate) fn has(&self, key: &str, value: &str) -> bool {
        self.field(key) == Some(value)
    }
}
