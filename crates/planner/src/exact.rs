//! For small clusters: what no placement can beat, found by looking at all of them.
//!
//! Branch and bound over VMs and hosts: the VMs with the fewest choices first, then the largest; each on every host that
//! its rules allow, once for hosts that are alike. A branch ends where volume alone shows that it cannot beat what was
//! found. Memory, CPU, slots, pin, ban, fence, spread, gather and whoever cannot move count in
//! full; a host that is over a limit today may stay so as long as nobody comes. Reserves, `min_on` and `keep` rules count
//! as in [`crate::lower_bound`].
//!
//! It looks at so many branches and no more: whoever asks gets an answer or none, never a wait.

use crate::bound::{self, Hosts};
use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::{Load, Picture};
use crate::tame;
use dormouse_model::{HostId, HostState, Snapshot, VmId, Watts};
use std::cmp::Reverse;

/// Hosts that a set in one word can hold.
const HOSTS_MAX: usize = 64;
/// VMs up to which it is tried: the search goes as deep.
const VMS_MAX: usize = 256;
/// Branches for each question: some 10 ms.
const BRANCHES_MAX: u32 = 30_000;
/// Memory, CPU demand of hours and of minutes, slots.
const DIMENSIONS: usize = 4;

/// What was found; nothing where the cluster is too large or the search would be too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exact {
    /// Hosts on, as in [`crate::lower_bound`].
    pub hosts: Option<u32>,
    /// Standing watts, as in [`crate::watts_bound`].
    pub watts: Option<Watts>,
}

/// Both bounds as sharp as they can be.
#[must_use]
pub fn exact(snapshot: &Snapshot) -> Exact {
    if snapshot.hosts.len() > HOSTS_MAX || snapshot.vms.len() > VMS_MAX {
        return Exact::default();
    }
    let tamed = tame::tamed(snapshot, &mut Patience::of(&mut || true));
    let picture = Picture::of(tamed.as_ref().unwrap_or(snapshot));
    let layout = Layout::of(&picture);
    let hosts = Hosts::of(&picture, &layout);
    let bounds = bound::of(&picture, &layout);
    let puzzle = Puzzle::of(&picture, &layout, &hosts);
    let on = puzzle.least(|_| 1);
    let standing = puzzle.least(|site| site.standing);
    Exact {
        hosts: on.and_then(|on| u32::try_from(hosts.apart as u64 + on).ok()).map(|on| on.max(bounds.hosts)),
        watts: standing.map(|watts| (hosts.base(&picture) + Watts(watts)).max(bounds.watts)),
    }
}

type Amounts = [u64; DIMENSIONS];

struct Site {
    /// What it holds at most; what it holds today where that is more.
    room: Amounts,
    /// So much of that is for those that are there today alone: who is over a limit takes nobody.
    excess: Amounts,
    overhead: u64,
    /// Drawn on beyond what is drawn asleep.
    standing: u64,
    on: bool,
    /// Sites with the same number can take each other's place.
    like: usize,
}

/// VMs that stay together.
struct Item {
    load: Load,
    /// The sites it may be on, a bit each.
    sites: u64,
    spread: Vec<u32>,
    origin: Option<usize>,
    /// The same as the one before it in all that counts.
    again: bool,
}

struct Puzzle {
    sites: Vec<Site>,
    items: Vec<Item>,
    /// What the items from each one on ask for at least.
    rest: Vec<Amounts>,
}

fn amounts(load: Load, overhead: u64) -> Amounts {
    [load.mem.0 + overhead * u64::from(load.count), load.sleep.0, load.wake.0, u64::from(load.count)]
}

