//! What other programs have cost: processor time in user mode, which other work on the machine does not change.

use anyhow::{Context, Result};
use std::fs;

/// In seconds, of all processes that we started and that have ended.
pub(super) fn user_time_of_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("only Linux tells what a child has cost")?;
    // After the name in brackets; the fields are counted from 3 there, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat has no name")?;
    let ticks: u32 = fields.split_whitespace().nth(13).context("/proc/self/stat is short")?.parse()?;
    Ok(f64::from(ticks) / 100.0)
}
