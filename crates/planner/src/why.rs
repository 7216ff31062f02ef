//! What keeps each host awake that is still on at the end: the one reason that binds, with its numbers.

use crate::balanced::{Saving, spare_wanted, why_not};
use crate::draft::Draft;
use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use crate::report::End;
use crate::{reserve, seed};
use dormouse_model::{
    AwakeReason, Because, Goal, HostId, Keep, Mib, Millis, PolicyName, RefusalReason, VmId,
};
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
    if goal == Goal::Hold {
        return AwakeReason::GoalHold;
    }
    if let Some((_, because)) = draft.wakes.iter().find(|(woken, _)| *woken == host) {
        return woken(because, end.layout.load(host).count);
    }
    if let Some(reason) = &picture.host(host).stays
        && (matches!(goal, Goal::Compact { .. }) || speaks_for_itself(reason))
    {
        return reason.clone();
    }
    let carries = AwakeReason::Carries { vms: end.layout.load(host).count };
    match goal {
        Goal::Spread { .. } => AwakeReason::Window,
        // Nobody is put to sleep by a plan that only relieves.
        Goal::Relieve | Goal::Hold if end.layout.load(host).count == 0 => AwakeReason::Later,
        Goal::Relieve | Goal::Hold => carries,
        Goal::Compact { .. } if picture.policy == PolicyName::Seed => {
            seed::why_awake(picture, before, &end.layout, host)
        }
        Goal::Compact { horizon } => binding(picture, end, horizon, lower_bound, host),
    }
}

/// What it was woken for.
fn woken(because: &Because, vms: u32) -> AwakeReason {
    match *because {
        Because::Opening => AwakeReason::Window,
        Because::Spare { free, wanted } => AwakeReason::Spare { without: free, wanted },
        Because::Failover { hosts } => AwakeReason::Failover { hosts },
        Because::MinOn { count } => AwakeReason::MinOn { count },
        _ => AwakeReason::Carries { vms },
    }
}

/// Reasons that hold whatever the goal is.
fn speaks_for_itself(reason: &AwakeReason) -> bool {
    matches!(
        reason,
        AwakeReason::State(_)
            | AwakeReason::NotSeen
            | AwakeReason::Maintenance
            | AwakeReason::Drain
            | AwakeReason::Hold { .. }
    )
}

/// Why packing left this host on.
fn binding(picture: &Picture<'_>, end: &End, horizon: Millis, lower_bound: u32, host: HostId) -> AwakeReason {
    let load = end.layout.load(host);
    if load.count > 0 && end.hosts_on() <= lower_bound {
        return AwakeReason::Carries { vms: load.count };
    }
    let usable = |host: &HostId| end.layout.up.get(host.index()) == Some(&true);
    let kept = |rule: &&Keep| {
        rule.hosts.contains(&host)
            && rule.hosts.iter().filter(|host| usable(host)).count() <= rule.count as usize
    };
    if let Some(rule) = picture.snapshot.cluster.keeps.iter().find(kept) {
        return AwakeReason::Keep { count: rule.count };
    }
    if end.usable() <= picture.knobs.min_on {
        return AwakeReason::MinOn { count: picture.knobs.min_on };
    }
    match Saving::of(picture, &end.layout, &end.on, horizon).verdict(picture, &end.layout, host) {
        Err(reason) => reason,
        Ok(()) => without(picture, end, host),
    }
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
