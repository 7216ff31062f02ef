//! One small day for each rule, with figures worked out by hand.
//!
//! Hosts have a core of 1,000 MIPS and draw 3,600 W idle and 7,200 W full, so a second of an idle host is a Wh.

use super::Replay;
use super::world::World;
use crate::replay::{Act, Day, Fleet, Orders, Place, Policy, Rules, Step, View, VmNow, named};
use crate::trace::Trace;
use dormouse_model::{HostId, Mib, VmId, text};
use std::collections::BTreeMap;

const HOSTS: &str = "host h[0-2] cpus=1 mem=2000M watts=3600/7200/0 boot=100s shutdown=20s link=1000M\n";

/// Places VMs where the list says, later ones where they first fit; then gives the orders written down for a step.
#[derive(Debug)]
struct Script {
    places: Vec<u32>,
    orders: BTreeMap<u64, Vec<Step>>,
}

impl Policy for Script {
    fn name(&self) -> &str {
        "script"
    }

    fn knobs(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn place(&mut self, view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>> {
        let first_fit = |vm: VmId| view.fleet.host_ids().find(|host| view.fits(vm, *host));
        let listed = |vm: VmId| self.places.get(vm.index()).map(|host| HostId(*host));
        let at_once = view.now.0 == 0;
        vms.iter().map(|vm| if at_once { listed(*vm) } else { first_fit(*vm) }).collect()
    }

    fn plan(&mut self, view: &View<'_>) -> Orders {
        let steps = self.orders.remove(&(view.now.0 / Trace::STEP.0)).unwrap_or_default();
        Orders { steps, ..Orders::default() }
    }
}

fn trace(csv: &str) -> Trace {
    Trace::read("test.csv", csv.as_bytes()).expect("a trace")
}

fn fleet(hosts: &str) -> Fleet {
    Fleet::of_cluster(&text::parse(&format!("cluster c\n{hosts}")).expect("a cluster")).expect("a fleet")
}

fn played(rules: Rules, csv: &str, places: &[u32], orders: Vec<(u64, Vec<Step>)>) -> Day {
    let mut script = Script { places: places.to_vec(), orders: orders.into_iter().collect() };
    let (fleet, trace) = (fleet(HOSTS), trace(csv));
    let day = Replay::new(&fleet, &trace, rules).expect("fits").run(&mut script, |_| {});
    assert_eq!(day.figures.violations, [""; 0]);
    day
}

fn act(act: Act) -> Step {
    Step { act, needs: vec![] }
}

fn go(vm: u32, to: u32) -> Step {
    act(Act::Move { vm: VmId(vm), to: HostId(to) })
}

#[test]
fn a_host_draws_by_its_curve_and_serves_up_to_what_it_has() {
    let day = played(
        Rules::Honest,
        "vm,cores,mhz,mem_mb,t0,t300,t600\na,1,1000,100,0,500,1000\nb,1,1000,100,0,0,500\n",
        &[0, 0],
        vec![],
    );
    // 300 s each at 0, 50 and 150 %: 3,600, 5,400 and 7,200 W. Two hosts are asleep all the time.
    assert_eq!(day.figures.energy_kwh, 1.35);
    assert_eq!(day.figures.energy_always_on_kwh, 3.15);
    assert_eq!((day.figures.hosts_on_mean, day.figures.hosts_on_min), (1.0, 1));
    // In the last step 500 MIPS of 1,500 are not served; 2,000 were asked for over the three.
    assert_eq!(day.figures.unserved_mips_s, 150_000.0);
    assert_eq!(day.figures.unserved_share, 0.25);
    assert_eq!(day.figures.slatah, 0.333_333);
    let watts: Vec<f64> = day.series.rows.iter().map(|row| row.watts).collect();
    assert_eq!(watts, [3600.0, 5400.0, 7200.0]);
}

#[test]
fn waking_takes_its_time_at_full_watts_and_going_to_sleep_at_idle_watts() {
    let day = played(
        Rules::Honest,
        "vm,cores,mhz,mem_mb,t0,t300\na,1,1000,100,0,0\n",
        &[0],
        vec![(0, vec![act(Act::Wake(HostId(1)))]), (1, vec![act(Act::Sleep(HostId(1)))])],
    );
    // h0 idle for 600 s; h1 100 s at 7,200 W, 200 s and then 20 s at 3,600 W.
    assert_eq!(day.figures.energy_kwh, 0.6 + 0.2 + 0.2 + 0.02);
    assert_eq!((day.figures.wakes, day.figures.sleeps), (1, 1));
    assert_eq!(day.figures.hosts_on_mean, 1.533);
    assert_eq!(day.figures.hosts_on_min, 1);
    // It serves nothing while it wakes: 1,000 MIPS for 300 s, 1,000 more for the last 200 of them.
    assert_eq!(day.series.rows[0].capacity.round(), 1667.0);
}

#[test]
fn a_host_with_a_vm_is_not_put_to_sleep() {
    let csv = "vm,cores,mhz,mem_mb,t0\na,1,1000,100,0\n";
    let day = played(Rules::Honest, csv, &[0], vec![(0, vec![act(Act::Sleep(HostId(0)))])]);
    assert_eq!((day.figures.sleeps, day.figures.energy_kwh), (0, 0.3));
}

#[test]
fn a_move_takes_its_memory_over_the_link_and_a_tenth_of_the_cpu_at_both_ends() {
    let day = played(
        Rules::Honest,
        "vm,cores,mhz,mem_mb,t0\na,1,1000,1250,500\nb,1,1000,100,0\n",
        &[0, 1],
        vec![(0, vec![go(0, 1)])],
    );
    // 1,250 MB x 8 at 1 Gbit/s: 10 s. 3.6 W a MIPS above idle: 550 and 50 MIPS for 10 s, then 0 and 500 for 290 s.
    let joule = 2.0 * 300.0 * 3600.0 + 3.6 * (10.0 * 600.0 + 290.0 * 500.0);
    assert_eq!(day.figures.energy_kwh, (joule / 3.6e6 * 1000.0_f64).round() / 1000.0);
    assert_eq!(day.figures.migrations, 1);
    // A tenth of 500 MIPS for 10 of 300 s.
    assert_eq!(day.figures.pdm, 0.003_333);
}

#[test]
fn moves_of_one_host_share_its_link() {
    let csv = "vm,cores,mhz,mem_mb,t0\na,1,1000,900,500\nb,1,1000,900,500\nc,1,1000,1,0\nd,1,1000,1,0\n";
    let both = played(Rules::Honest, csv, &[0, 0, 1, 2], vec![(0, vec![go(0, 1), go(1, 2)])]);
    let one = played(Rules::Honest, csv, &[0, 0, 1, 2], vec![(0, vec![go(0, 1)])]);
    // 7.2 s alone, 14.4 s each for two at once.
    assert_eq!(one.figures.pdm, 0.0012);
    assert_eq!(both.figures.pdm, 0.0048);
}

#[test]
fn a_move_holds_memory_at_both_ends_and_waits_for_room() {
    let csv = "vm,cores,mhz,mem_mb,t0\na,1,1000,1200,100\nb,1,1000,1200,100\nc,1,1000,1,0\n";
    // There is no room for both on h1, ever.
    let stuck = played(Rules::Honest, csv, &[0, 1, 2], vec![(0, vec![go(0, 1)])]);
    assert_eq!(stuck.figures.migrations, 0);
    // Once b has left for h2 there is: 9.6 s, and then 9.6 s.
    let chain = played(Rules::Honest, csv, &[0, 1, 2], vec![(0, vec![go(0, 1), go(1, 2)])]);
    assert_eq!(chain.figures.migrations, 2);
    assert_eq!(chain.figures.pdm, 0.0032);
}

#[test]
fn a_step_waits_for_what_it_needs_and_for_no_more() {
    let csv = "vm,cores,mhz,mem_mb,t0\na,1,1000,1250,500\n";
    let wake = act(Act::Wake(HostId(1)));
    let sleep = act(Act::Sleep(HostId(0)));
    let day = played(
        Rules::Honest,
        csv,
        &[0],
        vec![(0, vec![wake, Step { needs: vec![0], ..go(0, 1) }, Step { needs: vec![1], ..sleep }])],
    );
    // h0: 100 s at 500 MIPS, 10 s at 550, 20 s at idle watts. h1: 100 s full, 10 s at 50, 190 s at 500 MIPS.
    let h0 = 130.0 * 3600.0 + 3.6 * (100.0 * 500.0 + 10.0 * 550.0);
    let h1 = 100.0 * 7200.0 + 200.0 * 3600.0 + 3.6 * (10.0 * 50.0 + 190.0 * 500.0);
    assert_eq!(day.figures.energy_kwh, ((h0 + h1) / 3.6e6 * 1000.0_f64).round() / 1000.0);
    assert_eq!((day.figures.migrations, day.figures.wakes, day.figures.sleeps), (1, 1, 1));
}

#[test]
fn orders_that_have_not_begun_are_forgotten_when_new_ones_come() {
    let csv = "vm,cores,mhz,mem_mb,t0,t300\na,1,1000,1200,100,100\nb,1,1000,1200,100,100\nc,1,1000,1,0,0\n";
    let orders = vec![(0, vec![go(0, 1)]), (1, vec![go(1, 2)])];
    assert_eq!(played(Rules::Honest, csv, &[0, 1, 2], orders).figures.migrations, 1);
}

#[test]
fn there_and_back_within_an_hour_is_thrash() {
    let csv = "vm,cores,mhz,mem_mb,t0,t300,t600\na,1,1000,1250,0,0,0\nb,1,1000,1,0,0,0\n";
    let orders = vec![(0, vec![go(0, 1)]), (1, vec![go(0, 0)])];
    let day = played(Rules::Honest, csv, &[0, 1], orders);
    assert_eq!((day.figures.migrations, day.figures.thrash), (2, 1));
    let onward = vec![(0, vec![go(0, 1)]), (1, vec![act(Act::Wake(HostId(2)))]), (2, vec![go(0, 2)])];
    let day = played(Rules::Honest, csv, &[0, 1], onward);
    assert_eq!((day.figures.migrations, day.figures.thrash), (2, 0));
}

#[test]
fn under_churn_a_vm_is_stopped_at_its_second_zero_and_started_again_above_it() {
    let csv = "vm,cores,mhz,mem_mb,t0,t300,t600,t900\na,1,1000,100,500,0,0,500\nb,1,1000,100,500,0,500,0\n";
    let day = played(Rules::Churn, csv, &[0, 0], vec![]);
    // a is away in the third step only, b never; nobody waits, for there is room at once.
    assert_eq!(day.figures.waiting_vm_min, 0.0);
    assert_eq!(day.figures.unserved_mips_s, 0.0);
    let demand: Vec<f64> = day.series.rows.iter().map(|row| row.demand).collect();
    assert_eq!(demand, [1000.0, 0.0, 500.0, 500.0]);
    // Seven VM-steps of 300 s.
    let one_move = played(Rules::Churn, csv, &[0, 1], vec![(0, vec![go(0, 1)])]);
    assert_eq!(one_move.figures.moves_vm_day, ((86_400.0 / (7.0 * 300.0)) * 1e4_f64).round() / 1e4);
    // The same trace under the other rules: nobody is ever away.
    let honest = played(Rules::Honest, csv, &[0, 0], vec![]);
    assert!(
        honest.figures.moves_vm_day < f64::EPSILON && honest.figures.energy_kwh == day.figures.energy_kwh
    );
}

#[test]
fn a_stopped_vm_frees_its_memory_and_one_that_finds_none_waits_for_a_wake() {
    let csv = "vm,cores,mhz,mem_mb,t0,t300,t600,t900\n\
               a,1,1000,1500,500,500,500,500\nb,1,1000,1500,0,0,500,500\n";
    let waking = vec![(2, vec![act(Act::Wake(HostId(1)))])];
    // b stood on h1, is stopped, h1 goes to sleep; at 600 s b wants to run and there is no room beside a.
    let orders = [vec![(1, vec![act(Act::Sleep(HostId(1)))])], waking].concat();
    let day = played(Rules::Churn, csv, &[0, 1], orders);
    assert_eq!((day.figures.wakes, day.figures.sleeps), (1, 1));
    // It waits for 100 s, and 500 MIPS are not served meanwhile.
    assert_eq!(day.figures.waiting_vm_min, 1.67);
    assert_eq!(day.figures.unserved_mips_s, 50_000.0);
    // a runs for 1,200 s, b (waiting or not) for 300 and 600.
    assert_eq!(day.figures.waiting_share, 0.047_619);
}

#[test]
fn who_comes_back_within_window_churn_does_not_wait_for_a_boot() {
    // b is away from 600 to 1500 s.
    let csv = "vm,cores,mhz,mem_mb,t0,t300,t600,t900,t1200,t1500\n\
               a,1,1000,1500,100,100,100,100,100,100\nb,1,1000,1500,100,0,0,0,0,100\n";
    let waited = |window: &str| {
        let knobs = format!("failover=0 spare.min=0 spare.target=0 window.churn={window}");
        let (fleet, trace) = (fleet(&format!("{HOSTS}policy balanced {knobs}\n")), trace(csv));
        let mut balanced = named("balanced", &fleet, &[]).expect("ours");
        let day = Replay::new(&fleet, &trace, Rules::Churn).expect("fits").run(&mut *balanced, |_| {});
        assert_eq!(day.figures.violations, [""; 0]);
        (day.figures.sleeps, day.figures.waiting_vm_min)
    };
    assert_eq!(waited("0"), (1, 1.67));
    assert_eq!(waited("10m"), (1, 1.67));
    assert_eq!(waited("1h"), (0, 0.0));
}

#[test]
fn a_vm_that_is_stopped_while_it_moves_is_stopped() {
    let csv = "vm,cores,mhz,mem_mb,t0,t300\na,1,1000,1250,0,0\nb,1,1000,1,500,500\n";
    let slow = "host h[0-2] cpus=1 mem=2000M watts=3600/7200/0 link=10M\n";
    let mut script = Script { places: vec![0, 1], orders: BTreeMap::new() };
    script.orders.insert(0, vec![go(0, 1)]);
    let (fleet, trace) = (fleet(slow), trace(csv));
    let day = Replay::new(&fleet, &trace, Rules::Churn).expect("fits").run(&mut script, |_| {});
    assert_eq!(day.figures.violations, [""; 0]);
    assert_eq!(day.figures.migrations, 1);
    // 1,000 s on this link, but the second zero comes after 300.
    assert_eq!(day.series.rows[1].demand, 500.0);
}

#[test]
fn what_fits_nowhere_is_said_before_anything_is_played() {
    let fleet = fleet(HOSTS);
    let said = |csv: &str| {
        let trace = trace(csv);
        Replay::new(&fleet, &trace, Rules::Honest).map(|_| ()).expect_err("refused").to_string()
    };
    assert_eq!(
        said("vm,cores,mhz,mem_mb,t0\na,1,1000,2001,0\n"),
        "VM `a` wants 2001 MiB, and the largest host of fleet c has 2000 MiB for one VM"
    );
}

#[test]
fn the_auditor_counts_for_itself() {
    let fleet = fleet(HOSTS);
    let vm = VmNow { mem: Mib(1500), limit: 1000, demand: 0, place: Place::Waiting };
    let mut world = World::new(&fleet, vec![vm.clone(), vm]);
    world.set_place(VmId(0), Place::On(HostId(0)));
    world.audit();
    assert_eq!(world.violations, [""; 0]);
    world.set_place(VmId(1), Place::On(HostId(0)));
    world.sleep(HostId(0));
    world.audit();
    assert_eq!(
        world.violations,
        [
            "00:00:00: VM 0 is on h0, which is not on",
            "00:00:00: VM 1 is on h0, which is not on",
            "00:00:00: h0 holds VMs of 3000 MiB in 2000 MiB"
        ]
    );
}
