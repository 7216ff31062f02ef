//! The fewest moves that end all overloads on the hosts that are on: tried in full where the cluster is small, for a
//! bounded effort elsewhere.
//!
//! One VM after the other, the best first, ends most overloads. It fails where the first VM takes the only place that the
//! second could have had: then a host would be woken, or an overload left, for nothing.

use super::relieve::in_order_of_use;
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{HostId, MilliCpu, VmId};

/// So many looks at a host or a VM are taken in all: some milliseconds at most.
const LOOKS: u32 = 200_000;
/// Of the hosts that fit, so many are tried for each unit.
const TARGETS: usize = 8;

/// Puts the VMs where they should go and says which, with the host that they relieve; `None`: the layout is as it was,
/// since nothing was found that ends all of it.
pub(super) fn fewest<'p>(
    picture: &'p Picture<'_>,
    layout: &mut Layout,
    over: &[HostId],
) -> Option<Vec<(&'p [VmId], HostId)>> {
    let mut search = Search { picture, over, looks: LOOKS, chosen: vec![] };
    let least = search.least(layout, usize::MAX)?;
    let movable = over.iter().map(|host| layout.each_on(*host).count()).sum();
    if !search.has_headroom(layout) {
        return None;
    }
    for moves in least..=movable {
        if search.within(layout, moves) {
            return Some(search.chosen);
        }
        if search.looks == 0 {
            return None;
        }
    }
    None
}

struct Search<'a, 'p, 's> {
    picture: &'p Picture<'s>,
    over: &'a [HostId],
    looks: u32,
    chosen: Vec<(&'p [VmId], HostId)>,
}

impl Search<'_, '_, '_> {
    fn excess(&self, layout: &Layout, host: HostId) -> MilliCpu {
        layout.load(host).wake.saturating_sub(self.picture.host(host).cpu_high)
    }

    /// All that has to go, and what could be taken: told before anything is tried.
    fn has_headroom(&self, layout: &Layout) -> bool {
        let excess: u64 = self.over.iter().map(|host| self.excess(layout, *host).0).sum();
        let takes = self.picture.host_ids().filter(|host| layout.takes[host.index()]);
        let free: u64 = takes
            .map(|host| self.picture.host(host).cpu_target.saturating_sub(layout.load(host).wake).0)
            .sum();
        excess <= free
    }

    /// So many VMs must go at least, wherever they may go; `None`: more than `most`, or all of them are not enough.
    fn least(&self, layout: &Layout, most: usize) -> Option<usize> {
        let mut moves = 0;
        for host in self.over {
            let mut left = self.excess(layout, *host).0;
            if left == 0 {
                continue;
            }
            if !self.picture.host(*host).gives {
                return None;
            }
            let mut demands: Vec<u64> = in_order_of_use(self.picture, layout, *host)
                .into_iter()
                .flat_map(|unit| {
                    // As if each VM of a unit brought the mean of it: never more moves than are needed.
                    let share = self.picture.load_of_all(unit).wake.0.div_ceil(unit.len() as u64);
                    std::iter::repeat_n(share, unit.len())
                })
                .collect();
            demands.sort_unstable_by(|a, b| b.cmp(a));
            for demand in demands {
                if left == 0 {
                    break;
                }
                left = left.saturating_sub(demand);
                moves += 1;
            }
            if left > 0 || moves > most {
                return None;
            }
        }
        Some(moves)
    }

    fn spend(&mut self, looks: usize) {
        self.looks = self.looks.saturating_sub(u32::try_from(looks).unwrap_or(u32::MAX));
    }

    /// Ends what is left of the overloads with this many moves at most.
    fn within(&mut self, layout: &mut Layout, moves: usize) -> bool {
        let Some(host) = self.over.iter().copied().find(|host| self.excess(layout, *host).0 > 0) else {
            return true;
        };
        let movable: usize = self.over.iter().map(|host| layout.each_on(*host).count()).sum();
        self.spend(movable);
        if self.least(layout, moves).is_none() {
            return false;
        }
        for unit in in_order_of_use(self.picture, layout, host) {
            if unit.len() > moves {
                continue;
            }
            for to in self.coolest(layout, unit) {
                layout.put_all(self.picture, unit, to);
                self.chosen.push((unit, host));
                if self.within(layout, moves - unit.len()) {
                    return true;
                }
                self.chosen.pop();
                layout.put_all(self.picture, unit, host);
                if self.looks == 0 {
                    return false;
                }
            }
        }
        false
    }

    /// Where the unit fits, the coolest first.
    fn coolest(&mut self, layout: &Layout, unit: &[VmId]) -> Vec<HostId> {
        let load = self.picture.load_of_all(unit);
        self.spend(self.picture.hosts.len());
        let mut fit: Vec<HostId> = self
            .picture
            .host_ids()
            .filter(|host| layout.fits(self.picture, unit, load, *host, Cpu::Urgent).is_ok())
            .collect();
        fit.sort_by_cached_key(|host| {
            (layout.load(*host).wake.share_of(self.picture.host(*host).cpu), *host)
        });
        fit.truncate(TARGETS);
        fit
    }
}
