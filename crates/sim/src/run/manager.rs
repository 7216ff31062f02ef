//! The manager's side of a run: it starts, leads, dies, and what its controller wants is carried out.

use dormouse_control::{Controller, Effect, Event};
use dormouse_model::{
    Epoch, HostId, IntentId, Millis, Mono, Observation, ObservationId, Outcome, ProbeError,
};
use std::sync::Arc;

use super::{Happening, Sim};
use crate::note::Note;
use crate::script::{Crash, CrashPoint};
use crate::store::{SYNC, Write};
use crate::world::Probe;

impl Sim {
    pub(super) fn starts(&mut self) {
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
        let picture = controller.snapshot(self.clocks());
        self.belief = picture.hosts.iter().map(|host| host.state).collect();
        self.controller = Some(controller);
        self.leads(epoch);
    }

    fn leads(&mut self, epoch: u64) {
        let (lease, _) = self.lease();
        let until = self.now + lease;
        self.renew_later(epoch);
        self.notes.push(Note::Leased { epoch, until });
        self.give(Event::Leads { epoch: Epoch(epoch), until });
    }

    pub(super) fn renews(&mut self, epoch: u64) {
        if self.world.faults.is_lease_lost(self.now) {
            self.renew_later(epoch);
        } else {
            self.leads(epoch);
        }
    }

    fn renew_later(&mut self, epoch: u64) {
        let (_, renew) = self.lease();
        self.queue.push(self.now + renew, Happening::Renews { incarnation: self.incarnation, epoch });
    }

    /// The manager dies, or only stands still for the span `back`; after a while one begins anew.
    pub(super) fn crash(&mut self, down: Millis, back: Option<Millis>) {
        if let Some(span) = back {
            self.stands_still(span);
        }
        self.controller = None;
        self.frozen_until = Mono::ZERO;
        self.waiting.clear();
        self.incarnation += 1;
        self.store.crash();
        self.world.forget_calls();
        self.notes.push(Note::ManagerDown);
        self.queue.push(self.now + down, Happening::Starts);
    }

    /// As a script wants it.
    pub(super) fn falls(&mut self, crash: Crash) {
        self.crash(crash.down, crash.back);
        if crash.upgrade {
            self.store.as_first_version();
        }
    }

    /// Dies here if a script asked for this point.
    fn crashes_at(&mut self, point: CrashPoint) -> bool {
        let Some(crash) = self.crash_at.filter(|crash| crash.point == point) else { return false };
        if crash.nth > 1 {
            self.crash_at = Some(Crash { nth: crash.nth - 1, ..crash });
            return false;
        }
        self.crash_at = None;
        self.falls(crash);
        true
    }

    /// The controller takes in an event, and what it wants is carried out.
    pub(super) fn give(&mut self, event: Event) {
        let now = self.clocks();
        let Some(controller) = self.controller.as_mut() else { return };
        let effects = controller.handle(now, event);
        let next_tick = controller.next_tick();
        self.notes.push(Note::Handled { effects: effects.len(), next_tick });
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            self.carry_out(effect);
            if self.controller.is_none() {
                // Killed in the middle of its answer: the rest was never sent.
                return self.was_about_to(effects);
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
                if self.crashes_at(CrashPoint::BeforeIntent) {
                    self.was_about_to([Effect::Write(intent)]);
                } else {
                    self.write(Write::Intent(Box::new(intent)));
                }
            }
            Effect::Act(intent) => {
                self.notes.push(Note::Acted(intent.clone()));
                let (late, back) = match self.crash_at {
                    Some(Crash { point: CrashPoint::Late(late), back, .. }) => (late, back),
                    _ => (Millis::ZERO, None),
                };
                if self.crashes_at(CrashPoint::Late(late)) {
                    if back.is_some() {
                        self.was_about_to([Effect::Act(intent)]);
                    } else {
                        self.world.act_late(&intent, late);
                    }
                } else {
                    self.world.act(&intent);
                    self.crashes_at(CrashPoint::AfterEffect);
                }
            }
            Effect::Abort(intent) => self.world.abort(&intent),
            Effect::WakeAlone(host) => self.world.wake_alone(host),
            Effect::Settle(intent) => self.world.settle_move(&intent),
            Effect::Close { intent, outcome } => self.close(intent, outcome),
            Effect::RememberHost(memory) => self.keep(Write::Host(Box::new(memory))),
            Effect::RememberVm(memory) => self.keep(Write::Vm(Box::new(memory))),
            Effect::RememberManager(memory) => self.keep(Write::Manager(Box::new(memory))),
            Effect::RememberDemand(batch) => self.keep(Write::Demand(Box::new(batch))),
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

    /// A record that must outlive the manager; no effect waits for it.
    fn keep(&mut self, record: Write) {
        if !self.crashes_at(CrashPoint::BeforeRecord) {
            self.write(record);
        }
    }

    fn write(&mut self, write: Write) {
        self.queue.push(self.now + SYNC, Happening::Stores { incarnation: self.incarnation, write });
    }

    pub(super) fn stores(&mut self, write: Write) {
        let full = self.world.faults.is_store_full(self.now);
        let (intent, point) = match &write {
            Write::Intent(intent) => (Some(intent.id), CrashPoint::AfterIntent),
            Write::Close(_) => (None, CrashPoint::AfterOutcome),
            _ => (None, CrashPoint::AfterRecord),
        };
        let taken = self.store.take(write, full);
        let Some(intent) = intent else {
            self.crashes_at(point);
            return;
        };
        if taken {
            self.notes.push(Note::Durable(intent));
            if self.crashes_at(CrashPoint::AfterIntent) {
                self.was_about_to_hear(Event::Durable(intent));
            } else {
                self.give(Event::Durable(intent));
            }
        } else {
            self.notes.push(Note::NotDurable(intent));
            self.give(Event::NotDurable { intent, why: "no space left on device".to_owned() });
        }
    }

    pub(super) fn looks(
        &mut self,
        incarnation: u32,
        id: ObservationId,
        host: HostId,
        asked: Mono,
        deadline: Millis,
    ) {
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
}
