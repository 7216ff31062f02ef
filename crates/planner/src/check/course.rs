//! What a plan does to each host and to each VM, gathered once: who is there, who comes, who goes, by which step.

use dormouse_model::{Action, HostId, Plan, Snapshot, StepId, VmId};
use std::collections::BTreeMap;

pub(super) struct Course {
    /// VMs that hold, or may hold, memory on each host before anything happens.
    residents: Vec<Vec<VmId>>,
    traffic: BTreeMap<HostId, Traffic>,
    /// For each VM that is moved or started: step, where from, where to. In the order of the plan.
    pub(super) moves: BTreeMap<VmId, Vec<Passage>>,
    wakes: BTreeMap<HostId, StepId>,
}

/// What a plan does to the VMs of one host.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) arrivals: Vec<(StepId, VmId)>,
    pub(super) departures: Vec<(StepId, VmId)>,
}

/// One move of one VM; `from` is nowhere when it is started.
#[derive(Clone, Copy)]
pub(super) struct Passage {
    pub(super) step: StepId,
    pub(super) from: Option<HostId>,
    pub(super) to: HostId,
}

impl Course {
    pub(super) fn of(before: &Snapshot, plan: &Plan) -> Self {
        let mut residents = vec![vec![]; before.hosts.len()];
        for vm in before.vm_ids() {
            for host in before.vm(vm).state.hosts() {
                residents.get_mut(host.index()).into_iter().for_each(|here: &mut Vec<VmId>| here.push(vm));
            }
        }
        let mut course =
            Self { residents, traffic: BTreeMap::new(), moves: BTreeMap::new(), wakes: BTreeMap::new() };
        for step in &plan.steps {
            match step.action {
                Action::Migrate { vm, from, to } => {
                    course.depart(step.id, vm, from);
                    course.arrive(step.id, vm, Some(from), to);
                }
                Action::Start { vm, host } => course.arrive(step.id, vm, None, host),
                Action::Stop { vm, host } => course.depart(step.id, vm, host),
                Action::Wake { host } => _ = course.wakes.entry(host).or_insert(step.id),
                Action::Sleep { .. } | Action::Fence { .. } => {}
            }
        }
        course
    }

    fn arrive(&mut self, step: StepId, vm: VmId, from: Option<HostId>, to: HostId) {
        self.traffic.entry(to).or_default().arrivals.push((step, vm));
        self.moves.entry(vm).or_default().push(Passage { step, from, to });
    }

    fn depart(&mut self, step: StepId, vm: VmId, from: HostId) {
        self.traffic.entry(from).or_default().departures.push((step, vm));
    }

    pub(super) fn residents(&self, host: HostId) -> &[VmId] {
        &self.residents[host.index()]
    }

    pub(super) fn traffic(&self) -> impl Iterator<Item = (HostId, &Traffic)> {
        self.traffic.iter().map(|(host, traffic)| (*host, traffic))
    }

    pub(super) fn traffic_of(&self, host: HostId) -> Option<&Traffic> {
        self.traffic.get(&host)
    }

    pub(super) fn passages(&self, vm: VmId) -> &[Passage] {
        self.moves.get(&vm).map_or(&[], Vec::as_slice)
    }

    /// The step that wakes this host.
    pub(super) fn wake_of(&self, host: HostId) -> Option<StepId> {
        self.wakes.get(&host).copied()
    }
}
