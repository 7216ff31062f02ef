//! VMs that are not simply running: paused, removed by their users, or held by a move that neither goes on nor ends.

use crate::common::World;
use dormouse_control::{Automation, Order, Settings};
use dormouse_model::{Action, HostState, VmId, VmState};

const THREE: &str = "
cluster three
host h[1-3] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s
vm   v[1-2]@h[1-2] vcpus=1 mem=256M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";

fn three() -> World {
    let mut world = World::with(THREE, Settings { automation: Automation::Observe, ..Settings::default() });
    world.run(20);
    world
}

fn vm(world: &World, place: u32) -> VmState {
    world.controller.snapshot(world.now).vm(VmId(place)).state.clone()
}

/// A move hangs, and ending it does nothing (fault M07): the VM is `stuck`, which is an alarm, and neither host is emptied or
/// put to sleep, not by a plan and not by an order.
#[test]
fn a_move_that_cannot_be_ended_is_stuck_and_its_hosts_stay_on() {
    let mut world = three();
    let (h1, h3) = (world.host("h1"), world.host("h3"));
    world.mute = true;
    world.order(Order::Move { vm: VmId(0), to: h3 });
    world.run(2);
    assert_eq!(world.kinds(), ["migrate"], "{}", world.trail.join("\n"));
    world.jobs.insert(0);
    world.run(600);
    assert_eq!(world.trail_of(&["abort "]).lines().count(), 1, "it was ended once");
    assert_eq!(vm(&world, 0), VmState::Stuck { from: h1, to: h3 });
    assert_eq!(world.trail_of(&["vm=v1", "to=stuck"]).matches("to=stuck").count(), 1);
    world.mute = false;
    world.order(Order::Sleep { host: h1 });
    world.order(Order::Automation(Automation::Auto));
    world.run(1200);
    let touches = |action: Action| action.hosts().iter().any(|host| *host == h1 || *host == h3);
    let sleeps = |intent: &&dormouse_model::Intent| {
        matches!(intent.action, Action::Sleep { .. }) && touches(intent.action)
    };
    assert_eq!(world.acts.iter().filter(sleeps).count(), 0, "{}", world.trail.join("\n"));
    // It comes to its end after all.
    world.jobs.clear();
    world.run(120);
    assert_eq!(vm(&world, 0).as_str(), "running", "{}", world.trail.join("\n"));
}

/// Its user removed it (fault V03): it is gone, and nothing makes it again.
#[test]
fn a_vm_that_was_removed_is_not_made_again() {
    let mut world = three();
    let h1 = world.host("h1");
    world.vms.get_mut(&h1).expect("its VMs").clear();
    world.order(Order::Automation(Automation::Auto));
    world.run(1200);
    assert_eq!(vm(&world, 0), VmState::Stopped);
    let made = world.acts.iter().any(|intent| matches!(intent.action, Action::Start { .. }));
    assert!(!made, "{}", world.trail.join("\n"));
    world.restart();
    world.run(600);
    assert_eq!(vm(&world, 0), VmState::Stopped);
    assert!(!world.acts.iter().any(|intent| matches!(intent.action, Action::Start { .. })));
}

/// Its user paused it (fault V06): it is present, so its host is not empty; it moves as it is.
#[test]
fn a_vm_that_its_user_paused_moves_and_stays_paused() {
    let mut world = three();
    let (h1, h3) = (world.host("h1"), world.host("h3"));
    world.paused.insert(0);
    world.run(20);
    assert_eq!(vm(&world, 0), VmState::Paused { at: h1 });
    world.order(Order::Move { vm: VmId(0), to: h3 });
    world.run(20);
    assert_eq!(vm(&world, 0), VmState::Paused { at: h3 }, "{}", world.trail.join("\n"));
    world.order(Order::Sleep { host: h3 });
    world.run(5);
    assert_eq!(world.state("h3"), HostState::Draining, "it is emptied first");
}
