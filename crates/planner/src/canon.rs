//! The same cluster in another order of lines is the same cluster: planning sees hosts and VMs by name.
//!
//! Ties are broken by place, so the places must not depend on who wrote the text or which VM was seen first. A picture
//! that is in order already (most texts are) is used as it is; any other is put in order, and the answer put back.
//! Policy `seed` is left out: for it the order of the text *is* a rule.

use crate::patience::Patience;
use dormouse_model::{
    Action, AwakeReason, Because, Cluster, Group, HostId, Keep, Plan, PolicyName, Report, Rule, Snapshot,
    Subject, Vm, VmId, VmSpec, VmState,
};
use std::sync::Arc;

/// For each place in the ordered picture the id in the original one.
pub(crate) struct Canon {
    hosts: Vec<HostId>,
    vms: Vec<VmId>,
}

/// VMs that are looked at between two questions for patience.
const VMS_AT_ONCE: usize = 4096;

/// The picture in order of names, and the way back; `None` if it is in order, or if patience ends before that is known.
pub(crate) fn ordered(snapshot: &Snapshot, patience: &mut Patience<'_>) -> Option<(Snapshot, Canon)> {
    if snapshot.cluster.policy.name == PolicyName::Seed {
        return None;
    }
    let host_key = |id: &HostId| &snapshot.host(*id).spec.name;
    let mut hosts: Vec<HostId> = snapshot.host_ids().collect();
    let hosts_in_order = hosts.is_sorted_by_key(host_key);
    let vms = vms_by_name(snapshot, patience)?;
    if vms.is_none() && hosts_in_order {
        return None;
    }
    let vms = vms.unwrap_or_else(|| snapshot.vm_ids().collect());
    hosts.sort_by(|a, b| host_key(a).cmp(host_key(b)));
    let to = Places {
        hosts: inverse(&hosts, |id| id.index(), HostId::at),
        vms: inverse(&vms, |id| id.index(), VmId::at),
        hosts_in_order,
    };
    let mut placed = Vec::with_capacity(vms.len());
    for chunk in vms.chunks(VMS_AT_ONCE) {
        placed.extend(chunk.iter().map(|id| to.vm(snapshot.vm(*id))));
        if !patience.lasts() {
            return None;
        }
    }
    let picture = Snapshot {
        cluster: Arc::new(to.cluster(&snapshot.cluster)),
        hosts: hosts.iter().map(|id| snapshot.host(*id).clone()).collect(),
        vms: placed,
        lull: snapshot.lull,
    };
    Some((picture, Canon { hosts, vms }))
}

/// The VMs in order of their names, `Some(None)` if they are in order already; `None` if patience ends before.
fn vms_by_name(snapshot: &Snapshot, patience: &mut Patience<'_>) -> Option<Option<Vec<VmId>>> {
    let key = |id: VmId| (&snapshot.vm(id).spec.name, snapshot.vm(id).spec.uuid);
    // Most names differ in their first letters; names themselves lie far apart in memory.
    let mut begun: Vec<(u128, VmId)> = Vec::with_capacity(snapshot.vms.len());
    let order = |a: &(u128, VmId), b: &(u128, VmId)| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(&key(b.1)));
    let mut in_order = true;
    for start in (0..snapshot.vms.len()).step_by(VMS_AT_ONCE) {
        let chunk = start..(start + VMS_AT_ONCE).min(snapshot.vms.len());
        begun.extend(chunk.map(VmId::at).map(|id| (beginning(snapshot.vm(id).spec.name.as_str()), id)));
        // With one name of the chunk before, so that the seam is compared as well.
        in_order = in_order && begun[start.saturating_sub(1)..].is_sorted_by(|a, b| order(a, b).is_le());
        if !in_order {
            begun[start..].sort_by(order);
        }
        if !patience.lasts() {
            return None;
        }
    }
    if in_order {
        return Some(None);
    }
    let mut sorted = VMS_AT_ONCE;
    while sorted < begun.len() {
        for pair in begun.chunks_mut(2 * sorted) {
            // Two runs: a stable sort merges them in one pass.
            pair.sort_by(order);
            if !patience.lasts() {
                return None;
            }
        }
        sorted *= 2;
    }
    Some(Some(begun.into_iter().map(|(_, id)| id).collect()))
}

