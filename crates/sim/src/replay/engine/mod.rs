//! Plays a trace on a fleet, step by step, and event by event within a step.
//!
//! At the beginning of each step the demand changes, VMs stop and start as the rules have it, and the policy gives its
//! orders. Between, only what was ordered happens: moves end, hosts come up, what waited for them begins.

mod account;
mod figures;
mod flow;
mod pending;
#[cfg(test)]
mod tests;
mod world;

use super::Rules;
use super::bound::Bounds;
use super::day::{Day, Series};
use super::fleet::Fleet;
use super::policy::{Place, Policy, VmNow};
use super::presence::Presence;
use crate::trace::Trace;
use dormouse_model::text::quoted;
use dormouse_model::{Mib, Millis, VmId};
use figures::Meter;
use pending::Pending;
use world::World;

/// A trace that cannot be replayed on this fleet at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("the trace has no VM")]
    NoVm,
    #[error("the trace has no sample")]
    NoStep,
    #[error("VM {vm} wants {} MiB, and the largest host of fleet {fleet} has {} MiB for one VM", .mem.0, .room.0)]
    TooLarge { vm: String, mem: Mib, room: Mib, fleet: String },
}

/// A trace on a fleet under rules, to be played by one policy after another.
#[derive(Debug)]
pub struct Replay<'a> {
    fleet: &'a Fleet,
    trace: &'a Trace,
    rules: Rules,
    bounds: Bounds,
}

impl<'a> Replay<'a> {
    /// # Errors
    /// There is nothing to play, or a VM that fits on no host.
    pub fn new(fleet: &'a Fleet, trace: &'a Trace, rules: Rules) -> Result<Self, ReplayError> {
        if trace.vms.is_empty() {
            return Err(ReplayError::NoVm);
        }
        if trace.steps() == 0 {
            return Err(ReplayError::NoStep);
        }
        let room = fleet.largest_room();
        if let Some(vm) = trace.vms.iter().find(|vm| vm.mem > room) {
            let (vm, mem) = (quoted(&vm.name).to_string(), vm.mem);
            return Err(ReplayError::TooLarge { vm, mem, room, fleet: fleet.name.clone() });
        }
        Ok(Self { fleet, trace, rules, bounds: Bounds::of(fleet, trace, rules) })
    }

    /// Steps that one run takes.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.trace.steps()
    }

    /// Plays it. `tell` hears of each step that is done.
    pub fn run(&self, policy: &mut dyn Policy, mut tell: impl FnMut(usize)) -> Day {
        let mut world = World::new(self.fleet, self.vms());
        let mut presence = Presence::new(self.rules, self.trace);
        let mut meter = Meter::default();
        for step in 0..self.trace.steps() {
            self.change_demand(&mut world, &mut presence, step);
            start_waiting(&mut world, policy);
            if step == 0 {
                world.sleep_unused();
            }
            let mut pending = Pending::new(policy.plan(&world.view()));
            let end = Millis((step as u64 + 1) * Trace::STEP.0);
            play(&mut world, policy, &mut pending, end);
            world.settle_all();
            world.audit();
            meter.read(&world, Trace::STEP, self.bounds.bound[step]);
            tell(step + 1);
        }
        let series = Series { step: Trace::STEP, rows: meter.rows };
        Day { figures: self.figures(&world, policy), series }
    }

    fn vms(&self) -> Vec<VmNow> {
        let vm = |vm: &crate::trace::TraceVm| VmNow {
            mem: vm.mem,
            limit: vm.cpu.0,
            demand: 0,
            place: Place::Waiting,
        };
        self.trace.vms.iter().map(vm).collect()
    }

    fn change_demand(&self, world: &mut World<'_>, presence: &mut Presence, step: usize) {
        let runs = presence.advance(self.trace);
        for (index, (demand, runs)) in self.trace.demands(step).zip(runs).enumerate() {
            let vm = VmId::at(index);
            world.set_demand(vm, demand.0);
            match (runs, world.vms[index].place) {
                (false, Place::Stopped) => {}
                (false, _) => world.stop(vm),
                (true, Place::Stopped) => {
                    world.set_place(vm, Place::Waiting);
                    world.room_appeared = true;
                }
                (true, _) => {}
            }
        }
        world.room_appeared |= step == 0;
    }
}

/// Plays until this time. What is due then is done, too.
fn play(world: &mut World<'_>, policy: &mut dyn Policy, pending: &mut Pending, end: Millis) {
    loop {
        start_waiting(world, policy);
        pending.begin(world);
        let next = world.next_end().filter(|at| *at <= end);
        world.now = next.unwrap_or(end);
        world.end_due();
        if next.is_none() {
            return;
        }
    }
}

/// Gives VMs that wait a host, wherever the policy wants them and they fit.
fn start_waiting(world: &mut World<'_>, policy: &mut dyn Policy) {
    if !std::mem::take(&mut world.room_appeared) || world.sums.waiting == 0 {
        return;
    }
    let waiting: Vec<VmId> = (0..world.vms.len())
        .filter(|index| world.vms[*index].place == Place::Waiting)
        .map(VmId::at)
        .collect();
    let hosts = policy.place(&world.view(), &waiting);
    for (vm, host) in waiting.into_iter().zip(hosts) {
        if let Some(host) =
            host.filter(|host| host.index() < world.hosts.len() && world.view().fits(vm, *host))
        {
            world.set_place(vm, Place::On(host));
        }
    }
}
