//! Hosts coming up and going down: by order, by hand, by accident.

use crate::note::{MoveEnd, Note};
use dormouse_control::mutants::{self, Mutant};
use dormouse_model::{DomainState, HostId, Intent, IntentId, Millis, Outcome, OutcomeError};
use uuid::Uuid;

use super::fault::Control;
use super::{Power, Timer, World};

/// Between the off command and the second time that off is read.
const READ_BACK: Millis = Millis::from_secs(10);

impl World {
    fn set_power(&mut self, host: HostId, to: Power, cause: &'static str) {
        let from = self.host(host).power;
        self.settle(host);
        let truth = self.host_mut(host);
        truth.power = to;
        truth.generation += 1;
        self.recount(host);
        self.awake_changed();
        self.note(Note::Power { host, from, to, cause });
    }

    /// A magic packet on the wire. Only a host that is off, has mains and listens hears it.
    pub(super) fn wake_packet(&mut self, host: HostId) {
        self.note(Note::WakeSent { host });
        let now = self.now;
        let truth = self.host_mut(host);
        if truth.power == Power::Off && !truth.faults.is_deaf(now) && !truth.faults.wake_lost.strike() {
            self.boot(host, "wake");
        }
    }

    /// A wake outside any intent.
    pub(crate) fn wake_alone(&mut self, host: HostId) {
        self.wake_packet(host);
    }

    pub(crate) fn boot(&mut self, host: HostId, cause: &'static str) {
        self.set_power(host, Power::Booting, cause);
        let spec = self.host(host).spec.boot;
        let faults = &self.host(host).faults;
        let (slow, hangs) = (faults.boot_slow, faults.boot_hangs);
        let outside = if mutants::has(Mutant::OutsideChance) { mutants::outside() % 1000 } else { 0 };
        let takes = self.jittered(spec) + slow + Millis(outside);
        let generation = self.host(host).generation;
        match hangs {
            Some(None) => {}
            Some(Some(span)) => self.later(takes + span, Timer::Booted { host, generation }),
            None => self.later(takes, Timer::Booted { host, generation }),
        }
    }

    pub(super) fn booted(&mut self, host: HostId) {
        let now = self.now;
        let truth = self.host_mut(host);
        truth.boots += 1;
        truth.up_since = now;
        truth.boot = Uuid::new_v5(&truth.machine, format!("boot {}", truth.boots).as_bytes());
        truth.people.clear();
        truth.load = super::load::LoadAverage::steady(dormouse_model::MilliCpu::ZERO);
        self.set_power(host, Power::On, "booted");
        let stopped = |vm: &usize| self.vms[*vm].copy_on(host) == Some(DomainState::ShutOff);
        let held: Vec<usize> = self.host(host).vms.iter().copied().filter(stopped).collect();
        // It asks no other host whether they run there.
        for vm in held.into_iter().filter(|vm| self.vms[*vm].autostart_at == Some(host)).collect::<Vec<_>>() {
            self.start_on(vm, host);
        }
    }

    /// The doors are closed; it goes off in its own time.
    pub(super) fn go_down(&mut self, host: HostId, cause: &'static str) {
        self.set_power(host, Power::Stopping, cause);
        let takes = self.host(host).spec.shutdown;
        let takes = self.jittered(takes);
        let generation = self.host(host).generation;
        self.later(takes, Timer::GoneOff { host, generation });
    }

    pub(super) fn gone_off(&mut self, host: HostId) {
        // Whatever runs there dies with it; the guard should have seen to it that nothing does.
        self.vms_die(host);
        self.set_power(host, Power::Off, "shutdown");
    }

    /// A power cut: everything there ends at once.
    pub(crate) fn die(&mut self, host: HostId, cause: &'static str) {
        if self.host(host).power != Power::Dead {
            self.set_power(host, Power::Dead, cause);
            self.vms_die(host);
        }
    }

