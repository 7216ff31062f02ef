//! The row of a year: the lab of 62 hosts under the daemon's own control, a look a minute, on one core.

use super::cost::user_time_of_children;
use super::table::{Row, Table, Verdict};
use crate::run::{cargo, output, root};
use anyhow::Result;
use std::process::Command;

const CASE: &str = "a year of the seed's lab, simulated with real control";
const REACH: &str = "under 60 s of CPU";
const DAYS: f64 = 365.0;
const SECONDS: f64 = 60.0;
/// Enough to see a week's end.
const DAYS_QUICK: f64 = 14.0;

pub(super) fn row(quick: bool, table: &mut Table) {
    if !root().join("crates/sim/examples/year.rs").exists() {
        return table.add(Row::pending(CASE, REACH));
    }
    let days = if quick { DAYS_QUICK } else { DAYS };
    match simulate(days) {
        Ok((spent, violations)) => table.add(Row {
            case: CASE.to_owned(),
            reach: REACH.to_owned(),
            measured: format!("{spent:.1} s for {days} days, {violations} violations"),
            verdict: match spent < SECONDS * days / DAYS && violations == 0 {
                true => Verdict::Met,
                false => Verdict::Missed,
            },
        }),
        Err(error) => table.fail(CASE, &error),
    }
}

/// User time, and how many rules were broken.
fn simulate(days: f64) -> Result<(f64, usize)> {
    output(&mut cargo(["build", "--release", "--locked", "-p", "dormouse-sim", "--example", "year"]))?;
    let before = user_time_of_children()?;
    let told = output(Command::new(root().join("target/release/examples/year")).arg(format!("days={days}")))?;
    let spent = user_time_of_children()? - before;
    Ok((spent, told.lines().filter(|line| line.starts_with("violation ")).count()))
}
