//! Rows that replay recorded demand: the program itself is run on the days of PlanetLab, and its JSON read.

use super::cost::user_time_of_children;
use super::table::{Row, Table, Verdict};
use crate::run::{cargo, output, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Nothing kept back and hosts filled up: what is compared with the bound of the VMs alone.
const BARE: &[&str] = &["spare.min=0", "spare.target=0", "failover=0", "load.high=1", "cpu.target=0.95"];
const SAFE: &[&str] = &["spare.min=0", "spare.target=0", "failover=1", "load.high=1", "cpu.target=0.95"];
/// As a user has it who sets nothing.
const USUAL: &[&str] = &[];

/// A row that replays all days.
struct Case {
    name: &'static str,
    reach: &'static str,
    rules: &'static str,
    set: &'static [&'static str],
    judge: fn(&[Figures]) -> (String, bool),
}

const CASES: [Case; 3] = [
    Case {
        name: "PlanetLab, honest",
        reach: "each day: E 1.005 x sound bound, 1.041 x floor; unserved 0.003 %; 10 moves; no violation",
        rules: "honest",
        set: BARE,
        judge: honest,
    },
    Case {
        name: "PlanetLab, honest, failover=1",
        reach: "each day: E 1.045 x floor; no violation",
        rules: "honest",
        set: SAFE,
        judge: safe,
    },
    Case {
        name: "PlanetLab, churn",
        reach: "each day: E 1.06 x the bound step by step; waiting under 0.1 % of VM-minutes; two moves per VM",
        rules: "churn",
        set: USUAL,
        judge: churn,
    },
];

const OURS: &str = "balanced";
const PEERS: [&str; 3] = ["thr-mmt-0.8", "lr-mmt-1.2", "emptiest-first"];

const ONE_DAY: (&str, &str) = ("one PlanetLab day, 800 hosts, replayed", "under 0.5 s of CPU");

/// What one day came to.
struct Figures {
    over_bound: f64,
    over_floor: f64,
    unserved: f64,
    waiting: f64,
    moves: f64,
    moves_vm: f64,
    violations: usize,
}

impl Figures {
    fn read(day: &Value) -> Result<Self> {
        let number = |key: &str| day[key].as_f64().with_context(|| format!("the replay tells no `{key}`"));
        Ok(Self {
            over_bound: number("over_bound")?,
            over_floor: number("over_floor")?,
            unserved: number("unserved_share")?,
            waiting: number("waiting_share")?,
            moves: number("migrations")?,
            moves_vm: number("moves_vm_day")?,
            violations: day["violations"].as_array().context("the replay tells no `violations`")?.len(),
        })
    }
}

fn worst(days: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    days.iter().map(of).fold(0.0, f64::max)
}

fn violations(days: &[Figures]) -> usize {
    days.iter().map(|day| day.violations).sum()
}

fn honest(days: &[Figures]) -> (String, bool) {
    let (bound, floor) = (worst(days, |day| day.over_bound), worst(days, |day| day.over_floor));
    let (unserved, moves) = (worst(days, |day| day.unserved), worst(days, |day| day.moves));
    let broken = violations(days);
    let told = format!(
        "worst of {} days: E {bound:.4} x bound, {floor:.4} x floor; unserved {:.4} %; {moves:.0} moves; {broken} violations",
        days.len(),
        unserved * 100.0
    );
    let good = bound <= 1.005 && floor <= 1.041 && unserved <= 0.000_03 && moves <= 10.0 && broken == 0;
    (told, good)
}

fn safe(days: &[Figures]) -> (String, bool) {
    let (floor, broken) = (worst(days, |day| day.over_floor), violations(days));
    let told = format!("worst of {} days: E {floor:.4} x floor; {broken} violations", days.len());
    (told, floor <= 1.045 && broken == 0)
}

fn churn(days: &[Figures]) -> (String, bool) {
    let (bound, waiting) = (worst(days, |day| day.over_bound), worst(days, |day| day.waiting));
    let (moves, broken) = (worst(days, |day| day.moves_vm), violations(days));
    let told = format!(
        "worst of {} days: E {bound:.4} x bound; waiting {:.4} %; {moves:.2} moves per VM; {broken} violations",
        days.len(),
        waiting * 100.0
    );
    (told, bound <= 1.06 && waiting < 0.001 && moves <= 2.0 && broken == 0)
}

pub(super) fn rows(data: Option<&Path>, quick: bool, table: &mut Table) {
    let ready = ready(data, quick);
    for case in CASES {
        let measured = match &ready {
            Ok(ready) => {
                ready.replay(case.rules, OURS, case.set, &ready.days).map(|days| (case.judge)(&days))
            }
            Err(why) => Err(anyhow::anyhow!("{why}")),
        };
        add(table, case.name, case.reach, ready.is_err(), measured);
    }
    if let (Ok(ready), false) = (&ready, quick) {
        for peer in PEERS {
            add_peer(table, ready, peer);
        }
    }
    let measured = match &ready {
        Ok(ready) => ready.one_day(),
        Err(why) => Err(anyhow::anyhow!("{why}")),
    };
    add(table, ONE_DAY.0, ONE_DAY.1, ready.is_err(), measured);
}

