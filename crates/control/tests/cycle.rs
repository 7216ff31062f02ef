//! The controller against a world that answers at once: what it does by itself, and what keeps it from doing it.

mod alone;
mod common;
mod crash;
mod fenced;
mod holes;
mod kept;
mod odd;
mod proof;
mod slow;
mod ways;

use common::World;
use dormouse_control::{Automation, Event, Order, Settings};
use dormouse_model::{Action, Epoch, HostId, HostState, Millis, Mono, Outcome, VmId};

const FOUR: &str = "
cluster four
host h[1-4] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s
vm   v[1-4]@h[1-4] vcpus=1 mem=256M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 window.sleep=1m min_up=0s
";

fn on(world: &World) -> usize {
    ["h1", "h2", "h3", "h4"].iter().filter(|name| world.state(name) == HostState::On).count()
}

/// Exactly one outcome for each intent that was written, and each act had its intent written before.
fn check_books(world: &World) {
    for intent in world.acts.iter() {
        assert!(world.written.contains_key(&intent.id), "{} acted without being written", intent.id);
    }
    for id in world.written.keys() {
        let outcomes = world.closed.iter().filter(|(closed, _)| closed == id).count();
        assert_eq!(outcomes, 1, "{id} has {outcomes} outcomes");
    }
}

#[test]
fn four_idle_hosts_become_one() {
    let mut world = World::new(FOUR);
    world.run(400);
    assert_eq!(on(&world), 1, "{}", world.trail.join("\n"));
    assert_eq!(world.kinds().iter().filter(|kind| **kind == "migrate").count(), 3);
    assert_eq!(world.kinds().iter().filter(|kind| **kind == "sleep").count(), 3);
    check_books(&world);
    let acts = world.acts.len();
    world.run(3600);
    assert_eq!(world.acts.len(), acts, "no load change, no further action");
}

#[test]
fn a_host_without_disk_locks_is_told_of_once() {
    let mut world = World::new(FOUR);
    world.unlocked.insert(HostId(1));
    world.run(400);
    assert_eq!(world.trail_of(&["no-disk-lock"]).lines().count(), 1, "{}", world.trail.join("\n"));
    assert!(world.controller.is_unlocked(HostId(1)) && !world.controller.is_unlocked(HostId(0)));
    world.unlocked.clear();
    world.run(400);
    world.unlocked.extend([HostId(0), HostId(1), HostId(2), HostId(3)]);
    world.run(400);
    let told = world.trail_of(&["no-disk-lock"]);
    assert!(told.lines().count() >= 2, "locks that were there and went are news: {told}");
}

#[test]
fn a_host_walks_from_on_to_asleep_along_the_table() {
    let mut world = World::new(FOUR);
    world.run(400);
    let asleep = ["h1", "h2", "h3", "h4"]
        .into_iter()
        .find(|name| world.state(name) == HostState::Asleep)
        .expect("one sleeps");
    let walk: Vec<_> = world
        .trail_of(&[&format!("ev=host.state host={asleep} ")])
        .lines()
        .map(|line| {
            let field = |key: &str| {
                line.split(key).nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("").to_owned()
            };
            format!("{} {}", field(" to="), field(" cause="))
        })
        .collect();
    assert_eq!(walk, ["draining plan", "stopping guard-agreed", "asleep guard-and-silence"]);
}

#[test]
fn observe_does_nothing_advise_tells_apply_does_it_once() {
    let mut world = World::with(FOUR, Settings { automation: Automation::Observe, ..Settings::default() });
    world.run(400);
    assert_eq!(world.acts, []);
    world.order(Order::Automation(Automation::Advise));
    world.run(60);
    assert_eq!(world.acts, []);
    assert_eq!(world.trail_of(&["plan.advised"]).lines().count(), 1, "the same advice is told once");
    world.order(Order::Apply);
    world.run(200);
    assert_eq!(on(&world), 1);
    check_books(&world);
}

#[test]
fn without_a_journal_nothing_is_done_and_with_it_again_all_is() {
    let mut world = World::new(FOUR);
    world.store_full = true;
    world.run(600);
    assert_eq!(world.acts, []);
    assert_eq!(on(&world), 4);
    assert_eq!(world.trail_of(&["ev=store.refuses"]).lines().count(), 1, "one alarm, not one a cycle");
    world.store_full = false;
    world.run(300);
    assert_eq!(on(&world), 1);
    check_books(&world);
}

