//! Hosts that cannot be emptied together may be emptied singly, most worth it first.

use super::pack::reserves_hold;
use super::pool::{Pool, standing};
use crate::bound;
use crate::layout::{Cpu, Layout};
use crate::patience::Patience;
use crate::picture::Picture;
use dormouse_model::HostId;
use std::cmp::Reverse;

/// One host after the other is emptied into the others where that can be; nothing if none can.
pub(super) fn one_by_one(
    picture: &Picture<'_>,
    layout: &Layout,
    candidates: &[HostId],
    pool: &Pool,
    patience: &mut Patience<'_>,
) -> Option<Layout> {
    if picture.snapshot.hosts_on() <= bound::of(picture, layout).hosts {
        return None;
    }
    let mut order: Vec<HostId> = candidates.to_vec();
    order.sort_by_key(|host| {
        let saved = standing(picture, *host);
        (layout.takes[host.index()], layout.used(picture, *host), Reverse(saved), *host)
    });
    let mut now = layout.clone();
    let mut any = false;
    let mut keep = vec![true; picture.hosts.len()];
    for host in order {
        if pool.must_keep(host) || !patience.lasts() {
            continue;
        }
        keep[host.index()] = false;
        match without(picture, &now, host) {
            Some(better) if pool.may_keep_only(picture, layout, &keep) && reserves_hold(picture, &better) => {
                now = better;
                any = true;
            }
            _ => keep[host.index()] = true,
        }
    }
    any.then_some(now)
}

/// The layout with this host empty and closed.
fn without(picture: &Picture<'_>, layout: &Layout, host: HostId) -> Option<Layout> {
    let mut units: Vec<_> = layout
        .vms_on(host)
        .into_iter()
        .map(|vm| (vm, picture.unit(vm)))
        .filter(|(vm, unit)| unit.first() == Some(vm))
        .map(|(_, unit)| (picture.load_of_all(unit), unit))
        .collect();
    units.sort_by_key(|(load, unit)| (Reverse(load.mem), unit.first().copied()));
    // The largest alone has to fit somewhere before anything is copied.
    let somewhere = |layout: &Layout, load, unit: &[_]| {
        picture
            .host_ids()
            .filter(|to| *to != host && layout.fits(picture, unit, load, *to, Cpu::Settled).is_ok())
            .min_by_key(|to| (layout.free(picture, *to), *to))
    };
    if let Some((load, unit)) = units.first() {
        somewhere(layout, *load, unit)?;
    }
    let mut after = layout.clone();
    after.close(host);
    for (load, unit) in units {
        let to = somewhere(&after, load, unit)?;
        after.put_all(picture, unit, to);
    }
    Some(after)
}
