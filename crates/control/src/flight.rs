//! Intents under way: from being written to being confirmed. Exactly one outcome is closed for each.

mod adopt;
mod confirm;

use crate::controller::Controller;
use crate::mutants::{self, Mutant};
use crate::run::StepState;
use crate::{Effect, Level, LogEvent};
use dormouse_model::{
    Action, HostId, Intent, IntentId, Millis, Mono, ObservationId, Outcome, OutcomeError, PlanId, Step, VmId,
    VmState,
};

/// The driver keeps the deadline; this much later we stop believing that it does.
const DRIVER_SLACK: Millis = Millis::from_secs(30);
/// The store should have answered long before; a plan does not wait for it any longer.
const WRITE_MAX: Millis = Millis::from_secs(30);

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) intent: Intent,
    /// The step's place in the running plan, if it belongs to one.
    pub(crate) step: Option<(PlanId, usize)>,
    pub(crate) phase: Phase,
    /// Since when it is in that phase.
    pub(crate) since: Mono,
    /// Looks with this number or a later one were asked for in that phase.
    pub(crate) since_look: ObservationId,
    /// What the driver said, while both ends are looked at.
    pub(crate) said: Option<Outcome>,
    /// How long the driver had it; of an adopted one nobody knows. And its deadline by the plan alone.
    took: Option<Millis>,
    planned: Millis,
    /// When the last abort went out. It may be lost or hang like any call, so it is repeated.
    abort_sent: Option<Mono>,
    settle_sent: bool,
    /// A person asked for it, or it goes on with what was begun: a pause does not end it.
    by_order: bool,
    /// The store did not answer in time. Should it become durable after all, it is withdrawn.
    given_up: bool,
    /// Both ends could not be seen in time, or show something that must not be touched.
    in_doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Writing,
    Acting,
    /// The driver is done with a move; both ends are looked at.
    Confirming,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Unseen,
    Both,
    Stuck,
}

impl Flight {
    /// What this flight makes of the VM, while it is more than a wish.
    pub(crate) fn vm_state(&self, vm: VmId) -> Option<VmState> {
        let Action::Migrate { vm: ours, from, to } = self.intent.action else { return None };
        if ours != vm || self.phase == Phase::Writing {
            return None;
        }
        Some(match self.in_doubt {
            None => VmState::Migrating { from, to },
            Some(Doubt::Unseen | Doubt::Both) => VmState::Conflict { hosts: vec![from, to] },
            Some(Doubt::Stuck) => VmState::Stuck { from, to },
        })
    }

    /// A VM that it starts, and where.
    pub(crate) fn start(&self) -> Option<(VmId, HostId)> {
        match self.intent.action {
            Action::Start { vm, host } if !self.given_up => Some((vm, host)),
            _ => None,
        }
    }

    /// The driver says that it is done.
    fn said_done(&self) -> bool {
        matches!(self.said, Some(Outcome::Done { .. }))
    }

    /// It was begun, and nothing says yet that it will not end.
    pub(crate) fn is_under_way(&self) -> bool {
        self.phase != Phase::Writing && self.in_doubt.is_none()
    }

    /// It holds a place for a move, for the budgets and the ledger of memory.
    pub(crate) fn migration(&self) -> Option<(VmId, HostId, HostId)> {
        match self.intent.action {
            Action::Migrate { vm, from, to } if !self.given_up => Some((vm, from, to)),
            _ => None,
        }
    }
}

impl Controller {
    /// Asks for an intent to be made durable. Its effect starts only when it is.
    pub(crate) fn write_intent(
        &mut self,
        plan: PlanId,
        step_at: Option<usize>,
        mut step: Step,
        by_order: bool,
    ) {
        let planned = step.deadline;
        self.give_time(&mut step);
        let intent = self.new_intent(plan, step);
        self.flights.insert(
            intent.id,
            Flight {
                intent: intent.clone(),
                step: step_at.map(|at| (plan, at)),
                phase: Phase::Writing,
                since: self.now.mono,
                since_look: ObservationId(self.next_observation),
                said: None,
                took: None,
                planned,
                abort_sent: None,
                settle_sent: false,
                by_order,
                given_up: false,
                in_doubt: None,
            },
        );
        if mutants::has(Mutant::ActsBeforeIntent) {
            self.out.push(Effect::Act(intent.clone()));
        }
        self.out.push(Effect::Write(intent));
    }

