//! Chores of the workspace, in Rust so that they run wherever the workspace builds.
//!
//! Decides what a change must satisfy (`tidy`), in which order it is checked (`check`, `test`), and what this machine
//! allows. Never part of the shipped program; depends on nothing that the program does not need as well.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talks to the person at the keyboard")]

mod bench;
mod chaos;
mod chores;
mod lab_faults;
mod libtest;
mod machine;
mod run;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <chore>

  check   the quick loop: tidy, format, clippy, tests of the pure crates and the scenarios
  tidy    house rules only (under a second)
  test    everything this machine allows; names what it skipped and why
  bless   rewrite golden files from what the tests see now; read the diff before you commit it
  failover  kill and freeze leading managers over a real etcd; how long nobody leads (--kills N --freezes N --etcd N)
  chaos   faults drawn from seeds, in portions: --seeds N --first K --resume; see docs/chaos.md
  lab-faults  faults in the real lab (root), in parts that go on where they were stopped: --part NAME --seed N, --summary
  bench   measure the figures of PROMISES.md again and print the table; --quick takes seconds
";

fn main() -> ExitCode {
    let chore = std::env::args().nth(1).unwrap_or_default();
    let done = match chore.as_str() {
        "check" => chores::check(),
        "tidy" => chores::tidy(),
        "test" => test::test(),
        "bless" => chores::bless(),
        "failover" => chores::failover(std::env::args().skip(2)),
        "bench" => bench::bench(std::env::args().skip(2)),
        "chaos" => chaos::chaos(std::env::args().skip(2)),
        "lab-faults" => lab_faults::lab_faults(std::env::args().skip(2)),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask {chore}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
