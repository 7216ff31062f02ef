//! Nothing is lost by switching off (I1), nothing runs twice (I2), a move is over only when both ends say so (I22).

use dormouse_control::Order;
use dormouse_model::{Action, DomainState, HostId, IntentId, Mono, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

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
            Note::GuardAgreed { host, .. } => {
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
            Note::Power { host, to: Power::Stopping, cause: "guard", .. } => {
                self.ours.insert(*host);
            }
            Note::Power { host, .. } => {
                self.ours.remove(host);
            }
            _ => {}
        }
    }
}

/// I2: the processors of a VM run on one host at most, and never again from memory that another host has run past.
#[derive(Debug, Default)]
pub(super) struct SingleRun {
    /// Held at this host by a move while the VM ran elsewhere.
    passed: BTreeSet<(Uuid, HostId)>,
}

impl Invariant for SingleRun {
    fn after(&mut self, scene: &Scene<'_>, found: &mut Found) {
        for vm in &scene.world.vms {
            if vm.running_copies() > 1 {
                found.add("I2", scene.at, format!("{} runs {} times", vm.spec.name, vm.running_copies()));
            }
            if vm.copies.len() > 1 && vm.running_copies() > 0 {
                let held = vm.copies.iter().filter(|copy| copy.state == DomainState::PausedMigrating);
                self.passed.extend(held.filter(|_| vm.flow.is_none()).map(|copy| (vm.spec.uuid, copy.host)));
            }
        }
        self.passed.retain(|(uuid, host)| {
            let state = scene.world.vm_by_uuid(*uuid).and_then(|vm| vm.copy_on(*host));
            if state == Some(DomainState::Running) {
                let text =
                    format!("{} runs at {} from memory that is past", scene.vm(*uuid), scene.name(*host));
                found.add("I2", scene.at, text);
            }
            state == Some(DomainState::PausedMigrating)
        });
    }
}

/// I22: `done` is said of a move only when the VM is at its destination and nowhere else, and both hosts were seen since.
#[derive(Debug)]
pub(super) struct ConfirmedMove {
    actions: BTreeMap<IntentId, (Action, Option<Uuid>)>,
    /// When a move of this VM between these hosts was last over, whoever began it.
    ended: BTreeMap<(Uuid, HostId, HostId), Mono>,
    looked: Vec<Mono>,
}

impl ConfirmedMove {
    pub(super) fn new(hosts: usize) -> Self {
        Self { actions: BTreeMap::new(), ended: BTreeMap::new(), looked: vec![Mono::ZERO; hosts] }
    }

    /// Where looks are not on record: that the VM was heard from its destination is what is left of the rule.
    pub(super) fn without_looks(hosts: usize) -> Self {
        Self { looked: vec![Mono(u64::MAX); hosts], ..Self::new(hosts) }
    }
}

impl Invariant for ConfirmedMove {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::Acted(intent) => {
                self.actions.insert(intent.id, (intent.action, intent.vm));
            }
            Note::Looked { host, seen, boot: Some(_), .. } => self.looked[host.index()] = *seen,
            // A person went and saw.
            Note::Ordered { order: Order::Fence { host } | Order::SayOff { host }, .. } => {
                self.looked[host.index()] = scene.at;
            }
            Note::MoveEnded { vm, from, to, .. } => {
                self.ended.insert((*vm, *from, *to), scene.at);
            }
            Note::Closed { intent, outcome } => {
                let Some((action, uuid)) = self.actions.remove(intent) else { return };
                let Action::Migrate { vm, from, to } = action else { return };
                let ended = uuid.and_then(|uuid| self.ended.get(&(uuid, from, to)).copied());
                if !matches!(outcome, Outcome::Done { .. }) {
                    return;
                }
                // VM ids are the controller's own; those of the text are also places in the world's list. A host that
                // died since it was seen with the VM took nothing of the move back.
                if let Some(truth) =
                    scene.world.vms.get(vm.index()).filter(|_| vm.index() < scene.cluster.vms.len())
                    && truth.flow.is_none()
                    && scene.world.host(to).power == Power::On
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
