//! Which hosts to keep on: sets in order of watts, as far as volume tells; whether a placement exists is asked back.
//!
//! Hosts that are alike form a class; within a class the fullest are kept, since they move the fewest bytes. For few
//! classes all numbers of each are tried on paper; for many the most efficient come first.

use super::pack::spare_wanted;
use crate::layout::Layout;
use crate::picture::Picture;
use dormouse_model::{HostId, HostState, Mib, Watts};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Numbers of hosts per class are enumerated up to so many combinations.
const COMBINATIONS_MAX: usize = 20_000;
/// So many of the cheapest combinations are tried before hosts are added to the cheapest.
const TRIES: usize = 6;

/// Hosts that could be emptied, by class and fullest first, and which of them must be kept.
#[derive(Clone)]
pub(super) struct Pool {
    classes: Vec<Vec<HostId>>,
    /// Being emptied already, or overloaded: they take no VM, so keeping them is of no use to the others.
    givers: Vec<HostId>,
    givers_stay: bool,
    must: Vec<bool>,
    hosts: usize,
}

impl Pool {
    pub(super) fn new(picture: &Picture<'_>, layout: &Layout, candidates: &[HostId]) -> Self {
        let mut classes: BTreeMap<_, Vec<HostId>> = BTreeMap::new();
        let mut givers = vec![];
        for host in candidates {
            let view = picture.host(*host);
            if !layout.takes[host.index()] {
                givers.push(*host);
                continue;
            }
            let watts = (view.idle.saturating_sub(view.asleep), view.busy);
            let alike = (watts, Reverse(view.mem), view.overhead, view.slots, view.cpu, view.cpu_group);
            classes.entry(alike).or_default().push(*host);
        }
        let mut classes: Vec<Vec<HostId>> = classes.into_values().collect();
        for class in &mut classes {
            class.sort_by_key(|host| {
                let load = layout.load(*host);
                (Reverse(load.mem), Reverse(load.count), *host)
            });
        }
        // Least watts for its memory first.
        classes.sort_by_cached_key(|class| {
            let view = picture.host(class[0]);
            let per_tib = u128::from(view.idle.saturating_sub(view.asleep).0) * 1_048_576
                / u128::from(view.mem.0.max(1));
            (per_tib, class[0])
        });
        Self {
            classes,
            givers,
            givers_stay: false,
            must: vec![false; picture.hosts.len()],
            hosts: picture.hosts.len(),
        }
    }

    /// Leaves those that only give as they are; tells whether there are any.
    pub(super) fn leave_givers(&mut self) -> bool {
        self.givers_stay = true;
        !self.givers.is_empty()
    }

    pub(super) fn keep(&mut self, host: HostId) {
        self.must[host.index()] = true;
    }

    /// `keep N of`: the fullest of them stay.
    pub(super) fn keep_rules(&mut self, picture: &Picture<'_>, layout: &Layout) {
        for rule in &picture.snapshot.cluster.keeps {
            let never_ours =
                |host: &HostId| picture.host(*host).state == HostState::On && !picture.host(*host).takes;
            let on = |host: &HostId| layout.up[host.index()] || never_ours(host);
            let mut usable: Vec<HostId> =
                rule.hosts.iter().copied().filter(|host| host.index() < self.hosts && on(host)).collect();
            usable.sort_by_key(|host| {
                (self.all().any(|other| other == *host), Reverse(layout.load(*host).mem), *host)
            });
            usable.iter().take(rule.count as usize).for_each(|host| self.must[host.index()] = true);
        }
    }

    /// Every host that could be emptied.
    pub(super) fn all(&self) -> impl Iterator<Item = HostId> + '_ {
        self.classes.iter().flatten().chain(&self.givers).copied()
    }

    /// Keeps all, for taking single ones out.
    pub(super) fn everything(&self) -> Vec<bool> {
        vec![true; self.hosts]
    }

    /// Are enough hosts left, in number and by rules?
    pub(super) fn may_keep_only(&self, picture: &Picture<'_>, layout: &Layout, keep: &[bool]) -> bool {
        let leaving: Vec<HostId> = self.all().filter(|host| !keep[host.index()]).collect();
        let going = leaving.iter().filter(|host| layout.up[host.index()]).count();
        let open = layout.up.iter().filter(|up| **up).count();
        let musts = self.all().all(|host| keep[host.index()] || !self.must[host.index()]);
        musts && !leaving.is_empty() && open - going >= picture.knobs.min_on as usize
    }
}

