//! The script of a case: swarm style. Each seed first draws which kinds of trouble exist and how often each comes, so that
//! rare ones are not drowned by common ones; then they come, then everything is healed and people step back.

use super::cluster::Drawn;
use super::dice::Dice;

/// Kinds of trouble, each with its lines: what happens and, a while later, what ends it.
type Trouble = fn(&mut Dice, &Drawn) -> Vec<(u64, String)>;

const TROUBLES: &[Trouble] = &[
    wakes,
    boots,
    offs,
    deaths,
    silence,
    cut_off,
    moves_fail,
    moves_half_done,
    shares,
    libvirt,
    clocks,
    store,
    replies,
    last_second,
    crashes,
    frozen,
    people,
    users,
    buttons,
    orders,
    marks,
    load,
];

/// Kinds that a case draws beside the others when it is asked for: so each seed keeps what it drew before they were there.
const RARE: &[Trouble] = &[fences, apart, lies, credentials, strangers];

/// Mean pauses between two of a kind, in seconds.
const PAUSES: [u64; 4] = [180, 420, 1200, 3000];
/// A person reads this.
const LINES_MAX: usize = 80;

/// `rare`: of the rarer kinds, too.
pub(super) fn draw(dice: &mut Dice, drawn: &Drawn, storm_s: u64, rare: bool) -> Vec<(u64, String)> {
    let mut lines: Vec<(u64, String)> = vec![];
    for trouble in if rare { RARE } else { &[] }.iter().chain(TROUBLES) {
        if !dice.percent(40) {
            continue;
        }
        let pause = *dice.pick(&PAUSES);
        let mut at = dice.below(2 * pause);
        while at < storm_s && lines.len() < LINES_MAX {
            for (later, line) in trouble(dice, drawn) {
                if at + later < storm_s {
                    lines.push((at + later, line));
                }
            }
            at += dice.between(1, 2 * pause);
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    lines
}

/// Everything ends: people go, marks are lifted, what is broken is repaired.
pub(super) fn calm(drawn: &Drawn, storm: &[(u64, String)]) -> Vec<String> {
    let mut lines = vec!["heal".to_owned()];
    let said =
        |words: &str| storm.iter().any(|(_, line)| line == words || line.starts_with(&format!("{words} ")));
    for host in &drawn.hosts {
        for (begin, end) in [("login", "logout"), ("block", "unblock")] {
            if said(&format!("{begin} {host}")) {
                lines.push(format!("{end} {host}"));
            }
        }
        if said(&format!("fault last-second {host}")) {
            lines.push(format!("logout {host}"));
        }
    }
    if said("operator automation") {
        lines.push("operator automation auto".to_owned());
    }
    if said("operator pause") || said("open") || said("operator normalise") {
        lines.push("operator resume".to_owned());
    }
    for host in &drawn.hosts {
        let marked = ["drain", "sleep", "maintenance", "say-off", "fence"]
            .iter()
            .any(|verb| said(&format!("operator {verb} {host}")));
        // A host that ignored its off command is trusted again by a person's word only.
        if marked || said(&format!("fault off {host}")) {
            lines.push(format!("operator clear {host}"));
        }
    }
    lines
}

fn host(dice: &mut Dice, drawn: &Drawn) -> String {
    dice.pick(&drawn.hosts).clone()
}

fn vm(dice: &mut Dice, drawn: &Drawn) -> Option<String> {
    (!drawn.vms.is_empty()).then(|| dice.pick(&drawn.vms).clone())
}

fn span(dice: &mut Dice) -> u64 {
    *dice.pick(&[5, 20, 60, 200, 600, 1500])
}

fn one(line: String) -> Vec<(u64, String)> {
    vec![(0, line)]
}

fn wakes(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    one(match dice.below(3) {
        0 => format!("fault wake {host} never"),
        1 => format!("fault wake {host} lost={}", dice.between(1, 4)),
        _ => format!("fault wake {host} slow={}", span(dice)),
    })
}

fn boots(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    one(if dice.percent(50) {
        format!("fault boot {host} hang for={}", span(dice))
    } else {
        format!("fault boot {host} hang")
    })
}

fn offs(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    one(format!("fault off {} ignored", host(dice, drawn)))
}

fn deaths(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    if dice.percent(50) {
        return one(format!("fault host {host} reboots"));
    }
    let back = span(dice);
    let mut lines = vec![(0, format!("fault host {host} dies"))];
    if dice.percent(30) && back > 120 {
        let verb = *dice.pick(&["say-off", "fence", "fence"]);
        lines.push((100, format!("operator {verb} {host}")));
    }
    lines.push((back, format!("heal {host}")));
    lines
}

fn silence(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let oneway = if dice.percent(40) { " oneway" } else { "" };
    one(format!("fault link ctl {} for={}{oneway}", host(dice, drawn), span(dice)))
}

/// Many at once: it is rather our own side.
fn cut_off(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let share = dice.between(30, 100);
    let mut hosts: Vec<String> = drawn.hosts.iter().filter(|_| dice.percent(share)).cloned().collect();
    if hosts.is_empty() {
        hosts = drawn.hosts.clone();
    }
    one(format!("fault link ctl {} for={}", hosts.join(","), span(dice)))
}

fn moves_fail(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    match (dice.below(3), vm(dice, drawn)) {
        (0, Some(vm)) => one(format!("fault move {vm} fails times={}", dice.between(1, 3))),
        (1, Some(vm)) => one(format!("fault move {vm} stuck")),
        _ => one(format!("fault move * fails times={}", dice.between(1, 4))),
    }
}

fn moves_half_done(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    match (dice.below(4), vm(dice, drawn)) {
        (0, Some(vm)) => {
            vec![(0, format!("fault move {vm} stuck")), (0, format!("fault move {vm} abort-hangs"))]
        }
        (1, _) => one(format!("fault move * cut early times={}", dice.between(1, 3))),
        _ => one(format!("fault move * cut times={}", dice.between(1, 3))),
    }
}

fn shares(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    let back = span(dice);
    vec![(0, format!("fault share {host} missing")), (back, format!("heal {host}"))]
}

fn libvirt(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    one(format!("fault libvirt {} frozen for={}", host(dice, drawn), span(dice)))
}

fn clocks(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    one(match dice.below(4) {
        0 => format!("fault clock manager {}", dice.pick(&["+1h", "-1h", "+70s", "-10m", "+50s"])),
        1 => {
            return vec![
                (0, format!("fault clock {host} +5s")),
                (span(dice), format!("fault clock {host} +0s")),
            ];
        }
        2 => {
            return vec![
                (0, format!("fault clock {host} -1h")),
                (span(dice), format!("fault clock {host} +0s")),
            ];
        }
        _ => format!("fault clock {host} +1s"),
    })
}

fn store(dice: &mut Dice, _: &Drawn) -> Vec<(u64, String)> {
    one(if dice.percent(70) {
        format!("fault store full for={}", span(dice))
    } else {
        format!("fault lease lost for={}", span(dice))
    })
}

fn replies(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    one(format!("fault reply {} lost times={}", host(dice, drawn), dice.between(1, 3)))
}

fn last_second(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    match drawn.stopped.first() {
        Some(_) if dice.percent(60) => {
            let vm = dice.pick(&drawn.stopped);
            one(format!("fault last-second {host} start {vm}"))
        }
        _ => one(format!("fault last-second {host} login")),
    }
}

fn crashes(dice: &mut Dice, _: &Drawn) -> Vec<(u64, String)> {
    let down = *dice.pick(&[1, 5, 20, 120, 900]);
    const POINTS: [&str; 9] = [
        "",
        "before=intent ",
        "after=intent ",
        "after=effect ",
        "before=outcome ",
        "after=outcome ",
        "before=record ",
        "after=record ",
        "before=effect late=",
    ];
    let point = *dice.pick(&POINTS);
    let late =
        if point.ends_with("late=") { format!("{} ", dice.pick(&[1, 8, 30, 120])) } else { String::new() };
    let nth = if point.is_empty() { String::new() } else { format!("nth={} ", dice.between(1, 4)) };
    one(format!("crash manager {point}{late}{nth}down={down}"))
}

fn frozen(dice: &mut Dice, _: &Drawn) -> Vec<(u64, String)> {
    one(format!("fault manager frozen for={}", dice.pick(&[3, 8, 15, 40, 100, 400])))
}

fn people(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    let stay = span(dice);
    if dice.percent(50) {
        let idle = *dice.pick(&["", " idle=10m", " idle=40m"]);
        vec![(0, format!("login {host}{idle}")), (stay, format!("logout {host}"))]
    } else {
        let what = *dice.pick(&["dpkg lock", "raid resync", "exam \u{1b}[2J image", "backup; rm -rf /"]);
        vec![(0, format!("block {host} \"{what}\"")), (stay, format!("unblock {host}"))]
    }
}

fn users(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let Some(vm) = vm(dice, drawn) else { return vec![] };
    let later = span(dice);
    match dice.below(4) {
        0 => one(format!("user migrate {vm} {}", host(dice, drawn))),
        1 => vec![(0, format!("user stop {vm}")), (later, format!("user start {vm}"))],
        2 => vec![(0, format!("user pause {vm}")), (later, format!("user resume {vm}"))],
        _ => {
            let name = format!("w{}", dice.below(1_000_000));
            one(format!("define {name}@{} mem=256M vcpus=1 cpu=0.05", host(dice, drawn)))
        }
    }
}

fn buttons(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    one(format!("switch {} {}", host(dice, drawn), dice.pick(&["on", "on", "off"])))
}

fn orders(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    one(match dice.below(8) {
        0 => format!("operator sleep {host}"),
        1 => format!("operator wake {host}"),
        2 => "operator refresh".to_owned(),
        3 => format!("operator clear {host}"),
        4 => match vm(dice, drawn) {
            Some(vm) => format!("operator move {vm} {host}"),
            None => "operator apply".to_owned(),
        },
        5 => return vec![(0, format!("operator pause for={}", span(dice)))],
        6 => return vec![(0, "open".to_owned()), (span(dice), "close".to_owned())],
        _ => {
            let mode = *dice.pick(&["observe", "advise"]);
            return vec![
                (0, format!("operator automation {mode}")),
                (span(dice), "operator automation auto".to_owned()),
            ];
        }
    })
}

fn marks(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    let stay = span(dice);
    if dice.percent(50) {
        vec![(0, format!("operator drain {host}")), (stay, format!("operator clear {host}"))]
    } else {
        vec![
            (0, format!("operator maintenance {host} on")),
            (stay, format!("operator maintenance {host} off")),
        ]
    }
}

fn load(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let few = dice.percent(60);
    let vms = if few { vm(dice, drawn) } else { None };
    one(format!("load {} 0.{:02}", vms.as_deref().unwrap_or("*"), dice.pick(&[1, 5, 20, 60, 95])))
}

/// A host dies, and a person who went and saw says so. Meanwhile another is silent; a user may have moved a VM there
/// while nobody looked, so that it lives although its host is dead.
fn fences(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let (dead, other) = (host(dice, drawn), host(dice, drawn));
    let back = span(dice);
    let mut lines = vec![];
    if dead != other && dice.percent(70) {
        lines.push((0, format!("fault link ctl {dead},{other} for={}", dice.pick(&[300, 900, 1500]))));
        let of_dead: Vec<&String> = drawn.vms_of(&dead).collect();
        if !of_dead.is_empty() && dice.percent(70) {
            lines.push((5, format!("user migrate {} {other}", dice.pick(&of_dead))));
        }
    }
    lines.push((90, format!("fault host {dead} dies")));
    lines.push((150, format!("operator fence {dead} if-off")));
    lines.push((200 + back, format!("heal {dead}")));
    lines
}

/// Two hosts cannot reach each other, and the manager reaches both.
fn apart(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    one(format!("fault link between {} {} for={}", host(dice, drawn), host(dice, drawn), span(dice)))
}

fn lies(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let host = host(dice, drawn);
    let lie = *dice.pick(&["idle", "idle", "busy", "absurd"]);
    vec![(0, format!("fault lies {host} {lie}")), (span(dice), format!("heal {host}"))]
}

fn credentials(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    one(format!("fault power {} refused times={}", host(dice, drawn), dice.between(1, 4)))
}

/// VMs whose names mean something elsewhere.
fn strangers(dice: &mut Dice, drawn: &Drawn) -> Vec<(u64, String)> {
    let name = *dice.pick(&[
        "$(reboot);`reboot`",
        "../../etc/passwd",
        "x\u{1b}[2Jy",
        "a b=c ev=power-off",
        "\u{202e}off",
    ]);
    let vm = format!("x{}", dice.below(1_000_000));
    one(format!("define {vm}@{} mem=128M vcpus=1 cpu=0.02 as=\"{name}\"", host(dice, drawn)))
}
