//! Empties the hosts that are not kept into those that are: best fit, largest first, inflow spread where there is room.

use super::choose::Pool;
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{HostId, Mib, VmId};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How much of the room is used at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// No host takes more than a common water level, so that all links work until the end.
    Even,
    /// The tightest fit wherever it is: leaves the largest holes, which the reserves need.
    Tight,
}

/// Rooms by size: what a host may still take at this level.
struct Rooms<'a, 'p> {
    picture: &'a Picture<'p>,
    by_size: BTreeSet<(Mib, HostId)>,
    room: Vec<Mib>,
}

impl Rooms<'_, '_> {
    /// The tightest room that these VMs fit into.
    fn tightest(&self, layout: &Layout, unit: &[VmId]) -> Option<HostId> {
        let load = self.picture.load_of_all(unit);
        self.by_size
            .range((load.mem, HostId(0))..)
            .filter(|(room, host)| self.picture.host(*host).mem_of(load) <= *room)
            .map(|(_, host)| *host)
            .find(|host| layout.fits(self.picture, unit, load, *host, Cpu::Settled).is_ok())
    }

    fn take(&mut self, host: HostId, mem: Mib) {
        let room = &mut self.room[host.index()];
        self.by_size.remove(&(*room, host));
        *room = room.saturating_sub(mem);
        self.by_size.insert((*room, host));
    }
}

/// All VMs of the hosts that are not kept, on the others; or the first VM that finds no place.
pub(super) fn fill(
    picture: &Picture<'_>,
    layout: &Layout,
    keep: &[bool],
    pool: &Pool,
    level: Level,
) -> Result<Layout, VmId> {
    let mut after = layout.clone();
    let leaving: Vec<HostId> = pool.all().filter(|host| !keep[host.index()]).collect();
    for host in &leaving {
        after.close(*host);
    }
    let mut units: Vec<&[VmId]> = vec![];
    for host in &leaving {
        units.extend(
            layout
                .vms_on(*host)
                .into_iter()
                .filter(|vm| picture.unit(*vm).first() == Some(vm))
                .map(|vm| picture.unit(vm)),
        );
    }
    let capacity = Capacity::of(picture, &after);
    units.sort_by_cached_key(|unit| {
        let choosy = unit.iter().any(|vm| picture.is_choosy(*vm));
        (!choosy, Reverse(capacity.weight(picture, unit)), unit.first().copied())
    });
    let inflow: Mib = units.iter().map(|unit| picture.load_of_all(unit).mem).sum();
    let targets: Vec<HostId> = picture.host_ids().filter(|host| after.takes[host.index()]).collect();
    let cap = match level {
        Level::Even => water_level(picture, &after, &targets, inflow),
        Level::Tight => Mib::MAX,
    };
    let mut rooms = Rooms { picture, by_size: BTreeSet::new(), room: vec![Mib::ZERO; picture.hosts.len()] };
    for host in &targets {
        let room = after.free(picture, *host).min(cap);
        rooms.room[host.index()] = room;
        rooms.by_size.insert((room, *host));
    }
    for unit in units {
        let load = picture.load_of_all(unit);
        let to = rooms.tightest(&after, unit).or_else(|| {
            let fitting = |host: &HostId| after.fits(picture, unit, load, *host, Cpu::Settled).is_ok();
            let above = cap != Mib::MAX;
            targets
                .iter()
                .copied()
                .filter(|_| above)
                .filter(fitting)
                .min_by_key(|host| (after.free(picture, *host), *host))
        });
        let to = to.ok_or(unit[0])?;
        after.put_all(picture, unit, to);
        rooms.take(to, picture.host(to).mem_of(load));
    }
    Ok(after)
}

/// The least level at which rooms cut off there hold the inflow, with a little play for VMs that do not divide evenly.
fn water_level(picture: &Picture<'_>, layout: &Layout, targets: &[HostId], inflow: Mib) -> Mib {
    let mut free: Vec<u64> = targets.iter().map(|host| layout.free(picture, *host).0).collect();
    free.sort_unstable();
    let wanted = inflow.0 + inflow.0 / 50;
    let mut below = 0;
    for (index, room) in free.iter().enumerate() {
        let rest = (free.len() - index) as u64;
        if below + room * rest >= wanted {
            return Mib(wanted.saturating_sub(below).div_ceil(rest)).max(picture.largest);
        }
        below += room;
    }
    Mib::MAX
}

/// How much there is of each dimension, for saying which of them a VM is large in.
struct Capacity {
    mem: u128,
    cpu: u128,
}

impl Capacity {
    fn of(picture: &Picture<'_>, layout: &Layout) -> Self {
        let open = || picture.host_ids().filter(|host| layout.takes[host.index()]);
        let mem = open().map(|host| u128::from(picture.host(host).mem.0)).sum::<u128>().max(1);
        let cpu = open().map(|host| u128::from(picture.host(host).cpu_target.0)).sum::<u128>().max(1);
        Self { mem, cpu }
    }

    fn weight(&self, picture: &Picture<'_>, unit: &[VmId]) -> u128 {
        let load = picture.load_of_all(unit);
        (u128::from(load.mem.0) * self.cpu).max(u128::from(load.sleep.0) * self.mem)
    }
}