/// The first letters of a name as a number of the same order.
fn beginning(name: &str) -> u128 {
    let mut letters = [0; 16];
    let length = name.len().min(letters.len());
    letters[..length].copy_from_slice(&name.as_bytes()[..length]);
    u128::from_be_bytes(letters)
}

fn inverse<T: Copy>(order: &[T], index: impl Fn(T) -> usize, at: impl Fn(usize) -> T) -> Vec<T> {
    let mut places = order.to_vec();
    for (place, id) in order.iter().enumerate() {
        places[index(*id)] = at(place);
    }
    places
}

/// For each original id its place in the ordered picture. Ids that are not in the picture keep their number.
struct Places {
    hosts: Vec<HostId>,
    vms: Vec<VmId>,
    hosts_in_order: bool,
}

impl Places {
    fn of_host(&self, id: HostId) -> HostId {
        self.hosts.get(id.index()).copied().unwrap_or(id)
    }
    fn of_hosts(&self, ids: &[HostId]) -> Vec<HostId> {
        ids.iter().map(|id| self.of_host(*id)).collect()
    }
    fn of_vms(&self, ids: &[VmId]) -> Vec<VmId> {
        ids.iter().map(|id| self.vms.get(id.index()).copied().unwrap_or(*id)).collect()
    }

    /// What planning reads of a cluster: groups, circuits, keeps, policy. Its hosts and VMs are in the picture.
    fn cluster(&self, cluster: &Cluster) -> Cluster {
        let rule = |rule: &Rule| match rule {
            Rule::Fence(hosts) => Rule::Fence(self.of_hosts(hosts)),
            other => other.clone(),
        };
        let group = |group: &Group| Group {
            name: group.name.clone(),
            vms: self.of_vms(&group.vms),
            rules: group.rules.iter().map(rule).collect(),
        };
        Cluster {
            name: cluster.name.clone(),
            link: cluster.link,
            hosts: vec![],
            vms: vec![],
            groups: cluster.groups.iter().map(group).collect(),
            circuits: cluster.circuits.clone(),
            holds: vec![],
            keeps: cluster
                .keeps
                .iter()
                .map(|keep| Keep { count: keep.count, hosts: self.of_hosts(&keep.hosts) })
                .collect(),
            policy: cluster.policy.clone(),
            schedule: cluster.schedule.clone(),
        }
    }

    fn vm(&self, vm: &Vm) -> Vm {
        if self.hosts_in_order {
            return vm.clone();
        }
        let spec = &vm.spec;
        let state = match &vm.state {
            VmState::Stopped => VmState::Stopped,
            VmState::Running { at } => VmState::Running { at: self.of_host(*at) },
            VmState::Paused { at } => VmState::Paused { at: self.of_host(*at) },
            VmState::Saved { at } => VmState::Saved { at: self.of_host(*at) },
            VmState::Lost { at } => VmState::Lost { at: self.of_host(*at) },
            VmState::Failed { at } => VmState::Failed { at: at.map(|at| self.of_host(at)) },
            VmState::Migrating { from, to } => {
                VmState::Migrating { from: self.of_host(*from), to: self.of_host(*to) }
            }
            VmState::Stuck { from, to } => {
                VmState::Stuck { from: self.of_host(*from), to: self.of_host(*to) }
            }
            VmState::Conflict { hosts } => VmState::Conflict { hosts: self.of_hosts(hosts) },
        };
        let spec = VmSpec {
            home: spec.home.map(|home| self.of_host(home)),
            pin: self.of_hosts(&spec.pin),
            ban: self.of_hosts(&spec.ban),
            at: self.of_host(spec.at),
            ..(**spec).clone()
        };
        let mut barred = vm.barred.clone();
        barred.iter_mut().for_each(|barred| barred.to = self.of_host(barred.to));
        barred.sort_unstable_by_key(|barred| barred.to);
        Vm { spec: Arc::new(spec), state, barred, ..vm.clone() }
    }
}

