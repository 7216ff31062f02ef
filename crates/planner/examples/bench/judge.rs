//! How good a plan is, by arithmetic of its own: nothing here asks the planner.

use dormouse_model::{Action, HostId, Mib, Millis, Plan, Snapshot, StepId, VmId, Watts};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A move, and the moves (by place in the list) that must be over before it starts.
pub(crate) struct Move {
    pub(crate) vm: VmId,
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) needs: Vec<usize>,
}

/// The moves of a plan that wakes nobody.
pub(crate) fn moves(plan: &Plan) -> Vec<Move> {
    let mut place: BTreeMap<StepId, usize> = BTreeMap::new();
    let mut moves: Vec<Move> = vec![];
    for step in &plan.steps {
        if let Action::Migrate { vm, from, to } = step.action {
            place.insert(step.id, moves.len());
            let needs = step.needs.iter().filter_map(|need| place.get(need).copied()).collect();
            moves.push(Move { vm, from, to, needs });
        }
    }
    moves
}

pub(crate) fn bytes(snapshot: &Snapshot, moves: &[Move]) -> Mib {
    moves.iter().map(|one| snapshot.vm(one.vm).spec.mem).sum()
}

/// The least that has to be moved to empty as many hosts of each kind as this plan does: the emptiest of each kind.
/// Hosts are of one kind if they have the same memory and draw the same.
pub(crate) fn least_bytes(snapshot: &Snapshot, plan: &Plan) -> Mib {
    let kind = |host: HostId| {
        let spec = &snapshot.host(host).spec;
        (spec.mem, spec.watts_idle, spec.cpus)
    };
    let mut emptied: BTreeMap<_, usize> = BTreeMap::new();
    for step in &plan.steps {
        if let Action::Sleep { host } = step.action {
            *emptied.entry(kind(host)).or_default() += 1;
        }
    }
    let mut held: BTreeMap<_, Vec<Mib>> = BTreeMap::new();
    for (host, used) in snapshot.host_ids().zip(used(snapshot)) {
        held.entry(kind(host)).or_default().push(used);
    }
    let least = |(kind, count): (&_, &usize)| {
        let mut held = held[kind].clone();
        held.sort_unstable();
        held.into_iter().take(*count).sum::<Mib>()
    };
    emptied.iter().map(least).sum()
}

/// Memory of the VMs on each host.
pub(crate) fn used(snapshot: &Snapshot) -> Vec<Mib> {
    let mut used = vec![Mib::ZERO; snapshot.hosts.len()];
    for vm in &snapshot.vms {
        if let Some(at) = vm.state.host() {
            used[at.index()] += vm.spec.mem;
        }
    }
    used
}

fn transfer(snapshot: &Snapshot, one: &Move) -> Millis {
    let rate = snapshot.host(one.from).spec.link.min(snapshot.host(one.to).spec.link);
    snapshot.vm(one.vm).spec.mem.transfer_time(rate)
}

/// What no order of these moves beats: the longest time that one host is busy sending, or taking.
pub(crate) fn link_bound(snapshot: &Snapshot, moves: &[Move]) -> Millis {
    let mut busy: BTreeMap<(HostId, bool), Millis> = BTreeMap::new();
    for one in moves {
        *busy.entry((one.from, false)).or_default() += transfer(snapshot, one);
        *busy.entry((one.to, true)).or_default() += transfer(snapshot, one);
    }
    busy.into_values().max().unwrap_or_default()
}

/// How long the moves take when each starts as soon as all that it needs is over and both its ends are free, one into
/// and one out of each host at a time; of those that could start, the first in the list does.
pub(crate) fn total_time(snapshot: &Snapshot, moves: &[Move]) -> Millis {
    let mut play = Play::of(snapshot, moves);
    let mut end = Millis::ZERO;
    for host in 0..snapshot.hosts.len() {
        play.start_at(host, Millis::ZERO);
    }
    while let Some(std::cmp::Reverse((now, index))) = play.running.pop() {
        end = now;
        for host in play.over(index) {
            play.start_at(host, now);
        }
    }
    assert!(play.left == 0, "moves wait for each other");
    end
}

struct Play<'a> {
    snapshot: &'a Snapshot,
    moves: &'a [Move],
    missing: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    /// What could start but for its ends, by source and by destination.
    ready: Vec<[BTreeSet<usize>; 2]>,
    busy: Vec<[bool; 2]>,
    running: BinaryHeap<std::cmp::Reverse<(Millis, usize)>>,
    left: usize,
}

const OUT: usize = 0;
const IN: usize = 1;

impl<'a> Play<'a> {
    fn of(snapshot: &'a Snapshot, moves: &'a [Move]) -> Self {
        let hosts = snapshot.hosts.len();
        let mut play = Self {
            snapshot,
            moves,
            missing: moves.iter().map(|one| one.needs.len()).collect(),
            dependents: vec![vec![]; moves.len()],
            ready: vec![[BTreeSet::new(), BTreeSet::new()]; hosts],
            busy: vec![[false; 2]; hosts],
            running: BinaryHeap::new(),
            left: moves.len(),
        };
        for (index, one) in moves.iter().enumerate() {
            one.needs.iter().for_each(|need| play.dependents[*need].push(index));
            if one.needs.is_empty() {
                play.set_ready(index);
            }
        }
        play
    }

