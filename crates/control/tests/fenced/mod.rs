//! A host dies, a person says so, and its VMs run again elsewhere: once, and never before (faults I3, P08, P18, M01).

use crate::common::World;
use dormouse_control::{Automation, Order, Settings};
use dormouse_model::{Action, HostState, Outcome};

/// Nothing is planned here: what is done follows from the person's word.
const FOUR: &str = "
cluster four
host h[1-4] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s
vm   v[1-4]@h[1-4] vcpus=1 mem=512M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";

fn four(text: &str) -> World {
    let mut world = World::with(text, Settings { automation: Automation::Observe, ..Settings::default() });
    world.run(20);
    world
}

/// Its power is cut: what ran there runs no more.
fn dies(world: &mut World, name: &str) {
    let host = world.host(name);
    world.up.remove(&host);
    world.vms.remove(&host);
}

fn returns(world: &mut World, name: &str) {
    let host = world.host(name);
    world.up.insert(host);
    *world.boots.entry(host).or_default() += 1;
}

fn fence(world: &mut World, name: &str) {
    let host = world.host(name);
    world.order(Order::Fence { host });
}

fn starts(world: &World) -> Vec<String> {
    let of = |action| match action {
        Action::Start { vm, host } => {
            Some(format!("{}@{}", world.cluster.vms[vm.index()].name, world.cluster.hosts[host.index()].name))
        }
        _ => None,
    };
    world.acts.iter().filter_map(|intent| of(intent.action)).collect()
}

#[test]
fn silence_starts_nothing_and_a_persons_word_does() {
    let mut world = four(FOUR);
    dies(&mut world, "h1");
    world.run(3600);
    assert_eq!(world.state("h1"), HostState::Unknown);
    assert_eq!(starts(&world), Vec::<String>::new(), "silence is not death");
    fence(&mut world, "h1");
    world.run(20);
    assert_eq!(world.state("h1"), HostState::Off);
    assert_eq!(starts(&world).len(), 1, "{}", world.trail.join("\n"));
    assert!(world.trail_of(&["ev=vm.restarted vm=v1 from=h1 at=h"]).lines().count() == 1);
    world.run(600);
    assert_eq!(starts(&world).len(), 1, "once");
}

#[test]
fn only_a_host_that_is_silent_can_be_fenced() {
    let mut world = four(FOUR);
    fence(&mut world, "h1");
    let why = "h1: it is on; a host is fenced only when it is silent";
    assert!(world.trail_of(&["order.refused"]).contains(why), "{}", world.trail.join("\n"));
    let h2 = world.host("h2");
    world.garbled.insert(h2);
    world.run(60);
    assert_eq!(world.state("h2"), HostState::Unknown);
    fence(&mut world, "h2");
    assert!(world.trail_of(&["order.refused"]).contains("something answers there"));
    assert_eq!(world.state("h2"), HostState::Unknown);
}

/// Two hosts are silent and one of them is proved off: what ran there may have gone to the other meanwhile.
#[test]
fn another_silent_host_may_hold_the_vm() {
    let mut world = four(FOUR);
    dies(&mut world, "h1");
    let h2 = world.host("h2");
    world.silent.insert(h2);
    world.run(60);
    fence(&mut world, "h1");
    world.run(600);
    assert_eq!(starts(&world), Vec::<String>::new());
    let waits = world.trail_of(&["ev=restart.waits"]);
    assert!(waits.contains("vm=v1") && waits.contains("why=may-run-there hosts=h2"), "{waits}");
    assert_eq!(waits.lines().count(), 1, "told once");
    world.silent.clear();
    world.run(60);
    assert_eq!(starts(&world).len(), 1, "{}", world.trail.join("\n"));
    assert!(world.trail_of(&["ev=alarm.over alarm=restart.waits"]).contains("v1"));
}

#[test]
fn what_does_not_fit_is_told_and_gets_a_host_woken() {
    let full = FOUR.replace("h[1-4] vcpus", "h[1,2,3,1] vcpus").replace("mem=512M", "mem=1536M");
    let mut world = four(&format!("{full}asleep h4\n").replace("mem=2048M", "mem=3072M"));
    dies(&mut world, "h1");
    world.run(60);
    fence(&mut world, "h1");
    world.run(200);
    assert_eq!(starts(&world).len(), 2, "{}", world.trail.join("\n"));
    let mut world = four(&full.replace("policy", "asleep h4\npolicy"));
    dies(&mut world, "h1");
    world.run(60);
    fence(&mut world, "h1");
    world.run(5);
    assert!(world.trail_of(&["restart.waits"]).contains("why=no-room"), "{}", world.trail.join("\n"));
    world.run(300);
    assert_eq!(world.kinds(), ["wake", "start"], "one fits on the woken host, one does not");
    assert_eq!(world.trail_of(&["alarm.over alarm=restart.waits"]).lines().count(), 1);
}

