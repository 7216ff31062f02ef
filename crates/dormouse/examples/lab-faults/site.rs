//! The lab, the daemon on it, and what both have written down. Everything here is an outsider's view: the daemon is asked
//! over its socket, the hosts' truth comes from the lab, definitions are read from the hosts' own disks.

use anyhow::{Context as _, Result, bail};
use dormouse_lab::{GuestStatus, Lab, LabSpec, LabStatus, Power};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Anything that is to come comes within this, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(150);

/// Everything fits on one host, and nobody waits for hours.
const POLICY: &str = "policy balanced failover=0 spare.min=0 spare.target=0 min_on=1 payback=0 disrupt.max=1000 \
    window.sleep=4s window.wake=2s min_up=2s min_down=2s cycles.host_day=1000000 moves.vm_hour=100000 \
    moves.vm_day=1000000 load.high=1000 cpu.target=1000\n";

/// A calendar that is not the machine's begins here, on a Monday morning.
const CALENDAR_FROM: &str = "2026-11-23T05:00:00Z";

/// What the calendar wants, all day long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Hold,
    Compact,
    Spread,
}

pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) folder: PathBuf,
    daemon: Option<Child>,
    records: File,
    /// How far each of the three sources has been copied into the records.
    lab_read: u64,
    audit_seq: u64,
    trail_seq: u64,
    /// Arrivals of guests on another host, by their heartbeats.
    pub(crate) arrivals: u64,
    /// Moves that were begun, by the audit log.
    pub(crate) begun: u64,
}

pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "records are put in order by the wall clock of the machine")]
pub(crate) fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Site {
    /// The lab is up with the daemon on it. `extra` is added to the cluster text, a calendar faster than life is a lab's.
    pub(crate) fn up(
        mut spec: LabSpec,
        program: &Path,
        records: &Path,
        goal: Goal,
        extra: &str,
        calendar_rate: u32,
    ) -> Result<Self> {
        dormouse_lab::down(&spec.id)?;
        spec.program = Some(program.to_owned());
        let lab = Lab::up(spec, &mut ())?;
        let folder = lab.paths.state.join("manager");
        fs::create_dir(&folder)?;
        let records = File::options().create(true).append(true).open(records)?;
        let mut site = Self {
            lab,
            folder,
            daemon: None,
            records,
            lab_read: 0,
            audit_seq: 0,
            trail_seq: 0,
            arrivals: 0,
            begun: 0,
        };
        let begins = json!({ "cluster": site.text_with_uuids() });
        site.record(&begins)?;
        site.write_cluster(goal, extra)?;
        fs::write(site.config(), site.settings(calendar_rate))?;
        site.start()?;
        site.wait("all hosts are on and all guests are seen", PATIENCE, |site| {
            let vms = site.ask(&json!({ "verb": "vms" }))?;
            let seen = vms.as_array().map_or(0, Vec::len);
            Ok(site.all_on()? && seen == usize::from(site.lab.spec.guests))
        })?;
        Ok(site)
    }

    fn text_with_uuids(&self) -> String {
        let mut text = self.lab.spec.cluster_text(false);
        for guest in self.lab.spec.all_guests() {
            let host = self.lab.spec.host_name(guest.first_host(&self.lab.spec));
            text += &format!(
                "vm {}@{host} vcpus=1 mem={}M cpu=0.02 home={host} uuid={}\n",
                guest.name, self.lab.spec.guest_mib, guest.uuid
            );
        }
        text
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("dormouse.toml")
    }

    fn settings(&self, calendar_rate: u32) -> String {
        let paths = &self.lab.paths;
        let now = jiff::Timestamp::UNIX_EPOCH + Duration::from_millis(wall_ms());
        format!(
            "mode = \"auto\"\ncluster = \"cluster\"\nstate = \"state\"\nsocket = \"control.sock\"\n\n\
             [ssh]\nuser = \"root\"\nidentity = \"{}\"\nknown-hosts = \"{}\"\n\n\
             [hosts]\nshared = \"{}\"\ncpu = \"guests\"\n\n\
             [time]\nobserve-every = \"4s\"\nlook-deadline = \"3s\"\nfresh = \"8s\"\nt-on = \"30s\"\nt-off = \"30s\"\n\
             backoff = \"2s\"\nheal-after = \"4s\"\n\n[lab]\ncalendar-rate = {calendar_rate}\n\
             calendar-from = \"{CALENDAR_FROM}\"\ncalendar-at = \"{now}\"\n",
            paths.ssh_key().display(),
            paths.known_hosts().display(),
            dormouse_lab::LabPaths::shared_in_host().display(),
        )
    }

    pub(crate) fn write_cluster(&self, goal: Goal, extra: &str) -> Result<()> {
        let window = match goal {
            Goal::Hold => "window still 00:00-00:00 goal=hold\n",
            Goal::Spread => "window open 00:00-00:00 goal=spread\n",
            Goal::Compact => "",
        };
        let policy = if extra.contains("policy ") { "" } else { POLICY };
        let text = self.lab.spec.cluster_text(true) + policy + window + extra;
        Ok(fs::write(self.folder.join("cluster"), text)?)
    }

    // The daemon.

    /// The program as it was when the lab came up: a rebuild does not change a run.
    pub(crate) fn program(&self) -> PathBuf {
        self.lab.paths.program()
    }

    pub(crate) fn spawn(&self, config: &Path, log: &Path) -> Result<Child> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = self.lab.command_in_manager_netns(self.program());
        command.arg("--config").arg(config).arg("run");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().context("cannot start the daemon")
    }

    /// Starts the daemon and waits until it leads.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut daemon = self.spawn(&self.config(), &self.folder.join("log"))?;
        let answers = self.wait("the daemon leads", PATIENCE, |site| {
            if let Some(ended) = daemon.try_wait()? {
                bail!("the daemon ended: {ended}");
            }
            Ok(site.status()?["epoch"].is_u64())
        });
        self.daemon = Some(daemon);
        answers
    }

    pub(crate) fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    pub(crate) fn kill_9(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        daemon.kill()?;
        daemon.wait()?;
        Ok(())
    }

    /// Changes the calendar and has the daemon read it; `extra` may bring a policy of its own.
    pub(crate) fn change(&self, goal: Goal, extra: &str) -> Result<()> {
        self.write_cluster(goal, extra)?;
        let Some(daemon) = &self.daemon else { return Ok(()) };
        let sent = Command::new("kill").args(["-s", "HUP", &daemon.id().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "the daemon takes no signal");
        Ok(())
    }

    /// One question over the daemon's socket.
    pub(crate) fn ask(&self, verb: &Value) -> Result<Value> {
        ask_at(&self.folder.join("control.sock"), verb)
    }

    pub(crate) fn status(&self) -> Result<Value> {
        self.ask(&json!({ "verb": "status" }))
    }

    pub(crate) fn order_move(&self, vm: &str, to: &str) -> Result<Value> {
        self.ask(&json!({ "verb": "order", "order": "move", "vm": vm, "to": to }))
    }

    /// The trail after this event.
    pub(crate) fn trail(&self, after: u64) -> Result<Vec<Value>> {
        let events = self.ask(&json!({ "verb": "events", "after": after }))?;
        Ok(events.as_array().cloned().unwrap_or_default())
    }

    /// The number of the last event.
    pub(crate) fn last_event(&self) -> Result<u64> {
        let events = self.ask(&json!({ "verb": "events", "last": 1 }))?;
        Ok(events[0]["seq"].as_u64().unwrap_or(0))
    }

    pub(crate) fn all_on(&self) -> Result<bool> {
        let hosts = self.ask(&json!({ "verb": "hosts" }))?;
        let hosts = hosts.as_array().cloned().unwrap_or_default();
        Ok(!hosts.is_empty() && hosts.iter().all(|host| host["state"] == "on"))
    }

    /// Nothing is under way and nothing is planned.
    pub(crate) fn is_still(&self) -> Result<bool> {
        let none = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        Ok(none(&self.status()?["running"]) && none(&self.ask(&json!({ "verb": "plan" }))?["plan"]["steps"]))
    }

    // The truth.

    pub(crate) fn truth(&self) -> Result<LabStatus> {
        Ok(self.lab.status()?)
    }

    pub(crate) fn powered(&self) -> Result<Vec<String>> {
        let on = self.truth()?.hosts.into_iter().filter(|host| host.power == Power::On);
        Ok(on.map(|host| host.name).collect())
    }

    /// Each guest has one process and is heard from there.
    pub(crate) fn guests_are_well(&self) -> Result<bool> {
        Ok(self.truth()?.guests.iter().all(is_well))
    }

    /// Which UUIDs each host's disk holds a definition of. A host without power keeps its disk.
    pub(crate) fn defined(&self) -> Result<Value> {
        let mut all = serde_json::Map::new();
        for host in self.lab.spec.all_hosts() {
            let folder = self.lab.paths.host(&host).etc().join("libvirt/qemu");
            let mut uuids = vec![];
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                if path.extension().is_some_and(|ext| ext == "xml") {
                    // A move in this very moment takes it away.
                    let xml = fs::read_to_string(&path).unwrap_or_default();
                    uuids.extend(between(&xml, "<uuid>", "</uuid>").map(Value::from));
                }
            }
            all.insert(host.name, uuids.into());
        }
        Ok(all.into())
    }

    // The records.

    pub(crate) fn record(&mut self, line: &Value) -> Result<()> {
        Ok(self.records.write_all(format!("{line}\n").as_bytes())?)
    }

    /// A host's power is about to go: who might go down with it.
    pub(crate) fn record_cut(&mut self, host: &str) -> Result<()> {
        let truth = self.truth()?;
        let held = truth.guests.iter().filter(|guest| guest.processes.iter().any(|at| at == host));
        let held: Vec<&str> = held.map(|guest| guest.uuid.as_str()).collect();
        self.record(&json!({ "cut": { "wall_ms": wall_ms(), "host": host, "held": held } }))
    }

    /// Everything is at rest: what runs where, and what is defined where.
    pub(crate) fn record_rest(&mut self) -> Result<()> {
        let truth = self.truth()?;
        let (guests, defined) = (serde_json::to_value(&truth.guests)?, self.defined()?);
        self.record(&json!({ "rest": { "wall_ms": wall_ms(), "guests": guests, "defined": defined } }))
    }

    /// Copies what lab, audit log and trail have written since the last time.
    pub(crate) fn collect(&mut self) -> Result<()> {
        let mut events = File::open(self.lab.paths.events())?;
        events.seek(SeekFrom::Start(self.lab_read))?;
        let mut text = String::new();
        events.read_to_string(&mut text)?;
        // A line that is still being written is for the next time.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.lab_read += u64::try_from(whole)?;
        for line in text[..whole].lines() {
            let event: Value = serde_json::from_str(line)?;
            self.arrivals += u64::from(event["ev"] == "guest-move");
            self.record(&json!({ "lab": event }))?;
        }
        let audit =
            self.type_in(&["audit", "list", "--after", &self.audit_seq.to_string(), "--format", "json"])?;
        for line in audit.lines() {
            let line: Value = serde_json::from_str(line)?;
            self.audit_seq = line["seq"].as_u64().unwrap_or(self.audit_seq);
            self.begun += u64::from(line["what"] == "intent" && line["intent"]["action"] == "migrate");
            self.record(&json!({ "audit": line }))?;
        }
        for event in self.trail(self.trail_seq)? {
            self.trail_seq = event["seq"].as_u64().unwrap_or(self.trail_seq);
            let name = event["name"].as_str().unwrap_or_default();
            if matches!(name, "host.state" | "vm.state") || event["level"] == "alarm" {
                self.record(&json!({ "trail": event }))?;
            }
        }
        Ok(())
    }

    /// Types `dormouse …` with our settings.
    pub(crate) fn type_in(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(self.program());
        command.arg("--config").arg(self.config()).args(words);
        let out = command.current_dir(&self.folder).stdin(Stdio::null()).output()?;
        if !out.status.success() {
            bail!("dormouse {}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8(out.stdout)?)
    }

    /// Polls until it is so; neither lab nor daemon has a bell to wait for.
    pub(crate) fn wait(
        &self,
        what: &str,
        patience: Duration,
        mut so: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let until = now() + patience;
        let mut last = String::new();
        loop {
            match so(self) {
                Ok(true) => return Ok(()),
                Ok(false) => last.clear(),
                Err(error) => last = format!(" ({error:#})"),
            }
            if now() > until {
                bail!("it never came to be that {what}{last}");
            }
            std::thread::sleep(POLL);
        }
    }

    /// Everything one would look at, for whoever has to find out what went wrong.
    pub(crate) fn scene(&self) -> String {
        let mut scene = String::new();
        for words in
            [&["status"][..], &["host", "list"], &["vm", "list"], &["plan"], &["events", "--last", "60"]]
        {
            let typed = self.type_in(words).unwrap_or_else(|error| format!("{error:#}\n"));
            scene += &format!("\n$ dormouse {}\n{typed}", words.join(" "));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let truth = self.truth().ok().and_then(|truth| serde_json::to_string(&truth).ok());
        let from = log.ceil_char_boundary(log.len().saturating_sub(8000));
        format!("{scene}\n{}\n\n{}", truth.unwrap_or_default(), &log[from..])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The lab goes with everything in it; what could not be removed, the next `up` finds and names.
        _ = self.kill_9();
        _ = dormouse_lab::down(&self.lab.spec.id);
    }
}

pub(crate) fn is_well(guest: &GuestStatus) -> bool {
    guest.processes.len() == 1
        && guest.heard_on.as_ref() == guest.processes.first()
        && guest.heard_ms_ago.is_some_and(|ms| ms < 3000)
}

/// The one-line protocol of the daemon's socket (`docs/json.md`).
pub(crate) fn ask_at(socket: &Path, verb: &Value) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    let mut request = verb.clone();
    request["v"] = 1.into();
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let mut answer: Value = serde_json::from_str(&line).context("the daemon's answer makes no sense")?;
    match answer["ok"].as_bool() {
        Some(true) => Ok(answer["data"].take()),
        _ => bail!("the daemon refuses: {}", answer["error"]["message"].as_str().unwrap_or("?")),
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|(inner, _)| inner)
}
