//! The simulator: the daemon's controller on one side, the pretend world on the other, and a virtual clock.
//!
//! It adds nothing to what the controller decides. Effects are carried out as drivers and store would, answers come as
//! late as theirs; the manager can be killed at any point and started again from what its store kept.

use dormouse_control::{Automation, Controller, Effect, Event, Now, Order, Settings};
use dormouse_model::{
    Cluster, Epoch, HostId, HostState, Intent, IntentId, Millis, Mono, Observation, ObservationId, Outcome,
    ProbeError,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::expect::{Expectations, Failure};
use crate::figures::Figures;
use crate::invariants::{Checkers, Scene, Violation};
use crate::log::Log;
use crate::note::{MoveEnd, Note};
use crate::queue::Queue;
use crate::scenario::Scenario;
use crate::script::{Action, ByHand, CrashPoint, Sight, Timed};
use crate::store::{SYNC, Store, Write};
use crate::world::{Fault, Nature, Outbox, Power, Probe, Timer, World};

/// The lease of the one manager, and how often it is renewed (faults: defaults).
const LEASE: Millis = Millis(6000);
const RENEW: Millis = Millis(2000);

/// What may differ between runs of one scenario.
#[derive(Clone, Debug)]
pub struct Options {
    /// Instead of the script's own.
    pub seed: Option<u64>,
    pub settings: Settings,
    /// Boot and shutdown times differ by up to this share; 0: exactly as the text says.
    pub jitter_permille: u64,
}

impl Default for Options {
    fn default() -> Self {
        let settings = Settings { automation: Automation::Auto, ..Settings::default() };
        Self { seed: None, settings, jitter_permille: 0 }
    }
}

/// Counted from what really happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Moves of ours that ended at their destination.
    pub migrations: u64,
    /// Boots that a packet of ours began.
    pub wakes: u64,
    /// Hosts whose guard agreed.
    pub sleeps: u64,
    pub thrash: u64,
}

#[derive(Debug)]
pub struct RunResult {
    /// The text of `expect.log`.
    pub log: String,
    pub figures: Figures,
    /// Expectations of the script that were not met.
    pub failures: Vec<Failure>,
    pub violations: Vec<Violation>,
}

#[derive(Debug)]
pub struct Sim {
    pub(crate) cluster: Arc<Cluster>,
    settings: Settings,
    seed: u64,
    start: Timestamp,
    until: Mono,
    pub(crate) now: Mono,
    /// How far the manager's wall clock is off.
    wall_shift_ms: i64,
    pub(crate) world: World,
    queue: Queue<Happening>,
    store: Store,
    pub(crate) controller: Option<Controller>,
    /// What was meant for an earlier manager is void.
    incarnation: u32,
    crash_at: Option<(CrashPoint, u32, Millis)>,
    script: Vec<Timed>,
    pub(crate) belief: Vec<HostState>,
    ordered: BTreeSet<HostId>,
    expectations: Expectations,
    checkers: Checkers,
    pub(crate) log: Log,
    pub(crate) tally: Tally,
    last_moves: std::collections::BTreeMap<uuid::Uuid, (Mono, HostId, HostId)>,
    notes: Vec<Note>,
    finished: bool,
}

#[derive(Debug)]
enum Happening {
    World(Timer),
    Script(usize),
    /// A look's packet is at the host.
    Looks {
        incarnation: u32,
        id: ObservationId,
        host: HostId,
        asked: Mono,
        deadline: Millis,
    },
    /// Something reaches the manager that asked for it.
    Tells {
        incarnation: u32,
        event: Box<Event>,
    },
    Stores {
        incarnation: u32,
        write: Write,
    },
    Renews {
        incarnation: u32,
        epoch: u64,
    },
    Starts,
}

