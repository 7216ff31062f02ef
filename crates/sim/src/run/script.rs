//! What a script, or a person at a screen, does to a run.

use dormouse_control::Order;
use dormouse_model::schedule::Schedule;
use dormouse_model::{HostId, Millis};
use std::sync::Arc;

use super::{Happening, Sim};
use crate::note::Note;
use crate::script::{Action, ByHand, CrashPoint, Operator, Timed};
use crate::world::{Fault, Power};

/// Reading the settings and beginning again takes so long.
const RELOAD: Millis = Millis(1000);

impl Sim {
    /// A line of the script.
    pub(super) fn acts(&mut self, index: usize) {
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
            Action::Fault(Fault::ManagerFrozen { span }) if self.controller.is_some() => {
                self.frozen_until = self.frozen_until.max(self.now + span);
            }
            Action::Fault(fault) => self.world.inject(&fault),
            Action::Heal(host) => {
                self.world.heal(host);
                if host.is_none() {
                    self.crash_at = None;
                    self.frozen_until = self.now;
                    self.thaws();
                    self.starts();
                    self.notes.push(Note::Healed);
                }
            }
            Action::Crash(crash) if crash.point == CrashPoint::Now => self.falls(crash),
            Action::Crash(crash) => self.crash_at = Some(crash),
            Action::Operator(Operator::FenceIfOff { host })
                if !matches!(self.world.host(host).power, Power::Off | Power::Dead) => {}
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
            Action::Window(schedule) => self.reload(*schedule),
            Action::Close => self.order(None, Order::Resume),
            Action::Open => self.order(None, Order::Normalise),
        }
    }

    fn order(&mut self, host: Option<HostId>, order: Order) {
        if self.controller.is_none() {
            return; // nobody hears it, and the verb says so
        }
        let incarnation = self.incarnation;
        self.happens(Happening::Orders { incarnation, host, order });
    }

    /// New settings: the daemon ends and begins again with what it remembers, and only the calendar is another.
    fn reload(&mut self, schedule: Schedule) {
        Arc::make_mut(&mut self.cluster).schedule = schedule;
        if self.controller.is_some() {
            self.crash(RELOAD, None);
        }
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
            ByHand::Crash(vm) => self.world.crash(vm),
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
}
