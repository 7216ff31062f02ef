//! The plan that is being carried out: which step may go, and when the plan no longer fits.
//!
//! A step is `waiting` until all it needs are done and the gate lets it through, `flying` while its intent is written and
//! acted on, `settling` while a host goes down or comes up, and then done, failed or skipped. A plan that was dropped
//! starts nothing more; what is under way ends by itself, and the next plan is made from what is then seen.

use crate::controller::Controller;
use crate::gate::Admission;
use crate::mutants::{self, Mutant};
use crate::{Automation, Level, LogEvent};
use dormouse_model::Millis;
use dormouse_model::{
    Action, Because, Goal, HostId, HostState, Mono, Plan, PlanId, PolicyName, Report, Step, StepId,
};
use std::collections::BTreeSet;

/// A dropped plan's moves may go on so long before the next plan is made around them.
const DRAG_MAX: Millis = Millis::from_secs(20);
/// A plan that starts nothing for so long, with nothing under way, is dropped.
const STALL_MAX: Millis = Millis::from_secs(60);

#[derive(Debug)]
pub(crate) struct Run {
    plan: Plan,
    states: Vec<StepState>,
    /// Steps that are not over, in plan order.
    open: Vec<usize>,
    /// Moves between hosts that stay: the reserves rest on them, so hosts go to sleep only afterwards. A move may fail.
    first: Vec<usize>,
    progress: Mono,
    dropped: Option<Mono>,
    /// A person asked for it.
    by_order: bool,
    failed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepState {
    Waiting,
    Flying,
    Settling,
    Done,
    Failed,
    Skipped,
}

impl StepState {
    const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped)
    }
}

impl Run {
    pub(crate) fn concerns(&self, host: HostId) -> bool {
        self.dropped.is_none()
            && self.open.iter().any(|at| self.plan.steps[*at].action.hosts().contains(&host))
    }

    /// A host is still to be put to sleep.
    pub(crate) fn will_sleep(&self) -> bool {
        let waits = |at: &usize| {
            matches!(self.states[*at], StepState::Waiting | StepState::Flying)
                && matches!(self.plan.steps[*at].action, Action::Sleep { .. })
        };
        self.dropped.is_none() && self.open.iter().any(waits)
    }

    fn state_of(&self, step: StepId) -> StepState {
        self.plan
            .steps
            .iter()
            .position(|other| other.id == step)
            .map_or(StepState::Skipped, |at| self.states[at])
    }
}

impl Controller {
    pub(crate) fn plan_soon(&mut self) {
        // The seed's manager looks at its cluster at its own pace; only waking up for the day is continuous.
        let paced =
            self.cluster.policy.name == PolicyName::Seed && !matches!(self.goal, Some(Goal::Spread { .. }));
        if !paced {
            self.plan_due = self.plan_due.min(self.now.mono + Millis::from_secs(1));
        }
    }

    pub(crate) fn plan_if_due(&mut self) {
        if !self.looked_everywhere() {
            return;
        }
        let goal = self.watch_goal();
        if let Some(Some(until)) = self.paused
            && until <= self.now.mono
        {
            self.paused = None;
            self.remember_manager();
            self.tell(LogEvent::new(Level::Info, "resumed").with("by", "time"));
        }
        if !self.leading() || self.run.as_ref().is_some_and(|run| !self.drags(run)) {
            return;
        }
        if let Some((plan, by)) = self.next_order() {
            return self.begin(plan, Report::default(), true, &by);
        }
        if self.plan_due.max(self.quiet_until) > self.now.mono || self.paused.is_some() {
            return;
        }
        self.plan_due = self.now.mono + self.plan_period(goal);
        let (picture, goal, changed) = self.sketched(goal);
        if !changed && !self.apply {
            // The same picture and goal gave a plan that was empty, advised or refused: it would do so again.
            self.sketch = Some(picture);
            return;
        }
        let (plan, report) = dormouse_planner::plan(&picture, goal, PlanId(self.next_plan));
        let violations = dormouse_planner::check(&picture, &plan);
        self.sketch = Some(picture);
        if let Some(first) = violations.first() {
            let event =
                LogEvent::new(Level::Alarm, "plan.rejected").with("policy", plan.policy).with("why", first);
            return self.alarm("plan.rejected", "", event);
        }
        self.clear_alarm("plan.rejected", "");
        self.tell_refusals(&report);
        let applied = std::mem::take(&mut self.apply);
        let act = self.settings.automation == Automation::Auto || applied;
        if plan.steps.is_empty() || !act {
            if self.settings.automation == Automation::Advise
                && !plan.steps.is_empty()
                && self.advised != plan.steps
            {
                self.advised.clone_from(&plan.steps);
                let event = plan_event("plan.advised", &plan, &report);
                self.tell(event);
            }
            self.last = Some((plan, report));
            return;
        }
        // What is begun is planned anew afterwards, whatever comes of it.
        self.planned_for = None;
        self.begin(plan, report, false, "");
    }

