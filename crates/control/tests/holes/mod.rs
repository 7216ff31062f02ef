//! Holes that a hostile reading found, each with the order of events that went through it.

use crate::common::{self, World};
use dormouse_control::{Automation, Event, Order, Settings};
use dormouse_model::{Action, Epoch, GuardRefusal, HostId, HostState, Millis, Mono, Outcome};

const FOUR: &str = "
cluster four
host h[1-4] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s
vm   v[1-4]@h[1-4] vcpus=1 mem=256M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";
/// Nothing to move: the first act is a sleep.
const EMPTY: &str = "
cluster empty
host h[1-3] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";

/// Three empty hosts, and a manager that waits to be told to act.
fn empty() -> World {
    World::with(EMPTY, Settings { automation: Automation::Observe, ..Settings::default() })
}

/// Runs until an act of this kind was asked for or written, and returns its host or source.
fn until(world: &mut World, kind: &str) -> HostId {
    world.order(Order::Automation(Automation::Auto));
    for _ in 0..400 {
        world.run(1);
        if let Some(intent) = world.written.values().find(|intent| intent.action.kind() == kind) {
            return intent.action.hosts()[0];
        }
    }
    panic!("no {kind}\n{}", world.trail.join("\n"));
}

fn sleeps_of(world: &World, host: HostId) -> usize {
    world.acts.iter().filter(|intent| intent.action == Action::Sleep { host }).count()
}

/// A host that ignores its off command answers healthily: that must not earn it a third, a fourth, a hundredth try.
#[test]
fn health_is_no_excuse_for_a_host_that_never_went() {
    let mut world = World::new(FOUR);
    world.stubborn = world.cluster.host_ids().collect();
    world.run(3000);
    let aside: Vec<_> = ["h1", "h2", "h3", "h4"]
        .into_iter()
        .filter(|name| world.state(name) == HostState::SetAside)
        .collect();
    assert!(!aside.is_empty(), "{}", world.trail.join("\n"));
    world.restart();
    world.run(3600);
    for name in &aside {
        assert_eq!(world.state(name), HostState::SetAside, "the cause outlives the manager");
        assert_eq!(sleeps_of(&world, world.host(name)), 2, "{name}");
    }
    let first = world.host(aside[0]);
    *world.boots.entry(first).or_default() += 1;
    world.run(700);
    assert_ne!(world.state(aside[0]), HostState::SetAside, "a new boot proves that it went");
    if let Some(second) = aside.get(1) {
        world.order(Order::Clear { host: world.host(second) });
        world.run(1);
        assert_ne!(world.state(second), HostState::SetAside, "a person clears it");
    }
}

/// Another leader was at this guard since: the refusal by epoch is an alarm, and whoever hears it acts no more until the
/// store says again that it leads (fault C02). A host of another cluster is an alarm, too.
#[test]
fn a_leader_that_was_overtaken_hears_it_from_the_guard() {
    let refusal = |reason| Outcome::Refused(vec![reason]);
    let mut world = empty();
    world.next_outcome.insert("sleep", refusal(GuardRefusal::Epoch(Epoch(7))));
    until(&mut world, "sleep");
    world.run(60);
    let acts = world.acts.len();
    assert_eq!(world.trail_of(&["ev=fenced host=h"]).lines().count(), 1, "{}", world.trail.join("\n"));
    assert_eq!(world.controller.epoch(), None);
    world.run(600);
    assert_eq!(world.acts.len(), acts, "it leads no more");
    world.send(Event::Leads { epoch: Epoch(8), until: Mono(u64::MAX) });
    world.run(1200);
    assert!(world.acts.len() > acts, "{}", world.trail.join("\n"));

    let mut world = empty();
    world.next_outcome.insert("sleep", refusal(GuardRefusal::Cluster));
    until(&mut world, "sleep");
    world.run(2);
    assert_eq!(world.trail_of(&["ev=host.other-cluster"]).lines().count(), 1);
}

/// A call may be held up for minutes on its way: the host obeys it for half a minute of its own uptime (fault C02). Refused
/// so it is tried again like any call that failed, since it was no reason of the host's.
#[test]
fn an_off_command_is_good_for_half_a_minute() {
    let mut world = empty();
    world.next_outcome.insert("sleep", Outcome::Refused(vec![GuardRefusal::Late]));
    let host = until(&mut world, "sleep");
    let off = world.acts.last().expect("it was sent").clone();
    let good_until = off.good_until.expect("an off command has a bound");
    assert_eq!(good_until.uptime, world.now.mono.since(Mono::ZERO) + Millis::from_secs(30));
    world.run(300);
    assert_eq!(world.trail_of(&["ev=guard.refused", "came too late"]).lines().count(), 1);
    let again = world.acts.iter().filter(|act| act.action == Action::Sleep { host });
    assert_eq!(again.count(), 2, "{}", world.trail.join("\n"));
}

/// A manager dies with an off command in its hand: until that is void, the next one puts nobody to sleep.
#[test]
fn nobody_sleeps_while_an_off_command_of_the_manager_before_may_still_come() {
    let mut world = empty();
    world.mute = true;
    until(&mut world, "sleep");
    world.mute = false;
    let before = world.acts.len();
    world.restart();
    world.run(29);
    assert_eq!(world.acts.len(), before, "{}", world.trail.join("\n"));
    world.run(900);
    assert!(world.acts.len() > before, "{}", world.trail.join("\n"));
}

/// A manager dies while it empties a host, and the next one is paused at once: no plan comes to open the host again.
#[test]
fn a_host_is_not_left_drained_when_its_plan_died_with_the_manager() {
    let mut world = World::new(FOUR);
    world.mute = true;
    let host = until(&mut world, "migrate");
    let name = world.cluster.hosts[host.index()].name.clone();
    assert_eq!(world.state(&name), HostState::Draining);
    world.restart();
    world.order(Order::Pause { until: None });
    world.run(120);
    assert_eq!(world.state(&name), HostState::On, "{}", world.trail.join("\n"));
}

