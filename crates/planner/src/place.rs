//! First placement: where VMs that are nowhere yet should start, on the least standing watts of hosts.
//!
//! Same constraints and reserves as packing. Nothing that runs is moved, nothing is woken or started here: the caller
//! does that with the answer. Memory says which hosts and how many; which VM goes where is then levelled by CPU, so that
//! the hungry do not meet.

use crate::balanced::{Fill, Item, Level, reserves_hold, spare_wanted};
use crate::canon;
use crate::layout::{Cpu, Layout};
use crate::level::level;
use crate::measure::{Measure, Sizes};
use crate::patience::Patience;
use crate::picture::Picture;
use crate::sets::{self, Kind, Needs};
use dormouse_model::{HostId, Mib, Rule, Snapshot, VmId, VmState, Watts};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// So many of the cheapest sets are tried before hosts are added to the cheapest.
const TRIES: usize = 6;
/// Distinct capacities that measures are looked for.
const CAPACITIES_MAX: usize = 8;

/// A host for each VM that is stopped, where there is one; for all others the host they are certainly on.
///
/// Hosts count that are on, and those asleep that may be woken.
#[must_use]
pub fn place(snapshot: &Snapshot) -> Vec<Option<HostId>> {
    match canon::ordered(snapshot, &mut Patience::of(&mut || true)) {
        None => place_ordered(snapshot),
        Some((ordered, canon)) => canon.places_back(&place_ordered(&ordered)),
    }
}

fn place_ordered(snapshot: &Snapshot) -> Vec<Option<HostId>> {
    let mut picture = Picture::of(snapshot);
    let waiting: Vec<VmId> =
        snapshot.vm_ids().filter(|vm| matches!(snapshot.vm(*vm).state, VmState::Stopped)).collect();
    // The reserve is counted in places for the largest, these among them.
    picture.largest = waiting.iter().map(|vm| picture.vm(*vm).mem).fold(picture.largest, Mib::max);
    let layout = Layout::of(&picture);
    let mut starting = Starting::of(&picture, &layout, &waiting);
    // Who finds no place on all of them finds none on fewer, and does not keep the others waiting.
    let everywhere = starting.on_all();
    starting.units.retain(|unit| unit.iter().all(|vm| everywhere.at[vm.index()].is_some()));
    let mut best = starting.cheapest().unwrap_or(everywhere);
    let placed: Vec<VmId> = waiting.into_iter().filter(|vm| best.at[vm.index()].is_some()).collect();
    level(&picture, &mut best, &placed);
    best.at
}

/// VMs to be started, and hosts to start them on.
struct Starting<'a, 'p> {
    picture: &'a Picture<'p>,
    layout: &'a Layout,
    /// VMs that belong together lie side by side.
    units: Vec<Vec<VmId>>,
    /// On for the sake of others, or never switched off.
    on: Vec<HostId>,
    /// Hosts that carry nothing, by kind, thriftiest for their memory first.
    kinds: Vec<Vec<HostId>>,
}

impl<'a, 'p> Starting<'a, 'p> {
    fn of(picture: &'a Picture<'p>, layout: &'a Layout, waiting: &[VmId]) -> Self {
        let mut on = vec![];
        let mut kinds: BTreeMap<_, Vec<HostId>> = BTreeMap::new();
        for host in picture.host_ids() {
            let view = picture.host(host);
            let carries = layout.load(host).count > 0 || view.stays.is_some();
            if layout.takes[host.index()] && carries {
                on.push(host);
            } else if layout.takes[host.index()] || view.wakeable {
                let standing = view.idle.saturating_sub(view.asleep);
                let per_tib = u128::from(standing.0) * 1_048_576 / u128::from(view.mem.0.max(1));
                let alike = (view.mem, view.overhead, view.slots, view.cpu, view.cpu_group);
                kinds.entry((per_tib, standing, alike)).or_default().push(host);
            }
        }
        // Those that are up already are used before others are woken.
        let mut kinds: Vec<Vec<HostId>> = kinds.into_values().collect();
        for kind in &mut kinds {
            kind.sort_by_key(|host| (!layout.takes[host.index()], *host));
        }
        Self { picture, layout, units: units(picture.snapshot, waiting), on, kinds }
    }

    /// As many as find a place when every host may be used.
    fn on_all(&self) -> Layout {
        let mut layout = self.layout.clone();
        let hosts: Vec<HostId> = self.on.iter().chain(self.kinds.iter().flatten()).copied().collect();
        hosts.iter().for_each(|host| layout.open(*host));
        let mut units: Vec<&Vec<VmId>> = self.units.iter().collect();
        units.sort_by_key(|unit| (Reverse(self.picture.load_of_all(unit).mem), unit.first().copied()));
        for unit in units {
            let load = self.picture.load_of_all(unit);
            let fits = |host: &HostId| layout.fits(self.picture, unit, load, *host, Cpu::Settled).is_ok();
            let free = |host: &HostId| (layout.free(self.picture, *host), *host);
            if let Some(to) = hosts.iter().copied().filter(fits).min_by_key(free) {
                layout.put_all(self.picture, unit, to);
            }
        }
        layout
    }

    /// The set with the least standing watts on which all find a place and the reserves hold.
    fn cheapest(&self) -> Option<Layout> {
        let (kinds, needs) = self.measure();
        let sets = sets::cheapest(&kinds, &needs, TRIES, |_, _| Mib::ZERO).sets;
        let first = sets.first()?.counts.clone();
        if let Some(found) = sets.iter().find_map(|set| self.attempt(&set.counts, 0)) {
            return Some(found);
        }
        let all: usize = self.kinds.iter().map(Vec::len).sum();
        let room = all - first.iter().map(|count| *count as usize).sum::<usize>();
        let (mut fails, mut extra) = (0, 1);
        let mut best = loop {
            if fails >= room {
                return None;
            }
            extra = extra.min(room);
            match self.attempt(&first, extra) {
                Some(found) => break found,
                None => fails = extra,
            }
            extra *= 2;
        };
        while fails + 1 < extra {
            let middle = fails.midpoint(extra);
            match self.attempt(&first, middle) {
                Some(found) => (best, extra) = (found, middle),
                None => fails = middle,
            }
        }
        Some(best)
    }

