//! Fewer watts for the hours to come: which hosts stay on and who goes where, decided together.
//!
//! 1. Who could sleep at all, and would it pay ([`Saving`])?
//! 2. Which sets of hosts could carry everything, cheapest first ([`super::pool`])?
//! 3. Does a placement with all constraints and reserves exist for that set ([`super::fill`])?
//!
//! A host is either emptied or left alone. The pass is repeated on its own result until it finds nothing, so planning
//! again does nothing. VMs never leave their CPU group, so each group is packed by itself.

use super::fill::{Fill, Item, Level};
use super::pool::{Pool, cover, standing};
use super::saving::Saving;
use super::{singly, thrift};
use crate::bound::{self, Bounds};
use crate::draft::Draft;
use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::Picture;
use crate::reserve;
use dormouse_model::{Because, HostId, Mib, Millis, VmId, Watts};
use std::cmp::Reverse;

/// VMs whose rules stand in the way pin their host to the kept ones; after so many of them a set is given up.
const CULPRITS_MAX: usize = 16;
/// So many of the cheapest sets are tried before hosts are added to the cheapest.
const TRIES: usize = 6;

/// So many choices of hosts to fall back on are tried.
const FALLBACKS_MAX: usize = 4;

/// What packing does to hosts.
#[derive(Default)]
pub(super) struct Packed {
    pub(super) asleep: Vec<HostId>,
    /// Woken to take the place of others, and by how much less is drawn for it.
    pub(super) woken: Vec<(HostId, Watts)>,
}

/// Packs the layout.
pub(super) fn pack(
    picture: &Picture<'_>,
    layout: &mut Layout,
    horizon: Millis,
    bounds: Bounds,
    patience: &mut Patience<'_>,
) -> Packed {
    let mut on: Vec<bool> = picture.hosts.iter().map(|host| !host.state.is_down()).collect();
    let mut packed = Packed::default();
    let groups = groups(picture);
    loop {
        // What cannot be beaten is not tried to be.
        let mut pass = |group: &Option<u32>| pass(picture, layout, &on, horizon, *group, patience);
        let among_those_on =
            if bounds.are_met(picture, &on) { None } else { groups.iter().find_map(&mut pass) };
        let emptied = if let Some((better, emptied)) = among_those_on {
            *layout = better;
            emptied
        } else {
            if bound::standing(picture, &on) <= bounds.watts {
                break;
            }
            let found =
                groups.iter().find_map(|group| replace(picture, layout, &on, horizon, *group, patience));
            let Some(thrift::Replaced { layout: better, asleep, woken, watts }) = found else { break };
            *layout = better;
            woken.iter().for_each(|host| on[host.index()] = true);
            packed.woken.extend(woken.into_iter().map(|host| (host, watts)));
            asleep
        };
        emptied.iter().for_each(|host| on[host.index()] = false);
        packed.asleep.extend(emptied);
    }
    packed.asleep.sort_unstable();
    packed
}

/// Sleeping hosts in the place of those that are on, if that is better by enough.
fn replace(
    picture: &Picture<'_>,
    layout: &Layout,
    on: &[bool],
    horizon: Millis,
    group: Option<u32>,
    patience: &mut Patience<'_>,
) -> Option<thrift::Replaced> {
    // Most clusters at most times: nobody sleeps who may be woken.
    if !picture.hosts.iter().any(|host| host.wakeable) {
        return None;
    }
    let saving = Saving::of(picture, layout, on, horizon);
    let worth = worth(picture, layout, on, group, &saving);
    thrift::replace(picture, layout, on, &worth, group, &saving, patience)
}

/// The hosts of a group that may sleep, and that it would pay for, disturbance aside.
fn worth(
    picture: &Picture<'_>,
    layout: &Layout,
    on: &[bool],
    group: Option<u32>,
    saving: &Saving,
) -> Vec<HostId> {
    let ours =
        |host: &HostId| on[host.index()] && group.is_none_or(|group| picture.host(*host).cpu_group == group);
    picture.host_ids().filter(|host| ours(host) && saving.pays(picture, layout, *host).is_ok()).collect()
}

