//! Moves whose ground shifts under them.

use crate::world::{Goal, HOSTS, World};
use dormouse_lab::Fault;
use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const HOG: &str = "e0110000-0000-4000-8000-0000000000aa";

/// Room that the plan counts on is taken by a VM that a person starts (fault M11): who is not on the way yet stays until
/// there is room again. Leaves all hosts on, each with a guest; goal spread.
pub(crate) fn crowded(world: &mut World) {
    world.change(Goal::Hold, "");
    let travellers: Vec<(&str, String)> =
        HOSTS[1..].iter().map(|host| (*host, world.guests_at(host).remove(0))).collect();
    let speed = |world: &World, mib: &str| {
        for (host, vm) in &travellers {
            // One that has arrived is not there any more.
            world.virsh_may_fail(host, &["migrate-setspeed", vm, mib]);
        }
    };
    speed(world, "2");
    let after = world.now();
    let sent = |world: &World| -> BTreeSet<String> {
        let trail = world.events(after);
        let moves = trail.iter().filter(|event| event.is("step.start") && event.has("to", "h01"));
        moves.filter_map(|event| event.field("vm").map(str::to_owned)).collect()
    };
    world.change(Goal::Compact, "keep 1 of h01\n");
    world.wait("somebody is on the way", |world| !sent(world).is_empty());
    // It leaves room for those, and for half a guest.
    let mib = 768 - 96 * (1 + sent(world).len()) - 48;
    let memory = format!("<memory unit='MiB'>{mib}<");
    let xml = world.bare_definition("hog", HOG).replace("<memory unit='MiB'>96<", &memory);
    let file = world.folder.join("hog.xml");
    fs::write(&file, xml).unwrap();
    world.virsh("h01", &["define", &file.display().to_string()]);
    world.virsh("h01", &["start", HOG]);
    world.wait("the newcomer is seen", |world| {
        let vms = world.json("vm list");
        vms.as_array().unwrap().iter().any(|vm| vm["uuid"] == HOG && vm["state"] == "running")
    });
    let first = sent(world);
    assert!(first.len() < 3, "nobody is left who could come too late: {first:?}");
    speed(world, "1000");
    world.wait("those have arrived", |world| world.guests_at("h01").len() == 1 + first.len());
    world.wait("the others are packed elsewhere", |world| world.powered().len() == 2);
    world.wait("nothing is under way", World::is_at_rest);
    assert_eq!(sent(world), first, "nobody was sent where there is no room");

    world.virsh("h01", &["destroy", HOG]);
    world.virsh("h01", &["undefine", HOG]);
    world.wait("with room again, one host carries all", |world| world.powered() == ["h01"]);
    spread(world);
}

/// The cable of one host comes and goes while VMs leave it (fault N10): tries are counted and spaced, and in the end all
/// is where it should be. Leaves all hosts on, each with a guest; goal spread.
pub(crate) fn flapping(world: &mut World) {
    // Whoever listens to a guest there hears nothing while the cable is out: that is no harm of ours.
    world.hang_up_on_guests();
    let vm = world.guests_at("h02").remove(0);
    world.virsh("h02", &["migrate-setspeed", &vm, "4"]);
    let after = world.now();
    world.change(Goal::Compact, "keep 1 of h01\n");
    for _ in 0..5 {
        world.fault("h02", &Fault::Silence);
        sleep(Duration::from_secs(4));
        world.heal("h02");
        sleep(Duration::from_secs(2));
    }
    world.virsh_may_fail("h02", &["migrate-setspeed", &vm, "1000"]);
    world.wait("one host carries all", |world| world.powered() == ["h01"] && world.is_at_rest());
    let trail = world.events(after);
    let tries = trail.iter().filter(|event| event.is("step.start") && event.has("vm", &vm)).count();
    assert!((1..=5).contains(&tries), "{tries} tries: {trail:#?}");
    spread(world);
    world.lab.streams_start().unwrap();
}

fn spread(world: &World) {
    world.change(Goal::Spread, "");
    world.wait("each host has a guest", |world| {
        HOSTS.iter().all(|host| world.state(host) == "on" && world.guests_at(host).len() == 1)
    });
}
