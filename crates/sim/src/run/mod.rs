//! The simulator: the daemon's controller on one side, the pretend world on the other, and a virtual clock.
//!
//! It adds nothing to what the controller decides. Effects are carried out as drivers and store would, answers come as
//! late as theirs; the manager can be killed at any point and started again from what its store kept.

mod manager;
mod overtaken;
mod script;

use dormouse_control::{Automation, Controller, Event, Now, Order, Settings};
use dormouse_model::{Cluster, HostId, HostState, Intent, Millis, Mono, ObservationId};
use jiff::Timestamp;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use self::overtaken::Overtaken;
use crate::expect::{Expectations, Failure};
use crate::figures::Figures;
use crate::invariants::{Checkers, Scene, Violation};
use crate::log::Log;
use crate::note::{MoveEnd, Note};
use crate::queue::Queue;
use crate::scenario::Scenario;
use crate::script::{Crash, Sight, Timed};
use crate::store::{Store, Write};
use crate::world::{Nature, Outbox, Power, Timer, World};

/// The lease of the one manager, and how often it is renewed (faults: defaults). Who looks less often renews less often.
const LEASE: Millis = Millis(6000);
const RENEW: Millis = Millis(2000);
const LOOK: Millis = Millis(15_000);

/// What may differ between runs of one scenario.
#[derive(Clone, Debug)]
pub struct Options {
    /// Instead of the script's own.
    pub seed: Option<u64>,
    pub settings: Settings,
    /// Boot and shutdown times differ by up to this share; 0: exactly as the text says.
    pub jitter_permille: u64,
    /// The world is held against the rules after every so many events that changed it; 1: after each. What happens is
    /// judged in any case, always.
    pub check_every: u32,
}

