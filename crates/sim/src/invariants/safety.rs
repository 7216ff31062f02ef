//! Nothing is lost by switching off (I1), nothing runs twice (I2), a move is over only when both ends say so (I22).

use dormouse_model::{Action, DomainState, HostId, IntentId, Mono, Outcome};
use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Invariant, Scene};
use crate::note::Note;
use crate::world::Power;

/// I1: at the instant of our off, and until the host is gone, no VM is there.
#[derive(Debug, Default)]
pub(super) struct PowerLosesNothing {
    /// Going off by our word.
    ours: BTreeSet<HostId>,
}

impl Invariant for PowerLosesNothing {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::GuardAgreed { host } => {
                self.ours.insert(*host);
                let present: Vec<_> = scene.world.present_on(*host).map(|vm| vm.spec.name.clone()).collect();
                if !present.is_empty() {
                    let text = format!("{} was switched off with {}", scene.name(*host), present.join(", "));
                    found.add("I1", scene.at, text);
                }
                if scene.world.flows.iter().any(|flow| flow.from == *host || flow.to == *host) {
                    found.add(
                        "I1",
                        scene.at,
                        format!("{} was switched off during a move", scene.name(*host)),
                    );
                }
            }
            Note::VmLost { vm, at } if self.ours.contains(at) => {
                found.add(
                    "I1",
                    scene.at,
                    format!("{} went down with {}, by our word", scene.vm(*vm), scene.name(*at)),
                );
            }
            Note::Power { host, to: Power::Off | Power::Dead | Power::On, .. } => {
                self.ours.remove(host);
            }
            _ => {}
        }
    }
}

/// I2: the processors of a VM run on one host at most.
#[derive(Debug)]
pub(super) struct SingleRun;

impl Invariant for SingleRun {
    fn after(&mut self, scene: &Scene<'_>, found: &mut Found) {
        for vm in scene.world.vms.iter().filter(|vm| vm.running_copies() > 1) {
            found.add("I2", scene.at, format!("{} runs {} times", vm.spec.name, vm.running_copies()));
        }
    }
}

/// I22: `done` is said of a move only when the VM is at its destination and nowhere else, and both hosts were asked since.
#[derive(Debug)]
pub(super) struct ConfirmedMove {
    actions: BTreeMap<IntentId, Action>,
    ended: BTreeMap<IntentId, Mono>,
    looked: Vec<Mono>,
}

impl ConfirmedMove {
    pub(super) fn new(hosts: usize) -> Self {
        Self { actions: BTreeMap::new(), ended: BTreeMap::new(), looked: vec![Mono::ZERO; hosts] }
    }
}

impl Invariant for ConfirmedMove {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::Acted(intent) => {
                self.actions.insert(intent.id, intent.action);
            }
            Note::Looked { host, asked, boot: Some(_) } => self.looked[host.index()] = *asked,
            Note::MoveEnded { intent: Some(intent), .. } => {
                self.ended.insert(*intent, scene.at);
            }
            Note::Closed { intent, outcome } => {
                let action = self.actions.remove(intent);
                let ended = self.ended.remove(intent);
                let Some(Action::Migrate { vm, from, to }) = action else { return };
                if !matches!(outcome, Outcome::Done { .. }) {
                    return;
                }
                // VM ids are the controller's own; those of the text are also places in the world's list.
                if let Some(truth) =
                    scene.world.vms.get(vm.index()).filter(|_| vm.index() < scene.cluster.vms.len())
                    && truth.flow.is_none()
                    && (truth.copy_on(from).is_some_and(DomainState::is_present)
                        || !truth.copy_on(to).is_some_and(DomainState::is_present))
                {
                    let name = &truth.spec.name;
                    found.add(
                        "I22",
                        scene.at,
                        format!("the move of {name} to {} was called done", scene.name(to)),
                    );
                }
                let unseen = ended
                    .is_none_or(|ended| self.looked[from.index()] < ended || self.looked[to.index()] < ended);
                if unseen {
                    found.add(
                        "I22",
                        scene.at,
                        format!("move i{} was called done before both ends were seen", intent.0),
                    );
                }
            }
            _ => {}
        }
    }
}