impl Puzzle {
    fn of(picture: &Picture<'_>, layout: &Layout, hosts: &Hosts) -> Self {
        let carrying: Vec<HostId> = hosts.carrying().collect();
        let mut place = vec![None; picture.hosts.len()];
        carrying.iter().enumerate().for_each(|(at, host)| place[host.index()] = Some(at));
        let mut items: Vec<Item> = carrying
            .iter()
            .flat_map(|host| layout.vms_on(*host))
            .filter(|vm| picture.unit(*vm).first() == Some(vm))
            .map(|vm| Item::of(picture, layout, &carrying, &place, picture.unit(vm)))
            .collect();
        items.sort_by_key(|item| {
            (item.sites.count_ones(), Reverse(amounts(item.load, 0)), item.sites, item.origin)
        });
        let mut sites: Vec<Site> = carrying
            .iter()
            .map(|host| Site::of(picture, layout, *host, hosts.fixed.contains(host)))
            .collect();
        let over: Vec<bool> = sites.iter().map(|site| site.excess != [0; DIMENSIONS]).collect();
        // Where it comes from matters to who may stay where no other may come.
        let plain = |item: &Item| item.spread.is_empty() && !item.origin.is_some_and(|at| over[at]);
        for index in 1..items.len() {
            let (before, one) = (&items[index - 1], &items[index]);
            let same = before.load == one.load && before.sites == one.sites;
            items[index].again = same && plain(before) && plain(one);
        }
        let special = |at: usize| items.iter().any(|item| item.origin == Some(at) && !plain(item));
        let same_for_all = |at: usize, other: usize| {
            items.iter().all(|item| item.sites >> at & 1 == item.sites >> other & 1)
        };
        for at in 0..sites.len() {
            let mut earlier = (0..at).filter(|_| !special(at)).filter(|other| !special(*other));
            let twin = earlier.find(|other| sites[*other].is_like(&sites[at]) && same_for_all(at, *other));
            sites[at].like = twin.map_or(at, |other| sites[other].like);
        }
        let overhead = sites.iter().map(|site| site.overhead).min().unwrap_or(0);
        let mut rest = vec![[0; DIMENSIONS]; items.len() + 1];
        for index in (0..items.len()).rev() {
            rest[index] = add(rest[index + 1], amounts(items[index].load, overhead));
        }
        Self { sites, items, rest }
    }

    /// The least that all sites which are on cost together.
    fn least(&self, cost: impl Fn(&Site) -> u64) -> Option<u64> {
        let costs: Vec<u64> = self.sites.iter().map(cost).collect();
        // The most room for its cost first, dimension by dimension.
        let by_worth = std::array::from_fn(|dimension| {
            let mut order: Vec<usize> = (0..self.sites.len()).collect();
            order.sort_by_key(|at| {
                let room = u128::from(self.sites[*at].room[dimension].max(1));
                (u128::from(costs[*at]) << 64) / room
            });
            order
        });
        let on: Vec<bool> = self.sites.iter().map(|site| site.on).collect();
        let cost_now = on.iter().zip(&costs).filter(|(on, _)| **on).map(|(_, cost)| cost).sum();
        let mut search = Search {
            puzzle: self,
            free: self.sites.iter().map(|site| site.room).collect(),
            held: vec![vec![]; self.sites.len()],
            costs,
            by_worth,
            on,
            cost_now,
            best: None,
            branches: 0,
        };
        search.branch(0, 0);
        search.best.filter(|_| search.branches < BRANCHES_MAX)
    }
}

impl Item {
    fn of(
        picture: &Picture<'_>,
        layout: &Layout,
        carrying: &[HostId],
        place: &[Option<usize>],
        unit: &[VmId],
    ) -> Self {
        let now = unit.first().and_then(|vm| layout.at[vm.index()]);
        let origin = now.and_then(|host| place[host.index()]);
        let drained = now.is_some_and(|host| picture.host(host).drain);
        let may_move = picture.rooted(unit, drained).is_none();
        let takes = |host: HostId| {
            let state = picture.host(host).state;
            layout.takes[host.index()]
                || state.is_down()
                || matches!(state, HostState::Waking | HostState::Draining)
        };
        let allows =
            |host: HostId| unit.iter().all(|vm| picture.allows(*vm, host) && picture.same_cpu(*vm, host));
        let mut sites = 0;
        for (at, host) in carrying.iter().enumerate() {
            if Some(at) == origin || (may_move && takes(*host) && allows(*host)) {
                sites |= 1 << at;
            }
        }
        let mut spread: Vec<u32> = unit.iter().flat_map(|vm| picture.spread_of(*vm)).copied().collect();
        spread.sort_unstable();
        Self { load: picture.load_of_all(unit), sites, spread, origin, again: false }
    }
}

impl Site {
    fn of(picture: &Picture<'_>, layout: &Layout, host: HostId, on: bool) -> Self {
        let (view, load) = (picture.host(host), layout.load(host));
        let target = view.cpu_target.0;
        let limits = [view.mem.0, target, target, u64::from(view.slots)];
        let now = amounts(load, view.overhead.0);
        Self {
            room: std::array::from_fn(|dimension| limits[dimension].max(now[dimension])),
            excess: std::array::from_fn(|dimension| now[dimension].saturating_sub(limits[dimension])),
            overhead: view.overhead.0,
            standing: view.idle.saturating_sub(view.asleep).0,
            on,
            like: 0,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.room, self.excess, self.overhead, self.standing, self.on)
            == (other.room, other.excess, other.overhead, other.standing, other.on)
    }
}

