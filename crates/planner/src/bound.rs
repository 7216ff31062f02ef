//! How few hosts could be on at best, and how little they could draw: numbers that no placement with the same
//! constraints can beat.
//!
//! The largest of several proofs, each of which looks away from something: what VMs and hosts measure in memory and in
//! CPU, by volume and otherwise ([`crate::measure`]), and in slots; hosts that must stay on; spread groups; VMs whose
//! rules name the only hosts they may be on; the reserves. Soundness before sharpness: a host that is over a limit today
//! counts with what it carries, and hosts that could be woken count as well.

use crate::layout::Layout;
use crate::measure::{Measure, Sizes};
use crate::picture::{Load, Picture};
use crate::sets::{self, Kind, Needs};
use dormouse_model::{HostId, HostState, Mib, Snapshot, VmId, Watts};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Distinct capacities that measures are looked for.
const CAPACITIES_MAX: usize = 8;

/// What no placement can beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) hosts: u32,
    /// Standing watts: hosts that are on idle, the others asleep.
    pub(crate) watts: Watts,
}

impl Bounds {
    /// With these hosts on, can no other placement have fewer on, or none draw less?
    pub(crate) fn are_met(self, picture: &Picture<'_>, on: &[bool]) -> bool {
        on.iter().filter(|on| **on).count() <= self.hosts as usize || standing(picture, on) <= self.watts
    }
}

/// What hosts draw that are on idle, the others asleep.
pub(crate) fn standing(picture: &Picture<'_>, on: &[bool]) -> Watts {
    let each = picture.hosts.iter().zip(on);
    each.map(|(view, on)| if *on { view.idle } else { view.asleep.min(view.idle) }).sum()
}

/// No placement that keeps the constraints of this picture has fewer hosts on.
///
/// Reserves count as far as they can be had: a cluster without the hosts for its failover is not asked for them.
#[must_use]
pub fn lower_bound(snapshot: &Snapshot) -> u32 {
    let picture = Picture::of(snapshot);
    of(&picture, &Layout::of(&picture)).hosts
}

/// No placement that keeps the constraints of this picture draws less before any VM does anything: hosts that are on
/// idle, the others asleep. What the VMs draw comes on top wherever they are. Reserves are left out.
#[must_use]
pub fn watts_bound(snapshot: &Snapshot) -> Watts {
    let picture = Picture::of(snapshot);
    of(&picture, &Layout::of(&picture)).watts
}

pub(crate) fn of(picture: &Picture<'_>, layout: &Layout) -> Bounds {
    let hosts = Hosts::of(picture, layout);
    let measured = Measured::of(picture, layout, &hosts);
    let carrying = measured.hosts().max(hosts.by_reserve(picture, layout)).max(hosts.fixed.len());
    let ruled = by_spread(picture, layout).max(by_pins(picture, layout, &hosts)).saturating_sub(hosts.apart);
    let least = hosts.apart + carrying.max(ruled);
    Bounds {
        hosts: u32::try_from(least).expect("fewer than 2^32 hosts"),
        watts: hosts.base(picture)
            + sets::cheapest(&measured.kinds, &measured.needs, 1, |_, _| Mib::ZERO).bound,
    }
}

pub(crate) struct Hosts {
    /// On, but neither to be put to sleep nor open for VMs: what runs there stays there.
    pub(crate) apart: usize,
    /// On for good, and may carry VMs.
    pub(crate) fixed: Vec<HostId>,
    /// Whether each is on is open.
    open: Vec<HostId>,
    /// What is certainly on each; a VM that may be in two places must not be counted twice.
    load: Vec<Load>,
}

impl Hosts {
    pub(crate) fn of(picture: &Picture<'_>, layout: &Layout) -> Self {
        let mut load = vec![Load::default(); picture.hosts.len()];
        for (index, at) in layout.at.iter().enumerate() {
            if let Some(at) = at {
                load[at.index()].add(picture.load_of(VmId::at(index)));
            }
        }
        let mut hosts = Self { apart: 0, fixed: vec![], open: vec![], load };
        for host in picture.host_ids() {
            let view = picture.host(host);
            let down = view.state.is_down();
            if (down && (view.wakeable || view.wakeable_off || layout.takes[host.index()]))
                || (!down && view.stays.is_none())
            {
                hosts.open.push(host);
            } else if !down && (layout.takes[host.index()] || view.gives || view.state == HostState::Waking) {
                hosts.fixed.push(host);
            } else if !down {
                hosts.apart += 1;
            }
        }
        hosts
    }

