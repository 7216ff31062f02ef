//! Only the one who leads acts (I4).

use dormouse_model::{Epoch, Mono};

use super::{Found, Invariant, Scene};
use crate::note::Note;

/// I4: an effect carries the epoch of the store and starts only while the lease lasts longer than the margin; no guard
/// takes an older epoch than one it has taken.
#[derive(Debug)]
pub(super) struct SingleActor {
    lease: Option<(u64, Mono)>,
    taken: Vec<Option<Epoch>>,
}

impl SingleActor {
    pub(super) fn new(hosts: usize) -> Self {
        Self { lease: None, taken: vec![None; hosts] }
    }
}

impl Invariant for SingleActor {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::Leased { epoch, until } => self.lease = Some((*epoch, *until)),
            Note::Acted(intent) => {
                let Some((epoch, until)) = self.lease else { return };
                if intent.epoch != Epoch(epoch) {
                    let text = format!("i{} went out with epoch {}, not e{epoch}", intent.id.0, intent.epoch);
                    found.add("I4", scene.at, text);
                }
                if scene.at + scene.settings.lease_margin > until {
                    found.add("I4", scene.at, format!("i{} went out as the lease ended", intent.id.0));
                }
            }
            Note::GuardAgreed { host, epoch } => {
                let taken = &mut self.taken[host.index()];
                if taken.is_some_and(|taken| *epoch < taken) {
                    found.add(
                        "I4",
                        scene.at,
                        format!("the guard of {} took the old {epoch}", scene.name(*host)),
                    );
                }
                *taken = (*taken).max(Some(*epoch));
            }
            _ => {}
        }
    }
}
