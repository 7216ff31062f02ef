//! Hosts that break, each in its own way, while the others are managed on.

use crate::world::{Goal, HOSTS, SHARED, World};
use dormouse_lab::{Fault, Power};
use std::fs;
use std::process::Command;

/// Leaves everything as it was.
pub(crate) fn wrong_key(world: &mut World) {
    let key = world.folder.join("wrong");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let config = world.folder.join("wrong.toml");
    fs::write(&config, world.settings("auto", &key, "wrong-state")).unwrap();
    assert_eq!(world.type_with(&config, "status").code, 4);
    let events = world.lab.events().unwrap().lines().count();
    let mut daemon = world.spawn(&config, &world.folder.join("wrong.log"));
    world.wait("all hosts are unknown to it, and it says why", |world| {
        let typed = world.type_with(&config, "status --format json");
        typed.code == 0
            && typed.out.matches("Permission denied").count() == 4
            && typed.out.matches("\"unknown\"").count() >= 5
    });
    let hosts = world.type_with(&config, "host list");
    assert_eq!(hosts.code, 0, "{hosts:?}");
    let refused = world.type_with(&config, "host sleep h02");
    assert_eq!(refused.code, 3, "{refused:?}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let after: Vec<String> = world.lab.events().unwrap().lines().skip(events).map(str::to_owned).collect();
    assert!(!after.iter().any(|event| event.contains("\"magic\"") || event.contains("power")), "{after:?}");
    assert_eq!(world.powered(), HOSTS);
}

/// Leaves h04 with its guest, and of the others one awake; goal hold.
pub(crate) fn frozen_libvirtd(world: &mut World) {
    let after = world.now();
    world.fault("h04", &Fault::FreezeLibvirtd);
    world.wait("h04 is unusable", |world| world.state("h04") == "unusable");
    let why = world.trouble("h04").unwrap();
    assert!(
        why.starts_with("unusable: ") && why.contains("libvirt") && why.contains("did not answer"),
        "{why}"
    );
    assert!(world.type_in("status").out.contains("did not answer"));
    assert!(world.type_in("why h04").out.contains("unusable"), "{}", world.type_in("why h04").out);

    world.change(Goal::Compact, "");
    world.wait("two of the others sleep", |world| world.powered().len() == 2);
    assert!(world.powered().contains(&"h04".to_owned()));
    assert_eq!(world.guest("pc04").processes, ["h04"]);
    assert_eq!(world.guests_at("h04"), ["pc04"]);
    let steps = world.events(after);
    assert!(
        !steps.iter().any(|step| step.is("step.start")
            && (step.has("vm", "pc04") || step.has("to", "h04") || step.has("host", "h04"))),
        "{steps:?}"
    );

    world.change(Goal::Hold, "");
    world.fault("h04", &Fault::ThawLibvirtd);
    world.wait("h04 is on again", |world| world.state("h04") == "on" && world.trouble("h04").is_none());
    world.wait("the trail shows it", |world| {
        let steps = world.events(after);
        let turned = |to: &str| {
            steps.iter().any(|step| step.is("host.state") && step.has("host", "h04") && step.has("to", to))
        };
        turned("unusable") && turned("on")
    });
}

/// Leaves all hosts on, each with a guest; goal spread.
pub(crate) fn missing_folder(world: &mut World) {
    let sleeping: Vec<&str> = HOSTS.into_iter().filter(|host| world.power(host) == Power::Off).collect();
    let lame = sleeping[0];
    world.fault(lame, &Fault::NoShare);
    world.change(Goal::Spread, "");
    world.wait("the host is unusable", |world| world.state(lame) == "unusable");
    let why = world.trouble(lame).unwrap();
    assert!(why.contains(SHARED) && why.contains("nothing is mounted there"), "{why}");
    world.wait("the others are open", |world| {
        HOSTS
            .iter()
            .filter(|host| **host != lame)
            .all(|host| world.state(host) == "on" && !world.guests_at(host).is_empty())
    });
    assert_eq!(world.guests_at(lame), [""; 0]);
    assert_eq!(world.power(lame), Power::On);
    world.heal(lame);
    world.wait("it is on, and takes its guest", |world| {
        world.state(lame) == "on" && !world.guests_at(lame).is_empty()
    });
}

/// Leaves one host awake with all guests; goal compact.
pub(crate) fn silent_host(world: &mut World) {
    let guests = world.guests_at("h03");
    // Whoever listens to a guest there hears nothing while the cable is pulled: that is no harm of ours.
    world.hang_up_on_guests();
    world.fault("h03", &Fault::Silence);
    world.wait("h03 is unknown", |world| world.state("h03") == "unknown");
    let why = world.trouble("h03").unwrap();
    assert!(why.starts_with("unknown: "), "{why}");
    assert_eq!(world.json("status")["hosts_on"], 4, "what is not seen counts as on");
    let refused = world.type_in("host sleep h03");
    assert_eq!(refused.code, 3, "{refused:?}");

    world.change(Goal::Compact, "");
    world.wait("two of the others sleep", |world| world.json("status")["hosts_on"] == 2);
    world.wait("nothing is under way", World::is_at_rest);
    assert_eq!((world.powered().len(), world.power("h03")), (2, Power::On));
    assert_eq!(world.guests_at("h03"), guests);

    world.heal("h03");
    world.wait("one host carries all", |world| world.powered().len() == 1 && world.is_at_rest());
    world.lab.streams_start().unwrap();
}

/// Leaves all hosts on, each with a guest; goal spread.
pub(crate) fn lost_wakes(world: &mut World) {
    let after = world.now();
    let deaf = HOSTS.into_iter().rev().find(|host| world.power(host) == Power::Off).unwrap();
    world.fault(deaf, &Fault::LoseWakes(2));
    world.change(Goal::Spread, "");
    world.wait("all are up and spread", |world| {
        HOSTS.iter().all(|host| world.state(host) == "on" && world.guests_at(host).len() == 1)
    });
    let lab = world.lab.events().unwrap();
    let lost = lab
        .lines()
        .filter(|line| line.contains("\"magic\"") && line.contains(deaf) && line.contains("lost"))
        .count();
    assert!(lost >= 1, "{lab}");
    let late = world.events(after).iter().any(|event| event.is("wake.late") && event.has("host", deaf));
    assert!(late, "{:#?}", world.events(after));
}
