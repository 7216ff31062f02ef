//! `parse(print(c)) == c` for any cluster that a text can say.

use super::*;
use crate::schedule::{Days, Holiday, Schedule, Span, Window, WindowGoal, Zone};
use crate::{
    Circuit, Devices, Group, Hold, HostId, HostSpec, KNOBS, Keep, Knobs, Millis, Policy, PolicyName, VmId,
    VmSpec,
};
use jiff::civil::{Date, DateTime, Time, Weekday};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::HashSet;
use uuid::Uuid;

proptest! {
    #[test]
    fn what_is_printed_is_read_back(cluster in arb_cluster()) {
        let text = print(&cluster);
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, cluster, "{}", text),
            Err(error) => prop_assert!(false, "{}", error.render("printed", &text)),
        }
    }

    #[test]
    fn printing_again_changes_nothing(cluster in arb_cluster()) {
        let text = print(&cluster);
        prop_assert_eq!(print(&super::cluster(&text)), text);
    }
}

/// Lists into which indices of parts point: they are strategies' only way to name each other.
type Picks = Vec<Index>;

fn picks(most: usize) -> impl Strategy<Value = Picks> {
    prop::collection::vec(any::<Index>(), 0..most)
}

/// Each picked place once, in the order of the picks.
fn ids<T: Copy + Eq + std::hash::Hash>(picks: &[Index], len: usize, id: impl Fn(usize) -> T) -> Vec<T> {
    let mut seen = HashSet::new();
    if len == 0 {
        vec![]
    } else {
        picks.iter().map(|pick| id(pick.index(len))).filter(|id| seen.insert(*id)).collect()
    }
}

/// Names that often follow each other, and some that need care.
fn host_name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (8..13u32).prop_map(|n| format!("lab{n:02}")),
        3 => (98..102u32).prop_map(|n| format!("r{n}.example.org")),
        1 => "[a-z0-9][a-z0-9._-]{0,8}",
        1 => prop::sample::select(vec!["keep-on", "keepon", "stopped", "spread", "of", "0", "00", "01"]).prop_map(str::to_owned),
    ]
}

fn vm_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => host_name(), 1 => "\\PC{1,12}", 1 => "[\\x01-\\x7f]{1,9}", 1 => Just("$(reboot)\u{202e}".to_owned())]
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9._-]{0,6}"
}

fn host() -> impl Strategy<Value = HostSpec> {
    let sizes = (1..5u32, 1..5000u64, 0..3u64, 0..3u64, prop::option::of(1..3u32));
    let watts = (0..3u64, 0..3u64, 0..3u64);
    let times = (0..3u64, 0..200_000u64);
    let marks = (
        prop::option::of(word()),
        prop::option::of(prop::sample::select(Role::ALL.to_vec())),
        any::<[bool; 4]>(),
        texts(),
    );
    let state = prop::sample::select(vec![
        HostState::On,
        HostState::On,
        HostState::Asleep,
        HostState::Off,
        HostState::Unknown,
        HostState::SetAside,
    ]);
    (host_name(), sizes, watts, times, marks, state).prop_map(
        |(
            name,
            (cpus, mem, reserve, overhead, slots),
            (asleep, idle, busy),
            (boot, shutdown),
            (group, role, flags, networks),
            state,
        )| HostSpec {
            name,
            address: None,
            macs: vec![],
            cpus,
            mem: Mib(mem),
            reserve: Mib(reserve.min(mem - 1)),
            overhead: Mib(overhead),
            watts_asleep: Watts(asleep),
            watts_idle: Watts(asleep + idle),
            watts_busy: Watts(asleep + idle + busy),
            boot: Millis::from_secs(boot * 30),
            shutdown: Millis(shutdown),
            link: Mbps(if flags[3] { 1000 } else { 10_000 }),
            slots,
            cpu_group: group,
            networks,
            circuit: None,
            role,
            keep_on: flags[0],
            maintenance: flags[1],
            unproven: flags[2],
            state,
        },
    )
}

#[derive(Clone, Debug)]
struct VmDraft {
    spec: VmSpec,
    at: Index,
    home: Option<Index>,
    pin: Picks,
    ban: Picks,
}

/// Names that hosts and definitions gave, in order; hostile ones among them.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let one = prop_oneof![3 => "[a-z]{1,4}[0-9]?", 1 => "/[a-z]{1,4}/[a-z @,=#]{1,4}", 1 => "\\PC{1,5}"];
    prop::collection::btree_set(one, 0..3).prop_map(|names| names.into_iter().collect())
}

fn devices() -> impl Strategy<Value = Devices> {
    let macs = prop::collection::btree_set(1..9u8, 0..3);
    (macs, texts(), texts()).prop_map(|(macs, disks, networks)| Devices {
        macs: macs.into_iter().map(|last| [2, 0, 0, 0, 0, last]).collect(),
        disks,
        networks,
    })
}

