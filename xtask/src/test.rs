//! `cargo xtask test`: everything this machine allows, in one report whose last line is the sum.
//!
//! Cheapest first; nothing stops at the first failure, so that one run tells all. A skipped test is named with what it
//! lacks. In CI (`CI=true`) a skipped test is a failure, unless what it lacks is a piece of hardware.

use crate::libtest::{Ignored, Tally};
use crate::machine::{Lack, Machine};
use crate::run::{cargo, root, succeeds, typed};
use crate::{chaos, chores, lab_faults};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Longest time for one night of the lab in CI: it takes minutes, and a hang must end well within CI's 40 minutes.
const NIGHT_SECS_MAX: &str = "900";
/// Hosts of that night: enough that several are emptied at once, few enough for two cores.
const NIGHT_HOSTS: &str = "10";

pub(crate) fn test() -> Result<bool> {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let machine = Machine::look();
    let mut report = Report::default();

    report.step("tidy", chores::tidy)?;
    report.tool("fmt", "format", chores::format)?;
    report.tool("clippy", "clippy", chores::lint)?;
    report.tool("clippy", "clippy without libvirt", chores::lint_without_libvirt)?;
    let lacks_protoc = machine.lacks("needs protoc");
    let features: &[&str] = if lacks_protoc.is_none() { &ETCD } else { &[] };
    match lacks_protoc {
        None => report.tool("clippy", "clippy with etcd", chores::lint_with_etcd)?,
        lack => report.skip("everything over etcd".to_owned(), lack),
    }
    let mut build = cargo(["build", "--release", "--locked", "--workspace"]);
    if report.step("build", || succeeds(build.args(features)))? {
        let plain = harness(cargo(TEST).args(features))?;
        let (able, unable): (Vec<_>, Vec<_>) =
            plain.ignored.iter().cloned().partition(|test| machine.lacks(&test.reason).is_none());
        report.add(plain);
        for test in unable {
            report.skip(test.name, machine.lacks(&test.reason));
        }
        report.step("chaos, the first seeds", chaos::sample)?;
        // Cargo has built it beside the tests.
        report.step("memory over a simulated week", || {
            succeeds(&mut Command::new(root().join("target/release/examples/soak")))
        })?;
        report.add(harness(&mut cargo(MUTANTS))?);
        if !able.is_empty() {
            report.add(harness(cargo(TEST).args(features).args(needy(&able)))?);
        }
        match machine.lacks("needs the lab") {
            None => {
                report.step("lab night", || succeeds(&mut night(ci)))?;
                report.step("lab faults, a sample", lab_faults::sample)?;
            }
            lack => report.skip(format!("lab night --hosts {NIGHT_HOSTS}, a sample of lab-faults"), lack),
        }
    }
    Ok(report.close(ci))
}

/// One build for everything: the store over etcd is a part of it where it can be built.
const ETCD: [&str; 2] = ["--features", "dormouse/etcd"];

/// A crate built once more, with its bugs planted: every checker must catch its own.
const MUTANTS: [&str; 9] =
    ["test", "--release", "--locked", "-p", "dormouse-sim", "--features", "mutants", "--test", "mutants"];
const TEST: [&str; 5] = ["test", "--release", "--locked", "--workspace", "--no-fail-fast"];

/// The arguments that run the tests a plain machine passes over, one at a time: each of them takes a machine's worth.
fn needy(tests: &[Ignored]) -> Vec<String> {
    let fixed = ["--", "--ignored", "--exact", "--test-threads=1"];
    fixed.into_iter().map(str::to_owned).chain(tests.iter().map(|test| test.name.clone())).collect()
}

fn night(ci: bool) -> Command {
    let program = root().join("target/release/dormouse");
    // `timeout` takes the terminal's Ctrl-C away from what it runs, so a person at the keyboard goes without.
    let mut command = if ci {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=60", NIGHT_SECS_MAX]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(root()).args(["lab", "night", "--hosts", NIGHT_HOSTS]);
    command
}

/// Runs cargo's tests, passing their words on, and counts.
fn harness(command: &mut Command) -> Result<Tally> {
    println!("\n--- {}", typed(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("cannot read what the tests print")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.read(&line);
        }
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !status.success() && tally.failed == 0 {
        // Did not compile, or a test binary died before it could count.
        tally.failed += 1;
        tally.failures.push(format!("{} ({status})", typed(command)));
    }
    Ok(tally)
}

#[derive(Debug, Default)]
struct Report {
    passed: u64,
    failures: Vec<String>,
    failed: u64,
    skipped: Vec<(String, Lack)>,
    times: Vec<String>,
}

impl Report {
    fn step(&mut self, name: &str, run: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let start = Instant::now();
        let good = run()?;
        self.times.push(format!("{name} {} s", start.elapsed().as_secs()));
        if good {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
        Ok(good)
    }

    /// A step that needs a part of the toolchain which a minimal one lacks.
    fn tool(&mut self, subcommand: &str, name: &str, run: impl FnOnce() -> Result<bool>) -> Result<()> {
        if chores::has(subcommand) {
            self.step(name, run)?;
        } else {
            let lack = Lack {
                what: format!("needs cargo {subcommand}"),
                hint: "rustup component add rustfmt clippy",
                physical: false,
            };
            self.skip(name.to_owned(), Some(lack));
        }
        Ok(())
    }

    fn add(&mut self, tally: Tally) {
        self.passed += tally.passed;
        self.failed += tally.failed;
        self.failures.extend(tally.failures);
    }

    fn skip(&mut self, name: String, lack: Option<Lack>) {
        self.skipped.extend(lack.map(|lack| (name, lack)));
    }

    /// Prints the sum as the last line and answers whether all is well.
    fn close(mut self, ci: bool) -> bool {
        println!("\n=== report");
        println!("took: {}", self.times.join(", "));
        for (name, lack) in &self.skipped {
            println!("skipped: {name}: {} ({})", lack.what, lack.hint);
            if ci && !lack.physical {
                self.failed += 1;
                self.failures.push(format!("{name}: skipped, and CI has to run everything"));
            }
        }
        for name in &self.failures {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len());
        self.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(physical: bool) -> Report {
        let mut report = Report::default();
        let lack = Lack { what: "needs it".to_owned(), hint: "get it", physical };
        report.skip("night".to_owned(), Some(lack));
        report
    }

    #[test]
    fn a_skipped_test_fails_ci_unless_hardware_is_missing() {
        assert!(skipped(false).close(false));
        assert!(!skipped(false).close(true));
        assert!(skipped(true).close(true));
    }

    #[test]
    fn a_test_binary_that_dies_before_it_counts_is_a_failure() {
        let says = "test a ... ok\ntest b ... ignored, needs KVM\n";
        let mut dies = Command::new("sh");
        dies.args(["-c", "printf '%s' \"$1\"; exit 101", "sh", says]);
        let tally = harness(&mut dies).expect("sh is there");
        assert_eq!((tally.failed, tally.failures.len(), tally.ignored.len()), (1, 1, 1));
    }

    #[test]
    fn a_failed_step_fails_the_run() {
        let mut report = Report::default();
        report.step("good", || Ok(true)).expect("runs");
        report.step("bad", || Ok(false)).expect("runs");
        assert_eq!((report.passed, report.failed), (1, 1));
        assert!(!report.close(false));
    }
}
