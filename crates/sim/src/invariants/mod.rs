//! The rules that no run may break, checked against what really is and never against what the controller believes.
//!
//! Each rule of `faults.md` that a simulation can see has a checker here; it hears every note and looks at the world
//! after each event. A checker that is too strict is wrong, and so is one that catches nothing: planted bugs must fall.

mod budgets;
mod calendar;
mod capacity;
mod clocks;
mod journal;
mod leader;
mod people;
mod records;
mod safety;
mod sight;
mod start;
#[cfg(test)]
mod tests;

use dormouse_control::Settings;
use dormouse_model::{Cluster, HostId, HostState, Mono};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

use crate::note::Note;
use crate::world::World;

/// A broken rule: which, when, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub invariant: String,
    /// Milliseconds since the start of the run.
    pub at: Mono,
    pub text: String,
}

/// What a checker may look at.
pub(crate) struct Scene<'a> {
    pub(crate) at: Mono,
    pub(crate) world: &'a World,
    pub(crate) cluster: &'a Cluster,
    pub(crate) settings: &'a Settings,
    /// The states that the manager has told, for the rules about what it says.
    pub(crate) belief: &'a [HostState],
    pub(crate) manager_up: bool,
    /// Hosts about which an operator gave an order: budgets against restlessness do not hold there.
    pub(crate) ordered: &'a BTreeSet<HostId>,
    /// The calendar's time, by the manager's clock.
    pub(crate) wall: jiff::Timestamp,
}

impl Scene<'_> {
    pub(crate) fn name(&self, host: HostId) -> &str {
        &self.world.host(host).spec.name
    }

    pub(crate) fn vm(&self, uuid: uuid::Uuid) -> String {
        self.world.vm_by_uuid(uuid).map_or_else(|| uuid.to_string(), |vm| vm.spec.name.clone())
    }
}

/// Collects what checkers find. The first hundred are enough for any person.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) violations: Vec<Violation>,
}

impl Found {
    const MOST: usize = 100;

    pub(crate) fn add(&mut self, invariant: &str, at: Mono, text: String) {
        let known = self.violations.iter().any(|other| other.invariant == invariant && other.text == text);
        if !known && self.violations.len() < Self::MOST {
            self.violations.push(Violation { invariant: invariant.to_owned(), at, text });
        }
    }
}

pub(crate) trait Invariant: fmt::Debug {
    /// Something happened. The world is as it is after the whole event.
    fn note(&mut self, _note: &Note, _scene: &Scene<'_>, _found: &mut Found) {}
    /// An event is over in which something changed.
    fn after(&mut self, _scene: &Scene<'_>, _found: &mut Found) {}
    /// The run is over.
    fn at_end(&mut self, _scene: &Scene<'_>, _found: &mut Found) {}
}

#[derive(Debug, Default)]
pub(crate) struct Checkers {
    checkers: Vec<Box<dyn Invariant>>,
    pub(crate) found: Found,
}

impl Checkers {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            checkers: vec![
                Box::new(safety::PowerLosesNothing::default()),
                Box::new(safety::SingleRun::default()),
                Box::new(start::SafeStart::new(hosts)),
                Box::new(leader::SingleActor::new(hosts)),
                Box::new(calendar::OpeningGuarantee::new(hosts)),
                Box::new(calendar::WhenInDoubtOn::default()),
                Box::new(people::PeopleWin::new(hosts)),
                Box::new(people::NeverOurBranch),
                Box::new(records::DefinitionKept),
                Box::new(records::UntrustedText),
                Box::new(safety::ConfirmedMove::new(hosts)),
                Box::new(sight::FreshInput::new(hosts)),
                Box::new(sight::UnknownMeansOn::new(hosts)),
                Box::new(sight::OneKnownState::new(hosts)),
                Box::new(budgets::BoundedRetry::new(hosts)),
                Box::new(budgets::Budget::default()),
                Box::new(budgets::Hysteresis::new(hosts)),
                Box::new(capacity::MinimumOn::new(hosts)),
                Box::new(capacity::Reserves::new(hosts)),
                Box::new(capacity::Capacity),
                Box::new(journal::OneIntentOneOutcome::default()),
                Box::new(journal::FailStatic),
                Box::new(clocks::MigrationsEnd::default()),
                Box::new(clocks::Converges::new(hosts)),
                Box::new(clocks::TwoClocks::default()),
                Box::new(clocks::Bounded),
            ],
            found: Found::default(),
        }
    }

    /// Those that need nothing but what a real cluster's records hold: no looks, no demand, no knowledge of what the
    /// manager was told.
    pub(crate) fn of_records(hosts: usize) -> Self {
        Self {
            checkers: vec![
                Box::new(safety::PowerLosesNothing::default()),
                Box::new(safety::SingleRun::default()),
                Box::new(leader::SingleActor::new(hosts)),
                Box::new(people::NeverOurBranch),
                Box::new(records::DefinitionKept),
                Box::new(records::UntrustedText),
                Box::new(safety::ConfirmedMove::without_looks(hosts)),
                Box::new(sight::UnknownMeansOn::new(hosts)),
                Box::new(sight::OneKnownState::new(hosts)),
                Box::new(budgets::Budget::default()),
                Box::new(journal::OneIntentOneOutcome::default()),
            ],
            found: Found::default(),
        }
    }

    pub(crate) fn note(&mut self, note: &Note, scene: &Scene<'_>) {
        for checker in &mut self.checkers {
            checker.note(note, scene, &mut self.found);
        }
    }

    pub(crate) fn after(&mut self, scene: &Scene<'_>) {
        for checker in &mut self.checkers {
            checker.after(scene, &mut self.found);
        }
    }

    pub(crate) fn at_end(&mut self, scene: &Scene<'_>) {
        for checker in &mut self.checkers {
            checker.at_end(scene, &mut self.found);
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at +{}: {}", self.invariant, self.at, self.text)
    }
}
