//! A VM starts only where it can run nowhere else (I3).

use dormouse_control::Order;
use dormouse_model::{Action, DomainState, HostId};

use super::{Found, Invariant, Scene};
use crate::note::Note;
use crate::world::Power;

/// I3: every other host that may hold the VM was seen without it, or is proved off; silence is never proof. That the VM
/// happens not to run there is no excuse: nobody could know.
#[derive(Debug)]
pub(super) struct SafeStart {
    /// By VM of the world: where it was present, and no good look has shown the host without it since.
    may_hold: Vec<Vec<HostId>>,
    /// The guard agreed, and it has not been on since.
    proved: Vec<bool>,
}

impl SafeStart {
    pub(super) fn new(hosts: usize) -> Self {
        Self { may_hold: vec![], proved: vec![false; hosts] }
    }
}

impl Invariant for SafeStart {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::GuardAgreed { host, .. } | Note::ProvedOff { host } => self.proved[host.index()] = true,
            // A word that is true when it is given, of those that do not run there then: it may have been off and back again.
            // What runs there later is on the book again.
            Note::Ordered { order: Order::SayOff { host } | Order::Fence { host }, .. } => {
                let up = matches!(scene.world.host(*host).power, Power::On | Power::Stopping);
                for (held, vm) in self.may_hold.iter_mut().zip(&scene.world.vms) {
                    let runs = up && vm.copy_on(*host).is_some_and(DomainState::is_present);
                    held.retain(|at| at != host || runs);
                }
            }
            Note::Power { host, to: Power::On, .. } => self.proved[host.index()] = false,
            Note::Looked { host, boot: Some(_), .. } => {
                for (held, vm) in self.may_hold.iter_mut().zip(&scene.world.vms) {
                    held.retain(|at| at != host || vm.copy_on(*at).is_some_and(DomainState::is_present));
                }
            }
            Note::Acted(intent) => {
                let (Action::Start { host, .. }, Some(vm)) = (intent.action, intent.vm) else { return };
                let mut of_world = self.may_hold.iter().zip(&scene.world.vms);
                let held = of_world.find(|(_, truth)| truth.spec.uuid == vm).map(|(held, _)| held.as_slice());
                for other in held.unwrap_or_default().iter().filter(|at| **at != host) {
                    if !self.proved[other.index()] {
                        let text = format!(
                            "{} was started on {} and may be on {}",
                            scene.vm(vm),
                            scene.name(host),
                            scene.name(*other)
                        );
                        found.add("I3", scene.at, text);
                    }
                }
            }
            _ => {}
        }
    }

    fn after(&mut self, scene: &Scene<'_>, _found: &mut Found) {
        // VMs of the world keep their places; new ones come last.
        self.may_hold.resize(scene.world.vms.len(), vec![]);
        for (held, vm) in self.may_hold.iter_mut().zip(&scene.world.vms) {
            for copy in vm.copies.iter().filter(|copy| copy.state.is_present()) {
                if !held.contains(&copy.host) {
                    held.push(copy.host);
                }
            }
        }
    }
}
