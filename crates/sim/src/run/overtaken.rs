//! Managers that stood still while another took over, and go on afterwards as if nothing had been (faults C02, C03): two
//! controllers live on one cluster for a moment, each the program's own.
//!
//! Absent: any say in what such a manager does. It has its clock, its connections to hosts and its controller; the store
//! refuses what it writes, and tells it at the next renewal that another leads.

use dormouse_control::{Controller, Effect, Event};
use dormouse_model::{Action, Intent, Millis, Mono, Outcome, OutcomeError};
use std::collections::VecDeque;

use super::{Happening, Sim};
use crate::note::Note;
use crate::store::SYNC;

/// What is on its way already, when it moves again.
const COMMAND: Millis = Millis(60);

#[derive(Debug)]
pub(super) struct Overtaken {
    incarnation: u32,
    epoch: u64,
    controller: Controller,
    /// It stands still until then.
    back_at: Mono,
    /// What it was about to do.
    rest: VecDeque<Effect>,
    /// What reached it meanwhile, in order.
    waiting: VecDeque<Event>,
}

impl Overtaken {
    /// Its next tick, once it moves again.
    fn tick(&self, now: Mono) -> Option<Mono> {
        (self.back_at <= now).then(|| self.controller.next_tick())
    }
}

impl Sim {
    /// The manager stops where it is; somebody else will lead by the time it goes on.
    pub(super) fn stands_still(&mut self, span: Millis) {
        let Some(controller) = self.controller.take() else { return };
        let waiting = self.waiting.drain(..).filter_map(|what| match what {
            Happening::Tells { event, .. } => Some(*event),
            _ => None,
        });
        let back_at = self.now + span;
        self.overtaken.push(Overtaken {
            incarnation: self.incarnation,
            epoch: controller.epoch().map_or(0, |epoch| epoch.0),
            controller,
            back_at,
            rest: VecDeque::new(),
            waiting: waiting.collect(),
        });
        self.queue.push(back_at, Happening::GoesOn { incarnation: self.incarnation });
    }

    fn overtaken_at(&self, incarnation: u32) -> Option<usize> {
        self.overtaken.iter().position(|old| old.incarnation == incarnation)
    }

    /// The manager that has just stopped keeps what it was about to do.
    pub(super) fn was_about_to(&mut self, effects: impl IntoIterator<Item = Effect>) {
        if let Some(old) = self.overtaken.last_mut().filter(|old| old.incarnation + 1 == self.incarnation) {
            old.rest.extend(effects);
        }
    }

    /// The manager that has just stopped would have heard this.
    pub(super) fn was_about_to_hear(&mut self, event: Event) {
        if let Some(old) = self.overtaken.last_mut().filter(|old| old.incarnation + 1 == self.incarnation) {
            old.waiting.push_back(event);
        }
    }

    /// It moves again: what it was about to do goes out, what waited is heard. That another leads it hears at its next
    /// renewal.
    pub(super) fn goes_on(&mut self, incarnation: u32) {
        let Some(at) = self.overtaken_at(incarnation) else { return };
        let old = &mut self.overtaken[at];
        let (rest, waiting, epoch) =
            (std::mem::take(&mut old.rest), std::mem::take(&mut old.waiting), old.epoch);
        self.notes.push(Note::ManagerBack { epoch });
        for effect in rest {
            // Let through while it led: nobody asks it again.
            self.carry_out_late(incarnation, effect);
        }
        for event in waiting {
            self.tells_overtaken(incarnation, event);
        }
        let (_, renew) = self.lease();
        let event = Box::new(Event::Deposed);
        self.queue.push(self.now + renew, Happening::Tells { incarnation, event });
    }

    /// Something reaches a manager that another has overtaken.
    pub(super) fn tells_overtaken(&mut self, incarnation: u32, event: Event) {
        let Some(at) = self.overtaken_at(incarnation) else { return };
        let (now, deposed) = (self.clocks(), matches!(event, Event::Deposed));
        let old = &mut self.overtaken[at];
        if old.back_at > now.mono {
            return old.waiting.push_back(event);
        }
        for effect in old.controller.handle(now, event) {
            if let Effect::Act(intent) = &effect {
                self.notes.push(Note::Acted(intent.clone()));
            }
            self.carry_out_late(incarnation, effect);
        }
        if deposed {
            // The daemon begins again from the store, as one that stands by.
            let epoch = self.overtaken.remove(at).epoch;
            self.notes.push(Note::ManagerDeposed { epoch });
        }
    }

    /// The earliest tick of such a manager, and whose it is.
    pub(super) fn overtaken_tick(&self) -> Option<(Mono, u32)> {
        self.overtaken.iter().filter_map(|old| Some((old.tick(self.now)?, old.incarnation))).min()
    }

    /// Hosts do as they are told, by whomever; the store does not. What it says goes to its own log.
    fn carry_out_late(&mut self, incarnation: u32, effect: Effect) {
        match effect {
            Effect::Look { id, host, deadline } => {
                let look = Happening::Looks { incarnation, id, host, asked: self.now, deadline };
                self.queue.push(self.now + crate::world::LOOK_LATENCY, look);
            }
            Effect::Write(intent) => {
                let refused = Event::NotDurable { intent: intent.id, why: "another leads".to_owned() };
                for event in [Event::Deposed, refused] {
                    let event = Box::new(event);
                    self.queue.push(self.now + SYNC, Happening::Tells { incarnation, event });
                }
            }
            // Before that the daemon asks the store whether it still leads.
            Effect::Act(Intent { id, action: Action::Fence { .. }, .. }) => {
                let outcome = Outcome::Failed(OutcomeError::Fenced);
                let event = Box::new(Event::Ended { intent: id, outcome });
                self.queue.push(self.now + SYNC, Happening::Tells { incarnation, event });
            }
            Effect::Act(intent) => self.world.act_late(&intent, COMMAND),
            Effect::WakeAlone(host) => self.world.wake_alone(host),
            Effect::Abort(intent) => self.world.abort(&intent),
            Effect::Settle(intent) => self.world.settle_move(&intent),
            Effect::Close { .. }
            | Effect::RememberHost(_)
            | Effect::RememberVm(_)
            | Effect::RememberManager(_)
            | Effect::RememberDemand(_)
            | Effect::Tell(_) => {}
        }
    }
}