impl Canon {
    fn host(&self, id: &mut HostId) {
        *id = self.hosts[id.index()];
    }
    fn vm(&self, id: &mut VmId) {
        *id = self.vms[id.index()];
    }

    /// Places of VMs, by VM, in the ids of the original picture.
    pub(crate) fn places_back(&self, places: &[Option<HostId>]) -> Vec<Option<HostId>> {
        let mut back = vec![None; places.len()];
        for (vm, place) in self.vms.iter().zip(places) {
            back[vm.index()] = place.map(|host| self.hosts[host.index()]);
        }
        back
    }

    /// Plan and report in the ids of the original picture.
    pub(crate) fn put_back(&self, plan: &mut Plan, report: &mut Report) {
        for step in &mut plan.steps {
            match &mut step.action {
                Action::Migrate { vm, from, to } => {
                    self.vm(vm);
                    self.host(from);
                    self.host(to);
                }
                Action::Wake { host } | Action::Sleep { host } | Action::Fence { host } => self.host(host),
                Action::Start { vm, host } | Action::Stop { vm, host } => {
                    self.vm(vm);
                    self.host(host);
                }
            }
            match &mut step.because {
                Because::Empties { host } | Because::Relieves { host } | Because::Drains { host } => {
                    self.host(host)
                }
                Because::Substitute { of } => self.host(of),
                _ => {}
            }
        }
        for (host, reason) in &mut report.awake {
            self.host(host);
            match reason {
                AwakeReason::Immovable { vm, .. } | AwakeReason::NoSlot { vm } => self.vm(vm),
                AwakeReason::FailoverRoom { host, .. } => self.host(host),
                AwakeReason::NoMemory { vm, on, .. } | AwakeReason::NoCpu { vm, on, .. } => {
                    self.vm(vm);
                    on.iter_mut().for_each(|on| self.host(on));
                }
                _ => {}
            }
        }
        report.awake.sort_by_key(|(host, _)| *host);
        for refusal in &mut report.refusals {
            match &mut refusal.subject {
                Subject::Host(host) => self.host(host),
                Subject::Vm(vm) => self.vm(vm),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{VMS_AT_ONCE, beginning, vms_by_name};
    use crate::patience::Patience;
    use dormouse_model::{Snapshot, VmId};
    use std::sync::Arc;

    #[test]
    fn many_vms_are_put_in_order_piece_by_piece() {
        let count = 2 * VMS_AT_ONCE + 1000;
        let text = format!("cluster c\nhost h cpus=1 mem=1G\nvm v[1-{count}]@h vcpus=1 mem=1M\n");
        let snapshot = Snapshot::of(&Arc::new(dormouse_model::text::parse(&text).expect("a cluster")));
        let mut all = || true;
        let found = vms_by_name(&snapshot, &mut Patience::of(&mut all)).expect("time enough");
        let mut expected: Vec<VmId> = snapshot.vm_ids().collect();
        expected.sort_by_key(|id| snapshot.vm(*id).spec.name.clone());
        assert_eq!(found, Some(expected));
        let mut left = 4;
        let mut some = || {
            left -= 1;
            left > 0
        };
        assert_eq!(
            vms_by_name(&snapshot, &mut Patience::of(&mut some)),
            None,
            "asked between the merges as well"
        );
    }

    #[test]
    fn the_beginning_of_a_name_never_contradicts_its_order() {
        let names =
            ["", "a", "a\0", "ab", "abcdefghijklmnop", "abcdefghijklmnopq", "b", "é", "日本語日本語日本語"];
        for (a, b) in names.iter().zip(&names[1..]) {
            assert!(a < b && beginning(a) <= beginning(b), "{a:?} {b:?}");
        }
    }
}