/// What must be carried and what the hosts outside the pool carry.
struct Volume {
    mem: Mib,
    /// Memory of the places that must stay free.
    spare: Mib,
    cpu: u64,
    count: u64,
    failover: usize,
    min_on: usize,
    fixed: Vec<Room>,
}

#[derive(Clone, Copy)]
struct Room {
    mem: Mib,
    cpu: u64,
    slots: u64,
}

impl Volume {
    fn of(picture: &Picture<'_>, layout: &Layout, pool: &Pool) -> Self {
        let mut volume = Self {
            mem: Mib::ZERO,
            spare: picture.largest * spare_wanted(picture),
            cpu: 0,
            count: spare_wanted(picture),
            failover: picture.knobs.failover as usize,
            min_on: picture.knobs.min_on as usize,
            fixed: vec![],
        };
        let mut in_pool = vec![false; picture.hosts.len()];
        pool.all().for_each(|host| in_pool[host.index()] = true);
        if pool.givers_stay {
            // What they carry stays there and is nobody's volume.
            pool.givers.iter().for_each(|host| in_pool[host.index()] = false);
        }
        for host in picture.host_ids().filter(|host| layout.takes[host.index()] || in_pool[host.index()]) {
            let load = layout.load(host);
            volume.mem += picture.host(host).mem_of(load);
            volume.cpu += load.sleep.0;
            volume.count += u64::from(load.count);
            if !in_pool[host.index()] {
                volume.fixed.push(Room::of(picture, layout, host));
            }
        }
        volume
    }

