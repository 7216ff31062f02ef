//! Retries end (I7), effects come in measured numbers (I11), nothing flaps (I12).

use dormouse_model::{Action, HostId, HostState, Millis, Mono};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

use super::{Found, Invariant, Scene};
use crate::note::{MoveEnd, Note};
use crate::world::Power;

const HOUR: Millis = Millis::from_mins(60);
const DAY: Millis = Millis::from_mins(24 * 60);
/// Packets within one try (fault P01: three sends with back-off within T_on).
const SENDS_PER_TRY: u32 = 3;

/// I7: after two tries a host is left alone until it is cleared or seen healthy.
#[derive(Debug)]
pub(super) struct BoundedRetry {
    wakes: Vec<Option<(Mono, u32)>>,
    agreed: Vec<u32>,
}

impl BoundedRetry {
    pub(super) fn new(hosts: usize) -> Self {
        Self { wakes: vec![None; hosts], agreed: vec![0; hosts] }
    }
}

impl Invariant for BoundedRetry {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        let tries = scene.settings.tries;
        match note {
            Note::Ordered { host: Some(host), .. } | Note::Power { host, to: Power::On, .. } => {
                self.wakes[host.index()] = None;
                self.agreed[host.index()] = 0;
            }
            Note::Power { host, to: Power::Off, .. } => self.agreed[host.index()] = 0,
            // Seen healthy for a while, or cleared: it may be woken again. A host that ignored its off command answers
            // healthily all the while, so only a person's word counts there (a new boot is seen above).
            Note::Told(event) if event.name == "host.state" && event.field("from") == Some("set-aside") => {
                if let Some(host) = event.field("host").and_then(|name| scene.cluster.host_named(name)) {
                    self.wakes[host.index()] = None;
                    if event.field("cause") == Some("cleared") {
                        self.agreed[host.index()] = 0;
                    }
                }
            }
            Note::GuardAgreed { host } => {
                self.agreed[host.index()] += 1;
                if self.agreed[host.index()] > tries {
                    found.add(
                        "I7",
                        scene.at,
                        format!("{} was told to go off more than {tries} times", scene.name(*host)),
                    );
                }
            }
            Note::Acted(intent) => {
                let Action::Wake { host } = intent.action else { return };
                let (first, sent) = self.wakes[host.index()].get_or_insert((scene.at, 0));
                *sent += 1;
                let span = Millis(scene.settings.t_on.0 * u64::from(tries) + 60_000);
                if *sent > SENDS_PER_TRY * tries || scene.at.since(*first) > span {
                    found.add(
                        "I7",
                        scene.at,
                        format!("{} was woken again after {tries} tries", scene.name(host)),
                    );
                }
            }
            _ => {}
        }
    }
}

/// I11: so many moves, wakes and offs at once, and no more.
#[derive(Debug, Default)]
pub(super) struct Budget {
    wakes: VecDeque<Mono>,
    sleeps: VecDeque<Mono>,
}

fn within(times: &mut VecDeque<Mono>, at: Mono, span: Millis) -> usize {
    times.push_back(at);
    while times.front().is_some_and(|first| at.since(*first) >= span) {
        times.pop_front();
    }
    times.len()
}

