//! The process behind a running lab: it owns the hosts' power, hears the wire, and answers the lab's verbs.
//!
//! It has a session of its own and lives in the switch's network namespace; the manager under test may be killed
//! at any moment without touching the lab. It decides nothing about guests: they are libvirt's.

mod heartbeat;
mod power;
pub(crate) mod proto;
mod streams;
mod wire;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::{Doing, LabError, Result};
use crate::host::{BootFaults, enter_netns};
use crate::paths::LabPaths;
use crate::report::{GuestStatus, LabStatus};
use crate::spec::{GuestSpec, HostSpec, LabSpec, Mac};
use crate::truth;
use heartbeat::{Beat, Heartbeats, News};
use power::Hosts;
use proto::{Reply, Request};
use streams::Recorder;
use wire::{Content, Ear};

/// Everything the threads share.
struct Shared {
    lab: LabSpec,
    paths: LabPaths,
    image: PathBuf,
    guests: Vec<GuestSpec>,
    hosts: Hosts,
    beats: Mutex<Heartbeats>,
    doubles: Mutex<u64>,
    recorder: Mutex<Option<Recorder>>,
    events: Mutex<File>,
    started: Instant,
}

/// A poisoned lock means a thread died in the middle of a count; the rest is still worth telling.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `lab-internal supervisor STATE IMAGE`
pub(crate) fn supervisor_main(args: &[String]) -> Result<i32> {
    let [state, image] = args else {
        return Err(LabError::new("supervisor wants STATE IMAGE"));
    };
    let paths = LabPaths::from_state(Path::new(state));
    let lab = crate::lab::read_spec(&paths)?;
    enter_netns(&lab.switch_netns())?;
    let ear = Ear::open()?;
    let ports = ports(&lab)?;
    let socket =
        UnixListener::bind(paths.control_socket()).doing(|| "cannot listen for orders".to_owned())?;
    let events = File::options()
        .create(true)
        .append(true)
        .open(paths.events())
        .doing(|| "cannot open the lab's events".to_owned())?;
    let shared = Arc::new(Shared {
        guests: lab.all_guests(),
        hosts: Hosts::new(lab.all_hosts()),
        image: PathBuf::from(image),
        beats: Mutex::default(),
        doubles: Mutex::default(),
        recorder: Mutex::default(),
        events: Mutex::new(events),
        started: Instant::now(),
        lab,
        paths,
    });
    // What others write down has the wall clock's time: this line tells where ours begins on it.
    shared.event("up", None, &[("wall_ms", wall_ms().saturating_sub(shared.now_ms()).to_string())]);
    let hearing = Arc::clone(&shared);
    thread::spawn(move || hearing.hear(&ear, &ports));
    for stream in socket.incoming() {
        // A client that is already gone is no reason to stop.
        let Ok(stream) = stream else { continue };
        if shared.answer(&stream) {
            shared.hosts.cut_all(&shared);
            return Ok(0);
        }
    }
    Ok(0)
}

#[expect(clippy::disallowed_methods, reason = "the lab's records are put beside those of others")]
fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Which host is behind which port of the switch.
fn ports(lab: &LabSpec) -> Result<HashMap<i32, HostSpec>> {
    lab.all_hosts()
        .into_iter()
        .map(|h| {
            let index = nix::net::if_::if_nametoindex(h.port.as_str())
                .doing(|| format!("the switch has no port {}", h.port))?;
            Ok((index.cast_signed(), h))
        })
        .collect()
}

