//! What is judged: each effect as it comes, and what is left in the end.

use super::{Court, Stage};
use dormouse_control::{Effect, Event, LogEvent};
use dormouse_model::{
    Action, Epoch, HostId, HostState, Intent, IntentId, Millis, Mono, Observation, PlanId, StepId,
};

impl Court {
    pub(crate) fn send(&mut self, event: Event) {
        let frozen = self.controller.is_frozen();
        match &event {
            Event::Tick => {}
            Event::Observed(Observation { id, host, result, .. }) => {
                self.trail.push(format!("{} > {id} {host} good={}", self.now.mono.0, result.is_ok()));
            }
            other => self.trail.push(format!("{} > {other:?}", self.now.mono.0)),
        }
        // A look that is overdue has failed by now: its answer would come too late.
        let effects = self.controller.handle(self.now, event);
        let overdue = Millis::from_secs(10);
        let late: Vec<_> = self
            .looks
            .iter()
            .filter(|(_, (_, asked, _))| self.now.mono.since(*asked) > overdue)
            .map(|(host, _)| *host)
            .collect();
        for host in late {
            self.looks.remove(&host);
            self.seen.remove(&host);
        }
        for effect in effects {
            self.number += 1;
            match &effect {
                Effect::Look { .. }
                | Effect::RememberHost(_)
                | Effect::RememberVm(_)
                | Effect::RememberDemand(_) => {}
                Effect::Tell(event) => self.trail.push(format!("{} < {event}", self.now.mono.0)),
                other => self.trail.push(format!("{} < {other:?}", self.now.mono.0)),
            }
            self.judge(effect, frozen);
        }
        self.law(self.controller.next_tick() > self.now.mono, "the next tick lies ahead");
    }

    fn law(&self, holds: bool, law: &str) {
        let from = self.trail.len().saturating_sub(60);
        assert!(holds, "{law}\n{}", self.trail[from..].join("\n"));
    }

    pub(crate) fn judge(&mut self, effect: Effect, frozen: bool) {
        match effect {
            Effect::Look { id, host, .. } => {
                let double = self.looks.insert(host, (id, self.now.mono, self.number)).is_some();
                self.law(!double, "one look at a host at a time");
            }
            Effect::Write(intent) => {
                self.law(self.leads && intent.epoch == self.epoch, "only who leads writes, in its own epoch");
                self.law(self.books.keys().all(|id| *id < intent.id), "ids of intents rise");
                self.books.insert(intent.id, (intent, Stage::Written));
            }
            Effect::Act(intent) => self.judge_act(&intent, frozen),
            Effect::Abort(_) | Effect::Settle(_) => self.law(self.leads, "only who leads touches a move"),
            Effect::Close { intent, .. } => {
                let stage = self.books.get(&intent).map(|(_, stage)| *stage);
                self.law(
                    matches!(stage, Some(Stage::Durable | Stage::Acted)),
                    "one outcome, for what was written",
                );
                self.book(intent, Stage::Closed);
            }
            Effect::RememberHost(memory) => {
                self.hosts_memory.insert(memory.host.clone(), memory);
            }
            Effect::RememberVm(memory) => {
                self.vms_memory.insert(memory.vm, memory);
            }
            Effect::RememberManager(memory) => self.manager_memory = memory,
            Effect::RememberDemand(batch) => self.demand.extend(batch.rows),
            Effect::Tell(event) => self.told(&event),
            Effect::WakeAlone(_) => {
                self.law(false, "nobody acts without a store who was not told that he may")
            }
        }
    }

    fn told(&mut self, event: &LogEvent) {
        if event.name == "plan.asked" {
            self.asked.insert(event.field("plan").expect("a plan has a number").to_owned());
        }
        if event.name != "host.state" {
            return;
        }
        let host = event
            .field("host")
            .and_then(|name| self.cluster.host_named(name))
            .expect("a host of the test")
            .index();
        let named = |key: &str| {
            HostState::ALL
                .into_iter()
                .find(|state| event.field(key) == Some(state.as_str()))
                .expect("a state")
        };
        let (from, to) = (named("from"), named("to"));
        self.law(self.states[host] == from && from.may_become(to), "hosts move along the edges of the table");
        self.states[host] = to;
        if to == HostState::Draining {
            self.draining_at[host] = self.number;
        }
    }

