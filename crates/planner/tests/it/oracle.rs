//! Small clusters, all placements tried one by one: what bounds and plans are held against.
//!
//! The oracle is generous on purpose: it asks for hard limits only, lets any host be woken and forgets budgets and what
//! pays. So nothing that keeps the constraints can have fewer hosts on, or draw less. Reserves it holds as they are meant:
//! empty hosts may be on for them, and the VMs of a dead host may lie on the others in any way at all.

use crate::show::{NIGHT, picture, show};
use dormouse_model::{HostId, Mib, PlanId, Snapshot, VmId, Watts};
use proptest::prelude::*;
use std::fmt::Write as _;

const NONE: [&str; 1] = ["spare.min=0 spare.target=0 failover=0 min_on=0"];
const RESERVES: [&str; 4] = [
    "spare.min=0 spare.target=0 failover=1 min_on=0",
    "spare.min=1 spare.target=1 failover=0 min_on=0",
    "spare.min=2 spare.target=2 failover=0 min_on=0",
    "spare.min=1 spare.target=2 failover=1 min_on=2",
];

/// Sizes of hosts: one with an overhead, one with few slots, one of another CPU group.
const HOSTS: [&str; 4] = [
    "cpus=4 mem=4G watts=60/140/4",
    "cpus=4 mem=8G watts=90/200/6 overhead=128M reserve=512M",
    "cpus=4 mem=6G watts=70/150/4 slots=2",
    "cpus=4 mem=4G watts=60/140/4 cpu-group=old",
];

/// The least over all placements of the VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Best {
    hosts: usize,
    /// Standing watts; without a thought for reserves, as the bound has it.
    watts: Watts,
    /// Hosts, where the reserves hold as well; none if they never do.
    reserved: Option<usize>,
}

fn best(snapshot: &Snapshot) -> Best {
    let mut places: Vec<HostId> = snapshot.vms.iter().filter_map(|vm| vm.state.host()).collect();
    assert_eq!(places.len(), snapshot.vms.len(), "all run");
    let origin = places.clone();
    let mut best = None;
    search(snapshot, &origin, &mut places, 0, &mut best);
    best.expect("as it is, it is")
}