#[test]
fn a_silent_host_is_unknown_and_never_switched_off() {
    let mut world = World::new(FOUR);
    let h2 = world.host("h2");
    world.silent.insert(h2);
    world.run(1000);
    assert_eq!(world.state("h2"), HostState::Unknown);
    assert!(world.acts.iter().all(|intent| !intent.action.hosts().contains(&h2)));
    assert_eq!(on(&world), 1, "the others are managed on");
    world.silent.clear();
    world.run(300);
    assert_ne!(world.state("h2"), HostState::Unknown);
}

#[test]
fn when_most_hosts_vanish_nothing_destructive_happens() {
    let mut world = World::new(FOUR);
    world.run(30); // seen once, not yet packed: too little history
    assert_eq!(world.acts, []);
    for name in ["h1", "h2", "h3"] {
        let id = world.host(name);
        world.silent.insert(id);
    }
    world.run(600);
    assert_eq!(world.acts, []);
    assert!(world.controller.is_frozen());
    world.silent.clear();
    world.run(400);
    assert!(!world.controller.is_frozen());
    assert_eq!(on(&world), 1);
}

#[test]
fn a_person_keeps_the_host_on_and_an_idle_login_does_not() {
    let mut world = World::new(FOUR);
    for name in ["h1", "h2", "h3", "h4"] {
        let id = world.host(name);
        world.people.insert(id, vec![Millis::from_mins(5)]);
    }
    world.run(600);
    assert_eq!(world.kinds().iter().filter(|kind| **kind == "sleep").count(), 0);
    assert_eq!(on(&world), 4);
}

#[test]
fn the_guard_has_the_last_word() {
    let mut world = World::new(FOUR);
    world
        .next_outcome
        .insert("sleep", Outcome::Refused(vec![dormouse_model::GuardRefusal::People { count: 2 }]));
    world.run(400);
    assert_eq!(world.trail_of(&["guard.refused"]).lines().count(), 1);
    check_books(&world);
    assert_eq!(world.trail_of(&["to=on cause=guard-refused"]).lines().count(), 1);
}

#[test]
fn who_leads_no_longer_does_nothing_more() {
    let mut world = World::new(FOUR);
    world.run(30);
    world.send(Event::Deposed);
    world.run(600);
    assert_eq!(world.acts, []);
    world.epoch = Epoch(2);
    world.send(Event::Leads { epoch: Epoch(2), until: Mono(u64::MAX) });
    world.run(300);
    assert_eq!(on(&world), 1);
    assert!(world.acts.iter().all(|intent| intent.epoch == Epoch(2)));
}

#[test]
fn a_lease_that_ends_too_soon_starts_nothing() {
    let mut world = World::new(FOUR);
    let until = world.now.mono + Millis::from_secs(30);
    world.send(Event::Leads { epoch: Epoch(1), until });
    world.run(600);
    assert_eq!(world.acts, []);
}

#[test]
fn a_manager_that_dies_in_the_middle_leaves_nothing_open() {
    for after in 1..8 {
        let mut world = World::new(FOUR);
        while world.acts.len() < after && world.now.mono.since(common::START) < Millis::from_secs(500) {
            world.run(1);
            // The manager dies with the next effects in the air: done in the world, unheard by us.
            world.mute = world.acts.len() + 1 == after;
        }
        world.restart();
        world.run(700);
        assert_eq!(on(&world), 1, "died after {after} acts\n{}", world.trail.join("\n"));
        check_books(&world);
    }
}

#[test]
fn a_host_that_does_not_wake_is_tried_twice_and_set_aside() {
    let mut world = World::new(&format!("{FOUR}\nhost h5 cpus=2 mem=2048M boot=60s\nasleep h5\n"));
    world.run(30);
    let h5 = world.host("h5");
    world.deaf.insert(h5);
    world.order(Order::Wake { host: h5 });
    world.run(1300);
    assert_eq!(world.state("h5"), HostState::SetAside);
    assert_eq!(world.trail_of(&["ev=wake.again"]).lines().count(), 1);
    assert_eq!(world.trail_of(&["ev=wake.late"]).lines().count(), 1);
    let sent = world.acts.len();
    world.run(3600);
    let later =
        world.acts.iter().skip(sent).filter(|intent| intent.action == Action::Wake { host: h5 }).count();
    assert_eq!(later, 0, "it is left alone");
    world.deaf.clear();
    world.up.insert(h5);
    world.run(900);
    assert_ne!(world.state("h5"), HostState::SetAside, "seen healthy for a while it is trusted again");
}

