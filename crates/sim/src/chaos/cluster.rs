//! The cluster of a case: small and odd, so that rules meet each other often. Written as the text that people write.

use super::dice::Dice;

/// What the script may speak of.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) lines: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) vms: Vec<String>,
    pub(super) stopped: Vec<String>,
}

impl Drawn {
    /// VMs that begin on this host.
    pub(super) fn vms_of(&self, host: &str) -> impl Iterator<Item = &String> {
        let begins = move |vm: &&String| {
            let line = format!("vm {vm}@{host} ");
            self.lines.iter().any(|other| other.starts_with(&line))
        };
        self.vms.iter().filter(begins)
    }
}

/// One case in so many has the size of the lab that this project grew from.
const LARGE_ONE_IN: u64 = 250;
const LARGE: u64 = 62;

pub(super) fn draw(dice: &mut Dice, storm_s: u64, calm_s: u64) -> Drawn {
    let count = if dice.below(LARGE_ONE_IN) == 0 {
        LARGE
    } else if dice.percent(70) {
        dice.between(2, 5)
    } else {
        dice.between(6, 12)
    };
    let mut drawn = Drawn::default();
    drawn.lines.push("cluster chaos zone=Europe/Rome".to_owned());
    let circuit = dice.percent(15);
    if circuit {
        drawn.lines.push(format!("circuit room wakes={}", dice.between(1, 3)));
    }
    let alike = dice.percent(50);
    let common = (*dice.pick(&[2048, 4096, 8192]), *dice.pick(&[2, 4, 8]));
    let mut rooms = vec![];
    for host in 1..=count {
        let (mem, cpus) =
            if alike { common } else { (*dice.pick(&[1024, 2048, 4096, 8192]), *dice.pick(&[1, 2, 4])) };
        let name = format!("h{host}");
        let mut line = format!(
            "host {name} cpus={cpus} mem={mem}M watts={}/{}/3 boot={}s shutdown={}s link={}M",
            dice.between(30, 90),
            dice.between(95, 200),
            dice.between(20, 150),
            dice.between(1, 40),
            dice.pick(&[100, 1000, 1000, 10_000]),
        );
        let overhead = if dice.percent(20) { 64 } else { 0 };
        if overhead > 0 {
            line.push_str(" overhead=64M reserve=128M");
        }
        for (chance, words) in [(6, " role=storage"), (4, " keep-on"), (4, " unproven"), (3, " maintenance")]
        {
            if dice.percent(chance) {
                line.push_str(words);
                break;
            }
        }
        if circuit && dice.percent(70) {
            line.push_str(" circuit=room");
        }
        drawn.lines.push(line);
        drawn.hosts.push(name);
        rooms.push((mem - if overhead > 0 { 128 } else { 0 }, overhead));
    }
    vms(dice, &mut drawn, &mut rooms);
    policy(dice, &mut drawn);
    calendar(dice, &mut drawn, storm_s, calm_s);
    if dice.percent(10) {
        let host = dice.pick(&drawn.hosts).clone();
        drawn.lines.push(format!("hold {host} until=2026-01-12T13:00 by=ops why=exam"));
    }
    drawn
}

/// VMs where there is room, with a little left in most hosts.
fn vms(dice: &mut Dice, drawn: &mut Drawn, rooms: &mut [(u64, u64)]) {
    let fill = dice.between(10, 70);
    let mut number = 0;
    for (host, (room, overhead)) in rooms.iter_mut().enumerate() {
        let most = *room * fill / 100;
        let mut taken = 0;
        for _ in 0..dice.between(0, 4) {
            let mem = *dice.pick(&[128, 256, 256, 512, 1024]);
            if taken + mem + *overhead > most {
                continue;
            }
            taken += mem + *overhead;
            number += 1;
            let name = format!("v{number}");
            let mut line = format!(
                "vm {name}@{} vcpus={} mem={mem}M cpu=0.{:02}",
                drawn.hosts[host],
                dice.between(1, 2),
                dice.between(1, 30)
            );
            if dice.percent(25) {
                line.push_str(&format!(" dirty={}", dice.pick(&[5, 20, 60, 200])));
            }
            if dice.percent(15) {
                line.push_str(&format!(" home={}", drawn.hosts[host]));
            }
            match dice.below(40) {
                0 => line.push_str(" local-disk"),
                1 => line.push_str(" no-move"),
                2 => line.push_str(&format!(" ban={}", dice.pick(&drawn.hosts))),
                3 | 4 => {
                    line.push_str(" stopped");
                    drawn.stopped.push(name.clone());
                }
                _ => {}
            }
            drawn.lines.push(line);
            drawn.vms.push(name);
        }
    }
    if drawn.vms.len() >= 2 && dice.percent(15) {
        let (a, b) = (dice.pick(&drawn.vms).clone(), dice.pick(&drawn.vms).clone());
        let at = |vm: &str| {
            let line = drawn.lines.iter().find(|line| line.starts_with(&format!("vm {vm}@")));
            line.and_then(|line| line.split(['@', ' ']).nth(2)).map(str::to_owned)
        };
        if a != b && at(&a) != at(&b) {
            drawn.lines.push(format!("group pair = {a},{b} spread"));
        }
    }
}

fn policy(dice: &mut Dice, drawn: &mut Drawn) {
    let name = if dice.percent(8) { "seed" } else { "balanced" };
    let spare = dice.between(0, 2);
    let mut line = format!(
        "policy {name} window.sleep={}m min_up={}m min_down={}m spare.min={spare} spare.target={} failover={} min_on={}",
        dice.pick(&[2, 5, 10]),
        dice.pick(&[2, 5, 15]),
        dice.pick(&[1, 5, 10]),
        spare + dice.between(0, 1),
        dice.pick(&[0, 0, 1]),
        dice.pick(&[1, 1, 2]),
    );
    for (chance, words) in [
        (20, " moves.host_out=1"),
        (20, " moves.host_in=1"),
        (20, " moves.all=1"),
        (20, " wakes.burst=1"),
        (15, " sleeps.burst=1"),
        (15, " cycles.host_day=2"),
        (30, " moves.vm_hour=6"),
        (15, " payback=0"),
        (15, " unproven.sleep=yes"),
    ] {
        if dice.percent(chance) {
            line.push_str(words);
        }
    }
    drawn.lines.push(line);
}

/// Where there is a calendar, an opening lies in the storm or in the calm after it.
fn calendar(dice: &mut Dice, drawn: &mut Drawn, storm_s: u64, calm_s: u64) {
    if !dice.percent(45) {
        return;
    }
    // Cases start at noon.
    let opens = 12 * 60 + dice.between(20, (storm_s + calm_s) / 60 - 5);
    let closes = (opens + dice.between(30, 180)).min(23 * 60 + 59);
    let lead = dice.pick(&[5, 15, 30]);
    let wake_all = if dice.percent(20) { " wake-all" } else { "" };
    drawn.lines.push(format!(
        "window open Mon-Fri {:02}:{:02}-{:02}:{:02} goal=spread up-by=-{lead}m{wake_all}",
        opens / 60,
        opens % 60,
        closes / 60,
        closes % 60
    ));
}