impl Invariant for Budget {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        let knobs = &scene.cluster.policy.knobs;
        match note {
            Note::MoveStarted { from, to, intent: Some(_), .. } => {
                let ours = || scene.world.flows.iter().filter(|flow| flow.intent.is_some());
                let out = ours().filter(|flow| flow.from == *from).count();
                let into = ours().filter(|flow| flow.to == *to).count();
                if out > knobs.moves_host_out as usize {
                    found.add("I11", scene.at, format!("{out} moves at once out of {}", scene.name(*from)));
                }
                if into > knobs.moves_host_in as usize {
                    found.add("I11", scene.at, format!("{into} moves at once into {}", scene.name(*to)));
                }
                if knobs.moves_all > 0 && ours().count() > knobs.moves_all as usize {
                    found.add("I11", scene.at, format!("{} moves at once", ours().count()));
                }
            }
            Note::Acted(intent) => match intent.action {
                Action::Wake { host } => {
                    let count = within(&mut self.wakes, scene.at, Millis::from_secs(10));
                    if count > knobs.wakes_burst as usize {
                        found.add("I11", scene.at, format!("{count} wakes within 10 s"));
                    }
                    self.circuit(host, scene, found);
                }
                Action::Sleep { .. } => {
                    let count = within(&mut self.sleeps, scene.at, Millis::from_mins(10));
                    if count > knobs.sleeps_burst as usize {
                        found.add("I11", scene.at, format!("{count} offs within 10 min"));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl Budget {
    fn circuit(&self, host: HostId, scene: &Scene<'_>, found: &mut Found) {
        let Some(name) = &scene.world.host(host).spec.circuit else { return };
        let Some(circuit) = scene.cluster.circuits.iter().find(|circuit| circuit.name == *name) else {
            return;
        };
        let booting = scene
            .world
            .hosts
            .iter()
            .filter(|other| {
                other.id != host && other.spec.circuit.as_ref() == Some(name) && other.power == Power::Booting
            })
            .count();
        if booting + 1 > circuit.wakes as usize {
            found.add("I11", scene.at, format!("{} hosts boot at once on circuit {name}", booting + 1));
        }
    }
}

/// I12: VMs and hosts are left in peace for a while after each disturbance.
#[derive(Debug)]
pub(super) struct Hysteresis {
    moves: BTreeMap<Uuid, Vec<Moved>>,
    sleeps: Vec<Vec<Mono>>,
    up_since: Vec<Mono>,
    /// Something from outside, or a new goal: a reason to move back.
    cause_at: Mono,
}

#[derive(Clone, Copy, Debug)]
struct Moved {
    at: Mono,
    from: HostId,
    to: HostId,
}

impl Hysteresis {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            moves: BTreeMap::new(),
            sleeps: vec![vec![]; hosts],
            up_since: vec![Mono::ZERO; hosts],
            cause_at: Mono::ZERO,
        }
    }

    fn moved(&mut self, vm: Uuid, from: HostId, to: HostId, scene: &Scene<'_>, found: &mut Found) {
        let knobs = &scene.cluster.policy.knobs;
        let past = self.moves.entry(vm).or_default();
        let lately =
            |span: Millis| past.iter().filter(|moved| scene.at.since(moved.at) < knobs.scaled(span)).count();
        if scene.ordered.contains(&from) || scene.ordered.contains(&to) {
            return;
        }
        if lately(HOUR) >= knobs.moves_vm_hour as usize || lately(DAY) >= knobs.moves_vm_day as usize {
            found.add("I12", scene.at, format!("{} is moved more often than allowed", scene.vm(vm)));
        }
        let back = past.last().is_some_and(|last| {
            last.from == to
                && last.to == from
                && scene.at.since(last.at) < knobs.scaled(HOUR)
                && self.cause_at < last.at
        });
        if back {
            found.add(
                "I12",
                scene.at,
                format!("{} goes back to {} without a cause", scene.vm(vm), scene.name(to)),
            );
        }
    }
}

impl Invariant for Hysteresis {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        let knobs = &scene.cluster.policy.knobs;
        match note {
            Note::Script { .. } | Note::Ordered { .. } | Note::ManagerUp { .. } => self.cause_at = scene.at,
            Note::Told(event) if event.name == "goal" => self.cause_at = scene.at,
            Note::Told(event) if event.name == "host.state" => {
                let routine =
                    [HostState::Draining, HostState::Stopping, HostState::Asleep].map(HostState::as_str);
                if event.field("to").is_some_and(|to| !routine.contains(&to)) {
                    self.cause_at = scene.at;
                }
            }
            Note::MoveStarted { vm, from, to, intent: Some(_) } => self.moved(*vm, *from, *to, scene, found),
            Note::MoveEnded { vm, from, to, end: MoveEnd::Done { .. }, intent: Some(_), .. } => {
                self.moves.entry(*vm).or_default().push(Moved { at: scene.at, from: *from, to: *to });
            }
            Note::Power { host, to: Power::On, .. } => self.up_since[host.index()] = scene.at,
            Note::Acted(intent) => {
                let Action::Sleep { host } = intent.action else { return };
                let up = scene.at.since(self.up_since[host.index()]);
                let woken = self.up_since[host.index()] > Mono::ZERO;
                if woken && up < knobs.scaled(knobs.min_up) && !scene.ordered.contains(&host) {
                    found.add("I12", scene.at, format!("{} was up for {up} only", scene.name(host)));
                }
            }
            Note::Power { host, to: Power::Off, cause: "shutdown", .. } => {
                let sleeps = &mut self.sleeps[host.index()];
                sleeps.push(scene.at);
                let today = sleeps.iter().filter(|at| scene.at.since(**at) < knobs.scaled(DAY)).count();
                if today > knobs.cycles_host_day as usize && !scene.ordered.contains(host) {
                    found.add(
                        "I12",
                        scene.at,
                        format!("{} was put to sleep {today} times in a day", scene.name(*host)),
                    );
                }
            }
            _ => {}
        }
    }
}
