//! VMs that are not simply running: paused, removed by their users, or held by a move that neither goes on nor ends.

use crate::common::World;
use dormouse_control::{Automation, Event, Order, Settings};
use dormouse_model::{Action, DomainState, HostId, HostState, Millis, Outcome, OutcomeError, VmId, VmState};

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
    let aborts = world.trail_of(&["abort "]).lines().count();
    assert!((2..=10).contains(&aborts), "an order that is lost is repeated, once a minute: {aborts}");
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

/// A backup runs on v1 all night (fault V08): its host stays on, and after four hours somebody is told, once.
#[test]
fn a_backup_that_does_not_end_keeps_its_host_on_and_is_told() {
    let mut world = three();
    let h1 = world.host("h1");
    world.backups = true;
    world.jobs.insert(0);
    world.order(Order::Automation(Automation::Auto));
    world.run(3 * 3600);
    assert!(world.trail_of(&["vm.job-long"]).is_empty(), "{}", world.trail.join("\n"));
    world.run(3 * 3600);
    assert_eq!(world.trail_of(&["ev=vm.job-long vm=v1"]).lines().count(), 1);
    let disturbs = |action: Action| action == Action::Sleep { host: h1 } || action.vm() == Some(VmId(0));
    assert!(!world.acts.iter().any(|intent| disturbs(intent.action)), "{}", world.trail.join("\n"));
    world.jobs.clear();
    world.run(60);
    assert_eq!(world.trail_of(&["alarm.over alarm=vm.job-long"]).lines().count(), 1);
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

/// A move of v1 from h1 to h3 whose driver lost its word, and what both ends then show.
fn half_done(source: Option<DomainState>, destination: Option<DomainState>) -> World {
    half_done_in(three(), source, destination)
}

fn half_done_in(mut world: World, source: Option<DomainState>, destination: Option<DomainState>) -> World {
    let (h1, h3) = (world.host("h1"), world.host("h3"));
    world.mute = true;
    world.order(Order::Move { vm: VmId(0), to: h3 });
    world.run(1);
    shows(&mut world, source, destination);
    let intent = world.acts[0].id;
    assert_eq!(world.acts[0].action, Action::Migrate { vm: VmId(0), from: h1, to: h3 });
    world.send(Event::Ended { intent, outcome: Outcome::Unsure("the link died".to_owned()) });
    world
}

fn shows(world: &mut World, source: Option<DomainState>, destination: Option<DomainState>) {
    for (name, state) in [("h1", source), ("h3", destination)] {
        let host = world.host(name);
        world.vms.entry(host).or_default().remove(&0);
        if let Some(state) = state {
            world.vms.entry(host).or_default().insert(0);
            world.states.insert((host, 0), state);
        }
    }
}

fn asked_to_settle(world: &World) -> usize {
    world.trail_of(&["settle "]).lines().count()
}

/// The link dies in the hand-over (fault M04): every way in which both ends can then be found.
#[test]
fn a_move_found_half_done_is_set_right_only_where_that_is_safe() {
    use DomainState::{PausedMigrating, Running};
    let (h1, h3) = (HostId(0), HostId(2));

    // Paused at its source, running at its destination: the source is dropped, and it is done.
    let mut world = half_done(Some(PausedMigrating), Some(Running));
    world.run(5);
    assert_eq!(asked_to_settle(&world), 1, "{}", world.trail.join("\n"));
    shows(&mut world, None, Some(Running));
    world.run(40);
    assert_eq!(vm(&world, 0), VmState::Running { at: h3 });
    assert!(world.trail_of(&["step.end"]).contains("outcome=done"));

    // Paused at its source, and nothing at its destination: the source is resumed, and it has failed.
    let mut world = half_done(Some(PausedMigrating), None);
    world.run(5);
    assert_eq!(asked_to_settle(&world), 1, "{}", world.trail.join("\n"));
    shows(&mut world, Some(Running), None);
    world.run(40);
    assert_eq!(vm(&world, 0), VmState::Running { at: h1 });
    assert!(world.trail_of(&["step.end"]).contains("outcome=failed"));

    // Running at its destination, and a definition is left at its source (fault M21): the driver is asked to remove it, once,
    // and it is done whether that is granted or not.
    for left in [None, Some(DomainState::ShutOff)] {
        let mut world = half_done(Some(DomainState::ShutOff), Some(Running));
        world.run(1);
        assert_eq!(asked_to_settle(&world), 1, "{}", world.trail.join("\n"));
        shows(&mut world, left, Some(Running));
        world.run(40);
        assert_eq!(asked_to_settle(&world), 1, "{}", world.trail.join("\n"));
        assert_eq!(vm(&world, 0), VmState::Running { at: h3 });
        assert!(world.trail_of(&["step.end"]).contains("outcome=done"));
    }

    // Running at both: nobody touches anything; an alarm, and neither host is put to sleep.
    let mut world = half_done(Some(Running), Some(Running));
    world.mute = false;
    world.order(Order::Automation(Automation::Auto));
    world.run(1200);
    assert_eq!(vm(&world, 0), VmState::Conflict { hosts: vec![h1, h3] });
    assert_eq!((asked_to_settle(&world), world.trail_of(&["abort "]).as_str()), (0, ""));
    let told = world.trail_of(&["vm=v1"]);
    assert!(told.contains("to=conflict at=h1,h3"), "{told}");
    let slept = |host| world.acts.iter().any(|intent| intent.action == Action::Sleep { host });
    assert!(!slept(h1) && !slept(h3), "{}", world.trail.join("\n"));

    // An end that is not seen: wait, with an alarm; nothing is done before it is.
    let mut world = half_done(Some(PausedMigrating), Some(Running));
    world.silent.insert(h3);
    world.send(Event::Tick);
    world.run(300);
    let before = asked_to_settle(&world);
    assert!(before <= 1, "{}", world.trail.join("\n"));
    world.run(600);
    assert_eq!(asked_to_settle(&world), before, "nothing more while it is silent");
    assert_eq!(vm(&world, 0), VmState::Conflict { hosts: vec![h1, h3] });
}

/// Held at its source, nothing at its destination, and a third host that refuses every look at once: it may run there. Nothing
/// is done, the host is named, and it is not stared at (a refused look costs nothing, so it could be asked for ever).
#[test]
fn a_held_vm_waits_for_the_host_that_nobody_hears_and_names_it() {
    let mut world = three();
    let h2 = world.host("h2");
    world.silent.insert(h2);
    let mut world = half_done_in(world, Some(DomainState::PausedMigrating), None);
    world.run(300);
    assert_eq!(asked_to_settle(&world), 0, "{}", world.trail.join("\n"));
    assert_eq!(world.trail_of(&["ev=vm.held vm=v1", "unheard=h2"]).lines().count(), 1);
    let looks = world.looks[&h2];
    assert!((320 / 15..=320 / 15 + 6).contains(&looks), "{looks} looks within 320 s");
    world.silent.remove(&h2);
    world.run(40);
    assert_eq!(asked_to_settle(&world), 1, "{}", world.trail.join("\n"));
    shows(&mut world, Some(DomainState::Running), None);
    world.run(40);
    assert_eq!(world.trail_of(&["alarm.over alarm=vm.held"]).lines().count(), 1);
}

/// A move that ran into its deadline is not tried again every few minutes; another VM makes room instead (fault M05).
#[test]
fn a_guest_that_writes_too_fast_is_left_alone_for_an_hour() {
    let moves = |world: &World, vm| world.acts.iter().filter(|intent| intent.action.vm() == Some(vm)).count();
    let late = || {
        let mut world = three();
        let late = Outcome::Failed(OutcomeError::Deadline(Millis::from_secs(60)));
        world.next_outcome.insert("migrate", late);
        world.order(Order::Move { vm: VmId(0), to: HostId(2) });
        world.run(10);
        world
    };
    let mut world = late();
    for _ in 0..5 {
        world.run(600);
        world.order(Order::Move { vm: VmId(0), to: HostId(2) });
    }
    assert_eq!(moves(&world, VmId(0)), 1, "{}", world.trail.join("\n"));
    world.run(700);
    world.order(Order::Move { vm: VmId(0), to: HostId(2) });
    world.run(5);
    assert_eq!(moves(&world, VmId(0)), 2, "{}", world.trail.join("\n"));

    let mut world = late();
    world.order(Order::Automation(Automation::Auto));
    world.run(1200);
    assert_eq!((moves(&world, VmId(0)), moves(&world, VmId(1))), (1, 1), "{}", world.trail.join("\n"));
    assert_eq!(vm(&world, 1), VmState::Running { at: HostId(0) });
}

/// The guest shut down while it moved (fault M16): it is gone, told once, and not started again by us.
#[test]
fn a_guest_that_ends_while_it_moves_is_gone_and_stays_gone() {
    let mut world = half_done(None, None);
    world.mute = false;
    world.order(Order::Automation(Automation::Auto));
    world.run(1200);
    assert_eq!(world.trail_of(&["ev=vm.gone vm=v1"]).lines().count(), 1, "{}", world.trail.join("\n"));
    assert_eq!(vm(&world, 0), VmState::Stopped);
    assert!(!world.acts.iter().any(|intent| matches!(intent.action, Action::Start { .. })));
}

/// Two people send a VM each to the last free place of one host (fault M12): one gets it.
#[test]
fn one_place_is_given_once() {
    let text = THREE.replace("mem=256M", "mem=1280M");
    let mut world = World::with(&text, Settings { automation: Automation::Observe, ..Settings::default() });
    world.run(20);
    let h3 = world.host("h3");
    world.mute = true;
    world.order(Order::Move { vm: VmId(0), to: h3 });
    world.order(Order::Move { vm: VmId(1), to: h3 });
    world.run(50);
    assert_eq!(world.kinds(), ["migrate"], "{}", world.trail.join("\n"));
    assert!(
        !world.trail_of(&["order.refused"]).is_empty()
            || world.trail_of(&["plan.asked"]).lines().count() == 1
    );
}

/// The guard agreed and the host came back instead of going (fault P21): it is what it is seen to be, and not `asleep`.
#[test]
fn a_host_that_reboots_instead_of_going_off_is_on() {
    let mut world = three();
    let h3 = world.host("h3");
    world.stubborn.insert(h3);
    world.order(Order::Sleep { host: h3 });
    world.run(10);
    assert_eq!(world.state("h3"), HostState::Stopping, "{}", world.trail.join("\n"));
    *world.boots.entry(h3).or_default() += 1;
    world.run(10);
    assert_eq!(world.state("h3"), HostState::On);
    let told = world.trail_of(&["host=h3"]);
    assert!(told.contains("from=stopping to=on cause=rebooted") && !told.contains("to=asleep"), "{told}");
}
