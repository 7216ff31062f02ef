//! Thrifty hosts that sleep, woken to take the place of wasteful ones that are on.
//!
//! Asked after packing has found nothing more among the hosts that are on. A wake costs a boot and minutes in which both
//! are on, and it moves every VM of the hosts replaced, so all of that must pay within the horizon together: watts saved,
//! which is what one set stands at less than the other, against boots, moves and disturbance. Never woken: a host that
//! fell asleep a moment ago or has used up its cycles of the day; and none while another is still on its way up.

use super::fill::{Fill, Item, Level};
use super::pack::reserves_hold;
use super::pool::{Pool, cover, standing};
use super::saving::Saving;
use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::Picture;
use dormouse_model::{HostId, HostState, Watts};

/// Sets that are tried, cheapest first.
const TRIES: usize = 6;
/// Hosts that are added to a set on which not everything fits, one by one.
const EXTRA_MAX: usize = 2;
/// Hosts that the rules of VMs may ask for before a set is looked at.
const COVER_MAX: usize = 16;

/// A better layout, the hosts that sleep in it, and those woken for that.
pub(super) struct Replaced {
    pub(super) layout: Layout,
    pub(super) asleep: Vec<HostId>,
    pub(super) woken: Vec<HostId>,
    /// So much less is drawn.
    pub(super) watts: Watts,
}

/// `candidates`: hosts that are on, may sleep, and are worth their moves and boot.
pub(super) fn replace(
    picture: &Picture<'_>,
    layout: &Layout,
    on: &[bool],
    candidates: &[HostId],
    group: Option<u32>,
    saving: &Saving,
    patience: &mut Patience<'_>,
) -> Option<Replaced> {
    let ours = |host: &HostId| group.is_none_or(|group| picture.host(*host).cpu_group == group);
    let sleepers: Vec<HostId> =
        picture.host_ids().filter(|host| ours(host) && may_wake(picture, layout, *host)).collect();
    let coming = |host: &HostId| picture.host(*host).state == HostState::Waking;
    if !any_thriftier(picture, &sleepers, candidates)
        || picture.host_ids().any(|host| ours(&host) && coming(&host))
        || !patience.lasts()
    {
        return None;
    }
    let mut pool = Pool::new(picture, layout, candidates, &sleepers);
    pool.leave_givers();
    pool.keep_rules(picture, layout);
    let now: Watts = candidates.iter().map(|host| standing(picture, *host)).sum();
    let up = layout.up.iter().filter(|up| **up).count();
    let mut sets = vec![];
    for _ in 0..COVER_MAX {
        sets = pool.sets(picture, layout, TRIES, group);
        let Some(first) = sets.first() else { break };
        let keep = pool.keep_set(&first.counts, 0);
        if !cover(picture, layout, &mut pool, &keep) {
            break;
        }
    }
    let better = sets.iter().take_while(|set| set.watts < now);
    let tried = better
        .flat_map(|set| (0..=EXTRA_MAX.min(pool.room_for_more(&set.counts))).map(move |extra| (set, extra)));
    for (set, extra) in tried {
        let keep = pool.keep_set(&set.counts, extra);
        let woken: Vec<HostId> = sleepers.iter().copied().filter(|host| keep[host.index()]).collect();
        let asleep: Vec<HostId> = candidates.iter().copied().filter(|host| !keep[host.index()]).collect();
        // Without a wake it is packing's, which did not find it or did not want it.
        if woken.is_empty()
            || asleep.iter().any(|host| pool.must_keep(*host))
            || up + woken.len() < asleep.len() + picture.knobs.min_on as usize
            || !saving.replacing_pays(picture, layout, &asleep, &woken)
        {
            continue;
        }
        let found = fill(picture, layout, &asleep, &woken, group, patience);
        // What the VMs draw may be more elsewhere.
        let less = |after: &Layout| {
            let mut then = on.to_vec();
            asleep.iter().for_each(|host| then[host.index()] = false);
            woken.iter().for_each(|host| then[host.index()] = true);
            draw(picture, after, &then) < draw(picture, layout, on)
        };
        if let Some(layout) = found.filter(less) {
            let sum = |hosts: &[HostId]| hosts.iter().map(|host| standing(picture, *host)).sum::<Watts>();
            let watts = sum(&asleep).saturating_sub(sum(&woken));
            return Some(Replaced { layout, asleep, woken, watts });
        }
        if patience.is_out() {
            return None;
        }
    }
    None
}

/// What all hosts draw.
fn draw(picture: &Picture<'_>, layout: &Layout, on: &[bool]) -> Watts {
    let each = picture.host_ids().map(|host| {
        let view = picture.host(host);
        if on[host.index()] { view.watts(layout.load(host).wake) } else { view.asleep }
    });
    each.sum()
}

fn may_wake(picture: &Picture<'_>, layout: &Layout, host: HostId) -> bool {
    let (view, seen) = (picture.host(host), picture.snapshot.host(host));
    view.wakeable
        && !layout.up[host.index()]
        && seen.in_state >= picture.knobs.scaled(picture.knobs.min_down)
        && seen.cycles_day < picture.knobs.cycles_host_day
}

/// Does one that sleeps draw less than one that is on, or less for its memory? Else no set with it can be better.
fn any_thriftier(picture: &Picture<'_>, sleepers: &[HostId], candidates: &[HostId]) -> bool {
    let figures =
        |host: &HostId| (u128::from(standing(picture, *host).0), u128::from(picture.host(*host).mem.0));
    let dear = candidates.iter().map(figures);
    let Some((most, _)) = dear.clone().max() else { return false };
    let by_mem = |a: &(u128, u128), b: &(u128, u128)| (a.0 * b.1).cmp(&(b.0 * a.1));
    let Some(worst) = dear.max_by(by_mem) else { return false };
    sleepers.iter().map(figures).any(|one| one.0 < most || by_mem(&one, &worst).is_lt())
}

/// Everything that leaves these hosts, on those that stay and those that are woken.
fn fill(
    picture: &Picture<'_>,
    layout: &Layout,
    asleep: &[HostId],
    woken: &[HostId],
    group: Option<u32>,
    patience: &mut Patience<'_>,
) -> Option<Layout> {
    let mut after = layout.clone();
    asleep.iter().for_each(|host| after.close(*host));
    woken.iter().for_each(|host| after.open(*host));
    let ours = |host: &HostId| group.is_none_or(|group| picture.host(*host).cpu_group == group);
    let targets: Vec<HostId> =
        picture.host_ids().filter(|host| after.takes[host.index()] && ours(host)).collect();
    [Level::Even, Level::Tight].into_iter().find_map(|level| {
        let vms = asleep.iter().flat_map(|host| layout.each_on(*host));
        let items = vms
            .filter(|vm| picture.unit(*vm).first() == Some(vm))
            .map(|vm| Item::of(picture, picture.unit(vm)))
            .collect();
        let found = Fill::new(picture, after.clone(), &targets, items).run(level, patience).ok()?;
        reserves_hold(picture, &found).then_some(found)
    })
}
