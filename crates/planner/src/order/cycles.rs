//! Moves that wait for each other: one of each ring goes through spare room, or is refused.
//!
//! Called when nothing runs and nothing can start. Whoever then waits for a host that nobody will leave waits for ever and
//! stays where it is. From every other host that somebody waits for somebody waits to leave; following them one by one
//! leads around a ring. All rings that can be found at once, none sharing a host, are broken at once: each by the
//! smallest VM whose going aside lets another in, to the roomiest host that nobody is on the way to. It moves twice, so
//! its budget must hold two. Where no ring can be broken, the largest VM of each stays.

use super::links::{Port, Way};
use super::play::Play;
use super::room::Size;
use dormouse_model::{HostId, Mib, VmId};
use std::cmp::Reverse;

/// Lets at least one waiting job start, or refuses one. Returns the VMs that it refused.
pub(super) fn resolve(play: &mut Play<'_, '_>, takes: &[bool]) -> Vec<VmId> {
    let mut refused = hopeless(play);
    if !refused.is_empty() {
        return refused;
    }
    let mut spares = Spares::of(play, takes);
    let rings: Vec<Vec<u32>> = rings(play)
        .into_iter()
        .map(|ring| ring.into_iter().flat_map(|host| leaving(play, host)).collect())
        .collect();
    let mut broken = false;
    for waiting in &rings {
        // The budget of all moves may be less than there are rings.
        if !play.may_start_one() {
            break;
        }
        broken |= spares.step_aside(play, waiting);
    }
    if broken {
        // The room that one ring used may do for the next when it is free again.
        return refused;
    }
    for waiting in rings {
        let size = |index: &u32| (play.job(*index).size.mem, Reverse(*index));
        if let Some(largest) = waiting.into_iter().max_by_key(size) {
            refused.extend(play.give_up(largest));
        }
    }
    refused
}

fn leaving(play: &Play<'_, '_>, host: HostId) -> impl Iterator<Item = u32> {
    play.queues.of(Port::outward(host)).map(|waiting| waiting.job)
}

/// Those who wait for hosts that nobody leaves, and those who wait for them, and so on.
fn hopeless(play: &mut Play<'_, '_>) -> Vec<VmId> {
    let nobody_leaves = |play: &Play<'_, '_>, host: HostId| {
        play.queues.is_empty(Port::outward(host)) && !play.queues.is_empty(Port::inward(host))
    };
    let mut open: Vec<HostId> = play.picture.host_ids().filter(|host| nobody_leaves(play, *host)).collect();
    let mut refused = vec![];
    while let Some(host) = open.pop() {
        let waiting: Vec<u32> = play.queues.of(Port::inward(host)).map(|waiting| waiting.job).collect();
        for index in waiting {
            let from = play.job(index).way.from;
            refused.extend(play.give_up(index));
            if nobody_leaves(play, from) {
                open.push(from);
            }
        }
    }
    refused.sort_unstable();
    refused
}

/// Rings of hosts, each waited for by the one before: from each host the way of the first who waits to leave it.
fn rings(play: &Play<'_, '_>) -> Vec<Vec<HostId>> {
    let next = |host: HostId| leaving(play, host).next().map(|index| play.job(index).way.to);
    // Which walk came by first, by host.
    let mut walk_of: Vec<Option<HostId>> = vec![None; play.picture.hosts.len()];
    let mut rings = vec![];
    for start in play.picture.host_ids() {
        let mut here = start;
        let mut way = vec![];
        while walk_of[here.index()].is_none() {
            walk_of[here.index()] = Some(start);
            way.push(here);
            match next(here) {
                Some(there) => here = there,
                None => break,
            }
        }
        // It met its own steps, and not only those of an earlier walk.
        if let Some(entry) = way.iter().position(|host| *host == here)
            && next(way[way.len() - 1]) == Some(here)
        {
            rings.push(way.split_off(entry));
        }
    }
    rings
}

/// Hosts that take VMs: first those that nobody is on the way to, the roomiest of each kind first.
struct Spares {
    quiet: Vec<HostId>,
    awaited: Vec<HostId>,
    /// Chosen already, in no order of room.
    used: Vec<HostId>,
}

impl Spares {
    fn of(play: &Play<'_, '_>, takes: &[bool]) -> Self {
        let open = play.picture.host_ids().filter(|host| takes[host.index()]);
        let (mut quiet, mut awaited): (Vec<HostId>, Vec<HostId>) =
            open.partition(|host| play.is_quiet(*host));
        for hosts in [&mut quiet, &mut awaited] {
            hosts.sort_by_key(|host| (Reverse(play.room.free(*host)), *host));
        }
        Self { quiet, awaited, used: vec![] }
    }

    /// Sends the best of these aside; tells whether one could go.
    fn step_aside(&mut self, play: &mut Play<'_, '_>, waiting: &[u32]) -> bool {
        let mut candidates: Vec<(bool, Mib, VmId, u32)> = waiting
            .iter()
            .filter_map(|index| {
                let job = play.job(*index);
                let vm = job.lone()?;
                let (view, from) = (play.picture.vm(vm), job.way.from);
                let may = view.moves_left >= 2 || play.picture.host(from).drain;
                let mut behind = play.queues.of(Port::inward(from));
                let helps = behind.any(|other| play.room.would_let_in(play.job(other.job), vm));
                (may && !play.has_stepped_aside(vm)).then_some((!helps, view.mem, vm, *index))
            })
            .collect();
        candidates.sort_unstable();
        for (_, _, vm, index) in candidates {
            if let Some(spare) = self.best(play, vm, play.job(index).way) {
                play.step_aside(index, spare);
                return true;
            }
        }
        false
    }

    fn best(&mut self, play: &Play<'_, '_>, vm: VmId, way: Way) -> Option<HostId> {
        let size = Size::of(play.picture, std::iter::once(vm));
        let suits = |host: &HostId| {
            *host != way.from
                && *host != way.to
                && play.room.has_room(size, *host)
                && play.picture.allows(vm, *host)
                && play.picture.same_cpu(vm, *host)
                && play.room.meets_none(vm, *host)
        };
        let roomy = |host: &&HostId| play.room.free(**host) >= size.mem;
        for hosts in [&mut self.quiet, &mut self.awaited] {
            if let Some(place) = hosts.iter().take_while(roomy).position(suits) {
                let spare = hosts.remove(place);
                self.used.push(spare);
                return Some(spare);
            }
        }
        self.used.iter().copied().find(suits)
    }
}
