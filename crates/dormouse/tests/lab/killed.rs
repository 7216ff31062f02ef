//! The daemon dies at the worst moment, and a person works on a host.

use crate::world::{Goal, Trail, World};
use dormouse_lab::{Fault, Power};
use std::collections::BTreeSet;

/// Leaves h01 alone awake.
pub(crate) fn in_the_middle(world: &mut World) {
    world.fault("h02", &Fault::Login { user: "ann".into(), tty: "pts/7".into() });
    world.wait("the login is seen", |world| {
        world.host("h02")["obstacles"].to_string().contains("1 logged in")
    });
    let after = world.now();
    // h01 is the one that stays, so that it is the person alone who keeps h02 awake.
    world.change(Goal::Compact, "keep 1 of h01\n");
    world.wait("a move has begun", |world| {
        world.events(after).iter().any(|event| event.is("step.start") && event.has("kind", "migrate"))
    });
    world.kill_9();
    world.start();
    world.wait("h03 and h04 sleep", |world| world.powered() == ["h01", "h02"]);
    world.wait("nothing is under way", World::is_at_rest);
    assert!(world.type_in("why h02").out.contains("logged in"), "{}", world.type_in("why h02").out);

    // Every step that was begun has its end, also the one that the daemon did not live to see. The trail is written behind
    // what it tells of.
    let intents = |trail: &[Trail], name: &str| -> BTreeSet<String> {
        let named = trail.iter().filter(|event| event.is(name));
        named.filter_map(|event| event.field("intent")).map(str::to_owned).collect()
    };
    world.wait("the trail tells the end of each step", |world| {
        let trail = world.events(after);
        let begun = intents(&trail, "step.start");
        begun.len() >= 4 && begun.is_subset(&intents(&trail, "step.end"))
    });
    let trail = world.events(after);
    assert!(
        !trail
            .iter()
            .any(|event| event.is("step.start") && event.has("kind", "sleep") && event.has("host", "h02"))
    );
    world.assert_rest_and_unharmed();

    world.heal("h02");
    world.wait("h02 sleeps, too", |world| world.power("h02") == Power::Off && world.state("h02") == "asleep");
    assert_eq!(world.powered(), ["h01"]);
}
