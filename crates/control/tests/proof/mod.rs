//! A silent host is proved off by its power control, or it is not; its VMs start elsewhere only then (P07, P12, P13, P18).

use crate::common::World;
use dormouse_control::{Automation, Order, Settings};
use dormouse_model::{Action, HostId, HostState, Intent};

const THREE: &str = "
cluster three
host h[1-3] cpus=2 mem=4096M watts=45/95/3 boot=60s shutdown=10s
vm   v[1-3]@h[1-3] vcpus=1 mem=512M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=10h min_up=10h
";

fn three(text: &str) -> World {
    proving(text, 3)
}

fn six() -> World {
    proving(&THREE.replace("h[1-3] cpus", "h[1-6] cpus").replace("v[1-3]@h[1-3]", "v[1-6]@h[1-6]"), 6)
}

/// All hosts have a power control that can prove them off.
fn proving(text: &str, hosts: usize) -> World {
    let provers = (0..hosts).map(HostId::at).collect();
    let settings = Settings { automation: Automation::Auto, provers, ..Settings::default() };
    let mut world = World::with(text, settings);
    world.run(20);
    world
}

fn acts(world: &World, kind: &str) -> usize {
    world.acts.iter().filter(|intent| intent.action.kind() == kind).count()
}

/// It cannot be reached any more; its VMs run on, as far as anybody knows.
fn falls_silent(world: &mut World, name: &str) -> HostId {
    let host = world.host(name);
    world.silent.insert(host);
    host
}

#[test]
fn what_is_proved_off_starts_elsewhere_once() {
    let mut world = three(THREE);
    let h1 = falls_silent(&mut world, "h1");
    world.run(90);
    assert_eq!(acts(&world, "fence"), 0, "it may be booting");
    world.run(200);
    assert!(!world.up.contains(&h1));
    assert_eq!((acts(&world, "fence"), acts(&world, "start")), (1, 1), "{}", world.trail.join("\n"));
    assert_eq!(world.state("h1"), HostState::Off);
    assert_eq!(world.told(&["ev=host.fenced host=h1 by=power-control"]), 1);
    world.run(3600);
    assert_eq!((acts(&world, "fence"), acts(&world, "start")), (1, 1), "once");
}

/// Lets time pass until a power control is asked, and leaves its answer open.
fn until_asked(world: &mut World) -> Intent {
    world.mute = true;
    for _ in 0..300 {
        world.run(1);
        if let Some(fence) = world.acts.iter().rev().find(|intent| intent.action.kind() == "fence") {
            let fence = fence.clone();
            world.mute = false;
            return fence;
        }
    }
    panic!("nobody was asked:\n{}", world.trail.join("\n"));
}

#[test]
fn one_that_answers_while_its_control_says_off_starts_nothing() {
    let mut world = three(THREE);
    let h1 = falls_silent(&mut world, "h1");
    world.lying.insert(h1);
    let fence = until_asked(&mut world);
    assert_eq!(fence.action, Action::Fence { host: h1 });
    // It comes back in the moment in which its control says off.
    world.silent.clear();
    world.answer(&fence);
    world.run(60);
    assert_eq!(acts(&world, "start"), 0, "{}", world.trail.join("\n"));
    assert_eq!((world.told(&["ev=power.lies host=h1"]), world.state("h1")), (1, HostState::On));
    // And it is not asked again for that host before a person has looked.
    falls_silent(&mut world, "h1");
    world.run(3600);
    assert_eq!((acts(&world, "fence"), acts(&world, "start")), (1, 0));
    world.lying.clear();
    world.order(Order::Clear { host: h1 });
    world.run(300);
    assert_eq!((acts(&world, "fence"), acts(&world, "start")), (2, 1), "{}", world.trail.join("\n"));
}

#[test]
fn an_answer_while_its_control_was_at_it_is_no_silence() {
    let mut world = three(THREE);
    let h1 = falls_silent(&mut world, "h1");
    world.lying.insert(h1);
    let fence = until_asked(&mut world);
    // For one look it is there; by the time its control says off, it is silent again.
    world.silent.clear();
    world.run(16);
    world.silent.insert(h1);
    world.run(16);
    world.answer(&fence);
    world.run(40);
    assert_eq!(world.told(&["ev=step.end kind=fence", "outcome=failed"]), 1, "{}", world.trail.join("\n"));
    assert_eq!((acts(&world, "start"), world.told(&["ev=host.fenced"])), (0, 0));
}

