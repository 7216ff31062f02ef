//! `cargo xtask lab-faults`: the long runs of the real lab (`crates/dormouse/examples/lab-faults`), on this checkout.

use crate::run::{cargo, root, succeeds};
use anyhow::Result;
use std::process::Command;

/// Builds the program and the runner.
fn build() -> Result<bool> {
    let both =
        ["build", "--release", "--locked", "-p", "dormouse", "--bin", "dormouse", "--example", "lab-faults"];
    succeeds(&mut cargo(both))
}

/// The arguments are those of the runner: `--part NAME`, `--seed N`, `--count N`, `--out DIR`, `--summary`, `--sample`.
pub(crate) fn lab_faults(args: impl Iterator<Item = String>) -> Result<bool> {
    Ok(build()? && succeeds(runner().args(args))?)
}

/// A minute of it, for CI.
pub(crate) fn sample() -> Result<bool> {
    Ok(build()? && succeeds(runner().arg("--sample"))?)
}

fn runner() -> Command {
    let mut command = Command::new(root().join("target/release/examples/lab-faults"));
    command.current_dir(root());
    command
}