#[test]
fn a_clock_that_jumps_costs_one_idle_cycle_and_no_lease() {
    let mut world = World::new(FOUR);
    world.run(30);
    world.now.wall += jiff::SignedDuration::from_hours(1);
    world.run(1);
    assert_eq!(world.trail_of(&["clock.jump"]).lines().count(), 1);
    world.run(400);
    assert_eq!(on(&world), 1);
}

#[test]
fn pause_stops_new_effects_and_ends_by_itself() {
    let mut world = World::new(FOUR);
    let until = world.now.mono + Millis::from_mins(10);
    world.order(Order::Pause { until: Some(until) });
    world.run(590);
    assert_eq!(world.acts, []);
    world.run(200);
    assert_eq!(on(&world), 1);
}

#[test]
fn drain_empties_and_leaves_on_until_cleared() {
    let mut world = World::with(FOUR, Settings { automation: Automation::Auto, ..Settings::default() });
    let h2 = world.host("h2");
    world.order(Order::Drain { host: h2 });
    world.run(60);
    assert_eq!(world.state("h2"), HostState::Draining);
    assert_eq!(world.vms[&h2].len(), 0, "{}", world.trail.join("\n"));
    world.run(600);
    assert!(world.up.contains(&h2), "a drained host stays on");
    world.order(Order::Clear { host: h2 });
    world.run(400);
    assert_eq!(on(&world), 1);
}

#[test]
fn a_host_asked_to_sleep_is_emptied_first_and_a_role_is_never_switched_off() {
    let mut world =
        World::new(&FOUR.replace("host h[1-4]", "host h0 cpus=2 mem=2048M role=storage\nhost h[1-4]"));
    world.run(5);
    let (h0, h3) = (world.host("h0"), world.host("h3"));
    world.order(Order::Sleep { host: h0 });
    assert_eq!(world.trail_of(&["order.refused"]).lines().count(), 1);
    world.order(Order::Sleep { host: h3 });
    world.run(200);
    assert_eq!(world.state("h3"), HostState::Asleep, "{}", world.trail.join("\n"));
    assert_eq!(world.state("h0"), HostState::On);
    check_books(&world);
}

#[test]
fn a_failed_move_rests_and_the_others_go_on() {
    let mut world = World::new(FOUR);
    let error = dormouse_model::OutcomeError::Driver("connection reset".to_owned());
    world.next_outcome.insert("migrate", Outcome::Failed(error));
    world.run(900);
    assert_eq!(
        world
            .trail_of(&["kind=migrate", "outcome=failed"])
            .lines()
            .filter(|line| line.contains("connection reset"))
            .count(),
        1
    );
    assert_eq!(on(&world), 1, "{}", world.trail.join("\n"));
    check_books(&world);
}

#[test]
fn another_machine_under_a_known_address_is_set_aside() {
    let mut world = World::new(FOUR);
    world.run(20);
    let h4 = world.host("h4");
    let mut memory = world.hosts_memory.get("h4").cloned().expect("remembered after its first look");
    memory.machine = Some(uuid::Uuid::from_u128(7));
    world.hosts_memory.insert("h4".to_owned(), memory);
    world.restart();
    world.run(900);
    assert_eq!(world.state("h4"), HostState::SetAside);
    assert!(world.acts.iter().all(|intent| !intent.action.hosts().contains(&h4)));
}

#[test]
fn hold_keeps_us_still_and_not_a_person() {
    let mut world = World::new(&format!("{FOUR}\nwindow still 00:00-00:00 goal=hold\n"));
    world.run(120);
    assert_eq!(world.acts, []);
    let (from, to) = (world.host("h1"), world.host("h2"));
    let vm = VmId(0);
    world.order(Order::Move { vm, to });
    world.run(60);
    let acts: Vec<_> = world.acts.iter().map(|intent| intent.action).collect();
    assert_eq!(acts, [Action::Migrate { vm, from, to }], "{}", world.trail.join("\n"));
}
