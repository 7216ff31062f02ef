//! What planning hands to ordering: who ends up where and why, before steps, needs and deadlines.

use dormouse_model::{Because, HostId, Refusal, RefusalReason, Subject, VmId};
use std::collections::BTreeSet;

/// One move of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) vm: VmId,
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) because: Because,
}

#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) moves: Vec<Move>,
    pub(crate) wakes: Vec<(HostId, Because)>,
    pub(crate) sleeps: Vec<(HostId, Because)>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) rounds: u32,
    /// How often each VM moves in this draft.
    moved: Vec<u32>,
    /// Why each VM was put elsewhere; the first reason stays.
    reasons: Vec<Option<Because>>,
    refused: BTreeSet<Subject>,
}

/// The place of a VM in a list that is as long as it has to be.
fn place<T: Clone + Default>(list: &mut Vec<T>, vm: VmId) -> &mut T {
    if list.len() <= vm.index() {
        list.resize(vm.index() + 1, T::default());
    }
    &mut list[vm.index()]
}

impl Draft {
    pub(crate) fn push(&mut self, one: Move) {
        *place(&mut self.moved, one.vm) += 1;
        self.moves.push(one);
    }

    /// Is there nothing to do and nothing to say?
    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty() && self.wakes.is_empty() && self.sleeps.is_empty() && self.refusals.is_empty()
    }

    pub(crate) fn explain(&mut self, vm: VmId, because: Because) {
        place(&mut self.reasons, vm).get_or_insert(because);
    }

    pub(crate) fn reason(&self, vm: VmId) -> Option<&Because> {
        self.reasons.get(vm.index()).and_then(Option::as_ref)
    }

    pub(crate) fn moved(&self, vm: VmId) -> u32 {
        self.moved.get(vm.index()).copied().unwrap_or(0)
    }

    pub(crate) fn refuse_vm(&mut self, vm: VmId, reason: RefusalReason) {
        self.refuse(Subject::Vm(vm), reason);
    }

    pub(crate) fn refuse_host(&mut self, host: HostId, reason: RefusalReason) {
        self.refuse(Subject::Host(host), reason);
    }

    /// One word for each subject: the first stays.
    fn refuse(&mut self, subject: Subject, reason: RefusalReason) {
        if self.refused.insert(subject) {
            self.refusals.push(Refusal { subject, reason });
        }
    }
}
