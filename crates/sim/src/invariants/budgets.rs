//! Retries end (I7), effects come in measured numbers (I11), nothing flaps (I12).

use dormouse_control::{Automation, Order};
use dormouse_model::{Action, HostId, HostState, IntentId, Millis, Mono, Outcome, PolicyName};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use uuid::Uuid;

use super::{Found, Invariant, Scene};
use crate::note::{MoveEnd, Note};
use crate::store::RECORDS;
use crate::world::Power;

const HOUR: Millis = Millis::from_mins(60);
const DAY: Millis = Millis::from_mins(24 * 60);
/// Times that outlive a restart are kept in whole seconds.
const SECONDS: Millis = Millis::from_secs(2);
/// Packets within one try (fault P01: three sends with back-off within T_on).
const SENDS_PER_TRY: u32 = 3;

/// A wake's way to its host.
const PACKET: Millis = Millis(100);

/// I7: after two tries a host is left alone until it is cleared or seen healthy.
#[derive(Debug)]
pub(super) struct BoundedRetry {
    wakes: Vec<Option<(Mono, u32)>>,
    agreed: Vec<u32>,
    /// The epoch that leads: what an earlier one sent late is not the present one's doing.
    epoch: u64,
    /// When its lease was last renewed, and until when it holds.
    lease: Option<(Mono, Mono)>,
    down: bool,
    /// The calendar's clock was set back while nobody was there.
    set_back: bool,
    jumped_back: Option<Mono>,
    paused: bool,
    observing: bool,
    /// Since when we are kept from going on.
    held_since: Option<Mono>,
}

impl BoundedRetry {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            wakes: vec![None; hosts],
            agreed: vec![0; hosts],
            epoch: 0,
            lease: None,
            down: false,
            set_back: false,
            jumped_back: None,
            paused: false,
            observing: false,
            held_since: None,
        }
    }

    /// Nobody knows how long a try went on that began on a clock which was then set back: it begins anew.
    fn starts(&mut self, at: Mono) {
        self.down = false;
        if std::mem::take(&mut self.set_back) {
            for (first, sent) in self.wakes.iter_mut().flatten() {
                *first = at;
                *sent = sent.saturating_sub(SENDS_PER_TRY);
            }
        }
    }

    /// While nobody led, dead, frozen or cut off from the store, no try went on.
    fn leads(&mut self, at: Mono, until: Mono) {
        let idle =
            self.lease.filter(|(_, until)| *until <= at).map_or(Millis::ZERO, |(was, _)| at.since(was));
        self.went_idle(idle);
        self.lease = Some((at, until));
    }

    fn went_idle(&mut self, idle: Millis) {
        for (first, _) in self.wakes.iter_mut().flatten() {
            *first = *first + idle;
        }
    }

    /// While a person keeps us from it, or the store takes no intent, no try goes on either.
    fn held(&mut self, note: &Note, scene: &Scene<'_>) {
        match note {
            Note::Ordered { order: Order::Pause { .. }, .. } => self.paused = true,
            Note::Ordered { order: Order::Resume, .. } => self.paused = false,
            Note::Ordered { order: Order::Automation(automation), .. } => {
                self.observing = *automation == Automation::Observe;
            }
            Note::Told(event) if event.name == "resumed" => self.paused = false,
            Note::Told(event) if event.name == "kept" => {
                self.paused |= event.field("order") == Some("pause");
                self.observing |= event.field("automation") == Some("observe");
            }
            Note::ManagerUp { .. } => (self.paused, self.observing) = (false, false),
            _ => {}
        }
        if self.paused || self.observing || scene.world.faults.is_store_full(scene.at) {
            self.held_since.get_or_insert(scene.at);
        } else if let Some(since) = self.held_since.take() {
            self.went_idle(scene.at.since(since));
        }
    }
}

