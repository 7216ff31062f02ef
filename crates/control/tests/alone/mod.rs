//! The store is out of reach for hours: hosts are woken at the opening where that is allowed, and nothing else is done (C06).

use crate::common::World;
use dormouse_control::{Automation, Event, Settings};
use dormouse_model::{Epoch, HostState};

const NIGHT: &str = "
cluster night
host h[1-4] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s circuit=c1
circuit c1 wakes=2
vm   v[1-4]@h[1-4] vcpus=1 mem=256M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
window open Mon-Fri 14:00-19:00 goal=spread up-by=-30m
";

/// Packed at noon; from then on the lease is over and nobody says who leads.
fn packed(wake_without_quorum: bool) -> World {
    let settings = Settings { automation: Automation::Auto, wake_without_quorum, ..Settings::default() };
    let mut world = World::with(NIGHT, settings);
    world.run(900);
    assert!(asleep(&world) >= 2, "{}", world.trail.join("\n"));
    let until = world.now.mono;
    world.send(Event::Leads { epoch: Epoch(1), until });
    world
}

fn asleep(world: &World) -> usize {
    ["h1", "h2", "h3", "h4"].iter().filter(|name| world.state(name) == HostState::Asleep).count()
}

#[test]
fn hosts_are_woken_at_the_opening_and_nothing_else_is_done() {
    let mut world = packed(true);
    let (acts, sleeping) = (world.acts.len(), asleep(&world));
    world.run(30 * 60);
    assert_eq!((world.alone.len(), asleep(&world)), (0, sleeping), "not before it is time");
    world.run(70 * 60);
    assert_eq!(asleep(&world), 0, "{}", world.trail.join("\n"));
    assert_eq!(world.alone.len(), sleeping, "each once");
    assert_eq!(world.acts.len(), acts, "no move, no sleep, no start");
    assert_eq!(world.told(&["ev=alone does=wake"]), 1);
}

#[test]
fn without_the_setting_or_with_another_leader_it_keeps_still() {
    let mut world = packed(false);
    world.run(2 * 3600);
    assert_eq!(world.alone, []);
    let mut world = packed(true);
    world.send(Event::Deposed);
    world.run(2 * 3600);
    assert_eq!(world.alone, [], "another leads: it wakes them");
}

#[test]
fn a_packet_that_was_lost_is_sent_again_and_the_second_try_waits_for_the_store() {
    let mut world = packed(true);
    let sleeping: Vec<_> =
        (0..4).map(dormouse_model::HostId::at).filter(|id| !world.up.contains(id)).collect();
    world.deaf = sleeping.iter().copied().collect();
    world.run(3 * 3600);
    // Within one try three packets, as ever; a circuit of two bears no more hosts meanwhile.
    let sent = |world: &World, id| world.alone.iter().filter(|woken| **woken == id).count();
    assert!(sleeping.iter().all(|id| matches!(sent(&world, *id), 0 | 3)), "{:?}", world.alone);
    assert_eq!(world.alone.len(), 2 * 3, "{}", world.trail.join("\n"));
    world.deaf.clear();
    world.send(Event::Leads { epoch: Epoch(2), until: dormouse_model::Mono(u64::MAX) });
    world.run(1200);
    assert_eq!(asleep(&world), 0, "{}", world.trail.join("\n"));
}
