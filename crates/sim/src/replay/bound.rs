//! What no policy can beat, from trace and fleet alone.
//!
//! - The *floor* of the literature: memory as if VMs were water, the least watts for so many hosts, and the demand at the
//!   least watts per MIPS. It cannot be reached.
//! - The *bound*: VMs are whole, so some number of hosts must be on; the demand is spread over them as if it were water,
//!   along the lower hull of the hosts' curves. No placement that serves the demand draws less.
//!
//! Both know the whole day and move VMs for nothing. Nothing here looks at what a policy did.

use super::Rules;
use super::fleet::{Fleet, Machine};
use super::presence::Presence;
use crate::trace::Trace;
use dormouse_model::Mib;
use std::collections::BTreeMap;

/// Dual feasible functions are tried up to this many parts of a host.
const PARTS_MAX: u64 = 64;

/// Watts by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    pub floor: Vec<f64>,
    pub bound: Vec<f64>,
    /// Hosts that must be on for the VMs' memory.
    pub hosts: Vec<u64>,
}

impl Bounds {
    #[must_use]
    pub fn of(fleet: &Fleet, trace: &Trace, rules: Rules) -> Self {
        let classes = Class::all(fleet);
        let ground = Ground::of(fleet);
        let mut presence = Presence::new(rules, trace);
        let mut bounds = Self { floor: vec![], bound: vec![], hosts: vec![] };
        let mut last: Option<(Vec<bool>, u64, u64)> = None;
        for step in 0..trace.steps() {
            let runs = presence.advance(trace);
            if last.as_ref().is_none_or(|(who, _, _)| who != runs) {
                let sizes = ground.sizes(trace, runs);
                last = Some((runs.to_vec(), ground.by_volume(&sizes), ground.hosts(&sizes)));
            }
            let (_, volume, hosts) = last.as_ref().expect("just set");
            let demand = trace.demands(step).zip(runs).filter(|(_, runs)| **runs);
            let demand = exact(demand.map(|(mips, _)| mips.0).sum());
            bounds.floor.push(floor(&classes, ground.asleep, *volume, demand));
            bounds.bound.push(least(&classes, ground.asleep, *hosts, demand));
            bounds.hosts.push(*hosts);
        }
        bounds
    }

