//! `cargo xtask chaos`: the fault simulation of `dormouse simulate --chaos`, on this checkout and told with its commit.

use crate::run::{cargo, output, root, succeeds};
use anyhow::Result;
use std::process::Command;

/// The arguments are those of the verb: `--seeds N`, `--first K`, `--threads N`, `--keep DIR`.
pub(crate) fn chaos(args: impl Iterator<Item = String>) -> Result<bool> {
    if !succeeds(&mut cargo(["build", "--release", "--locked", "-p", "dormouse"]))? {
        return Ok(false);
    }
    let git = |args: &[&str]| output(Command::new("git").current_dir(root()).args(args));
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_ok_and(|text| !text.is_empty());
    println!("commit {}{}", commit.trim(), if changed { ", changed since" } else { "" });
    let mut program = Command::new(root().join("target/release/dormouse"));
    succeeds(program.current_dir(root()).args(["simulate", "--chaos"]).args(args))
}
