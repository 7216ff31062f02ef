//! One durable intent before each effect, one outcome after it (I15, I16); without a store, no effect (I19).

use dormouse_model::{Action, DomainState, IntentId, Mono};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::{Found, Invariant, Scene};
use crate::note::Note;

/// I15 and I16: the journal and the world tell the same story.
#[derive(Debug, Default)]
pub(super) struct OneIntentOneOutcome {
    entries: BTreeMap<IntentId, Entry>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    durable: bool,
    acted: Option<Mono>,
    refused: bool,
    closed: bool,
    /// When it should be settled at the latest; a restart gives it new time.
    settle_by: Mono,
    deadline_ms: u64,
    action: Option<Action>,
    vm: Option<Uuid>,
}

/// After its deadline and this, an intent without outcome has been forgotten.
const SETTLE_MS: u64 = 15 * 60_000;

impl Invariant for OneIntentOneOutcome {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        let at = scene.at;
        match note {
            Note::Wrote(intent) => {
                let deadline_ms = intent.deadline.0;
                let entry = Entry {
                    settle_by: Mono(at.0 + deadline_ms + SETTLE_MS),
                    deadline_ms,
                    action: Some(intent.action),
                    vm: intent.vm,
                    ..Entry::default()
                };
                // An intent that was asked for and never became durable may lend its number to the next manager's first.
                if self.entries.insert(intent.id, entry).is_some_and(|old| old.durable) {
                    found.add("I15", at, format!("i{} was written twice", intent.id.0));
                }
            }
            Note::Durable(intent) => self.entries.entry(*intent).or_default().durable = true,
            Note::NotDurable(intent) => self.entries.entry(*intent).or_default().refused = true,
            Note::Acted(intent) => {
                let entry = self.entries.entry(intent.id).or_default();
                if !entry.durable {
                    found.add("I15", at, format!("i{} was carried out before it was durable", intent.id.0));
                }
                if entry.acted.replace(at).is_some() {
                    found.add("I16", at, format!("i{} was carried out twice", intent.id.0));
                }
                if entry.closed {
                    found.add("I16", at, format!("i{} was carried out after its outcome", intent.id.0));
                }
            }
            Note::Closed { intent, .. } => {
                let entry = self.entries.entry(*intent).or_default();
                if !entry.durable {
                    found.add("I16", at, format!("i{} has an outcome and no intent", intent.0));
                }
                entry.closed = true;
            }
            Note::ManagerUp { .. } => {
                for entry in self.entries.values_mut() {
                    entry.settle_by = Mono(at.0 + entry.deadline_ms + SETTLE_MS);
                }
            }
            _ => {}
        }
    }

    fn at_end(&mut self, scene: &Scene<'_>, found: &mut Found) {
        for (intent, entry) in &self.entries {
            // A move that nobody can end has no outcome yet, nor one of which an end cannot be seen.
            let unseen = entry.action.is_some_and(|action| {
                action.hosts().iter().any(|host| !scene.world.host(*host).is_healthy(scene.at))
            });
            // Held at its source by a move that is over: a person decides.
            let held = entry
                .vm
                .and_then(|vm| scene.world.vm_by_uuid(vm))
                .is_some_and(|vm| vm.copies.iter().any(|copy| copy.state == DomainState::PausedMigrating));
            let goes_on = unseen || held || scene.world.flows.iter().any(|flow| flow.intent == Some(*intent));
            if entry.durable && !entry.closed && scene.manager_up && scene.at > entry.settle_by && !goes_on {
                found.add("I16", scene.at, format!("i{} never got an outcome", intent.0));
            }
        }
    }
}

/// I19: while the store takes no write, nothing that could do harm begins.
#[derive(Debug)]
pub(super) struct FailStatic;

impl Invariant for FailStatic {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        if let Note::Acted(intent) = note
            && scene.world.faults.is_store_full(scene.at)
        {
            found.add("I19", scene.at, format!("i{} was carried out while the store was full", intent.id.0));
        }
    }
}