    fn set_ready(&mut self, index: usize) {
        let one = &self.moves[index];
        self.ready[one.from.index()][OUT].insert(index);
        self.ready[one.to.index()][IN].insert(index);
    }

    /// Starts what can start out of and into this host.
    fn start_at(&mut self, host: usize, now: Millis) {
        for way in [OUT, IN] {
            if self.busy[host][way] {
                continue;
            }
            let free = |index: &&usize| {
                let one = &self.moves[**index];
                !self.busy[one.from.index()][OUT] && !self.busy[one.to.index()][IN]
            };
            let Some(index) = self.ready[host][way].iter().find(free).copied() else { continue };
            let one = &self.moves[index];
            self.ready[one.from.index()][OUT].remove(&index);
            self.ready[one.to.index()][IN].remove(&index);
            self.busy[one.from.index()][OUT] = true;
            self.busy[one.to.index()][IN] = true;
            self.left -= 1;
            self.running.push(std::cmp::Reverse((now + transfer(self.snapshot, one), index)));
        }
    }

    /// Ends a move; the hosts at which something may start now.
    fn over(&mut self, index: usize) -> Vec<usize> {
        let one = &self.moves[index];
        self.busy[one.from.index()][OUT] = false;
        self.busy[one.to.index()][IN] = false;
        let mut hosts = vec![one.to.index(), one.from.index()];
        for dependent in std::mem::take(&mut self.dependents[index]) {
            self.missing[dependent] -= 1;
            if self.missing[dependent] == 0 {
                self.set_ready(dependent);
                hosts.push(self.moves[dependent].to.index());
            }
        }
        hosts
    }
}

/// Idle watts of the hosts that stay on, above what they would draw asleep.
pub(crate) fn idle_watts(after: &Snapshot) -> Watts {
    let on = after.hosts.iter().filter(|host| !host.state.is_down());
    on.map(|host| host.spec.watts_idle.saturating_sub(host.spec.watts_asleep)).sum()
}

/// The least that any numbers of hosts of each kind draw idle whose memory together holds all VMs (the integer
/// knapsack bound). Kinds are few; all numbers of all but one are tried.
pub(crate) fn knapsack(snapshot: &Snapshot) -> Watts {
    let mut kinds: BTreeMap<(Mib, Watts), u64> = BTreeMap::new();
    for host in &snapshot.hosts {
        let spec = &host.spec;
        *kinds.entry((spec.mem_for_vms(), spec.watts_idle.saturating_sub(spec.watts_asleep))).or_default() +=
            1;
    }
    let kinds: Vec<(Mib, Watts, u64)> =
        kinds.into_iter().map(|((mem, watts), count)| (mem, watts, count)).collect();
    fn least(kinds: &[(Mib, Watts, u64)], left: u64) -> Option<u64> {
        let (&(mem, watts, count), rest) = kinds.split_first()?;
        if rest.is_empty() {
            let number = left.div_ceil(mem.0);
            return (number <= count).then_some(number * watts.0);
        }
        let with = |number: u64| Some(number * watts.0 + least(rest, left.saturating_sub(number * mem.0))?);
        (0..=count).filter_map(with).min()
    }
    let need: Mib = snapshot.vms.iter().filter(|vm| vm.state.host().is_some()).map(|vm| vm.spec.mem).sum();
    Watts(least(&kinds, need.0).expect("everything is somewhere"))
}

/// Tries each single death: can the VMs of the dead host be laid out on the rest, largest first, each where it fits
/// most tightly? How many deaths that does not settle.
pub(crate) fn deaths_not_survived(after: &Snapshot) -> usize {
    let mut free: BTreeSet<(Mib, HostId)> = BTreeSet::new();
    for (host, used) in after.host_ids().zip(used(after)) {
        if !after.host(host).state.is_down() {
            free.insert((after.host(host).spec.mem_for_vms().saturating_sub(used), host));
        }
    }
    let mut on: BTreeMap<HostId, Vec<Mib>> = BTreeMap::new();
    for vm in &after.vms {
        if let Some(at) = vm.state.host() {
            on.entry(at).or_default().push(vm.spec.mem);
        }
    }
    let survives = |(dead, vms): (&HostId, &Vec<Mib>)| {
        let mut vms = vms.clone();
        vms.sort_unstable_by(|a, b| b.cmp(a));
        let mut free = free.clone();
        free.retain(|(_, host)| host != dead);
        vms.into_iter().all(|mem| {
            let Some((room, host)) = free.range((mem, HostId(0))..).next().copied() else { return false };
            free.remove(&(room, host));
            free.insert((room - mem, host));
            true
        })
    };
    on.iter().filter(|one| !survives(*one)).count()
}