impl Default for Options {
    fn default() -> Self {
        let settings = Settings { automation: Automation::Auto, ..Settings::default() };
        Self { seed: None, settings, jitter_permille: 0, check_every: 1 }
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
    crash_at: Option<Crash>,
    overtaken: Vec<Overtaken>,
    /// The manager stands still until then: whatever is for it waits, in order.
    frozen_until: Mono,
    waiting: VecDeque<Happening>,
    script: Vec<Timed>,
    pub(crate) belief: Vec<HostState>,
    ordered: BTreeSet<HostId>,
    expectations: Expectations,
    checkers: Checkers,
    pub(crate) log: Log,
    pub(crate) tally: Tally,
    last_moves: std::collections::BTreeMap<uuid::Uuid, (Mono, HostId, HostId)>,
    notes: Vec<Note>,
    check_every: u32,
    unchecked: u32,
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
    /// An order reaches the manager; the host it is about.
    Orders {
        incarnation: u32,
        host: Option<HostId>,
        order: Order,
    },
    Starts,
    /// The manager moves again and takes in what waited for it.
    Thaws,
    /// A manager moves again, and another leads.
    GoesOn {
        incarnation: u32,
    },
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
            settings: Settings {
                provers: scenario.script.with.provers.clone(),
                wake_without_quorum: scenario.script.with.wake_without_quorum,
                restart: scenario.script.with.restart,
                ..options.settings
            },
            seed,
            start: scenario.script.start,
            until: scenario.script.until,
            now: Mono::ZERO,
            wall_shift_ms: 0,
            queue: Queue::new(),
            controller: None,
            incarnation: 0,
            crash_at: None,
            overtaken: vec![],
            frozen_until: Mono::ZERO,
            waiting: VecDeque::new(),
            script: scenario.script.actions.clone(),
            belief: cluster.hosts.iter().map(|host| host.state).collect(),
            ordered: BTreeSet::new(),
            expectations: Expectations::new(&scenario.script.expectations),
            checkers: Checkers::new(cluster.hosts.len()),
            log: Log::new(cluster.hosts.len()),
            tally: Tally::default(),
            last_moves: std::collections::BTreeMap::new(),
            notes: vec![],
            check_every: options.check_every.max(1),
            unchecked: 0,
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

    /// What the log of the run takes in memory: it grows with the run, whatever the manager does.
    #[must_use]
    pub fn recorded_bytes(&self) -> usize {
        self.log.bytes()
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
            let awake_at = self.frozen_until.max(self.now + Millis(1));
            let tick = self.controller.as_ref().map(|controller| controller.next_tick().max(awake_at));
            let next = self.queue.next_at();
            if let Some((at, incarnation)) = self.overtaken_tick()
                && at <= until
                && next.is_none_or(|next| at < next)
                && tick.is_none_or(|tick| at < tick)
            {
                self.clock_to(at.max(self.now));
                self.tells_overtaken(incarnation, Event::Tick);
                self.take_in();
                continue;
            }
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

    /// How long a lease lasts, and when it is renewed.
    fn lease(&self) -> (Millis, Millis) {
        let look = self.settings.observe_every.max(LOOK).0;
        (Millis(LEASE.0 * look / LOOK.0), Millis(RENEW.0 * look / LOOK.0))
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.world.settle_all();
        let sight = Sight { world: &self.world, belief: &self.belief, tally: &self.tally };
        self.expectations.end(self.now, &sight);
        self.judge(|checkers, scene| checkers.at_end(scene));
    }

    fn judge(&mut self, judge: impl FnOnce(&mut Checkers, &Scene<'_>)) {
        let mut checkers = std::mem::take(&mut self.checkers);
        let scene = Scene {
            at: self.now,
            world: &self.world,
            cluster: &self.cluster,
            settings: &self.settings,
            belief: &self.belief,
            manager_up: self.controller.is_some() && self.now >= self.frozen_until,
            ordered: &self.ordered,
            wall: self.clocks().wall,
        };
        judge(&mut checkers, &scene);
        self.checkers = checkers;
    }

    fn happens(&mut self, what: Happening) {
        let is_frozen = self.now < self.frozen_until && self.controller.is_some();
        match what {
            Happening::Tells { .. }
            | Happening::Stores { .. }
            | Happening::Renews { .. }
            | Happening::Orders { .. }
            | Happening::Thaws
                if is_frozen =>
            {
                if self.waiting.is_empty() || matches!(what, Happening::Thaws) {
                    self.queue.push(self.frozen_until, Happening::Thaws);
                }
                if !matches!(what, Happening::Thaws) {
                    self.waiting.push_back(what);
                }
            }
            Happening::Thaws => self.thaws(),
            Happening::World(timer) => self.world.fire(timer),
            Happening::Script(index) => self.acts(index),
            Happening::Looks { incarnation, id, host, asked, deadline } => {
                self.looks(incarnation, id, host, asked, deadline)
            }
            Happening::Tells { incarnation, event } if incarnation == self.incarnation => {
                if let Event::Observed(observation) = event.as_ref() {
                    let boot = observation.result.as_ref().ok().map(|facts| facts.boot);
                    self.notes.push(Note::Looked {
                        host: observation.host,
                        asked: observation.asked,
                        seen: observation.answered,
                        boot,
                    });
                }
                self.give(*event);
            }
            Happening::Stores { incarnation, write } if incarnation == self.incarnation => self.stores(write),
            Happening::Renews { incarnation, epoch } if incarnation == self.incarnation => self.renews(epoch),
            Happening::Orders { incarnation, host, order } if incarnation == self.incarnation => {
                self.notes.push(Note::Ordered { host, order: order.clone() });
                self.give(Event::Order { by: "script".to_owned(), order });
            }
            Happening::Starts => self.starts(),
            Happening::GoesOn { incarnation } => self.goes_on(incarnation),
            Happening::Tells { incarnation, event } => self.tells_overtaken(incarnation, *event),
            Happening::Stores { .. } | Happening::Renews { .. } | Happening::Orders { .. } => {}
        }
    }

    /// What waited for a manager that stood still reaches it, in order.
    fn thaws(&mut self) {
        while let Some(what) = self.waiting.pop_front() {
            self.happens(what);
            self.take_in();
        }
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
        self.unchecked += u32::from(changed);
        if self.unchecked >= self.check_every {
            self.unchecked = 0;
            self.judge(|checkers, scene| checkers.after(scene));
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
            Note::Ordered { order: Order::Clear { .. }, .. } => {}
            Note::Ordered { host: Some(host), .. } => {
                self.ordered.insert(*host);
            }
            // People have stepped back: from here on the manager answers for everything again.
            Note::Healed => self.ordered.clear(),
            _ => {}
        }
        self.judge(|checkers, scene| checkers.note(note, scene));
        self.expectations.hear(self.now, note);
        self.log.take(self.now, note, &self.world);
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
