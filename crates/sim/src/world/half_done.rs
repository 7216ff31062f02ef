//! Moves that end between two hosts: cut in the hand-over, not to be ended, and what the driver sets right (fault M04).

use crate::note::MoveEnd;
use dormouse_control::mutants::{self, Mutant};
use dormouse_model::{Action, DomainState, HostId, Intent, Millis, OutcomeError};

use super::flow::{Flow, FlowId};
use super::{Power, World};

impl World {
    /// The last step of a move: everything is sent, the VM is held at its source.
    pub(super) fn hand_over(&mut self, id: FlowId, downtime: Millis) {
        let Some(flow) = self.flows.iter().find(|flow| flow.id == id) else { return };
        let (vm, from, to) = (flow.vm, flow.from, flow.to);
        let uuid = self.vms[vm].spec.uuid;
        // What its user paused stays paused on both sides: there is no telling the ends apart, and none runs.
        let held = self.vms[vm].copy_on(from) == Some(DomainState::PausedMigrating);
        match if held { self.faults.cut(uuid) } else { None } {
            None => self.end_flow(id, MoveEnd::Done { downtime }),
            Some(early) => {
                if early {
                    // libvirtd there gives up what it has not started; the source waits for a word.
                    self.drop_copy(vm, to);
                } else {
                    self.set_copy(vm, to, DomainState::Running);
                }
                self.end_flow(id, MoveEnd::Cut);
            }
        }
    }

    /// Neither the manager nor the driver's own deadline ends a move of this VM.
    pub(crate) fn abort_hangs(&self, vm: usize) -> bool {
        self.faults.abort_hangs.contains(&self.vms[vm].spec.uuid)
    }

    /// Two hosts lose each other: moves between them end where they began. One that is being handed over is cut by a
    /// fault of its own.
    pub(super) fn part(&mut self, ends: [HostId; 2]) {
        let between = |flow: &&Flow| [flow.from, flow.to] == ends || [flow.to, flow.from] == ends;
        let lost: Vec<FlowId> = self.flows.iter().filter(between).map(|flow| flow.id).collect();
        for flow in lost {
            let why = OutcomeError::Driver("the connection between the hosts was lost".to_owned());
            self.end_flow_with(flow, MoveEnd::Stayed("the hosts lost each other"), Some(why));
        }
    }

    /// What held moves up is over.
    pub(super) fn free_flows(&mut self) {
        let now = self.now;
        for flow in &mut self.flows {
            flow.settle(now);
            flow.free();
        }
        self.flows_changed();
    }

    /// The manager has a half-done move looked at on both ends, and set right where that is safe; as `driver::judge`.
    pub(crate) fn settle_move(&mut self, intent: &Intent) {
        let Action::Migrate { from, to, .. } = intent.action else { return };
        let Some(vm) = intent.vm.and_then(|uuid| self.index_of(uuid)) else { return };
        let now = self.now;
        let seen = |host: HostId| {
            let truth = self.host(host);
            truth.power == Power::On && !truth.faults.is_silent(now) && !truth.faults.is_frozen(now)
        };
        if !seen(from) || !seen(to) || self.vms[vm].flow.is_some() {
            return;
        }
        let there = self.vms[vm].copy_on(to);
        match (self.vms[vm].copy_on(from), there) {
            (Some(DomainState::PausedMigrating), Some(DomainState::Running))
                if mutants::has(Mutant::ResumesBoth) =>
            {
                self.set_copy(vm, from, DomainState::Running);
            }
            (Some(DomainState::PausedMigrating), Some(DomainState::Running)) => self.drop_copy(vm, from),
            (Some(DomainState::PausedMigrating), None) => self.set_copy(vm, from, DomainState::Running),
            _ => {}
        }
    }
}
