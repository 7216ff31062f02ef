//! What changes in the texts while something is under way, or is about to be.

use crate::world::{Goal, HOSTS, World};
use dormouse_lab::Power;
use std::fs;
use std::process::Command;

/// A host is taken out of the text while a VM moves away from it (fault C12). Leaves all hosts on, each with a guest; goal
/// spread.
pub(crate) fn host_leaves(world: &mut World) {
    world.change(Goal::Hold, "");
    let vm = world.guests_at("h03").into_iter().next().unwrap();
    world.virsh("h03", &["migrate-setspeed", &vm, "2"]);
    let after = world.now();
    world.send(&vm, "h02");

    // Nothing would keep a host awake: h03 least of all.
    world.write_cluster(Goal::Compact, "keep 1 of h01\n");
    let text = fs::read_to_string(world.cluster()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("host h03 ") && !line.contains("@h03"));
    fs::write(world.cluster(), lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    world.hang_up_and_wait();
    assert!(!world.type_in("host list").out.contains("h03"));
    // What was under way goes on by itself, and ends well.
    world.virsh("h03", &["migrate-setspeed", &vm, "1000"]);
    world.wait("the guest has left h03", |world| {
        let at = world.guest(&vm).processes;
        at.len() == 1 && at[0] != "h03"
    });
    world.wait("h02 and h04 sleep", |world| world.powered() == ["h01", "h03"]);
    world.wait("nothing is under way", World::is_at_rest);
    assert_eq!(world.power("h03"), Power::On, "nobody's host is left as it is");
    let trail = world.events(after);
    let since = trail.iter().position(|event| event.is("step.start") && event.has("to", "h02")).unwrap();
    let at_h03 = trail[since + 1..].iter().find(|event| {
        event.is("step.start") && ["host", "from", "to"].iter().any(|end| event.has(end, "h03"))
    });
    assert!(at_h03.is_none(), "{trail:#?}");

    world.change(Goal::Spread, "");
    world.wait("h03 is managed again", |world| {
        HOSTS.iter().all(|host| world.state(host) == "on" && world.guests_at(host).len() == 1)
    });
}

/// Five minutes before it, somebody writes an opening into the calendar (fault T03). Leaves all hosts on, each with a
/// guest.
pub(crate) fn opening_is_near(world: &mut World) {
    assert_eq!(world.powered(), ["h01"]);
    let clock = |offset: &str| {
        let said = Command::new("date").args(["-u", "-d", offset, "+%H:%M"]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    let (opens, closes) = (clock("+5 minutes"), clock("+90 minutes"));
    let after = world.now();
    // The minute by which hosts should be up is over already.
    world.change(Goal::Compact, &format!("window lab {opens}-{closes} goal=spread up-by=-30m\n"));
    world.wait("the goal is to spread", |world| world.json("status")["goal"] == "spread");
    world.wait("all are up, and each has a guest", |world| {
        HOSTS.iter().all(|host| world.state(host) == "on" && world.guests_at(host).len() == 1)
    });
    let wakes = world
        .events(after)
        .iter()
        .filter(|event| event.is("step.start") && event.has("kind", "wake"))
        .count();
    assert_eq!(wakes, 3, "{:#?}", world.events(after));
}
