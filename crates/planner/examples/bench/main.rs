//! What plans are worth and what they cost: `cargo run --release -p dormouse-planner --example bench -- CASE…`.
//!
//! One line for each row of the table that `cargo xtask bench` prints: case, what is to be reached, what was measured,
//! verdict, with tabs between. Figures of quality are the same on every machine; times are processor time of this one.
#![allow(clippy::print_stdout, reason = "an example talks to people")]

mod cases;
mod clusters;
mod judge;
mod machine;
mod naive;
mod peers;

use std::fmt;
use std::process::ExitCode;

/// One row of the table.
struct Row {
    case: String,
    reach: String,
    measured: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// A yardstick, with nothing to reach.
    Told,
    /// Could not be measured here.
    Skipped,
}

impl Verdict {
    const fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }
}

/// Newlines and tabs are what rows are cut by, and no word here holds one.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::Told => "-",
            Verdict::Skipped => "skipped",
        };
        write!(f, "{}\t{}\t{}\t{verdict}", self.case, self.reach, self.measured)
    }
}

fn main() -> ExitCode {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let quick = names.iter().any(|name| name == "--quick");
    names.retain(|name| name != "--quick");
    if names.is_empty() {
        names = cases::CASES.iter().map(|(name, _)| (*name).to_owned()).collect();
    }
    for name in names {
        let Some((_, case)) = cases::CASES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = cases::CASES.iter().map(|(known, _)| *known).collect();
            println!("no case is called `{name}`; there are {} and --quick", known.join(", "));
            return ExitCode::from(2);
        };
        for row in case(quick) {
            println!("{row}");
        }
    }
    ExitCode::SUCCESS
}
