//! Enough stays on (I8), with the reserves the policy promises (I9), and nothing is overfilled (I10).

use dormouse_model::{Action, HostId, HostState, Mib, Millis, Mono, PolicyName};

use std::collections::BTreeMap;
use uuid::Uuid;

use super::{Found, Invariant, Scene};
use crate::note::Note;
use crate::world::{Power, VmTruth};

/// Hosts that are in one of these states by belief, and on by truth or were so long enough ago that nobody could know
/// better; without this one.
fn usable<'a>(
    scene: &'a Scene<'_>,
    fell: &'a [Option<Mono>],
    without: HostId,
    unseen: Millis,
    states: &'a [HostState],
) -> impl Iterator<Item = HostId> + 'a {
    let lately = move |host: HostId| fell[host.index()].is_some_and(|fell| scene.at.since(fell) <= unseen);
    scene
        .world
        .hosts
        .iter()
        .filter(move |host| {
            host.id != without
                && (host.power == Power::On || lately(host.id))
                && states.contains(&scene.belief[host.id.index()])
        })
        .map(|host| host.id)
}

/// When each host last left `on`.
fn falls(fell: &mut [Option<Mono>], note: &Note, scene: &Scene<'_>) {
    if let Note::Power { host, from: Power::On, .. } = note {
        fell[host.index()] = Some(scene.at);
    }
}

fn leads(leader: &mut u64, note: &Note) {
    if let Note::Leased { epoch, .. } = note {
        *leader = *epoch;
    }
}

/// I8, judged where it can be broken by us: when a host is told to go off.
#[derive(Debug)]
pub(super) struct MinimumOn {
    fell: Vec<Option<Mono>>,
    /// Who was relied on when each host was last sent its off command: what changes while that is on its way is too late.
    on_then: Vec<Vec<HostId>>,
    /// The epoch that leads: what an earlier one sent late is not the present one's doing.
    epoch: u64,
}

impl MinimumOn {
    pub(super) fn new(hosts: usize) -> Self {
        Self { fell: vec![None; hosts], on_then: vec![vec![]; hosts], epoch: 0 }
    }
}

impl Invariant for MinimumOn {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        falls(&mut self.fell, note, scene);
        leads(&mut self.epoch, note);
        if let Note::Acted(intent) = note
            && let Action::Sleep { host } = intent.action
        {
            let on = |host: &HostId| scene.belief[host.index()] == HostState::On;
            self.on_then[host.index()] = scene.cluster.host_ids().filter(on).collect();
        }
        if let Note::GuardAgreed { host, epoch } = note
            && epoch.0 >= self.epoch
        {
            // A host that missed its last look is not relied on.
            let unseen = scene.settings.observe_every + scene.settings.look_deadline;
            let on = |other: &HostId| {
                scene.belief[other.index()] == HostState::On || self.on_then[host.index()].contains(other)
            };
            let left = usable(scene, &self.fell, *host, unseen, &HostState::ALL).filter(on).count();
            if left < scene.cluster.policy.knobs.min_on as usize {
                found.add(
                    "I8",
                    scene.at,
                    format!("{} went off and {left} usable hosts were left", scene.name(*host)),
                );
            }
        }
    }
}

/// I9: after each sleep there is still room for the largest VM, and for the VMs of a host that dies. A VM on the move holds
/// memory at both ends for a moment and needs only one of them: the reserves must stand whether the moves end or fail.
/// Policy `seed` knows no reserves, and an operator may spend them.
#[derive(Debug)]
pub(super) struct Reserves {
    fell: Vec<Option<Mono>>,
    /// When a user started them: nobody can know before the next look.
    started: BTreeMap<Uuid, Mono>,
    epoch: u64,
}

impl Reserves {
    pub(super) fn new(hosts: usize) -> Self {
        Self { fell: vec![None; hosts], started: BTreeMap::new(), epoch: 0 }
    }
}

impl Invariant for Reserves {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        falls(&mut self.fell, note, scene);
        leads(&mut self.epoch, note);
        if let Note::VmStarted { vm, .. } = note {
            self.started.insert(*vm, scene.at);
        }
        let Note::GuardAgreed { host, epoch } = note else { return };
        if epoch.0 < self.epoch {
            return;
        }
        if scene.cluster.policy.name == PolicyName::Seed || scene.ordered.contains(host) {
            return;
        }
        let periods = u64::from(scene.settings.stale_periods) + 1;
        let unseen = Millis(scene.settings.observe_every.0 * periods) + scene.settings.look_deadline;
        // One that a plan empties is there while it is: it is judged itself when it goes.
        let states = [HostState::On, HostState::Draining];
        let hosts: Vec<HostId> = usable(scene, &self.fell, *host, unseen, &states)
            .filter(|host| scene.belief[host.index()] == HostState::On || !scene.ordered.contains(host))
            .collect();
        let look = scene.settings.observe_every + scene.settings.look_deadline;
        self.started.retain(|_, at| scene.at.since(*at) <= look);
        for moved in [true, false] {
            if let Some(broken) = broken_reserve(scene, &hosts, moved, &self.started) {
                let text = format!("{} went off{broken}", scene.name(*host));
                return found.add("I9", scene.at, text);
            }
        }
    }
}

