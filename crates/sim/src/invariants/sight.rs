//! Decisions rest on fresh looks (I5), silence is not sleep (I6), states follow their table (I13).

use dormouse_control::Order;
use dormouse_model::{Action, HostId, HostState, Millis, Mono};
use uuid::Uuid;

use super::{Found, Invariant, Scene};
use crate::note::Note;
use crate::world::Power;

/// I5: destructive effects rest on recent looks at the same boot, and stop when many hosts vanish at once.
#[derive(Debug)]
pub(super) struct FreshInput {
    looks: Vec<Looks>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    good: Option<(Mono, Uuid)>,
    /// When a run of failed looks began.
    missing_since: Option<Mono>,
    draining_since: Mono,
    /// How many hosts were expected to answer then.
    expected: u64,
}

const fn is_asked(state: HostState) -> bool {
    matches!(state, HostState::On | HostState::Draining | HostState::Unknown | HostState::Unusable)
}

fn expected(scene: &Scene<'_>) -> u64 {
    scene.belief.iter().filter(|state| !state.is_down()).count() as u64
}

impl FreshInput {
    pub(super) fn new(hosts: usize) -> Self {
        Self { looks: vec![Looks::default(); hosts] }
    }

    fn fresh(&self, host: HostId, age_ms: u64, scene: &Scene<'_>) -> bool {
        self.looks[host.index()].good.is_some_and(|(asked, boot)| {
            scene.at.since(asked).0 <= age_ms && boot == scene.world.host(host).boot
        })
    }

    /// Hosts that answered before, are expected to, and do not; counted only when they vanished together.
    fn vanished(&self, scene: &Scene<'_>) -> usize {
        let gone: Vec<Mono> = self
            .looks
            .iter()
            .zip(scene.belief)
            .filter(|(looks, state)| looks.good.is_some() && is_asked(**state))
            .filter_map(|(looks, _)| looks.missing_since.filter(|since| *since > Mono::ZERO))
            .collect();
        let period = scene.settings.observe_every;
        gone.iter()
            .map(|first| {
                gone.iter().filter(|since| since.since(*first) < period && **since >= *first).count()
            })
            .max()
            .unwrap_or(0)
    }
}

impl Invariant for FreshInput {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::Looked { host, asked, boot, .. } => {
                let looks = &mut self.looks[host.index()];
                match boot {
                    Some(boot) => {
                        looks.good = Some((*asked, *boot));
                        looks.missing_since = None;
                    }
                    None => {
                        if looks.missing_since.is_none() {
                            // One that was set aside was not expected: it is not among those that vanish.
                            let asked = is_asked(scene.belief[host.index()]);
                            looks.missing_since = Some(if asked { scene.at } else { Mono::ZERO });
                            looks.expected = expected(scene);
                        }
                    }
                }
            }
            Note::Told(event) if event.name == "host.state" && event.field("to") == Some("draining") => {
                let host = event.field("host").and_then(|name| scene.cluster.host_named(name));
                if let Some(host) = host {
                    self.looks[host.index()].draining_since = scene.at;
                }
            }
            Note::ManagerUp { .. } => self.looks.fill(Looks::default()),
            // A person says that those hosts are really gone.
            Note::Ordered { order: Order::Resume, .. } => {
                for looks in &mut self.looks {
                    looks.missing_since = looks.missing_since.map(|_| Mono::ZERO);
                }
            }
            Note::Acted(intent) if intent.action.is_destructive() => {
                let stale_ms = scene.settings.observe_every.0 * u64::from(scene.settings.stale_periods);
                match intent.action {
                    Action::Sleep { host } => {
                        // One write lies between the decision and its effect.
                        if !self.fresh(host, scene.settings.fresh.0 + 100, scene) {
                            found.add(
                                "I5",
                                scene.at,
                                format!("{} was sent to sleep on an old look", scene.name(host)),
                            );
                        }
                        let looks = self.looks[host.index()];
                        if looks.good.is_some_and(|(asked, _)| asked < looks.draining_since) {
                            let text = format!(
                                "{} was sent to sleep without a look since draining",
                                scene.name(host)
                            );
                            found.add("I5", scene.at, text);
                        }
                    }
                    Action::Migrate { from, to, .. } => {
                        for host in [from, to] {
                            // A host that crashed a moment ago still has its old boot in every look.
                            let same_power = scene.world.host(host).power == Power::On;
                            if same_power
                                && !self.fresh(host, stale_ms + 100, scene)
                                && scene.world.host(host).boots == 0
                            {
                                found.add(
                                    "I5",
                                    scene.at,
                                    format!("a move at {} on a stale look", scene.name(host)),
                                );
                            }
                        }
                    }
                    _ => {}
                }
                let vanished = self.vanished(scene);
                // Of how many they vanished counts, not how many are left to be missed.
                let then = self.looks.iter().filter(|looks| looks.missing_since.is_some());
                let expected = then.map(|looks| looks.expected).max().unwrap_or(0).max(expected(scene));
                let limit = (expected * scene.settings.freeze_permille / 1000)
                    .max(u64::from(scene.settings.freeze_hosts));
                if vanished as u64 > limit {
                    found.add(
                        "I5",
                        scene.at,
                        format!("i{} went out while {vanished} hosts had vanished", intent.id.0),
                    );
                }
            }
            _ => {}
        }
    }
}

