//! Any cluster: a text, and what a text cannot say. Hosts differ in size, some sleep or are held; VMs have rules.

use crate::show::picture;
use dormouse_model::{
    Barred, Hold, HostState, MilliCpu, Millis, Mono, Obstacle, ProbeError, Seen, Snapshot, VmState,
};
use proptest::prelude::*;
use std::fmt::Write as _;

/// A cluster text and what a text cannot say.
#[derive(Clone, Debug)]
pub(crate) struct World {
    hosts: Vec<HostLine>,
    vms: Vec<VmLine>,
    rules: Vec<String>,
    pub(crate) knobs: String,
    marks: Vec<Mark>,
}

#[derive(Clone, Debug)]
struct HostLine {
    kind: usize,
    flags: String,
    state: HostState,
}

#[derive(Clone, Debug)]
struct VmLine {
    at: usize,
    mem: u64,
    cpu: u64,
    flags: String,
}

/// Something seen at run time.
#[derive(Clone, Debug)]
enum Mark {
    Drain(usize),
    NotSeen(usize),
    JustUp(usize),
    Person(usize),
    BackOff(usize),
    Moved(usize, u32),
    Burst(usize, u64),
    Migrating(usize, usize),
    Paused(usize),
    Conflict(usize, usize),
    Held(usize),
    Barred(usize, usize),
    State(usize, HostState),
}

pub(crate) const KINDS: [&str; 4] = [
    "cpus=4 mem=8G watts=60/140/4 boot=60s",
    "cpus=4 mem=8G watts=60/140/4 boot=60s",
    "cpus=8 mem=16G watts=90/250/6 boot=120s reserve=512M overhead=64M",
    "cpus=2 mem=4G watts=70/100/3 boot=90s slots=3 link=100M",
];
pub(crate) const MEM: [u64; 4] = [8192, 8192, 15_872, 4096];
const SLOTS: [usize; 4] = [usize::MAX, usize::MAX, usize::MAX, 3];

impl World {
    fn text(&self, lines_of: &Order) -> String {
        let mut text = String::from("cluster any\n");
        for index in &lines_of.hosts {
            let host = &self.hosts[*index];
            writeln!(text, "host h{index:02} {}{}", KINDS[host.kind], host.flags).unwrap();
        }
        let mut used = vec![0; self.hosts.len()];
        let mut count = vec![0; self.hosts.len()];
        let mut lines = vec![];
        for (index, vm) in self.vms.iter().enumerate() {
            let (host, kind) = (&self.hosts[vm.at], self.hosts[vm.at].kind);
            let mem = vm.mem + if kind == 2 { 64 } else { 0 };
            // Nearly always there is room; a host that is too full already is a picture to cope with as well.
            let crowded = used[vm.at] + mem > MEM[kind] || count[vm.at] >= SLOTS[kind];
            let place = if host.state == HostState::On && (!crowded || index % 17 == 0) {
                vm.at
            } else {
                self.fallback()
            };
            if place != vm.at && used[place] + vm.mem + 64 > MEM[self.hosts[place].kind] {
                lines.push(format!("vm v{index:02}@h{place:02} mem={}M cpu=0.1 stopped\n", vm.mem));
                continue;
            }
            used[place] += mem;
            count[place] += 1;
            let cpu = format!("{}.{:03}", vm.cpu / 1000, vm.cpu % 1000);
            lines.push(format!("vm v{index:02}@h{place:02} vcpus=2 mem={}M cpu={cpu}{}\n", vm.mem, vm.flags));
        }
        for index in &lines_of.vms {
            text += &lines[*index];
        }
        for index in &lines_of.rules {
            writeln!(text, "{}", self.rules[*index]).unwrap();
        }
        for (index, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.state != HostState::On) {
            writeln!(text, "{} h{index:02}", host.state).unwrap();
        }
        writeln!(text, "policy {}", self.knobs).unwrap();
        text
    }

    /// A host that is on: the first always is.
    fn fallback(&self) -> usize {
        0
    }

    /// In order of names, or half of them backwards.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut order = Order::straight(self);
        if self.vms.len() % 2 == 1 {
            order.hosts.reverse();
            order.vms.reverse();
        }
        self.in_order(&order)
    }

    pub(crate) fn in_order(&self, order: &Order) -> Snapshot {
        let mut snapshot = picture(&self.text(order));
        for mark in &self.marks {
            mark.put(&mut snapshot);
        }
        snapshot
    }
}

/// The order of lines of each kind.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    hosts: Vec<usize>,
    vms: Vec<usize>,
    rules: Vec<usize>,
}