fn search(
    snapshot: &Snapshot,
    origin: &[HostId],
    places: &mut Vec<HostId>,
    vm: usize,
    best: &mut Option<Best>,
) {
    if vm == places.len() {
        if fits(snapshot, origin, places) {
            judge(snapshot, places, best);
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

fn judge(snapshot: &Snapshot, places: &[HostId], best: &mut Option<Best>) {
    let must: Vec<HostId> =
        snapshot.host_ids().filter(|host| must_be_on(snapshot, *host) || places.contains(host)).collect();
    let watts = snapshot.host_ids().map(|host| {
        let spec = &snapshot.host(host).spec;
        if must.contains(&host) { spec.watts_idle } else { spec.watts_asleep }
    });
    let watts = watts.sum();
    let now = best.get_or_insert(Best { hosts: must.len(), watts, reserved: None });
    now.hosts = now.hosts.min(must.len());
    now.watts = now.watts.min(watts);
    let knobs = &snapshot.cluster.policy.knobs;
    let reserves = knobs.failover > 0 || knobs.spare_min > 0 || knobs.min_on > 0;
    // Empty hosts may be on for the reserves' sake.
    for set in (0..1u32 << snapshot.hosts.len()).filter(|_| reserves) {
        let on: Vec<HostId> = snapshot.host_ids().filter(|host| set >> host.0 & 1 == 1).collect();
        if must.iter().all(|host| on.contains(host))
            && now.reserved.is_none_or(|least| on.len() < least)
            && reserves_hold(snapshot, places, &on)
        {
            now.reserved = Some(on.len());
        }
    }
    if !reserves {
        now.reserved = Some(now.hosts);
    }
}

fn reserves_hold(snapshot: &Snapshot, places: &[HostId], on: &[HostId]) -> bool {
    let knobs = &snapshot.cluster.policy.knobs;
    let mem = |vm: usize| snapshot.vm(VmId::at(vm)).spec.mem;
    let free = |host: HostId| {
        let spec = &snapshot.host(host).spec;
        let used: Mib =
            (0..places.len()).filter(|vm| places[*vm] == host).map(|vm| mem(vm) + spec.overhead).sum();
        spec.mem_for_vms().saturating_sub(used)
    };
    let largest = (0..places.len()).map(mem).max().unwrap_or_default();
    let spare: u64 =
        on.iter().map(|host| free(*host).0 / (largest + snapshot.host(*host).spec.overhead).0).sum();
    let survives = |dead: HostId| {
        let vms: Vec<Mib> = (0..places.len()).filter(|vm| places[*vm] == dead).map(mem).collect();
        let mut rooms: Vec<(Mib, Mib)> = on
            .iter()
            .filter(|host| **host != dead)
            .map(|host| (free(*host), snapshot.host(*host).spec.overhead))
            .collect();
        lies_down(&vms, &mut rooms)
    };
    on.len() >= knobs.min_on as usize
        && spare >= u64::from(knobs.spare_min)
        && (knobs.failover == 0 || on.iter().all(|dead| survives(*dead)))
}

/// Can these VMs lie in these rooms, in any way at all?
fn lies_down(vms: &[Mib], rooms: &mut [(Mib, Mib)]) -> bool {
    let Some((vm, others)) = vms.split_first() else { return true };
    for at in 0..rooms.len() {
        let (free, overhead) = rooms[at];
        if *vm + overhead <= free {
            rooms[at].0 = free - *vm - overhead;
            let lies = lies_down(others, rooms);
            rooms[at].0 = free;
            if lies {
                return true;
            }
        }
    }
    false
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

fn small(reserves: &'static [&'static str]) -> impl Strategy<Value = String> {
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
    (
        prop::collection::vec(host, 2..5),
        prop::collection::vec(vm, 3..7),
        rule,
        any::<bool>(),
        prop::sample::select(reserves),
    )
        .prop_map(|(hosts, vms, rule, last_sleeps, reserves)| {
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
            text + rule + "\npolicy balanced payback=0 disrupt.max=1000 " + reserves + "\n"
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_placement_beats_the_bounds_and_no_plan_the_best_placement(text in small(&NONE)) {
        let snapshot = picture(&text);
        let best = best(&snapshot);
        let (plan, report) = dormouse_planner::plan(&snapshot, NIGHT, PlanId(1));
        let shown = format!("{text}{}{best:?}", show(&snapshot, &plan, &report));
        let hosts = dormouse_planner::lower_bound(&snapshot);
        let watts = dormouse_planner::watts_bound(&snapshot);
        prop_assert!(hosts as usize <= best.hosts, "bound {hosts}\n{shown}");
        prop_assert!(watts <= best.watts, "bound {watts}\n{shown}");
        prop_assert!(best.hosts <= report.hosts_on_after as usize, "{shown}");
        prop_assert!(best.watts <= report.watts_standing, "{} stand\n{shown}", report.watts_standing);
    }

    #[test]
    fn the_exact_bounds_are_what_looking_at_all_placements_finds(text in small(&NONE)) {
        let snapshot = picture(&text);
        let (best, exact) = (best(&snapshot), dormouse_planner::exact(&snapshot));
        prop_assert_eq!(exact.hosts.map(|hosts| hosts as usize), Some(best.hosts), "{}", text);
        prop_assert_eq!(exact.watts, Some(best.watts), "{}", text);
    }

    #[test]
    fn no_placement_with_its_reserves_beats_the_bounds(text in small(&RESERVES)) {
        let snapshot = picture(&text);
        let best = best(&snapshot);
        // Where no placement holds the reserves, none is asked for them.
        let Some(fewest) = best.reserved else { return Ok(()) };
        let (bound, exact) = (dormouse_planner::lower_bound(&snapshot), dormouse_planner::exact(&snapshot));
        prop_assert!(bound as usize <= fewest, "bound {bound}, {best:?}\n{text}");
        prop_assert!(exact.hosts.is_none_or(|hosts| hosts as usize <= fewest), "{exact:?}, {best:?}\n{text}");
        prop_assert!(dormouse_planner::watts_bound(&snapshot) <= best.watts, "{best:?}\n{text}");
    }
}
