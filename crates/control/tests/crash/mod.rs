//! A VM crashes, and its host says so: told, or started again there, but not for ever (V01).

use crate::common::World;
use dormouse_control::{Automation, Order, Restart, Settings};
use dormouse_model::Action;

const TWO: &str = "
cluster two
host h[1-2] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s keep-on
vm   v1@h1 vcpus=1 mem=256M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";

fn world(restart: Restart) -> World {
    of(TWO, Automation::Auto, restart)
}

fn of(text: &str, automation: Automation, restart: Restart) -> World {
    let mut world = World::with(text, Settings { automation, restart, ..Settings::default() });
    world.run(20);
    world
}

fn starts(world: &World) -> Vec<Action> {
    let start = |action: &Action| matches!(action, Action::Start { .. });
    world.acts.iter().map(|intent| intent.action).filter(start).collect()
}

#[test]
fn it_is_told_and_left_unless_the_policy_says_otherwise() {
    let mut world = world(Restart::Never);
    world.crashed.insert(0);
    world.run(600);
    assert_eq!(world.told(&["ev=vm.crashed vm=v1 at=h1"]), 1);
    assert_eq!(starts(&world), []);
}

#[test]
fn who_only_observes_or_advises_starts_nothing() {
    for automation in [Automation::Observe, Automation::Advise] {
        let mut world = of(TWO, automation, Restart::OnCrash);
        world.crashed.insert(0);
        world.run(600);
        assert_eq!((world.told(&["ev=vm.crashed vm=v1"]), starts(&world).len()), (1, 0));
    }
}

#[test]
fn it_starts_again_on_its_host_and_the_fourth_time_a_person_is_asked() {
    let mut world = world(Restart::OnCrash);
    let (vm, host) = (dormouse_model::VmId(0), world.host("h1"));
    for _ in 0..6 {
        world.crashed.insert(0);
        world.run(300);
    }
    assert_eq!(starts(&world), [Action::Start { vm, host }; 3], "{}", world.trail.join("\n"));
    assert_eq!(world.told(&["ev=vm.crashes vm=v1 times=4"]), 1);
    assert_eq!(world.told(&["ev=vm.state vm=v1", "to=failed"]), 1);
    // A new manager knows.
    world.restart();
    world.run(7200);
    assert_eq!(starts(&world).len(), 3, "{}", world.trail.join("\n"));
    // A person starts it, and may see it crash once more; it is not started in a loop all over again.
    world.crashed.clear();
    world.run(60);
    assert_eq!(world.told(&["ev=vm.state vm=v1", "from=failed to=running"]), 1, "{}", world.trail.join("\n"));
}

#[test]
fn the_first_restart_comes_at_once_and_the_next_ones_after_growing_rests() {
    let mut world = world(Restart::OnCrash);
    let mut waited = vec![];
    for count in 1..=3 {
        world.crashed.insert(0);
        let mut secs = 0;
        while starts(&world).len() < count && secs < 600 {
            world.run(1);
            secs += 1;
        }
        // Less what it takes to be seen.
        waited.push(secs / 60);
        world.run(60);
    }
    assert_eq!(waited, [0, 1, 2], "{}", world.trail.join("\n"));
}

#[test]
fn crashes_far_apart_are_no_loop() {
    let mut world = world(Restart::OnCrash);
    for _ in 0..6 {
        world.crashed.insert(0);
        world.run(1300);
    }
    assert_eq!(starts(&world).len(), 6, "{}", world.trail.join("\n"));
}

#[test]
fn no_other_host_is_woken_for_what_starts_where_it_crashed() {
    let text =
        TWO.replace(" keep-on", "").replace("h[1-2]", "h[1-3]").replace("cpu=0.02", "cpu=0.02 no-move");
    let mut world = of(&text, Automation::Auto, Restart::OnCrash);
    world.run(1200);
    assert_eq!(world.up.len(), 1, "{}", world.trail.join("\n"));
    // Another host has to be on while this one is in maintenance; the third one sleeps on.
    let host = world.host("h1");
    world.order(Order::Maintenance { host, on: true });
    world.run(5);
    world.crashed.insert(0);
    world.run(1200);
    assert_eq!(
        (starts(&world).len(), world.told(&["ev=restart.waits vm=v1"])),
        (0, 1),
        "{}",
        world.trail.join("\n")
    );
    let wakes = world.kinds().iter().filter(|kind| **kind == "wake").count();
    assert_eq!(wakes, 1, "{}", world.trail.join("\n"));
}

#[test]
fn while_another_host_is_silent_nobody_knows_that_it_runs_nowhere() {
    let mut world = world(Restart::OnCrash);
    let h2 = world.host("h2");
    world.silent.insert(h2);
    world.run(120);
    world.crashed.insert(0);
    world.run(600);
    assert_eq!(starts(&world), [], "{}", world.trail.join("\n"));
    assert_eq!(world.told(&["ev=restart.waits vm=v1", "why=may-run-there"]), 1);
    world.silent.clear();
    world.run(60);
    assert_eq!(starts(&world).len(), 1, "{}", world.trail.join("\n"));
}

#[test]
fn silence_is_no_crash_and_an_order_is_none() {
    let mut world = world(Restart::OnCrash);
    let host = world.host("h1");
    world.silent.insert(host);
    world.run(1200);
    assert_eq!(starts(&world), []);
    world.silent.clear();
    world.run(60);
    world.states.insert((host, 0), dormouse_model::DomainState::ShutOff);
    world.run(600);
    assert_eq!(starts(&world), [], "its user shut it down");
}

#[test]
fn a_host_that_dies_with_it_keeps_it() {
    let mut world = world(Restart::OnCrash);
    let host = world.host("h1");
    world.crashed.insert(0);
    world.silent.insert(host);
    world.run(1200);
    world.restart();
    world.run(1200);
    assert_eq!(starts(&world), [], "nobody saw it crash");
}
