//! The log of a run: fixed fields, one event a line. The golden form leaves out what is routine in a large cluster, so
//! that a person can read it line by line.

use dormouse_control::{Level, LogEvent};
use dormouse_model::{HostId, Mono};

use crate::note::{MoveEnd, Note};
use crate::world::World;

/// In clusters with more hosts than this, ordinary steps are told as counts.
const HOSTS_IN_DETAIL: usize = 12;
/// Routine is gathered for so long.
const GATHER_MS: u64 = 60_000;

#[derive(Debug)]
pub(crate) struct Log {
    lines: Vec<String>,
    golden: Vec<String>,
    gathers: bool,
    gathered: Gathered,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gathered {
    since: Option<Mono>,
    last: Mono,
    moves: u32,
    asleep: u32,
    waking: u32,
    usable: u32,
}

impl Log {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            lines: vec![],
            golden: vec![],
            gathers: hosts > HOSTS_IN_DETAIL,
            gathered: Gathered::default(),
        }
    }

    /// What the lines take in memory.
    pub(crate) fn bytes(&self) -> usize {
        let lines = [&self.lines, &self.golden];
        let vectors: usize = lines.iter().map(|lines| lines.capacity() * size_of::<String>()).sum();
        vectors + lines.into_iter().flatten().map(String::capacity).sum::<usize>()
    }

    /// All lines of level Info and above.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(crate) fn take(&mut self, at: Mono, note: &Note, world: &World) {
        let Some(event) = worded(note, world) else { return };
        if event.level < Level::Info {
            return;
        }
        let line = format!("t=+{at} {event}");
        self.lines.push(line.clone());
        if self.gathers && self.gathered.add(at, &event) {
            return;
        }
        let over = self.gathered.since.is_some_and(|since| at.since(since).0 >= GATHER_MS);
        if over || !is_routine(&event) {
            self.flush(world);
        }
        if !(self.gathers && is_routine(&event)) {
            self.golden.push(line);
        } else {
            self.gathered.add(at, &event);
        }
    }

    fn flush(&mut self, world: &World) {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.since.is_some() {
            let awake = world.hosts.iter().filter(|host| host.is_awake()).count();
            self.golden.push(format!(
                "t=+{} ev=routine moves={} asleep={} waking={} usable={} awake={awake}",
                gathered.last, gathered.moves, gathered.asleep, gathered.waking, gathered.usable
            ));
        }
    }

    /// The text of `expect.log`, without its closing figures.
    pub(crate) fn golden(&mut self, world: &World) -> String {
        self.flush(world);
        let mut text = self.golden.join("\n");
        text.push('\n');
        text
    }
}

impl Gathered {
    /// Counts a routine event; `false` when it does not belong to the minute under way.
    fn add(&mut self, at: Mono, event: &LogEvent) -> bool {
        if !is_routine(event) || self.since.is_some_and(|since| at.since(since).0 >= GATHER_MS) {
            return false;
        }
        self.since.get_or_insert(at);
        self.last = at;
        match (event.name, event.field("kind"), event.field("to")) {
            ("step.end", Some("migrate"), _) => self.moves += 1,
            ("host.state", _, Some("asleep")) => self.asleep += 1,
            ("host.state", _, Some("waking")) => self.waking += 1,
            ("host.state", _, Some("on")) => self.usable += 1,
            _ => {}
        }
        true
    }
}

/// A step that starts, or ends well; a host on its ordinary way.
fn is_routine(event: &LogEvent) -> bool {
    const WAYS: [&str; 6] = ["plan", "guard-agreed", "guard-and-silence", "wake-sent", "usable", "plan-over"];
    match event.name {
        "step.start" | "host.rebooted" => true,
        "step.end" => event.field("outcome") == Some("done"),
        "host.state" => event.field("cause").is_some_and(|cause| WAYS.contains(&cause)),
        _ => false,
    }
}

/// What the log says of a note; `None`: nothing, since the manager tells it, or nobody needs it.
fn worded(note: &Note, world: &World) -> Option<LogEvent> {
    let host = |id: &HostId| world.host(*id).spec.name.clone();
    let vm = |uuid: &uuid::Uuid| {
        world.vm_by_uuid(*uuid).map_or_else(|| uuid.to_string(), |vm| vm.spec.name.clone())
    };
    let new = |name| LogEvent::new(Level::Info, name);
    Some(match note {
        Note::Told(event) => event.clone(),
        Note::Script { line, .. } => new("script").with("do", line),
        Note::Power { host: id, from, to, cause }
            if !matches!(*cause, "wake" | "guard" | "booted" | "shutdown") =>
        {
            new("world.power").with("host", host(id)).with("from", from).with("to", to).with("cause", cause)
        }
        Note::MoveEnded { vm: uuid, from, to, end, intent, took }
            if intent.is_none() || !matches!(end, MoveEnd::Done { .. }) =>
        {
            let event = new("world.move")
                .with("vm", vm(uuid))
                .with("from", host(from))
                .with("to", host(to))
                .with("took", took.0);
            match end {
                MoveEnd::Done { downtime } => event.with("end", "done").with("downtime", downtime.0),
                MoveEnd::Stayed(why) => event.with("end", "stayed").with("why", why),
                MoveEnd::Cut => event.with("end", "cut"),
                MoveEnd::Lost => event.with("end", "lost"),
            }
        }
        Note::VmLost { vm: uuid, at } => new("world.lost").with("vm", vm(uuid)).with("host", host(at)),
        Note::VmStarted { vm: uuid, at } => new("world.started").with("vm", vm(uuid)).with("host", host(at)),
        Note::VmStopped { vm: uuid, at } => new("world.stopped").with("vm", vm(uuid)).with("host", host(at)),
        Note::ManagerDown => new("manager.down"),
        Note::ManagerUp { epoch } => new("manager.up").with("epoch", epoch),
        Note::ManagerBack { epoch } => new("manager.back").with("epoch", epoch),
        Note::ManagerDeposed { epoch } => new("manager.deposed").with("epoch", epoch),
        Note::LateRefused { host: id, epoch, why } => {
            new("world.refused").with("host", host(id)).with("epoch", epoch).with("why", why)
        }
        _ => return None,
    })
}
