//! Which hosts to keep on: sets in order of standing watts, as far as measures tell; whether a placement exists is
//! asked back.
//!
//! Hosts that are alike form a class; within a class the fullest are kept, since that moves the fewest bytes. A host
//! that a rule makes indispensable is kept before all others of its class.

use crate::layout::Layout;
use crate::measure::{Measure, Sizes};
use crate::picture::{Load, Picture};
use crate::sets::{self, Kind, Needs, Set};
use dormouse_model::{HostId, HostState, Mib, VmId, Watts};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Hosts that could be emptied, by class and fullest first, and which of them must be kept.
#[derive(Clone)]
pub(super) struct Pool {
    classes: Vec<Class>,
    /// Being emptied already, or overloaded: they take no VM, so keeping them is of no use to the others.
    givers: Vec<HostId>,
    givers_stay: bool,
    must: Vec<bool>,
    member: Vec<bool>,
}

#[derive(Clone)]
struct Class {
    hosts: Vec<HostId>,
    watts: Watts,
    mem: u64,
    cpu: u64,
    slots: u64,
    /// Memory in use on the first n, for each n.
    used: Vec<Mib>,
}

/// What a host draws on and without load beyond what it draws asleep.
pub(super) fn standing(picture: &Picture<'_>, host: HostId) -> Watts {
    let view = picture.host(host);
    view.idle.saturating_sub(view.asleep)
}

impl Pool {
    /// `sleepers`: hosts that could be woken instead of keeping others.
    pub(super) fn new(
        picture: &Picture<'_>,
        layout: &Layout,
        candidates: &[HostId],
        sleepers: &[HostId],
    ) -> Self {
        let mut classes: BTreeMap<_, Vec<HostId>> = BTreeMap::new();
        let mut givers = vec![];
        let asleep = sleepers.iter().map(|host| (*host, true));
        for (host, asleep) in candidates.iter().map(|host| (*host, false)).chain(asleep) {
            let view = picture.host(host);
            if !layout.takes[host.index()] && !asleep {
                givers.push(host);
                continue;
            }
            let alike = (standing(picture, host), Reverse(view.mem), view.overhead, view.slots, view.cpu);
            classes.entry(alike).or_default().push(host);
        }
        let mut classes: Vec<Class> =
            classes.into_values().map(|hosts| Class::of(picture, layout, hosts)).collect();
        // Least watts for its memory first.
        classes.sort_by_cached_key(|class| {
            (u128::from(class.watts.0) * 1_048_576 / u128::from(class.mem.max(1)), class.hosts[0])
        });
        let mut member = vec![false; picture.hosts.len()];
        classes
            .iter()
            .flat_map(|class| &class.hosts)
            .chain(&givers)
            .for_each(|host| member[host.index()] = true);
        Self { classes, givers, givers_stay: false, must: vec![false; picture.hosts.len()], member }
    }

    /// Leaves those that only give as they are; tells whether there are any.
    pub(super) fn leave_givers(&mut self) -> bool {
        self.givers_stay = true;
        !self.givers.is_empty()
    }

    pub(super) fn keep(&mut self, host: HostId) {
        self.must[host.index()] = true;
    }

    pub(super) fn must_keep(&self, host: HostId) -> bool {
        self.must[host.index()]
    }

    pub(super) fn has(&self, host: HostId) -> bool {
        self.member[host.index()]
    }

    /// `keep N of`: the fullest of them stay.
    pub(super) fn keep_rules(&mut self, picture: &Picture<'_>, layout: &Layout) {
        for rule in &picture.snapshot.cluster.keeps {
            let never_ours =
                |host: &HostId| picture.host(*host).state == HostState::On && !picture.host(*host).takes;
            let on = |host: &HostId| layout.up[host.index()] || never_ours(host);
            let known = |host: &HostId| host.index() < self.member.len() && on(host);
            let mut usable: Vec<HostId> = rule.hosts.iter().copied().filter(known).collect();
            let certain = |host: &HostId| !self.has(*host) || self.must[host.index()];
            usable.sort_by_key(|host| (!certain(host), Reverse(layout.load(*host).mem), *host));
            usable.iter().take(rule.count as usize).for_each(|host| self.must[host.index()] = true);
        }
    }

