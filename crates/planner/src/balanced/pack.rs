//! Fewer watts for the hours to come: which hosts stay on and who goes where, decided together.
//!
//! 1. Who could sleep at all, and would it pay ([`Saving`])?
//! 2. Which sets of hosts could carry everything, cheapest first ([`super::choose`])?
//! 3. Does a placement with all constraints and reserves exist for that set ([`super::fill`])?
//!
//! A host is either emptied or left alone. The pass is repeated on its own result until it finds nothing, so planning
//! again does nothing.

use super::choose::{self, Pool};
use super::fill;
use crate::draft::Draft;
use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::Picture;
use crate::{bound, reserve};
use dormouse_model::{AwakeReason, Because, HostId, HostState, Millis, Permille, VmId, Watts};

/// VMs whose rules stand in the way pin their host to the kept ones; after so many of them a set is given up.
const CULPRITS_MAX: usize = 16;

/// Packs the layout and returns the hosts that it puts to sleep.
pub(super) fn pack(
    picture: &Picture<'_>,
    layout: &mut Layout,
    horizon: Millis,
    patience: &mut Patience<'_>,
) -> Vec<HostId> {
    let mut on: Vec<bool> = picture.hosts.iter().map(|host| !host.state.is_down()).collect();
    let mut asleep: Vec<HostId> = vec![];
    while patience.lasts()
        && let Some((better, emptied)) = pass(picture, layout, &on, horizon)
    {
        *layout = better;
        emptied.iter().for_each(|host| on[host.index()] = false);
        asleep.extend(emptied);
    }
    asleep.sort_unstable();
    asleep
}

/// What each move buys that nothing else has explained.
pub(super) fn explain(picture: &Picture<'_>, layout: &Layout, draft: &mut Draft) {
    for index in 0..picture.vms.len() {
        let origin = picture.snapshot.vms[index].state.host();
        if let Some(from) = origin.filter(|from| layout.at[index] != Some(*from)) {
            draft.explain(VmId::at(index), Because::Empties { host: from });
        }
    }
}

/// One better layout with the hosts that it puts to sleep, if there is one.
fn pass(
    picture: &Picture<'_>,
    layout: &Layout,
    on: &[bool],
    horizon: Millis,
) -> Option<(Layout, Vec<HostId>)> {
    let saving = Saving::of(picture, layout, on, horizon);
    let candidates: Vec<HostId> = picture
        .host_ids()
        .filter(|host| on[host.index()] && saving.verdict(picture, layout, *host).is_ok())
        .collect();
    if candidates.is_empty() {
        return None;
    }
    let mut pool = Pool::new(picture, layout, &candidates);
    pool.keep_rules(picture, layout);
    // Those that only give are emptied with the rest, or if that cannot be, left out of it.
    let found = together(picture, layout, &mut pool.clone())
        .or_else(|| pool.leave_givers().then(|| together(picture, layout, &mut pool.clone())).flatten())
        .or_else(|| one_by_one(picture, layout, &candidates, &pool))?;
    let emptied: Vec<HostId> = candidates
        .into_iter()
        .filter(|host| found.load(*host).count == 0 && !found.up[host.index()])
        .collect();
    let worth = !emptied.is_empty() && watts(picture, &found, &emptied) < watts(picture, layout, &[]);
    worth.then_some((found, emptied))
}

/// The cheapest set of hosts on which everything fits, in one go.
fn together(picture: &Picture<'_>, layout: &Layout, pool: &mut Pool) -> Option<Layout> {
    for _ in 0..CULPRITS_MAX {
        let mut culprit = None;
        let found =
            choose::cheapest(picture, layout, pool, |keep| match attempt(picture, layout, keep, pool) {
                Ok(layout) => Some(layout),
                Err(who) => {
                    culprit = culprit.or(who);
                    None
                }
            });
        match (found, culprit) {
            (Some(found), None) => return Some(found),
            // Some set failed only because one VM could not leave its host: keep that host and see if it is cheaper.
            (found, Some(host)) => {
                let mut with = pool.clone();
                with.keep(host);
                let again = choose::cheapest(picture, layout, &with, |keep| {
                    attempt(picture, layout, keep, &with).ok()
                });
                let better = match (found, again) {
                    (Some(a), Some(b)) if count(&b) < count(&a) => Some(b),
                    (None, other) | (other @ Some(_), _) => other,
                };
                if better.is_some() {
                    return better;
                }
                *pool = with;
            }
            (None, None) => return None,
        }
    }
    None
}

fn count(layout: &Layout) -> usize {
    layout.up.iter().filter(|up| **up).count()
}

/// Hosts that cannot be emptied together may be emptied singly, most worth it first.
fn one_by_one(picture: &Picture<'_>, layout: &Layout, candidates: &[HostId], pool: &Pool) -> Option<Layout> {
    if picture.snapshot.hosts_on() <= bound::of(picture, layout) {
        return None;
    }
    let mut order: Vec<HostId> = candidates.to_vec();
    order.sort_by_key(|host| {
        let view = picture.host(*host);
        let saved = view.idle.saturating_sub(view.asleep);
        (layout.takes[host.index()], layout.used(picture, *host), std::cmp::Reverse(saved), *host)
    });
    order.into_iter().find_map(|host| {
        let mut keep = pool.everything();
        keep[host.index()] = false;
        attempt(picture, layout, &keep, pool).ok()
    })
}