/// Maintenance is set while the intent of the off command is being written.
#[test]
fn a_word_between_intent_and_effect_is_heard() {
    let mut world = empty();
    world.held = Some(vec![]);
    let host = until(&mut world, "sleep");
    world.order(Order::Maintenance { host, on: true });
    world.release();
    assert_eq!(sleeps_of(&world, host), 0, "{}", world.trail.join("\n"));
}

/// The goal changes while the intents of a plan are being written: the dropped plan starts nothing more.
#[test]
fn a_dropped_plan_starts_nothing_even_when_it_was_written() {
    let mut world = empty();
    world.held = Some(vec![]);
    until(&mut world, "sleep");
    world.order(Order::Normalise);
    world.run(2);
    world.release();
    world.run(60);
    assert_eq!(world.acts, [], "{}", world.trail.join("\n"));
}

/// The store answers neither yes nor no. The plan does not wait for ever, and a late yes starts nothing.
#[test]
fn a_store_that_says_nothing_is_a_store_that_refuses() {
    let mut world = World::new(FOUR);
    world.held = Some(vec![]);
    until(&mut world, "migrate");
    world.run(60);
    assert_eq!(world.trail_of(&["ev=store.refuses"]).lines().count(), 1, "{}", world.trail.join("\n"));
    world.release();
    assert_eq!(world.acts, []);
    world.run(400);
    assert_eq!(
        world.kinds().iter().filter(|kind| **kind == "sleep").count(),
        3,
        "{}",
        world.trail.join("\n")
    );
}

/// Hosts are not marked draining, and plans not made every second, for as long as the store refuses.
#[test]
fn a_full_store_does_not_make_hosts_flap() {
    let mut world = World::new(FOUR);
    world.store_full = true;
    world.run(600);
    assert_eq!(world.trail_of(&["to=draining"]), "", "nothing is begun before its intent is durable");
    assert!(world.trail_of(&["plan.made"]).lines().count() <= 5, "{}", world.trail_of(&["plan.made"]));
}

/// A wake is repeated by whoever leads, not by who led when it was first sent.
#[test]
fn who_does_not_lead_writes_no_intent() {
    let mut world =
        World::new("cluster one\nhost h[1-2] cpus=2 mem=2048M boot=20s\nasleep h2\npolicy balanced\n");
    world.run(30);
    let h2 = world.host("h2");
    world.deaf.insert(h2);
    world.order(Order::Wake { host: h2 });
    world.send(Event::Deposed);
    let written = world.written.len();
    world.run(1000);
    assert_eq!(world.written.len(), written, "{}", world.trail.join("\n"));
}

/// `apply` is said while all is automatic, and does nothing; hours later automation is turned down to advice.
#[test]
fn an_old_apply_does_not_carry_out_new_advice() {
    let mut world = World::new(FOUR);
    world.order(Order::Apply);
    world.order(Order::Automation(Automation::Advise));
    world.run(400);
    assert_eq!(world.acts, []);
}

/// The host is gone before the guard's word arrives: it is `unknown` by then, and must still be woken some day.
#[test]
fn the_guards_word_after_silence_is_not_lost() {
    let mut world = empty();
    world.mute = true;
    let host = until(&mut world, "sleep");
    let intent = world.acts[0].id;
    world.up.remove(&host);
    world.run(60);
    world.mute = false;
    let name = world.cluster.hosts[host.index()].name.clone();
    assert_eq!(world.state(&name), HostState::Unknown, "silence without a word");
    world.send(Event::Ended { intent, outcome: Outcome::Done { downtime: None } });
    world.order(Order::Normalise);
    world.run(120);
    assert_eq!(world.state(&name), HostState::On, "{}", world.trail.join("\n"));
}

/// A host dies in the middle of a move and a person says that it is off: the move ends, and holds nothing any longer.
#[test]
fn a_move_ends_when_one_end_is_said_to_be_off() {
    let mut world = World::new(FOUR);
    world.mute = true;
    let from = until(&mut world, "migrate");
    world.silent.insert(from);
    let moves: Vec<_> = world.acts.iter().map(|intent| intent.id).collect();
    for id in moves {
        world.send(Event::Ended { intent: id, outcome: Outcome::Unsure("cut".to_owned()) });
    }
    world.order(Order::Pause { until: None });
    world.run(200);
    assert!(
        world.controller.in_flight().any(|intent| intent.action.hosts()[0] == from),
        "an unseen end is waited for"
    );
    world.order(Order::SayOff { host: from });
    world.run(60);
    assert_eq!(world.controller.in_flight().count(), 0, "{}", world.trail.join("\n"));
}

/// After the guard's word the host answers, but with nonsense: an answer is no silence.
#[test]
fn only_silence_is_sleep() {
    let mut world = empty();
    world.stubborn = world.cluster.host_ids().collect();
    let host = until(&mut world, "sleep");
    world.garbled.insert(host);
    world.run(250);
    let name = world.cluster.hosts[host.index()].name.clone();
    assert_ne!(world.state(&name), HostState::Asleep, "{}", world.trail.join("\n"));
}

/// One host claims a VM of 2^64 MiB: sums of memory must not end the manager.
#[test]
fn a_host_that_lies_about_sizes_is_not_believed() {
    let mut world = World::new(FOUR);
    let h2 = world.host("h2");
    world.boasts.insert(h2);
    world.run(400);
    assert_eq!(world.state("h2"), HostState::Unknown, "its answers make no sense");
    assert!(world.now.mono.since(common::START) >= Millis::from_secs(400));
}
