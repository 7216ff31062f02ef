//! What drivers do: commands travel, arrive, take their time, and are answered, or not.

use crate::note::{MoveEnd, Note};
use dormouse_control::mutants::{self, Mutant};
use dormouse_model::{
    Action, DomainState, GuardRefusal, HostId, HostTime, Intent, IntentId, Mib, Millis, Outcome, OutcomeError,
};

use super::flow::{Flow, FlowId, FlowStep, PROGRESS_WATCH, share_links};
use super::probe::NO_ROUTE;
use super::{Power, Timer, World};

/// A command reaches its host after this.
const COMMAND: Millis = Millis(60);
/// The guard closes the doors and looks.
const GUARD: Millis = Millis(800);
/// A connection on which nothing comes back is given up by its keepalive (fault N09).
const KEEPALIVE: Millis = Millis(25_000);

/// A driver call whose answer the manager waits for. It dies with the manager.
#[derive(Clone, Debug)]
pub(super) struct Call {
    intent: Intent,
}

impl Call {
    /// Through which host the command and its answer go.
    fn host(&self) -> HostId {
        match self.intent.action {
            Action::Migrate { from, .. } => from,
            Action::Wake { host }
            | Action::Sleep { host }
            | Action::Fence { host }
            | Action::Start { host, .. }
            | Action::Stop { host, .. } => host,
        }
    }
}

impl World {
    /// The manager has it carried out.
    pub(crate) fn act(&mut self, intent: &Intent) {
        self.calls.insert(intent.id, Call { intent: intent.clone() });
        self.later(intent.deadline, Timer::CallDeadline(intent.id));
        self.later(COMMAND, Timer::Arrives(Box::new(intent.clone())));
    }

    /// It is carried out so much later, and nobody waits for the answer: whoever asked is gone by then.
    pub(crate) fn act_late(&mut self, intent: &Intent, late: Millis) {
        self.orphans.insert(intent.id);
        self.later(late, Timer::Arrives(Box::new(intent.clone())));
    }

    /// The manager died: nobody waits for answers or watches progress any more. What was sent goes on.
    pub(crate) fn forget_calls(&mut self) {
        self.calls.clear();
    }

    pub(super) fn answer(&mut self, intent: IntentId, outcome: Outcome) {
        let Some(call) = self.calls.get(&intent) else { return };
        let host = call.host();
        let now = self.now;
        // A wake is answered by the manager's own network card, and a power control has a link of its own.
        let aside = matches!(call.intent.action, Action::Wake { .. } | Action::Fence { .. });
        if !aside && (self.host(host).faults.is_silent(now) || self.host_mut(host).faults.reply_lost.strike())
        {
            self.later(KEEPALIVE, Timer::CallDeadline(intent));
            return;
        }
        self.calls.remove(&intent);
        self.outbox.answers.push((self.now + Millis(20), intent, outcome));
    }

    /// Nothing has come back: what could be ended is ended, the rest is not known.
    pub(super) fn call_deadline(&mut self, intent: IntentId) {
        let Some(call) = self.calls.get(&intent) else { return };
        let deadline = call.intent.deadline;
        let flow = self
            .flows
            .iter()
            .find(|flow| flow.intent == Some(intent))
            .map(|flow| (flow.id, flow.started, flow.vm));
        let hangs = flow.is_some_and(|(_, _, vm)| self.abort_hangs(vm));
        let reachable = !self.host(call.host()).faults.is_silent(self.now) && !hangs;
        let flow = flow.map(|(id, started, _)| (id, started));
        match flow {
            // An earlier timer was a keepalive's or the progress watch's.
            Some((id, started)) if reachable && self.now.since(started) + COMMAND >= deadline => {
                self.end_flow_with(id, MoveEnd::Stayed("deadline"), Some(OutcomeError::Deadline(deadline)));
            }
            Some((id, _)) if reachable => {
                let idle =
                    self.flows.iter().find(|flow| flow.id == id).map(|flow| flow.without_progress(self.now));
                if idle.is_some_and(|idle| idle >= PROGRESS_WATCH) {
                    self.end_flow_with(
                        id,
                        MoveEnd::Stayed("no progress"),
                        Some(OutcomeError::NoProgress(PROGRESS_WATCH)),
                    );
                } else {
                    self.later(Millis(5000), Timer::CallDeadline(intent));
                }
            }
            _ => {
                self.calls.remove(&intent);
                self.outbox.answers.push((self.now, intent, Outcome::Unsure("no answer".to_owned())));
            }
        }
    }

