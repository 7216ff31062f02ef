//! The manager itself is in trouble.

use crate::world::{Goal, HOSTS, World};
use dormouse_lab::{Fault, Power};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The daemon stands still from just before its last word to the guard until long after its lease (fault C02), and
/// somebody comes meanwhile. Leaves all hosts on, each with a guest; goal spread.
pub(crate) fn frozen(world: &mut World) {
    world.change(Goal::Hold, "");
    let vm = world.guests_at("h02").remove(0);
    world.send(&vm, "h01");
    world.wait("h02 is empty", |world| world.guests_at("h01").len() == 2 && world.is_at_rest());
    let guard = world.lab.paths.host(&world.lab.spec.host("h02").unwrap()).root.join("run/dormouse-guard");
    let (after, boots) = (world.now(), world.power_events("h02"));
    let typed = world.type_in("host sleep h02");
    assert_eq!(typed.code, 0, "{typed:?}");
    let until = Instant::now() + Duration::from_secs(45);
    while !guard.join("lock").exists() {
        assert!(Instant::now() < until, "no guard came");
        std::thread::sleep(Duration::from_millis(1));
    }
    world.signal("STOP");
    world.wait_blind("the doors are closed", |_| guard.join("doors").exists());
    world.fault("h02", &Fault::Login { user: "ann".into(), tty: "pts/9".into() });
    world.wait_blind("the guard has waited for a word, and opened the doors again", |_| {
        !guard.join("lock").exists() && !guard.join("doors").exists()
    });
    assert_eq!(world.power("h02"), Power::On);
    world.signal("CONT");

    world.wait("the order has ended in nothing", |world| {
        let trail = world.events(after);
        let ended = trail.iter().find(|event| event.is("step.end") && event.has("kind", "sleep"));
        ended.is_some_and(|event| event.has("host", "h02") && !event.has("outcome", "done"))
    });
    world.wait("h02 answers, and someone is there", |world| {
        ["on", "draining"].contains(&&*world.state("h02"))
            && world.host("h02")["obstacles"].to_string().contains("1 logged in")
    });
    assert_eq!(world.power_events("h02"), boots, "no late word switched it off");
    world.heal("h02");
    let typed = world.type_in("host clear h02");
    assert_eq!(typed.code, 0, "{typed:?}");
    world.change(Goal::Spread, "");
    world.wait("all are on", |world| {
        HOSTS.iter().all(|host| world.state(host) == "on" && world.guests_at(host).len() == 1)
    });
}

/// All this time the daemon and its ssh processes have had 128 MB (fault C15). Now those who ask and never listen take all
/// the places that there are: they wait, the loop does not. Leaves
/// one host awake; goal compact.
pub(crate) fn little_memory(world: &mut World) {
    world.change(Goal::Compact, "");
    let asks: Vec<UnixStream> = (0..200)
        .map(|_| {
            let mut ask = UnixStream::connect(world.folder.join("state.sock")).unwrap();
            ask.write_all(b"{\"v\":1,\"verb\":\"events\",\"after\":0,\"follow\":true}\n").unwrap();
            ask
        })
        .collect();
    world.wait_blind("one host carries all", |world| world.powered().len() == 1);
    drop(asks);
    world.wait("it answers again", |world| world.type_in("status").code == 0);
    println!("     {}", world.cage.report());
    world.cage.assert_nothing_was_killed();
}