fn add(a: Amounts, b: Amounts) -> Amounts {
    std::array::from_fn(|dimension| a[dimension].saturating_add(b[dimension]))
}

struct Search<'a> {
    puzzle: &'a Puzzle,
    costs: Vec<u64>,
    by_worth: [Vec<usize>; DIMENSIONS],
    on: Vec<bool>,
    free: Vec<Amounts>,
    /// Items on each site.
    held: Vec<Vec<usize>>,
    cost_now: u64,
    best: Option<u64>,
    branches: u32,
}

impl Search<'_> {
    /// All places of the items from this one on. `least`: items that are the same take sites in order.
    fn branch(&mut self, index: usize, least: usize) {
        self.branches += 1;
        if self.branches >= BRANCHES_MAX || self.at_least(index) >= self.best.unwrap_or(u64::MAX) {
            return;
        }
        let Some(item) = self.puzzle.items.get(index) else {
            self.best = Some(self.cost_now);
            return;
        };
        let least = if item.again { least } else { 0 };
        let mut sites: Vec<usize> = (least..self.free.len())
            .filter(|at| item.sites >> at & 1 == 1 && self.takes(item, *at))
            .collect();
        // What is on costs nothing, and the tightest leaves most to others.
        sites.sort_by_key(|at| {
            (!self.on[*at], if self.on[*at] { self.free[*at][0] } else { self.costs[*at] })
        });
        for at in sites {
            let load = amounts(item.load, self.puzzle.sites[at].overhead);
            let was = (self.on[at], self.free[at], self.cost_now);
            if !was.0 {
                self.cost_now = self.cost_now.saturating_add(self.costs[at]);
                self.on[at] = true;
            }
            self.free[at] = std::array::from_fn(|dimension| was.1[dimension] - load[dimension]);
            self.held[at].push(index);
            self.branch(index + 1, at);
            self.held[at].pop();
            (self.on[at], self.free[at], self.cost_now) = was;
        }
    }

    fn takes(&self, item: &Item, at: usize) -> bool {
        let (sites, held) = (&self.puzzle.sites, &self.held);
        let load = amounts(item.load, sites[at].overhead);
        let from_here = |item: &Item| item.origin == Some(at);
        let no_guest = from_here(item) && held[at].iter().all(|other| from_here(&self.puzzle.items[*other]));
        let room = (0..DIMENSIONS).all(|dimension| {
            let excess = if no_guest { 0 } else { sites[at].excess[dimension] };
            load[dimension].saturating_add(excess) <= self.free[at][dimension]
        });
        // Of sites that are alike and empty the first will do.
        let twin = |other: &usize| held[*other].is_empty() && sites[*other].like == sites[at].like;
        let first = !held[at].is_empty() || !(0..at).any(|other| twin(&other));
        let meets = |other: &usize| {
            let other = &self.puzzle.items[*other];
            let both_from_here = from_here(item) && from_here(other);
            !both_from_here && other.spread.iter().any(|group| item.spread.contains(group))
        };
        room && first && (item.spread.is_empty() || !held[at].iter().any(meets))
    }

    /// What all costs at least with the items from this one on: by volume, if sites could be had in pieces.
    fn at_least(&self, index: usize) -> u64 {
        let asked = &self.puzzle.rest[index];
        let more = (0..DIMENSIONS).map(|dimension| {
            let free = |at: &usize| self.free[*at][dimension];
            let here = (0..self.on.len()).filter(|at| self.on[*at]);
            let mut left = here.fold(asked[dimension], |left, at| left.saturating_sub(free(&at)));
            let mut cost = 0u64;
            for at in self.by_worth[dimension].iter().filter(|at| !self.on[**at]) {
                if left == 0 {
                    break;
                }
                let taken = left.min(free(at));
                let part = u128::from(self.costs[*at]) * u128::from(taken);
                let part = part.div_ceil(u128::from(free(at).max(1)));
                cost = cost.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
                left -= taken;
            }
            // More is asked than all could hold: no way leads on from here.
            if left > 0 { u64::MAX } else { cost }
        });
        self.cost_now.saturating_add(more.max().unwrap_or(0))
    }
}