/// I6: nothing is called asleep or off that may be running. Proof is the guard's word and then silence; a host that
/// answered with its doors open after the guard's word has taken it back.
#[derive(Debug)]
pub(super) struct UnknownMeansOn {
    agreed: Vec<Option<Mono>>,
    /// Up again since then: a look that was under way may still have found it silent.
    up: Vec<Option<Mono>>,
}

impl UnknownMeansOn {
    pub(super) fn new(hosts: usize) -> Self {
        Self { agreed: vec![None; hosts], up: vec![None; hosts] }
    }
}

/// A look that was under way when the guard spoke may still show the doors open.
const SPOKEN: Millis = Millis::from_secs(5);

impl Invariant for UnknownMeansOn {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::GuardAgreed { host, .. } => {
                (self.agreed[host.index()], self.up[host.index()]) = (Some(scene.at), None);
            }
            Note::Power { host, to: Power::On, .. } => {
                self.up[host.index()].get_or_insert(scene.at);
            }
            Note::Looked { host, asked, boot: Some(_), .. } => {
                let agreed = &mut self.agreed[host.index()];
                if agreed.is_some_and(|agreed| *asked > agreed + SPOKEN)
                    && scene.world.host(*host).is_healthy(scene.at)
                {
                    *agreed = None;
                }
            }
            Note::Told(event) if event.name == "host.state" => {
                let Some(host) = event.field("host").and_then(|name| scene.cluster.host_named(name)) else {
                    return;
                };
                let by_person = matches!(event.field("cause"), Some("operator" | "fenced"));
                let down = matches!(event.field("to"), Some("asleep" | "off"));
                let late = scene.settings.look_deadline + scene.settings.fresh;
                let up = self.up[host.index()].is_some_and(|up| scene.at.since(up) > late);
                if down && !by_person && (up || self.agreed[host.index()].is_none()) {
                    found.add("I6", scene.at, format!("{} was called down without proof", scene.name(host)));
                }
            }
            _ => {}
        }
    }
}

/// I13: one known state at a time, and only along the edges of the table.
#[derive(Debug)]
pub(super) struct OneKnownState {
    /// `None`: not told since the manager started.
    told: Vec<Option<HostState>>,
}

impl OneKnownState {
    pub(super) fn new(hosts: usize) -> Self {
        Self { told: vec![None; hosts] }
    }
}

fn state(word: Option<&str>) -> Option<HostState> {
    HostState::ALL.into_iter().find(|state| Some(state.as_str()) == word)
}

impl Invariant for OneKnownState {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::ManagerUp { .. } => self.told.fill(None),
            Note::Told(event) if event.name == "host.state" => {
                let host = event.field("host").and_then(|name| scene.cluster.host_named(name));
                let (from, to) = (state(event.field("from")), state(event.field("to")));
                let (Some(host), Some(from), Some(to)) = (host, from, to) else {
                    return found.add("I13", scene.at, format!("not in the table: {event}"));
                };
                if !from.may_become(to) {
                    found.add("I13", scene.at, format!("{} went from {from} to {to}", scene.name(host)));
                }
                if self.told[host.index()].is_some_and(|told| told != from) {
                    found.add("I13", scene.at, format!("{} left {from}, where it was not", scene.name(host)));
                }
                self.told[host.index()] = Some(to);
            }
            Note::Told(event) if event.name == "vm.state" => {
                const STATES: [&str; 9] = [
                    "stopped",
                    "running",
                    "paused",
                    "saved",
                    "migrating",
                    "lost",
                    "stuck",
                    "conflict",
                    "failed",
                ];
                if !event.field("to").is_some_and(|to| STATES.contains(&to)) {
                    found.add("I13", scene.at, format!("not in the table: {event}"));
                }
            }
            _ => {}
        }
    }
}
