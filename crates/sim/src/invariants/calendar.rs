//! Hosts are up when the house opens (I14), and nothing sleeps while it is open (I20).

use dormouse_control::{Level, Order};
use dormouse_model::schedule::WindowGoal;
use dormouse_model::{Action, HostId, HostState, Millis, Mono, PolicyName};
use jiff::Timestamp;
use std::collections::BTreeMap;

use super::{Found, Invariant, Scene};
use crate::note::Note;
use crate::world::{HostTruth, Power};

/// So long after the last trouble with the manager, its clock or its hosts everything must be as the calendar wants it:
/// the fifteen minutes to converge, and as much again to wake the whole cluster.
const PEACE: Millis = Millis::from_mins(30);
/// Waking everything that sleeps takes no longer than this once the house is open.
const WAKE_ALL: Millis = Millis::from_mins(15);

/// Looks and the first moves take so long beside the boots.
const LEAD_MARGIN: Millis = Millis::from_secs(60);

/// What the calendar says, asked again only when it says something else.
#[derive(Debug, Default)]
struct Calendar {
    until: Option<Timestamp>,
    open: bool,
    wake_all: bool,
    opened: Mono,
    /// So long before it opens the hosts shall be up.
    up_by: Millis,
    trouble: Mono,
    /// Hosts that a person has taken out.
    theirs: BTreeMap<HostId, bool>,
}

impl Calendar {
    /// `true` at the moment at which the house opens.
    fn hears(&mut self, note: &Note, scene: &Scene<'_>) -> bool {
        if let Note::Ordered { order, .. } = note {
            match order {
                Order::Maintenance { host, on } => _ = self.theirs.insert(*host, *on),
                Order::Drain { host } | Order::Sleep { host } => _ = self.theirs.insert(*host, true),
                Order::Clear { host } => _ = self.theirs.insert(*host, false),
                _ => {}
            }
        }
        match note {
            // It may have read another calendar.
            Note::ManagerUp { .. } => {
                self.trouble = scene.at;
                self.until = None;
            }
            Note::Script { is_fault: true, .. }
            | Note::Ordered { .. }
            | Note::ManagerDown
            | Note::Healed
            | Note::VmLost { .. } => self.trouble = scene.at,
            Note::ClockJumped { .. } => {
                self.trouble = scene.at;
                self.until = None;
            }
            // By hand, by accident: the manager has to find out first.
            Note::Power { cause, .. } if !matches!(*cause, "guard" | "wake" | "booted" | "shutdown") => {
                self.trouble = scene.at;
            }
            Note::Handled { .. } if self.until.is_none_or(|until| scene.wall >= until) => {
                let first = self.until.is_none();
                let moment = scene.cluster.schedule.at(scene.wall);
                let was_open = std::mem::replace(
                    &mut self.open,
                    moment.window.is_some() && matches!(moment.goal, WindowGoal::Spread),
                );
                self.wake_all = moment.window.is_some_and(|window| window.wake_all);
                self.up_by = moment.window.map_or(Millis::ZERO, |window| window.up_by);
                self.until = Some(moment.until.unwrap_or(Timestamp::MAX));
                if self.open && !was_open {
                    self.opened = scene.at;
                    return !first;
                }
            }
            _ => {}
        }
        false
    }

    /// A person has a say there.
    fn is_theirs(&self, host: HostId, scene: &Scene<'_>) -> bool {
        let said = self.theirs.get(&host).copied();
        said.unwrap_or(scene.world.host(host).spec.maintenance) || scene.ordered.contains(&host)
    }

    fn in_peace(&self, scene: &Scene<'_>) -> bool {
        scene.manager_up && scene.at.since(self.trouble) >= PEACE
    }
}

/// How long it may take until this host is up: those on its circuit may have to boot before it.
fn boots_in_turn(host: &HostTruth, scene: &Scene<'_>) -> Millis {
    let before = |other: &&HostTruth| host.spec.circuit.is_some() && other.spec.circuit == host.spec.circuit;
    let boots = scene.world.hosts.iter().filter(before).map(|other| other.spec.boot.0);
    Millis(boots.sum::<u64>() + 2 * host.spec.boot.0)
}

/// I14: at an opening every host that is ours to wake is on and healthy, or a person was told of it before.
#[derive(Debug)]
pub(super) struct OpeningGuarantee {
    calendar: Calendar,
    /// A warning or alarm has named it since it was last on.
    named: Vec<bool>,
}

impl OpeningGuarantee {
    pub(super) fn new(hosts: usize) -> Self {
        Self { calendar: Calendar::default(), named: vec![false; hosts] }
    }
}

impl Invariant for OpeningGuarantee {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        if let Note::Told(event) = note
            && event.name == "opening.short"
        {
            let hosts = event.field("hosts").unwrap_or_default().split(',');
            for host in hosts.filter_map(|name| scene.cluster.host_named(name)) {
                self.named[host.index()] = true;
            }
        }
        if let Note::Told(event) = note
            && let Some(host) = event.field("host").and_then(|name| scene.cluster.host_named(name))
        {
            if event.level >= Level::Warn {
                self.named[host.index()] = true;
            } else if event.name == "host.state" && event.field("to") == Some("on") {
                self.named[host.index()] = false;
            }
        }
        if !self.calendar.hears(note, scene) || !self.calendar.in_peace(scene) {
            return;
        }
        for host in &scene.world.hosts {
            let state = scene.belief[host.id.index()];
            let required = host.is_healthy(scene.at) || host.power != Power::On;
            let theirs = state == HostState::Off && !self.calendar.wake_all;
            let up = state == HostState::On && host.power == Power::On;
            // Policy `seed` begins at up-by itself, as the lab did whose rule it is: that it is early enough is left to the text.
            let begins_late = scene.cluster.policy.name == PolicyName::Seed
                && self.calendar.up_by < boots_in_turn(host, scene) + LEAD_MARGIN;
            let excused =
                begins_late || self.named[host.id.index()] || self.calendar.is_theirs(host.id, scene);
            if required && !up && !theirs && !excused {
                let text = format!("the house opens and {} is {state}, unannounced", host.spec.name);
                found.add("I14", scene.at, text);
            }
        }
    }
}

/// I20: in an open window nothing is put to sleep by us, and what sleeps is woken.
#[derive(Debug, Default)]
pub(super) struct WhenInDoubtOn {
    calendar: Calendar,
}

impl Invariant for WhenInDoubtOn {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        self.calendar.hears(note, scene);
        match note {
            Note::Acted(intent) if self.calendar.open => {
                let Action::Sleep { host } = intent.action else { return };
                if !self.calendar.is_theirs(host, scene) {
                    found.add(
                        "I20",
                        scene.at,
                        format!("{} is put to sleep in an open window", scene.name(host)),
                    );
                }
            }
            Note::Handled { .. } if self.calendar.open && self.calendar.in_peace(scene) => {
                if scene.at.since(self.calendar.opened) < WAKE_ALL {
                    return;
                }
                let sleeps = |host: &HostId| {
                    scene.belief[host.index()] == HostState::Asleep && !self.calendar.is_theirs(*host, scene)
                };
                for host in scene.cluster.host_ids().filter(sleeps) {
                    found.add("I20", scene.at, format!("{} sleeps in an open window", scene.name(host)));
                }
            }
            _ => {}
        }
    }
}
