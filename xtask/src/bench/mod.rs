//! The figures of PROMISES.md, measured again on this machine: one table, one row each.
//!
//! The measuring is done by programs of the workspace, each in a process of its own; here they are started, and what
//! they say is put in a table. Nothing is judged twice and nothing is made up: what has not been measured is *pending*,
//! what this machine cannot measure is *skipped*.

mod cost;
mod replay;
mod table;
mod year;

use crate::run::{cargo, output, root};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;
use table::{Row, Table};

pub(crate) const USAGE: &str = "\
cargo xtask bench [--quick] [--data DIR]

  --quick      a few seeds and small sizes: seconds instead of minutes
  --data DIR   days to replay: DIR, or DIR/planetlab, holds a .csv or .csv.gz for each day of PlanetLab
";

/// The cases of the planner's bench, in the order of the table.
const CASES: [&str; 13] = [
    "lab", "equal", "unlike", "thousand", "huge", "curve", "odd", "rules", "failover", "check", "deadline",
    "parse", "ganeti",
];

#[derive(Debug, Default)]
struct Options {
    quick: bool,
    data: Option<PathBuf>,
}

impl Options {
    fn read(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--data" => options.data = Some(args.next().context("--data takes a folder")?.into()),
                other => anyhow::bail!("`{other}` is no option of bench\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

/// Prints the table. A figure that was missed is a row like any other; what could not be run is a failure.
pub(crate) fn bench(args: impl IntoIterator<Item = String>) -> Result<bool> {
    let options = Options::read(args)?;
    let mut table = Table::new();
    output(&mut cargo(["build", "--release", "--locked", "-p", "dormouse-planner", "--example", "bench"]))?;
    for case in CASES {
        let mut command = Command::new(root().join("target/release/examples/bench"));
        command.arg(case);
        if options.quick {
            command.arg("--quick");
        }
        match output(&mut command) {
            Ok(rows) => rows.lines().for_each(|line| table.add(Row::read(line))),
            Err(error) => table.fail(case, &error),
        }
    }
    replay::rows(options.data.as_deref(), options.quick, &mut table);
    year::row(options.quick, &mut table);
    println!("\n{}", table.sum());
    Ok(table.all_ran())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_others_told() {
        let read = |args: &[&str]| Options::read(args.iter().map(|arg| (*arg).to_owned()));
        let options = read(&["--data", "traces", "--quick"]).unwrap();
        assert!(options.quick && options.data == Some("traces".into()));
        assert!(read(&["--fast"]).unwrap_err().to_string().starts_with("`--fast` is no option of bench"));
        assert_eq!(read(&["--data"]).unwrap_err().to_string(), "--data takes a folder");
    }
}
