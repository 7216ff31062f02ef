//! The policies of the literature: VMs of minimal migration time leave overloaded hosts, each goes where the watts rise
//! least, and the least used hosts are emptied.
//!
//! Re-written from their description (docs/replay.md says what differs): 1. overloaded hosts, by a [`Detector`]; 2. from
//! each the VMs of least memory until it is no longer overloaded; 3. those, most demand first, where power rises least
//! among all hosts, also sleeping ones, whose idle watts count as drawn already; 4. the least used hosts are emptied one
//! by one if all their VMs find such a place on hosts that are on.

use super::detect::{Detector, KEEP};
use super::history::History;
use super::sketch::{self, Sketch};
use super::{Act, Orders, Place, Policy, Power, View};
use dormouse_model::{HostId, VmId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Mmt {
    name: String,
    detector: Detector,
    history: Vec<History>,
}

impl Mmt {
    pub(super) fn new(name: String, detector: Detector) -> Self {
        Self { name, detector, history: vec![] }
    }

    fn remember(&mut self, view: &View<'_>) {
        self.history.resize_with(view.vms.len(), History::default);
        for (history, vm) in self.history.iter_mut().zip(view.vms) {
            match vm.place {
                Place::On(_) | Place::Moving { .. } => history.push(vm.demand, KEEP),
                Place::Stopped | Place::Waiting => history.clear(),
            }
        }
    }

    fn over(&self, view: &View<'_>, sketch: &Sketch, host: HostId) -> bool {
        let mips = view.fleet.machine(host).mips;
        let vms = sketch.vms[host.index()].iter().map(|vm| &self.history[vm.index()]);
        self.detector.over(mips, sketch.demand[host.index()], vms)
    }

    /// Where power rises least, on hosts that are not barred, have a core that is fast enough, and would not be overloaded
    /// by it. A host without demand is never overloaded by its first VM. `promised`: MIPS of VMs that do not run yet.
    fn find(
        &self,
        view: &View<'_>,
        sketch: &mut Sketch,
        vm: VmId,
        demand: u64,
        barred: &[bool],
        promised: Option<&[u64]>,
    ) -> Option<HostId> {
        let mut best: Option<(i128, HostId)> = None;
        for host in view.fleet.host_ids().filter(|host| !barred[host.index()]) {
            let machine = view.fleet.machine(host);
            let before = sketch.demand[host.index()];
            let taken = before + promised.map_or(0, |promised| promised[host.index()]);
            if taken + demand > machine.mips || demand > machine.core || !sketch.fits(view, vm, host) {
                continue;
            }
            let watts = |load: u64| i128::from(machine.curve.at(load, machine.mips));
            let rise = watts(before + demand) - watts(before);
            if best.is_some_and(|(least, _)| least <= rise) {
                continue;
            }
            sketch.put(view, vm, host, demand);
            let fine = before == 0 || !self.over(view, sketch, host);
            sketch.take(view, vm, host, demand);
            if fine {
                best = Some((rise, host));
            }
        }
        best.map(|(_, host)| host)
    }

    /// Steps 1 and 2: VMs that have to leave, with the host they leave.
    fn relieve(&self, view: &View<'_>, sketch: &mut Sketch, over: &[HostId]) -> Vec<(VmId, HostId)> {
        let mut leaving = vec![];
        for host in over {
            let mut still = true;
            while still {
                let movable = sketch.vms[host.index()]
                    .iter()
                    .copied()
                    .filter(|vm| matches!(view.vms[vm.index()].place, Place::On(_)));
                let Some(vm) = movable.min_by_key(|vm| view.vms[vm.index()].mem) else { break };
                sketch.take(view, vm, *host, view.vms[vm.index()].demand);
                leaving.push((vm, *host));
                still = self.over(view, sketch, *host);
            }
        }
        leaving
    }

    /// Step 4.
    fn drain(&self, view: &View<'_>, sketch: &mut Sketch, over: &[HostId], orders: &mut Orders) {
        let mut barred: Vec<bool> = sketch.on.iter().map(|on| !on).collect();
        let mut seen = barred.clone();
        for host in over {
            barred[host.index()] = true;
            seen[host.index()] = true;
        }
        let share = |host: &HostId| {
            u128::from(sketch.demand[host.index()]) * 1_000_000
                / u128::from(view.fleet.machine(*host).mips.max(1))
        };
        let at_rest = |host: &HostId| {
            let vms = &sketch.vms[host.index()];
            view.hosts[host.index()].power == Power::On
                && !sketch.awaited[host.index()]
                && !vms.is_empty()
                && vms.iter().all(|vm| view.vms[vm.index()].place == Place::On(*host))
        };
        let mut least: Vec<HostId> = view.fleet.host_ids().filter(at_rest).collect();
        least.sort_by_cached_key(|host| (share(host), *host));
        // Whoever takes a VM in is seen by that: of the others nothing has changed.
        for host in least {
            if std::mem::replace(&mut seen[host.index()], true) {
                continue;
            }
            barred[host.index()] = true;
            let mut vms = sketch.vms[host.index()].clone();
            vms.sort_by_key(|vm| Reverse(view.vms[vm.index()].demand));
            let mut placed = vec![];
            for vm in &vms {
                let demand = view.vms[vm.index()].demand;
                match self.find(view, sketch, *vm, demand, &barred, None) {
                    Some(to) => {
                        sketch.put(view, *vm, to, demand);
                        placed.push((*vm, to));
                    }
                    None => break,
                }
            }
            if placed.len() < vms.len() {
                for (vm, to) in placed {
                    sketch.take(view, vm, to, view.vms[vm.index()].demand);
                }
                continue;
            }
            for (vm, to) in placed {
                sketch.take(view, vm, host, view.vms[vm.index()].demand);
                seen[to.index()] = true;
                orders.push(Act::Move { vm, to }, vec![]);
            }
        }
    }
}

impl Policy for Mmt {
    fn name(&self) -> &str {
        &self.name
    }

    fn knobs(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// In the order of the list, each where power rises least if it asked for all it can, with all that free. Those placed
    /// before it at the same moment hold their MIPS, but draw nothing yet: nobody knows what they will ask for.
    fn place(&mut self, view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>> {
        self.history.resize_with(view.vms.len(), History::default);
        let mut sketch = Sketch::of(view);
        let mut promised = vec![0; view.hosts.len()];
        let barred: Vec<bool> = view.hosts.iter().map(|host| host.power != Power::On).collect();
        vms.iter()
            .map(|vm| {
                let limit = view.vms[vm.index()].limit;
                let host = self.find(view, &mut sketch, *vm, limit, &barred, Some(&promised))?;
                sketch.put(view, *vm, host, 0);
                promised[host.index()] += limit;
                Some(host)
            })
            .collect()
    }

    fn plan(&mut self, view: &View<'_>) -> Orders {
        self.remember(view);
        let mut orders = Orders::default();
        let mut sketch = Sketch::of(view);
        let over: Vec<HostId> = view
            .fleet
            .host_ids()
            .filter(|host| view.hosts[host.index()].power == Power::On)
            .filter(|host| self.over(view, &sketch, *host))
            .collect();
        let mut barred = vec![false; view.hosts.len()];
        over.iter().for_each(|host| barred[host.index()] = true);
        let mut leaving = self.relieve(view, &mut sketch, &over);
        leaving.sort_by_key(|(vm, _)| Reverse(view.vms[vm.index()].demand));
        let mut wakes: BTreeMap<HostId, usize> = BTreeMap::new();
        for (vm, from) in leaving {
            let demand = view.vms[vm.index()].demand;
            let Some(to) = self.find(view, &mut sketch, vm, demand, &barred, None) else {
                sketch.put(view, vm, from, demand);
                continue;
            };
            sketch.put(view, vm, to, demand);
            let asleep = !std::mem::replace(&mut sketch.on[to.index()], true);
            if asleep {
                wakes.insert(to, orders.push(Act::Wake(to), vec![]));
            }
            let needs = wakes.get(&to).copied().into_iter().collect();
            orders.push(Act::Move { vm, to }, needs);
        }
        self.drain(view, &mut sketch, &over, &mut orders);
        if !sketch::wake_for_waiting(view, &mut orders, |host| host) {
            sketch::sleep_empty(view, &sketch, &mut orders);
        }
        orders
    }
}
