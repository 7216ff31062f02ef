//! Gives VMs that need a host one of these targets each: best fit, largest first, inflow spread where there is room.
//!
//! Three passes, each over what the one before has left: up to a common water level, so that all links work until the
//! end; then the tightest fit wherever it is; then crumbs of room are swapped together ([`repair`]). It knows neither
//! which hosts are best kept nor what the reserves are.

mod repair;
mod shelf;

use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::{Load, Picture};
use dormouse_model::{HostId, VmId};
use shelf::Shelf;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How much of the room is used at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// No host takes more than a common water level.
    Even,
    /// The tightest fit wherever it is: leaves the largest holes, which the reserves need.
    Tight,
}

/// VMs that move together and need a host.
pub(crate) struct Item<'a> {
    unit: &'a [VmId],
    load: Load,
    choosy: bool,
}

impl<'a> Item<'a> {
    pub(crate) fn of(picture: &Picture<'_>, unit: &'a [VmId]) -> Self {
        let choosy = unit.iter().any(|vm| picture.is_choosy(*vm));
        Self { unit, load: picture.load_of_all(unit), choosy }
    }
}

/// What a host may still take.
struct Target {
    host: HostId,
    overhead: u64,
    mem: u64,
    slots: u64,
    sleep: u64,
    wake: u64,
    /// Inflow up to the water level.
    level: u64,
}

impl Target {
    fn of(picture: &Picture<'_>, layout: &Layout, host: HostId) -> Option<Self> {
        let (view, load) = (picture.host(host), layout.load(host));
        // One that is over a limit takes nothing at all.
        Some(Self {
            host,
            overhead: view.overhead.0,
            mem: view.mem.0.checked_sub(view.mem_of(load).0)?,
            slots: u64::from(view.slots.checked_sub(load.count)?),
            sleep: view.cpu_target.0.checked_sub(load.sleep.0)?,
            wake: view.cpu_target.0.checked_sub(load.wake.0)?,
            level: u64::MAX,
        })
    }

    fn mem_of(&self, load: Load) -> u64 {
        load.mem.0 + self.overhead * u64::from(load.count)
    }

    fn fits(&self, load: Load) -> bool {
        self.mem_of(load) <= self.mem
            && u64::from(load.count) <= self.slots
            && load.sleep.0 <= self.sleep
            && load.wake.0 <= self.wake
    }

    fn take(&mut self, load: Load) {
        self.mem -= self.mem_of(load);
        self.slots -= u64::from(load.count);
        self.sleep -= load.sleep.0;
        self.wake -= load.wake.0;
        self.level = self.level.saturating_sub(load.mem.0);
    }

    fn give_back(&mut self, load: Load) {
        self.mem += self.mem_of(load);
        self.slots = self.slots.saturating_add(u64::from(load.count));
        self.sleep += load.sleep.0;
        self.wake += load.wake.0;
        self.level = self.level.saturating_add(load.mem.0);
    }
}

/// The dimension that is scarcest, by which tightness is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scarce {
    Memory,
    Cpu,
}

impl Scarce {
    fn room(self, target: &Target) -> u64 {
        match self {
            Self::Memory => target.mem,
            Self::Cpu => target.sleep,
        }
    }
    /// What it takes of that room.
    fn size(self, load: Load, overhead: u64) -> u64 {
        match self {
            Self::Memory => load.mem.0 + overhead * u64::from(load.count),
            Self::Cpu => load.sleep.0,
        }
    }
}

/// Items that were looked at between two questions for patience.
const ITEMS_AT_ONCE: usize = 1024;

/// Nowhere.
const NONE: u32 = u32::MAX;

pub(crate) struct Fill<'a, 'p> {
    picture: &'a Picture<'p>,
    /// With the items that choose already in it.
    layout: Layout,
    targets: Vec<Target>,
    items: Vec<Item<'a>>,
    /// The target of each item that does not choose.
    at: Vec<u32>,
    scarce: Scarce,
    /// The least that a host adds to each VM.
    overhead: u64,
}

