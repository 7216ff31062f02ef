//! What keeps each host awake that is still on at the end: the one reason that binds, with its numbers.

use crate::balanced::{Saving, spare_wanted, why_not};
use crate::draft::Draft;
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use crate::report::End;
use crate::{reserve, seed};
use dormouse_model::{AwakeReason, Goal, HostId, HostState, Mib, PolicyName, RefusalReason, VmId};
use std::cmp::Reverse;

pub(crate) fn awake(
    picture: &Picture<'_>,
    before: &Layout,
    end: &End,
    draft: &Draft,
    goal: Goal,
    lower_bound: u32,
    host: HostId,
) -> AwakeReason {
    let view = picture.host(host);
    let woken = draft.wakes.iter().any(|(woken, _)| *woken == host);
    match goal {
        Goal::Hold => return AwakeReason::GoalHold,
        Goal::Spread { .. } => {
            let ours = !matches!(view.stays, Some(AwakeReason::State(state)) if state != HostState::Asleep && state != HostState::Off);
            return if ours { AwakeReason::Window } else { AwakeReason::State(view.state) };
        }
        Goal::Relieve => return carries(picture, end, host),
        Goal::Compact { .. } if woken => return carries(picture, end, host),
        Goal::Compact { horizon } if picture.policy == PolicyName::Balanced => {
            let saving = Saving::of(picture, &end.layout, horizon);
            if let Err(reason) = saving.verdict(picture, &end.layout, host) {
                return reason;
            }
        }
        Goal::Compact { .. } => return seed::why_awake(picture, before, &end.layout, host),
    }
    let load = end.layout.load(host);
    if load.count > 0 && end.hosts_on() <= lower_bound {
        return AwakeReason::Carries { vms: load.count };
    }
    if let Some(rule) = picture.snapshot.cluster.keeps.iter().find(|rule| {
        let on = rule.hosts.iter().filter(|host| end.layout.takes.get(host.index()) == Some(&true)).count();
        rule.hosts.contains(&host) && on <= rule.count as usize
    }) {
        return AwakeReason::Keep { count: rule.count };
    }
    if end.usable() <= picture.knobs.min_on {
        return AwakeReason::MinOn { count: picture.knobs.min_on };
    }
    without(picture, end, host)
}

/// What would stand in the way if this one host were emptied and put to sleep as well.
fn without(picture: &Picture<'_>, end: &End, host: HostId) -> AwakeReason {
    let mut layout = end.layout.clone();
    layout.close(host);
    let mut vms = layout.vms_on(host);
    vms.sort_by_key(|vm| (Reverse(picture.vm(*vm).mem), *vm));
    for vm in vms {
        if layout.at[vm.index()] != Some(host) {
            continue;
        }
        let unit = picture.unit(vm);
        let load = picture.load_of_all(unit);
        let to = picture
            .host_ids()
            .filter(|to| layout.fits(picture, unit, load, *to, Cpu::Settled).is_ok())
            .min_by_key(|to| (layout.free(picture, *to), *to));
        match to {
            Some(to) => layout.put_all(picture, unit, to),
            None => return stuck(picture, &layout, vm, unit),
        }
    }
    let wanted = spare_wanted(picture);
    let places = reserve::places(picture, &layout);
    if places < wanted {
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        return AwakeReason::Spare { without: number(places), wanted: number(wanted) };
    }
    if !reserve::failover_holds(picture, &layout) {
        return AwakeReason::Failover { hosts: picture.knobs.failover };
    }
    AwakeReason::Carries { vms: end.layout.load(host).count }
}

fn stuck(picture: &Picture<'_>, layout: &Layout, vm: VmId, unit: &[VmId]) -> AwakeReason {
    match why_not(picture, layout, unit, Cpu::Settled) {
        RefusalReason::NoMemory { .. } | RefusalReason::Unplaceable => {
            let asked = picture.vm(vm).mem;
            let roomiest = picture
                .host_ids()
                .filter(|host| layout.takes[host.index()])
                .max_by_key(|host| (layout.free(picture, *host), Reverse(*host)));
            let best = roomiest.map_or(Mib::ZERO, |host| layout.free(picture, host));
            AwakeReason::NoMemory { vm, asked, best, on: roomiest }
        }
        RefusalReason::NoCpu => AwakeReason::NoCpu,
        RefusalReason::NoSlot => AwakeReason::NoSlot { vm },
        why => AwakeReason::Immovable { vm, why },
    }
}

/// In a plan that only relieves nobody is to sleep: hosts are on for what they carry.
fn carries(picture: &Picture<'_>, end: &End, host: HostId) -> AwakeReason {
    match &picture.host(host).stays {
        Some(AwakeReason::State(state)) if !state.is_down() => AwakeReason::State(*state),
        _ => AwakeReason::Carries { vms: end.layout.load(host).count },
    }
}
