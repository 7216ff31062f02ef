//! Swaps crumbs of room together until what is left over fits.
//!
//! Best fit leaves a little room on many targets and a few VMs without a place. Where two targets exchange one or two
//! VMs each, so that one of them is filled to the brim, its crumb goes over to the other; enough crumbs make a place.
//! Only VMs that move anyway are exchanged, so nothing is moved that did not have to be.

use super::shelf::Shelf;
use super::{Fill, Load, NONE, Scarce, Target, small};
use crate::patience::Patience;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// VMs of a target that are tried, singly and in pairs.
const TRIED_MAX: usize = 16;
/// Exchanges that may fail in turn, in rounds over all targets, before a VM is given up.
const ROUNDS_MAX: usize = 2;
/// Exchanges that may succeed for one VM, in rounds over all targets: crumbs must not go round in circles.
const EXCHANGED_MAX: usize = 4;

/// Exchanges that are tried between two questions for patience.
const EXCHANGES_AT_ONCE: usize = 64;

/// One or two VMs, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Few {
    size: u64,
    a: u32,
    b: u32,
}

/// Who lies on which target.
struct Crumbs {
    lists: Vec<Vec<u32>>,
    /// Targets in the order in which their crumbs are taken, and where in it we are.
    givers: Vec<u32>,
    turn: usize,
    shelf: Shelf,
    /// Room on each target, all together, and the targets by it.
    rooms: Vec<u64>,
    total: u64,
    by_room: BTreeSet<(u64, Reverse<u32>)>,
}

impl Crumbs {
    fn of(fill: &Fill<'_, '_>) -> Self {
        let mut lists = vec![vec![]; fill.targets.len()];
        for (index, at) in fill.at.iter().enumerate().filter(|(_, at)| **at != NONE) {
            lists[*at as usize].push(small(index));
        }
        let rooms: Vec<u64> = (0..fill.targets.len()).map(|at| fill.room(at)).collect();
        let by_room = rooms.iter().enumerate().map(|(at, room)| (*room, Reverse(small(at)))).collect();
        let total = rooms.iter().sum();
        Self { lists, givers: vec![], turn: 0, shelf: fill.shelf(false), rooms, total, by_room }
    }

    fn put(&mut self, target: usize, room: u64) {
        let was = std::mem::replace(&mut self.rooms[target], room);
        self.total = self.total - was + room;
        self.by_room.remove(&(was, Reverse(small(target))));
        self.by_room.insert((room, Reverse(small(target))));
        self.shelf.put(target, room);
    }
}

impl Fill<'_, '_> {
    /// Places what is left over, as far as it can; hands back the rest.
    pub(super) fn repair(&mut self, mut left: Vec<u32>, patience: &mut Patience<'_>) -> Vec<u32> {
        let mut crumbs = Crumbs::of(self);
        left.sort_by_key(|index| (Reverse(self.size(*index)), *index));
        for (place, index) in left.iter().enumerate() {
            if !patience.lasts() || !self.make_room(*index, &mut crumbs, patience) {
                return left.split_off(place);
            }
        }
        vec![]
    }

    fn load(&self, item: u32) -> Load {
        self.items[item as usize].load
    }

    fn size(&self, item: u32) -> u64 {
        self.scarce.size(self.load(item), self.overhead)
    }

    fn room(&self, target: usize) -> u64 {
        self.scarce.room(&self.targets[target])
    }

    /// Crumbs are gathered on one target until this VM fits there.
    fn make_room(&mut self, item: u32, crumbs: &mut Crumbs, patience: &mut Patience<'_>) -> bool {
        let (load, size) = (self.load(item), self.size(item));
        if crumbs.total < size {
            return false;
        }
        let mut idle = 0;
        let mut exchanged = 0;
        while exchanged <= EXCHANGED_MAX * self.targets.len() {
            if let Some(to) = crumbs.shelf.find(size, |at| self.targets[at].fits(load)) {
                self.targets[to].take(load);
                self.at[item as usize] = small(to);
                crumbs.lists[to].push(item);
                crumbs.put(to, self.room(to));
                return true;
            }
            let Some(taker) = self.richest(load, crumbs) else { return false };
            let mut own = self.few(&crumbs.lists[taker]);
            let mut moved = false;
            while self.room(taker) < size && exchanged <= EXCHANGED_MAX * self.targets.len() {
                let Some(giver) = self.next_giver(crumbs) else { break };
                if giver == taker || self.room(giver) == 0 {
                    idle += 1;
                } else if self.exchange(taker, giver, &own, crumbs) {
                    own = self.few(&crumbs.lists[taker]);
                    moved = true;
                    exchanged += 1;
                    idle = 0;
                } else {
                    idle += 1;
                }
                let asked = crumbs.turn.is_multiple_of(EXCHANGES_AT_ONCE);
                if idle > ROUNDS_MAX * self.targets.len() || (asked && !patience.lasts()) {
                    return false;
                }
            }
            if !moved {
                return false;
            }
        }
        false
    }