    /// The manager ends a running move at its source.
    pub(crate) fn abort(&mut self, intent: &Intent) {
        let flow = self
            .flows
            .iter()
            .find(|flow| Some(self.vms[flow.vm].spec.uuid) == intent.vm)
            .map(|flow| (flow.id, flow.from, flow.vm));
        if let Some((id, from, vm)) = flow
            && !self.host(from).faults.is_deaf(self.now)
            && !self.host(from).faults.is_frozen(self.now)
            && !self.abort_hangs(vm)
        {
            self.end_flow_with(
                id,
                MoveEnd::Stayed("aborted"),
                Some(OutcomeError::Driver("aborted".to_owned())),
            );
        }
    }

    /// The command is at its host.
    pub(super) fn arrives(&mut self, intent: &Intent) {
        match intent.action {
            Action::Wake { host } | Action::Sleep { host }
                if self.host_mut(host).faults.power_refused.strike() =>
            {
                self.fails(intent, "authentication failed");
            }
            Action::Wake { host } => {
                self.wake_packet(host);
                self.answer(intent.id, Outcome::Done { downtime: None });
            }
            Action::Fence { host } => self.fence(intent, host),
            Action::Sleep { host } => self.with_host(intent, host, |world| world.guard(intent, host)),
            Action::Migrate { from, to, .. } => {
                self.with_host(intent, from, |world| world.migrate(intent, from, to))
            }
            Action::Start { host, .. } => self.with_host(intent, host, |world| world.start(intent, host)),
            Action::Stop { host, .. } => self.with_host(intent, host, |world| world.stop(intent, host)),
        }
    }

    /// Goes on only where somebody listens.
    fn with_host(&mut self, intent: &Intent, host: HostId, then: impl FnOnce(&mut Self)) {
        if self.host(host).faults.is_deaf(self.now) {
            self.later(KEEPALIVE, Timer::CallDeadline(intent.id));
        } else if self.host(host).power == Power::On {
            then(self);
        } else {
            self.answer_late(
                intent,
                NO_ROUTE,
                Outcome::Failed(OutcomeError::Driver("no route to host".to_owned())),
            );
        }
    }

    fn answer_late(&mut self, intent: &Intent, after: Millis, outcome: Outcome) {
        if self.calls.remove(&intent.id).is_some() {
            self.outbox.answers.push((self.now + after, intent.id, outcome));
        }
    }

    fn fails(&mut self, intent: &Intent, why: &str) {
        self.answer(intent.id, Outcome::Failed(OutcomeError::Driver(why.to_owned())));
    }

    /// The guard: doors closed, then the last look, then off, or the doors open again. All in one instant of the
    /// world, since nobody comes in while the doors are closed.
    fn guard(&mut self, intent: &Intent, host: HostId) {
        self.last_second(host);
        let why = self.guard_objections(intent, host);
        if why.is_empty() {
            self.host_mut(host).epoch = Some(intent.epoch);
            self.note(Note::GuardAgreed { host, epoch: intent.epoch });
            if !self.host(host).faults.off_ignored {
                self.go_down(host, "guard");
            }
            // Its word was sent before its network went.
            self.answer(intent.id, Outcome::Done { downtime: None });
        } else {
            if self.orphans.contains(&intent.id) {
                let words: Vec<String> = why.iter().map(ToString::to_string).collect();
                self.note(Note::LateRefused { host, epoch: intent.epoch, why: words.join("; ") });
            }
            if self.host(host).faults.reply_lost == super::fault::Times::Never
                && !self.host(host).faults.is_silent(self.now)
            {
                self.answer_late(intent, GUARD, Outcome::Refused(why));
            } else {
                self.answer(intent.id, Outcome::Refused(why));
            }
        }
    }

    fn guard_objections(&self, intent: &Intent, host: HostId) -> Vec<GuardRefusal> {
        let truth = self.host(host);
        let mut why = vec![];
        if truth.epoch.is_some_and(|seen| intent.epoch < seen) {
            why.push(GuardRefusal::Epoch(truth.epoch.expect("just seen")));
        }
        let in_time = |until: HostTime| until.boot == truth.boot && truth.uptime(self.now) < until.uptime;
        if !intent.good_until.is_some_and(in_time) && !mutants::has(Mutant::GuardForgetsTime) {
            why.push(GuardRefusal::Late);
        }
        let processes = self.present_on(host).count();
        if mutants::has(Mutant::GuardIsBlind) {
            return why;
        }
        if processes > 0 {
            why.push(GuardRefusal::Qemu { count: u32::try_from(processes).unwrap_or(u32::MAX) });
        }
        if self.flows.iter().any(|flow| flow.from == host || flow.to == host) {
            why.push(GuardRefusal::Job);
        }
        let people = truth.active_people(self.now, self.nature.login_idle);
        if people > 0 {
            why.push(GuardRefusal::People { count: u32::try_from(people).unwrap_or(u32::MAX) });
        }
        let starts = |vm: &&usize| self.vms[**vm].autostart_at == Some(host);
        let autostarts = truth.vms.iter().filter(starts).count();
        if autostarts > 0 {
            why.push(GuardRefusal::Autostart { count: u32::try_from(autostarts).unwrap_or(u32::MAX) });
        }
        why.extend(truth.blocks.iter().cloned().map(GuardRefusal::Inhibitor));
        why
    }

