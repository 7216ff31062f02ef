//! Ganeti's planners on the same clusters, in the same run: `hsqueeze` (pack and power off) and `hbal` (one move).
//!
//! Three traps: htools never fills a node to its last MiB, so each node is given one more; its policy counts virtual
//! processors as if all were busy, so nodes are given plenty; and without `--target-resources=0` it keeps room for one
//! more instance on every node.

use crate::clusters::{Mixed, NIGHT, lab};
use crate::machine::{cost, millis, of_children};
use crate::{Row, Verdict};
use dormouse_model::{PlanId, Snapshot};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) fn ganeti(quick: bool) -> Vec<Row> {
    let lab = if quick { small_lab() } else { lab() };
    let (hosts, vms) = if quick { (50, 500) } else { (200, 2000) };
    vec![squeeze(&lab), one_move(&Mixed::of(hosts, vms).picture())]
}

/// The lab, a quarter of it: hsqueeze takes a minute for the whole.
fn small_lab() -> Snapshot {
    let mut lab = lab();
    lab.hosts.truncate(16);
    lab.vms.truncate(16);
    lab
}

fn row(case: String, measured: io::Result<String>) -> Row {
    let (measured, verdict) = match measured {
        Ok(measured) => (measured, Verdict::Told),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ("the Debian package ganeti-htools is not installed".to_owned(), Verdict::Skipped)
        }
        Err(error) => (format!("it failed: {error}"), Verdict::Skipped),
    };
    Row { case, reach: "-".to_owned(), measured, verdict }
}

/// Our processor time for the same cluster.
fn ours(snapshot: &Snapshot) -> Duration {
    cost(|| dormouse_planner::plan(snapshot, NIGHT, PlanId(1)))
}

fn against(theirs: Duration, ours: Duration) -> String {
    let factor = theirs.as_nanos() / ours.as_nanos().max(1);
    format!("{} against our {}, {factor} times as long", millis(theirs), millis(ours))
}

fn squeeze(snapshot: &Snapshot) -> Row {
    let size = snapshot.hosts.len();
    let measured = feed("hsqueeze", &["--target-resources=0", "-C"], snapshot).map(|(said, spent)| {
        let offline =
            said.lines().filter(|line| line.trim_start().starts_with("gnt-node power -f off")).count();
        let moves = said.lines().filter(|line| line.contains("gnt-instance migrate")).count();
        format!("{} hosts, {moves} moves, {}", size - offline, against(spent, ours(snapshot)))
    });
    row(format!("the seed's lab, {size} x {size}: hsqueeze"), measured)
}

fn one_move(snapshot: &Snapshot) -> Row {
    let (hosts, vms) = (snapshot.hosts.len(), snapshot.vms.len());
    let measured = feed("hbal", &["-l", "1"], snapshot)
        .map(|(_, spent)| format!("one move: {} (for all of them)", against(spent, ours(snapshot))));
    row(format!("{hosts} x {vms}: hbal"), measured)
}

/// Runs a program of htools on this cluster: what it printed, and its user time.
fn feed(program: &str, args: &[&str], snapshot: &Snapshot) -> io::Result<(String, Duration)> {
    let before = of_children();
    let mut child = Command::new(program)
        .args(["-t", "/dev/stdin"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text(snapshot).as_bytes())?;
    }
    let out = child.wait_with_output()?;
    if !out.status.success() {
        return Err(io::Error::other(format!("{program} ended with {}", out.status)));
    }
    Ok((String::from_utf8_lossy(&out.stdout).into_owned(), of_children().saturating_sub(before)))
}

/// The text format of htools: node groups, nodes, instances, tags, policy; an empty line between.
fn text(snapshot: &Snapshot) -> String {
    let mut text = String::from("group|uuid|preferred||\n\n");
    let mut line =
        |words: std::fmt::Arguments<'_>| writeln!(text, "{words}").expect("a string takes everything");
    for host in snapshot.host_ids() {
        let spec = &snapshot.host(host).spec;
        let mem = spec.mem.0 + 1;
        let free = mem - snapshot.mem_used(host).0;
        let master = if host.index() == 0 { "M" } else { "N" };
        line(format_args!("{}|{mem}|0|{free}|1000|1000|1000|{master}|uuid|16", spec.name));
    }
    line(format_args!(""));
    for vm in &snapshot.vms {
        let at = vm.state.host().map_or("", |at| snapshot.host(at).spec.name.as_str());
        let (name, mem) = (&vm.spec.name, vm.spec.mem.0);
        line(format_args!("{name}|{mem}|0|{}|running|Y|{at}||ext||1", vm.spec.vcpus));
    }
    line(format_args!("\n|256,1,0,0,1,1|128,1,0,0,1,1;8192,8,0,0,2,2|ext|64.0|64.0\n"));
    text
}