    fn plan_period(&self, goal: Goal) -> Millis {
        match (self.cluster.policy.name, goal) {
            (PolicyName::Seed, Goal::Compact { .. } | Goal::Relieve) => {
                self.cluster.policy.knobs.scaled(self.settings.seed_every)
            }
            _ => self.settings.observe_every,
        }
    }

    /// A dropped plan whose moves take long no longer keeps the next one from being made.
    fn drags(&self, run: &Run) -> bool {
        run.dropped.is_some_and(|since| self.now.mono.since(since) > DRAG_MAX)
    }

    fn begin(&mut self, plan: Plan, report: Report, by_order: bool, by: &str) {
        self.end_run();
        self.next_plan += 1;
        self.tally.plans += 1;
        let event = match plan.steps.first() {
            Some(step) if by_order => LogEvent::new(Level::Info, "plan.asked")
                .with("plan", plan.id.0)
                .with("by", by)
                .with("kind", step.action.kind()),
            _ => plan_event("plan.made", &plan, &report),
        };
        self.tell(event);
        self.run = Some(Run {
            states: vec![StepState::Waiting; plan.steps.len()],
            open: (0..plan.steps.len()).collect(),
            first: between_those_that_stay(&plan),
            plan: plan.clone(),
            progress: self.now.mono,
            dropped: None,
            by_order,
            failed: 0,
        });
        self.last = Some((plan, report));
    }

    /// This plan is the one that is being carried out, and it was not dropped.
    pub(crate) fn carries_out(&self, plan: PlanId) -> bool {
        self.run.as_ref().is_some_and(|run| run.plan.id == plan && run.dropped.is_none())
    }

    /// No further step of the running plan starts.
    pub(crate) fn drop_run(&mut self, why: &'static str) {
        let now = self.now.mono;
        let Some(run) = self.run.as_mut().filter(|run| run.dropped.is_none()) else { return };
        run.dropped = Some(now);
        let plan = run.plan.id;
        self.tell(LogEvent::new(Level::Info, "plan.dropped").with("plan", plan.0).with("why", why));
        self.plan_soon();
    }

    pub(crate) fn finish_step(&mut self, step: Option<(PlanId, usize)>, state: StepState) {
        let now = self.now.mono;
        let Some((plan, at)) = step else { return };
        let Some(run) = self.run.as_mut().filter(|run| run.plan.id == plan) else { return };
        run.states[at] = state;
        run.progress = now;
        if state == StepState::Failed {
            run.failed += 1;
            self.drop_run("step.failed");
        }
    }