    /// Where this fits but for the room and something lies that can be exchanged; of these, where most is free already.
    fn richest(&self, load: Load, crumbs: &Crumbs) -> Option<usize> {
        let mut best = None;
        for (_, Reverse(at)) in crumbs.by_room.iter().rev() {
            let at = *at as usize;
            let suits = (self.targets[at].could_fit(self.scarce, load), crumbs.lists[at].len() > 1);
            if suits == (true, true) {
                return Some(at);
            }
            if best.is_none_or(|(least, _)| suits > least) {
                best = Some((suits, at));
            }
        }
        best.map(|(_, at)| at)
    }

    /// The next target in turn; in each round those with the largest crumbs come first.
    fn next_giver(&self, crumbs: &mut Crumbs) -> Option<usize> {
        if crumbs.turn >= crumbs.givers.len() {
            crumbs.givers = (0..small(self.targets.len())).filter(|at| self.room(*at as usize) > 0).collect();
            crumbs.givers.sort_by_key(|at| (Reverse(self.room(*at as usize)), *at));
            crumbs.turn = 0;
        }
        let giver = crumbs.givers.get(crumbs.turn).copied();
        crumbs.turn += 1;
        giver.map(|at| at as usize)
    }

    /// Ones and twos of these, smallest first.
    fn few(&self, items: &[u32]) -> Vec<Few> {
        let items = &items[..items.len().min(TRIED_MAX)];
        let mut few: Vec<Few> =
            items.iter().map(|item| Few { size: self.size(*item), a: *item, b: NONE }).collect();
        for (index, a) in items.iter().enumerate() {
            let pair = |b: &u32| Few { size: self.size(*a) + self.size(*b), a: *a, b: *b };
            few.extend(items[index + 1..].iter().map(pair));
        }
        few.sort_unstable();
        few
    }

    /// The exchange that fills the giver best, if there is any that fills it better than now.
    fn exchange(&mut self, taker: usize, giver: usize, own: &[Few], crumbs: &mut Crumbs) -> bool {
        let mut theirs = self.few(&crumbs.lists[giver]);
        theirs.insert(0, Few { size: 0, a: NONE, b: NONE });
        let crumb = self.room(giver);
        let mut best: Option<(u64, Few, Few)> = None;
        let mut end = 0;
        for back in &theirs {
            while own.get(end).is_some_and(|few| few.size <= back.size + crumb) {
                end += 1;
            }
            let Some(forth) = end.checked_sub(1).map(|at| own[at]) else { continue };
            let Some(filled) = forth.size.checked_sub(back.size).filter(|filled| *filled > 0) else {
                continue;
            };
            if best.is_none_or(|(most, _, _)| filled > most) && self.both_hold(taker, giver, forth, *back) {
                best = Some((filled, forth, *back));
                if filled == crumb {
                    break;
                }
            }
        }
        let Some((_, forth, back)) = best else { return false };
        let swaps = [(forth, taker, giver), (back, giver, taker)];
        let all = swaps.iter().flat_map(|(few, from, to)| few.each().map(|item| (item, *from, *to)));
        for (item, from, _) in all.clone() {
            crumbs.lists[from].retain(|other| *other != item);
            let load = self.load(item);
            self.targets[from].give_back(load);
        }
        for (item, _, to) in all {
            crumbs.lists[to].push(item);
            self.at[item as usize] = small(to);
            let load = self.load(item);
            self.targets[to].take(load);
        }
        crumbs.put(taker, self.room(taker));
        crumbs.put(giver, self.room(giver));
        true
    }

    /// Have both room in every dimension after this exchange?
    fn both_hold(&self, taker: usize, giver: usize, forth: Few, back: Few) -> bool {
        let sum = |few: Few| {
            let mut load = Load::default();
            few.each().for_each(|item| load.add(self.load(item)));
            load
        };
        let (forth, back) = (sum(forth), sum(back));
        // With what the hosts add to each VM, too, the crumb must go over.
        let larger = |at: usize| {
            let overhead = self.targets[at].overhead;
            self.scarce.size(forth, overhead) > self.scarce.size(back, overhead)
        };
        larger(giver)
            && larger(taker)
            && self.targets[giver].fits_instead(forth, back)
            && self.targets[taker].fits_instead(back, forth)
    }
}

impl Few {
    fn each(self) -> impl Iterator<Item = u32> + Clone {
        [self.a, self.b].into_iter().filter(|item| *item != NONE)
    }
}

impl Target {
    /// Would it fit if there were enough of what is scarce?
    fn could_fit(&self, scarce: Scarce, load: Load) -> bool {
        let cpu = scarce == Scarce::Cpu || (load.sleep.0 <= self.sleep && load.wake.0 <= self.wake);
        let mem = scarce == Scarce::Memory || self.mem_of(load) <= self.mem;
        cpu && mem && u64::from(load.count) <= self.slots
    }

    /// Does this fit once that is gone?
    fn fits_instead(&self, this: Load, that: Load) -> bool {
        self.mem_of(this) <= self.mem + self.mem_of(that)
            && u64::from(this.count) <= self.slots + u64::from(that.count)
            && this.sleep.0 <= self.sleep + that.sleep.0
            && this.wake.0 <= self.wake + that.wake.0
    }
}
