//! The drivers against real libvirtd, QEMU and sshd: a lab of three hosts with a guest each, built here and removed
//! again.
//!
//! Scenarios run one after the other on one lab, and each leaves it as it found it. To whoever runs tests they are
//! ignored tests that need the lab, and this program takes the words that Rust's own harness takes: `--list`,
//! `--ignored`, `--exact`, and names or parts of names (`cargo test --test lab -- --ignored frozen`).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test program with a main of its own")]

mod bench;
mod cuts;
mod disks;
mod dying_client;
mod faults;
mod locks;
mod looks;
mod moves;
mod power;
mod unfit;

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
    ("a guest whose QEMU dies has crashed, and one that is ended has not", looks::crashes),
    ("addresses, disks and networks are seen in definitions", looks::devices),
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
    ("a host that wakes doubles no VM", power::autostart),
    ("a cut between two hosts ends a move between them", cuts::between_hosts),
    ("a cut that is there before a move leaves it unsure", cuts::before_a_move),
    ("a destination that is not heard leaves a move unsure", cuts::one_way),
    ("libvirtd is started anew in the middle of a copy", cuts::restarted_libvirtd),
    ("a move cannot be turned into post-copy", unfit::post_copy),
    ("wrong names and a dead name server change nothing", unfit::wrong_names),
    ("an older hypervisor refuses a newer machine", unfit::older_hypervisor),
    ("a bridge that is not there refuses the guest", unfit::missing_bridge),
    ("a shared folder that hangs is told", disks::hung_folder),
    ("a full folder holds a guest, and it goes on", disks::full_folder),
    ("a block job is a job", disks::block_job),
    ("a disk that errs ends a move", disks::error_disk),
    ("a second start on one disk is refused by its lock", locks::second_start),
    ("a source that dies takes its guest with it", cuts::dead_source),
];

/// These take long; only `cargo xtask lab-faults`, which sets this variable, or one who names them plays them.
const ALL: &str = "DORMOUSE_LAB_ALL";
const SLOW: &[&str] = &[
    "a cut that is there before a move leaves it unsure",
    "a destination that is not heard leaves a move unsure",
    "a source that dies takes its guest with it",
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
    let all = std::env::var_os(ALL).is_some();
    let wanted = |name: &str| {
        let mut words = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
        let exact = has(&args, "--exact");
        (words.peek().is_none() && (all || !SLOW.contains(&name)))
            || words.any(|word| if exact { name == word } else { name.contains(word.as_str()) })
    };
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(|(name, _)| wanted(name)).collect();
    if has(&args, "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let tally = if !has(&args, "--ignored") && !has(&args, "--include-ignored") {
        chosen.iter().for_each(|(name, _)| println!("test {name} ... ignored, needs the lab"));
        Tally { ignored: chosen.len(), ..Tally::default() }
    } else if chosen.is_empty() {
        Tally::default()
    } else {
        play(&chosen)
    };
    let Tally { passed, failed, ignored } = tally;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {} filtered out\n",
        SCENARIOS.len() - chosen.len()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// Runs them on a lab of their own. The first failure ends it: the others need the lab as each should leave it.
fn play(chosen: &[&Scenario]) -> Tally {
    let mut tally = Tally::default();
    let bench = match Bench::up() {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("the lab does not come up: {error}");
            chosen.iter().for_each(|(name, _)| println!("test {name} ... FAILED"));
            return Tally { failed: chosen.len(), ..tally };
        }
    };
    for (name, scenario) in chosen {
        if tally.failed > 0 {
            println!("test {name} ... ignored, not tried after the failure above");
            tally.ignored += 1;
            continue;
        }
        let start = Instant::now();
        if std::panic::catch_unwind(AssertUnwindSafe(|| scenario(&bench))).is_ok() {
            println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
            tally.passed += 1;
        } else {
            println!("test {name} ... FAILED");
            tally.failed += 1;
        }
    }
    bench.down();
    tally
}

fn has(args: &[String], option: &str) -> bool {
    args.iter().any(|arg| arg == option)
}