impl Order {
    pub(crate) fn straight(world: &World) -> Self {
        let all = |count: usize| (0..count).collect();
        Self { hosts: all(world.hosts.len()), vms: all(world.vms.len()), rules: all(world.rules.len()) }
    }

    fn any(world: &World) -> impl Strategy<Value = Self> + use<> {
        let Self { hosts, vms, rules } = Self::straight(world);
        (Just(hosts).prop_shuffle(), Just(vms).prop_shuffle(), Just(rules).prop_shuffle())
            .prop_map(|(hosts, vms, rules)| Self { hosts, vms, rules })
    }
}

/// A world, and its lines in another order.
pub(crate) fn shuffled(marks: usize) -> impl Strategy<Value = (World, Order)> {
    world(marks).prop_flat_map(|world| {
        let order = Order::any(&world);
        (Just(world), order)
    })
}

impl Mark {
    fn put(&self, snapshot: &mut Snapshot) {
        // By name, so that the order of lines changes nothing.
        let host = |n: &usize| {
            let name = format!("h{:02}", n % snapshot.hosts.len());
            snapshot.host_ids().find(|id| snapshot.host(*id).spec.name == name).unwrap()
        };
        let vm = |n: &usize| {
            let name = format!("v{:02}", n % snapshot.vms.len().max(1));
            snapshot.vm_ids().find(|id| snapshot.vm(*id).spec.name == name)
        };
        match self {
            Self::Drain(h) => snapshot.host_mut(host(h)).drain = true,
            Self::NotSeen(h) => {
                snapshot.host_mut(host(h)).load15 =
                    Seen::Unknown { last: None, since: Mono(0), why: ProbeError::NotYet };
            }
            Self::JustUp(h) => snapshot.host_mut(host(h)).in_state = Millis::from_mins(3),
            Self::Person(h) => snapshot
                .host_mut(host(h))
                .obstacles
                .push(Obstacle::People { count: 1, idle: Millis::from_mins(1) }),
            Self::BackOff(h) => {
                snapshot.host_mut(host(h)).obstacles.push(Obstacle::BackOff { left: Millis::from_mins(1) })
            }
            Self::Held(h) => {
                snapshot.host_mut(host(h)).held =
                    Some(Hold { hosts: vec![], until: None, by: None, why: None })
            }
            Self::Barred(v, h) => {
                let to = host(h);
                if let Some(vm) = vm(v).filter(|vm| snapshot.vm(*vm).state.host() != Some(to)) {
                    snapshot.vm_mut(vm).barred.push(Barred { to, lacks: None });
                }
            }
            Self::State(h, state) => {
                let host = snapshot.host_mut(host(h));
                // Only what sleeps can be waking.
                let from = if *state == HostState::Waking { HostState::Asleep } else { HostState::On };
                if host.state == from {
                    host.state = *state;
                }
            }
            Self::Moved(v, times) => {
                if let Some(vm) = vm(v) {
                    snapshot.vm_mut(vm).moves_hour = *times;
                }
            }
            Self::Burst(v, cpu) => {
                if let Some(vm) = vm(v) {
                    snapshot.vm_mut(vm).demand.wake = MilliCpu(*cpu);
                }
            }
            Self::Migrating(v, to) => {
                let to = host(to);
                if let Some((vm, from)) = vm(v).and_then(|vm| Some((vm, snapshot.vm(vm).state.host()?)))
                    && from != to
                {
                    snapshot.vm_mut(vm).state = VmState::Migrating { from, to };
                }
            }
            Self::Paused(v) => {
                if let Some((vm, at)) = vm(v).and_then(|vm| Some((vm, snapshot.vm(vm).state.host()?))) {
                    snapshot.vm_mut(vm).state = VmState::Paused { at };
                }
            }
            Self::Conflict(v, other) => {
                let other = host(other);
                if let Some((vm, from)) = vm(v).and_then(|vm| Some((vm, snapshot.vm(vm).state.host()?)))
                    && from != other
                {
                    snapshot.vm_mut(vm).state = VmState::Conflict { hosts: vec![from, other] };
                }
            }
        }
    }
}

fn host_line() -> impl Strategy<Value = HostLine> {
    let flags = prop_oneof![
        12 => Just(String::new()),
        1 => Just(" keep-on".to_owned()),
        1 => Just(" role=storage".to_owned()),
        1 => Just(" maintenance".to_owned()),
        1 => Just(" unproven".to_owned()),
        1 => Just(" cpu-group=old".to_owned()),
    ];
    let state = prop_oneof![
        8 => Just(HostState::On),
        3 => Just(HostState::Asleep),
        1 => Just(HostState::Off),
        1 => Just(HostState::SetAside),
    ];
    (0..KINDS.len(), flags, state).prop_map(|(kind, flags, state)| HostLine { kind, flags, state })
}