impl Shared {
    /// Adds a line to the lab's events.
    fn event(&self, kind: &str, host: Option<&str>, more: &[(&str, String)]) {
        let mut object = serde_json::Map::new();
        object.insert("at_ms".to_owned(), self.now_ms().into());
        object.insert("ev".to_owned(), kind.into());
        if let Some(host) = host {
            object.insert("host".to_owned(), host.into());
        }
        for (key, value) in more {
            object.insert((*key).to_owned(), value.clone().into());
        }
        let line = format!("{}\n", serde_json::Value::Object(object));
        // An event that cannot be written must not stop a power-off.
        let _ = lock(&self.events).write_all(line.as_bytes());
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn hear(self: &Arc<Self>, ear: &Ear, ports: &HashMap<i32, HostSpec>) {
        let mut buffer = [0_u8; 1024];
        loop {
            let frame = match ear.next(&mut buffer) {
                Ok(frame) => frame,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                // A port that goes down reports it on the socket; the others go on.
                Err(e) if e.raw_os_error() == Some(libc::ENETDOWN) => continue,
                Err(e) => return self.event("deaf", None, &[("why", e.to_string())]),
            };
            let Some(host) = ports.get(&frame.ifindex) else { continue };
            match (frame.outgoing, wire::content(frame.bytes)) {
                (true, Some(Content::Magic(mac))) if mac == host.mac => self.woken(host, mac),
                (false, Some(Content::Heartbeat(payload))) => {
                    if let Some(beat) = Beat::parse(payload) {
                        self.beat(beat, host);
                    }
                }
                _ => {}
            }
        }
    }

    fn woken(self: &Arc<Self>, host: &HostSpec, mac: Mac) {
        let lost = self.hosts.loses_packet(&host.name);
        let fate = if lost { "lost" } else { "heard" };
        self.event("magic", Some(&host.name), &[("mac", mac.to_string()), ("packet", fate.to_owned())]);
        if !lost {
            self.hosts.power_on(self, &host.name, false);
        }
    }

    fn beat(&self, beat: Beat, host: &HostSpec) {
        let news = lock(&self.beats).hear(beat, host.n, self.now_ms());
        let guest = || ("guest", self.guest_name(beat.uuid));
        match news {
            None => {}
            Some(News::Booted) => self.event("guest-boot", Some(&host.name), &[guest()]),
            Some(News::Moved { from }) => {
                self.event("guest-move", Some(&host.name), &[guest(), ("from", self.lab.host_name(from))]);
            }
            Some(News::Twice { other }) => {
                *lock(&self.doubles) += 1;
                self.event("double-run", Some(&host.name), &[guest(), ("other", self.lab.host_name(other))]);
            }
        }
    }

    fn guest_name(&self, uuid: [u8; 16]) -> String {
        let uuid = Uuid::from_bytes(uuid);
        self.guests.iter().find(|g| g.uuid == uuid).map_or_else(|| uuid.to_string(), |g| g.name.clone())
    }

    /// True when the lab is to end.
    fn answer(self: &Arc<Self>, stream: &UnixStream) -> bool {
        // Neither a silent nor a vanished client may hold up the lab.
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut line = String::new();
        if BufReader::new(stream).read_line(&mut line).is_err() {
            return false;
        }
        let request = serde_json::from_str::<Request>(&line);
        let stop = matches!(request, Ok(Request::Stop));
        let reply = match request {
            Ok(request) => self.obey(request),
            Err(e) => Reply::Refused(format!("not a request: {e}")),
        };
        if let Ok(mut text) = serde_json::to_string(&reply) {
            text.push('\n');
            let mut stream = stream;
            let _ = stream.write_all(text.as_bytes());
        }
        stop
    }

    fn obey(self: &Arc<Self>, request: Request) -> Reply {
        let name = match &request {
            Request::PowerOn { host, .. }
            | Request::PowerCut { host }
            | Request::LoseWakes { host, .. }
            | Request::HangBoot { host }
            | Request::NoShare { host }
            | Request::ForgetFaults { host } => Some(host.clone()),
            _ => None,
        };
        if let Some(name) = &name
            && let Err(e) = self.lab.host(name)
        {
            return Reply::Refused(e.to_string());
        }
        match request {
            Request::Status => return Reply::Status(self.status()),
            Request::PowerOn { host, at_once } => self.hosts.power_on(self, &host, at_once),
            Request::PowerCut { host } => self.hosts.cut(self, &host),
            Request::LoseWakes { host, packets } => self.hosts.change(&host, |h| h.lose_wakes = packets),
            Request::HangBoot { host } => self.hosts.change(&host, |h| h.next.hang = true),
            Request::NoShare { host } => self.hosts.change(&host, |h| h.next.no_share = true),
            Request::ForgetFaults { host } => self.hosts.change(&host, |h| {
                h.next = BootFaults::default();
                h.now = BootFaults::default();
                h.lose_wakes = 0;
            }),
            Request::Note { what, host } => self.event("note", host.as_deref(), &[("what", what)]),
            Request::StreamsStart => {
                let beats = lock(&self.beats);
                let heard =
                    self.guests.iter().filter(|g| beats.last(g.uuid.as_bytes()).is_some()).cloned().collect();
                drop(beats);
                *lock(&self.recorder) = Some(Recorder::start(heard, self.lab.tick_ms));
            }
            Request::Streams { stop } => {
                let mut recorder = lock(&self.recorder);
                let Some(r) = recorder.as_ref() else {
                    return Reply::Refused("nobody listens to the streams".to_owned());
                };
                let report = r.report(*lock(&self.doubles));
                if stop {
                    *recorder = None;
                }
                return Reply::Streams(report);
            }
            Request::Stop => {}
        }
        Reply::Done
    }

    fn status(&self) -> LabStatus {
        // Which host a QEMU process belongs to is told by its pid namespace.
        let mut by_namespace: HashMap<String, Vec<String>> = HashMap::new();
        for qemu in truth::qemu_processes() {
            if let Some(namespace) = truth::pid_namespace(qemu.pid) {
                by_namespace.entry(namespace).or_default().push(qemu.uuid);
            }
        }
        let hosts = self.hosts.status(|h| {
            let pid = std::fs::read_to_string(self.paths.host(h).init_pid()).ok()?.parse().ok()?;
            by_namespace.get(&truth::pid_namespace(pid)?).cloned()
        });
        let beats = lock(&self.beats);
        let now = self.now_ms();
        let guests = self.guests.iter().map(|g| {
            let uuid = g.uuid.to_string();
            let heard = beats.last(g.uuid.as_bytes());
            GuestStatus {
                name: g.name.clone(),
                processes: hosts.iter().filter(|h| h.qemu.contains(&uuid)).map(|h| h.name.clone()).collect(),
                uuid,
                heard_on: heard.map(|h| self.lab.host_name(h.host)),
                heard_ms_ago: heard.map(|h| now.saturating_sub(h.at_ms)),
                heartbeats: heard.map(|h| h.counter),
            }
        });
        let guests = guests.collect();
        LabStatus { id: self.lab.id.clone(), hosts, guests, double_runs: *lock(&self.doubles) }
    }
}