#[test]
fn no_answer_of_the_control_is_no_proof() {
    let mut world = three(THREE);
    falls_silent(&mut world, "h1");
    let _fence = until_asked(&mut world);
    world.mute = true;
    world.run(6 * 3600);
    assert_eq!((acts(&world, "fence"), acts(&world, "start")), (3, 0), "{}", world.trail.join("\n"));
    assert_eq!(world.told(&["ev=fence.fails host=h1"]), 1, "told once");
    assert_eq!(world.state("h1"), HostState::Unknown);
}

#[test]
fn one_that_comes_back_by_itself_was_switched_on_again() {
    let mut world = three(THREE);
    let h1 = falls_silent(&mut world, "h1");
    let fence = until_asked(&mut world);
    world.answer(&fence);
    // Somebody presses its button before we looked again.
    world.up.insert(h1);
    *world.boots.entry(h1).or_default() += 1;
    world.silent.clear();
    world.run(60);
    assert_eq!((acts(&world, "start"), world.told(&["ev=power.lies"])), (0, 0), "{}", world.trail.join("\n"));
    assert_eq!(world.state("h1"), HostState::On);
}

#[test]
fn a_control_that_refuses_us_is_asked_three_times_and_proves_nothing() {
    for why in ["the password is refused", "the certificate is not the pinned one"] {
        let mut world = three(THREE);
        let h1 = falls_silent(&mut world, "h1");
        world.refusing.insert(h1, why.to_owned());
        world.run(6 * 3600);
        assert_eq!((acts(&world, "fence"), acts(&world, "start")), (3, 0), "{}", world.trail.join("\n"));
        assert_eq!(world.told(&["ev=fence.fails host=h1", why]), 1, "told once");
        // A new manager does not begin anew: an account would be locked out.
        world.restart();
        world.run(3600);
        assert_eq!(acts(&world, "fence"), 3);
        // What remains is a person's word.
        world.up.remove(&h1);
        world.vms.remove(&h1);
        world.order(Order::Fence { host: h1 });
        world.run(60);
        assert_eq!(acts(&world, "start"), 1, "{}", world.trail.join("\n"));
    }
}

#[test]
fn a_new_manager_waits_as_long_as_the_one_before() {
    let mut world = three(THREE);
    falls_silent(&mut world, "h1");
    world.run(60);
    world.restart();
    world.run(90);
    assert_eq!(acts(&world, "fence"), 0, "it has seen it silent for a moment only");
    world.run(120);
    assert_eq!((acts(&world, "fence"), acts(&world, "start")), (1, 1), "{}", world.trail.join("\n"));
}

#[test]
fn a_persons_word_meanwhile_is_no_lie_of_the_control() {
    let mut world = three(THREE);
    let h1 = falls_silent(&mut world, "h1");
    let fence = until_asked(&mut world);
    world.order(Order::Fence { host: h1 });
    world.answer(&fence);
    world.run(120);
    assert_eq!((acts(&world, "start"), world.told(&["ev=power.lies"])), (1, 0), "{}", world.trail.join("\n"));
}

#[test]
fn nobody_is_fenced_who_is_in_hand_or_needed_or_empty() {
    let still = |text: &str, prepare: fn(&mut World)| {
        let mut world = three(text);
        prepare(&mut world);
        falls_silent(&mut world, "h1");
        world.run(3600);
        assert_eq!(acts(&world, "fence"), 0, "{}", world.trail.join("\n"));
    };
    still(THREE, |world| {
        let host = world.host("h1");
        world.order(Order::Maintenance { host, on: true });
    });
    still(THREE, |world| world.order(Order::Pause { until: None }));
    still(THREE, |world| world.order(Order::Automation(Automation::Advise)));
    still(&format!("{THREE}hold h1 by=ops why=\"disk swap\"\n"), |_| {});
    still(&THREE.replace("v[1-3]@h[1-3]", "v[1-2]@h[2-3]"), |_| {});
    still(&THREE.replace("host h[1-3]", "host h1 cpus=2 mem=4096M role=storage\nhost h[2-3]"), |_| {});
}

#[test]
fn many_that_vanish_at_once_are_rather_our_own_fault() {
    let mut world = six();
    for name in ["h1", "h2", "h3", "h4"] {
        falls_silent(&mut world, name);
    }
    world.run(3600);
    assert_eq!(acts(&world, "fence"), 0, "{}", world.trail.join("\n"));
}

#[test]
fn many_that_vanish_one_after_the_other_are_not_shot_one_after_the_other() {
    let mut world = six();
    for name in ["h1", "h2", "h3", "h4"] {
        falls_silent(&mut world, name);
        world.run(600);
    }
    assert_eq!(acts(&world, "fence"), 2, "{}", world.trail.join("\n"));
}