    /// Starts what may start, settles what has settled, and ends the plan when nothing is left.
    pub(crate) fn advance(&mut self) {
        let Some(mut run) = self.run.take() else { return self.reopen_forgotten() };
        let now = self.now.mono;
        let mut open = std::mem::take(&mut run.open);
        let mut failed = None;
        let mut cluster_full = false;
        let reserves_stand = run.first.iter().all(|at| run.states[*at] == StepState::Done);
        for at in &open {
            let step = &run.plan.steps[*at];
            match run.states[*at] {
                // A dropped plan no longer waits for hosts on their way: the next one takes them as they are.
                StepState::Settling if run.dropped.is_some() => run.states[*at] = StepState::Skipped,
                StepState::Settling => {
                    if let Some(state) = self.settled(step.action) {
                        run.states[*at] = state;
                        run.progress = now;
                        if state == StepState::Failed {
                            failed = Some("step.failed");
                        }
                    }
                }
                StepState::Waiting if run.dropped.is_some() || failed.is_some() => {
                    run.states[*at] = StepState::Skipped
                }
                StepState::Waiting => {
                    let is_move = matches!(step.action, Action::Migrate { .. });
                    let too_early = matches!(step.action, Action::Sleep { .. }) && !reserves_stand;
                    if too_early
                        || is_move && cluster_full
                        || !step.needs.iter().all(|need| run.state_of(*need) == StepState::Done)
                    {
                        continue;
                    }
                    match self.admit(step.action, run.by_order) {
                        Admission::Go => {
                            self.write_intent(run.plan.id, Some(*at), step.clone(), run.by_order);
                            run.states[*at] = StepState::Flying;
                            run.progress = now;
                        }
                        Admission::Wait(why) => cluster_full |= why == "cluster-budget",
                        Admission::Already => {
                            let waking = matches!(step.action, Action::Wake { host } if self.host(host).state != HostState::On);
                            run.states[*at] = if waking { StepState::Settling } else { StepState::Done };
                        }
                        Admission::Refuse(why) => {
                            run.states[*at] = StepState::Failed;
                            run.failed += 1;
                            failed = Some(why);
                        }
                    }
                }
                StepState::Flying | StepState::Done | StepState::Failed | StepState::Skipped => {}
            }
        }
        open.retain(|at| !run.states[*at].is_over());
        run.open = open;
        let flying =
            run.open.iter().any(|at| matches!(run.states[*at], StepState::Flying | StepState::Settling));
        let stalled = !flying && run.dropped.is_none() && now.since(run.progress) > STALL_MAX;
        let over = run.open.is_empty();
        let drags = self.drags(&run);
        self.run = Some(run);
        if drags {
            self.reopen_forgotten();
        }
        if let Some(why) = failed {
            self.drop_run(why);
            self.advance();
        } else if over {
            self.end_run();
        } else if stalled {
            self.drop_run("stalled");
            self.advance();
        }
    }

    /// The first step that takes something off a host which the plan puts to sleep closes it to newcomers, once those
    /// that the plan itself brings there have come (policy `seed` moves a VM more than once).
    pub(crate) fn mark_draining(&mut self, plan: PlanId, at: usize) {
        let Some(run) = self.run.as_ref().filter(|run| run.plan.id == plan) else { return };
        let Action::Migrate { from, .. } = run.plan.steps[at].action else { return };
        let sleeps = run.plan.steps.iter().any(|other| other.action == Action::Sleep { host: from });
        let awaits = run.plan.steps.iter().zip(&run.states).any(|(other, state)| {
            !state.is_over() && matches!(other.action, Action::Migrate { to, .. } if to == from)
        });
        if sleeps && !awaits && self.host(from).state == HostState::On {
            self.set_state(from, HostState::Draining, "plan");
        }
    }

    /// Whether a host has come to where the step wants it.
    fn settled(&self, action: Action) -> Option<StepState> {
        match action {
            Action::Wake { host } => match self.host(host).state {
                HostState::On => Some(StepState::Done),
                HostState::Waking | HostState::Asleep | HostState::Off => None,
                _ => Some(StepState::Failed),
            },
            Action::Sleep { host } => match self.host(host).state {
                HostState::Asleep => Some(StepState::Done),
                HostState::Stopping => None,
                _ => Some(StepState::Failed),
            },
            _ => Some(StepState::Done),
        }
    }