/// What the literature's policies come to under the same rules.
fn add_peer(table: &mut Table, ready: &Ready, policy: &str) {
    match ready.replay("honest", policy, &[], &ready.days) {
        Ok(days) => table.add(Row {
            case: format!("PlanetLab, honest: {policy}"),
            reach: "-".to_owned(),
            measured: honest(&days).0,
            verdict: Verdict::Told,
        }),
        Err(error) => table.fail(policy, &error),
    }
}

fn add(table: &mut Table, case: &str, reach: &str, skipped: bool, measured: Result<(String, bool)>) {
    let (measured, verdict) = match measured {
        Ok((told, true)) => (told, Verdict::Met),
        Ok((told, false)) => (told, Verdict::Missed),
        Err(error) if skipped => (format!("{error:#}"), Verdict::Skipped),
        Err(error) => return table.fail(case, &error),
    };
    table.add(Row { case: case.to_owned(), reach: reach.to_owned(), measured, verdict });
}

/// The program and the days to replay.
struct Ready {
    program: PathBuf,
    days: Vec<PathBuf>,
}

/// What is there, or a word on what is missing.
fn ready(data: Option<&Path>, quick: bool) -> Result<Ready, String> {
    let data = data.ok_or("without --data DIR there are no days to replay")?;
    let folder = Some(data.join("planetlab")).filter(|folder| folder.is_dir()).unwrap_or(data.to_path_buf());
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let name = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut days: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| name(path).ends_with(".csv") || name(path).ends_with(".csv.gz"))
        .collect();
    days.sort();
    if quick {
        days.truncate(1);
    }
    if days.is_empty() {
        return Err(format!("{} holds no .csv and no .csv.gz", folder.display()));
    }
    let build = ["build", "--release", "--locked", "-p", "dormouse"];
    // Without libvirt on this machine the program is built without what needs it.
    output(&mut cargo(build))
        .or_else(|_| output(cargo(build).arg("--no-default-features")))
        .map_err(|error| format!("{error:#}"))?;
    Ok(Ready { program: root().join("target/release/dormouse"), days })
}

impl Ready {
    fn replay(&self, rules: &str, policy: &str, set: &[&str], days: &[PathBuf]) -> Result<Vec<Figures>> {
        let mut command = Command::new(&self.program);
        command.args(["replay", "--fleet", "planetlab", "--policy", policy, "--format", "json"]);
        command.args(["--rules", rules]);
        set.iter().for_each(|knob| _ = command.args(["--set", knob]));
        // A day with a violation ends with a failure, and tells its figures all the same.
        let out = command.args(days).output().context("cannot start dormouse")?;
        let told: Value = serde_json::from_slice(&out.stdout)
            .with_context(|| String::from_utf8_lossy(&out.stderr).trim().to_owned())?;
        let days = told.as_array().context("the replay tells no days")?;
        ensure!(!days.is_empty(), "the replay tells no days");
        days.iter().map(Figures::read).collect()
    }

    fn one_day(&self) -> Result<(String, bool)> {
        let before = user_time_of_children()?;
        self.replay("honest", OURS, BARE, &self.days[..1])?;
        let spent = user_time_of_children()? - before;
        Ok((format!("{spent:.2} s, reading the trace included"), spent < 0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(over_bound: f64, moves: u32) -> Figures {
        let told = serde_json::json!({
            "over_bound": over_bound, "over_floor": 1.03, "unserved_share": 0.0, "waiting_share": 0.0,
            "migrations": moves, "moves_vm_day": 1, "violations": [],
        });
        Figures::read(&told).unwrap()
    }

    #[test]
    fn the_worst_day_counts() {
        assert!(honest(&[day(1.001, 0), day(1.004, 10)]).1);
        assert!(!honest(&[day(1.001, 0), day(1.006, 0)]).1);
        assert!(!honest(&[day(1.001, 11)]).1);
        assert!(churn(&[day(1.05, 400)]).1);
        assert!(!churn(&[day(1.07, 400)]).1);
    }

    #[test]
    fn a_figure_that_is_missing_is_told() {
        let error = Figures::read(&serde_json::json!({"over_bound": 1.0})).err().unwrap();
        assert_eq!(error.to_string(), "the replay tells no `over_floor`");
    }

    #[test]
    fn without_data_nothing_is_replayed() {
        let why = ready(None, false).err().unwrap();
        assert_eq!(why, "without --data DIR there are no days to replay");
    }
}
