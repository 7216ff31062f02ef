//! People win (I17), and nobody saws the branch we sit on (I18).

use dormouse_control::{Automation, Order};
use dormouse_model::{Action, HostId, Intent, Mono};

use super::{Found, Invariant, Scene};
use crate::note::Note;
use crate::store::{RECORDS, SYNC};

const FOR_EVER: Mono = Mono(u64::MAX);

/// I17: what a person does or has said stops our steps there; only a person's order goes past a mark.
#[derive(Debug)]
pub(super) struct PeopleWin {
    /// The last good look showed people at work there, or something of theirs under way.
    busy: Vec<bool>,
    looked: Vec<Mono>,
    said: Said,
    down: bool,
    /// When the calendar's clock was last set.
    jumped: Option<Mono>,
    /// Orders whose answer a dying manager may not have given: when, whether its store took nothing, what held before.
    unanswered: Vec<(Mono, bool, Said)>,
}

/// What people have said, as far as they were told that it is kept.
#[derive(Clone, Debug)]
struct Said {
    maintenance: Vec<Option<bool>>,
    /// Paused until then.
    paused: Option<Mono>,
    /// What the manager may do by itself, if a person changed it, and whether one plan was applied since.
    automation: Option<Automation>,
    applied: bool,
}

impl PeopleWin {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            busy: vec![false; hosts],
            looked: vec![Mono::ZERO; hosts],
            said: Said { maintenance: vec![None; hosts], paused: None, automation: None, applied: false },
            down: false,
            jumped: None,
            unanswered: vec![],
        }
    }

    /// An order is answered when what it sets is durable; with a store that takes nothing the answer says that a restart
    /// forgets it. So a manager that dies before keeps no promise.
    fn ordered(&mut self, order: &Order, scene: &Scene<'_>) {
        let full = scene.world.faults.is_store_full(scene.at);
        self.unanswered.retain(|(at, unkept, _)| *unkept && full || scene.at.since(*at) <= SYNC);
        self.unanswered.push((scene.at, full, self.said.clone()));
        self.said.ordered(order);
    }

    /// Of what was not told to be kept it may be that, or what held before: only what both say binds our successor.
    fn manager_died(&mut self, scene: &Scene<'_>) {
        let lost = |(at, unkept, _): &(Mono, bool, Said)| *unkept || scene.at.since(*at) <= SYNC;
        if let Some(first) = self.unanswered.iter().position(lost) {
            let before = self.unanswered.swap_remove(first).2;
            self.said.or(before);
        }
        self.unanswered.clear();
        self.down = true;
        if self.jumped.is_some_and(|jumped| scene.at.since(jumped) <= RECORDS) {
            self.said.pause_may_be_over();
        }
    }

    /// A pause outlives its manager in calendar time: set the clock while nobody is there, and nobody knows how much is left.
    fn clock_was_set(&mut self, scene: &Scene<'_>) {
        self.jumped = Some(scene.at);
        if self.down {
            self.said.pause_may_be_over();
        }
    }

    fn is_busy(host: HostId, scene: &Scene<'_>) -> bool {
        let truth = scene.world.host(host);
        truth.active_people(scene.at, scene.settings.login_idle) > 0 || !truth.blocks.is_empty()
    }

    fn acted(&self, intent: &Intent, scene: &Scene<'_>, found: &mut Found) {
        let hosts = intent.action.hosts();
        if hosts.iter().any(|host| scene.ordered.contains(host)) {
            return;
        }
        // Wakes that go on with what was begun are let end.
        let begins = !matches!(intent.action, Action::Wake { .. });
        if begins && self.said.paused.is_some_and(|until| scene.at < until) {
            found.add("I17", scene.at, format!("i{} went out while a person had paused us", intent.id.0));
        }
        // A start follows from the word of the person who fenced its host.
        let begins = begins && !matches!(intent.action, Action::Start { .. });
        if begins && self.said.automation.is_some_and(|mode| mode != Automation::Auto) && !self.said.applied {
            found.add("I17", scene.at, format!("i{} went out and nobody applied it", intent.id.0));
        }
        match intent.action {
            Action::Sleep { host } => {
                if self.busy[host.index()] {
                    let text =
                        format!("{} was sent to sleep and people had been seen there", scene.name(host));
                    found.add("I17", scene.at, text);
                }
                let spec = &scene.world.host(host).spec;
                if self.said.maintenance[host.index()].unwrap_or(spec.maintenance) {
                    found.add("I17", scene.at, format!("{} slept in maintenance", scene.name(host)));
                }
                let local = scene.cluster.schedule.zone.rules().to_datetime(scene.wall);
                let held =
                    scene.cluster.holds.iter().any(|hold| {
                        hold.hosts.contains(&host) && hold.until.is_none_or(|until| until > local)
                    });
                if held {
                    found.add("I17", scene.at, format!("{} slept while it was held", scene.name(host)));
                }
            }
            Action::Migrate { from, .. } => {
                let theirs = scene.world.flows.iter().any(|flow| {
                    flow.intent.is_none()
                        && Some(scene.world.vms[flow.vm].spec.uuid) == intent.vm
                        && flow.started < self.looked[from.index()]
                });
                if theirs {
                    found.add(
                        "I17",
                        scene.at,
                        format!("i{} moves what a person was seen moving", intent.id.0),
                    );
                }
            }
            _ => {}
        }
    }
}

