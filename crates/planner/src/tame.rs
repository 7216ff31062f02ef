//! Numbers that no machine has are cut down to the largest that a cluster text may hold, before anything is summed.
//!
//! What is seen on a host may be wrong by any amount, and a sum that leaves its integer stops the program. A VM is cut
//! down to more than any host, so one that fits nowhere still fits nowhere. Rare: nothing is copied where nothing is odd.

use crate::patience::Patience;
use dormouse_model::{Goal, HostSpec, Mbps, Mib, MilliCpu, Millis, Snapshot, Vm, VmSpec, Watts};
use std::sync::Arc;

/// 1 PiB, as in a cluster text: times any number of places of a reserve it still is a number.
const HOST_MEM_MAX: Mib = Mib(1 << 30);
const VM_MEM_MAX: Mib = Mib(1 << 31);
const CPUS_MAX: u32 = 1 << 16;
/// More than any host has, and little enough for a sum over ten million VMs.
const DEMAND_MAX: MilliCpu = MilliCpu(1 << 38);
const WATTS_MAX: Watts = Watts(1_000_000);
const LINK_MAX: Mbps = Mbps(10_000_000);
const SPAN_MAX: Millis = Millis::from_secs(366 * 86_400);

/// VMs that are looked at between two questions for patience.
const VMS_AT_ONCE: usize = 4096;

/// The picture with what is odd cut down; `None` if nothing is, or if patience ends before that is known.
pub(crate) fn tamed(snapshot: &Snapshot, patience: &mut Patience<'_>) -> Option<Snapshot> {
    let host_is_odd = |spec: &HostSpec| {
        spec.mem.max(spec.reserve).max(spec.overhead) > HOST_MEM_MAX
            || spec.cpus > CPUS_MAX
            || spec.watts_idle.max(spec.watts_busy).max(spec.watts_asleep) > WATTS_MAX
            || spec.link > LINK_MAX
            || spec.boot.max(spec.shutdown) > SPAN_MAX
    };
    let odd_host = snapshot.hosts.iter().any(|host| host_is_odd(&host.spec));
    let vm_is_odd = |vm: &Vm| vm.spec.mem > VM_MEM_MAX || vm.demand.sleep.max(vm.demand.wake) > DEMAND_MAX;
    let mut odd_vm = false;
    for chunk in snapshot.vms.chunks(VMS_AT_ONCE) {
        odd_vm |= chunk.iter().any(vm_is_odd);
        if !patience.lasts() {
            return None;
        }
    }
    if !odd_host && !odd_vm {
        return None;
    }
    let mut tame = snapshot.clone();
    for host in tame.hosts.iter_mut().filter(|host| host_is_odd(&host.spec)) {
        let spec = &host.spec;
        host.spec = Arc::new(HostSpec {
            mem: spec.mem.min(HOST_MEM_MAX),
            reserve: spec.reserve.min(HOST_MEM_MAX),
            overhead: spec.overhead.min(HOST_MEM_MAX),
            cpus: spec.cpus.min(CPUS_MAX),
            watts_idle: spec.watts_idle.min(WATTS_MAX),
            watts_busy: spec.watts_busy.min(WATTS_MAX),
            watts_asleep: spec.watts_asleep.min(WATTS_MAX),
            link: spec.link.min(LINK_MAX),
            boot: spec.boot.min(SPAN_MAX),
            shutdown: spec.shutdown.min(SPAN_MAX),
            ..(**spec).clone()
        });
    }
    for vm in &mut tame.vms {
        if vm.spec.mem > VM_MEM_MAX {
            vm.spec = Arc::new(VmSpec { mem: VM_MEM_MAX, ..(*vm.spec).clone() });
        }
        vm.demand.sleep = vm.demand.sleep.min(DEMAND_MAX);
        vm.demand.wake = vm.demand.wake.min(DEMAND_MAX);
    }
    Some(tame)
}

/// Nothing saves for longer than a year.
pub(crate) fn tamed_goal(goal: Goal) -> Goal {
    match goal {
        Goal::Compact { horizon } => Goal::Compact { horizon: horizon.min(SPAN_MAX) },
        other => other,
    }
}