/// What is wrong with the reserves on these hosts once all moves under way have ended, at their destinations or not.
fn broken_reserve(
    scene: &Scene<'_>,
    hosts: &[HostId],
    moved: bool,
    new: &BTreeMap<Uuid, Mono>,
) -> Option<String> {
    let (knobs, world) = (&scene.cluster.policy.knobs, scene.world);
    let leaves = |vm: &VmTruth, host: HostId| {
        let flow = vm.flow.and_then(|flow| world.flows.iter().find(|other| other.id == flow));
        flow.is_some_and(|flow| host == if moved { flow.from } else { flow.to })
    };
    let held = |host: HostId| {
        let here = world.present_on(host).filter(move |vm| !leaves(vm, host));
        here.filter(|vm| !new.contains_key(&vm.spec.uuid)).map(|vm| vm.spec.mem)
    };
    let overhead = |host: HostId| world.host(host).spec.overhead;
    let used = |host: HostId| held(host).map(|mem| mem + overhead(host)).sum::<Mib>();
    let free = |host: HostId| world.host(host).spec.mem_for_vms().saturating_sub(used(host));
    // VMs on hosts that are silent are out of reach; places are kept for those that can be moved.
    let in_reach = |host: HostId| {
        matches!(scene.belief[host.index()], HostState::On | HostState::Draining | HostState::Stopping)
    };
    let largest =
        world.vms.iter().filter(|vm| vm.lives_on().is_some_and(in_reach)).map(|vm| vm.spec.mem).max();
    if let Some(largest) = largest {
        let places: u64 = hosts.iter().map(|host| free(*host).0 / (largest + overhead(*host)).0.max(1)).sum();
        if places < u64::from(knobs.spare_min) {
            return Some(format!(" and {places} places were free for the largest VM"));
        }
    }
    // Whose VMs are leaving anyway is not counted among those that die.
    let stays = |host: &&HostId| scene.belief[host.index()] == HostState::On;
    let mut fullest: Vec<HostId> = hosts.iter().filter(stays).copied().collect();
    if knobs.failover == 0 || fullest.is_empty() {
        return None;
    }
    // The fullest hosts are the worst to lose; for one host all are tried.
    fullest.sort_by_key(|host| std::cmp::Reverse(used(*host)));
    let losses: Vec<Vec<HostId>> = if knobs.failover == 1 {
        fullest.iter().map(|host| vec![*host]).collect()
    } else {
        vec![fullest.into_iter().take(knobs.failover as usize).collect()]
    };
    losses.into_iter().find_map(|lost| {
        let mut vms: Vec<Mib> = lost.iter().flat_map(|host| held(*host)).collect();
        vms.sort_unstable_by(|a, b| b.cmp(a));
        let left = hosts.iter().filter(|host| !lost.contains(host));
        let room: Vec<(Mib, Mib)> = left.map(|host| (free(*host), overhead(*host))).collect();
        let names: Vec<_> = lost.iter().map(|host| scene.name(*host)).collect();
        (!fits(&vms, room, &mut 20_000))
            .then(|| format!("; if {} died, its VMs would fit nowhere", names.join(", ")))
    })
}

/// Whether these VMs, largest first, fit into that room. Gives the benefit of the doubt when its steps run out.
fn fits(vms: &[Mib], room: Vec<(Mib, Mib)>, steps: &mut u32) -> bool {
    let Some((first, rest)) = vms.split_first() else { return true };
    if *steps == 0 {
        return true;
    }
    *steps -= 1;
    let mut tried: Vec<(Mib, Mib)> = vec![];
    for place in 0..room.len() {
        let (free, overhead) = room[place];
        // Equal rooms are equal choices.
        if free < *first + overhead || tried.contains(&room[place]) {
            continue;
        }
        tried.push(room[place]);
        let mut after = room.clone();
        after[place].0 = free - (*first + overhead);
        if fits(rest, after, steps) {
            return true;
        }
    }
    false
}

/// I10: a move of ours never fills a host beyond its limits. What is over-full already is not our doing.
#[derive(Debug)]
pub(super) struct Capacity;

impl Invariant for Capacity {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        if let Note::MoveStarted { to, intent: Some(_), .. } = note {
            let (used, limit) = (scene.world.mem_used(*to), scene.world.host(*to).spec.mem_for_vms());
            if used > limit {
                found.add("I10", scene.at, format!("{} holds {used} of {limit}", scene.name(*to)));
            }
            let count = scene.world.present_on(*to).count();
            if scene.world.host(*to).spec.slots.is_some_and(|slots| count > slots as usize) {
                found.add(
                    "I10",
                    scene.at,
                    format!("{} holds {count} VMs, more than its slots", scene.name(*to)),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_tries_more_than_the_first_place() {
        let room = |free: &[u64]| free.iter().map(|mib| (Mib(*mib), Mib(0))).collect::<Vec<_>>();
        let vms = |mem: &[u64]| mem.iter().map(|mib| Mib(*mib)).collect::<Vec<_>>();
        // First fit would put 5 into 10 and leave 8 homeless.
        assert!(fits(&vms(&[8, 5, 5]), room(&[10, 8]), &mut 1000));
        assert!(!fits(&vms(&[8, 5, 5]), room(&[9, 8]), &mut 1000));
    }
}
