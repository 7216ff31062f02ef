//! How few hosts could be on at best: a number that no placement with the same constraints can beat.
//!
//! It takes the largest of several proofs, each of which looks away from something: the volume of memory, CPU and slots;
//! large VMs that cannot share a host; hosts that must stay on; spread groups; the reserves. Soundness before sharpness:
//! a host that is over a limit today counts with what it carries, and hosts that could be woken count as well.

use crate::layout::Layout;
use crate::picture::{Load, Picture};
use dormouse_model::{HostId, HostState, Snapshot, VmId};
use std::cmp::Reverse;

/// No placement that keeps the constraints of this picture has fewer hosts on.
///
/// Reserves count as far as they can be had: a cluster without the hosts for its failover is not asked for them.
#[must_use]
pub fn lower_bound(snapshot: &Snapshot) -> u32 {
    let picture = Picture::of(snapshot);
    let layout = Layout::of(&picture);
    of(&picture, &layout)
}

pub(crate) fn of(picture: &Picture<'_>, layout: &Layout) -> u32 {
    let hosts = Hosts::of(picture, layout);
    let carrying = hosts
        .by_volume(picture, layout)
        .max(hosts.by_size(picture, layout))
        .max(hosts.by_reserve(picture, layout));
    let spread = by_spread(picture, layout);
    let least = hosts.apart + carrying.max(hosts.fixed.len()).max(spread.saturating_sub(hosts.apart));
    u32::try_from(least).expect("fewer than 2^32 hosts")
}

struct Hosts {
    /// On, but neither to be put to sleep nor open for VMs: what runs there stays there.
    apart: usize,
    /// On for good, and may carry VMs.
    fixed: Vec<HostId>,
    /// Whether each is on is open.
    open: Vec<HostId>,
    /// What is certainly on each; a VM that may be in two places must not be counted twice.
    load: Vec<Load>,
}

impl Hosts {
    fn of(picture: &Picture<'_>, layout: &Layout) -> Self {
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

    fn carrying(&self) -> impl Iterator<Item = HostId> + '_ {
        self.fixed.iter().chain(&self.open).copied()
    }

    fn load(&self, host: HostId) -> Load {
        self.load[host.index()]
    }

    /// The least number of hosts, those that are fixed among them, that hold this much of something.
    fn to_hold(&self, wanted: u64, capacity: impl Fn(HostId) -> u64) -> usize {
        let mut held = self.fixed.iter().fold(0u64, |sum, host| sum.saturating_add(capacity(*host)));
        let mut more: Vec<u64> = self.open.iter().map(|host| capacity(*host)).collect();
        more.sort_unstable_by_key(|size| Reverse(*size));
        let mut count = self.fixed.len();
        for size in more {
            if held >= wanted {
                break;
            }
            held = held.saturating_add(size);
            count += 1;
        }
        count
    }

    fn by_volume(&self, picture: &Picture<'_>, layout: &Layout) -> usize {
        let overhead = self.carrying().map(|host| picture.host(host).overhead.0).min().unwrap_or(0);
        let sum = |of: &dyn Fn(HostId) -> u64| self.carrying().map(of).sum::<u64>();
        let mem = sum(&|host| self.load(host).mem.0 + overhead * u64::from(self.load(host).count));
        let cpu = sum(&|host| self.load(host).sleep.0);
        let count = sum(&|host| u64::from(self.load(host).count));
        let by_mem = self.to_hold(mem, |host| mem_of(picture, layout, host));
        let by_cpu = self.to_hold(cpu, |host| picture.host(host).cpu_target.max(layout.load(host).sleep).0);
        let by_slots =
            self.to_hold(count, |host| u64::from(picture.host(host).slots.max(layout.load(host).count)));
        by_mem.max(by_cpu).max(by_slots).max(usize::from(count > 0))
    }

    /// Martello and Toth's L2 on memory, with every host as large as the largest: VMs above half of it need a host
    /// each, and those that fit beside none of them need more.
    fn by_size(&self, picture: &Picture<'_>, layout: &Layout) -> usize {
        let capacity = self.carrying().map(|host| mem_of(picture, layout, host)).max().unwrap_or(0);
        let mut sizes: Vec<u64> =
            self.carrying().flat_map(|host| layout.vms_on(host)).map(|vm| picture.vm(vm).mem.0).collect();
        sizes.sort_unstable_by_key(|size| Reverse(*size));
        let mut sums = vec![0u64];
        for size in &sizes {
            sums.push(sums[sums.len() - 1] + size);
        }
        let larger_than = |size: u64| sizes.partition_point(|other| *other > size);
        let at_least = |size: u64| sizes.partition_point(|other| *other >= size);
        let half = larger_than(capacity / 2);
        let mut best = half;
        let mut last = None;
        for small in sizes.iter().copied().filter(|size| *size > 0 && *size <= capacity / 2) {
            if last.replace(small) == Some(small) {
                continue;
            }
            let (alone, end) = (larger_than(capacity - small), at_least(small));
            let room_beside = capacity * (half - alone) as u64
                - (sums[half] - sums[alone]).min(capacity * (half - alone) as u64);
            let rest = (sums[end] - sums[half]).saturating_sub(room_beside);
            best = best.max(half + usize::try_from(rest.div_ceil(capacity)).unwrap_or(0));
        }
        best
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
        let holds = |count: usize, dead: usize| sizes.iter().take(count).skip(dead).sum::<u64>();
        let least = |wanted: u64, dead: usize| {
            (0..=sizes.len()).find(|count| holds(*count, dead) >= wanted).unwrap_or(0)
        };
        let by_spare = if spare > 0 { least(need + spare, 0) } else { 0 };
        let by_failover = if failover > 0 && need > 0 { least(need, failover) } else { 0 };
        let min_on = (picture.knobs.min_on as usize).min(all.len());
        beside + by_spare.max(by_failover).max(min_on)
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