    fn migrate(&mut self, intent: &Intent, from: HostId, to: HostId) {
        let now = self.now;
        if self.host(from).faults.is_frozen(now) {
            // Accepted, never answered: the call ends at its deadline.
            return;
        }
        let Some(index) = intent.vm.and_then(|uuid| self.index_of(uuid)) else {
            return self.fails(intent, "domain not found");
        };
        let vm = &self.vms[index];
        let (uuid, mem) = (vm.spec.uuid, vm.spec.mem);
        let target = self.host(to);
        let why = if vm.flow.is_some() {
            Some("another migration job is already running")
        } else if !vm
            .copy_on(from)
            .is_some_and(|state| matches!(state, DomainState::Running | DomainState::Paused))
        {
            Some("domain is not running")
        } else if vm.spec.local_disk {
            Some("migration of disks is not supported")
        } else if target.power != Power::On
            || target.faults.is_frozen(now)
            || self.faults.are_apart(from, to, now)
        {
            Some("unable to connect to the destination")
        } else if target.faults.share_missing {
            Some("cannot access storage file")
        } else if target.spec.lacks(&vm.spec.devices).is_some() {
            Some("Cannot get interface MTU: No such device")
        } else if vm.copy_on(to).is_some_and(DomainState::is_present) {
            Some("domain is already active")
        } else if self.free_memory(to) < mem {
            Some("cannot allocate memory")
        } else {
            None
        };
        let lacks = target.faults.lacks;
        match why {
            Some(why) => self.fails(intent, why),
            None if let Some(lacks) = lacks => {
                let error = OutcomeError::Unfit { lacks, why: "unsupported configuration".to_owned() };
                self.answer(intent.id, Outcome::Failed(error));
            }
            None if self.faults.move_fails(uuid) => {
                self.fails(intent, "operation failed: migration job: unexpectedly failed")
            }
            None => {
                // Nobody who leads has asked for it: it is a stranger's move.
                let ours = (!self.orphans.contains(&intent.id)).then_some(intent.id);
                self.begin_flow(index, from, to, ours);
            }
        }
    }

    fn free_memory(&self, host: HostId) -> Mib {
        self.host(host).spec.mem.saturating_sub(self.mem_used(host))
    }

    fn start(&mut self, intent: &Intent, host: HostId) {
        let Some(index) = intent.vm.and_then(|uuid| self.index_of(uuid)) else {
            return self.fails(intent, "domain not found");
        };
        if self.vms[index].copy_on(host).is_some_and(DomainState::is_present) {
            return self.fails(intent, "domain is already running");
        }
        if self.free_memory(host) < self.vms[index].spec.mem {
            return self.fails(intent, "cannot allocate memory");
        }
        self.start_on(index, host);
        self.answer(intent.id, Outcome::Done { downtime: None });
    }

    fn stop(&mut self, intent: &Intent, host: HostId) {
        let index = intent
            .vm
            .and_then(|uuid| self.index_of(uuid))
            .filter(|vm| self.vms[*vm].lives_on() == Some(host));
        let Some(index) = index else { return self.fails(intent, "domain is not running") };
        let uuid = self.vms[index].spec.uuid;
        self.stop_by_hand(uuid);
        self.answer(intent.id, Outcome::Done { downtime: None });
    }

    /// A move begins: memory is taken at the destination, links are shared anew.
    pub(super) fn begin_flow(&mut self, index: usize, from: HostId, to: HostId, intent: Option<IntentId>) {
        let id = FlowId(self.next_flow);
        self.next_flow += 1;
        let spec = &self.vms[index].spec;
        let (uuid, mem, dirty) = (spec.uuid, spec.mem.0, spec.dirty_mib_s);
        let stuck = self.faults.stuck.contains(&uuid);
        let flow = Flow::new(id, index, from, to, mem, dirty, self.now).with_intent(intent).with_stuck(stuck);
        self.settle(from);
        self.settle(to);
        self.flows.push(flow);
        self.vms[index].flow = Some(id);
        self.set_copy(index, to, DomainState::PausedMigrating);
        self.recount(from);
        self.note(Note::MoveStarted { vm: uuid, from, to, intent });
        if let Some(intent) = intent {
            self.later(PROGRESS_WATCH, Timer::CallDeadline(intent));
        }
        self.flows_changed();
    }