/// The CPU groups; one that is all there is needs no name.
fn groups(picture: &Picture<'_>) -> Vec<Option<u32>> {
    let mut groups: Vec<u32> = picture.hosts.iter().map(|host| host.cpu_group).collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.len() > 1 { groups.into_iter().map(Some).collect() } else { vec![None] }
}

/// What each move buys that nothing else has explained.
pub(super) fn explain(picture: &Picture<'_>, layout: &Layout, asleep: &[HostId], draft: &mut Draft) {
    let mut sleeps = vec![false; picture.hosts.len()];
    asleep.iter().for_each(|host| sleeps[host.index()] = true);
    for index in 0..picture.vms.len() {
        let origin = picture.snapshot.vms[index].state.host();
        if let Some(from) = origin.filter(|from| layout.at[index] != Some(*from)) {
            // Whoever leaves a host that stays on makes it the one that others can fall back on.
            let because = if sleeps[from.index()] {
                Because::Empties { host: from }
            } else {
                Because::Failover { hosts: picture.knobs.failover }
            };
            draft.explain(VmId::at(index), because);
        }
    }
}

/// One better layout with the hosts that it puts to sleep, if there is one.
fn pass(
    picture: &Picture<'_>,
    layout: &Layout,
    on: &[bool],
    horizon: Millis,
    group: Option<u32>,
    patience: &mut Patience<'_>,
) -> Option<(Layout, Vec<HostId>)> {
    let saving = Saving::of(picture, layout, on, horizon);
    let worth = worth(picture, layout, on, group, &saving);
    let mut task = Task { picture, layout, group, saving: &saving, patience };
    let found = task.pack(&worth);
    found.or_else(|| {
        // Too much for too little: only those that are worth it each.
        let each: Vec<HostId> =
            worth.iter().copied().filter(|host| saving.verdict(picture, layout, *host).is_ok()).collect();
        if each.len() < worth.len() { task.pack(&each) } else { None }
    })
}

/// Packing the hosts of one group as they are in this layout.
struct Task<'a, 'p, 't, 'm> {
    picture: &'a Picture<'p>,
    layout: &'a Layout,
    group: Option<u32>,
    saving: &'a Saving,
    patience: &'t mut Patience<'m>,
}

impl Task<'_, '_, '_, '_> {
    fn pack(&mut self, candidates: &[HostId]) -> Option<(Layout, Vec<HostId>)> {
        if candidates.is_empty() || !self.patience.lasts() {
            return None;
        }
        let mut pool = Pool::new(self.picture, self.layout, candidates, &[]);
        self.keep_rules(&mut pool);
        // One by one, each has to be worth it by itself.
        let each: Vec<HostId> = candidates
            .iter()
            .copied()
            .filter(|host| self.saving.verdict(self.picture, self.layout, *host).is_ok())
            .collect();
        // Those that only give are emptied with the rest, or if that cannot be, left out of it. That it cannot be is not
        // known before there was time to find out.
        let found = self
            .together(&mut pool.clone())
            .or_else(|| {
                let others = !self.patience.is_out() && pool.leave_givers();
                others.then(|| self.together(&mut pool.clone())).flatten()
            })
            .or_else(|| singly::one_by_one(self.picture, self.layout, &each, &pool, self.patience))?;
        let gone = |host: &HostId| found.load(*host).count == 0 && !found.up[host.index()];
        let emptied: Vec<HostId> = candidates.iter().copied().filter(gone).collect();
        let worth = !emptied.is_empty()
            && watts(self.picture, &found, &emptied) < watts(self.picture, self.layout, &[]);
        worth.then_some((found, emptied))
    }

