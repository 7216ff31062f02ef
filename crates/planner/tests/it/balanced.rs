//! Policy `balanced`: what an operator would expect of it, one situation each.

use crate::show::{NIGHT, check_goal, check_picture, check_plan, picture, plan, seeds_lab};
use dormouse_model::{Action, Demand, Goal, MilliCpu, Millis, Mono, Obstacle, Permille, ProbeError, Seen};
use expect_test::expect;

/// No reserves, so that small clusters show one thing at a time.
const BARE: &str = "policy balanced spare.min=0 spare.target=0 failover=0";

pub(crate) fn bare(text: &str) -> String {
    format!("cluster c\n{text}\n{BARE}\n")
}

fn figures(policy: &str) -> (usize, u32, u32) {
    let (plan, report) = plan(&picture(&seeds_lab(policy)), NIGHT);
    (plan.migrations(), report.hosts_on_after, report.lower_bound)
}

#[test]
fn the_seeds_lab_is_packed_with_one_move_for_each_vm() {
    assert_eq!(figures("balanced spare.min=0 spare.target=0 failover=0"), (54, 8, 8));
    assert_eq!(figures("balanced spare.min=0 spare.target=0 failover=1"), (53, 9, 9));
    assert_eq!(figures("balanced spare.min=0 spare.target=2 failover=0"), (54, 8, 8));
    assert_eq!(figures("balanced spare.min=0 spare.target=3 failover=0"), (53, 9, 8));
    assert_eq!(figures("balanced"), (53, 9, 9));
}

#[test]
fn no_host_of_the_lab_takes_more_than_its_share() {
    let snapshot = picture(&seeds_lab("balanced spare.min=0 spare.target=0 failover=0"));
    let (plan, _) = plan(&snapshot, NIGHT);
    let mut inflow = vec![0; 62];
    for step in &plan.steps {
        if let Action::Migrate { to, .. } = step.action {
            inflow[to.index()] += 1;
        }
        // A host sleeps as soon as it is empty, not at the end of all moves.
        assert!(step.needs.len() <= 1);
    }
    assert_eq!(inflow.iter().max(), Some(&7), "seven moves in turn: 15.03 s at 1 Gbit/s");
}