    pub(crate) fn carrying(&self) -> impl Iterator<Item = HostId> + '_ {
        self.fixed.iter().chain(&self.open).copied()
    }

    fn load(&self, host: HostId) -> Load {
        self.load[host.index()]
    }

    /// What is drawn whatever is decided: all asleep, and what those that are on anyway draw beyond that.
    pub(crate) fn base(&self, picture: &Picture<'_>) -> Watts {
        let mut open = vec![false; picture.hosts.len()];
        self.open.iter().chain(&self.fixed).for_each(|host| open[host.index()] = true);
        picture
            .host_ids()
            .map(|host| {
                let view = picture.host(host);
                let low = view.asleep.min(view.idle);
                if open[host.index()] || view.state.is_down() { low } else { view.idle }
            })
            .sum()
    }

    /// `min_on`, the places of `spare.min` and the failover, as far as all hosts together could give them.
    fn by_reserve(&self, picture: &Picture<'_>, layout: &Layout) -> usize {
        let takes = |host: HostId| picture.host(host).takes || picture.host(host).state.is_down();
        let all: Vec<HostId> = self.carrying().filter(|host| takes(*host)).collect();
        let usable_fixed = self.fixed.iter().filter(|host| takes(**host)).count();
        let beside = self.fixed.len() - usable_fixed;
        let need: u64 = all.iter().map(|host| self.load(*host).mem.0).sum();
        let spare = picture.largest.0 * u64::from(picture.knobs.spare_min);
        let failover = picture.knobs.failover as usize;
        let mut sizes: Vec<u64> = all.iter().map(|host| mem_of(picture, layout, *host)).collect();
        sizes.sort_unstable_by_key(|size| Reverse(*size));
        // Any so many hosts hold at most what the largest so many hold; failover takes the largest of those away.
        let least = |wanted: u64, dead: usize| {
            let mut held = 0u64;
            let enough = sizes.iter().skip(dead).position(|size| {
                held = held.saturating_add(*size);
                held >= wanted
            });
            enough.map_or(0, |place| place + 1 + dead)
        };
        let by_spare = if spare > 0 { least(need + spare, 0) } else { 0 };
        let by_failover = if failover > 0 && need > 0 { least(need, failover) } else { 0 };
        let min_on = (picture.knobs.min_on as usize).min(all.len());
        beside + by_spare.max(by_failover).max(min_on)
    }
}

/// What hosts and VMs measure.
struct Measured {
    kinds: Vec<Kind>,
    needs: Needs,
}

impl Measured {
    fn of(picture: &Picture<'_>, layout: &Layout, hosts: &Hosts) -> Self {
        let overhead = hosts.carrying().map(|host| picture.host(host).overhead.0).min().unwrap_or(0);
        let sizes = Sizes::of(
            hosts
                .carrying()
                .flat_map(|host| layout.each_on(host))
                .map(|vm| picture.vm(vm).mem.0.saturating_add(overhead)),
        );
        // Hosts that are alike, and how many of them are on in any case.
        let mut alike: BTreeMap<[u64; 4], (u32, u32)> = BTreeMap::new();
        let fixed = hosts.fixed.iter().map(|host| (*host, 1));
        for (host, must) in fixed.chain(hosts.open.iter().map(|host| (*host, 0))) {
            let (view, load) = (picture.host(host), layout.load(host));
            let key = [
                view.idle.saturating_sub(view.asleep).0,
                mem_of(picture, layout, host),
                view.cpu_target.max(load.sleep).0,
                u64::from(view.slots.max(load.count)),
            ];
            let count = alike.entry(key).or_default();
            *count = (count.0 + must, count.1 + 1);
        }
        let mut capacities: Vec<u64> = alike.keys().map(|key| key[1]).collect();
        capacities.sort_unstable_by_key(|mem| Reverse(*mem));
        capacities.dedup();
        capacities.truncate(CAPACITIES_MAX);
        let telling = sizes.telling(&capacities);
        // What VMs measure in CPU is looked into where it is nearly as scarce as memory.
        let sum = |of: &dyn Fn(Load) -> u64| hosts.carrying().map(|host| of(hosts.load(host))).sum::<u64>();
        let (mem, cpu) = (sum(&|load| load.mem.0), sum(&|load| load.sleep.0));
        let given = |place: usize| -> u128 {
            alike.iter().map(|(key, (_, size))| u128::from(key[place]) * u128::from(*size)).sum()
        };
        let scarce = u128::from(cpu) * given(1) * 2 >= u128::from(mem) * given(2);
        let each = hosts.carrying().flat_map(|host| layout.each_on(host)).filter(|_| scarce);
        let demands = Sizes::of(each.map(|vm| picture.vm(vm).sleep.0));
        let mut cores: Vec<u64> = alike.keys().map(|key| key[2]).collect();
        cores.sort_unstable_by_key(|cpu| Reverse(*cpu));
        cores.dedup();
        cores.truncate(CAPACITIES_MAX);
        let telling_cpu = demands.telling(&cores);
        let mut kinds: Vec<Kind> = alike
            .into_iter()
            .map(|([watts, mem, cpu, slots], (must, size))| {
                let mut gives = vec![mem, cpu, slots];
                gives.extend(telling.iter().map(|measure| measure.of(mem)));
                gives.extend(telling_cpu.iter().map(|measure| measure.of(cpu)));
                Kind { must, size, watts: Watts(watts), gives, mem }
            })
            .collect();
        kinds.sort_by_cached_key(|kind| u128::from(kind.watts.0) * 1_048_576 / u128::from(kind.mem.max(1)));
        let mut wanted = vec![
            sum(&|load| load.mem.0 + overhead * u64::from(load.count)),
            sum(&|load| load.sleep.0),
            sum(&|load| u64::from(load.count)),
        ];
        wanted.extend(telling.iter().map(|measure| sizes.total(*measure)));
        wanted.extend(telling_cpu.iter().map(|measure| demands.total(*measure)));
        debug_assert!(sizes.total(Measure::Volume) <= wanted[0] || overhead == 0);
        Self { kinds, needs: Needs { wanted, ..Needs::default() } }
    }

