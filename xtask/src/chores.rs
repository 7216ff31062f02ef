//! The short chores. Each prints what it runs and answers whether all went well.

use crate::run::{cargo, output, root, succeeds};
use crate::tidy;
use anyhow::Result;
use std::process::Command;

/// The crates whose tests need nothing and take seconds: the loop of every change.
const QUICK: [&str; 4] = ["dormouse-model", "dormouse-planner", "dormouse-control", "dormouse-sim"];

/// What CI asks first, cheapest first, so that a slip is told within seconds.
pub(crate) fn check() -> Result<bool> {
    let tests = ["test", "--release", "--locked"].into_iter().chain(quick_packages());
    Ok(tidy()? && format()? && lint()? && succeeds(&mut cargo(tests))?)
}

pub(crate) fn tidy() -> Result<bool> {
    println!("\n--- tidy");
    let (findings, covered) = tidy::all(&root())?;
    for finding in &findings {
        println!("{finding}");
    }
    println!("covered.toml: {covered}");
    match findings.len() {
        0 => println!("tidy: nothing to say"),
        count => println!("tidy: {count} to put right"),
    }
    Ok(findings.is_empty())
}

pub(crate) fn format() -> Result<bool> {
    succeeds(&mut cargo(["fmt", "--all", "--check"]))
}

/// Warnings are errors here and only here: while one is at work they stay warnings.
pub(crate) fn lint() -> Result<bool> {
    let everything = ["clippy", "--release", "--locked", "--workspace", "--all-targets"];
    succeeds(cargo(everything).args(["--", "-D", "warnings"]))
}

/// The build for machines without libvirt. Checked and not linked, so that it does not take the place of the program
/// in `target/release`.
pub(crate) fn lint_without_libvirt() -> Result<bool> {
    let small = ["clippy", "--release", "--locked", "-p", "dormouse", "--no-default-features"];
    succeeds(cargo(small).args(["--", "-D", "warnings"]))
}

/// Managers over a real etcd, killed and frozen; see `crates/store/examples/failover.rs`.
pub(crate) fn failover(args: impl Iterator<Item = String>) -> Result<bool> {
    let example = [
        "run",
        "--release",
        "--locked",
        "-p",
        "dormouse-store",
        "--features",
        "etcd",
        "--example",
        "failover",
        "--",
    ];
    succeeds(cargo(example).args(args))
}

/// The store for several managers, which needs protoc to build.
pub(crate) fn lint_with_etcd() -> Result<bool> {
    let both = ["clippy", "--release", "--locked", "-p", "dormouse", "-p", "dormouse-store", "--all-targets"];
    succeeds(cargo(both).args(["--features", "dormouse/etcd", "--", "-D", "warnings"]))
}

pub(crate) fn bless() -> Result<bool> {
    let tests = ["test", "--release", "--locked", "--no-fail-fast", "-p", "dormouse"].into_iter();
    let mut command = cargo(tests.chain(quick_packages()));
    // The first is ours (scenario logs), the second that of the expect-test crate.
    let good = succeeds(command.env("DORMOUSE_BLESS", "1").env("UPDATE_EXPECT", "1"))?;
    println!("\nWhat the new goldens change (read it line by line before you commit it):");
    Ok(succeeds(Command::new("git").current_dir(root()).args(["--no-pager", "diff", "--stat"]))? && good)
}

/// Whether cargo has this subcommand here: a minimal toolchain lacks rustfmt and clippy.
pub(crate) fn has(subcommand: &str) -> bool {
    output(&mut cargo([subcommand, "--version"])).is_ok()
}

fn quick_packages() -> impl Iterator<Item = &'static str> {
    QUICK.into_iter().flat_map(|package| ["-p", package])
}
