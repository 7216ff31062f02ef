//! The controller: its state, and the one function through which everything passes.
//!
//! A host walks `unknown -> on -> draining -> stopping -> asleep -> waking -> on`; who moves it along each edge:
//! - `unknown -> on`, `on -> unusable | unknown | set-aside`, back again: what looks say ([`crate::observe`]).
//! - `on -> draining`: a plan's first step on it, or an operator ([`crate::run`], [`crate::orders`]).
//! - `draining -> stopping`: the guard on the host agreed; `stopping -> asleep`: then silence ([`crate::power`]).
//! - `asleep -> waking`: a wake was sent; `waking -> on`: everything answers ([`crate::power`]).
//!
//! A step walks `waiting -> writing -> acting -> confirming -> done`; see [`crate::run`]. Nothing is undone.

use crate::agenda::Agenda;
use crate::demand::Spans;
use crate::flight::Flight;
use crate::forecast::Outlook;
use crate::freeze::Freeze;
use crate::hosts::HostRecord;
use crate::mutants::{self, Mutant};
use crate::pairs::Pairs;
use crate::run::Run;
use crate::vms::Vms;
use crate::{Effect, Event, Level, LogEvent, Memory, Now, Order, Settings};
use dormouse_model::{
    Action, Cluster, Epoch, Goal, HostId, HostState, Intent, IntentId, Millis, Mono, ObservationId, Plan,
    PlanId, Report, Snapshot, VmId,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// A remembered time may be off by so much.
const REMEMBERED_WITHIN: Millis = Millis::from_secs(2);
/// A wall clock that jumps by more than this against the monotonic one costs one idle cycle.
const CLOCK_JUMP_MS: i128 = 60_000;

#[derive(Debug)]
pub struct Controller {
    pub(crate) settings: Settings,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) hosts: Vec<HostRecord>,
    pub(crate) vms: Vms,
    pub(crate) pairs: Pairs,
    pub(crate) agenda: Agenda,
    pub(crate) now: Now,
    pub(crate) leads: Option<(Epoch, Mono)>,
    pub(crate) flights: BTreeMap<IntentId, Flight>,
    pub(crate) run: Option<Run>,
    pub(crate) last: Option<(Plan, Report)>,
    /// The steps that were advised last: the same advice is told once.
    pub(crate) advised: Vec<dormouse_model::Step>,
    pub(crate) orders: VecDeque<(String, Order)>,
    pub(crate) freeze: Freeze,
    /// `Some(None)`: paused until resumed.
    pub(crate) paused: Option<Option<Mono>>,
    /// An operator's `normalise` stands against the calendar, until the window in force changes from this one.
    pub(crate) normalise: Option<Option<String>>,
    /// An operator applied the plan: the next one is carried out although automation only advises.
    pub(crate) apply: bool,
    pub(crate) plan_due: Mono,
    /// Nothing is planned by itself before: the clock jumped, or the store refuses.
    pub(crate) quiet_until: Mono,
    /// When what is owed is looked at next.
    pub(crate) restarts_due: Mono,
    /// When this process began to manage.
    pub(crate) started: Mono,
    pub(crate) goal: Option<Goal>,
    /// The up-by for which spreading has begun.
    pub(crate) opening: Option<jiff::Timestamp>,
    pub(crate) goal_checked: Mono,
    /// What the calendar says, until it says something else.
    pub(crate) season: Option<crate::goal::Season>,
    pub(crate) outlook: Outlook,
    pub(crate) crowd: crate::Crowd,
    /// The picture that the last plan was made on, kept up to date rather than made anew, and the goal it was made for.
    pub(crate) sketch: Option<Snapshot>,
    pub(crate) planned_for: Option<Goal>,
    /// The configuration's own, which an operator may have changed for a while.
    pub(crate) configured: crate::Automation,
    pub(crate) remembered: crate::ManagerMemory,
    /// How long a move takes from intent to confirmation, as an exponentially weighted mean.
    pub(crate) move_mean: Option<Millis>,
    /// Times of recent effects, for the budgets.
    pub(crate) wakes: VecDeque<Mono>,
    pub(crate) sleeps: VecDeque<Mono>,
    /// No host is put to sleep before: an off command of the manager before us may still come.
    pub(crate) sleeps_after: Mono,
    pub(crate) out: Vec<Effect>,
    pub(crate) next_observation: u64,
    pub(crate) next_intent: u64,
    pub(crate) next_plan: u64,
    pub(crate) tally: Tally,
    /// Alarms that stand, so that each is told once.
    pub(crate) standing: BTreeMap<(&'static str, String), ()>,
}

/// As if nobody told the way down.
const fn skipped(state: HostState) -> HostState {
    if matches!(state, HostState::Stopping) { HostState::Asleep } else { state }
}

/// What this controller has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub moves: u64,
    pub moves_failed: u64,
    pub wakes: u64,
    pub sleeps: u64,
    pub plans: u64,
}

