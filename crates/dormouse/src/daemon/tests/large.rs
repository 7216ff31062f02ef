//! A thousand hosts through the whole daemon: what is counted here does not depend on how fast the machine is.

use super::*;
use std::fmt::Write as _;

const HOSTS: usize = 1_000;

/// Hosts of that size, each with so many VMs.
fn machine(vms: usize, settings: Settings) -> Machine {
    let names: Vec<String> = (0..HOSTS).map(|n| format!("h{n:04}")).collect();
    let mut cluster = "cluster large\n".to_owned();
    for name in &names {
        _ = writeln!(cluster, "host {name} address={name} cpus=16 mem=64G");
    }
    let hosts: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), vms)).collect();
    Machine::of(World::new(&hosts), cluster, settings)
}

/// Asks seldom: each question is about 20,000 VMs.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < 4 * PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn in_state(daemon: &Daemon, state: &str) -> u32 {
    daemon.status().hosts.iter().find(|count| count.state == state).map_or(0, |count| count.count)
}

#[test]
fn three_hundred_silent_hosts_of_a_thousand_cost_one_deadline_and_not_their_sum() {
    // Longer than this test takes anywhere: no deadline ends in it.
    let look_deadline = Millis::from_mins(10);
    let machine = machine(1, Settings { look_deadline, ..Settings::default() });
    for host in (0..HOSTS).filter(|n| n % 10 < 3) {
        machine.world.fault(&format!("h{host:04}"), Some(Fault::Hangs));
    }
    let daemon = machine.start();
    until("all but the silent are on", || in_state(&daemon, "on") == 700);
    until("all deadlines run at once", || machine.world.hanging() == 300);
    assert_eq!(machine.world.given_up(), 0, "not one deadline had to end for that");
    // The others are looked at again and again meanwhile.
    let before = machine.world.looks();
    daemon.order(OrderWord::Refresh { hosts: vec![] }).expect("taken");
    until("they are looked at again", || machine.world.looks() >= before + 700);
    assert_eq!((machine.world.hanging(), machine.world.given_up()), (300, 0), "one look at each at a time");
}

#[test]
fn a_thousand_hosts_with_twenty_thousand_vms_are_learned_in_a_few_writes_and_kept_in_view() {
    let observe_every = Millis::from_secs(2);
    let automation = Automation::Advise;
    let machine = machine(20, Settings { automation, observe_every, ..Settings::default() });
    let begun = Instant::now();
    let daemon = machine.start();
    until("all hosts are on", || in_state(&daemon, "on") == 1_000);
    until("all VMs run", || {
        daemon.status().vms.iter().any(|count| count.state == "running" && count.count == 20_000)
    });
    let seen = begun.elapsed();
    until("everything is in the store", || {
        let kept = daemon.runtime().block_on(daemon.store.load()).expect("whole");
        let definitions = kept.settings.iter().filter(|(key, _)| key.starts_with("definition/")).count();
        (kept.hosts.len(), kept.vms.len(), definitions) == (1_000, 20_000, 20_000)
    });
    let kept = begun.elapsed();
    // Definitions come host by host, what the controller remembers in bunches as large as the store is slow.
    let writes = machine.writes.load(Ordering::SeqCst);
    assert!(writes < 8_000, "{writes} writes for 41,000 records");
    let (looks, spent) = (machine.world.looks(), cpu());
    until("three more cycles", || machine.world.looks() >= looks + 3 * HOSTS);
    let cycles = (machine.world.looks() - looks) / HOSTS;
    let each = (cpu() - spent) / u32::try_from(cycles).expect("few");
    assert_eq!(machine.world.effects(), 0);
    eprintln!(
        "1,000 hosts, 20,000 VMs: all seen after {seen:.1?}, all kept after {kept:.1?} in {writes} writes; \
         {each:.0?} of processor time a cycle, {} MiB resident, the pretend hosts included",
        resident_mib()
    );
}

/// User and system time of this process.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let ticks: u64 = text
        .rsplit(')')
        .next()
        .expect("a name")
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|n| n.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("there");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") / 1024
}
