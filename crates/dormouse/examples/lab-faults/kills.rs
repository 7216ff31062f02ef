//! Part `kills`: nights and days follow each other (all hosts packed onto few, all spread again), and the daemon is
//! killed at drawn moments of them. At the end of each night nothing may be lost.

use crate::book::Unit;
use crate::dice::Dice;
use crate::moves::settle;
use crate::site::{Goal, PATIENCE, Site, now};
use anyhow::Result;
use dormouse_lab::LabSpec;
use std::time::Duration;

/// Kills in one night or day, at most.
const KILLS_MAX: u64 = 6;

pub(crate) fn spec(id: &str) -> LabSpec {
    let mut spec = LabSpec::new(id, 3, 4);
    spec.boot_s = 1;
    spec.tick_ms = 500;
    spec
}

/// One half of a night: the goal changes, and the daemon is killed a few times while it works towards it.
pub(crate) fn half(site: &mut Site, unit: &mut Unit, most: u64) -> Result<()> {
    let mut dice = Dice::of_unit(unit.seed, unit.unit);
    let (arrivals, begun) = (site.arrivals, site.begun);
    let goal = if unit.unit.is_multiple_of(2) { Goal::Compact } else { Goal::Spread };
    site.change(goal, "")?;
    for _ in 0..dice.between(2, KILLS_MAX).min(most) {
        // Half of the kills aim at a step that has just begun, the others at any moment.
        if dice.percent(50) {
            let after = site.last_event()?;
            let until = now() + Duration::from_secs(6);
            while now() < until && !begins(site, after).unwrap_or(false) {
                std::thread::sleep(Duration::from_millis(30));
            }
            std::thread::sleep(Duration::from_millis(dice.between(0, 2500)));
        } else {
            std::thread::sleep(Duration::from_millis(dice.between(0, 5000)));
        }
        let busy =
            site.status().ok().and_then(|status| Some(status["running"].as_array()?.len())).unwrap_or(0);
        site.kill_9()?;
        unit.done += 1;
        *unit.counts.entry("with a step under way".to_owned()).or_default() += u64::from(busy > 0);
        unit.faults.push("manager killed".to_owned());
        std::thread::sleep(Duration::from_millis(dice.between(0, 1500)));
        site.start()?;
    }
    if goal == Goal::Compact {
        site.wait("one host carries all", PATIENCE, |site| Ok(site.powered()?.len() == 1))?;
        site.wait("nothing is under way", PATIENCE, Site::is_still)?;
        site.wait("every guest is heard from its host", PATIENCE, Site::guests_are_well)?;
    } else {
        settle_by_itself(site)?;
        settle(site, unit)?;
    }
    site.collect()?;
    site.record_rest()?;
    unit.counts.insert("moves begun".to_owned(), site.begun - begun);
    unit.counts.insert("moves arrived".to_owned(), site.arrivals - arrivals);
    Ok(())
}

/// Nobody helps: the daemon wakes every host.
fn settle_by_itself(site: &Site) -> Result<()> {
    let all = usize::from(site.lab.spec.hosts);
    site.wait("all hosts have power", PATIENCE, |site| Ok(site.powered()?.len() == all))
}

fn begins(site: &Site, after: u64) -> Result<bool> {
    Ok(site.trail(after)?.iter().any(|event| event["name"] == "step.start"))
}
