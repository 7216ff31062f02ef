//! Small clusters, all placements tried one by one: what the bound and the plan are held against.
//!
//! The oracle is generous on purpose: it asks for hard limits only, lets any host be woken and forgets budgets, reserves
//! and what pays. So nothing that keeps the constraints can have fewer hosts on, or draw less.

use crate::show::{NIGHT, picture, show};
use dormouse_model::{HostId, PlanId, Snapshot, VmId};
use proptest::prelude::*;
use std::fmt::Write as _;

/// Sizes of hosts: one with an overhead, one with few slots, one of another CPU group.
const HOSTS: [&str; 4] = [
    "cpus=4 mem=4G watts=60/140/4",
    "cpus=4 mem=8G watts=90/200/6 overhead=128M reserve=512M",
    "cpus=4 mem=6G watts=70/150/4 slots=2",
    "cpus=4 mem=4G watts=60/140/4 cpu-group=old",
];

/// Fewest hosts on, over all placements of the VMs.
fn fewest(snapshot: &Snapshot) -> Option<usize> {
    let mut places: Vec<HostId> = snapshot.vms.iter().filter_map(|vm| vm.state.host()).collect();
    assert_eq!(places.len(), snapshot.vms.len(), "all run");
    let origin = places.clone();
    let mut best = None;
    search(snapshot, &origin, &mut places, 0, &mut best);
    best
}

fn search(
    snapshot: &Snapshot,
    origin: &[HostId],
    places: &mut Vec<HostId>,
    vm: usize,
    best: &mut Option<usize>,
) {
    if vm == places.len() {
        if fits(snapshot, origin, places) {
            let on = snapshot
                .host_ids()
                .filter(|host| must_be_on(snapshot, *host) || places.contains(host))
                .count();
            *best = Some(best.map_or(on, |best| on.min(best)));
        }
        return;
    }
    for host in snapshot.host_ids() {
        if host == origin[vm] || may_go(snapshot, VmId::at(vm), origin[vm], host) {
            places[vm] = host;
            search(snapshot, origin, places, vm + 1, best);
        }
    }
    places[vm] = origin[vm];
}

fn must_be_on(snapshot: &Snapshot, host: HostId) -> bool {
    let host = snapshot.host(host);
    host.state.is_usable() && (host.spec.keep_on || host.spec.role.is_some())
}

fn may_go(snapshot: &Snapshot, vm: VmId, from: HostId, to: HostId) -> bool {
    let spec = &snapshot.vm(vm).spec;
    let group = |host: HostId| &snapshot.host(host).spec.cpu_group;
    // A group that is torn apart is left for a person to mend.
    let torn = snapshot.cluster.groups.iter().any(|group| {
        let place = |vm: &VmId| snapshot.vm(*vm).state.host();
        group.vms.contains(&vm)
            && group.rules.contains(&dormouse_model::Rule::Gather)
            && group.vms.iter().any(|other| place(other) != place(&vm))
    });
    let fenced = snapshot.cluster.groups.iter().filter(|group| group.vms.contains(&vm)).all(|group| {
        group.rules.iter().all(|rule| match rule {
            dormouse_model::Rule::Fence(hosts) => hosts.contains(&to),
            _ => true,
        })
    });
    !torn
        && !spec.no_move
        && !spec.ban.contains(&to)
        && (spec.pin.is_empty() || spec.pin.contains(&to))
        && group(from) == group(to)
        && fenced
}

