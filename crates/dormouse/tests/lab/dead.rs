//! A host's power is cut for good: its VM runs again elsewhere, once, and only after a person's word.

use crate::world::{Goal, HOSTS, World};
use dormouse_lab::{Fault, Power};

/// Leaves all hosts on.
pub(crate) fn fenced(world: &mut World) {
    // From here on a guest does die.
    world.hang_up_on_guests();
    world.change(Goal::Spread, "");
    world.wait("each host has a guest", |world| HOSTS.iter().all(|host| world.guests_at(host).len() == 1));
    world.wait("nothing is under way", World::is_at_rest);
    world.change(Goal::Hold, "");
    let victim = world.guests_at("h04").into_iter().next().unwrap();
    let after = world.now();
    world.fault("h04", &Fault::PowerCut);
    world.wait("h04 is unknown", |world| world.state("h04") == "unknown");
    assert_eq!(world.guest(&victim).processes, Vec::<String>::new(), "it went down with its host");

    let typed = world.type_in("host fence h04");
    assert_eq!(typed.code, 3, "{typed:?}");
    assert!(typed.out.contains(&victim) && typed.err.contains("nothing was done"), "{typed:?}");
    assert_eq!(world.state("h04"), "unknown", "said once is not said");
    assert_eq!(world.type_in("host fence h03 --confirm").code, 3, "h03 answers");

    let typed = world.type_in("host fence h04 --confirm");
    assert_eq!(typed.code, 0, "{typed:?}");
    world.wait("the VM runs on another host", |world| {
        let at = world.guest(&victim).processes;
        at.len() == 1 && at[0] != "h04"
    });
    world.wait("it is told", |world| world.events(after).iter().any(|event| event.is("vm.restarted")));
    let starts = world.events(after).iter().filter(|event| event.is("step.start")).count();
    assert_eq!(starts, 1, "one effect in all");
    assert_eq!(world.truth().double_runs, 0);
    assert_eq!(world.state("h04"), "off");

    world.lab.power_on("h04").unwrap();
    world.wait("h04 is on again", |world| world.power("h04") == Power::On && world.state("h04") == "on");
    assert!(world.events(after).iter().any(|event| event.is("fence.over")), "the word is over");
    assert_eq!(world.guests_at("h04"), Vec::<String>::new(), "nothing of it starts there by itself");
}