/// The layout in which all hosts of the pool that are not kept are empty; else the host whose VM has rules in its way.
fn attempt(
    picture: &Picture<'_>,
    layout: &Layout,
    keep: &[bool],
    pool: &Pool,
) -> Result<Layout, Option<HostId>> {
    if !pool.may_keep_only(picture, layout, keep) {
        return Err(None);
    }
    let mut failed = None;
    for level in [fill::Level::Even, fill::Level::Tight] {
        match fill::fill(picture, layout, keep, pool, level) {
            Ok(found) if reserves_hold(picture, &found) => return Ok(found),
            Ok(_) => {}
            Err(vm) => failed = Some(vm),
        }
    }
    let choosy = failed.filter(|vm| picture.unit(*vm).iter().any(|vm| picture.is_choosy(*vm)));
    Err(choosy.and_then(|vm| layout.at[vm.index()]))
}

fn reserves_hold(picture: &Picture<'_>, layout: &Layout) -> bool {
    reserve::places(picture, layout) >= spare_wanted(picture) && reserve::failover_holds(picture, layout)
}

/// Places that must stay free for a host to go to sleep. Never fewer than those below which one is woken again.
pub(crate) fn spare_wanted(picture: &Picture<'_>) -> u64 {
    u64::from(picture.knobs.spare_target.max(picture.knobs.spare_min))
}

/// Power of a layout, with these hosts asleep.
fn watts(picture: &Picture<'_>, layout: &Layout, asleep: &[HostId]) -> Watts {
    let on = |host: &HostId| !picture.host(*host).state.is_down() && asleep.binary_search(host).is_err();
    let down = |host: &HostId| asleep.binary_search(host).is_ok();
    let running: Watts =
        picture.host_ids().filter(on).map(|host| picture.host(host).watts(layout.load(host).wake)).sum();
    running + picture.host_ids().filter(down).map(|host| picture.host(host).asleep).sum()
}

/// What a host would save, and whether that is worth its moves, its boot and the disturbance.
pub(crate) struct Saving {
    horizon: Millis,
    vms: u64,
    watts_on: u64,
}

impl Saving {
    /// `on`: not put to sleep by this plan so far.
    pub(crate) fn of(picture: &Picture<'_>, layout: &Layout, on: &[bool], horizon: Millis) -> Self {
        let ours =
            |host: &HostId| layout.up[host.index()] || picture.host(*host).state == HostState::Draining;
        let on = |host: &HostId| on[host.index()] && ours(host);
        let vms = layout.load.iter().map(|load| u64::from(load.count)).sum();
        let watts_on = picture
            .host_ids()
            .filter(on)
            .map(|host| picture.host(host).watts(layout.load(host).wake).0)
            .sum();
        Self { horizon, vms, watts_on }
    }

    /// May this host be put to sleep if its VMs find room, and does it pay?
    pub(crate) fn verdict(
        &self,
        picture: &Picture<'_>,
        layout: &Layout,
        host: HostId,
    ) -> Result<(), AwakeReason> {
        let view = picture.host(host);
        if let Some(reason) = &view.stays {
            return Err(reason.clone());
        }
        if !view.gives || !(layout.up[host.index()] || view.state == HostState::Draining) {
            return Err(AwakeReason::Later);
        }
        self.pays(picture, layout, host)
    }

    /// Is it worth its moves, its boot and the disturbance?
    fn pays(&self, picture: &Picture<'_>, layout: &Layout, host: HostId) -> Result<(), AwakeReason> {
        let (ratio, wanted) = (self.payback(picture, layout, host), picture.knobs.payback);
        if ratio < wanted {
            return Err(AwakeReason::Payback { ratio, wanted });
        }
        let (ratio, wanted) = (self.disruption(picture, layout, host), picture.knobs.disrupt_max);
        if ratio > wanted {
            return Err(AwakeReason::Disrupt { ratio, wanted });
        }
        Ok(())
    }

    /// Energy saved while asleep over the energy of moves, shutdown and boot.
    fn payback(&self, picture: &Picture<'_>, layout: &Layout, host: HostId) -> Permille {
        let (view, spec) = (picture.host(host), &picture.snapshot.host(host).spec);
        let moving = layout.load(host).mem.transfer_time(view.link);
        let away =
            self.horizon.saturating_sub(moving).saturating_sub(spec.shutdown).saturating_sub(spec.boot);
        let saved = view.idle.saturating_sub(view.asleep).times(away).0;
        // A move keeps about one core busy at either end.
        let core = Watts(view.busy.saturating_sub(view.idle).0.div_ceil(u64::from(spec.cpus.max(1))));
        let up_and_down = view.busy.times(spec.boot).0 + view.idle.times(spec.shutdown).0;
        let cost = up_and_down + core.times(moving).0 * 2;
        if saved == 0 {
            return Permille::ZERO;
        }
        let ratio = saved.saturating_mul(1000) / cost.max(1);
        Permille(u64::try_from(ratio).unwrap_or(u64::MAX))
    }

    /// Share of VMs that would be disturbed over share of watts that would be saved.
    fn disruption(&self, picture: &Picture<'_>, layout: &Layout, host: HostId) -> Permille {
        let view = picture.host(host);
        let disturbed = u128::from(layout.load(host).count) * u128::from(self.watts_on) * 1000;
        let saved = u128::from(view.idle.saturating_sub(view.asleep).0) * u128::from(self.vms);
        Permille(u64::try_from(disturbed / saved.max(1)).unwrap_or(u64::MAX))
    }
}