    fn measure(&self) -> (Vec<Kind>, Needs) {
        let loads = || self.units.iter().map(|unit| self.picture.load_of_all(unit));
        let free = |host: &HostId| self.layout.free(self.picture, *host).0;
        let view = |host: &HostId| self.picture.host(*host);
        let overhead = self
            .on
            .iter()
            .chain(self.kinds.iter().flatten())
            .map(|host| view(host).overhead.0)
            .min()
            .unwrap_or(0);
        let each = self.units.iter().flatten().map(|vm| self.picture.vm(*vm).mem.0.saturating_add(overhead));
        let sizes = Sizes::of(each);
        let mut capacities: Vec<u64> =
            self.kinds.iter().map(|kind| view(&kind[0]).mem.0).chain(self.on.iter().map(free)).collect();
        capacities.sort_unstable_by_key(|mem| Reverse(*mem));
        capacities.dedup();
        capacities.truncate(CAPACITIES_MAX);
        let telling = sizes.telling(&capacities);
        let fixed = |of: &dyn Fn(&HostId) -> u64| self.on.iter().map(of).fold(0, u64::saturating_add);
        let places = spare_wanted(self.picture);
        let spare = self.picture.largest.0.saturating_mul(places);
        let cpu = |host: &HostId| view(host).cpu_target.saturating_sub(self.layout.load(*host).sleep).0;
        let slots = |host: &HostId| u64::from(view(host).slots.saturating_sub(self.layout.load(*host).count));
        let sum = |of: &dyn Fn(crate::picture::Load) -> u64| loads().map(of).fold(0, u64::saturating_add);
        let mem = sizes.total(Measure::Volume);
        let mut wanted = vec![
            mem.saturating_add(spare).saturating_sub(fixed(&free)),
            sum(&|load| load.sleep.0).saturating_sub(fixed(&cpu)),
            sum(&|load| u64::from(load.count)).saturating_add(places).saturating_sub(fixed(&slots)),
            u64::from(self.picture.knobs.min_on).saturating_sub(self.on.len() as u64),
        ];
        for measure in &telling {
            wanted.push(sizes.total(*measure).saturating_sub(fixed(&|host| measure.of(free(host)))));
        }
        let held: u64 = self.on.iter().map(|host| self.layout.used(self.picture, *host).0).sum();
        let needs = Needs {
            wanted,
            deaths: self.picture.knobs.failover,
            mem: held.saturating_add(mem),
            others: self.on.iter().map(|host| view(host).mem.0).collect(),
        };
        let kind = |hosts: &Vec<HostId>| {
            let view = view(&hosts[0]);
            let mut gives = vec![view.mem.0, view.cpu_target.0, u64::from(view.slots), 1];
            gives.extend(telling.iter().map(|measure| measure.of(view.mem.0)));
            Kind {
                must: 0,
                size: u32::try_from(hosts.len()).expect("fewer than 2^32 hosts"),
                watts: Watts(view.idle.saturating_sub(view.asleep).0),
                gives,
                mem: view.mem.0,
            }
        };
        (self.kinds.iter().map(kind).collect(), needs)
    }

    /// Everything on so many of each kind, and so many more, thriftiest first.
    fn attempt(&self, counts: &[u32], mut extra: usize) -> Option<Layout> {
        let mut layout = self.layout.clone();
        // Hosts that are on but left empty will sleep: they hold no reserve.
        self.kinds.iter().flatten().for_each(|host| layout.close(*host));
        let mut hosts = self.on.clone();
        for (kind, count) in self.kinds.iter().zip(counts) {
            let more = extra.min(kind.len() - *count as usize);
            extra -= more;
            hosts.extend(&kind[..*count as usize + more]);
        }
        hosts.sort_unstable();
        hosts.iter().for_each(|host| layout.open(*host));
        [Level::Tight, Level::Even].into_iter().find_map(|level| {
            let items = self.units.iter().map(|unit| Item::of(self.picture, unit)).collect();
            let fill = Fill::new(self.picture, layout.clone(), &hosts, items);
            let found = fill.run(level, &mut Patience::of(&mut || true)).ok()?;
            reserves_hold(self.picture, &found).then_some(found)
        })
    }
}

/// VMs of a gather group start together; each of the others by itself.
fn units(snapshot: &Snapshot, waiting: &[VmId]) -> Vec<Vec<VmId>> {
    let mut group_of: BTreeMap<VmId, usize> = BTreeMap::new();
    let gather = |group: &&dormouse_model::Group| group.rules.contains(&Rule::Gather);
    for (index, group) in snapshot.cluster.groups.iter().filter(gather).enumerate() {
        // Groups that share a VM are one.
        let shared: Vec<usize> = group.vms.iter().filter_map(|vm| group_of.get(vm).copied()).collect();
        group_of.values_mut().filter(|of| shared.contains(of)).for_each(|of| *of = index);
        group.vms.iter().for_each(|vm| _ = group_of.insert(*vm, index));
    }
    let mut together: BTreeMap<usize, Vec<VmId>> = BTreeMap::new();
    let mut units = vec![];
    for vm in waiting {
        match group_of.get(vm) {
            Some(group) => together.entry(*group).or_default().push(*vm),
            None => units.push(vec![*vm]),
        }
    }
    units.extend(together.into_values());
    units
}