impl Controller {
    /// A controller with what the store remembers. It acts on nothing before it has looked at every host and leads.
    #[must_use]
    pub fn new(settings: Settings, mut cluster: Arc<Cluster>, memory: Memory, now: Now) -> Self {
        mutants::spoil(&mut cluster);
        let remembered: BTreeMap<&str, _> =
            memory.hosts.iter().map(|host| (host.host.as_str(), host)).collect();
        let rate = settings.calendar_rate.max(1);
        let hosts: Vec<HostRecord> = cluster
            .hosts
            .iter()
            .enumerate()
            .map(|(index, spec)| {
                let memory = remembered.get(spec.name.as_str()).copied();
                let mut host = HostRecord::new(HostId::at(index), spec, memory, now, rate);
                host.resume_wake(now.mono, &settings);
                host
            })
            .collect();
        let patience = Millis(settings.observe_every.0 * u64::from(settings.stale_periods));
        let spans = Spans::of(&cluster.policy.knobs, rate, patience);
        let vms = Vms::new(&cluster, &memory, spans, now, rate);
        let pairs =
            Pairs::remembered(&memory, |uuid| vms.find(uuid), |name| cluster.host_named(name), now, rate);
        let mut agenda = Agenda::default();
        for host in &hosts {
            agenda.plan(host.id, None, host.next_look);
            agenda.entered(host.id, host.state);
            agenda.unheard.insert(host.id);
        }
        // The budgets outlive us: what was on its way when we fell counts as well.
        let since =
            |state: HostState| hosts.iter().filter(move |host| host.state == state).map(|host| host.since);
        let wake = |intent: &&Intent| matches!(intent.action, Action::Wake { .. });
        let open = memory.open.iter().filter(wake).map(|_| now.mono);
        // A call of which nobody knows the end may have come so much later, or come yet.
        let sent = |host: &&HostRecord| host.maybe_asleep || !host.offs.is_empty();
        let is_told = |state: HostState| state == HostState::Stopping || state.is_down();
        let unsure = hosts.iter().filter(sent).filter(|host| !is_told(host.state));
        let void = unsure.map(|host| host.since + settings.off_span);
        let sleeps_after = void.clone().max().unwrap_or(Mono::ZERO);
        let slept = hosts.iter().flat_map(|host| host.sleeps.iter().copied());
        // Times are remembered in whole seconds: taken for as late as they may have been.
        let late = |at: Mono| now.mono.min(at + REMEMBERED_WITHIN);
        let slept = slept.chain(since(HostState::Stopping));
        let mut sleeps: Vec<Mono> = slept.map(late).chain(void).collect();
        sleeps.sort_unstable();
        let packets = hosts.iter().flat_map(|host| host.packets(settings.t_on)).filter(|at| *at <= now.mono);
        // To one that is late a packet may have gone at any moment; to one that is up, before it was.
        let is_late = hosts.iter().filter(|host| host.is_late(now.mono)).map(|_| now.mono);
        let before = packets.chain(since(HostState::On)).map(late);
        let mut wakes: Vec<Mono> = before.chain(is_late).chain(open).collect();
        wakes.sort_unstable();
        let mut controller = Self {
            plan_due: now.mono,
            quiet_until: Mono::ZERO,
            restarts_due: Mono::ZERO,
            started: now.mono,
            configured: settings.automation,
            settings,
            hosts,
            vms,
            pairs,
            agenda,
            now,
            leads: None,
            flights: BTreeMap::new(),
            run: None,
            last: None,
            advised: vec![],
            orders: VecDeque::new(),
            freeze: Freeze::default(),
            paused: None,
            normalise: None,
            apply: false,
            goal: None,
            opening: None,
            goal_checked: Mono::ZERO,
            season: None,
            outlook: Outlook::default(),
            crowd: crate::Crowd::default(),
            sketch: None,
            planned_for: None,
            remembered: memory.manager.clone(),
            move_mean: None,
            wakes: wakes.into(),
            sleeps: sleeps.into(),
            sleeps_after,
            out: vec![],
            next_observation: 1,
            next_intent: memory.last_intent + 1,
            next_plan: 1,
            tally: Tally::default(),
            standing: BTreeMap::new(),
            cluster,
        };
        controller.take_up(memory.manager);
        // A try that is to begin yet: the clock was set back while nobody was there. From here on it has begun now.
        let to_come = |host: &&crate::HostMemory| host.wake_try.is_some_and(|at| at > now.wall.as_second());
        for host in memory.hosts.iter().filter(to_come) {
            if let Some(id) = controller.cluster.host_named(&host.host) {
                controller.remember_host(id);
            }
        }
        for intent in memory.open {
            controller.adopt(intent);
        }
        controller
    }