    /// `keep N of` is met first by hosts that the rules of VMs keep on anyway, or it would keep others beside them.
    fn keep_rules(&self, pool: &mut Pool) {
        if self.picture.snapshot.cluster.keeps.is_empty() {
            return;
        }
        for _ in 0..CULPRITS_MAX {
            let sets = pool.sets(self.picture, self.layout, 1, self.group);
            let Some(first) = sets.first() else { break };
            let keep = pool.keep_set(&first.counts, 0);
            if !cover(self.picture, self.layout, pool, &keep) {
                break;
            }
        }
        pool.keep_rules(self.picture, self.layout);
    }

    /// The cheapest set of hosts on which everything fits, in one go.
    fn together(&mut self, pool: &mut Pool) -> Option<Layout> {
        let mut last = None;
        for _ in 0..CULPRITS_MAX {
            let now = pool.watts_of_all(self.picture, self.layout);
            let sets = pool.sets(self.picture, self.layout, TRIES, self.group);
            let better: Vec<_> = sets.into_iter().take_while(|set| set.watts < now).collect();
            let first = better.first()?.counts.clone();
            if cover(self.picture, self.layout, pool, &pool.keep_set(&first, 0)) {
                continue;
            }
            let mut culprit = None;
            for set in &better {
                match self.attempt(&pool.keep_set(&set.counts, 0), pool) {
                    Ok(found) => return Some(found),
                    Err(who) => culprit = culprit.or(who),
                }
                // One VM has rules that stand in the way: keep its host, and see what is cheapest then.
                if culprit.is_some() || !self.patience.lasts() {
                    break;
                }
            }
            match culprit.filter(|host| !pool.must_keep(*host)) {
                Some(host) => pool.keep(host),
                None => return self.with_more(pool, &first),
            }
            last = Some(first);
        }
        self.with_more(pool, &last?)
    }

    /// Measures lied: hosts are added to a set, in growing strides, then we look back for the least number that does.
    fn with_more(&mut self, pool: &Pool, counts: &[u32]) -> Option<Layout> {
        let room = pool.room_for_more(counts);
        let (mut fails, mut extra, mut best) = (0, 1, None);
        while best.is_none() {
            if fails >= room || !self.patience.lasts() {
                return None;
            }
            let here = extra.min(room);
            best = self.attempt(&pool.keep_set(counts, here), pool).ok();
            if best.is_some() {
                extra = here;
            } else {
                fails = here;
                extra = here * 2;
            }
        }
        while fails + 1 < extra && self.patience.lasts() {
            let middle = fails.midpoint(extra);
            match self.attempt(&pool.keep_set(counts, middle), pool) {
                Ok(layout) => {
                    best = Some(layout);
                    extra = middle;
                }
                Err(_) => fails = middle,
            }
        }
        best
    }

    /// The layout in which all hosts of the pool that are not kept are empty; else the host whose VM has rules in its
    /// way.
    fn attempt(&mut self, keep: &[bool], pool: &Pool) -> Result<Layout, Option<HostId>> {
        if !pool.may_keep_only(self.picture, self.layout, keep) {
            return Err(None);
        }
        let mut leaving: Vec<HostId> = pool.all().filter(|host| !keep[host.index()]).collect();
        leaving.sort_unstable();
        if !self.disturbs_little(&leaving, &[]) {
            return Err(None);
        }
        let mut failed = None;
        for level in [Level::Even, Level::Tight] {
            match self.fill(keep, pool, &leaving, &[], level) {
                Ok(found) if reserves_hold(self.picture, &found) => return Ok(found),
                Ok(_) => {}
                Err(vm) => failed = failed.or(vm),
            }
            if !self.patience.lasts() {
                return Err(None);
            }
        }
        // Hosts for the others to fall back on, all of their room in one piece.
        let spares = if failed.is_none() { self.fallbacks(keep, pool) } else { vec![] };
        for spare in spares {
            if self.disturbs_little(&leaving, &spare)
                && let Ok(found) = self.fill(keep, pool, &leaving, &spare, Level::Even)
                && reserves_hold(self.picture, &found)
            {
                return Ok(found);
            }
        }
        let picture = self.picture;
        let choosy = failed.filter(|vm| picture.unit(*vm).iter().any(|vm| picture.is_choosy(*vm)));
        Err(choosy.and_then(|vm| self.layout.at[vm.index()]))
    }

