//! Part `moves`: real migrations ordered from the daemon, most rounds with a fault at one of the hosts involved. What
//! counts is a guest whose heartbeats arrived from another host.

use crate::book::Unit;
use crate::dice::Dice;
use crate::site::{PATIENCE, Site, is_well, now};
use anyhow::{Context as _, Result};
use dormouse_lab::{Fault, LabSpec, Load, Power};
use std::process::Command;
use std::time::Duration;

/// Ordered at once; the daemon decides what runs beside what.
const MOVES_ORDERED: usize = 4;
/// Guests that one host is given at most: its memory in the cluster text holds eight.
const GUESTS_MAX: usize = 7;

pub(crate) fn spec(id: &str) -> LabSpec {
    let mut spec = LabSpec::new(id, 4, 8);
    spec.boot_s = 1;
    // Heartbeats are what counts; the tick streams are not listened to.
    spec.tick_ms = 500;
    spec
}

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Nothing,
    BusyGuest,
    ManagerKilled,
    LibvirtdRestarted,
    LibvirtdKilled,
    LibvirtdFrozen,
    CablePulled,
    LossInward,
    LossOutward,
    Aborted,
    PowerCut,
}

/// Each with how many rounds of a hundred it gets.
const TROUBLES: [(Trouble, u64); 11] = [
    (Trouble::Nothing, 36),
    (Trouble::BusyGuest, 14),
    (Trouble::ManagerKilled, 14),
    (Trouble::LibvirtdRestarted, 6),
    (Trouble::LibvirtdKilled, 5),
    (Trouble::LibvirtdFrozen, 5),
    (Trouble::CablePulled, 5),
    (Trouble::LossInward, 3),
    (Trouble::LossOutward, 3),
    (Trouble::Aborted, 5),
    (Trouble::PowerCut, 4),
];

fn draw(dice: &mut Dice) -> Trouble {
    let mut lot = dice.between(0, TROUBLES.iter().map(|(_, share)| share).sum::<u64>() - 1);
    for (trouble, share) in TROUBLES {
        if lot < share {
            return trouble;
        }
        lot -= share;
    }
    Trouble::Nothing
}

#[derive(Clone, Debug)]
struct Move {
    guest: String,
    uuid: String,
    from: String,
    to: String,
}

/// `left`: no more than so many are ordered.
pub(crate) fn round(site: &mut Site, unit: &mut Unit, left: u64) -> Result<()> {
    let mut dice = Dice::of_unit(unit.seed, unit.unit);
    let (arrivals, begun) = (site.arrivals, site.begun);
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(MOVES_ORDERED);
    let moves = draw_moves(site, &mut dice, most)?;
    let trouble = draw(&mut dice);
    // Mostly the first is hit, and the others come upon what is left of the fault.
    let hit = if dice.percent(60) { moves.first() } else { dice.pick(&moves) };
    let hit = hit.context("no guest can move")?.clone();
    let at_source = dice.percent(50);
    let host = if at_source { &hit.from } else { &hit.to };
    let (delay, lasts) = (dice.between(0, 1500), dice.between(1000, 6000));
    if trouble != Trouble::Nothing {
        let end = if at_source { "source" } else { "destination" };
        unit.faults.push(match trouble {
            Trouble::BusyGuest => "busy guest".to_owned(),
            Trouble::ManagerKilled => "manager killed".to_owned(),
            Trouble::Aborted => "aborted".to_owned(),
            Trouble::LibvirtdRestarted => format!("libvirtd restarted at the {end}"),
            Trouble::LibvirtdKilled => format!("libvirtd killed at the {end}"),
            Trouble::LibvirtdFrozen => format!("libvirtd frozen at the {end}"),
            Trouble::CablePulled => format!("cable pulled at the {end}"),
            Trouble::LossInward => format!("loss inward at the {end}"),
            Trouble::LossOutward => format!("loss outward at the {end}"),
            Trouble::PowerCut => format!("power cut at the {end}"),
            Trouble::Nothing => String::new(),
        });
    }
    if trouble == Trouble::BusyGuest {
        let mib_per_s = u16::try_from(dice.between(10, 60))?;
        site.lab.load(&hit.guest, Some(Load::Dirty { mib_per_s }), 12)?;
    }
    let after = site.last_event()?;
    for one in &moves {
        // A host that the last round has hurt may not be trusted yet: refused is a fine answer.
        if let Err(error) = site.order_move(&one.uuid, &one.to) {
            *unit.counts.entry("orders refused".to_owned()).or_default() += 1;
            say(&format!("unit {}: {error:#}", unit.unit));
        }
    }
    wait_for_the_copy(site, &hit, after)?;
    std::thread::sleep(Duration::from_millis(delay));
    strike(site, trouble, host, &hit, Duration::from_millis(lasts), &mut dice)?;
    if !matches!(trouble, Trouble::ManagerKilled) {
        wait_for_ends(site, &moves, after);
    }
    settle(site, unit)?;
    site.collect()?;
    site.record_rest()?;
    unit.done = site.arrivals - arrivals;
    unit.counts.insert("begun".to_owned(), site.begun - begun);
    Ok(())
}