    /// Every host that could be emptied.
    pub(super) fn all(&self) -> impl Iterator<Item = HostId> + '_ {
        self.classes.iter().flat_map(|class| &class.hosts).chain(&self.givers).copied()
    }

    /// Are enough hosts left, in number and by rules?
    pub(super) fn may_keep_only(&self, picture: &Picture<'_>, layout: &Layout, keep: &[bool]) -> bool {
        let leaving = || self.all().filter(|host| !keep[host.index()] && layout.up[host.index()]);
        let woken = self.all().filter(|host| keep[host.index()] && !layout.up[host.index()]);
        let coming = woken.filter(|host| picture.host(*host).state.is_down()).count();
        let open = layout.up.iter().filter(|up| **up).count();
        let going = leaving().count();
        let givers_leave = self.givers.iter().any(|host| !keep[host.index()]);
        let musts = self.all().all(|host| keep[host.index()] || !self.must[host.index()]);
        musts && (going > 0 || givers_leave) && open + coming - going >= picture.knobs.min_on as usize
    }

    /// Standing watts if every host of the pool that is on stayed on.
    pub(super) fn watts_of_all(&self, picture: &Picture<'_>, layout: &Layout) -> Watts {
        let on = |host: &HostId| layout.up[host.index()] || !picture.host(*host).state.is_down();
        self.all().filter(on).map(|host| standing(picture, host)).sum()
    }

    /// The cheapest sets that measure enough, cheapest first.
    pub(super) fn sets(
        &self,
        picture: &Picture<'_>,
        layout: &Layout,
        number: usize,
        only: Option<u32>,
    ) -> Vec<Set> {
        let kinds_needs = self.measure(picture, layout, only);
        let (kinds, needs) = kinds_needs;
        let moved = |class: usize, count: u32| {
            let used = &self.classes[class].used;
            used[used.len() - 1] - used[count as usize]
        };
        sets::cheapest(&kinds, &needs, number, moved).sets
    }

    /// So many of each class, fullest first, and so many more, thriftiest first; who must be kept comes before all.
    pub(super) fn keep_set(&self, counts: &[u32], mut extra: usize) -> Vec<bool> {
        let mut keep = vec![true; self.member.len()];
        self.givers.iter().for_each(|host| keep[host.index()] = self.givers_stay);
        for (class, count) in self.classes.iter().zip(counts) {
            let more = extra.min(class.hosts.len() - *count as usize);
            extra -= more;
            let musts = class.hosts.iter().filter(|host| self.must[host.index()]).count();
            let mut others = (*count as usize + more).saturating_sub(musts);
            for host in class.hosts.iter().filter(|host| !self.must[host.index()]) {
                keep[host.index()] = others > 0;
                others = others.saturating_sub(1);
            }
        }
        keep
    }

    /// How many hosts could be added to these numbers.
    pub(super) fn room_for_more(&self, counts: &[u32]) -> usize {
        let all: usize = self.classes.iter().map(|class| class.hosts.len()).sum();
        all - counts.iter().map(|count| *count as usize).sum::<usize>()
    }

    /// The classes, and what must be carried beyond what the hosts outside the pool carry, in every measure.
    ///
    /// `only`: looks at hosts of this CPU group alone, and leaves the reserves, which are common to all, out of it.
    fn measure(&self, picture: &Picture<'_>, layout: &Layout, only: Option<u32>) -> (Vec<Kind>, Needs) {
        let ours = |host: &HostId| only.is_none_or(|group| picture.host(*host).cpu_group == group);
        let carries = |host: &HostId| {
            let leaves = self.has(*host) && (layout.takes[host.index()] || !self.givers_stay);
            // What those that stay as they are carry stays there and is nobody's volume.
            (layout.takes[host.index()] || leaves) && ours(host)
        };
        let hosts: Vec<HostId> = picture.host_ids().filter(carries).collect();
        let mut sum = Load::default();
        let mut mem = 0;
        for host in &hosts {
            sum.add(layout.load(*host));
            mem += picture.host(*host).mem_of(layout.load(*host)).0;
        }
        let others: Vec<HostId> = hosts.iter().copied().filter(|host| !self.has(*host)).collect();
        let capacity = |host: &HostId| picture.host(*host).mem.max(layout.used(picture, *host)).0;
        let overhead = hosts.iter().map(|host| picture.host(*host).overhead.0).min().unwrap_or(0);
        let sizes = Sizes::of(
            hosts.iter().flat_map(|host| layout.each_on(*host)).map(|vm| picture.vm(vm).mem.0 + overhead),
        );
        let mut capacities: Vec<u64> =
            self.classes.iter().map(|class| class.mem).chain(others.iter().map(capacity)).collect();
        capacities.sort_unstable_by_key(|mem| Reverse(*mem));
        capacities.dedup();
        capacities.truncate(CAPACITIES_MAX);
        let telling = sizes.telling(&capacities);
        let reserves = only.is_none();
        let spare_places = if reserves { super::pack::spare_wanted(picture) } else { 0 };
        let spare = picture.largest.0.saturating_mul(spare_places);
        let slots = |host: &HostId| u64::from(picture.host(*host).slots.max(layout.load(*host).count));
        let cpu = |host: &HostId| picture.host(*host).cpu_target.max(layout.load(*host).sleep).0;
        let fixed = |of: &dyn Fn(&HostId) -> u64| others.iter().map(of).fold(0, u64::saturating_add);
        let up = picture.host_ids().filter(|host| layout.up[host.index()] && !self.has(*host)).count() as u64;
        let min_on = if reserves { u64::from(picture.knobs.min_on) } else { 0 };
        // Members of a spread group that are apart need a host each.
        let mut carried = vec![false; picture.hosts.len()];
        hosts.iter().for_each(|host| carried[host.index()] = true);
        let apart = |group: &Vec<VmId>| {
            let at = group.iter().filter_map(|vm| layout.at[vm.index()]);
            let mut at: Vec<HostId> = at.filter(|host| carried[host.index()]).collect();
            at.sort_unstable();
            at.dedup();
            at.len()
        };
        let apart = picture.spread_groups().iter().map(apart).max().unwrap_or(0);
        let number = min_on.saturating_sub(up).max(apart.saturating_sub(others.len()) as u64);
        let mut wanted = vec![
            mem.saturating_add(spare).saturating_sub(fixed(&capacity)),
            sum.sleep.0.saturating_sub(fixed(&cpu)),
            u64::from(sum.count).saturating_add(spare_places).saturating_sub(fixed(&slots)),
            number,
        ];
        for measure in &telling {
            let given = fixed(&|host| measure.of(capacity(host)));
            wanted.push(sizes.total(*measure).saturating_sub(given));
        }
        let deaths = if reserves { picture.knobs.failover } else { 0 };
        let needs = Needs { wanted, deaths, mem, others: others.iter().map(capacity).collect() };
        (self.classes.iter().map(|class| class.kind(&self.must, &telling)).collect(), needs)
    }
}