fn vm_line(hosts: usize) -> impl Strategy<Value = VmLine> {
    let mem = prop_oneof![3 => Just(256u64), 2 => Just(1024), 2 => 300..2500u64, 1 => Just(4096)];
    let flags = prop_oneof![
        10 => Just(String::new()),
        1 => Just(" no-move".to_owned()),
        1 => Just(" local-disk".to_owned()),
        4 => (0..hosts).prop_map(|host| format!(" home=h{host:02}")),
        1 => (0..hosts).prop_map(|host| format!(" pin=h{host:02},h00")),
        1 => (0..hosts).prop_map(|host| format!(" ban=h{host:02}")),
    ];
    (0..hosts, mem, 0..900u64, flags).prop_map(|(at, mem, cpu, flags)| VmLine {
        at,
        mem,
        cpu: cpu * cpu / 900,
        flags,
    })
}

fn mark() -> impl Strategy<Value = Mark> {
    let n = || 0..64usize;
    prop_oneof![
        n().prop_map(Mark::Drain),
        n().prop_map(Mark::NotSeen),
        n().prop_map(Mark::JustUp),
        n().prop_map(Mark::Person),
        n().prop_map(Mark::BackOff),
        (n(), 0..4u32).prop_map(|(vm, times)| Mark::Moved(vm, times)),
        (n(), 0..4000u64).prop_map(|(vm, cpu)| Mark::Burst(vm, cpu)),
        (n(), n()).prop_map(|(vm, to)| Mark::Migrating(vm, to)),
        n().prop_map(Mark::Paused),
        n().prop_map(Mark::Held),
        (n(), n()).prop_map(|(vm, to)| Mark::Barred(vm, to)),
        (n(), n()).prop_map(|(vm, to)| Mark::Conflict(vm, to)),
        (
            n(),
            prop_oneof![
                Just(HostState::Draining),
                Just(HostState::Waking),
                Just(HostState::Unknown),
                Just(HostState::Unusable),
                Just(HostState::Stopping)
            ]
        )
            .prop_map(|(host, state)| Mark::State(host, state)),
    ]
}

fn rules(hosts: usize, vms: usize) -> impl Strategy<Value = Vec<String>> {
    let member = move || prop::collection::vec(0..vms.max(1), 2..5);
    let names = |mut set: Vec<usize>| {
        set.sort_unstable();
        set.dedup();
        set.iter().map(|vm| format!("v{vm:02}")).collect::<Vec<_>>().join(",")
    };
    let group = prop_oneof![
        (member(), Just("spread".to_owned())),
        (member(), Just("gather".to_owned())),
        (member(), (0..hosts).prop_map(|host| format!("fence=h{host:02},h00,h01"))),
    ];
    let groups = prop::collection::vec(group, 0..3);
    let keeps = prop::option::of(1..3usize);
    (groups, keeps).prop_map(move |(groups, keeps)| {
        let mut lines: Vec<String> = vec![];
        if vms >= 6 {
            lines.extend(
                groups
                    .into_iter()
                    .enumerate()
                    .map(|(index, (set, rule))| format!("group g{index} = {} {rule}", names(set))),
            );
        }
        lines.extend(keeps.map(|count| format!("keep {count} of h00,h01")));
        lines
    })
}

fn knobs() -> impl Strategy<Value = String> {
    let reserves = prop_oneof![
        Just("spare.min=0 spare.target=0 failover=0 min_on=0"),
        Just("spare.min=0 spare.target=0 failover=1"),
        Just("failover=2"),
        Just("spare.min=2 spare.target=1"),
        Just("min_on=3"),
        Just("disrupt.max=1 payback=10"),
        Just(""),
    ];
    reserves.prop_map(ToOwned::to_owned)
}

pub(crate) fn world(marks: usize) -> impl Strategy<Value = World> {
    (2..11usize, 0..28usize).prop_flat_map(move |(hosts, vms)| {
        (
            prop::collection::vec(host_line(), hosts),
            prop::collection::vec(vm_line(hosts), vms),
            rules(hosts, vms),
            knobs(),
            prop::collection::vec(mark(), 0..=marks),
        )
            .prop_map(|(mut hosts, vms, rules, knobs, marks)| {
                hosts[0].state = HostState::On;
                World { hosts, vms, rules, knobs: format!("balanced {knobs}"), marks }
            })
    })
}
