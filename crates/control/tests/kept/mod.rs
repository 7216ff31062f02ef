//! What an operator set and what was learned outlives the manager, and ends when it should.

use crate::common::World;
use dormouse_control::{Automation, Order, Settings};
use dormouse_model::{Goal, HostState};

const FOUR: &str = "
cluster four
host h[1-4] cpus=2 mem=2048M watts=45/95/3 boot=60s shutdown=10s
vm   v[1-4]@h[1-4] vcpus=1 mem=256M cpu=0.02
policy balanced spare.min=0 spare.target=0 failover=0 min_up=0s
";

fn asleep(world: &World) -> usize {
    ["h1", "h2", "h3", "h4"].iter().filter(|name| world.state(name) == HostState::Asleep).count()
}

#[test]
fn a_restarted_manager_packs_without_watching_for_40_minutes_again() {
    let mut world = World::with(FOUR, Settings { automation: Automation::Observe, ..Settings::default() });
    world.run(3600);
    world.restart();
    world.order(Order::Automation(Automation::Auto));
    world.run(600);
    assert_eq!(asleep(&world), 3, "{}", world.trail.join("\n"));

    // Without its history it does not dare to.
    let mut world = World::with(FOUR, Settings { automation: Automation::Observe, ..Settings::default() });
    world.run(3600);
    world.demand.clear();
    world.restart();
    world.order(Order::Automation(Automation::Auto));
    world.run(600);
    assert_eq!(asleep(&world), 0, "{}", world.trail.join("\n"));
}

#[test]
fn an_operators_automation_stands_until_the_configuration_changes() {
    let mut world = World::new(FOUR);
    world.order(Order::Automation(Automation::Observe));
    world.restart();
    assert_eq!(world.controller.automation(), Automation::Observe);
    world.run(3600);
    assert_eq!(asleep(&world), 0);

    world.settings.automation = Automation::Advise;
    world.restart();
    assert_eq!(world.controller.automation(), Automation::Advise, "the file was edited since");
    world.settings.automation = Automation::Auto;
    world.restart();
    assert_eq!(world.controller.automation(), Automation::Auto, "and what it replaced is forgotten");
}

#[test]
fn normalise_stands_over_a_restart_and_ends_with_its_window() {
    // Monday noon; the window that is in force ends at one.
    let text = format!("{FOUR}window lunch Mon-Fri 11:00-13:00 goal=compact\n");
    let goal = |world: &World| world.controller.goal_now(world.now);
    let mut world = World::new(&text);
    world.run(5);
    world.order(Order::Normalise);
    world.run(5);
    world.restart();
    world.run(5);
    assert_eq!(goal(&world), Goal::Spread { wake_off: false });
    world.order(Order::Resume);
    world.restart();
    world.run(5);
    assert!(matches!(goal(&world), Goal::Compact { .. }), "resumed is resumed");

    // Nobody was there when it ended, and the next day there is a window of the same name.
    world.order(Order::Normalise);
    world.now.wall += jiff::SignedDuration::from_hours(24);
    world.restart();
    world.run(5);
    assert!(matches!(goal(&world), Goal::Compact { .. }));
}
