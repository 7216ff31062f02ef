//! Levels CPU out before anything runs: VMs of a first placement are exchanged between hosts until none has too many
//! of those that ask for much, or could.
//!
//! Memory decides which hosts are on. Of all placements on these hosts this picks one on which CPU binds late: of a VM
//! that is new nobody knows more than what it asks for now and what it could ask for at most, so both count. Nothing
//! that runs already is touched, and no host more is used.

use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{HostId, Mib, VmId};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Of what a VM could ask for beyond its demand, one part in so many is taken to come.
const LIMIT_PARTS: u64 = 4;
/// So many of the coolest hosts are looked at for one that is hot.
const PARTNERS: usize = 16;
/// Two VMs at once are exchanged only on hosts with so few that all pairs can be tried.
const PAIRS_UP_TO: usize = 12;

/// Exchanges VMs of this list, which are placed and do not run yet.
pub(crate) fn level(picture: &Picture<'_>, layout: &mut Layout, new: &[VmId]) {
    let mut level = Level::of(picture, layout, new);
    let mut todo: BTreeSet<(Reverse<u64>, HostId)> =
        level.by_heat.iter().map(|(heat, host)| (Reverse(*heat), *host)).collect();
    // Each exchange lowers a sum of squares, so this ends; the limit is against a long tail of crumbs.
    let mut left = new.len() * 4;
    while let Some((heat, host)) = todo.pop_first() {
        if heat.0 != level.heat_of(host) || left == 0 {
            continue;
        }
        if let Some(other) = level.cool(layout, host) {
            left -= 1;
            todo.insert((Reverse(level.heat_of(host)), host));
            todo.insert((Reverse(level.heat_of(other)), other));
        }
    }
}

/// VMs that would change places, and what that is worth.
struct Exchange {
    gain: u128,
    give: Vec<VmId>,
    take: Vec<VmId>,
}

struct Level<'a, 'p> {
    picture: &'a Picture<'p>,
    /// What each VM counts.
    weight: Vec<u64>,
    may_change: Vec<bool>,
    sum: Vec<u64>,
    /// Hosts with a VM that may change, by what their VMs count per capacity.
    by_heat: BTreeSet<(u64, HostId)>,
}

impl<'a, 'p> Level<'a, 'p> {
    fn of(picture: &'a Picture<'p>, layout: &Layout, new: &[VmId]) -> Self {
        let weight = |(index, vm): (usize, &dormouse_model::Vm)| {
            let asks = picture.load_of(VmId::at(index)).sleep.0;
            asks + vm.spec.cpu_limit().0.saturating_sub(asks) / LIMIT_PARTS
        };
        let weight: Vec<u64> = picture.snapshot.vms.iter().enumerate().map(weight).collect();
        let mut level = Self {
            picture,
            may_change: vec![false; weight.len()],
            sum: vec![0; picture.hosts.len()],
            by_heat: BTreeSet::new(),
            weight,
        };
        for (index, at) in layout.at.iter().enumerate() {
            if let Some(at) = at {
                level.sum[at.index()] += level.weight[index];
            }
        }
        let placed = |vm: &VmId| layout.at[vm.index()].map(|at| (*vm, at));
        for (vm, at) in new.iter().filter(|vm| picture.unit(**vm).len() == 1).filter_map(placed) {
            level.may_change[vm.index()] = true;
            level.by_heat.insert((level.heat_of(at), at));
        }
        level
    }

    fn capacity(&self, host: HostId) -> u64 {
        self.picture.host(host).cpu.0.max(1)
    }

    /// In millionths of the capacity.
    fn heat_of(&self, host: HostId) -> u64 {
        let heat = u128::from(self.sum[host.index()]) * 1_000_000 / u128::from(self.capacity(host));
        u64::try_from(heat).unwrap_or(u64::MAX)
    }

    /// The best exchange with one of the coolest hosts, if there is any that helps; tells with whom.
    fn cool(&mut self, layout: &mut Layout, hot: HostId) -> Option<HostId> {
        let mut found: Vec<(HostId, Exchange)> = vec![];
        for (heat, cool) in self.by_heat.iter().take(PARTNERS) {
            if *heat < self.heat_of(hot) {
                found.extend(self.exchanges(layout, hot, *cool).map(|best| (*cool, best)));
            }
        }
        found.sort_by_key(|(host, exchange)| (Reverse(exchange.gain), *host));
        let (cool, exchange) =
            found.into_iter().find(|(cool, exchange)| self.apply(layout, hot, *cool, exchange))?;
        for host in [hot, cool] {
            self.by_heat.remove(&(self.heat_of(host), host));
        }
        let count = |vms: &[VmId]| vms.iter().map(|vm| self.weight[vm.index()]).sum::<u64>();
        let (gone, come) = (count(&exchange.give), count(&exchange.take));
        self.sum[hot.index()] = self.sum[hot.index()] - gone + come;
        self.sum[cool.index()] = self.sum[cool.index()] - come + gone;
        for host in [hot, cool] {
            self.by_heat.insert((self.heat_of(host), host));
        }
        Some(cool)
    }