impl Invariant for BoundedRetry {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        let tries = scene.settings.tries;
        self.held(note, scene);
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
            // It is up, whatever it was before: the next sleep and wake are new ones.
            Note::Told(event) if event.name == "host.state" && event.field("to") == Some("on") => {
                if let Some(host) = event.field("host").and_then(|name| scene.cluster.host_named(name)) {
                    self.wakes[host.index()] = None;
                }
            }
            Note::ManagerDown => {
                self.down = true;
                // What is remembered anew after a jump, record by record, was not durable yet.
                self.set_back |= self.jumped_back.is_some_and(|jumped| scene.at.since(jumped) <= RECORDS);
            }
            Note::ManagerUp { .. } => self.starts(scene.at),
            Note::ClockJumped { by_ms } if *by_ms < 0 => {
                self.set_back |= self.down;
                self.jumped_back = Some(scene.at);
            }
            Note::Leased { epoch, until } => {
                self.epoch = *epoch;
                self.leads(scene.at, *until);
            }
            Note::GuardAgreed { host, epoch } if epoch.0 == self.epoch => {
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
                // A try may have to wait for its circuit, so it is late only if packets of more than `tries` went out.
                let span = Millis(scene.settings.t_on.0 * u64::from(tries) + 60_000);
                let late = scene.at.since(*first) > span && *sent > tries;
                if *sent > SENDS_PER_TRY * tries || late {
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
    /// Hosts whose last boot was ours, and when it began.
    woken: BTreeMap<HostId, Mono>,
    /// Times that outlive a restart are on the calendar's clock: so much it has jumped.
    jumped: Millis,
}

const SLEEP_SPAN: Millis = Millis::from_mins(10);

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
            Note::Acted(intent) => {
                let Action::Wake { host } = intent.action else { return };
                let count = within(&mut self.wakes, scene.at, Millis::from_secs(10));
                if count > knobs.wakes_burst as usize {
                    found.add("I11", scene.at, format!("{count} wakes within 10 s"));
                }
                self.circuit(host, scene, found);
            }
            // Given up after all its tries, which began before a packet arrived: such a boot hangs, too.
            Note::Told(event) if event.name == "host.state" && event.field("to") == Some("set-aside") => {
                let host = event.field("host").and_then(|name| scene.cluster.host_named(name));
                host.map(|host| self.woken.remove(&host));
            }
            Note::Power { host, to: Power::Booting, cause, .. } => {
                if *cause == "wake" {
                    self.woken.insert(*host, scene.at);
                } else {
                    self.woken.remove(host);
                }
            }
            Note::ClockJumped { by_ms } => self.jumped += Millis(by_ms.unsigned_abs()),
            Note::GuardAgreed { .. } => {
                let slack = Millis(self.jumped.0 + SECONDS.0);
                let count = within(&mut self.sleeps, scene.at, SLEEP_SPAN.saturating_sub(slack));
                if count > knobs.sleeps_burst as usize {
                    found.add("I11", scene.at, format!("{count} offs within 10 min"));
                }
            }
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
        // A boot that has not ended in all its tries hangs: one such host must not keep its circuit dark for ever.
        let longest = Millis(scene.settings.t_on.0 * u64::from(scene.settings.tries)).saturating_sub(PACKET);
        let boots =
            |host: &HostId| self.woken.get(host).is_some_and(|began| scene.at.since(*began) < longest);
        let booting = scene
            .world
            .hosts
            .iter()
            .filter(|other| {
                other.id != host
                    && other.spec.circuit.as_ref() == Some(name)
                    && other.power == Power::Booting
                    && boots(&other.id)
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
    /// Times remembered over a restart are on the calendar's clock: so much it has jumped.
    jumped: Millis,
    /// Going off by our word.
    ours: Vec<bool>,
    /// Up by a wake of ours or a person's hand; of a crash that nobody saw nothing is remembered.
    meant: Vec<bool>,
    /// Moves that a person asked for.
    asked: BTreeMap<Uuid, HostId>,
    /// Hosts that a person has emptied, until that is taken back.
    emptied: BTreeSet<HostId>,
}

#[derive(Clone, Copy, Debug)]
struct Moved {
    at: Mono,
    begun: Mono,
    from: HostId,
    to: HostId,
    /// A person had it moved there.
    asked: bool,
    intent: IntentId,
}

impl Hysteresis {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            moves: BTreeMap::new(),
            sleeps: vec![vec![]; hosts],
            up_since: vec![Mono::ZERO; hosts],
            cause_at: Mono::ZERO,
            jumped: Millis::ZERO,
            ours: vec![false; hosts],
            meant: vec![false; hosts],
            asked: BTreeMap::new(),
            emptied: BTreeSet::new(),
        }
    }

    fn cause(&mut self, at: Mono) {
        self.cause_at = self.cause_at.max(at);
    }

    fn moved(&mut self, vm: Uuid, from: HostId, to: HostId, scene: &Scene<'_>, found: &mut Found) {
        let knobs = &scene.cluster.policy.knobs;
        let past = self.moves.entry(vm).or_default();
        let slack = Millis(self.jumped.0 + SECONDS.0);
        let lately = |span: Millis| {
            let span = knobs.scaled(span).saturating_sub(slack);
            past.iter().filter(|moved| scene.at.since(moved.at) < span).count()
        };
        let theirs =
            [from, to].iter().any(|host| scene.ordered.contains(host)) || self.emptied.contains(&from);
        if theirs {
            return;
        }
        if lately(HOUR) >= knobs.moves_vm_hour as usize || lately(DAY) >= knobs.moves_vm_day as usize {
            found.add("I12", scene.at, format!("{} is moved more often than allowed", scene.vm(vm)));
        }
        // It makes room for one that belongs there.
        let makes_room = scene.cluster.vms.iter().any(|other| other.home == Some(from) && other.uuid != vm);
        // Policy `seed` knows nothing of it.
        let minds = scene.cluster.policy.name == PolicyName::Balanced && !makes_room;
        let back = past.last().filter(|last| minds && !last.asked).is_some_and(|last| {
            last.from == to
                && last.to == from
                && scene.at.since(last.at) < knobs.scaled(HOUR)
                && self.cause_at < last.begun
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
        let (knobs, settings) = (&scene.cluster.policy.knobs, scene.settings);
        let look = settings.observe_every + settings.look_deadline;
        match note {
            Note::Script { .. } | Note::Ordered { .. } | Note::ManagerUp { .. } => {
                // A load that has changed is acted upon by the last looks' most.
                let seen_by = Millis(settings.observe_every.0 * u64::from(settings.stale_periods)) + look;
                let is_load = matches!(note, Note::Script { line, .. } if line.starts_with("load "));
                self.cause(if is_load { scene.at + seen_by } else { scene.at });
                match note {
                    Note::Ordered { order: Order::Drain { host } | Order::Sleep { host }, .. } => {
                        self.emptied.insert(*host);
                    }
                    Note::Ordered { order: Order::Clear { host } | Order::Wake { host }, .. } => {
                        self.emptied.remove(host);
                    }
                    _ => {}
                }
                if let Note::Ordered { order: Order::Move { vm, to }, .. } = note
                    && let Some(truth) =
                        scene.world.vms.get(vm.index()).filter(|_| vm.index() < scene.cluster.vms.len())
                {
                    self.asked.insert(truth.spec.uuid, *to);
                }
            }
            Note::ClockJumped { by_ms } => self.jumped += Millis(by_ms.unsigned_abs()),
            // A way that failed is taken by nobody for a while, and what was meant for it goes another.
            Note::Told(event) if matches!(event.name, "goal" | "way.rests") => self.cause(scene.at),
            Note::Told(event) if event.name == "host.state" => {
                let routine =
                    [HostState::Draining, HostState::Stopping, HostState::Asleep].map(HostState::as_str);
                if event.field("to").is_some_and(|to| !routine.contains(&to)) {
                    self.cause(scene.at);
                }
            }
            Note::MoveStarted { vm, from, to, intent: Some(_) } => self.moved(*vm, *from, *to, scene, found),
            // A person's move may overload a host just so, which the next look shows.
            Note::MoveEnded { intent: None, .. } => self.cause(scene.at + look),
            // Somebody took it back before we saw it there: that was no move for us.
            Note::Closed { intent, outcome } if !matches!(outcome, Outcome::Done { .. }) => {
                self.moves.values_mut().for_each(|moves| moves.retain(|moved| moved.intent != *intent));
            }
            Note::MoveEnded { vm, from, to, end: MoveEnd::Done { .. }, intent: Some(intent), took } => {
                let begun = Mono(scene.at.0.saturating_sub(took.0));
                let asked = self.asked.remove(vm).is_some_and(|host| host == *to);
                let moved = Moved { at: scene.at, begun, from: *from, to: *to, asked, intent: *intent };
                self.moves.entry(*vm).or_default().push(moved);
            }
            Note::Power { host, to: Power::Booting, cause, .. } => {
                self.meant[host.index()] = matches!(*cause, "wake" | "by hand");
            }
            Note::Power { host, to: Power::On, .. } => self.up_since[host.index()] = scene.at,
            Note::Acted(intent) => {
                let Action::Sleep { host } = intent.action else { return };
                let up = scene.at.since(self.up_since[host.index()]);
                let woken = self.up_since[host.index()] > Mono::ZERO && self.meant[host.index()];
                let least = knobs.scaled(knobs.min_up).saturating_sub(Millis(self.jumped.0 + SECONDS.0));
                let theirs = scene.ordered.contains(&host) || self.emptied.contains(&host);
                if woken && up < least && !theirs {
                    found.add("I12", scene.at, format!("{} was up for {up} only", scene.name(host)));
                }
            }
            Note::Power { host, to: Power::Stopping, cause, .. } => {
                self.ours[host.index()] = *cause == "guard"
            }
            Note::Power { host, to: Power::Off, cause: "shutdown", .. } if self.ours[host.index()] => {
                let sleeps = &mut self.sleeps[host.index()];
                sleeps.push(scene.at);
                let day = knobs.scaled(DAY).saturating_sub(self.jumped);
                let today = sleeps.iter().filter(|at| scene.at.since(**at) < day).count();
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