impl<'a, 'p> Fill<'a, 'p> {
    /// `layout`: without what the items take where they come from, as far as targets are concerned.
    pub(crate) fn new(
        picture: &'a Picture<'p>,
        layout: Layout,
        hosts: &[HostId],
        mut items: Vec<Item<'a>>,
    ) -> Self {
        let targets: Vec<Target> =
            hosts.iter().filter_map(|host| Target::of(picture, &layout, *host)).collect();
        let sum = |of: &dyn Fn(&Target) -> u64| {
            targets.iter().map(|target| u128::from(of(target))).sum::<u128>().max(1)
        };
        let (mem, cpu) = (sum(&|target| target.mem), sum(&|target| target.sleep));
        let wanted = items.iter().fold((0u128, 0u128), |(mem, cpu), item| {
            (mem + u128::from(item.load.mem.0), cpu + u128::from(item.load.sleep.0))
        });
        let scarce = if wanted.1 * mem > wanted.0 * cpu { Scarce::Cpu } else { Scarce::Memory };
        // Largest first in what is scarce; what is bulky in the other dimension counts by that. If all went by their
        // bulkier dimension, small hungry VMs would come side by side and use up one host's CPU.
        let most = |of: &dyn Fn(&Target) -> u64| targets.iter().map(of).max().unwrap_or(0).max(1);
        let (mem_most, cpu_most) = (most(&|target| target.mem), most(&|target| target.sleep));
        let (scarce_most, other_most, other) = match scarce {
            Scarce::Memory => (mem_most, cpu_most, Scarce::Cpu),
            Scarce::Cpu => (cpu_most, mem_most, Scarce::Memory),
        };
        let weight = |item: &Item<'_>| {
            let size = u128::from(scarce.size(item.load, 0)) * u128::from(other_most);
            let bulk = other.size(item.load, 0);
            let bulky = bulk > other_most / BULKY;
            if bulky { size.max(u128::from(bulk) * u128::from(scarce_most)) } else { size }
        };
        let options = |item: &Item<'_>| {
            let only = |vm: &VmId| picture.only_on(*vm).map_or(usize::MAX, <[HostId]>::len);
            item.unit.iter().map(only).min().unwrap_or(usize::MAX)
        };
        items.sort_by_cached_key(|item| {
            let options = if item.choosy { options(item) } else { 0 };
            (!item.choosy, options, Reverse(weight(item)), item.unit.first().copied())
        });
        let overhead = targets.iter().map(|target| target.overhead).min().unwrap_or(0);
        let at = vec![NONE; items.len()];
        Self { picture, layout, targets, items, at, scarce, overhead }
    }

    /// The layout with all items placed; or the first VM that finds no place, if any.
    pub(crate) fn run(mut self, level: Level, patience: &mut Patience<'_>) -> Result<Layout, Option<VmId>> {
        if !patience.lasts() {
            return Err(None);
        }
        let chosen = self.items.partition_point(|item| item.choosy);
        self.place_choosy(chosen)?;
        let mut left: Vec<u32> = (chosen..self.items.len()).map(small).collect();
        if level == Level::Even {
            self.raise_level(&left);
            let spread = self.worst_fit(&left);
            left.drain(..spread);
            left = self.best_fit(left, true, patience).ok_or(None)?;
        }
        if !left.is_empty() {
            left = self.best_fit(left, false, patience).ok_or(None)?;
        }
        if !left.is_empty() {
            left = self.repair(left, patience);
        }
        match left.first() {
            Some(item) => Err(self.items[*item as usize].unit.first().copied()),
            None => Ok(self.done()),
        }
    }

    fn done(mut self) -> Layout {
        for (item, at) in self.items.iter().zip(&self.at).filter(|(_, at)| **at != NONE) {
            self.layout.put_all(self.picture, item.unit, self.targets[*at as usize].host);
        }
        self.layout
    }

    /// Those that choose go first, each to the tightest host that its rules allow.
    fn place_choosy(&mut self, count: usize) -> Result<(), Option<VmId>> {
        if count == 0 {
            return Ok(());
        }
        let mut shelf = self.shelf(false);
        let mut by_host: Vec<u32> = vec![NONE; self.picture.hosts.len()];
        for (at, target) in self.targets.iter().enumerate() {
            by_host[target.host.index()] = small(at);
        }
        for index in 0..count {
            let item = &self.items[index];
            let (load, unit) = (item.load, item.unit);
            let allowed = |target: &Target| {
                let rules = |vm: &VmId| self.layout.rules_allow(self.picture, *vm, target.host).is_ok();
                target.fits(load) && unit.iter().all(rules)
            };
            let only = unit.iter().filter_map(|vm| self.picture.only_on(*vm)).min_by_key(|hosts| hosts.len());
            let to = match only {
                Some(hosts) => hosts
                    .iter()
                    .filter_map(|host| by_host.get(host.index()).filter(|at| **at != NONE))
                    .map(|at| *at as usize)
                    .filter(|at| allowed(&self.targets[*at]))
                    .min_by_key(|at| (self.scarce.room(&self.targets[*at]), *at)),
                None => {
                    let size = self.scarce.size(load, self.overhead);
                    shelf.find(size, |at| allowed(&self.targets[at]))
                }
            };
            let to = to.ok_or_else(|| unit.first().copied())?;
            self.layout.put_all(self.picture, unit, self.targets[to].host);
            self.targets[to].take(load);
            shelf.put(to, self.scarce.room(&self.targets[to]));
        }
        Ok(())
    }

    /// The targets by their room, or by their room up to the water level.
    fn shelf(&self, levelled: bool) -> Shelf {
        let room = |target: &Target| {
            let room = self.scarce.room(target);
            if levelled && self.scarce == Scarce::Memory { room.min(target.level) } else { room }
        };
        let most = self.targets.iter().map(room).max().unwrap_or(0);
        let mut shelf = Shelf::new(self.targets.len(), most);
        // Of equals the first is found first.
        for (at, target) in self.targets.iter().enumerate().rev() {
            shelf.put(at, room(target));
        }
        shelf
    }

    /// The larger ones go round: each to the target with most room left, so that large and small, and with them CPU,
    /// are mixed on all of them. Tells how many of the first of these items found a place.
    fn worst_fit(&mut self, items: &[u32]) -> usize {
        let inflow: u64 = items.iter().map(|index| self.items[*index as usize].load.mem.0).sum();
        let room = |target: &Target| target.mem.min(target.level);
        let mut roomiest: BinaryHeap<(u64, Reverse<u32>)> =
            self.targets.iter().enumerate().map(|(at, target)| (room(target), Reverse(small(at)))).collect();
        let mut left = inflow;
        for (place, index) in items.iter().enumerate() {
            let load = self.items[*index as usize].load;
            if left <= inflow / SMALL {
                return place;
            }
            let Some(mut top) = roomiest.peek_mut() else { return place };
            let at = top.1.0;
            let target = &mut self.targets[at as usize];
            if !target.fits(load) || load.mem.0 > target.level {
                return place;
            }
            target.take(load);
            *top = (room(target), Reverse(at));
            drop(top);
            self.at[*index as usize] = at;
            left -= load.mem.0;
        }
        items.len()
    }

    /// Each of these to the tightest target that takes it; who finds none is handed back.
    fn best_fit(&mut self, items: Vec<u32>, levelled: bool, patience: &mut Patience<'_>) -> Option<Vec<u32>> {
        let mut shelf = self.shelf(levelled);
        let mut left = vec![];
        for chunk in items.chunks(ITEMS_AT_ONCE) {
            for index in chunk {
                let load = self.items[*index as usize].load;
                let size = self.scarce.size(load, self.overhead);
                let targets = &self.targets;
                let suits =
                    |at: usize| targets[at].fits(load) && (!levelled || load.mem.0 <= targets[at].level);
                let Some(to) = shelf.find(size, suits) else {
                    left.push(*index);
                    continue;
                };
                self.targets[to].take(load);
                self.at[*index as usize] = small(to);
                let room = self.scarce.room(&self.targets[to]);
                let level =
                    if levelled && self.scarce == Scarce::Memory { self.targets[to].level } else { u64::MAX };
                shelf.put(to, room.min(level));
            }
            if !patience.lasts() {
                return None;
            }
        }
        Some(left)
    }

    /// The least level at which rooms cut off there hold the inflow, with a little play for VMs that do not divide
    /// evenly.
    fn raise_level(&mut self, items: &[u32]) {
        let load = |index: &u32| self.items[*index as usize].load;
        let inflow: u64 = items.iter().map(|index| load(index).mem.0).sum();
        let largest = items.iter().map(|index| load(index).mem.0).max().unwrap_or(0);
        let mut free: Vec<u64> = self.targets.iter().map(|target| target.mem).collect();
        free.sort_unstable();
        let wanted = inflow + inflow / PLAY;
        let mut below = 0;
        let mut level = u64::MAX;
        for (index, room) in free.iter().enumerate() {
            let rest = (free.len() - index) as u64;
            if below + room * rest >= wanted {
                level = wanted.saturating_sub(below).div_ceil(rest).max(largest);
                break;
            }
            below += room;
        }
        self.targets.iter_mut().for_each(|target| target.level = level);
    }
}

/// The smallest VMs, this part of the inflow, are kept for filling up.
const SMALL: u64 = 3;

/// A VM is bulky if it takes more than such a part of the largest room.
const BULKY: u64 = 4;

/// The water level is higher by this part than it would have to be if VMs were water.
const PLAY: u64 = 64;

fn small(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 items and targets")
}
