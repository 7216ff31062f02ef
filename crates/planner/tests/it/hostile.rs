//! Hostile pictures: each gives a plan without what cannot be, and a reason for it; never a panic, never a hang.

use crate::balanced::bare;
use crate::show::{NIGHT, check_picture, check_plan, picture, plan, seeds_lab};
use dormouse_model::{
    Demand, Goal, HostId, KNOBS, Mbps, Mib, MilliCpu, Millis, PlanId, Rule, Snapshot, VmState, Watts,
};
use expect_test::expect;
use proptest::prelude::*;
use std::sync::Arc;

#[test]
fn nothing_at_all() {
    check_plan(
        "cluster c\n",
        expect![[r#"
        0 -> 0 on (bound 0), 0 W -> 0 W, 0 moves
    "#]],
    );
    check_plan(
        "cluster c\nhost h[1-3] cpus=1 mem=1G\n",
        expect![[r#"
        3 -> 1 on (bound 1), 135 W -> 51 W, 0 moves
        s0 sleep h2 (empty, and the reserves hold without it)
        s1 sleep h3 (empty, and the reserves hold without it)
        h1 awake: at least 1 hosts stay on (min_on)
    "#]],
    );
}

#[test]
fn a_host_and_a_vm_without_memory() {
    let mut snapshot = picture(&bare(
        "host none cpus=4 mem=1G watts=45/95/3
host h[1-2] cpus=4 mem=4G watts=45/95/3
vm a@h1 mem=1G cpu=0.1
vm empty@h2 mem=1G cpu=0.1",
    ));
    // No text may say so; a look may.
    Spoil::HostMem(0, 0).put(&mut snapshot);
    Spoil::VmMem(1, 0).put(&mut snapshot);
    check_picture(
        &snapshot,
        NIGHT,
        expect![[r#"
            3 -> 1 on (bound 1), 137 W -> 53 W, 1 moves
            s0 sleep none (empty, and the reserves hold without it)
            s1 empty: h2 -> h1 (empties h2)
            s2 sleep h2 after s1 (empty, and the reserves hold without it)
            h1 awake: memory: its 2 VMs ask 1 GiB, no other host takes VMs
        "#]],
    );
}

#[test]
fn a_vm_larger_than_any_host_and_one_of_65535_processors() {
    check_plan(
        &bare(
            "host h[1-4] cpus=4 mem=4G watts=45/95/3
vm whale@h1 mem=1024T cpu=0.1
vm wide@h2 vcpus=65535 mem=1G cpu=65535
vm a b@h3,h4 mem=1G cpu=0.1",
        ),
        expect![[r#"
            4 -> 3 on (bound 2), 233 W -> 191 W, 1 moves
            s0 b: h4 -> h3 (empties h4)
            s1 sleep h4 after s0 (empty, and the reserves hold without it)
            h1 awake: whale has to stay: larger than any host
            h2 awake: CPU: its VM asks 65535.000 cores, 5.300 cores free below cpu.target on the other 2 hosts together
            h3 awake: disturbs too much: share of VMs over share of watts is 2.238, 2.00 allowed
            h2 left: its CPU demand fits nowhere else
        "#]],
    );
}

#[test]
fn groups_that_contradict_each_other() {
    check_plan(
        &bare(
            "host h[1-4] cpus=4 mem=4G watts=45/95/3
vm a b@h1 mem=256M cpu=0.1
vm c d@h2,h3 mem=256M cpu=0.1
vm e@h4 mem=256M cpu=0.1
group both = a b spread
group torn = a b gather
group far = c d gather
group apart = c d spread",
        ),
        expect![[r#"
            4 -> 3 on (bound 3), 185 W -> 143 W, 1 moves
            s0 e: h4 -> h1 (empties h4)
            s1 sleep h4 after s0 (empty, and the reserves hold without it)
            h1 awake: a has to stay: it would meet a VM of its spread group
            h2 awake: c has to stay: its group must stay together and fits nowhere else
            h3 awake: d has to stay: its group must stay together and fits nowhere else
        "#]],
    );
}

#[test]
fn pins_that_lead_nowhere() {
    check_plan(
        &bare(
            "host h[1-5] cpus=4 mem=4G watts=45/95/3
vm both@h1 mem=256M cpu=0.1 pin=h1 ban=h1
vm sleepy@h2 mem=256M cpu=0.1 pin=h5
vm nowhere@h3 mem=256M cpu=0.1 ban=h[1-5]
vm free@h4 mem=256M cpu=0.1
asleep h5",
        ),
        expect![[r#"
            4 -> 3 on (bound 2), 187 W -> 145 W, 1 moves
            s0 free: h4 -> h1 (empties h4)
            s1 sleep h4 after s0 (empty, and the reserves hold without it)
            h1 awake: both has to stay: pin, ban or fence leaves it no other host
            h2 awake: sleepy has to stay: pin, ban or fence leaves it no other host
            h3 awake: nowhere has to stay: pin, ban or fence leaves it no other host
        "#]],
    );
}

#[test]
fn everything_pinned_where_it_is() {
    let text = bare(
        "host h[1-3] cpus=4 mem=4G watts=45/95/3
vm v[1-3]@h[1-3] mem=256M cpu=0.1
vm w@h1 mem=256M cpu=0.1 pin=h1",
    );
    let pinned = text.replace("cpu=0.1\n", "cpu=0.1 pin=h1\n").replace("v[1-3]@h[1-3]", "v[1-3]@h1");
    check_plan(
        &pinned,
        expect![[r#"
        3 -> 1 on (bound 1), 140 W -> 56 W, 0 moves
        s0 sleep h2 (empty, and the reserves hold without it)
        s1 sleep h3 (empty, and the reserves hold without it)
        h1 awake: v1 has to stay: pin, ban or fence leaves it no other host
    "#]],
    );
    let each = "host h[1-3] cpus=4 mem=4G watts=45/95/3\nvm a@h1 mem=1G pin=h1\nvm b@h2 mem=1G pin=h2\nvm c@h3 mem=1G pin=h3";
    check_plan(
        &bare(each),
        expect![[r#"
        3 -> 3 on (bound 3), 135 W -> 135 W, 0 moves
        h1 awake: a has to stay: pin, ban or fence leaves it no other host
        h2 awake: b has to stay: pin, ban or fence leaves it no other host
        h3 awake: c has to stay: pin, ban or fence leaves it no other host
    "#]],
    );
}

#[test]
fn a_host_that_draws_nothing_has_nothing_to_save() {
    check_plan(
        &bare("host h[1-2] cpus=4 mem=4G watts=0/0/0\nvm a b@h1,h2 mem=1G cpu=0.1"),
        expect![[r#"
        2 -> 2 on (bound 1), 0 W -> 0 W, 0 moves
        h1 awake: does not pay: saves 0.00 times what moves and boot cost, 3.00 wanted
        h2 awake: does not pay: saves 0.00 times what moves and boot cost, 3.00 wanted
    "#]],
    );
}

#[test]
fn rules_about_what_is_not_in_the_picture() {
    let mut snapshot = picture(&bare(
        "host h[1-2] cpus=4 mem=4G watts=45/95/3\nvm a b@h1,h2 mem=1G cpu=0.1\ngroup g = a b fence=h1",
    ));
    let gone = HostId(99);
    let mut spec = (*snapshot.vms[1].spec).clone();
    (spec.pin, spec.ban, spec.home) = (vec![gone], vec![gone], Some(gone));
    snapshot.vms[1].spec = Arc::new(spec);
    let mut cluster = (*snapshot.cluster).clone();
    cluster.groups[0].rules = vec![Rule::Fence(vec![gone]), Rule::Gather];
    cluster.groups[0].vms.push(dormouse_model::VmId(77));
    cluster.keeps.push(dormouse_model::Keep { count: 3, hosts: vec![gone, HostId(0)] });
    snapshot.cluster = cluster.into();
    for goal in [NIGHT, Goal::Relieve, Goal::Spread { wake_off: true }] {
        plan(&snapshot, goal);
    }
}

#[test]
fn every_knob_at_its_extremes() {
    for knob in KNOBS {
        for value in ["0", "0.001", "1", "2", "1000000", "4294967295", "0s", "366d", "yes", "no"] {
            let mut snapshot = picture(&seeds_lab("balanced"));
            let mut cluster = (*snapshot.cluster).clone();
            if cluster.policy.knobs.set(knob.name, value).is_err() {
                continue;
            }
            snapshot.cluster = cluster.into();
            for goal in [NIGHT, Goal::Relieve] {
                let (_, report) = plan(&snapshot, goal);
                assert!(report.hosts_on_after <= 62, "{}={value}", knob.name);
            }
        }
    }
}

/// Numbers that nobody means.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0u64),
        Just(1),
        Just(u64::from(u32::MAX)),
        Just(1 << 40),
        Just(u64::MAX / 2),
        Just(u64::MAX - 1),
        Just(u64::MAX)
    ]
}

#[derive(Clone, Debug)]
enum Spoil {
    HostMem(usize, u64),
    HostReserve(usize, u64),
    HostOverhead(usize, u64),
    HostWatts(usize, u64, u64, u64),
    HostTimes(usize, u64, u64),
    Link(usize, u64),
    Cpus(usize, u32),
    Slots(usize, u32),
    VmMem(usize, u64),
    VmDemand(usize, u64, u64),
    VmAt(usize, usize),
}

impl Spoil {
    fn any() -> impl Strategy<Value = Self> {
        let n = || 0..8usize;
        prop_oneof![
            (n(), number()).prop_map(|(h, x)| Self::HostMem(h, x)),
            (n(), number()).prop_map(|(h, x)| Self::HostReserve(h, x)),
            (n(), number()).prop_map(|(h, x)| Self::HostOverhead(h, x)),
            (n(), number(), number(), number()).prop_map(|(h, x, y, z)| Self::HostWatts(h, x, y, z)),
            (n(), number(), number()).prop_map(|(h, x, y)| Self::HostTimes(h, x, y)),
            (n(), number()).prop_map(|(h, x)| Self::Link(h, x)),
            (n(), prop_oneof![Just(0), Just(1), Just(u32::MAX)]).prop_map(|(h, x)| Self::Cpus(h, x)),
            (n(), prop_oneof![Just(0), Just(1), Just(u32::MAX)]).prop_map(|(h, x)| Self::Slots(h, x)),
            (n(), number()).prop_map(|(v, x)| Self::VmMem(v, x)),
            (n(), number(), number()).prop_map(|(v, x, y)| Self::VmDemand(v, x, y)),
            (n(), n()).prop_map(|(v, h)| Self::VmAt(v, h)),
        ]
    }

    fn put(&self, snapshot: &mut Snapshot) {
        let (hosts, vms) = (snapshot.hosts.len(), snapshot.vms.len());
        let host = |snapshot: &mut Snapshot, at: usize, change: &dyn Fn(&mut dormouse_model::HostSpec)| {
            let mut spec = (*snapshot.hosts[at % hosts].spec).clone();
            change(&mut spec);
            snapshot.hosts[at % hosts].spec = Arc::new(spec);
        };
        match *self {
            Self::HostMem(at, x) => host(snapshot, at, &|spec| spec.mem = Mib(x)),
            Self::HostReserve(at, x) => host(snapshot, at, &|spec| spec.reserve = Mib(x)),
            Self::HostOverhead(at, x) => host(snapshot, at, &|spec| spec.overhead = Mib(x)),
            Self::HostWatts(at, x, y, z) => host(snapshot, at, &|spec| {
                (spec.watts_idle, spec.watts_busy, spec.watts_asleep) = (Watts(x), Watts(y), Watts(z));
            }),
            Self::HostTimes(at, x, y) => {
                host(snapshot, at, &|spec| (spec.boot, spec.shutdown) = (Millis(x), Millis(y)));
            }
            Self::Link(at, x) => host(snapshot, at, &|spec| spec.link = Mbps(x)),
            Self::Cpus(at, x) => host(snapshot, at, &|spec| spec.cpus = x),
            Self::Slots(at, x) => host(snapshot, at, &|spec| spec.slots = Some(x)),
            Self::VmMem(at, x) => {
                let mut spec = (*snapshot.vms[at % vms].spec).clone();
                spec.mem = Mib(x);
                snapshot.vms[at % vms].spec = Arc::new(spec);
            }
            Self::VmDemand(at, x, y) => {
                snapshot.vms[at % vms].demand = Demand { sleep: MilliCpu(x), wake: MilliCpu(y) };
            }
            Self::VmAt(at, x) => {
                snapshot.vms[at % vms].state = VmState::Running { at: HostId::at(x % hosts) }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn numbers_that_nobody_means(spoils in prop::collection::vec(Spoil::any(), 1..6), horizon in number()) {
        let mut snapshot = picture(
            "cluster c\nhost h[1-5] cpus=4 mem=8G watts=60/120/4 boot=60s\nvm v[1-8]@h1,h2,h3,h4,h5,h1,h2,h3 mem=1G cpu=0.2 home=h5,h4,h3,h2,h1,h1,h2,h3\n",
        );
        for spoil in &spoils {
            spoil.put(&mut snapshot);
        }
        for goal in [Goal::Compact { horizon: Millis(horizon) }, Goal::Relieve, Goal::Spread { wake_off: true }] {
            let (plan, _) = dormouse_planner::plan(&snapshot, goal, PlanId(1));
            let violations = dormouse_planner::check(&snapshot, &plan);
            prop_assert!(violations.is_empty(), "{goal}: {}", violations[0]);
        }
    }
}