fn vm() -> impl Strategy<Value = VmDraft> {
    let sizes = (1..3u32, 1..2000u64, 0..2000u64, 0..3u64);
    let uuid = prop::option::weighted(0.1, any::<u128>().prop_map(|bits| Uuid::from_u128(bits | 1)));
    (
        vm_name(),
        sizes,
        uuid,
        (any::<[bool; 4]>(), devices()),
        any::<Index>(),
        prop::option::of(any::<Index>()),
        picks(3),
        picks(3),
    )
        .prop_map(
            |(name, (vcpus, mem, cpu, dirty_mib_s), uuid, (flags, devices), at, home, pin, ban)| VmDraft {
                spec: VmSpec {
                    uuid: uuid.unwrap_or_else(|| VmSpec::uuid_of_name(&name)),
                    name,
                    vcpus,
                    mem: Mib(mem),
                    cpu: MilliCpu(cpu),
                    dirty_mib_s,
                    home: None,
                    pin: vec![],
                    ban: vec![],
                    no_move: flags[0],
                    local_disk: flags[1],
                    stopped: flags[2],
                    autostart: flags[3],
                    devices,
                    at: HostId(0),
                },
                at,
                home,
                pin,
                ban,
            },
        )
}

fn date() -> impl Strategy<Value = Date> {
    (0..400i16, 1..=12i8, 1..=28i8).prop_map(|(y, m, d)| Date::constant(1900 + y, m, d))
}

fn time() -> impl Strategy<Value = Time> {
    (0..24i8, 0..60i8, prop_oneof![3 => Just(0i8), 1 => 0..60i8])
        .prop_map(|(h, m, s)| Time::constant(h, m, s, 0))
}

fn weekday() -> impl Strategy<Value = Weekday> {
    (1..=7i8).prop_map(|n| Weekday::from_monday_one_offset(n).expect("1 to 7"))
}

fn window() -> impl Strategy<Value = Window> {
    let days = prop_oneof![
        (weekday(), 0..7usize)
            .prop_map(|(from, more)| from.cycle_forward().take(more + 1).collect::<Vec<_>>()),
        prop::collection::vec(weekday(), 1..5).prop_map(|mut days| {
            let mut seen = vec![];
            days.retain(|day| {
                !seen.contains(day) && {
                    seen.push(*day);
                    true
                }
            });
            days
        }),
    ];
    let dates =
        (date(), 0..3i64).prop_map(|(from, days)| (from, from.saturating_add(jiff::Span::new().days(days))));
    let days = prop_oneof![
        2 => days.prop_map(Days::Week),
        1 => prop::collection::vec(dates, 1..4).prop_map(Days::Dates),
    ];
    let span = (days, time(), time()).prop_map(|(days, start, end)| Span { days, start, end });
    let goal = prop::sample::select(WindowGoal::ALL.to_vec());
    (prop::collection::vec(span, 1..4), goal, 0..90_000u64, any::<bool>()).prop_map(
        |(spans, goal, up_by, wake_all)| {
            let spread = goal == WindowGoal::Spread;
            let up_by = if spread { Millis(up_by * 10) } else { Millis::ZERO };
            Window { name: String::new(), spans, goal, up_by, wake_all: wake_all && spread }
        },
    )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let zone = prop::sample::select(vec!["UTC", "Europe/Rome", "America/New_York"]);
    let holiday =
        (date(), 0..3i64, prop::option::of(weekday()), text()).prop_map(|(from, days, as_day, why)| {
            Holiday { from, to: from.saturating_add(jiff::Span::new().days(days)), as_day, why }
        });
    (zone, prop::collection::vec(window(), 0..4), prop::collection::vec(holiday, 0..4)).prop_map(
        |(zone, mut windows, holidays)| {
            for (index, window) in windows.iter_mut().enumerate() {
                window.name = format!("w{index}");
            }
            Schedule { zone: Zone::named(zone).expect("known"), windows, holidays }
        },
    )
}

/// A few knobs with values that each of them takes.
fn policy() -> impl Strategy<Value = Policy> {
    let name = prop::sample::select(PolicyName::ALL.to_vec());
    let values = prop::collection::vec(
        (
            any::<Index>(),
            prop::sample::select(vec!["0", "1", "7", "0.125", "90s", "3h", "250ms", "yes", "no"]),
        ),
        0..6,
    );
    (name, values).prop_map(|(name, values)| {
        let mut policy = Policy::named(name);
        for (knob, value) in values {
            let mut changed: Knobs = policy.knobs.clone();
            if changed.set(KNOBS[knob.index(KNOBS.len())].name, value).is_ok() {
                policy.knobs = changed;
            }
        }
        policy
    })
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof![word(), "\\PC{0,12}", "[\\x00-\\x7f]{0,9}"])
}