impl Sim {
    #[must_use]
    pub fn new(scenario: &Scenario, options: Options) -> Self {
        let cluster = Arc::clone(&scenario.cluster);
        let seed = options.seed.unwrap_or(scenario.script.seed);
        let nature = Nature {
            seed,
            jitter_permille: options.jitter_permille,
            login_idle: options.settings.login_idle,
        };
        let world = World::new(&cluster, nature);
        let mut sim = Self {
            store: Store::new(&cluster, &world, scenario.script.start),
            world,
            settings: options.settings,
            seed,
            start: scenario.script.start,
            until: scenario.script.until,
            now: Mono::ZERO,
            wall_shift_ms: 0,
            queue: Queue::new(),
            controller: None,
            incarnation: 0,
            crash_at: None,
            script: scenario.script.actions.clone(),
            belief: cluster.hosts.iter().map(|host| host.state).collect(),
            ordered: BTreeSet::new(),
            expectations: Expectations::new(&scenario.script.expectations),
            checkers: Checkers::new(cluster.hosts.len()),
            log: Log::new(cluster.hosts.len()),
            tally: Tally::default(),
            last_moves: std::collections::BTreeMap::new(),
            notes: vec![],
            finished: false,
            cluster,
        };
        // The manager is there before anything happens.
        sim.queue.push(Mono::ZERO, Happening::Starts);
        for (index, timed) in sim.script.iter().enumerate() {
            sim.queue.push(timed.at, Happening::Script(index));
        }
        for at in sim.expectations.deadlines() {
            // Makes sure that the clock stops there and looks.
            sim.queue.push(at, Happening::World(Timer::Flows { generation: u64::MAX }));
        }
        sim
    }

