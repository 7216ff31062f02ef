//! Overloads of small clusters, all ways to end them tried one by one: what relief is held against.

use crate::show::{picture, show};
use dormouse_model::{Action, Goal, HostId, PlanId, Snapshot, VmId};
use proptest::prelude::*;
use std::fmt::Write as _;

/// CPU and memory asked of each host.
type Asked = Vec<(u64, u64)>;

fn asked(snapshot: &Snapshot, places: &[HostId]) -> Asked {
    let mut asked = vec![(0, 0); snapshot.hosts.len()];
    for (vm, at) in snapshot.vms.iter().zip(places) {
        asked[at.index()].0 += vm.demand.wake.0;
        asked[at.index()].1 += vm.spec.mem.0;
    }
    asked
}

/// Above `load.high`, 80 %.
fn is_over(snapshot: &Snapshot, asked: &Asked, host: HostId) -> bool {
    asked[host.index()].0 * 10 > u64::from(snapshot.host(host).spec.cpus) * 8000
}

/// The fewest moves after which no host is above `load.high`, none that takes a VM above `cpu.target` (70 %) or its memory,
/// and none that was overloaded takes any.
fn fewest(snapshot: &Snapshot) -> Option<usize> {
    let places: Vec<HostId> = snapshot.vms.iter().filter_map(|vm| vm.state.host()).collect();
    let over: Vec<bool> = {
        let asked = asked(snapshot, &places);
        snapshot.host_ids().map(|host| is_over(snapshot, &asked, host)).collect()
    };
    let mut best = None;
    search(snapshot, &over, &places, &mut places.clone(), 0, &mut best);
    best
}

fn search(
    snapshot: &Snapshot,
    over: &[bool],
    origin: &[HostId],
    places: &mut Vec<HostId>,
    vm: usize,
    best: &mut Option<usize>,
) {
    if vm == places.len() {
        let asked = asked(snapshot, places);
        let moved = |vm: &usize| places[*vm] != origin[*vm];
        let ends = snapshot.host_ids().all(|host| {
            let spec = &snapshot.host(host).spec;
            let (cpu, mem) = asked[host.index()];
            let takes = (0..places.len()).filter(moved).any(|vm| places[vm] == host);
            !is_over(snapshot, &asked, host)
                && (!takes || (mem <= spec.mem.0 && cpu * 10 <= u64::from(spec.cpus) * 7000))
        });
        if ends {
            let moves = (0..places.len()).filter(moved).count();
            *best = Some(best.map_or(moves, |best| moves.min(best)));
        }
        return;
    }
    search(snapshot, over, origin, places, vm + 1, best);
    if !over[origin[vm].index()] {
        return;
    }
    for host in snapshot.host_ids().filter(|host| !over[host.index()]) {
        if snapshot.host(host).state.is_usable() {
            places[vm] = host;
            search(snapshot, over, origin, places, vm + 1, best);
        }
    }
    places[vm] = origin[vm];
}

fn overloaded() -> impl Strategy<Value = String> {
    let vm = (0..4usize, prop_oneof![Just(512u64), Just(1024), Just(2048)], 0..1600u64);
    (2..5usize, prop::collection::vec(vm, 3..9), any::<bool>()).prop_map(|(hosts, vms, sleeper)| {
        let mut text = format!("cluster c\nhost h[1-{hosts}] cpus=4 mem=5G watts=60/140/4\n");
        for (index, (at, mem, cpu)) in vms.iter().enumerate() {
            // Most stand on the first host.
            let at = if *at < hosts { at + 1 } else { 1 };
            writeln!(text, "vm v{index}@h{at} vcpus=2 mem={mem}M cpu={}.{:03}", cpu / 1000, cpu % 1000)
                .unwrap();
        }
        if sleeper {
            text += "host spare cpus=4 mem=5G watts=60/140/4\nasleep spare\n";
        }
        text + "policy balanced spare.min=0 spare.target=0 failover=0 min_on=0\n"
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_overload_ends_with_the_fewest_moves_and_nobody_is_woken_without_need(text in overloaded()) {
        let snapshot = picture(&text);
        let (plan, report) = dormouse_planner::plan(&snapshot, Goal::Relieve, PlanId(1));
        let shown = text + &show(&snapshot, &plan, &report);
        prop_assert!(dormouse_planner::check(&snapshot, &plan).is_empty(), "{shown}");
        if let Some(fewest) = fewest(&snapshot) {
            let woken = plan.steps.iter().any(|step| matches!(step.action, Action::Wake { .. }));
            prop_assert!(!woken, "no host is needed for {fewest} moves\n{shown}");
            prop_assert_eq!(plan.migrations(), fewest, "{}", shown);
            let mut places: Vec<HostId> = snapshot.vms.iter().filter_map(|vm| vm.state.host()).collect();
            for step in &plan.steps {
                if let Action::Migrate { vm, to, .. } = step.action {
                    places[VmId::index(vm)] = to;
                }
            }
            let asked = asked(&snapshot, &places);
            prop_assert!(snapshot.host_ids().all(|host| !is_over(&snapshot, &asked, host)), "{shown}");
        }
    }
}
