//! A person's word. It passes the same gate as a plan; what it cannot have is said at once, with the reason.

use crate::controller::Controller;
use crate::hosts::ahead;
use crate::{Effect, KeptAutomation, KeptNormalise, KeptPause, Level, LogEvent, ManagerMemory, Now, Order};
use dormouse_model::{Action, HostId, HostState, Millis, Mono, Plan, VmState};

/// More than these do not wait for their turn.
const ORDERS_MAX: usize = 64;

impl Controller {
    pub(crate) fn ordered(&mut self, by: String, order: Order) {
        let event = LogEvent::new(Level::Info, "order").with("by", &by).with("order", order.word());
        self.tell(event);
        match order {
            Order::Pause { until } => {
                self.paused = Some(until);
                self.remember_manager();
                self.drop_run("paused");
            }
            Order::Resume => {
                self.paused = None;
                self.normalise = None;
                self.remember_manager();
                self.thaw();
                self.goal_checked = Mono::ZERO;
                self.plan_due = self.now.mono;
            }
            Order::Normalise => {
                self.normalise = Some(self.window_name(self.now));
                self.remember_manager();
                self.goal_checked = Mono::ZERO;
                self.plan_due = self.now.mono;
            }
            Order::Apply => {
                self.apply = true;
                self.plan_due = self.now.mono;
            }
            Order::Refresh { hosts } => {
                let all: Vec<HostId> = if hosts.is_empty() { self.host_ids().collect() } else { hosts };
                for id in all {
                    self.look_soon(id);
                }
            }
            Order::Drain { host } => self.drain(host, false),
            Order::Sleep { host } => self.drain(host, true),
            Order::Clear { host } => {
                self.ways_anew(host);
                self.proof_anew(host);
                self.clear(host);
            }
            Order::Maintenance { host, on } => {
                self.host_mut(host).maintenance = on;
                self.remember_host(host);
                self.disturb(host, "maintenance");
            }
            Order::SayOff { host } => self.say_off(host),
            Order::Fence { host } => self.fence(host, &by),
            Order::Automation(automation) => {
                self.settings.automation = automation;
                // A plan that was only told may now be carried out.
                self.planned_for = None;
                self.remember_manager();
                // An `apply` was meant for the automation of its time.
                self.apply = false;
                if automation != crate::Automation::Auto {
                    self.drop_run("automation");
                }
            }
            Order::Wake { .. } | Order::Move { .. } if self.leads.is_none() => {
                self.refuse("this manager does not lead".to_owned());
            }
            Order::Wake { .. } | Order::Move { .. } if self.orders.len() >= ORDERS_MAX => {
                self.refuse(format!("{ORDERS_MAX} orders are waiting already"));
            }
            order @ (Order::Wake { .. } | Order::Move { .. }) => self.orders.push_back((by, order)),
        }
    }

    /// Takes up what an operator had set before we were started.
    pub(crate) fn take_up(&mut self, memory: ManagerMemory) {
        let automation = memory.automation.filter(|kept| kept.instead_of == self.configured);
        if let Some(kept) = automation {
            self.settings.automation = kept.set;
            self.tell(LogEvent::new(Level::Info, "kept").with("automation", kept.set));
        }
        let now_s = self.now.wall.as_second();
        let normalise = memory.normalise.filter(|kept| kept.until.is_none_or(|until| now_s < until));
        if let Some(kept) = normalise {
            self.normalise = Some(kept.window);
            self.tell(LogEvent::new(Level::Info, "kept").with("order", "normalise"));
        }
        let rate = i64::from(self.settings.calendar_rate.max(1));
        let left_ms = |until: i64| u64::try_from(until.saturating_sub(now_s) * 1000 / rate).unwrap_or(0);
        let pause = memory.pause.filter(|kept| kept.until.is_none_or(|until| now_s < until));
        if let Some(kept) = pause {
            self.paused = Some(kept.until.map(|until| self.now.mono + Millis(left_ms(until))));
            self.tell(LogEvent::new(Level::Info, "kept").with("order", "pause"));
        }
        self.remember_manager();
    }

    /// Has what an operator set written down, when it changed.
    pub(crate) fn remember_manager(&mut self) {
        let (set, instead_of) = (self.settings.automation, self.configured);
        let until = |now: Now| self.cluster.schedule.at(now.wall).until.map(|until| until.as_second());
        let rate = self.settings.calendar_rate.max(1);
        let pause =
            |until: Option<Mono>| KeptPause { until: until.map(|until| ahead(self.now, until, rate)) };
        let memory = ManagerMemory {
            pause: self.paused.map(pause),
            automation: (set != instead_of).then_some(KeptAutomation { set, instead_of }),
            normalise: self.normalise.clone().map(|window| KeptNormalise { window, until: until(self.now) }),
        };
        if memory != self.remembered {
            self.remembered.clone_from(&memory);
            self.out.push(Effect::RememberManager(memory));
        }
    }

    pub(crate) fn refuse(&mut self, why: String) {
        self.tell(LogEvent::new(Level::Warn, "order.refused").with("why", why));
    }