/// Every host to which something came is within its limits; groups are kept.
fn fits(snapshot: &Snapshot, origin: &[HostId], places: &[HostId]) -> bool {
    let vms = |at: HostId| (0..places.len()).filter(move |vm| places[*vm] == at).map(VmId::at);
    let hosts = snapshot.host_ids().all(|id| {
        let spec = &snapshot.host(id).spec;
        if vms(id).all(|vm| origin[vm.index()] == id) {
            return true;
        }
        let mem: u64 = vms(id).map(|vm| (snapshot.vm(vm).spec.mem + spec.overhead).0).sum();
        let cpu: u64 = vms(id).map(|vm| snapshot.vm(vm).demand.wake.0).sum();
        mem <= spec.mem_for_vms().0
            && vms(id).count() <= spec.slots.map_or(usize::MAX, |slots| slots as usize)
            && cpu * 10 <= u64::from(spec.cpus) * 7000
    });
    let groups = snapshot.cluster.groups.iter().all(|group| {
        let at = |vm: &VmId| places[vm.index()];
        let was = |vm: &VmId| origin[vm.index()];
        group.rules.iter().all(|rule| match rule {
            dormouse_model::Rule::Spread => group.vms.iter().enumerate().all(|(index, a)| {
                group.vms[index + 1..].iter().all(|b| at(a) != at(b) || (was(a) == at(a) && was(b) == at(b)))
            }),
            dormouse_model::Rule::Gather => {
                let together =
                    |of: &dyn Fn(&VmId) -> HostId| group.vms.iter().all(|vm| of(vm) == of(&group.vms[0]));
                !together(&was) || together(&at)
            }
            dormouse_model::Rule::Fence(_) => true,
        })
    });
    hosts && groups
}

fn small() -> impl Strategy<Value = String> {
    let host =
        (0..HOSTS.len(), prop_oneof![6 => Just(""), 1 => Just(" keep-on"), 1 => Just(" role=gateway")]);
    let vm = (
        0..4usize,
        prop_oneof![Just(512u64), Just(1024), Just(1500), Just(2048), 300..4000u64],
        0..1500u64,
        prop_oneof![8 => Just(""), 1 => Just(" no-move"), 1 => Just(" ban=h0"), 1 => Just(" pin=h0,h1")],
    );
    let rule = prop_oneof![
        2 => Just(""),
        1 => Just("group g = v0 v1 spread"),
        1 => Just("group g = v0 v1 v2 gather"),
        1 => Just("group g = v1 v2 fence=h0,h1")
    ];
    (prop::collection::vec(host, 2..5), prop::collection::vec(vm, 3..7), rule, any::<bool>()).prop_map(
        |(hosts, vms, rule, last_sleeps)| {
            let mut text = String::from("cluster c\n");
            for (index, (kind, flag)) in hosts.iter().enumerate() {
                writeln!(text, "host h{index} {}{flag}", HOSTS[*kind]).unwrap();
            }
            // A sleeping host may be the better one to have on.
            let on = hosts.len() - usize::from(last_sleeps && hosts.len() > 2);
            for (index, (at, mem, cpu, flag)) in vms.iter().enumerate() {
                let cpu = format!("{}.{:03}", cpu / 1000, cpu % 1000);
                writeln!(text, "vm v{index}@h{} vcpus=2 mem={mem}M cpu={cpu}{flag}", at % on).unwrap();
            }
            if on < hosts.len() {
                writeln!(text, "asleep h{on}").unwrap();
            }
            let knobs = "spare.min=0 spare.target=0 failover=0 min_on=0 payback=0 disrupt.max=1000";
            text + rule + "\npolicy balanced " + knobs + "\n"
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_placement_beats_the_bound_and_no_plan_the_best_placement(text in small()) {
        let snapshot = picture(&text);
        let fewest = fewest(&snapshot).expect("as it is, it is");
        let (plan, report) = dormouse_planner::plan(&snapshot, NIGHT, PlanId(1));
        let shown = text + &show(&snapshot, &plan, &report);
        let bound = dormouse_planner::lower_bound(&snapshot);
        prop_assert!(bound as usize <= fewest, "bound {bound}, but {fewest} are possible\n{shown}");
        prop_assert!(fewest <= report.hosts_on_after as usize, "{fewest} at least\n{shown}");
    }
}
