//! The drivers against real libvirtd, QEMU and sshd: a lab of three hosts with a guest each, built here and removed
//! again. Needs root and `DORMOUSE_TEST_LAB=1`; says so and passes otherwise.
//!
//! Scenarios run one after the other on one lab, and each leaves it as it found it. `lab NAME…` runs those whose name
//! contains one of the words.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program with a main of its own")]

mod bench;
mod dying_client;
mod faults;
mod looks;
mod moves;
mod power;

use bench::Bench;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

type Scenario = (&'static str, fn(&Bench));

const SCENARIOS: &[Scenario] = &[
    ("all hosts are looked at at once", looks::all_at_once),
    ("processor use of a guest is its own", looks::load_is_seen),
    ("people, locks and inhibitors are seen", looks::people_and_blocks),
    ("changes are told", looks::changes_are_told),
    ("the driver keeps the rules", looks::conformance),
    ("a guest moves peer to peer, and back encrypted", moves::peer_to_peer),
    ("a guest moves by us", moves::by_us),
    ("a guest with an evil name is a guest", moves::evil_name),
    ("a busy guest is aborted at its deadline", moves::deadline),
    ("a move can be aborted", moves::abort),
    ("a move to a dead host fails and harms nothing", moves::dead_destination),
    ("a half-done move is set right", moves::half_done),
    ("what cannot move is not tried", moves::immovable),
    ("a frozen libvirtd costs nobody else", faults::frozen_libvirtd),
    ("a stopped libvirtd is told", faults::stopped_libvirtd),
    ("a silent host times out and comes back", faults::silent_host),
    ("wrong keys and unknown hosts are told apart", faults::keys),
    ("a folder that is not mounted is told", faults::missing_folder),
    ("the guard refuses and opens its doors again", power::refusals),
    ("a host is switched off and woken without its folder", power::off_and_on),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = args.split_first()
        && first == "lab-internal"
    {
        return match dormouse_lab::internal_main(rest) {
            Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    if std::env::var("DORMOUSE_TEST_LAB").as_deref() != Ok("1") {
        println!("skipped: the lab needs root; set DORMOUSE_TEST_LAB=1 to run it");
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let bench = match Bench::up() {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("FAILED: the lab does not come up: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut all_passed = true;
    for (name, scenario) in SCENARIOS
        .iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word.as_str())))
    {
        let start = Instant::now();
        let passed = std::panic::catch_unwind(AssertUnwindSafe(|| scenario(&bench))).is_ok();
        println!(
            "{} {name} ({:.1} s)",
            if passed { "ok    " } else { "FAILED" },
            start.elapsed().as_secs_f64()
        );
        if !passed {
            println!("       the others need the lab as this one should have left it");
            all_passed = false;
            break;
        }
    }
    bench.down();
    if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
