//! Policy `emptiest-first`: the plain idea. The host with the least memory in use is emptied into the others, each VM
//! where it fits most tightly, if all of them find room; then the next. Nobody is relieved.

use super::first_fit::by_limits;
use super::sketch::{self, Sketch};
use super::{Act, Orders, Place, Policy, Power, View};
use dormouse_model::{HostId, VmId};
use std::cmp::Reverse;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct EmptiestFirst;

impl Policy for EmptiestFirst {
    fn name(&self) -> &str {
        "emptiest-first"
    }

    fn knobs(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn place(&mut self, view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>> {
        by_limits(view, vms)
    }

    fn plan(&mut self, view: &View<'_>) -> Orders {
        let mut orders = Orders::default();
        let mut sketch = Sketch::of(view);
        let mut order: Vec<HostId> = view
            .fleet
            .host_ids()
            .filter(|host| view.hosts[host.index()].power == Power::On)
            .filter(|host| !view.hosts[host.index()].vms.is_empty())
            .collect();
        order.sort_by_key(|host| (sketch.used[host.index()], *host));
        let mut took = sketch.awaited.clone();
        let mut emptied = vec![false; view.hosts.len()];
        for host in order {
            if !took[host.index()]
                && let Some((after, moves)) = without(view, &sketch, host, &emptied)
            {
                for (vm, to) in moves {
                    took[to.index()] = true;
                    orders.push(Act::Move { vm, to }, vec![]);
                }
                emptied[host.index()] = true;
                sketch = after;
            }
        }
        sketch::sleep_empty(view, &sketch, &mut orders);
        if sketch::wake_for_waiting(view, &mut orders, |host| host) {
            // A host that waits for a VM does not go to sleep at the same time.
            orders.steps.retain(|step| !matches!(step.act, Act::Sleep(_)));
        }
        orders
    }
}

/// The placement with this host empty, if each of its VMs fits on another that is on: largest first, tightest fit.
fn without(
    view: &View<'_>,
    sketch: &Sketch,
    host: HostId,
    emptied: &[bool],
) -> Option<(Sketch, Vec<(VmId, HostId)>)> {
    let mut vms = view.hosts[host.index()].vms.clone();
    if vms.iter().any(|vm| !matches!(view.vms[vm.index()].place, Place::On(_))) {
        return None;
    }
    vms.sort_by_key(|vm| (Reverse(view.vms[vm.index()].mem), *vm));
    let mut targets: Option<Sketch> = None;
    let mut moves = vec![];
    for vm in vms {
        let wanted = view.vms[vm.index()].demand;
        let now = targets.as_ref().unwrap_or(sketch);
        let to = view
            .fleet
            .host_ids()
            .filter(|to| {
                *to != host && now.on[to.index()] && !emptied[to.index()] && now.count[to.index()] > 0
            })
            .filter(|to| now.fits(view, vm, *to))
            .filter(|to| now.demand[to.index()] + wanted <= view.fleet.machine(*to).mips)
            .min_by_key(|to| (now.free(view, *to), *to))?;
        let after = targets.get_or_insert_with(|| sketch.clone());
        after.take(view, vm, host, wanted);
        after.put(view, vm, to, wanted);
        moves.push((vm, to));
    }
    targets.map(|after| (after, moves))
}