    pub(crate) fn durable(&mut self, id: IntentId) {
        let Some(flight) = self.flights.get(&id).filter(|flight| flight.phase == Phase::Writing) else {
            return;
        };
        let (mut intent, step, by_order) = (flight.intent.clone(), flight.step, flight.by_order);
        let allowed = match step {
            _ if flight.given_up => Err("late"),
            Some((plan, _)) if !self.carries_out(plan) => Err("plan-dropped"),
            _ => self.still_allowed(&intent, by_order),
        };
        self.clear_alarm("store.refuses", "");
        if let Err(why) = allowed {
            let event = self.intent_event(Level::Info, "step.withdrawn", &intent).with("why", why);
            self.tell(event);
            let outcome = Outcome::Failed(OutcomeError::Driver(format!("withdrawn: {why}")));
            return self.close(id, outcome, StepState::Failed);
        }
        if let Some((plan, at)) = step {
            self.mark_draining(plan, at);
        }
        if let Action::Wake { host } = intent.action {
            self.begin_wake(host);
        }
        if let Action::Fence { host } = intent.action {
            self.proof_begins(host);
        }
        if let Action::Sleep { host } = intent.action {
            self.sleeps.push_back(self.now.mono);
            let (now, span) = (self.now.mono, self.settings.off_span);
            let host = self.host_mut(host);
            host.off_boot = host.boot;
            host.offs.insert(id);
            intent.good_until = host.own_time(now, span);
        }
        let now = self.now.mono;
        if let Some(flight) = self.flights.get_mut(&id) {
            flight.phase = Phase::Acting;
            flight.since = now;
            flight.intent.good_until = intent.good_until;
        }
        let event = self.intent_event(Level::Info, "step.start", &intent);
        self.tell(event);
        self.out.push(Effect::Act(intent.clone()));
        if let Some(vm) = intent.action.vm() {
            self.judge_vm(vm);
        }
    }

    pub(crate) fn not_durable(&mut self, id: IntentId, why: &str) {
        let Some(flight) = self.flights.get(&id).filter(|flight| flight.phase == Phase::Writing) else {
            return;
        };
        if mutants::has(Mutant::ActsWithoutStore) {
            return self.durable(id);
        }
        let (intent, step) = (flight.intent.clone(), flight.step);
        self.flights.remove(&id);
        self.store_refuses(&intent, why);
        self.finish_step(step, StepState::Failed);
    }

    /// Without a journal nothing may be done: stay as we are and try again later.
    fn store_refuses(&mut self, intent: &Intent, why: &str) {
        let event = LogEvent::new(Level::Alarm, "store.refuses").with("intent", intent.id.0).with("why", why);
        self.alarm("store.refuses", "", event);
        self.drop_run("store.refuses");
        self.quiet_until = self.now.mono + self.settings.backoff;
    }

    pub(crate) fn ended(&mut self, id: IntentId, outcome: Outcome) {
        let now = self.now.mono;
        let next_look = ObservationId(self.next_observation);
        let Some(flight) = self.flights.get_mut(&id).filter(|flight| flight.phase == Phase::Acting) else {
            return;
        };
        flight.took = Some(now.since(flight.since));
        match flight.intent.action {
            Action::Migrate { from, to, .. } => {
                flight.phase = Phase::Confirming;
                flight.since = now;
                flight.since_look = next_look;
                flight.said = Some(outcome);
                if mutants::has(Mutant::TrustsTheDriver) && flight.said_done() {
                    let outcome = Outcome::Done { downtime: None };
                    return self.close(id, outcome, StepState::Done);
                }
                self.look_soon(from);
                self.look_soon(to);
            }
            Action::Sleep { host } => {
                self.sleep_answered(host, id, &outcome);
                let state = if matches!(outcome, Outcome::Done { .. }) {
                    StepState::Settling
                } else {
                    StepState::Failed
                };
                self.close(id, outcome, state);
            }
            Action::Wake { host } => {
                self.look_soon(host);
                // Whether the packet arrived is seen on the host, not in the driver's word.
                self.close(id, outcome, StepState::Settling);
            }
            Action::Fence { host } if !matches!(outcome, Outcome::Done { .. }) => {
                self.no_proof(host, &outcome);
                self.close(id, outcome, StepState::Failed);
            }
            // Its power control says off: the host must be silent to looks asked for after that word.
            Action::Start { host, .. } | Action::Fence { host } => {
                flight.phase = Phase::Confirming;
                flight.since = now;
                flight.since_look = next_look;
                flight.said = Some(outcome);
                self.look_soon(host);
            }
            Action::Stop { .. } => {
                let state =
                    if matches!(outcome, Outcome::Done { .. }) { StepState::Done } else { StepState::Failed };
                self.close(id, outcome, state);
            }
        }
    }