    fn drain(&mut self, id: HostId, then_sleep: bool) {
        let host = self.host(id);
        if then_sleep && host.spec.role.is_some() {
            let why = format!("{} has a role and is never switched off", host.spec.name);
            return self.refuse(why);
        }
        match host.state {
            HostState::On => self.set_state(id, HostState::Draining, "operator"),
            HostState::Draining => {}
            HostState::Asleep | HostState::Stopping if then_sleep => return,
            state => {
                let why = format!("{} is {state}", self.host_name(id));
                return self.refuse(why);
            }
        }
        let host = self.host_mut(id);
        host.drain = true;
        host.sleep_asked = then_sleep;
        self.remember_host(id);
        self.disturb(id, "drain");
        self.plan_due = self.now.mono;
    }

    fn clear(&mut self, id: HostId) {
        let now = self.now.mono;
        let host = self.host_mut(id);
        let drained = std::mem::take(&mut host.drain);
        host.sleep_asked = false;
        host.maintenance = false;
        let draining = host.state == HostState::Draining;
        let busy = self.has_flight_on(id);
        if draining && !busy {
            self.set_state(id, HostState::On, "cleared");
        }
        self.trust_again(id, "cleared");
        if draining && busy && drained {
            // It opens when that has ended. A plan that put it to sleep meanwhile would take the person's word back.
            let knobs = &self.cluster.policy.knobs;
            let rests = now + knobs.scaled(knobs.min_up);
            self.host_mut(id).rest_until = rests;
            self.remember_host(id);
        }
        self.disturb(id, "cleared");
    }

    /// Only a host that does not answer can be said to be off: one that answers shows the contrary.
    fn say_off(&mut self, id: HostId) {
        let host = self.host(id);
        let silent = host.misses > 0 || host.state == HostState::Asleep;
        match host.state {
            HostState::Unknown | HostState::SetAside | HostState::Asleep if silent => {
                let held = self.vms.forget_host(id);
                self.set_state(id, HostState::Off, "operator");
                for vm in held {
                    self.judge_vm(vm);
                }
                self.host_mut(id).wake = None;
                self.slept_after_all(id);
                self.remember_host(id);
            }
            state => {
                let why = format!("{} is {state}: it answers, or did a moment ago", self.host_name(id));
                self.refuse(why);
            }
        }
    }

    /// The next plan of one step that was asked for, or that follows from an order.
    pub(crate) fn next_order(&mut self) -> Option<(Plan, String)> {
        while let Some((by, order)) = self.orders.pop_front() {
            match self.plan_for(&order) {
                Ok(plan) => return Some((plan, by)),
                Err(why) => self.refuse(why),
            }
        }
        // A host that was to sleep and has become empty.
        let now = self.now.mono;
        let id = self.host_ids().find(|id| {
            let host = self.host(*id);
            host.sleep_asked
                && host.state == HostState::Draining
                && !self.holds_vm(*id)
                && host.obstacles(now, &self.settings).is_empty()
        })?;
        self.host_mut(id).sleep_asked = false;
        Some((self.single(Action::Sleep { host: id }, self.settings.t_off), "operator".to_owned()))
    }

    fn plan_for(&self, order: &Order) -> Result<Plan, String> {
        match order {
            Order::Wake { host } => match self.host(*host).state {
                HostState::Asleep | HostState::Off => {
                    Ok(self.single(Action::Wake { host: *host }, self.settings.t_on))
                }
                state => Err(format!("{} is {state}: there is nothing to wake", self.host_name(*host))),
            },
            Order::Move { vm, to } => {
                let from = match self.vms.record(*vm).state {
                    VmState::Running { at } | VmState::Paused { at } => at,
                    ref state => return Err(format!("{} is {}", self.vm_name(*vm), state.as_str())),
                };
                if from == *to {
                    return Err(format!("{} is on {} already", self.vm_name(*vm), self.host_name(*to)));
                }
                let time = self.vms.record(*vm).spec.mem.transfer_time(self.host(*to).spec.link);
                let deadline = Millis(time.0.saturating_mul(10)).max(Millis::from_secs(60));
                let plan = self.single(Action::Migrate { vm: *vm, from, to: *to }, deadline);
                let mut picture = self.picture(self.now, true);
                // A person may try again what we let rest.
                picture.vm_mut(*vm).barred.clear();
                match dormouse_planner::check(&picture, &plan).first() {
                    Some(violation) => {
                        let (vm, to) = (self.vm_name(*vm), self.host_name(*to));
                        Err(format!("{vm} cannot go to {to}: {violation}"))
                    }
                    None => Ok(plan),
                }
            }
            other => Err(format!("{} needs no plan", other.word())),
        }
    }
}

impl Order {
    /// One stable word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::Normalise => "normalise",
            Self::Apply => "apply",
            Self::Refresh { .. } => "refresh",
            Self::Drain { .. } => "drain",
            Self::Clear { .. } => "clear",
            Self::Maintenance { .. } => "maintenance",
            Self::Wake { .. } => "wake",
            Self::Sleep { .. } => "sleep",
            Self::SayOff { .. } => "say-off",
            Self::Fence { .. } => "fence",
            Self::Move { .. } => "move",
            Self::Automation(_) => "automation",
        }
    }
}