    /// Sets of one or two VMs here that may change.
    fn sets(&self, layout: &Layout, host: HostId) -> Vec<(Vec<VmId>, u64, Mib)> {
        let single: Vec<VmId> =
            layout.vms_on(host).into_iter().filter(|vm| self.may_change[vm.index()]).collect();
        let mut sets: Vec<Vec<VmId>> = single.iter().map(|vm| vec![*vm]).collect();
        if single.len() <= PAIRS_UP_TO {
            for (place, a) in single.iter().enumerate() {
                sets.extend(single[place + 1..].iter().map(|b| vec![*a, *b]));
            }
        }
        let counted = |vms: Vec<VmId>| {
            let weight = vms.iter().map(|vm| self.weight[vm.index()]).sum();
            let mem = self.picture.load_of_all(&vms).mem;
            (vms, weight, mem)
        };
        sets.into_iter().map(counted).collect()
    }

    /// The exchange between these two that helps most and fits by memory.
    fn exchanges(&self, layout: &Layout, hot: HostId, cool: HostId) -> Option<Exchange> {
        let gives = self.sets(layout, hot);
        let mut takes = self.sets(layout, cool);
        takes.push((vec![], 0, Mib::ZERO));
        let (sum_hot, sum_cool) = (self.sum[hot.index()], self.sum[cool.index()]);
        let (free_hot, free_cool) = (layout.free(self.picture, hot), layout.free(self.picture, cool));
        // Squares over capacities, on one denominator.
        let (per_hot, per_cool) = (u128::from(self.capacity(cool)), u128::from(self.capacity(hot)));
        let cost = |hot: u64, cool: u64| {
            let square = |sum: u64| u128::from(sum) * u128::from(sum);
            square(hot).saturating_mul(per_hot).saturating_add(square(cool).saturating_mul(per_cool))
        };
        let before = cost(sum_hot, sum_cool);
        let mut best: Option<(u128, usize, usize)> = None;
        for (give, (gone, weight_gone, mem_gone)) in gives.iter().enumerate() {
            for (take, (come, weight_come, mem_come)) in takes.iter().enumerate() {
                if weight_come >= weight_gone {
                    continue;
                }
                let overhead =
                    |host: HostId, vms: &[VmId]| self.picture.host(host).overhead * vms.len() as u64;
                if *mem_come + overhead(hot, come) > free_hot + *mem_gone + overhead(hot, gone)
                    || *mem_gone + overhead(cool, gone) > free_cool + *mem_come + overhead(cool, come)
                {
                    continue;
                }
                let after = cost(sum_hot - weight_gone + weight_come, sum_cool - weight_come + weight_gone);
                if after < before && best.is_none_or(|(least, _, _)| after < least) {
                    best = Some((after, give, take));
                }
            }
        }
        let (after, give, take) = best?;
        Some(Exchange { gain: before - after, give: gives[give].0.clone(), take: takes[take].0.clone() })
    }

    /// Does it if all constraints allow it.
    fn apply(&self, layout: &mut Layout, hot: HostId, cool: HostId, exchange: &Exchange) -> bool {
        let both = || exchange.give.iter().chain(&exchange.take);
        both().for_each(|vm| layout.leave(self.picture, *vm));
        let mut there: Vec<VmId> = vec![];
        let ways =
            exchange.give.iter().map(|vm| (*vm, cool)).chain(exchange.take.iter().map(|vm| (*vm, hot)));
        for (vm, to) in ways {
            let load = self.picture.load_of(vm);
            if layout.fits(self.picture, &[vm], load, to, Cpu::Settled).is_err() {
                there.iter().for_each(|vm| layout.leave(self.picture, *vm));
                exchange.give.iter().for_each(|vm| layout.put(self.picture, *vm, hot));
                exchange.take.iter().for_each(|vm| layout.put(self.picture, *vm, cool));
                return false;
            }
            layout.put(self.picture, vm, to);
            there.push(vm);
        }
        true
    }
}