#[test]
fn a_host_is_emptied_or_left_alone() {
    // Two of three would have to hold nine each; eight fit.
    check_plan(
        &bare(
            "host h[1-3] cpus=4 mem=2048M watts=45/95/3
vm a[1-6]@h1 mem=256M cpu=0.01
vm b[1-6]@h2 mem=256M cpu=0.01
vm c[1-6]@h3 mem=256M cpu=0.01",
        ),
        expect![[r#"
            3 -> 3 on (bound 3), 135 W -> 135 W, 0 moves
            h1 awake: memory: its 6 VMs ask 1536 MiB, 1 GiB free on the other 2 hosts together
            h2 awake: memory: its 6 VMs ask 1536 MiB, 1 GiB free on the other 2 hosts together
            h3 awake: memory: its 6 VMs ask 1536 MiB, 1 GiB free on the other 2 hosts together
        "#]],
    );
}

#[test]
fn the_thriftier_hosts_stay_on() {
    check_plan(
        &bare(
            "host old[1-2] cpus=8 mem=8G watts=200/300/5
host new[1-2] cpus=8 mem=8G watts=50/100/3
vm a[1-3]@old1 mem=1G cpu=0.1
vm b@old2 mem=1G cpu=0.1
vm c@new1 mem=1G cpu=0.1",
        ),
        expect![[r#"
            4 -> 1 on (bound 1), 504 W -> 66 W, 4 moves
            s0 sleep new2 (empty, and the reserves hold without it)
            s1 a1: old1 -> new1 (empties old1)
            s2 a2: old1 -> new1 (empties old1)
            s3 a3: old1 -> new1 (empties old1)
            s4 sleep old1 after s1 after s2 after s3 (empty, and the reserves hold without it)
            s5 b: old2 -> new1 (empties old2)
            s6 sleep old2 after s5 (empty, and the reserves hold without it)
            new1 awake: memory: its 5 VMs ask 5 GiB, no other host takes VMs
        "#]],
    );
}

#[test]
fn one_large_host_or_two_small_ones_whichever_draws_less() {
    check_plan(
        &bare(
            "host small[1-2] cpus=8 mem=4G watts=40/80/2
host large cpus=16 mem=8G watts=120/240/5
vm a@small1 mem=2G cpu=0.1
vm b@small2 mem=2G cpu=0.1
vm c d@large mem=2G cpu=0.1",
        ),
        expect![[r#"
            3 -> 2 on (bound 1), 201 W -> 87 W, 2 moves
            s0 c: large -> small1 (empties large)
            s1 d: large -> small2 (empties large)
            s2 sleep large after s0 after s1 (empty, and the reserves hold without it)
            small1 awake: memory: its 2 VMs ask 4 GiB, 0 MiB free on the other host
            small2 awake: memory: its 2 VMs ask 4 GiB, 0 MiB free on the other host
        "#]],
    );
}

#[test]
fn every_mark_that_keeps_a_host_on_is_named() {
    let mut snapshot = picture(&bare(
        "host free busy young cycled person silent cpus=4 mem=4G watts=45/95/3
host keep cpus=4 mem=4G watts=45/95/3 keep-on
host store cpus=4 mem=4G watts=45/95/3 role=storage
host work cpus=4 mem=4G watts=45/95/3 maintenance
host fresh cpus=4 mem=4G watts=45/95/3 unproven
host exam cpus=4 mem=4G watts=45/95/3
vm fixed@busy mem=256M cpu=0.1 no-move
hold exam by=ops why=\"exam image\"",
    ));
    snapshot.hosts[2].in_state = Millis::from_mins(3);
    snapshot.hosts[3].cycles_day = 4;
    snapshot.hosts[4].obstacles.push(Obstacle::People { count: 1, idle: Millis::from_mins(2) });
    snapshot.hosts[5].load15 = Seen::Unknown { last: None, since: Mono(0), why: ProbeError::NotYet };
    check_picture(
        &snapshot,
        NIGHT,
        expect![[r#"
        11 -> 10 on (bound 10), 496 W -> 454 W, 0 moves
        s0 sleep free (empty, and the reserves hold without it)
        busy awake: fixed has to stay: it is marked no-move
        young awake: on for too short a time; 27m00s left (min_up)
        cycled awake: put to sleep 4 times within a day already
        person awake: 1 person is logged in, idle for 2m00s
        silent awake: not seen in this cycle: counts as full and busy
        keep awake: marked keep-on
        store awake: role storage: never switched off
        work awake: in maintenance
        fresh awake: never seen to wake
        exam awake: held by ops: exam image
    "#]],
    );
}

#[test]
fn a_host_that_was_not_seen_takes_no_vm_and_keeps_its_own() {
    let mut snapshot = picture(&bare(
        "host h[1-3] cpus=4 mem=4G watts=45/95/3
vm a@h1 mem=256M cpu=0.1
vm b@h2 mem=256M cpu=0.1
vm c@h3 mem=256M cpu=0.1",
    ));
    snapshot.hosts[0].load15 = Seen::Stale { was: Permille(10), age: Millis::from_mins(1) };
    check_picture(
        &snapshot,
        NIGHT,
        expect![[r#"
            3 -> 2 on (bound 2), 138 W -> 96 W, 1 moves
            s0 c: h3 -> h2 (empties h3)
            s1 sleep h3 after s0 (empty, and the reserves hold without it)
            h1 awake: not seen in this cycle: counts as full and busy
            h2 awake: memory: its 2 VMs ask 512 MiB, no other host takes VMs
        "#]],
    );
}

#[test]
fn rules_of_vms_are_kept() {
    check_plan(
        &bare(
            "host h[1-5] cpus=8 mem=8G watts=45/95/3
vm web[1-2]@h[1-2] mem=1G cpu=0.1
vm db app@h3 mem=1G cpu=0.1
vm lic@h4 mem=1G cpu=0.1 pin=h4,h5
vm odd@h5 mem=1G cpu=0.1 ban=h1
group web = web[1-2] spread
group pair = db,app gather
group inside = db fence=h3,h4",
        ),
        expect![[r#"
            5 -> 2 on (bound 2), 226 W -> 102 W, 3 moves
            s0 odd: h5 -> h3 (empties h5)
            s1 sleep h5 after s0 (empty, and the reserves hold without it)
            s2 web2: h2 -> h4 (empties h2)
            s3 sleep h2 after s2 (empty, and the reserves hold without it)
            s4 web1: h1 -> h3 (empties h1)
            s5 sleep h1 after s4 (empty, and the reserves hold without it)
            h3 awake: web1 has to stay: it would meet a VM of its spread group
            h4 awake: lic has to stay: pin, ban or fence leaves it no other host
        "#]],
    );
}

#[test]
fn vms_stay_within_their_cpu_group() {
    check_plan(
        &bare(
            "host a[1-2] cpus=8 mem=8G watts=45/95/3 cpu-group=new
host b[1-2] cpus=8 mem=8G watts=45/95/3 cpu-group=old
vm v[1-4]@a1,a2,b1,b2 mem=1G cpu=0.1",
        ),
        expect![[r#"
            4 -> 2 on (bound 1), 180 W -> 98 W, 2 moves
            s0 v2: a2 -> a1 (empties a2)
            s1 sleep a2 after s0 (empty, and the reserves hold without it)
            s2 v4: b2 -> b1 (empties b2)
            s3 sleep b2 after s2 (empty, and the reserves hold without it)
            a1 awake: v1 has to stay: no other host of its CPU group has room
            b1 awake: v3 has to stay: no other host of its CPU group has room
        "#]],
    );
}

#[test]
fn vms_stay_where_their_networks_are() {
    check_plan(
        &bare(
            "host a[1-2] cpus=8 mem=8G watts=45/95/3 network=br0,br-lab
host b[1-2] cpus=8 mem=8G watts=20/60/3 network=br0
vm v[1-4]@a1,a2,b1,b2 mem=1G cpu=0.1 network=br0
vm lab@a2 mem=1G cpu=0.1 network=br-lab
vm odd@b2 mem=1G cpu=0.1 network=network/none",
        ),
        expect![[r#"
            4 -> 2 on (bound 1), 132 W -> 73 W, 2 moves
            s0 v1: a1 -> a2 (empties a1)
            s1 sleep a1 after s0 (empty, and the reserves hold without it)
            s2 v3: b1 -> b2 (empties b1)
            s3 sleep b1 after s2 (empty, and the reserves hold without it)
            a2 awake: lab has to stay: no other host that could take it has its network br-lab
            b2 awake: odd has to stay: no other host that could take it has its network network/none
        "#]],
    );
}

#[test]
fn demand_counts_as_well_as_memory() {
    let text = |target: &str| {
        format!(
            "cluster c
host h[1-4] cpus=4 mem=16G watts=45/95/3
vm v[1-4]@h[1-4] mem=1G cpu=1
policy balanced spare.min=0 spare.target=0 failover=0 {target}
"
        )
    };
    let on = |target: &str| plan(&picture(&text(target)), NIGHT).1.hosts_on_after;
    assert_eq!(on(""), 2, "two on each: 0.50 of the 0.70 allowed");
    assert_eq!(on("cpu.target=0.49"), 4);
    assert_eq!(on("cpu.target=1 load.high=1"), 1);
}

#[test]
fn a_short_rest_does_not_pay() {
    check_goal(
        &bare(
            "host h[1-2] cpus=4 mem=4G watts=45/95/3 boot=75s
vm a@h1 mem=256M cpu=0.1
vm b@h2 mem=256M cpu=0.1",
        ),
        Goal::Compact { horizon: Millis::from_mins(5) },
        expect![[r#"
            2 -> 2 on (bound 1), 92 W -> 92 W, 0 moves
            h1 awake: does not pay: saves 1.054 times what moves and boot cost, 3.00 wanted
            h2 awake: does not pay: saves 1.054 times what moves and boot cost, 3.00 wanted
        "#]],
    );
}

#[test]
fn many_vms_are_not_disturbed_for_few_watts() {
    check_plan(
        &bare(
            "host thin cpus=8 mem=16G watts=10/20/2
host fat cpus=8 mem=16G watts=300/400/3 keep-on
vm a[1-9]@thin mem=1G cpu=0.01
vm b@fat mem=1G cpu=0.01",
        ),
        expect![[r#"
            2 -> 2 on (bound 1), 310 W -> 310 W, 0 moves
            thin awake: disturbs too much: share of VMs over share of watts is 34.875, 2.00 allowed
            fat awake: marked keep-on
        "#]],
    );
}

#[test]
fn hosts_that_must_stay_take_the_others_vms() {
    check_plan(
        "cluster c
host h[1-4] cpus=4 mem=4G watts=45/95/3
vm v[1-4]@h[1-4] mem=256M cpu=0.1
keep 2 of h[1-3]
policy balanced spare.min=0 spare.target=0 failover=0
",
        expect![[r#"
            4 -> 2 on (bound 1), 184 W -> 100 W, 2 moves
            s0 v3: h3 -> h1 (empties h3)
            s1 sleep h3 after s0 (empty, and the reserves hold without it)
            s2 v4: h4 -> h2 (empties h4)
            s3 sleep h4 after s2 (empty, and the reserves hold without it)
            h1 awake: a rule keeps 2 of its hosts on
            h2 awake: a rule keeps 2 of its hosts on
        "#]],
    );
    let three = "cluster c
host h[1-4] cpus=4 mem=4G watts=45/95/3
vm v[1-4]@h[1-4] mem=256M cpu=0.1
policy balanced spare.min=0 spare.target=0 failover=0 min_on=3
";
    assert_eq!(plan(&picture(three), NIGHT).1.hosts_on_after, 3);
}

#[test]
fn a_burst_of_minutes_wakes_but_only_hours_of_calm_let_sleep() {
    let mut snapshot = picture(&bare(
        "host h[1-2] cpus=4 mem=8G watts=45/95/3
vm a@h1 vcpus=4 mem=1G cpu=0.1
vm b@h2 vcpus=4 mem=1G cpu=0.1",
    ));
    snapshot.vms[0].demand = Demand { sleep: MilliCpu(2500), wake: MilliCpu(100) };
    snapshot.vms[1].demand = Demand { sleep: MilliCpu(2500), wake: MilliCpu(100) };
    assert_eq!(plan(&snapshot, NIGHT).1.hosts_on_after, 2);
    snapshot.vms[0].demand.sleep = MilliCpu(100);
    assert_eq!(plan(&snapshot, NIGHT).1.hosts_on_after, 1);
}

#[test]
fn places_for_a_large_vm_keep_a_host_on() {
    check_plan(
        "cluster c
host h[1-4] cpus=8 mem=4G watts=45/95/3
vm a@h1 mem=3G cpu=0.1
vm b c@h2,h3 mem=512M cpu=0.1
policy balanced failover=0
",
        expect![[r#"
            4 -> 3 on (bound 2), 180 W -> 138 W, 0 moves
            s0 sleep h4 (empty, and the reserves hold without it)
            h1 awake: reserve: without it 1 places for the largest VM stay free, 2 wanted
            h2 awake: reserve: without it 1 places for the largest VM stay free, 2 wanted
            h3 awake: reserve: without it 1 places for the largest VM stay free, 2 wanted
        "#]],
    );
}

#[test]
fn hostile_sizes_give_a_plan_without_them() {
    check_plan(
        &bare(
            "host h[1-3] cpus=1 mem=1G watts=45/95/3
vm whale@h1 mem=64G vcpus=64 cpu=64
vm a@h2 mem=256M cpu=0.1
vm b@h3 mem=256M cpu=0.1",
        ),
        expect![[r#"
            3 -> 2 on (bound 2), 195 W -> 153 W, 1 moves
            s0 b: h3 -> h2 (empties h3)
            s1 sleep h3 after s0 (empty, and the reserves hold without it)
            h1 awake: whale has to stay: larger than any host
            h2 awake: memory: its 2 VMs ask 512 MiB, 0 MiB free on the other host
            h1 left: its CPU demand fits nowhere else
        "#]],
    );
}

#[test]
fn each_knob_of_packing_changes_something() {
    let on = |knobs: &str, touch: &dyn Fn(&mut dormouse_model::Snapshot)| {
        let mut snapshot = picture(&bare(
            "host h[1-6] cpus=4 mem=4G watts=45/95/3 boot=75s
vm v[1-6]@h[1-6] mem=1G cpu=0.1",
        ));
        let mut cluster = (*snapshot.cluster).clone();
        for (knob, value) in knobs.split_whitespace().filter_map(|set| set.split_once('=')) {
            cluster.policy.knobs.set(knob, value).unwrap();
        }
        snapshot.cluster = cluster.into();
        touch(&mut snapshot);
        plan(&snapshot, NIGHT).1.hosts_on_after
    };
    let untouched = |_: &mut dormouse_model::Snapshot| {};
    assert_eq!(on("", &untouched), 2);
    assert_eq!(on("spare.target=3", &untouched), 3);
    let lull = |mib| move |snapshot: &mut dormouse_model::Snapshot| snapshot.lull = dormouse_model::Mib(mib);
    // A place for each GiB or part of one, beside those of `spare.target`.
    assert_eq!((on("", &lull(2048)), on("", &lull(2049)), on("spare.target=2", &lull(1024))), (2, 3, 3));
    assert_eq!(on("failover=1", &untouched), 3);
    assert_eq!(on("min_on=5", &untouched), 5);
    assert_eq!(on("cpu.target=0.05", &untouched), 3);
    assert_eq!(on("payback=1000", &untouched), 6);
    assert_eq!(on("disrupt.max=0.5", &untouched), 6);
    let all_unproven = |snapshot: &mut dormouse_model::Snapshot| {
        snapshot.hosts.iter_mut().for_each(|host| host.proven = false);
    };
    assert_eq!((on("", &all_unproven), on("unproven.sleep=yes", &all_unproven)), (6, 2));
    let young = |snapshot: &mut dormouse_model::Snapshot| {
        snapshot.hosts.iter_mut().for_each(|host| host.in_state = Millis::from_mins(10));
    };
    assert_eq!((on("", &young), on("min_up=10m", &young), on("time.scale=3", &young)), (6, 2, 2));
    let cycled = |snapshot: &mut dormouse_model::Snapshot| {
        snapshot.hosts.iter_mut().for_each(|host| host.cycles_day = 4);
    };
    assert_eq!((on("", &cycled), on("cycles.host_day=5", &cycled)), (6, 2));
    let moved = |snapshot: &mut dormouse_model::Snapshot| {
        snapshot.vms.iter_mut().for_each(|vm| (vm.moves_hour, vm.moves_day) = (2, 6));
    };
    assert_eq!(
        (on("", &moved), on("moves.vm_hour=3", &moved), on("moves.vm_hour=3 moves.vm_day=7", &moved)),
        (6, 6, 2)
    );
}