    /// Takes in one event and returns what is to be done about it, in order.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.keep_time(now);
        match event {
            Event::Tick => {}
            Event::Observed(observation) => self.observed(observation),
            Event::Durable(intent) => self.durable(intent),
            Event::NotDurable { intent, why } => self.not_durable(intent, &why),
            Event::Ended { intent, outcome } => self.ended(intent, outcome),
            Event::Leads { epoch, until } => {
                if self.leads.is_none_or(|(was, _)| was != epoch) {
                    self.tell(LogEvent::new(Level::Info, "leads").with("epoch", epoch));
                }
                self.leads = Some((epoch, until));
            }
            Event::Deposed => {
                self.leads = None;
                self.orders.clear();
                self.drop_run("deposed");
                self.tell(LogEvent::new(Level::Alarm, "deposed"));
            }
            Event::Order { by, order } => self.ordered(by, order),
        }
        self.watch_looks();
        self.watch_power();
        self.watch_flights();
        self.watch_freeze();
        self.watch_proofs();
        self.watch_restarts();
        self.watch_alone();
        self.plan_if_due();
        self.advance();
        self.ask_looks();
        self.keep_demand();
        std::mem::take(&mut self.out)
    }

    /// The latest moment at which the next [`Event::Tick`] is of use.
    #[must_use]
    pub fn next_tick(&self) -> Mono {
        let on_its_way =
            |id: &HostId| matches!(self.host(*id).state, HostState::Waking | HostState::Stopping);
        let busy = !self.flights.is_empty()
            || self.run.is_some()
            || !self.vms.owed.is_empty()
            || self.agenda.restless.iter().any(on_its_way);
        let beat = if busy { 1000 } else { self.settings.observe_every.0 };
        let plan = self.plan_due.max(self.quiet_until);
        self.agenda
            .next_due()
            .map_or(plan, |look| look.min(plan))
            .max(Mono(self.now.mono.0 + 100))
            .min(Mono(self.now.mono.0 + if mutants::has(Mutant::TicksLate) { 60_000 } else { beat }))
    }

    /// Wall time that does not go along with monotonic time costs one idle cycle (faults I29, T01), and so does standing still.
    fn keep_time(&mut self, now: Now) {
        let wall_ms = i128::from(now.wall.as_millisecond()) - i128::from(self.now.wall.as_millisecond());
        let mono_ms = (i128::from(now.mono.0) - i128::from(self.now.mono.0))
            * i128::from(self.settings.calendar_rate.max(1));
        let jumped = (wall_ms - mono_ms).abs() > CLOCK_JUMP_MS && !mutants::has(Mutant::IgnoresClockJumps);
        if jumped {
            self.tell(LogEvent::new(Level::Warn, "clock.jump").with("seconds", (wall_ms - mono_ms) / 1000));
            self.drop_run("clock.jump");
            self.quiet_until = self.quiet_until.max(now.mono + self.settings.observe_every);
        }
        // Somebody asks at least once a period. What was seen before is old, and what comes in now waited for us.
        let stood = now.mono.since(self.now.mono);
        if stood > self.stale() && !mutants::has(Mutant::ActsWithoutLease) {
            self.tell(LogEvent::new(Level::Warn, "stood.still").with("seconds", stood.as_secs()));
            self.drop_run("stood-still");
            self.quiet_until = self.quiet_until.max(now.mono + self.settings.observe_every);
        }
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
        if jumped {
            self.remember_anew();
        }
        self.keep_hour();
    }

    /// What is remembered is told in calendar time. On a clock that was set, a successor would take a try that goes on for
    /// one that just began, and a pause for one that is over.
    fn remember_anew(&mut self) {
        self.remember_manager();
        for id in self.host_ids() {
            let host = self.host(id);
            if host.wake.is_some() || !host.sleeps.is_empty() || !host.state.is_down() {
                self.remember_host(id);
            }
        }
        for vm in (0..self.vms.records.len()).map(VmId::at) {
            let record = self.vms.record(vm);
            if !record.moves.is_empty() || self.pairs.has(vm) {
                self.remember_vm(vm, record.remembered_at);
            }
        }
    }

    pub(crate) fn tell(&mut self, event: LogEvent) {
        self.out.push(Effect::Tell(event));
    }

    /// Tells an alarm unless it already stands.
    pub(crate) fn alarm(&mut self, name: &'static str, subject: &str, event: LogEvent) {
        if self.standing.insert((name, subject.to_owned()), ()).is_none() {
            self.tell(event);
        }
    }

    pub(crate) fn clear_alarm(&mut self, name: &'static str, subject: &str) {
        if self.standing.remove(&(name, subject.to_owned())).is_some() {
            self.tell(LogEvent::new(Level::Info, "alarm.over").with("alarm", name).with("subject", subject));
        }
    }

    pub(crate) fn host(&self, id: HostId) -> &HostRecord {
        &self.hosts[id.index()]
    }

    pub(crate) fn host_mut(&mut self, id: HostId) -> &mut HostRecord {
        &mut self.hosts[id.index()]
    }

    pub(crate) fn host_ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId::at)
    }

    /// Moves a host along an edge of the table, remembers and tells it.
    ///
    /// # Panics
    /// On an edge that the table does not have: that is our bug, and going on would hide it.
    pub(crate) fn set_state(&mut self, id: HostId, next: HostState, cause: &'static str) {
        let now = self.now;
        let rate = self.settings.calendar_rate.max(1);
        let next_look = ObservationId(self.next_observation);
        let host = self.host_mut(id);
        let was = host.state;
        if was == next {
            return;
        }
        assert!(was.may_become(next), "{} must not go from {was} to {next} ({cause})", host.spec.name);
        host.state = next;
        host.since = now.mono;
        host.since_look = next_look;
        self.agenda.entered(id, next);
        self.heard(id);
        let host = self.host(id);
        let observation = host.facts.as_ref().map_or(ObservationId(0), |(_, _, observation)| *observation);
        let memory = host.memory(now, rate);
        let level = match next {
            HostState::SetAside => Level::Alarm,
            HostState::Unknown | HostState::Unusable => Level::Warn,
            // The first look at a host is no news.
            HostState::On if was == HostState::Unknown && cause == "first-look" => Level::Debug,
            _ => Level::Info,
        };
        let event = LogEvent::new(level, "host.state")
            .with("host", &host.spec.name)
            .with("from", was)
            .with("to", if mutants::has(Mutant::SkipsStopping) { skipped(next) } else { next })
            .with("cause", cause)
            .with("obs", observation.0)
            .with("epoch", self.leads.map_or(0, |(epoch, _)| epoch.0));
        self.out.push(Effect::RememberHost(memory));
        self.tell(event);
        if matches!(next, HostState::Unknown | HostState::SetAside)
            || matches!(was, HostState::Unknown | HostState::SetAside)
        {
            for vm in self.vms.present_on(id).collect::<Vec<_>>() {
                self.judge_vm(vm);
            }
        }
    }

    pub(crate) fn remember_host(&mut self, id: HostId) {
        let memory = self.host(id).memory(self.now, self.settings.calendar_rate.max(1));
        self.out.push(Effect::RememberHost(memory));
    }

    pub(crate) fn new_intent(&mut self, plan: PlanId, step: dormouse_model::Step) -> Intent {
        let id = IntentId(self.next_intent);
        self.next_intent += 1;
        Intent {
            id,
            epoch: self.leads.map_or(Epoch(0), |(epoch, _)| epoch),
            plan,
            step: step.id,
            action: step.action,
            vm: step.action.vm().map(|vm| self.vms.record(vm).uuid),
            deadline: step.deadline,
            written: self.now.mono,
            good_until: None,
        }
    }

    #[must_use]
    pub fn host_name(&self, id: HostId) -> &str {
        &self.host(id).spec.name
    }

    #[must_use]
    pub fn vm_name(&self, id: VmId) -> &str {
        &self.vms.record(id).spec.name
    }

    #[must_use]
    pub fn vm_uuid(&self, id: VmId) -> Uuid {
        self.vms.record(id).uuid
    }

    /// The VM's place in the inventory, when it was ever named or seen.
    #[must_use]
    pub fn vm_by_uuid(&self, uuid: Uuid) -> Option<VmId> {
        self.vms.find(uuid)
    }

    /// The plan made last and what it said, whether carried out or not.
    #[must_use]
    pub fn last_plan(&self) -> Option<&(Plan, Report)> {
        self.last.as_ref()
    }

    /// What would be planned now. Changes nothing.
    #[must_use]
    pub fn plan_now(&self, now: Now) -> (Plan, Report) {
        dormouse_planner::plan(&self.snapshot(now), self.goal_at(now), PlanId(self.next_plan))
    }

    /// The picture as it stands, with the states of the table.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        self.picture(now, false)
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// The goal in force, by calendar and orders.
    #[must_use]
    pub fn goal_now(&self, now: Now) -> Goal {
        self.goal_at(now)
    }

    #[must_use]
    pub const fn automation(&self) -> crate::Automation {
        self.settings.automation
    }

    /// The epoch we lead in, if we lead.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.leads.map(|(epoch, _)| epoch)
    }

    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// A person says that it is really off, and it was not seen since.
    #[must_use]
    pub fn is_fenced(&self, id: HostId) -> bool {
        self.host(id).fenced
    }

    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.freeze.is_frozen()
    }

    /// Effects under way, oldest first.
    pub fn in_flight(&self) -> impl Iterator<Item = &Intent> {
        self.flights.values().map(|flight| &flight.intent)
    }

    /// The last answer or failure of a host's look, and its age.
    #[must_use]
    pub fn last_look(&self, id: HostId) -> (Option<Millis>, Option<&dormouse_model::ProbeError>) {
        let host = self.host(id);
        (host.age(self.now.mono), host.error.as_ref())
    }
}