    /// A move of ours, begun without a manager.
    #[cfg(test)]
    pub(crate) fn begin_test_move(&mut self, vm: usize, from: HostId, to: HostId, intent: u64) {
        self.begin_flow(vm, from, to, Some(IntentId(intent)));
    }

    /// Rates anew, and one timer for the first flow that has something to do.
    pub(super) fn flows_changed(&mut self) {
        let now = self.now;
        for flow in &mut self.flows {
            flow.settle(now);
        }
        let hosts = &self.hosts;
        share_links(&mut self.flows, |host| hosts[host.index()].spec.link);
        self.flow_generation += 1;
        let due = self.flows.iter().map(Flow::due).min().filter(|due| due.0 < u64::MAX);
        if let Some(due) = due {
            let generation = self.flow_generation;
            self.outbox.timers.push((due.max(now), Timer::Flows { generation }));
        }
    }

    pub(super) fn flows_due(&mut self) {
        let now = self.now;
        for flow in &mut self.flows {
            flow.settle(now);
        }
        let due: Vec<FlowId> =
            self.flows.iter().filter(|flow| flow.due() <= now).map(|flow| flow.id).collect();
        for id in due {
            let Some(flow) = self.flows.iter_mut().find(|flow| flow.id == id) else { continue };
            let (vm, from) = (flow.vm, flow.from);
            match flow.step(now) {
                FlowStep::Goes => {}
                // A VM paused by its user stays so; the copy at the source is held only if it ran.
                FlowStep::Held if self.vms[vm].copy_on(from) == Some(DomainState::Running) => {
                    self.set_copy(vm, from, DomainState::PausedMigrating);
                }
                FlowStep::Held => {}
                FlowStep::Done { downtime } => self.hand_over(id, downtime),
            }
        }
        self.flows_changed();
    }

    pub(super) fn end_flow(&mut self, id: FlowId, end: MoveEnd) {
        self.end_flow_with(id, end, None);
    }

    /// A move is over: one copy is left, or none.
    pub(super) fn end_flow_with(&mut self, id: FlowId, end: MoveEnd, error: Option<OutcomeError>) {
        let Some(place) = self.flows.iter().position(|flow| flow.id == id) else { return };
        let flow = self.flows[place].clone();
        let (vm, from, to) = (flow.vm, flow.from, flow.to);
        self.settle(from);
        self.settle(to);
        self.flows.remove(place);
        self.vms[vm].flow = None;
        let took = self.now.since(flow.started);
        let paused = self.vms[vm].copy_on(from) == Some(DomainState::Paused);
        self.sums_of_move(vm, took, end);
        let outcome = match end {
            MoveEnd::Done { downtime } => {
                self.drop_copy(vm, from);
                self.set_copy(vm, to, if paused { DomainState::Paused } else { DomainState::Running });
                let worst = self.vms[vm].worst_downtime.max(downtime);
                self.vms[vm].worst_downtime = worst;
                Outcome::Done { downtime: Some(downtime) }
            }
            MoveEnd::Stayed(why) => {
                self.drop_copy(vm, to);
                if self.vms[vm].copy_on(from) == Some(DomainState::PausedMigrating) {
                    self.set_copy(vm, from, DomainState::Running);
                }
                Outcome::Failed(error.unwrap_or_else(|| OutcomeError::Driver(why.to_owned())))
            }
            MoveEnd::Cut => Outcome::Unsure("the hosts lost each other in the hand-over".to_owned()),
            MoveEnd::Lost => {
                self.drop_copy(vm, to);
                Outcome::Unsure("the connection to the source broke".to_owned())
            }
        };
        self.recount(from);
        self.recount(to);
        let uuid = self.vms[vm].spec.uuid;
        self.note(Note::MoveEnded { vm: uuid, from, to, intent: flow.intent, end, took });
        if let Some(intent) = flow.intent {
            self.answer(intent, outcome);
        }
        self.flows_changed();
    }

    /// What a move cost its VM.
    fn sums_of_move(&mut self, vm: usize, took: Millis, end: MoveEnd) {
        let demand = u128::from(self.vms[vm].demand.0);
        let downtime = if let MoveEnd::Done { downtime } = end { downtime } else { Millis::ZERO };
        self.sums.moved_loss += demand * u128::from(took.0) / u128::from(super::energy::MOVE_COST_DIVISOR);
        self.sums.moved_loss += demand * u128::from(downtime.0);
    }
}