    /// Could these hosts, with those outside the pool, carry everything if VMs were water?
    fn fits(&self, rooms: &[(Room, usize)]) -> bool {
        let all = || self.fixed.iter().map(|room| (*room, 1)).chain(rooms.iter().copied());
        let number: usize = all().map(|(_, count)| count).sum();
        let cpu: u64 = all().map(|(room, count)| room.cpu * count as u64).sum();
        let slots = all()
            .fold(0u64, |sum, (room, count)| sum.saturating_add(room.slots.saturating_mul(count as u64)));
        let mem: u64 = all().map(|(room, count)| room.mem.0 * count as u64).sum();
        if number < self.min_on || cpu < self.cpu || slots < self.count || mem < (self.mem + self.spare).0 {
            return false;
        }
        if self.failover == 0 {
            return true;
        }
        // The largest may be the ones that die.
        let mut sizes: Vec<(Mib, usize)> = all().map(|(room, count)| (room.mem, count)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut dead = self.failover;
        let mut lost = 0;
        for (mem, count) in sizes {
            let die = count.min(dead);
            lost += mem.0 * die as u64;
            dead -= die;
        }
        mem - lost >= self.mem.0
    }
}

impl Room {
    fn of(picture: &Picture<'_>, layout: &Layout, host: HostId) -> Self {
        let (view, load) = (picture.host(host), layout.load(host));
        Self {
            mem: view.mem.max(view.mem_of(load)),
            cpu: view.cpu_target.max(load.sleep).0,
            slots: u64::from(view.slots.max(load.count)),
        }
    }
}

/// The first set, in order of watts, for which `place` finds a layout.
pub(super) fn cheapest(
    picture: &Picture<'_>,
    layout: &Layout,
    pool: &Pool,
    mut place: impl FnMut(&[bool]) -> Option<Layout>,
) -> Option<Layout> {
    let sets = combinations(picture, layout, pool);
    let mut tried = sets.iter().take(TRIES);
    let first = tried.next()?.clone();
    if let Some(found) = place(&keep(pool, &first, 0)) {
        return Some(found);
    }
    if let Some(found) = tried.find_map(|counts| place(&keep(pool, counts, 0))) {
        return Some(found);
    }
    // Volume lied: add hosts to the cheapest set, in growing strides, then look back for the least number that does.
    let all = pool.classes.iter().map(Vec::len).sum::<usize>();
    let room = all - first.iter().sum::<usize>();
    let (mut fails, mut extra, mut found) = (0, 1, None);
    while found.is_none() && fails < room {
        let here = extra.min(room);
        found = place(&keep(pool, &first, here));
        match found {
            Some(_) => extra = here,
            None => {
                fails = here;
                extra = here * 2;
            }
        }
    }
    let mut best = found?;
    while fails + 1 < extra {
        let middle = fails.midpoint(extra);
        match place(&keep(pool, &first, middle)) {
            Some(layout) => {
                best = layout;
                extra = middle;
            }
            None => fails = middle,
        }
    }
    Some(best)
}

/// So many of each class, fullest first, and so many more, most efficient first; who must be kept comes before all.
fn keep(pool: &Pool, counts: &[usize], mut extra: usize) -> Vec<bool> {
    let mut keep = vec![true; pool.hosts];
    pool.givers.iter().for_each(|host| keep[host.index()] = pool.givers_stay);
    for (class, count) in pool.classes.iter().zip(counts) {
        let more = extra.min(class.len() - count);
        extra -= more;
        let musts = class.iter().filter(|host| pool.must[host.index()]).count();
        let mut others = (count + more).saturating_sub(musts);
        for host in class.iter().filter(|host| !pool.must[host.index()]) {
            keep[host.index()] = others > 0;
            others = others.saturating_sub(1);
        }
    }
    keep
}

/// Numbers of hosts per class that could carry everything by volume, least watts first, then least to move.
fn combinations(picture: &Picture<'_>, layout: &Layout, pool: &Pool) -> Vec<Vec<usize>> {
    let volume = Volume::of(picture, layout, pool);
    let classes: Vec<Class> =
        pool.classes.iter().map(|class| Class::of(picture, layout, pool, class)).collect();
    let product = classes.iter().rev().skip(1).try_fold(1usize, |product, class| {
        product.checked_mul(class.size - class.must + 1).filter(|product| *product <= COMBINATIONS_MAX)
    });
    if product.is_none() {
        return greedy(&classes, &volume).into_iter().collect();
    }
    let mut found: Vec<(Watts, Mib, Vec<usize>)> = vec![];
    let mut counts: Vec<usize> = classes.iter().map(|class| class.must).collect();
    loop {
        if let Some(last) = classes.len().checked_sub(1) {
            if let Some(least) = least_of_last(&classes, &volume, &mut counts) {
                counts[last] = least;
                found.push((watts(&classes, &counts), moved(&classes, &counts), counts.clone()));
            }
        } else if volume.fits(&[]) {
            found.push((Watts::ZERO, Mib::ZERO, vec![]));
        }
        // The next numbers of all classes but the last.
        let Some(turn) =
            (0..classes.len().saturating_sub(1)).rev().find(|at| counts[*at] < classes[*at].size)
        else {
            break;
        };
        counts[turn] += 1;
        for at in turn + 1..classes.len() {
            counts[at] = classes[at].must;
        }
    }
    found.sort();
    found.into_iter().map(|(_, _, counts)| counts).collect()
}

struct Class {
    size: usize,
    must: usize,
    watts: Watts,
    room: Room,
    /// Memory in use on the first n, for each n.
    used: Vec<Mib>,
}

impl Class {
    fn of(picture: &Picture<'_>, layout: &Layout, pool: &Pool, hosts: &[HostId]) -> Self {
        let view = picture.host(hosts[0]);
        let mut used = vec![Mib::ZERO];
        for host in hosts {
            used.push(used[used.len() - 1] + layout.load(*host).mem);
        }
        Self {
            size: hosts.len(),
            must: hosts.iter().filter(|host| pool.must[host.index()]).count(),
            watts: view.idle.saturating_sub(view.asleep),
            room: Room { mem: view.mem, cpu: view.cpu_target.0, slots: u64::from(view.slots) },
            used,
        }
    }
}

fn watts(classes: &[Class], counts: &[usize]) -> Watts {
    classes.iter().zip(counts).map(|(class, count)| class.watts * (*count as u64)).sum()
}

fn moved(classes: &[Class], counts: &[usize]) -> Mib {
    classes.iter().zip(counts).map(|(class, count)| class.used[class.size] - class.used[*count]).sum()
}

fn rooms(classes: &[Class], counts: &[usize]) -> Vec<(Room, usize)> {
    classes.iter().zip(counts).map(|(class, count)| (class.room, *count)).collect()
}

/// The least number of the last class that makes the others suffice.
fn least_of_last(classes: &[Class], volume: &Volume, counts: &mut [usize]) -> Option<usize> {
    let last = classes.len() - 1;
    let mut suffices = |count: usize| {
        counts[last] = count;
        volume.fits(&rooms(classes, counts))
    };
    let (mut low, mut high) = (classes[last].must, classes[last].size);
    if !suffices(high) {
        return None;
    }
    while low < high {
        let middle = low.midpoint(high);
        if suffices(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

/// Most efficient classes first until everything fits by volume.
fn greedy(classes: &[Class], volume: &Volume) -> Option<Vec<usize>> {
    let mut counts: Vec<usize> = classes.iter().map(|class| class.must).collect();
    for at in 0..classes.len() {
        while !volume.fits(&rooms(classes, &counts)) && counts[at] < classes[at].size {
            counts[at] += 1;
        }
    }
    volume.fits(&rooms(classes, &counts)).then_some(counts)
}