    /// Are so many VMs worth the watts of these hosts? Asked before anything is tried, so that no time is lost on it.
    fn disturbs_little(&self, leaving: &[HostId], spare: &[HostId]) -> bool {
        let vms = leaving.iter().chain(spare).map(|host| u64::from(self.layout.load(*host).count)).sum();
        let watts = leaving.iter().map(|host| standing(self.picture, *host)).sum();
        self.saving.disturbs_little(self.picture, vms, watts)
    }

    /// As many hosts as may die, each as large as the largest, that could be emptied: a few choices, those that carry
    /// least now first.
    fn fallbacks(&self, keep: &[bool], pool: &Pool) -> Vec<Vec<HostId>> {
        let picture = self.picture;
        let number = picture.knobs.failover as usize;
        let stays = |host: &HostId| keep[host.index()] && self.layout.takes[host.index()];
        let largest = picture.host_ids().filter(stays).map(|host| picture.host(host).mem).max();
        let mut hosts: Vec<HostId> = pool
            .all()
            .filter(|host| stays(host) && Some(picture.host(*host).mem) == largest && !pool.must_keep(*host))
            .collect();
        if number == 0 || hosts.len() < number {
            return vec![];
        }
        hosts.sort_by_key(|host| (self.layout.load(*host).mem, Reverse(*host)));
        hosts.windows(number).take(FALLBACKS_MAX).map(<[HostId]>::to_vec).collect()
    }

    /// Everything that leaves these hosts, on those that are kept but for the `spare` ones, which are emptied as well.
    fn fill(
        &mut self,
        keep: &[bool],
        pool: &Pool,
        leaving: &[HostId],
        spare: &[HostId],
        level: Level,
    ) -> Result<Layout, Option<VmId>> {
        let mut after = self.layout.clone();
        leaving.iter().for_each(|host| after.close(*host));
        for host in pool.all().filter(|host| keep[host.index()] && self.picture.host(*host).state.is_down()) {
            after.open(host);
        }
        let ours = |host: &HostId| self.group.is_none_or(|group| self.picture.host(*host).cpu_group == group);
        let targets: Vec<HostId> = self
            .picture
            .host_ids()
            .filter(|host| after.takes[host.index()] && ours(host) && !spare.contains(host))
            .collect();
        let vms = leaving.iter().chain(spare).flat_map(|host| self.layout.each_on(*host));
        let first_of_unit = |vm: &VmId| self.picture.unit(*vm).first() == Some(vm);
        let items =
            vms.filter(first_of_unit).map(|vm| Item::of(self.picture, self.picture.unit(vm))).collect();
        Fill::new(self.picture, after, &targets, items).run(level, self.patience)
    }
}

pub(crate) fn reserves_hold(picture: &Picture<'_>, layout: &Layout) -> bool {
    reserve::places(picture, layout) >= spare_wanted(picture) && reserve::failover_holds(picture, layout)
}

/// Places that must stay free for a host to go to sleep: never fewer than those below which one is woken again, and
/// beside them those of VMs that went lately and may come back.
pub(crate) fn spare_wanted(picture: &Picture<'_>) -> u64 {
    let always = u64::from(picture.knobs.spare_target.max(picture.knobs.spare_min));
    let back =
        if picture.largest == Mib::ZERO { 0 } else { picture.snapshot.lull.0.div_ceil(picture.largest.0) };
    always.saturating_add(back)
}

/// Power of a layout, with these hosts asleep.
fn watts(picture: &Picture<'_>, layout: &Layout, asleep: &[HostId]) -> Watts {
    let on = |host: &HostId| !picture.host(*host).state.is_down() && asleep.binary_search(host).is_err();
    let down = |host: &HostId| asleep.binary_search(host).is_ok();
    let running: Watts =
        picture.host_ids().filter(on).map(|host| picture.host(host).watts(layout.load(host).wake)).sum();
    running + picture.host_ids().filter(down).map(|host| picture.host(host).asleep).sum()
}
