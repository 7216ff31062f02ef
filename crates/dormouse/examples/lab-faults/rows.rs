//! Part `rows`: the scenarios of `crates/dormouse/tests/lab` and `crates/libvirt/tests/lab`, as `cargo test` runs them,
//! each that passed written down. One begins with what the one before has left, so a suite that broke off begins anew.

use crate::book::{Book, Unit};
use crate::site::now;
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

const SUITES: [(&str, &str); 2] = [("dormouse", "lab"), ("dormouse-libvirt", "lab")];

pub(crate) fn run(book: &mut Book) -> Result<()> {
    for (package, test) in SUITES {
        let whole = format!("{package}: all of it");
        if book.units.iter().any(|unit| unit.faults.first() == Some(&whole) && unit.trouble.is_none()) {
            continue;
        }
        let began = now();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut child = Command::new(cargo)
            .args(["test", "--release", "--locked", "-p", package, "--test", test])
            .args(["--", "--ignored", "--nocapture", "--test-threads=1"])
            // A run of the suites by hand beside it has a lab of its own.
            .env("DORMOUSE_LAB_ID", "frows")
            // The slow ones, too.
            .env("DORMOUSE_LAB_ALL", "1")
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            println!("{line}");
            said += &line;
            said.push('\n');
            if let Some(name) = scenario(&line) {
                book.add(unit(book.next_unit(), &format!("{package}: {name}"), 1), None)?;
            }
        }
        let status = child.wait()?;
        let mut sum = unit(book.next_unit(), &whole, 0);
        sum.ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        sum.trouble =
            (!status.success()).then(|| format!("`cargo test -p {package} --test {test}`: {status}"));
        let scene = sum.trouble.is_some().then_some(said.as_str());
        book.add(sum, scene)?;
    }
    Ok(())
}

fn unit(unit: u64, name: &str, done: u64) -> Unit {
    Unit { unit, done, faults: vec![name.to_owned()], ..Unit::default() }
}

/// Scenarios that have passed, each counted once.
pub(crate) fn passed(units: &[Unit]) -> u64 {
    let names: BTreeSet<&String> =
        units.iter().filter(|unit| unit.done > 0).flat_map(|unit| &unit.faults).collect();
    names.len() as u64
}

/// A suite that has gone well or badly since.
pub(crate) fn was_played_again(unit: &Unit, units: &[Unit]) -> bool {
    units.iter().any(|later| later.unit > unit.unit && later.faults == unit.faults)
}

/// `  ok NAME (1.0 s)`, as the suites print it, or `test NAME ... ok` of the harness.
fn scenario(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("ok ") {
        return rest.rsplit_once(" (").map(|(name, _)| name);
    }
    let (name, how) = line.strip_prefix("test ")?.split_once(" ... ")?;
    (how == "ok" || how.starts_with("ok (")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_that_is_played_again_counts_as_it_ended() {
        let of = |unit, name: &str, done, trouble: Option<&str>| Unit {
            trouble: trouble.map(str::to_owned),
            ..super::unit(unit, name, done)
        };
        let units = [
            of(0, "a: one", 1, None),
            of(1, "a: all of it", 0, Some("broke off")),
            of(2, "a: one", 1, None),
            of(3, "a: two", 1, None),
            of(4, "a: all of it", 0, None),
            of(5, "b: all of it", 0, Some("broke off")),
        ];
        assert_eq!(passed(&units), 2);
        let stand = units.iter().filter(|unit| unit.trouble.is_some() && !was_played_again(unit, &units));
        assert_eq!(stand.map(|unit| unit.unit).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn what_passed_is_read_off_what_the_suites_print() {
        assert_eq!(
            scenario("  ok a wake that is lost twice is sent again (12.5 s)"),
            Some("a wake that is lost twice is sent again")
        );
        assert_eq!(scenario("test moves::deadline ... ok"), Some("moves::deadline"));
        assert_eq!(scenario("test a move can be aborted ... ok (0.6 s)"), Some("a move can be aborted"));
        assert_eq!(scenario("test moves::deadline ... FAILED"), None);
        assert_eq!(scenario("     a wake that is lost"), None);
    }
}