/// Distinct capacities that measures are looked for.
const CAPACITIES_MAX: usize = 8;

impl Class {
    fn of(picture: &Picture<'_>, layout: &Layout, mut hosts: Vec<HostId>) -> Self {
        // Fullest first; those asleep come last, since waking costs as well.
        hosts.sort_by_key(|host| {
            let load = layout.load(*host);
            (picture.host(*host).state.is_down(), Reverse(load.mem), Reverse(load.count), *host)
        });
        let mut used = vec![Mib::ZERO];
        for host in &hosts {
            used.push(used[used.len() - 1] + layout.load(*host).mem);
        }
        let view = picture.host(hosts[0]);
        Self {
            watts: standing(picture, hosts[0]),
            mem: view.mem.0,
            cpu: view.cpu_target.0,
            slots: u64::from(view.slots),
            hosts,
            used,
        }
    }

    fn kind(&self, must: &[bool], telling: &[Measure]) -> Kind {
        let musts = self.hosts.iter().filter(|host| must[host.index()]).count();
        let mut gives = vec![self.mem, self.cpu, self.slots, 1];
        gives.extend(telling.iter().map(|measure| measure.of(self.mem)));
        Kind {
            must: u32::try_from(musts).expect("fewer than 2^32 hosts"),
            size: u32::try_from(self.hosts.len()).expect("fewer than 2^32 hosts"),
            watts: self.watts,
            gives,
            mem: self.mem,
        }
    }
}

/// Keeps a host for each VM whose rules name the only hosts it may be on, where this set would leave it none.
/// Tells whether any was added.
pub(super) fn cover(picture: &Picture<'_>, layout: &Layout, pool: &mut Pool, keep: &[bool]) -> bool {
    let stays = |host: &HostId| {
        host.index() < keep.len()
            && keep[host.index()]
            && (layout.takes[host.index()] || (pool.has(*host) && picture.host(*host).state.is_down()))
    };
    let mut bare: Vec<(&[HostId], VmId)> = vec![];
    for host in pool.all().filter(|host| !keep[host.index()]) {
        for vm in layout.each_on(host) {
            if let Some(only) = picture.only_on(vm)
                && !only.iter().any(stays)
            {
                bare.push((only, vm));
            }
        }
    }
    bare.sort_unstable_by_key(|(_, vm)| *vm);
    let added = !bare.is_empty();
    while let Some((first, vm)) = bare.first().copied() {
        // Of the hosts that would do for it the one that does for most, then the fullest.
        let wanted_by =
            |host: HostId| bare.iter().filter(|(only, _)| only.binary_search(&host).is_ok()).count();
        let of_pool = first.iter().copied().filter(|host| host.index() < keep.len() && pool.has(*host));
        let suits = of_pool.filter(|host| picture.same_cpu(vm, *host));
        let best = suits.max_by_key(|host| (wanted_by(*host), layout.load(*host).mem, Reverse(*host)));
        // With none that would do, where it is now has to do.
        let Some(best) = best.or(layout.at[vm.index()]) else { break };
        pool.keep(best);
        let at = |vm: VmId| layout.at[vm.index()];
        bare.retain(|(only, vm)| only.binary_search(&best).is_err() && at(*vm) != Some(best));
    }
    added
}
