//! Text from VMs is hostile: their users choose their names.

use crate::world::{Goal, World};
use dormouse_lab::Power;
use std::fs;

const UUID: &str = "e0110000-0000-4000-8000-0000000000e2";
/// A shell's command, the C1 form of an escape sequence that clears the screen, and a mark that reverses text. (XML has no
/// way to write an ESC, so libvirt never says one.)
const NAME: &str = "$(reboot);`reboot`\u{9b}2J\u{202e}\t--all";
const SHOWN: &str = r"$(reboot);`reboot`\u{9b}2J\u{202e}\t--all";

/// Leaves everything as it was.
pub(crate) fn evil_name(world: &mut World) {
    let xml = world.bare_definition(&NAME.replace('\t', "&#9;"), UUID);
    let file = world.folder.join("evil.xml");
    fs::write(&file, xml).unwrap();
    let boots = world.power_events("");
    world.virsh("h02", &["define", &file.display().to_string()]);
    world.virsh("h02", &["start", UUID]);

    world.wait("it is seen", |world| world.type_in("vm list --format json").out.contains(UUID));
    let vm = world.json("vm list").as_array().unwrap().iter().find(|vm| vm["uuid"] == UUID).unwrap().clone();
    assert_eq!(
        (vm["name"].as_str(), vm["state"].as_str(), vm["host"].as_str()),
        (Some(NAME), Some("running"), Some("h02"))
    );

    let moved = world.type_in(&format!("vm move {UUID} h03"));
    assert_eq!(moved.code, 0, "{moved:?}");
    world.wait("it runs on h03", |world| {
        let truth = world.truth();
        let at = |host: &str| {
            truth.hosts.iter().find(|found| found.name == host).unwrap().qemu.iter().any(|uuid| uuid == UUID)
        };
        !at("h02") && at("h03") && world.type_in("vm list h03 --format json").out.contains(UUID)
    });
    world.wait("the move is in the trail", |world| {
        world.type_in("events").out.contains(&format!("vm=\"{SHOWN}\""))
    });

    // Everything that a terminal shows is harmless.
    for line in [
        "vm list",
        "vm show e0110000-0000-4000-8000-0000000000e2",
        "events",
        "status",
        "host list",
        "host show h03",
        "why h03",
        "plan",
        "vm list --format json",
        "events --format json",
    ] {
        let typed = world.type_in(line);
        assert_eq!(typed.code, 0, "{line}: {typed:?}");
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!(typed.out + &typed.err).contains(steers), "{line}: {:?}", world.type_in(line));
    }
    assert!(world.type_in("vm list").out.contains(SHOWN));
    let log = world.log();
    assert!(!log.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{log:?}");

    // No shell ever ran it.
    assert_eq!(world.power_events(""), boots);
    assert!(["h02", "h03"].iter().all(|host| world.power(host) == Power::On));
    world.virsh("h03", &["destroy", UUID]);
    world.virsh("h03", &["undefine", UUID]);
    world.wait("it is nowhere", |world| {
        let vm = world.json("vm list").as_array().unwrap().iter().find(|vm| vm["uuid"] == UUID).cloned();
        vm.is_none_or(|vm| vm["state"] == "stopped" && vm["host"].is_null())
    });
    world.change(Goal::Hold, "");
}