fn say(text: &str) {
    eprintln!("{text}");
}

fn draw_moves(site: &Site, dice: &mut Dice, most: usize) -> Result<Vec<Move>> {
    let truth = site.truth()?;
    let mut moves: Vec<Move> = vec![];
    let mut guests: Vec<_> = truth.guests.iter().filter(|guest| is_well(guest)).collect();
    while moves.len() < most {
        let Some(guest) = dice.pick(&guests).copied() else { break };
        guests.retain(|other| other.name != guest.name);
        let from = &guest.processes[0];
        let has_room = |host: &&str| {
            let held =
                truth.guests.iter().filter(|guest| guest.processes.iter().any(|at| at == host)).count();
            held < GUESTS_MAX
        };
        let others: Vec<&str> = truth
            .hosts
            .iter()
            .filter(|host| host.power == Power::On && host.name != *from)
            .map(|host| host.name.as_str())
            .filter(has_room)
            .collect();
        if let Some(to) = dice.pick(&others) {
            moves.push(Move {
                guest: guest.name.clone(),
                uuid: guest.uuid.clone(),
                from: from.clone(),
                to: (*to).to_owned(),
            });
        }
    }
    Ok(moves)
}

/// Until both ends have a process of the guest, or the move is over already, or it does not begin at all.
fn wait_for_the_copy(site: &Site, one: &Move, after: u64) -> Result<()> {
    let until = now() + Duration::from_secs(12);
    while now() < until {
        let truth = site.truth()?;
        let two = truth.guests.iter().any(|guest| guest.uuid == one.uuid && guest.processes.len() == 2);
        if two || has_ended(site, one, after).unwrap_or(false) {
            break;
        }
        std::thread::sleep(Duration::from_millis(60));
    }
    Ok(())
}

fn has_ended(site: &Site, one: &Move, after: u64) -> Result<bool> {
    Ok(site.trail(after)?.iter().any(|event| {
        event["name"] == "step.end"
            && event["fields"].as_array().is_some_and(|fields| {
                fields.iter().any(|field| field[0] == "vm" && field[1] == one.guest.as_str())
            })
    }))
}

/// For a while: an order that was lost with the manager, or refused, never ends.
fn wait_for_ends(site: &Site, moves: &[Move], after: u64) {
    _ = site.wait("the moves are over", Duration::from_secs(20), |site| {
        Ok(moves.iter().all(|one| has_ended(site, one, after).unwrap_or(false)))
    });
}

