//! Part `soak`: an hour of days and nights in quick succession, with load, people and small faults, while the memory and
//! the open files of the daemon and of one host's libvirtd are written down. They must stay flat.

use crate::book::Unit;
use crate::dice::Dice;
use crate::growth::{Held, Sample};
use crate::site::{PATIENCE, Site, now, wall_ms};
use anyhow::{Context as _, Result};
use dormouse_lab::{Fault, LabSpec, Load, Power};
use serde_json::json;
use std::fs;
use std::time::Duration;

/// Never switched off, so that its libvirtd lives as long as the lab.
const STAYS: &str = "h01";
const SAMPLE: Duration = Duration::from_secs(5);

pub(crate) fn spec(id: &str) -> LabSpec {
    let mut spec = LabSpec::new(id, 4, 6);
    spec.boot_s = 2;
    spec.tick_ms = 500;
    spec
}

/// A day takes 14 minutes.
pub(crate) const CALENDAR_RATE: u32 = 100;

/// The day's hours and what is kept; appended to the cluster text.
pub(crate) fn calendar() -> String {
    format!(
        "policy balanced time.scale={CALENDAR_RATE} failover=0 spare.min=0 spare.target=0 payback=0 disrupt.max=1000 \
         window.sleep=10m window.wake=5m min_up=10m min_down=5m cycles.host_day=100 moves.vm_hour=100 \
         moves.vm_day=1000 load.high=1000 cpu.target=1000\nkeep 1 of {STAYS}\n\
         window open 06:00-12:00, 16:00-22:00 goal=spread\n"
    )
}

/// One minute.
pub(crate) fn minute(site: &mut Site, unit: &mut Unit) -> Result<()> {
    let mut dice = Dice::of_unit(unit.seed, unit.unit);
    let (arrivals, begun) = (site.arrivals, site.begun);
    let until = now() + Duration::from_secs(60);
    let mut healed = None;
    // A drawn load at the start of each minute, sometimes a person or a small fault.
    let truth = site.truth()?;
    let busy: Vec<_> = truth.guests.iter().filter(|guest| guest.processes.len() == 1).collect();
    if dice.percent(60)
        && let Some(guest) = dice.pick(&busy)
    {
        let load = if dice.percent(50) {
            Load::Cpu { percent: u8::try_from(dice.between(5, 15))? }
        } else {
            Load::Dirty { mib_per_s: u16::try_from(dice.between(5, 20))? }
        };
        // A guest in the middle of its move may not answer.
        if site.lab.load(&guest.name, Some(load), 30).is_ok() {
            *unit.counts.entry("loads".to_owned()).or_default() += 1;
        }
    }
    let on: Vec<_> =
        truth.hosts.iter().filter(|host| host.power == Power::On && host.name != STAYS).collect();
    if dice.percent(50)
        && let Some(host) = dice.pick(&on)
    {
        let (fault, word) = match dice.between(0, 4) {
            0 | 1 => (Fault::Login { user: "ann".to_owned(), tty: "pts/7".to_owned() }, "person at a host"),
            2 => (Fault::FreezeLibvirtd, "libvirtd frozen"),
            3 => (Fault::Silence, "cable pulled"),
            _ => (Fault::HoldPackages, "package upgrade"),
        };
        // It may go to sleep in this very moment.
        if site.lab.fault(&host.name, &fault).is_ok() {
            unit.faults.push(word.to_owned());
            healed = Some((host.name.clone(), now() + Duration::from_secs(dice.between(4, 40))));
        }
    }
    while now() < until {
        std::thread::sleep(SAMPLE);
        sample(site)?;
        if healed.as_ref().is_some_and(|(_, at)| now() > *at)
            && let Some((host, _)) = healed.take()
        {
            site.lab.heal(&host)?;
        }
    }
    if let Some((host, _)) = healed {
        site.lab.heal(&host)?;
    }
    site.collect()?;
    unit.done = 1;
    unit.counts.insert("moves begun".to_owned(), site.begun - begun);
    unit.counts.insert("moves arrived".to_owned(), site.arrivals - arrivals);
    Ok(())
}

/// At the end of a run of minutes: all at rest.
pub(crate) fn rest(site: &mut Site) -> Result<()> {
    site.wait("nothing is under way", PATIENCE, |site| {
        Ok(site.status()?["running"].as_array().is_some_and(Vec::is_empty))
    })?;
    site.wait("every guest is heard from its host", PATIENCE, Site::guests_are_well)?;
    site.collect()?;
    site.record_rest()
}

fn sample(site: &mut Site) -> Result<()> {
    let host = site.lab.spec.host(STAYS)?;
    let pidfile = site.lab.paths.host(&host).root.join("run/libvirtd.pid");
    let inside = fs::read_to_string(&pidfile).unwrap_or_default();
    let daemon = site.daemon_pid().map(held).transpose()?.unwrap_or_default();
    let libvirtd = libvirtd(site, inside.trim()).map(held).transpose()?.unwrap_or_default();
    let state_kib = size_kib(&site.folder.join("state"))?;
    let sample = Sample { wall_ms: wall_ms(), daemon, libvirtd, state_kib };
    site.record(&json!({ "sample": sample }))
}

/// The process outside that is this pid inside the host.
fn libvirtd(site: &Site, inside: &str) -> Option<u32> {
    let host = site.lab.spec.host(STAYS).ok()?;
    let init = fs::read_to_string(site.lab.paths.host(&host).root.join("init.pid")).ok()?;
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(init.trim())?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.to_owned();
        pid.parse::<u32>().ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let is_it = field(&status, "NSpid:")?.split_whitespace().last() == Some(inside)
            && namespace(&pid).as_ref() == Some(&wanted);
        if is_it { pid.parse().ok() } else { None }
    })
}

fn field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// `ip netns exec` becomes what it starts, so the child is the daemon itself.
fn held(pid: u32) -> Result<Held> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let number = |key| {
        field(&status, key).and_then(|words| words.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok(Held { pid, rss_kib: number("VmRSS:"), files: u64::try_from(files)?, threads: number("Threads:") })
}

fn size_kib(folder: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        // Journals of the database come and go.
        bytes += entry?.metadata().map(|meta| meta.len()).unwrap_or(0);
    }
    Ok(bytes / 1024)
}
