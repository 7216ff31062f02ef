//! The real daemon on a real lab: `dormouse run` as a process of its own, four hosts with a libvirtd and an sshd each,
//! four guests. What a person would do, break and look at, one scenario after the other in one lab; each says in which
//! state it leaves the hosts.
//!
//! Judged by what the verbs print, and by the lab's own truth (power, QEMU processes, who is heard from where).
#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]
#![expect(clippy::print_stdout, reason = "what was measured, beside what was tried")]

mod broken;
mod cage;
mod dead;
mod doctor;
mod hostile;
mod killed;
mod manager;
mod moves;
mod people;
mod reload;
mod trust;
mod world;

use std::time::Instant;
use world::World;

type Scenario = (&'static str, fn(&mut World));

/// In this order: each begins with what the one before has left.
const SCENARIOS: &[Scenario] = &[
    ("mistakes in settings and texts are refused and change nothing", people::mistakes),
    ("with a wrong key nothing is known and nothing is done", broken::wrong_key),
    ("doctor names what is broken and nothing else", doctor::names_what_is_broken),
    ("a VM with an evil name is a VM", hostile::evil_name),
    ("a frozen libvirtd keeps one host out and no other", broken::frozen_libvirtd),
    ("a host that boots without the shared folder takes nothing", broken::missing_folder),
    ("a silent host counts as on and is left alone", broken::silent_host),
    ("a wake that is lost twice is sent again", broken::lost_wakes),
    ("a host leaves the text while a VM leaves it", reload::host_leaves),
    ("room that is gone takes nobody in", moves::crowded),
    ("a cable that comes and goes costs tries, and no more", moves::flapping),
    ("a manager that stood still says nothing any more", manager::frozen),
    ("a person at a host keeps it awake, also through a kill of the daemon", killed::in_the_middle),
    ("an opening that is written down late is met", reload::opening_is_near),
    ("with little memory the loop goes before those who ask", manager::little_memory),
    ("a dead host's VM runs elsewhere, by a person's word", dead::fenced),
];

/// These take long; only `cargo xtask lab-faults`, which sets this variable, or one who names them plays them. Each leaves
/// the hosts as it finds them.
const ALL: &str = "DORMOUSE_LAB_ALL";
const SLOW: &[&str] = &[
    "a cable that comes and goes costs tries, and no more",
    "a manager that stood still says nothing any more",
];

#[test]
#[ignore = "needs the lab"]
fn the_daemon_on_a_real_lab() {
    let mut world = World::up();
    // One scenario alone, by a part of its name: while it is being written.
    let only = std::env::var("DORMOUSE_LAB_SCENARIO").unwrap_or_default();
    let all = !only.is_empty() || std::env::var_os(ALL).is_some();
    let wanted =
        |name: &str| only.split('|').any(|part| name.contains(part)) && (all || !SLOW.contains(&name));
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| wanted(name)) {
        let start = Instant::now();
        println!("     {name}");
        scenario(&mut world);
        world.assert_rest_and_unharmed();
        println!("  ok {name} ({:.1} s)", start.elapsed().as_secs_f64());
    }
    world.down();
}