fn strike(
    site: &mut Site,
    trouble: Trouble,
    host: &str,
    one: &Move,
    lasts: Duration,
    dice: &mut Dice,
) -> Result<()> {
    let for_a_while = |site: &Site, fault: &Fault| -> Result<()> {
        site.lab.fault(host, fault)?;
        std::thread::sleep(lasts);
        Ok(site.lab.heal(host)?)
    };
    match trouble {
        Trouble::Nothing | Trouble::BusyGuest => Ok(()),
        Trouble::ManagerKilled => {
            site.kill_9()?;
            std::thread::sleep(Duration::from_millis(dice.between(0, 2000)));
            site.start()
        }
        Trouble::LibvirtdRestarted => in_host(site, host, &["systemctl", "restart", "libvirtd.service"]),
        // Its socket unit starts it again with the next connection.
        Trouble::LibvirtdKilled => in_host(site, host, &["pkill", "-9", "-x", "libvirtd"]),
        Trouble::LibvirtdFrozen => for_a_while(site, &Fault::FreezeLibvirtd),
        Trouble::CablePulled => for_a_while(site, &Fault::Silence),
        Trouble::LossInward => for_a_while(site, &Fault::LoseInward(u8::try_from(dice.between(20, 60))?)),
        Trouble::LossOutward => for_a_while(site, &Fault::LoseOutward(u8::try_from(dice.between(20, 60))?)),
        Trouble::Aborted => {
            // Over already is fine.
            _ = virsh(site, &one.from, &["domjobabort", &one.uuid]);
            Ok(())
        }
        Trouble::PowerCut => {
            site.record_cut(host)?;
            site.lab.fault(host, &Fault::PowerCut)?;
            std::thread::sleep(lasts);
            Ok(())
        }
    }
}

fn in_host(site: &Site, host: &str, words: &[&str]) -> Result<()> {
    let mut command = site.lab.command_in_host(host, words[0])?;
    // Nothing to kill is fine.
    command.args(&words[1..]).output().map(drop).context("cannot run a command in a host")
}

pub(crate) fn virsh(site: &Site, host: &str, words: &[&str]) -> Result<String> {
    let socket = site.lab.paths.host(&site.lab.spec.host(host)?).libvirt_socket();
    let mut command = Command::new("timeout");
    command.args(["20", "virsh", "-q", "-c", &format!("qemu:///system?socket={}", socket.display())]);
    let out = command.args(words).env("LC_ALL", "C.UTF-8").output()?;
    anyhow::ensure!(
        out.status.success(),
        "virsh {words:?} at {host}: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// People come back: every host gets its power, and what went down with a host is started again where it is defined.
/// Then everything must come to rest by itself.
pub(crate) fn settle(site: &mut Site, unit: &mut Unit) -> Result<()> {
    for host in site.truth()?.hosts {
        if host.power == Power::Off {
            site.lab.power_on(&host.name)?;
        }
    }
    site.wait("every host is on again", PATIENCE, Site::all_on)?;
    site.wait("nothing is under way", PATIENCE, Site::is_still)?;
    let down = site.truth()?.guests.iter().filter(|guest| guest.processes.is_empty()).count();
    if down > 0 {
        *unit.counts.entry("went down with a host".to_owned()).or_default() += u64::try_from(down)?;
        // A libvirtd that has just been started does not listen yet.
        site.wait("what went down is started again", PATIENCE, start_the_dead)?;
    }
    site.wait("every guest runs on one host and is heard from there", PATIENCE, Site::guests_are_well)?;
    site.wait("the daemon sees each where it is", PATIENCE, |site| {
        let vms = site.ask(&serde_json::json!({ "verb": "vms" }))?;
        let truth = site.truth()?;
        Ok(truth.guests.iter().all(|guest| {
            vms.as_array().is_some_and(|vms| {
                vms.iter().any(|vm| {
                    vm["uuid"] == guest.uuid.as_str()
                        && vm["state"] == "running"
                        && vm["host"].as_str() == guest.processes.first().map(String::as_str)
                })
            })
        }))
    })
}

/// As a person would: the daemon sees it and counts it in. `true` when none is left.
fn start_the_dead(site: &Site) -> Result<bool> {
    let defined = site.defined()?;
    let mut left = false;
    for guest in site.truth()?.guests.iter().filter(|guest| guest.processes.is_empty()) {
        left = true;
        let holds = |uuids: &serde_json::Value| {
            uuids.as_array().is_some_and(|uuids| uuids.iter().any(|uuid| uuid == guest.uuid.as_str()))
        };
        let mut hosts = defined.as_object().into_iter().flatten();
        let host = hosts.find(|(_, uuids)| holds(uuids)).map(|(host, _)| host.clone());
        let host = host.with_context(|| format!("{} is defined nowhere", guest.name))?;
        virsh(site, &host, &["start", &guest.uuid])?;
    }
    Ok(!left)
}
