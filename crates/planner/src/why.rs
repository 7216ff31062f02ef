//! What keeps each host awake that is still on at the end: the one reason that binds, with its numbers.
//!
//! Cheap proofs come first: what the host's VMs ask against what all others have free, and what a death would then take.
//! Only where those leave it open the host is emptied in thought, VM by VM, and for so many hosts only as that stays a
//! small part of planning.

use crate::balanced::{Saving, spare_wanted};
use crate::draft::Draft;
use crate::layout::{Cpu, Layout, Misfit};
use crate::picture::Picture;
use crate::report::End;
use crate::trial::Trial;
use crate::{reserve, seed};
use dormouse_model::{
    AwakeReason, Because, Goal, HostId, Keep, Mib, MilliCpu, PolicyName, RefusalReason, VmId,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Hosts are emptied in thought as long as that looks at fewer rooms than this, all in all.
const LOOKS_MAX: usize = 500_000;

pub(crate) struct Why<'a, 'p> {
    picture: &'a Picture<'p>,
    before: &'a Layout,
    end: &'a End,
    goal: Goal,
    woken: BTreeMap<HostId, &'a Because>,
    saving: Option<Saving>,
    open: Open,
    /// The end, on which hosts are emptied in thought. Made when first needed.
    trial: Option<Trial>,
    looks_left: usize,
}

/// The hosts that take VMs in the end, all together.
struct Open {
    hosts: u32,
    free: Mib,
    cpu_free: MilliCpu,
    /// The two that hurt most by dying: memory used and free together, largest first.
    worst: [(Mib, HostId); 2],
    /// Memory for VMs of the largest host of all.
    largest: Mib,
}

impl Open {
    fn of(picture: &Picture<'_>, end: &End) -> Self {
        let none = (Mib::ZERO, HostId(0));
        let mut open = Self {
            hosts: 0,
            free: Mib::ZERO,
            cpu_free: MilliCpu::ZERO,
            worst: [none; 2],
            largest: Mib::ZERO,
        };
        for host in picture.host_ids() {
            open.largest = open.largest.max(picture.host(host).mem);
            if !end.layout.up[host.index()] {
                continue;
            }
            open.hosts += 1;
            open.free += end.layout.free(picture, host);
            open.cpu_free += cpu_free(picture, &end.layout, host);
            let hurt = (end.layout.load(host).mem + end.layout.free(picture, host), host);
            if hurt.0 > open.worst[0].0 {
                open.worst = [hurt, open.worst[0]];
            } else if hurt.0 > open.worst[1].0 {
                open.worst[1] = hurt;
            }
        }
        open
    }
}

fn cpu_free(picture: &Picture<'_>, layout: &Layout, host: HostId) -> MilliCpu {
    let load = layout.load(host);
    picture.host(host).cpu_target.saturating_sub(load.sleep.max(load.wake))
}

impl<'a, 'p> Why<'a, 'p> {
    pub(crate) fn of(
        picture: &'a Picture<'p>,
        before: &'a Layout,
        end: &'a End,
        draft: &'a Draft,
        goal: Goal,
    ) -> Self {
        Self {
            picture,
            before,
            end,
            goal,
            woken: draft.wakes.iter().rev().map(|(host, because)| (*host, because)).collect(),
            saving: match goal {
                Goal::Compact { horizon } => Some(Saving::of(picture, &end.layout, &end.on, horizon)),
                _ => None,
            },
            open: Open::of(picture, end),
            trial: None,
            looks_left: LOOKS_MAX,
        }
    }

    pub(crate) fn awake(&mut self, host: HostId) -> AwakeReason {
        let vms = self.end.layout.load(host).count;
        if self.goal == Goal::Hold {
            return AwakeReason::GoalHold;
        }
        if let Some(because) = self.woken.get(&host) {
            return woken(because, vms);
        }
        if let Some(reason) = &self.picture.host(host).stays
            && (matches!(self.goal, Goal::Compact { .. }) || speaks_for_itself(reason))
        {
            return reason.clone();
        }
        match self.goal {
            Goal::Spread { .. } => AwakeReason::Window,
            // Nobody is put to sleep by a plan that only relieves.
            Goal::Relieve | Goal::Hold if vms == 0 => AwakeReason::Later,
            Goal::Relieve | Goal::Hold => AwakeReason::Carries { vms },
            Goal::Compact { .. } if self.picture.policy == PolicyName::Seed => {
                seed::why_awake(self.picture, self.before, &self.end.layout, host)
            }
            Goal::Compact { .. } => self.binding(host),
        }
    }

    /// Why packing left this host on.
    fn binding(&mut self, host: HostId) -> AwakeReason {
        let (picture, end) = (self.picture, self.end);
        let usable = |host: &HostId| end.layout.up.get(host.index()) == Some(&true);
        let kept = |rule: &&Keep| {
            rule.hosts.contains(&host)
                && rule.hosts.iter().filter(|host| usable(host)).count() <= rule.count as usize
        };
        if let Some(rule) = picture.snapshot.cluster.keeps.iter().find(kept) {
            return AwakeReason::Keep { count: rule.count };
        }
        if let Some(reason) = self.too_large(host).or_else(|| self.full(host)) {
            return reason;
        }
        if end.usable() <= picture.knobs.min_on {
            return AwakeReason::MinOn { count: picture.knobs.min_on };
        }
        let verdict = self.saving.as_ref().map(|saving| saving.verdict(picture, &end.layout, host));
        if let Some(Err(reason)) = verdict {
            return reason;
        }
        self.failover(host).unwrap_or_else(|| self.without(host))
    }

    /// One of its VMs fits on no host at all.
    fn too_large(&self, host: HostId) -> Option<AwakeReason> {
        let too_large = |vm: &VmId| self.picture.vm(*vm).mem > self.open.largest;
        let vm = self.end.layout.vms_on(host).into_iter().find(too_large)?;
        Some(AwakeReason::Immovable { vm, why: RefusalReason::Unplaceable })
    }

    /// Its VMs ask more than all others have free.
    fn full(&self, host: HostId) -> Option<AwakeReason> {
        let (picture, layout) = (self.picture, &self.end.layout);
        let load = layout.load(host);
        let mine = layout.up[host.index()];
        let hosts = self.open.hosts - u32::from(mine);
        let part = |whole: u64, of: u64| if mine { whole.saturating_sub(of) } else { whole };
        let free = Mib(part(self.open.free.0, layout.free(picture, host).0));
        if load.mem > free {
            return Some(AwakeReason::Full { vms: load.count, asked: load.mem, free, hosts });
        }
        let free = MilliCpu(part(self.open.cpu_free.0, cpu_free(picture, layout, host).0));
        (load.sleep > free).then_some(AwakeReason::FullCpu {
            vms: load.count,
            asked: load.sleep,
            free,
            hosts,
        })
    }

    /// With its VMs on the others and itself asleep, the host that hurts most by dying would find too little free.
    fn failover(&self, host: HostId) -> Option<AwakeReason> {
        let layout = &self.end.layout;
        if self.picture.knobs.failover == 0 || !layout.up[host.index()] {
            return None;
        }
        let asked = layout.load(host).mem;
        let left = self.open.free.saturating_sub(layout.free(self.picture, host)).saturating_sub(asked);
        let (_, worst) =
            self.open.worst.into_iter().find(|(hurt, worst)| *worst != host && *hurt > Mib::ZERO)?;
        let lost = layout.load(worst).mem;
        let free = left.saturating_sub(layout.free(self.picture, worst));
        (lost > free).then_some(AwakeReason::FailoverRoom { lost, free, host: worst })
    }

    /// What would stand in the way if this one host were emptied and put to sleep as well.
    fn without(&mut self, host: HostId) -> AwakeReason {
        let (picture, end) = (self.picture, self.end);
        let carries = AwakeReason::Carries { vms: end.layout.load(host).count };
        if self.looks_left == 0 {
            return carries;
        }
        let trial = self.trial.get_or_insert_with(|| Trial::of(picture, end.layout.clone()));
        let looks = &mut self.looks_left;
        let emptied = trial.empty(picture, host, || *looks = looks.saturating_sub(1));
        let reason = match emptied.stuck {
            Some(vm) => stuck_at(picture, trial, vm),
            None => {
                *looks = looks.saturating_sub(picture.hosts.len());
                reserves(picture, &trial.layout).unwrap_or(carries)
            }
        };
        trial.refill(picture, &emptied);
        reason
    }
}

/// The reserve that would be short.
fn reserves(picture: &Picture<'_>, layout: &Layout) -> Option<AwakeReason> {
    let wanted = spare_wanted(picture);
    let places = reserve::places(picture, layout);
    if places < wanted {
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        return Some(AwakeReason::Spare { without: number(places), wanted: number(wanted) });
    }
    (!reserve::failover_holds(picture, layout))
        .then_some(AwakeReason::Failover { hosts: picture.knobs.failover })
}

/// Why this VM finds no other host: no room is large enough, or what stands against those that are. Of several reasons
/// the one that came nearest.
fn stuck_at(picture: &Picture<'_>, trial: &Trial, vm: VmId) -> AwakeReason {
    let layout = &trial.layout;
    let unit = picture.unit(vm);
    let load = picture.load_of_all(unit);
    let large: Vec<HostId> = trial
        .rooms_from(load.mem)
        .filter(|(room, host)| picture.host(*host).mem_of(load) <= *room)
        .map(|(_, host)| host)
        .collect();
    let misfit = |host: &HostId| {
        let rule = unit.iter().find_map(|vm| layout.rules_allow(picture, *vm, *host).err());
        (rule.or_else(|| layout.has_room(picture, load, *host, Cpu::Settled).err()), *host)
    };
    let nearest = large.iter().map(misfit).filter_map(|(misfit, host)| Some((misfit?, host)));
    let nearest: Vec<(Misfit, HostId)> = nearest.collect();
    let why = match nearest.iter().map(|(misfit, _)| *misfit).max() {
        None => {
            let (best, on) = trial.rooms_from(Mib::ZERO).next_back().unzip();
            return AwakeReason::NoMemory { vm, asked: load.mem, best: best.unwrap_or_default(), on };
        }
        Some(Misfit::Cpu) => {
            let coolest = nearest.iter().filter(|(misfit, _)| *misfit == Misfit::Cpu).map(|(_, host)| *host);
            let on = coolest.max_by_key(|host| (cpu_free(picture, layout, *host), Reverse(*host)));
            let best = on.map_or(MilliCpu::ZERO, |host| cpu_free(picture, layout, host));
            return AwakeReason::NoCpu { vm, asked: load.sleep.max(load.wake), best, on };
        }
        Some(Misfit::Slot) => return AwakeReason::NoSlot { vm },
        Some(_) if unit.len() > 1 => RefusalReason::Gather,
        Some(Misfit::CpuGroup) => RefusalReason::CpuGroup,
        Some(Misfit::Spread) => RefusalReason::Spread,
        Some(Misfit::Rule | Misfit::Host | Misfit::Memory) => picture.barred(vm),
    };
    AwakeReason::Immovable { vm, why }
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
