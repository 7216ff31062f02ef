//! Only the one who leads acts (I4).

use dormouse_model::{Action, Epoch, HostId, Mono};
use std::collections::BTreeMap;

use super::{Found, Invariant, Scene};
use crate::note::Note;

/// I4: an effect carries the epoch of the store and starts only while the lease lasts longer than the margin; no guard
/// takes an older epoch than one it has taken, nor an off command that went out long ago.
#[derive(Debug)]
pub(super) struct SingleActor {
    lease: Option<(u64, Mono)>,
    taken: Vec<Option<Epoch>>,
    /// When the last off command of each epoch went out.
    sent: BTreeMap<(HostId, Epoch), Mono>,
}

impl SingleActor {
    pub(super) fn new(hosts: usize) -> Self {
        Self { lease: None, taken: vec![None; hosts], sent: BTreeMap::new() }
    }
}

impl Invariant for SingleActor {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::Leased { epoch, until } => self.lease = Some((*epoch, *until)),
            Note::Acted(intent) => {
                if let Action::Sleep { host } = intent.action {
                    self.sent.insert((host, intent.epoch), scene.at);
                }
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
                // The records of a real lab show it when the power goes.
                let spec = &scene.world.host(*host).spec;
                let longest = scene.settings.off_span + spec.shutdown + spec.shutdown;
                let age = self.sent.get(&(*host, *epoch)).map(|sent| scene.at.since(*sent));
                if let Some(age) = age.filter(|age| *age > longest) {
                    let name = scene.name(*host);
                    let text = format!("the guard of {name} took a command of {} s ago", age.as_secs());
                    found.add("I4", scene.at, text);
                }
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