#[test]
fn the_word_is_over_when_the_host_is_seen_again() {
    let mut world = four(FOUR);
    dies(&mut world, "h1");
    world.run(60);
    world.order(Order::Pause { until: None });
    fence(&mut world, "h1");
    world.run(60);
    assert_eq!(starts(&world), Vec::<String>::new(), "a pause holds this back, too");
    assert!(world.trail_of(&["restart.waits"]).contains("why=paused"));
    returns(&mut world, "h1");
    world.run(80);
    assert!(world.trail_of(&["ev=fence.over"]).contains("host=h1 boot=new"), "{}", world.trail.join("\n"));
    assert_eq!(world.state("h1"), HostState::On);
    world.order(Order::Resume);
    world.run(20);
    // Seen without it by a look of its new boot: that is proof, too.
    assert_eq!(starts(&world).len(), 1);
}

/// The person was wrong: the host was cut off, not dead, and shows up with its VM before anything was started.
#[test]
fn a_wrong_word_that_shows_in_time_does_no_harm() {
    let mut world = four(FOUR);
    let h1 = world.host("h1");
    world.silent.insert(h1);
    world.run(60);
    world.order(Order::Pause { until: None });
    fence(&mut world, "h1");
    world.run(20);
    world.silent.clear();
    world.run(80);
    assert!(world.trail_of(&["ev=fence.over"]).contains("host=h1 boot=same"));
    world.order(Order::Resume);
    world.run(120);
    assert_eq!(starts(&world), Vec::<String>::new(), "{}", world.trail.join("\n"));
}

#[test]
fn a_manager_that_restarts_still_knows_the_dead_hosts_vms() {
    let mut world = four(FOUR);
    dies(&mut world, "h1");
    world.run(60);
    world.restart();
    world.run(60);
    assert_eq!(world.state("h1"), HostState::Unknown);
    fence(&mut world, "h1");
    world.run(20);
    assert_eq!(starts(&world).len(), 1, "{}", world.trail.join("\n"));
}

#[test]
fn a_debt_outlives_the_manager() {
    let mut world = four(FOUR);
    dies(&mut world, "h1");
    world.run(60);
    world.order(Order::Pause { until: None });
    fence(&mut world, "h1");
    world.restart();
    world.order(Order::Resume);
    world.run(60);
    assert_eq!(starts(&world).len(), 1, "{}", world.trail.join("\n"));
}

/// A start whose answer is lost may have worked: it is believed undone only when it was looked for long enough.
#[test]
fn a_start_without_an_answer_is_looked_for_and_never_doubled() {
    let mut world = four(FOUR);
    dies(&mut world, "h1");
    world.run(60);
    world.next_outcome.insert("start", Outcome::Unsure("no answer".into()));
    fence(&mut world, "h1");
    world.run(50);
    assert_eq!(starts(&world).len(), 1);
    world.run(400);
    let starts = starts(&world);
    assert_eq!(starts.len(), 2, "{}", world.trail.join("\n"));
    assert_eq!(starts[0], starts[1], "where it may have been started it is tried again first");
}

/// The manager dies while a start is under way, and the next one finds it done.
#[test]
fn a_start_under_way_is_adopted() {
    let mut world = four(FOUR);
    dies(&mut world, "h1");
    world.run(60);
    world.mute = true;
    fence(&mut world, "h1");
    world.run(3);
    assert_eq!(starts(&world).len(), 1);
    let Action::Start { vm, host } = world.acts[0].action else { panic!("a start") };
    world.vms.entry(host).or_default().insert(vm.index());
    world.restart();
    world.run(200);
    assert_eq!(starts(&world).len(), 1, "{}", world.trail.join("\n"));
    assert_eq!(world.trail_of(&["ev=vm.restarted"]).lines().count(), 1);
}

/// A VM bound to its host by its disk cannot be started elsewhere: it is told, not tried.
#[test]
fn what_is_bound_to_its_host_is_told() {
    let mut world = four(&FOUR.replace("cpu=0.02", "cpu=0.02 local-disk"));
    dies(&mut world, "h1");
    world.run(60);
    fence(&mut world, "h1");
    world.run(60);
    assert_eq!(starts(&world), Vec::<String>::new());
    assert!(world.trail_of(&["restart.waits"]).contains("why=bound-to-its-host"));
}