    /// Nothing of the plan is left to start: hosts it was emptying and did not put to sleep are open again.
    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        self.reopen();
        let done = run.states.iter().filter(|state| **state == StepState::Done).count();
        let event = LogEvent::new(Level::Info, "plan.over")
            .with("plan", run.plan.id.0)
            .with("done", done)
            .with("failed", run.failed)
            .with("steps", run.plan.steps.len())
            .with("on", self.hosts.iter().filter(|host| !host.state.is_down()).count());
        self.tell(event);
        self.plan_soon();
    }

    /// Hosts that no plan empties any more take VMs again; those with an effect under way follow when it has ended. A move
    /// in doubt may be so for days: its memory stays claimed at both ends, and its hosts are no longer closed for it.
    fn reopen(&mut self) {
        for id in self.host_ids() {
            let host = self.host(id);
            let reopens = host.state == HostState::Draining && !host.drain && !self.is_worked_on(id);
            if reopens && !mutants::has(Mutant::NeverReopens) {
                self.set_state(id, HostState::On, "plan-over");
            }
        }
    }

    /// Without a plan, or with one that was dropped, no host stays drained: not one whose last move outlived its plan, nor
    /// one that a manager who died was emptying. The next plan comes first, since it may go on with them.
    fn reopen_forgotten(&mut self) {
        let patience = Millis(2 * self.settings.observe_every.0);
        let long = |since: Mono| self.now.mono.since(since.max(self.started)) > patience;
        let forgotten = |id: &HostId| {
            let host = self.host(*id);
            host.state == HostState::Draining && !host.drain && long(host.since)
        };
        if self.agenda.restless.iter().any(forgotten) {
            self.reopen();
        }
    }

    /// A VM or host that cannot be handled is told once, and told again only when the reason changes.
    fn tell_refusals(&mut self, report: &Report) {
        let mut standing = vec![];
        for refusal in &report.refusals {
            let subject = match refusal.subject {
                dormouse_model::Subject::Host(host) => self.host_name(host).to_owned(),
                dormouse_model::Subject::Vm(vm) => self.vm_name(vm).to_owned(),
            };
            let key = format!("{subject} {}", refusal.reason.code());
            let event = LogEvent::new(Level::Info, "refusal")
                .with("subject", &subject)
                .with("reason", refusal.reason.code());
            self.alarm("refusal", &key, event);
            standing.push(key);
        }
        self.standing.retain(|(name, subject), ()| *name != "refusal" || standing.contains(subject));
    }

    /// A plan of one step that a person asked for. The goal `hold` keeps us still, not them; every other rule is theirs, too.
    pub(crate) fn single(&self, action: Action, deadline: Millis) -> Plan {
        Plan {
            id: PlanId(self.next_plan),
            policy: self.cluster.policy.name,
            goal: self.goal.filter(|goal| *goal != Goal::Hold).unwrap_or(Goal::Relieve),
            steps: vec![Step { id: StepId(0), action, needs: vec![], deadline, because: Because::Asked }],
        }
    }
}

/// Moves that leave no host which the plan puts to sleep. Policy `seed` keeps no reserves.
fn between_those_that_stay(plan: &Plan) -> Vec<usize> {
    if plan.policy == PolicyName::Seed {
        return vec![];
    }
    let sleeps: BTreeSet<HostId> = plan
        .steps
        .iter()
        .filter_map(|step| if let Action::Sleep { host } = step.action { Some(host) } else { None })
        .collect();
    let stays = |step: &Step| matches!(step.action, Action::Migrate { from, .. } if !sleeps.contains(&from));
    let moves = plan.steps.iter().enumerate().filter(|(_, step)| !sleeps.is_empty() && stays(step));
    moves.map(|(at, _)| at).collect()
}

fn plan_event(name: &'static str, plan: &Plan, report: &Report) -> LogEvent {
    let count = |kind: &str| plan.steps.iter().filter(|step| step.action.kind() == kind).count();
    LogEvent::new(Level::Info, name)
        .with("plan", plan.id.0)
        .with("policy", plan.policy)
        .with("goal", plan.goal.as_str())
        .with("moves", count("migrate"))
        .with("wakes", count("wake"))
        .with("sleeps", count("sleep"))
        .with("on", report.hosts_on_before)
        .with("then", report.hosts_on_after)
        .with("bound", report.lower_bound)
}