    fn judge_act(&mut self, intent: &Intent, frozen: bool) {
        *self.acts.entry(intent.action.kind()).or_default() += 1;
        let (written, stage) =
            self.books.get(&intent.id).cloned().unwrap_or((intent.clone(), Stage::Refused));
        self.law(
            stage == Stage::Durable && written == Intent { good_until: None, ..intent.clone() },
            "an act follows its own durable intent, once",
        );
        self.law(self.leads && intent.epoch == self.epoch, "an act carries the epoch in force");
        self.law(self.until > self.now.mono + Millis::from_secs(2), "the lease outlives the start of an act");
        if intent.action.is_destructive() {
            self.law(!frozen, "nothing destructive while frozen");
            self.law(
                self.paused.is_none() || self.asked.contains(&intent.plan.0.to_string()),
                "nothing destructive while paused, unless a person asked for it",
            );
        }
        let running: Vec<Intent> =
            self.at_stage(Stage::Acted).iter().map(|id| self.books[id].0.clone()).collect();
        let busy = |wanted: HostId| running.iter().any(|other| other.action.hosts().contains(&wanted));
        match intent.action {
            Action::Migrate { from, to, .. } => {
                self.law(running.iter().all(|other| other.vm != intent.vm), "one effect on a VM at a time");
                let count = |of: fn(&Action) -> Option<(HostId, HostId)>,
                             at: (Option<HostId>, Option<HostId>)| {
                    running
                        .iter()
                        .filter_map(|other| of(&other.action))
                        .filter(|(from, to)| {
                            at.0.is_none_or(|host| host == *from) && at.1.is_none_or(|host| host == *to)
                        })
                        .count()
                };
                let ends: fn(&Action) -> Option<(HostId, HostId)> = |action| match action {
                    Action::Migrate { from, to, .. } => Some((*from, *to)),
                    _ => None,
                };
                self.law(
                    count(ends, (Some(from), None)) < 2 && count(ends, (None, Some(to))) < 2,
                    "two moves out and two in",
                );
                self.law(self.states[to.index()] == HostState::On, "a move goes to a host that is on");
            }
            Action::Sleep { host } => {
                let index = host.index();
                self.law(self.cluster.hosts[index].role.is_none(), "hosts with a role stay on");
                self.law(
                    self.states[index] == HostState::Draining,
                    "only a host marked draining goes to sleep",
                );
                let seen = self.seen.get(&host).copied();
                self.law(
                    seen.is_some_and(|seen| {
                        seen.good
                            && seen.empty
                            && !seen.people
                            && seen.number > self.draining_at[index]
                            && self.now.mono.since(seen.asked) <= Millis::from_secs(10)
                    }),
                    "a fresh good look, asked for after draining, shows it empty",
                );
                self.law(!busy(host), "no effect of ours aims at it");
                // Hosts here came up as time began.
                let latest = self.now.mono.since(Mono::ZERO) + Millis::from_secs(30);
                let bounded = intent.good_until.is_some_and(|until| until.uptime <= latest);
                self.law(bounded, "an off command is good for half a minute");
                self.sleeps.retain(|at| self.now.mono.since(*at) < Millis::from_mins(10));
                self.sleeps.push(self.now.mono);
                self.law(self.sleeps.len() <= 2, "sleeps keep their budget");
            }
            Action::Wake { .. } => {
                self.wakes.retain(|at| self.now.mono.since(*at) < Millis::from_secs(10));
                self.wakes.push(self.now.mono);
                self.law(self.wakes.len() <= 2, "wakes keep their budget");
            }
            Action::Start { .. } | Action::Stop { .. } | Action::Fence { .. } => {
                panic!("nobody asked for that")
            }
        }
        self.book(intent.id, Stage::Acted);
    }

    /// After all is healed nothing is left open, drained or frozen.
    pub(crate) fn adjourn(&self) {
        let open = [Stage::Written, Stage::Durable, Stage::Acted].map(|stage| self.at_stage(stage)).concat();
        let known: Vec<_> = self.controller.in_flight().map(|intent| intent.id).collect();
        self.law(
            open.iter().all(|id| known.contains(id)) && open.len() < 3,
            &format!("intents stay open: {open:?}"),
        );
        self.law(!self.controller.is_frozen(), "frozen for ever");
        let picture = self.controller.snapshot(self.now);
        for (index, host) in picture.hosts.iter().enumerate() {
            let own =
                host.state == HostState::Draining && !host.drain && host.in_state > Millis::from_mins(5);
            self.law(!own, &format!("{} stays drained", host.spec.name));
            let answers = self.world[index].up
                && matches!(
                    host.state,
                    HostState::Asleep | HostState::Off | HostState::Unknown | HostState::Unusable
                );
            self.law(
                !answers || host.in_state < Millis::from_mins(2),
                &format!("{} answers and is {}", host.spec.name, host.state),
            );
        }
    }

    pub(crate) fn acted(&self, kind: &str) -> u32 {
        self.acts.get(kind).copied().unwrap_or(0)
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// An intent that the controller knows nothing of, to try the judge with.
    pub(crate) fn forged(&self, action: Action) -> Intent {
        Intent {
            id: IntentId(999),
            epoch: self.epoch,
            plan: PlanId(1),
            step: StepId(0),
            action,
            vm: None,
            deadline: Millis(1000),
            written: self.now.mono,
            good_until: None,
        }
    }

    pub(crate) fn durable_unheard(&mut self, id: IntentId) {
        self.book(id, Stage::Durable);
    }
}