impl Said {
    fn or(&mut self, other: Self) {
        for (said, other) in self.maintenance.iter_mut().zip(other.maintenance) {
            if *said != other {
                *said = Some(false);
            }
        }
        self.paused = self.paused.min(other.paused);
        if self.automation != other.automation {
            self.automation = None;
        }
        self.applied |= other.applied;
    }

    fn pause_may_be_over(&mut self) {
        self.paused = self.paused.filter(|until| *until == FOR_EVER);
    }

    fn ordered(&mut self, order: &Order) {
        match order {
            Order::Maintenance { host, on } => self.maintenance[host.index()] = Some(*on),
            Order::Clear { host } => self.maintenance[host.index()] = Some(false),
            Order::Pause { until } => self.paused = Some(until.unwrap_or(FOR_EVER)),
            Order::Resume => self.paused = None,
            Order::Automation(automation) => {
                (self.automation, self.applied) = (Some(*automation), false);
            }
            Order::Apply => self.applied = true,
            _ => {}
        }
    }
}

impl Invariant for PeopleWin {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::Looked { host, asked, boot: Some(_), .. } => {
                self.busy[host.index()] = Self::is_busy(*host, scene);
                self.looked[host.index()] = *asked;
            }
            Note::Ordered { order, .. } => self.ordered(order, scene),
            Note::ManagerDown => self.manager_died(scene),
            Note::ManagerUp { .. } => self.down = false,
            Note::ClockJumped { .. } => self.clock_was_set(scene),
            Note::GuardAgreed { host, .. } if Self::is_busy(*host, scene) => {
                found.add("I17", scene.at, format!("{} went off under people", scene.name(*host)));
            }
            Note::Acted(intent) => self.acted(intent, scene, found),
            _ => {}
        }
    }
}

/// I18: a host with a role is never switched off, whoever asks.
#[derive(Debug)]
pub(super) struct NeverOurBranch;

impl Invariant for NeverOurBranch {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        let host = match note {
            Note::GuardAgreed { host, .. } => *host,
            Note::Acted(intent) => match intent.action {
                Action::Sleep { host } => host,
                _ => return,
            },
            _ => return,
        };
        // The text's role: what the manager makes of it is not asked.
        if let Some(role) = scene.cluster.hosts[host.index()].role {
            found.add("I18", scene.at, format!("{} carries {role} and was sent to sleep", scene.name(host)));
        }
    }
}