    /// Both clocks of the manager.
    pub(crate) fn clocks(&self) -> Now {
        let ms =
            self.start.as_millisecond() + i64::try_from(self.now.0).unwrap_or(i64::MAX) + self.wall_shift_ms;
        Now { mono: self.now, wall: Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX) }
    }

    /// Plays to the end.
    #[must_use]
    pub fn run(mut self) -> RunResult {
        self.step_until(self.until);
        self.result()
    }

    /// What it has come to; ends the run where it stands.
    #[must_use]
    pub fn result(mut self) -> RunResult {
        self.finish();
        let violations = self.checkers.found.violations.clone();
        let figures = Figures::of(&self.world, &self.tally, &self.cluster, self.seed, &violations);
        let mut log = self.log.golden(&self.world);
        log.push_str(&figures.to_string());
        RunResult { log, figures, failures: self.expectations.failures(), violations }
    }

    #[must_use]
    pub const fn until(&self) -> Mono {
        self.until
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.now >= self.until
    }

    /// Lets everything happen up to and at that time, or the end.
    pub fn step_until(&mut self, until: Mono) {
        let until = until.min(self.until);
        loop {
            let tick =
                self.controller.as_ref().map(|controller| controller.next_tick().max(self.now + Millis(1)));
            let next = self.queue.next_at();
            match (next, tick) {
                (Some(at), tick) if at <= until && tick.is_none_or(|tick| at <= tick) => {
                    let Some((at, what)) = self.queue.pop() else { break };
                    self.clock_to(at);
                    self.happens(what);
                }
                (_, Some(tick)) if tick <= until => {
                    self.clock_to(tick);
                    self.give(Event::Tick);
                }
                _ => break,
            }
            self.take_in();
        }
        self.clock_to(until);
        self.world.settle_all();
    }

    fn clock_to(&mut self, at: Mono) {
        self.now = at;
        self.world.advance(at);
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.world.settle_all();
        let sight = Sight { world: &self.world, belief: &self.belief, tally: &self.tally };
        self.expectations.end(self.now, &sight);
        let scene = Scene {
            at: self.now,
            world: &self.world,
            cluster: &self.cluster,
            settings: &self.settings,
            belief: &self.belief,
            manager_up: self.controller.is_some(),
            ordered: &self.ordered,
        };
        self.checkers.at_end(&scene);
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::World(timer) => self.world.fire(timer),
            Happening::Script(index) => self.acts(index),
            Happening::Looks { incarnation, id, host, asked, deadline } => {
                self.looks(incarnation, id, host, asked, deadline)
            }
            Happening::Tells { incarnation, event } if incarnation == self.incarnation => {
                if let Event::Observed(observation) = event.as_ref() {
                    let boot = observation.result.as_ref().ok().map(|facts| facts.boot);
                    self.notes.push(Note::Looked { host: observation.host, asked: observation.asked, boot });
                }
                self.give(*event);
            }
            Happening::Stores { incarnation, write } if incarnation == self.incarnation => self.stores(write),
            Happening::Renews { incarnation, epoch } if incarnation == self.incarnation => self.leads(epoch),
            Happening::Starts => self.starts(),
            Happening::Tells { .. } | Happening::Stores { .. } | Happening::Renews { .. } => {}
        }
    }

    fn starts(&mut self) {
        if self.controller.is_some() {
            return;
        }
        let epoch = self.store.next_epoch();
        let controller = Controller::new(
            self.settings.clone(),
            Arc::clone(&self.cluster),
            self.store.memory(),
            self.clocks(),
        );
        if epoch > 1 {
            // What it believes before it has looked comes from its memory.
            self.notes.push(Note::ManagerUp { epoch });
        }
        self.controller = Some(controller);
        self.leads(epoch);
    }

    fn leads(&mut self, epoch: u64) {
        self.queue.push(self.now + RENEW, Happening::Renews { incarnation: self.incarnation, epoch });
        self.give(Event::Leads { epoch: Epoch(epoch), until: self.now + LEASE });
    }

    /// The manager dies, and comes back after a while.
    fn crash(&mut self, down: Millis) {
        self.controller = None;
        self.incarnation += 1;
        self.store.crash();
        self.world.forget_calls();
        self.notes.push(Note::ManagerDown);
        self.queue.push(self.now + down, Happening::Starts);
    }

    /// Dies here if a script asked for this point.
    fn crashes_at(&mut self, point: CrashPoint) -> bool {
        let Some((_, nth, down)) = self.crash_at.filter(|(at, ..)| *at == point) else { return false };
        if nth > 1 {
            self.crash_at = Some((point, nth - 1, down));
            return false;
        }
        self.crash_at = None;
        self.crash(down);
        true
    }

    /// The controller takes in an event, and what it wants is carried out.
    fn give(&mut self, event: Event) {
        let now = self.clocks();
        let Some(controller) = self.controller.as_mut() else { return };
        let effects = controller.handle(now, event);
        let next_tick = controller.next_tick();
        self.notes.push(Note::Handled { effects: effects.len(), next_tick });
        for effect in effects {
            self.carry_out(effect);
            if self.controller.is_none() {
                // Killed in the middle of its answer: the rest was never sent.
                return;
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Look { id, host, deadline } => {
                let look =
                    Happening::Looks { incarnation: self.incarnation, id, host, asked: self.now, deadline };
                self.queue.push(self.now + crate::world::LOOK_LATENCY, look);
            }
            Effect::Write(intent) => {
                self.notes.push(Note::Wrote(intent.clone()));
                if !self.crashes_at(CrashPoint::BeforeIntent) {
                    self.write(Write::Intent(Box::new(intent)));
                }
            }
            Effect::Act(intent) => {
                self.notes.push(Note::Acted(intent.clone()));
                self.world.act(&intent);
                self.crashes_at(CrashPoint::AfterEffect);
            }
            Effect::Abort(intent) => self.world.abort(intent.id),
            // The world's moves are whole: there is nothing half done to set right yet.
            Effect::Settle(_) => {}
            Effect::Close { intent, outcome } => self.close(intent, outcome),
            Effect::RememberHost(memory) => self.write(Write::Host(Box::new(memory))),
            Effect::RememberVm(memory) => self.write(Write::Vm(Box::new(memory))),
            Effect::Tell(event) => self.notes.push(Note::Told(event)),
        }
    }

    fn close(&mut self, intent: IntentId, outcome: Outcome) {
        if self.crashes_at(CrashPoint::BeforeOutcome) {
            return;
        }
        self.notes.push(Note::Closed { intent, outcome });
        self.write(Write::Close(intent));
    }

    fn write(&mut self, write: Write) {
        self.queue.push(self.now + SYNC, Happening::Stores { incarnation: self.incarnation, write });
    }

    fn stores(&mut self, write: Write) {
        let full = self.world.faults.is_store_full(self.now);
        let (intent, closes) = match &write {
            Write::Intent(intent) => (Some(intent.id), false),
            other => (None, matches!(other, Write::Close(_))),
        };
        let taken = self.store.take(write, full);
        let Some(intent) = intent else {
            if closes {
                self.crashes_at(CrashPoint::AfterOutcome);
            }
            return;
        };
        if taken {
            self.notes.push(Note::Durable(intent));
            if !self.crashes_at(CrashPoint::AfterIntent) {
                self.give(Event::Durable(intent));
            }
        } else {
            self.notes.push(Note::NotDurable(intent));
            self.give(Event::NotDurable { intent, why: "no space left on device".to_owned() });
        }
    }

    fn looks(&mut self, incarnation: u32, id: ObservationId, host: HostId, asked: Mono, deadline: Millis) {
        let (answered, result) = match self.world.probe(host) {
            Probe::Facts(facts) => (self.now, Ok(*facts)),
            Probe::NoRoute => (
                asked + crate::world::NO_ROUTE.min(deadline),
                Err(ProbeError::Unreachable("no route to host".to_owned())),
            ),
            Probe::Silence => (asked + deadline, Err(ProbeError::Timeout(deadline))),
        };
        let event = Box::new(Event::Observed(Observation { id, host, asked, answered, result }));
        self.queue.push(answered, Happening::Tells { incarnation, event });
    }

    /// Takes what the last event left behind: new timers and answers, and notes for everybody who listens.
    fn take_in(&mut self) {
        let Outbox { timers, answers, notes } = self.world.take_outbox();
        for (at, timer) in timers {
            self.queue.push(at, Happening::World(timer));
        }
        for (at, intent, outcome) in answers {
            let event = Box::new(Event::Ended { intent, outcome });
            self.queue.push(at, Happening::Tells { incarnation: self.incarnation, event });
        }
        let mut all = std::mem::take(&mut self.notes);
        all.extend(notes);
        let changed = all.iter().any(|note| !matches!(note, Note::Handled { .. } | Note::Looked { .. }));
        for note in &all {
            self.hears(note);
        }
        if changed || self.expectations.is_due(self.now) {
            self.world.settle_all();
            let sight = Sight { world: &self.world, belief: &self.belief, tally: &self.tally };
            self.expectations.look(self.now, &sight);
        }
        if changed {
            let scene = Scene {
                at: self.now,
                world: &self.world,
                cluster: &self.cluster,
                settings: &self.settings,
                belief: &self.belief,
                manager_up: self.controller.is_some(),
                ordered: &self.ordered,
            };
            self.checkers.after(&scene);
        }
    }

    fn hears(&mut self, note: &Note) {
        match note {
            Note::Told(event) if event.name == "host.state" => {
                let host = event.field("host").and_then(|name| self.cluster.host_named(name));
                let state =
                    HostState::ALL.into_iter().find(|state| Some(state.as_str()) == event.field("to"));
                if let (Some(host), Some(state)) = (host, state) {
                    self.belief[host.index()] = state;
                }
            }
            Note::Power { to: Power::Booting, cause: "wake", .. } => self.tally.wakes += 1,
            Note::GuardAgreed { .. } => self.tally.sleeps += 1,
            Note::MoveEnded { vm, from, to, end: MoveEnd::Done { .. }, intent: Some(_), .. } => {
                self.tally.migrations += 1;
                let before = self.last_moves.insert(*vm, (self.now, *from, *to));
                let hour = Millis::from_mins(60);
                if before.is_some_and(|(at, a, b)| a == *to && b == *from && self.now.since(at) < hour) {
                    self.tally.thrash += 1;
                }
            }
            Note::Ordered { host: Some(host), .. } => {
                self.ordered.insert(*host);
            }
            _ => {}
        }
        let scene = Scene {
            at: self.now,
            world: &self.world,
            cluster: &self.cluster,
            settings: &self.settings,
            belief: &self.belief,
            manager_up: self.controller.is_some(),
            ordered: &self.ordered,
        };
        self.checkers.note(note, &scene);
        self.expectations.hear(self.now, note);
        self.log.take(self.now, note, &self.world);
    }

    /// A line of the script.
    fn acts(&mut self, index: usize) {
        let Timed { action, text, .. } = self.script[index].clone();
        self.notes.push(Note::Script { line: text, is_fault: action.is_fault() });
        match action {
            Action::Load { vms, cpu } => {
                let vms = vms.unwrap_or_else(|| self.world.vms.iter().map(|vm| vm.spec.uuid).collect());
                for vm in vms {
                    self.world.set_load(vm, cpu);
                }
            }
            Action::Fault(Fault::ManagerClock { by_ms }) => {
                self.wall_shift_ms += by_ms;
                self.notes.push(Note::ClockJumped { by_ms });
            }
            Action::Fault(fault) => self.world.inject(&fault),
            Action::Heal(host) => {
                self.world.heal(host);
                if host.is_none() {
                    self.notes.push(Note::Healed);
                }
            }
            Action::Crash { point: CrashPoint::Now, down, .. } => self.crash(down),
            Action::Crash { point, nth, down } => self.crash_at = Some((point, nth, down)),
            Action::Operator(order) => {
                let host = order.host();
                let controller = self.controller.as_ref();
                let order = order.order(self.now, |uuid| controller.and_then(|c| c.vm_by_uuid(uuid)));
                if let Some(order) = order {
                    let hosts = host.or(match order {
                        Order::Move { to, .. } => Some(to),
                        _ => None,
                    });
                    self.order(hosts, order);
                }
            }
            Action::Login { host, idle } => self.world.login(host, idle),
            Action::Logout { host } => self.world.logout(host),
            Action::Block { host, what } => self.world.block(host, &what),
            Action::Unblock { host } => self.world.unblock(host),
            Action::Define(spec) => self.world.define_by_hand(*spec),
            Action::User(deed) => self.by_hand(deed),
            Action::Switch { host, on } => self.world.switch_by_hand(host, on),
            Action::Close => self.order(None, Order::Resume),
            Action::Open => self.order(None, Order::Normalise),
        }
    }

    fn order(&mut self, host: Option<HostId>, order: Order) {
        self.notes.push(Note::Ordered { host });
        self.give(Event::Order { by: "script".to_owned(), order });
    }

    fn by_hand(&mut self, deed: ByHand) {
        match deed {
            ByHand::Migrate { vm, to } => {
                self.world.migrate_by_hand(vm, to);
            }
            ByHand::Start(vm) => {
                self.world.start_by_hand(vm);
            }
            ByHand::Stop(vm) => {
                self.world.stop_by_hand(vm);
            }
            ByHand::Pause(vm) => self.world.pause_by_hand(vm, true),
            ByHand::Resume(vm) => self.world.pause_by_hand(vm, false),
        }
    }

    /// Something from outside the script, now: what the person at a screen does. `text` is how the log tells it.
    pub fn intervene(&mut self, action: Action, text: &str) {
        let index = self.script.len();
        self.script.push(Timed { at: self.now, action, text: text.to_owned() });
        self.queue.push(self.now, Happening::Script(index));
    }

    /// Intents that the manager has under way; for a screen.
    pub fn in_flight(&self) -> impl Iterator<Item = &Intent> {
        self.controller.iter().flat_map(Controller::in_flight)
    }

    /// Whether a host draws more than standby power.
    #[must_use]
    pub fn is_awake(&self, host: HostId) -> bool {
        !matches!(self.world.host(host).power, Power::Off | Power::Dead)
    }
}