    /// It is off from one moment to the next, and could be woken.
    pub(crate) fn drop_off(&mut self, host: HostId, cause: &'static str) {
        if matches!(self.host(host).power, Power::On | Power::Booting | Power::Stopping) {
            self.set_power(host, Power::Off, cause);
            self.vms_die(host);
        }
    }

    /// The power control switches it off without asking anybody on it. It has a link and mains of its own as long as the
    /// host has mains.
    pub(super) fn fence(&mut self, intent: &Intent, host: HostId) {
        let refused = |why: &str| Outcome::Failed(OutcomeError::Driver(why.to_owned()));
        match self.host(host).faults.control {
            _ if self.host(host).power == Power::Dead => {}
            Some(Control::Password) => {
                self.answer(intent.id, refused("the power control refused our password"));
            }
            Some(Control::Certificate) => {
                self.answer(intent.id, refused("the certificate of the power control is not the pinned one"));
            }
            Some(Control::Lies) => self.answer(intent.id, Outcome::Done { downtime: None }),
            None => {
                self.drop_off(host, "fence");
                self.later(READ_BACK, Timer::ReadBack { intent: intent.id, host });
            }
        }
    }

    /// Off was read for the second time, or was not.
    pub(super) fn read_back(&mut self, intent: IntentId, host: HostId) {
        if self.host(host).power == Power::Off {
            self.note(Note::ProvedOff { host });
            self.answer(intent, Outcome::Done { downtime: None });
        } else {
            self.answer(intent, Outcome::Failed(OutcomeError::Driver("it is on again".to_owned())));
        }
    }

    /// Mains return: as most servers are set up, it boots by itself.
    pub(crate) fn revive(&mut self, host: HostId) {
        if self.host(host).power == Power::Dead {
            self.boot(host, "mains");
        }
    }

    /// Ends every move that touches the host and every copy that was in its memory.
    fn vms_die(&mut self, host: HostId) {
        let touched: Vec<_> =
            self.flows.iter().filter(|flow| flow.from == host || flow.to == host).map(|f| f.id).collect();
        for flow in touched {
            let source_died = self.flows.iter().any(|f| f.id == flow && f.from == host);
            if source_died {
                // The destination has no whole copy: it is thrown away (fault M01).
                self.end_flow(flow, MoveEnd::Lost);
            } else {
                self.end_flow(flow, MoveEnd::Stayed("destination died"));
            }
        }
        let held: Vec<usize> = self.host(host).vms.iter().copied().collect();
        for vm in held {
            if self.vms[vm].copy_on(host).is_some_and(DomainState::is_present) {
                let uuid = self.vms[vm].spec.uuid;
                self.vms[vm].was_lost = true;
                if mutants::has(Mutant::LosesDefinitions) && self.vms[vm].spec.at != host {
                    self.drop_copy(vm, host);
                } else {
                    self.set_copy(vm, host, DomainState::ShutOff);
                }
                self.note(Note::VmLost { vm: uuid, at: host });
            }
        }
    }

    /// Someone presses the button: an orderly shutdown that asks nobody, or a start.
    pub(crate) fn switch_by_hand(&mut self, host: HostId, on: bool) {
        match (on, self.host(host).power) {
            (true, Power::Off) => self.boot(host, "by hand"),
            (false, Power::On) => {
                self.vms_die(host);
                self.go_down(host, "by hand");
            }
            _ => {}
        }
    }

    /// It crashes and comes back by itself.
    pub(crate) fn reboot(&mut self, host: HostId) {
        if self.host(host).power == Power::On {
            self.die(host, "crash");
            self.boot(host, "restart");
        }
    }

    /// A boot that hung goes on, now that the cause is gone.
    pub(crate) fn end_hang(&mut self, host: HostId) {
        if self.host_mut(host).faults.boot_hangs.take().is_some() && self.host(host).power == Power::Booting {
            let generation = self.host(host).generation;
            let spec = self.host(host).spec.boot;
            self.later(spec, Timer::Booted { host, generation });
        }
    }
}
