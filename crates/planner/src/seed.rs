//! Policy `seed`: the rules of the lab system that this project grew from, one function a rule.
//!
//! It is the baseline of every comparison, so nothing is improved here. Only what must never happen is added: memory is
//! not over-committed, hard constraints hold, and one VM that cannot move does not stop the rest. Reserves are not kept.
//!
//! Load is loadavg15 / CPUs as last seen, corrected by the demand of the VMs that this plan has moved: the average itself
//! would need a quarter of an hour to show what the round before has done.

use crate::draft::{Draft, Move};
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{AwakeReason, Because, HostId, HostState, Permille, RefusalReason, Role};

/// The four lists of a round, each in the order of the cluster text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lists {
    pub(crate) off: Vec<HostId>,
    pub(crate) under: Vec<HostId>,
    pub(crate) over: Vec<HostId>,
    pub(crate) regular: Vec<HostId>,
}

/// Load of a host as it will be when what is planned so far has happened.
pub(crate) fn load(picture: &Picture<'_>, before: &Layout, now: &Layout, host: HostId) -> Permille {
    let seen = picture.snapshot.host(host).load15.last().copied().unwrap_or_default();
    let capacity = picture.host(host).cpu;
    let (was, is) = (before.load(host).wake, now.load(host).wake);
    let gone = was.saturating_sub(is).share_of(capacity);
    let come = is.saturating_sub(was).share_of(capacity);
    seen.saturating_add(come).saturating_sub(gone)
}

/// *off*: asleep, or below `load.low` without a VM (never the manager's). *under*: below `load.low` with a free slot.
/// *over*: above `load.high` with more than one VM. *regular*: the rest. Hosts that are not ours to use are on no list.
pub(crate) fn classify(picture: &Picture<'_>, before: &Layout, now: &Layout) -> Lists {
    let mut lists = Lists::default();
    for host in picture.host_ids() {
        let view = picture.host(host);
        if view.state == HostState::Asleep && !now.takes[host.index()] {
            lists.off.push(host);
            continue;
        }
        if !now.takes[host.index()] {
            continue;
        }
        let load = load(picture, before, now, host);
        let vms = now.load(host).count;
        let manager = picture.snapshot.host(host).spec.role == Some(Role::Manager);
        if load < picture.knobs.load_low && vms == 0 && !manager {
            lists.off.push(host);
        } else if load < picture.knobs.load_low && vms < view.slots {
            lists.under.push(host);
        } else if load > picture.knobs.load_high && vms > 1 {
            lists.over.push(host);
        } else {
            lists.regular.push(host);
        }
    }
    lists
}

/// Closed hours: rounds of moves if nothing is over, else relief; what is empty then goes to sleep.
pub(crate) fn compact(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    let before = layout.clone();
    if classify(picture, &before, layout).over.is_empty() {
        while round(picture, &before, layout, draft) {}
    } else {
        relieve(picture, layout, draft);
    }
    for host in classify(picture, &before, layout).off {
        let view = picture.host(host);
        if view.state != HostState::Asleep && view.stays.is_none() && layout.load(host).count == 0 {
            draft.sleeps.push((host, Because::Empty));
        }
    }
}

/// The lightest VM of the last under host goes to the first, that of the last but one to the second, to the middle.
/// Tells whether anything moved; every move goes to an earlier host, so this ends.
fn round(picture: &Picture<'_>, before: &Layout, layout: &mut Layout, draft: &mut Draft) -> bool {
    let lists = classify(picture, before, layout);
    if !lists.over.is_empty() || lists.under.len() < 2 {
        return false;
    }
    let because = Because::Round { round: draft.rounds + 1 };
    let moves = draft.moves.len();
    for pair in 0..lists.under.len() / 2 {
        let (to, from) = (lists.under[pair], lists.under[lists.under.len() - 1 - pair]);
        give_lightest(picture, layout, draft, from, &[to], &because);
    }
    let moved = draft.moves.len() > moves;
    draft.rounds += u32::from(moved);
    moved
}

/// Each over host gives its lightest VM to an under host; with none, one host is woken for it.
pub(crate) fn relieve(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    let before = layout.clone();
    for over in classify(picture, &before, layout).over {
        let because = Because::Relieves { host: over };
        let lists = classify(picture, &before, layout);
        if give_lightest(picture, layout, draft, over, &lists.under, &because) {
            continue;
        }
        // An empty host that is still on is one of `off`, and needs no waking.
        let idle: Vec<HostId> = lists.off.iter().copied().filter(|host| layout.takes[host.index()]).collect();
        if give_lightest(picture, layout, draft, over, &idle, &because) {
            continue;
        }
        let sleeper = lists
            .off
            .iter()
            .copied()
            .find(|host| picture.host(*host).wakeable && !layout.takes[host.index()]);
        let Some(sleeper) = sleeper else {
            draft.refuse_host(over, RefusalReason::NothingToWake);
            continue;
        };
        layout.takes[sleeper.index()] = true;
        if give_lightest(picture, layout, draft, over, &[sleeper], &because) {
            draft.wakes.push((sleeper, Because::NoRoom));
        } else {
            layout.takes[sleeper.index()] = false;
        }
    }
}

/// Moves the lightest VM (least CPU) that can move from a host to the first of these that can hold it.
fn give_lightest(
    picture: &Picture<'_>,
    layout: &mut Layout,
    draft: &mut Draft,
    from: HostId,
    targets: &[HostId],
    because: &Because,
) -> bool {
    if !picture.host(from).gives {
        return false;
    }
    let mut vms = layout.vms_on(from);
    vms.sort_by_key(|vm| (picture.vm(*vm).wake, *vm));
    for vm in vms {
        let unit = picture.unit(vm);
        if let Some(why) = picture.rooted(unit, false) {
            draft.refuse_vm(vm, why);
            continue;
        }
        if unit.iter().any(|vm| draft.moved(*vm) >= picture.vm(*vm).moves_left) {
            draft.refuse_vm(vm, RefusalReason::MoveBudget);
            continue;
        }
        let load = picture.load_of_all(unit);
        let fits =
            |to: &&HostId| **to != from && layout.fits(picture, unit, load, **to, Cpu::Ignored).is_ok();
        if let Some(to) = targets.iter().find(fits).copied() {
            for vm in unit {
                draft.push(Move { vm: *vm, from, to, because: because.clone() });
            }
            layout.put_all(picture, unit, to);
            return true;
        }
    }
    false
}

/// What keeps a host awake under these rules.
pub(crate) fn why_awake(picture: &Picture<'_>, before: &Layout, after: &Layout, host: HostId) -> AwakeReason {
    let view = picture.host(host);
    if let Some(reason) = &view.stays {
        return reason.clone();
    }
    let load = load(picture, before, after, host);
    if load >= picture.knobs.load_low {
        return AwakeReason::Load { load };
    }
    AwakeReason::Carries { vms: after.load(host).count }
}