fn arb_cluster() -> impl Strategy<Value = Cluster> {
    // Runs of equal hosts and VMs are what the printer joins: each draft may stand for several.
    let hosts = prop::collection::vec((host(), 1..4usize), 1..6);
    let vms = prop::collection::vec((vm(), 1..4usize), 0..6);
    let groups = prop::collection::vec((word(), picks(5), 0..3usize, picks(3)), 0..3);
    let holds = prop::collection::vec((picks(3), prop::option::of((date(), time())), text(), text()), 0..3);
    let circuits = prop::collection::vec((1..9u32, picks(4)), 0..3);
    let keeps = prop::collection::vec((picks(4), any::<Index>()), 0..2);
    let live = prop::collection::vec((any::<Index>(), any::<[u8; 4]>()), 0..3);
    (word(), hosts, vms, groups, holds, circuits, (keeps, live), policy(), schedule()).prop_map(
        |(name, hosts, vms, groups, holds, circuits, (keeps, live), policy, schedule)| {
            let mut c = Cluster {
                name,
                link: Mbps(1000),
                hosts: vec![],
                vms: vec![],
                groups: vec![],
                circuits: vec![],
                holds: vec![],
                keeps: vec![],
                policy,
                schedule,
            };
            let mut taken = HashSet::new();
            for (host, times) in hosts {
                for name in following(&host.name, times) {
                    if taken.insert(name.clone()) {
                        c.hosts.push(HostSpec { name, ..host.clone() });
                    }
                }
            }
            let many = c.hosts.len();
            for (index, (wakes, members)) in circuits.into_iter().enumerate() {
                let name = format!("room{index}");
                for id in ids(&members, many, HostId::at) {
                    c.hosts[id.index()].circuit = Some(name.clone());
                }
                c.circuits.push(Circuit { name, wakes });
            }
            for (index, (place, bytes)) in live.into_iter().enumerate() {
                let host = &mut c.hosts[place.index(many)];
                let [a, b, d, _] = bytes;
                host.address = Some(format!("{a}.{b}.{d}.{index}"));
                host.macs = vec![
                    [2, a, b, d, 0, u8::try_from(index).expect("few")],
                    [2, a, b, d, 1, u8::try_from(index).expect("few")],
                ];
            }
            let (mut taken, mut uuids) = (HashSet::new(), HashSet::new());
            for (draft, times) in vms {
                let named = draft.spec.uuid == VmSpec::uuid_of_name(&draft.spec.name);
                for (step, name) in following(&draft.spec.name, times).into_iter().enumerate() {
                    let uuid = if named { VmSpec::uuid_of_name(&name) } else { draft.spec.uuid };
                    if !taken.insert(name.clone()) || !uuids.insert(uuid) {
                        continue;
                    }
                    // Some stay, some step on with their number.
                    let place = |index: Index, steps: bool| {
                        HostId::at((index.index(many) + if steps { step } else { 0 }) % many)
                    };
                    let at = place(draft.at, draft.spec.no_move);
                    let stopped = draft.spec.stopped || c.hosts[at.index()].state.is_down();
                    let home = draft.home.map(|home| place(home, draft.spec.local_disk));
                    let (pin, ban) = (ids(&draft.pin, many, HostId::at), ids(&draft.ban, many, HostId::at));
                    c.vms.push(VmSpec { uuid, name, at, stopped, home, pin, ban, ..draft.spec.clone() });
                }
            }
            for (index, (name, members, rule, fence)) in groups.into_iter().enumerate() {
                let vms = ids(&members, c.vms.len(), VmId::at);
                let fence = ids(&fence, many, HostId::at);
                let mut rules = [vec![], vec![Rule::Spread], vec![Rule::Gather]][rule].clone();
                if !fence.is_empty() {
                    rules.push(Rule::Fence(fence));
                }
                if !vms.is_empty() {
                    c.groups.push(Group { name: format!("{name}{index}"), vms, rules });
                }
            }
            for (members, until, by, why) in holds {
                let hosts = ids(&members, many, HostId::at);
                let until = until.map(|(date, time)| DateTime::from_parts(date, time));
                if !hosts.is_empty() {
                    c.holds.push(Hold { hosts, until, by, why });
                }
            }
            for (members, count) in keeps {
                let hosts = ids(&members, many, HostId::at);
                if !hosts.is_empty() {
                    c.keeps.push(Keep {
                        count: u32::try_from(1 + count.index(hosts.len())).expect("few"),
                        hosts,
                    });
                }
            }
            c
        },
    )
}

/// The name and those behind it, where it ends in a number.
fn following(name: &str, times: usize) -> Vec<String> {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (stem, number) = name.split_at(name.len() - digits);
    match number.parse::<usize>() {
        Ok(from) if digits < 6 => (from..from + times).map(|n| format!("{stem}{n:0digits$}")).collect(),
        _ => vec![name.to_owned()],
    }
}