    /// Whatever the measure, the hosts that give most of it come first.
    fn hosts(&self) -> usize {
        (0..self.needs.wanted.len()).map(|measure| self.hosts_by(measure)).max().unwrap_or(0)
    }

    fn hosts_by(&self, measure: usize) -> usize {
        let given = |kind: &Kind, count: u32| kind.gives[measure].saturating_mul(u64::from(count));
        let held = self.kinds.iter().fold(0u64, |sum, kind| sum.saturating_add(given(kind, kind.must)));
        let mut left = self.needs.wanted[measure].saturating_sub(held);
        let mut count: usize = self.kinds.iter().map(|kind| kind.must as usize).sum();
        let mut order: Vec<&Kind> = self.kinds.iter().filter(|kind| kind.gives[measure] > 0).collect();
        order.sort_by_key(|kind| Reverse(kind.gives[measure]));
        for kind in order {
            let there = u64::from(kind.size - kind.must);
            let taken = left.div_ceil(kind.gives[measure]).min(there);
            count += usize::try_from(taken).expect("no more than there are hosts");
            left = left.saturating_sub(kind.gives[measure].saturating_mul(taken));
        }
        count
    }
}

fn mem_of(picture: &Picture<'_>, layout: &Layout, host: HostId) -> u64 {
    picture.host(host).mem.max(layout.used(picture, host)).0
}

/// A spread group needs a host for each member; members that share one today may go on doing so.
fn by_spread(picture: &Picture<'_>, layout: &Layout) -> usize {
    let hosts_of = |group: &Vec<VmId>| {
        let mut hosts: Vec<HostId> = group.iter().filter_map(|vm| layout.at[vm.index()]).collect();
        let members = hosts.len();
        hosts.sort_unstable();
        hosts.dedup();
        if hosts.len() == members { members } else { 1.min(members) }
    };
    picture.spread_groups().iter().map(hosts_of).max().unwrap_or(0)
}

/// VMs whose rules name the only hosts they may be on, no two of which share one, need a host each. A VM that is
/// somewhere else now may stay there.
fn by_pins(picture: &Picture<'_>, layout: &Layout, hosts: &Hosts) -> usize {
    let mut pinned: Vec<(usize, VmId)> = hosts
        .carrying()
        .flat_map(|host| layout.each_on(host))
        .filter_map(|vm| picture.only_on(vm).map(|only| (only.len(), vm)))
        .filter(|(count, _)| *count <= PINNED_TO_MAX)
        .collect();
    pinned.sort_unstable();
    let mut taken = vec![false; picture.hosts.len()];
    let mut count = 0;
    for (_, vm) in pinned {
        let now = layout.at[vm.index()];
        let only = picture.only_on(vm).unwrap_or_default();
        let places = || only.iter().copied().chain(now).filter(|host| host.index() < taken.len());
        if places().all(|host| !taken[host.index()]) {
            let places: Vec<HostId> = places().collect();
            places.into_iter().for_each(|host| taken[host.index()] = true);
            count += 1;
        }
    }
    count
}

/// VMs that may be on more hosts than this prove too little to be looked at.
const PINNED_TO_MAX: usize = 16;
