//! Part `starts`: two daemons are started in the same moment on one store, again and again. One leads; the other says
//! that it does not and ends.

use crate::book::Unit;
use crate::dice::Dice;
use crate::site::{PATIENCE, Site, ask_at, now};
use anyhow::{Result, ensure};
use dormouse_lab::LabSpec;
use serde_json::json;
use std::fs;
use std::process::Child;
use std::time::Duration;

/// The exit code of "refused": another manager leads.
const REFUSED: i32 = 3;

pub(crate) fn spec(id: &str) -> LabSpec {
    let mut spec = LabSpec::new(id, 1, 1);
    spec.boot_s = 1;
    spec.tick_ms = 1000;
    spec
}

pub(crate) fn double(site: &mut Site, unit: &mut Unit) -> Result<()> {
    let mut dice = Dice::of_unit(unit.seed, unit.unit);
    site.kill_9()?;
    let settings = fs::read_to_string(site.config())?;
    let mut two = vec![];
    for name in ["first", "second"] {
        let config = site.folder.join(format!("{name}.toml"));
        fs::write(&config, settings.replace("control.sock", &format!("{name}.sock")))?;
        two.push(Candidate { name, child: site.spawn(&config, &site.folder.join("log"))? });
        std::thread::sleep(Duration::from_millis(dice.between(0, 40)));
    }
    let ended = pair(site, &mut two, unit);
    for mut one in two {
        one.child.kill()?;
        one.child.wait()?;
    }
    ended?;
    site.start()?;
    site.collect()?;
    site.record_rest()?;
    unit.faults.push("started twice".to_owned());
    unit.done = 1;
    Ok(())
}

struct Candidate {
    name: &'static str,
    child: Child,
}

/// Until one leads and the other has ended: never both, and never neither for long.
fn pair(site: &Site, two: &mut [Candidate], unit: &mut Unit) -> Result<()> {
    let until = now() + PATIENCE;
    loop {
        let mut leads = vec![];
        let mut refused = 0;
        for one in two.iter_mut() {
            if let Some(status) = one.child.try_wait()? {
                ensure!(status.code() == Some(REFUSED), "the {} ended with {status}", one.name);
                refused += 1;
                continue;
            }
            let status =
                ask_at(&site.folder.join(format!("{}.sock", one.name)), &json!({ "verb": "status" }));
            if status.is_ok_and(|status| status["epoch"].is_u64()) {
                leads.push(one.name);
            }
        }
        ensure!(leads.len() < 2, "both lead");
        ensure!(refused < 2, "neither leads");
        if let ([leader], 1) = (leads.as_slice(), refused) {
            *unit.counts.entry(format!("the {leader} leads")).or_default() += 1;
            return Ok(());
        }
        ensure!(now() < until, "after {PATIENCE:?}: {leads:?} lead, {refused} refused");
        std::thread::sleep(Duration::from_millis(50));
    }
}
