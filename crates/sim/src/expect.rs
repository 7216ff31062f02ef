//! What the script demands, watched while the run goes on.

use dormouse_model::Mono;
use std::fmt;

use crate::note::Note;
use crate::script::{Expectation, Sight};

/// A demand that was not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line of the script.
    pub line: u32,
    pub text: String,
    pub at: Mono,
    /// What was the case instead.
    pub instead: String,
}

#[derive(Debug)]
pub(crate) struct Expectations {
    watched: Vec<Watched>,
    failures: Vec<Failure>,
}

#[derive(Debug)]
struct Watched {
    what: Expectation,
    /// It happened, for demands that something happens.
    seen: bool,
    open: bool,
}

impl Expectations {
    pub(crate) fn new(expectations: &[Expectation]) -> Self {
        let watched =
            expectations.iter().map(|what| Watched { what: what.clone(), seen: false, open: true }).collect();
        Self { watched, failures: vec![] }
    }

    /// When a look is needed even if nothing happens.
    pub(crate) fn deadlines(&self) -> Vec<Mono> {
        self.watched.iter().flat_map(|watched| [Some(watched.what.from), watched.what.by]).flatten().collect()
    }

    pub(crate) fn is_due(&self, now: Mono) -> bool {
        self.watched
            .iter()
            .any(|watched| watched.open && (watched.what.by == Some(now) || watched.what.from == now))
    }

    pub(crate) fn hear(&mut self, now: Mono, note: &Note) {
        for watched in self.watched.iter_mut().filter(|watched| watched.open && watched.what.from <= now) {
            watched.seen |= watched.what.fact.happened_in(note);
        }
    }

    /// Judges what can be judged now.
    pub(crate) fn look(&mut self, now: Mono, sight: &Sight<'_>) {
        for watched in self.watched.iter_mut().filter(|watched| watched.open && watched.what.from <= now) {
            let what = &watched.what;
            let late = what.by.is_some_and(|by| now >= by);
            let is_event = what.fact.is_event();
            let holds = if is_event { watched.seen } else { what.fact.holds(sight) };
            let verdict = match (what.never, what.by) {
                (true, _) if holds => Some(false),
                (true, Some(_)) if late => Some(true),
                (true, _) => None,
                (false, Some(_)) if holds => Some(true),
                (false, Some(_)) if late => Some(false),
                // Judged at the end.
                (false, _) => None,
            };
            if let Some(met) = verdict {
                watched.open = false;
                if !met {
                    self.failures.push(Failure {
                        line: what.line,
                        text: what.text.clone(),
                        at: now,
                        instead: if what.never { "it is so".to_owned() } else { what.fact.instead(sight) },
                    });
                }
            }
        }
    }

    /// The run is over: what is still open is judged as it stands.
    pub(crate) fn end(&mut self, now: Mono, sight: &Sight<'_>) {
        self.look(now, sight);
        for watched in self.watched.iter_mut().filter(|watched| watched.open) {
            watched.open = false;
            let what = &watched.what;
            let holds = if what.fact.is_event() { watched.seen } else { what.fact.holds(sight) };
            if holds == what.never {
                let instead = what.fact.instead(sight);
                self.failures.push(Failure { line: what.line, text: what.text.clone(), at: now, instead });
            }
        }
    }

    pub(crate) fn failures(&self) -> Vec<Failure> {
        let mut failures = self.failures.clone();
        failures.sort_by_key(|failure| failure.line);
        failures
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "script:{}: `{}` failed at +{}: {}", self.line, self.text, self.at, self.instead)
    }
}