    /// Energy in kWh, each value for this many seconds.
    #[must_use]
    pub fn kwh(watts: &[f64], step_s: f64) -> f64 {
        watts.iter().sum::<f64>() * step_s / 3_600_000.0
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn exact(number: u64) -> f64 {
    number as f64
}

/// What matters of a fleet for packing memory.
struct Ground {
    /// Room for VMs by host, largest first.
    rooms: Vec<u64>,
    /// The least that any host adds to a VM.
    overhead: Mib,
    /// Watts with everybody asleep.
    asleep: f64,
}

impl Ground {
    fn of(fleet: &Fleet) -> Self {
        let mut rooms: Vec<u64> = fleet.machines.iter().map(|machine| machine.spec.mem_for_vms().0).collect();
        rooms.sort_unstable_by(|a, b| b.cmp(a));
        let overhead = fleet.machines.iter().map(|machine| machine.spec.overhead).min().unwrap_or_default();
        let asleep = fleet.machines.iter().map(|machine| exact(machine.spec.watts_asleep.0)).sum();
        Self { rooms, overhead, asleep }
    }

    /// How many VMs there are of each size.
    fn sizes(&self, trace: &Trace, runs: &[bool]) -> BTreeMap<u64, u64> {
        let mut sizes = BTreeMap::new();
        for (vm, _) in trace.vms.iter().zip(runs).filter(|(_, runs)| **runs) {
            *sizes.entry((vm.mem + self.overhead).0).or_insert(0) += 1;
        }
        sizes
    }

    fn by_volume(&self, sizes: &BTreeMap<u64, u64>) -> u64 {
        let mut left: u64 = sizes.iter().map(|(size, count)| size * count).sum();
        let mut hosts = u64::from(left == 0 && !sizes.is_empty());
        for room in &self.rooms {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(*room);
            hosts += 1;
        }
        hosts
    }

    /// So many hosts must be on. Counting in parts of the largest host: of a host cut into k + 1 parts, VMs that fill
    /// more than j parts count as j of k (Fekete and Schepers), since no host holds more than k such parts.
    fn hosts(&self, sizes: &BTreeMap<u64, u64>) -> u64 {
        let room = self.rooms.first().copied().unwrap_or(0).max(1);
        let by_parts = (1..=PARTS_MAX).map(|k| {
            let (mut whole, mut edge) = (0u128, 0u128);
            for (size, count) in sizes {
                let parts = u128::from(k + 1) * u128::from(*size);
                let count = u128::from(*count) * (parts / u128::from(room));
                // A VM of exactly j parts counts as j of k + 1: its share of the host.
                *(if parts.is_multiple_of(u128::from(room)) { &mut edge } else { &mut whole }) += count;
            }
            let k = u128::from(k);
            let hosts = (whole * (k + 1) + edge * k).div_ceil(k * (k + 1));
            u64::try_from(hosts).unwrap_or(u64::MAX)
        });
        by_parts.max().unwrap_or(0).max(self.by_volume(sizes)).min(self.rooms.len() as u64)
    }
}

/// Hosts that draw alike.
struct Class {
    count: u64,
    /// Idle watts above those asleep.
    idle: f64,
    mips: f64,
    /// Watts above idle for each MIPS at full load.
    chord: f64,
    /// Corners of the lower hull of the curve: MIPS, watts above idle.
    hull: Vec<(f64, f64)>,
}

impl Class {
    fn all(fleet: &Fleet) -> Vec<Self> {
        let mut classes: BTreeMap<(&[u64], u64, u64), u64> = BTreeMap::new();
        for Machine { spec, curve, mips, .. } in &fleet.machines {
            *classes.entry((curve.points(), *mips, spec.watts_asleep.0)).or_insert(0) += 1;
        }
        let machine = |(points, mips, asleep): (&[u64], u64, u64), count| {
            let watts = |uw: u64| exact(uw) / 1e6;
            let idle = watts(points[0]);
            let full = watts(points[points.len() - 1]);
            let mips = exact(mips);
            Self {
                count,
                idle: idle - exact(asleep),
                mips,
                chord: (full - idle) / mips,
                hull: hull(points, mips, idle),
            }
        };
        classes.into_iter().map(|(class, count)| machine(class, count)).collect()
    }

    /// The least watts of such a host when each MIPS that it serves earns so many watts.
    fn reduced(&self, price: f64) -> f64 {
        self.idle + self.hull.iter().map(|(mips, watts)| watts - price * mips).fold(0.0, f64::min)
    }
}

/// Corners of the lower convex hull of a curve.
fn hull(points: &[u64], mips: f64, idle: f64) -> Vec<(f64, f64)> {
    let steps = exact(points.len() as u64 - 1);
    let mut hull: Vec<(f64, f64)> = vec![];
    for (index, uw) in points.iter().enumerate() {
        let next = (mips * exact(index as u64) / steps, exact(*uw) / 1e6 - idle);
        while let [.., a, b] = hull[..] {
            // Is b on or above the line from a to the new point?
            if (b.1 - a.1) * (next.0 - a.0) < (next.1 - a.1) * (b.0 - a.0) {
                break;
            }
            hull.pop();
        }
        hull.push(next);
    }
    hull
}

fn floor(classes: &[Class], asleep: f64, hosts: u64, demand: f64) -> f64 {
    let mut idle: Vec<(f64, u64)> = classes.iter().map(|class| (class.idle, class.count)).collect();
    idle.sort_by(|a, b| a.0.total_cmp(&b.0));
    let chord = classes.iter().map(|class| class.chord).fold(f64::INFINITY, f64::min);
    asleep + cheapest(&idle, hosts) + if demand > 0.0 { chord * demand } else { 0.0 }
}

/// So many of the cheapest, and everyone who costs less than nothing.
fn cheapest(sorted: &[(f64, u64)], mut hosts: u64) -> f64 {
    let mut sum = 0.0;
    for (watts, count) in sorted {
        let take = if *watts < 0.0 { *count } else { hosts.min(*count) };
        sum += watts * exact(take);
        hosts = hosts.saturating_sub(take);
    }
    sum
}

/// The least watts with so many hosts on at least and the demand served. For any price of a MIPS this is a bound (each
/// host is then its own problem); the best price lies at a corner of some curve.
fn least(classes: &[Class], asleep: f64, hosts: u64, demand: f64) -> f64 {
    let able: f64 = classes.iter().map(|class| class.mips * exact(class.count)).sum();
    let demand = demand.min(able);
    let slopes = classes.iter().flat_map(|class| {
        class.hull.windows(2).map(|side| (side[1].1 - side[0].1) / (side[1].0 - side[0].0))
    });
    // With a host's idle watts in the price of what it serves, more hosts pay for themselves.
    let full = classes.iter().map(|class| (class.idle + class.chord * class.mips) / class.mips);
    let prices = std::iter::once(0.0).chain(slopes).chain(full);
    let at_price = |price: f64| {
        let mut reduced: Vec<(f64, u64)> =
            classes.iter().map(|class| (class.reduced(price), class.count)).collect();
        reduced.sort_by(|a, b| a.0.total_cmp(&b.0));
        price * demand + cheapest(&reduced, hosts)
    };
    asleep + prices.map(at_price).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(hosts: &str, csv: &str, rules: Rules) -> Bounds {
        let cluster = dormouse_model::text::parse(&format!("cluster c\n{hosts}")).expect("a cluster");
        let fleet = Fleet::of_cluster(&cluster).expect("a fleet");
        Bounds::of(&fleet, &Trace::read("t", csv.as_bytes()).expect("a trace"), rules)
    }

    fn vms(count: usize, mem: u64) -> String {
        (0..count)
            .fold(String::from("vm,cores,mhz,mem_mb,t0\n"), |csv, vm| format!("{csv}v{vm},1,1000,{mem},0\n"))
    }

    #[test]
    fn vms_are_whole_so_four_of_870_fill_a_host_of_4096() {
        let hosts = "host h[1-9] cpus=4 mem=4096M watts=100/200/0\n";
        let nine = bounds(hosts, &vms(9, 870), Rules::Honest);
        // 7,830 MiB would fit into two hosts if VMs were water.
        assert_eq!((nine.hosts[0], nine.floor[0], nine.bound[0]), (3, 200.0, 300.0));
        // A third of a host each, exactly: three on each.
        assert_eq!(bounds(hosts, &vms(6, 1365), Rules::Honest).hosts, [2]);
        assert_eq!(bounds("host h[1-9] cpus=4 mem=4095M\n", &vms(6, 1365), Rules::Honest).hosts, [2]);
    }

    #[test]
    fn demand_goes_where_a_mips_is_cheapest() {
        // a alone serves 400 MIPS at 140 W, b alone 3,000 MIPS at 300 W; a bound may be below that, never above.
        let hosts = "host a cpus=1 mem=4G watts=100/200/0\nhost b cpus=4 mem=4G watts=150/350/0\n";
        let csv = "vm,cores,mhz,mem_mb,t0,t300\nv,4,4000,1,100,750\n";
        let bounds = bounds(hosts, csv, Rules::Honest);
        assert!((120.0..=140.0).contains(&bounds.bound[0]), "{}", bounds.bound[0]);
        assert!((250.0..=300.0).contains(&bounds.bound[1]), "{}", bounds.bound[1]);
        // With many hosts alike there is nothing left between: 9 VMs, 3 hosts, 100 W for 4,000 MIPS.
        let alike = bounds_of_nine();
        assert_eq!(alike, 3.0 * 100.0 + 900.0 * 0.025);
    }

    fn bounds_of_nine() -> f64 {
        let csv = vms(9, 870).replace(",0\n", ",100\n");
        bounds("host h[1-9] cpus=4 mem=4096M watts=100/200/0\n", &csv, Rules::Honest).bound[0]
    }

    #[test]
    fn under_churn_only_those_count_that_are_there() {
        let hosts = "host h[1-9] cpus=4 mem=2G watts=100/200/0\n";
        let csv = "vm,cores,mhz,mem_mb,t0,t300,t600\na,1,1000,1500,0,0,10\nb,1,1000,1500,10,0,10\n";
        assert_eq!(bounds(hosts, csv, Rules::Churn).hosts, [2, 1, 2]);
        assert_eq!(bounds(hosts, csv, Rules::Honest).hosts, [2, 2, 2]);
    }

    #[test]
    fn a_hull_leaves_out_what_lies_above_it() {
        // SPECpower's G5 sags at low load: its hull has corners at 10 and 30 %.
        let fleet = Fleet::planetlab();
        let g5 = hull(fleet.machines[1].curve.points(), 5320.0, 93.7);
        let corners: Vec<f64> = g5.iter().map(|(mips, _)| mips.round()).collect();
        assert_eq!(corners, [0.0, 532.0, 1596.0, 5320.0]);
        assert_eq!(hull(fleet.machines[0].curve.points(), 3720.0, 86.0).len(), 2);
    }
}
