//! Definitions are kept (I23), and what others wrote stays text (I24).

use super::{Found, Invariant, Scene};
use crate::note::Note;

/// I23: every VM is defined somewhere, whatever becomes of it.
#[derive(Debug)]
pub(super) struct DefinitionKept;

impl Invariant for DefinitionKept {
    fn after(&mut self, scene: &Scene<'_>, found: &mut Found) {
        for vm in scene.world.vms.iter().filter(|vm| vm.copies.is_empty()) {
            found.add("I23", scene.at, format!("{} is defined nowhere", vm.spec.name));
        }
    }
}

/// I24, as far as a simulation sees it: a line of the trail is one line, without a byte that a terminal obeys; and a step
/// names its VM by a UUID that exists.
#[derive(Debug)]
pub(super) struct UntrustedText;

impl Invariant for UntrustedText {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::Told(event) => {
                let line = event.to_string();
                if line.chars().any(char::is_control) {
                    found.add("I24", scene.at, format!("a line of the trail holds control bytes: {line:?}"));
                }
            }
            Note::Acted(intent) => {
                let exists = |uuid| scene.world.vm_by_uuid(uuid).is_some();
                if intent.action.vm().is_some() && !intent.vm.is_some_and(exists) {
                    found.add("I24", scene.at, format!("i{} is about no VM there is", intent.id.0));
                }
            }
            _ => {}
        }
    }
}