    /// Writes the one outcome of an intent and lets its step go on.
    pub(crate) fn close(&mut self, id: IntentId, outcome: Outcome, state: StepState) {
        let Some(flight) = self.flights.remove(&id) else { return };
        let level = if matches!(outcome, Outcome::Done { .. }) { Level::Info } else { Level::Warn };
        let mut event = self
            .intent_event(level, "step.end", &flight.intent)
            .with("took", self.now.mono.since(flight.intent.written).0)
            .with("outcome", outcome_word(&outcome));
        match &outcome {
            Outcome::Done { downtime: Some(downtime) } => event = event.with("downtime", downtime.0),
            Outcome::Failed(why) => event = event.with("why", why),
            Outcome::Unsure(why) => event = event.with("why", why),
            _ => {}
        }
        self.tell(event);
        // Where its word was lost, how long the driver had it says nothing.
        if let Some(took) = flight.took.filter(|_| !matches!(flight.said, Some(Outcome::Unsure(_)))) {
            self.learn_rate(&flight.intent, flight.planned, &outcome, took);
        }
        if matches!(outcome, Outcome::Done { .. }) || !mutants::has(Mutant::ForgetsOutcomes) {
            self.out.push(Effect::Close { intent: id, outcome });
        }
        if let Some(vm) = flight.intent.action.vm() {
            self.judge_vm(vm);
            let name = self.vm_name(vm).to_owned();
            self.clear_alarm("vm.held", &name);
        }
        self.finish_step(flight.step, state);
    }

    pub(crate) fn watch_flights(&mut self) {
        let ids: Vec<_> = self.flights.keys().copied().collect();
        for id in ids {
            let flight = &self.flights[&id];
            let spent = self.now.mono.since(flight.since);
            let limit = Millis(flight.intent.deadline.0.saturating_add(DRIVER_SLACK.0));
            match flight.phase {
                Phase::Writing if spent > WRITE_MAX && !flight.given_up => self.give_up(id),
                Phase::Writing => {}
                Phase::Acting if spent > limit => self.overdue(id, spent, limit),
                Phase::Acting => {}
                Phase::Confirming if flight.start().is_some() => self.confirm_start(id),
                Phase::Confirming if matches!(flight.intent.action, Action::Fence { .. }) => {
                    self.confirm_fence(id)
                }
                Phase::Confirming => self.confirm(id),
            }
        }
    }

    /// The store is silent: the plan goes on without this step, and the intent holds no place any longer. It stays known,
    /// since it may be durable by now.
    fn give_up(&mut self, id: IntentId) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.given_up = true;
        let (intent, step) = (flight.intent.clone(), flight.step);
        self.store_refuses(&intent, "no answer");
        self.finish_step(step, StepState::Failed);
    }

    /// The driver should have ended this by itself.
    fn overdue(&mut self, id: IntentId, spent: Millis, limit: Millis) {
        let (leads, now) = (self.leading(), self.now.mono);
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if flight.migration().is_none() {
            return self.ended(id, Outcome::Unsure("no answer from the driver".to_owned()));
        }
        if flight.abort_sent.is_none() && leads && !mutants::has(Mutant::NeverAborts) {
            flight.abort_sent = Some(now);
            self.out.push(Effect::Abort(flight.intent.clone()));
        } else if spent.0 > limit.0 + 2 * DRIVER_SLACK.0 {
            self.ended(id, Outcome::Unsure("neither ended nor aborted".to_owned()));
        }
    }

    /// The fixed fields of an event about an intent.
    pub(crate) fn intent_event(&self, level: Level, name: &'static str, intent: &Intent) -> LogEvent {
        let event = LogEvent::new(level, name)
            .with("kind", intent.action.kind())
            .with("intent", intent.id.0)
            .with("plan", intent.plan.0)
            .with("step", intent.step.0)
            .with("epoch", intent.epoch.0);
        match intent.action {
            Action::Migrate { vm, from, to } => event
                .with("vm", self.vm_name(vm))
                .with("from", self.host_name(from))
                .with("to", self.host_name(to)),
            Action::Wake { host } | Action::Sleep { host } | Action::Fence { host } => {
                event.with("host", self.host_name(host))
            }
            Action::Start { vm, host } | Action::Stop { vm, host } => {
                event.with("vm", self.vm_name(vm)).with("host", self.host_name(host))
            }
        }
    }
}

/// One stable word for an outcome.
const fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done { .. } => "done",
        Outcome::Failed(_) => "failed",
        Outcome::Refused(_) => "refused",
        Outcome::Unsure(_) => "unsure",
    }
}
