//! `cargo xtask chaos`: the fault simulation of `dormouse simulate --chaos` on this checkout, in portions. What was played is
//! kept beside the build, so that a long run that was ended goes on where it was; a failure is told with its commit.

use crate::run::{cargo, output, root, succeeds};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A portion takes a minute or so on a small machine; what an interrupted run loses is one.
const PORTION: u64 = 1000;

const USAGE: &str = "\
cargo xtask chaos [--seeds N] [--first K] [--portion P] [--resume] [--threads N] [--keep DIR]";

#[derive(Debug, PartialEq, Eq)]
struct Args {
    first: u64,
    seeds: u64,
    portion: u64,
    /// Goes on with the run of this commit that was ended.
    resume: bool,
    /// For the verb itself.
    passed: Vec<String>,
}

impl Args {
    fn parse(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut args = Self { first: 1, seeds: 1000, portion: PORTION, resume: false, passed: vec![] };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} wants a value\n{USAGE}"));
            match word.as_str() {
                "--first" => args.first = number(&value()?)?,
                "--seeds" => args.seeds = number(&value()?)?,
                "--portion" => args.portion = number(&value()?)?.max(1),
                "--resume" => args.resume = true,
                "--threads" | "--keep" => {
                    let value = value()?;
                    args.passed.extend([word, value]);
                }
                _ => bail!("unknown argument `{word}`\n{USAGE}"),
            }
        }
        Ok(args)
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("`{text}` is no number\n{USAGE}"))
}

/// How far a run has come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    commit: String,
    first: u64,
    seeds: u64,
    played: u64,
    simulated_h: u64,
    /// Seeds that broke a rule, with what was seen first.
    failed: Vec<(u64, String)>,
}

impl Run {
    fn to_json(&self) -> Value {
        json!({
            "commit": self.commit, "first": self.first, "seeds": self.seeds, "played": self.played,
            "simulated_h": self.simulated_h, "failed": self.failed,
        })
    }

    fn from_json(kept: &Value) -> Option<Self> {
        let number = |key: &str| kept.get(key)?.as_u64();
        let failed = kept
            .get("failed")?
            .as_array()?
            .iter()
            .map(|pair| Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_str()?.to_owned())));
        Some(Self {
            commit: kept.get("commit")?.as_str()?.to_owned(),
            first: number("first")?,
            seeds: number("seeds")?,
            played: number("played")?,
            simulated_h: number("simulated_h")?,
            failed: failed.collect::<Option<_>>()?,
        })
    }

    /// Takes in what the verb said of a portion, and answers how many of its seeds were played.
    fn add(&mut self, report: &Value) -> Result<u64> {
        let number =
            |key: &str| report.get(key).and_then(Value::as_u64).with_context(|| format!("no `{key}`"));
        let played = number("seeds")?;
        self.played += played;
        self.simulated_h += number("simulated_h")?;
        for failure in report.get("failed").and_then(Value::as_array).context("no `failed`")? {
            let seed = failure.get("seed").and_then(Value::as_u64).context("no `seed`")?;
            let first = &failure["violations"][0];
            let word = |key: &str| first[key].as_str().unwrap_or("?").to_owned();
            self.failed.push((seed, format!("{}: {}", word("invariant"), word("text"))));
        }
        Ok(played)
    }

    fn told(&self) -> String {
        format!(
            "{} seeds from {}, {} hours of cluster time, {} broke a rule",
            self.played,
            self.first,
            self.simulated_h,
            self.failed.len()
        )
    }

    fn failures_told(&self) -> String {
        let lines = self.failed.iter().map(|(seed, why)| {
            format!(
                "seed {seed} broke {why}\n  on commit {}; `cargo xtask chaos --first {seed} --seeds 1` repeats it\n",
                self.commit
            )
        });
        lines.collect()
    }
}

/// Plays seeds in portions; `--resume` goes on with the run of this commit that was ended.
pub(crate) fn chaos(words: impl Iterator<Item = String>) -> Result<bool> {
    let args = Args::parse(words)?;
    if !succeeds(&mut cargo(["build", "--release", "--locked", "-p", "dormouse"]))? {
        return Ok(false);
    }
    let mut run = Run { commit: commit(), first: args.first, seeds: args.seeds, ..Run::default() };
    if args.resume {
        run = kept(&run.commit)?;
    }
    println!("commit {}; {} seeds from {}", run.commit, run.seeds, run.first);
    while run.played < run.seeds {
        let portion = args.portion.min(run.seeds - run.played);
        let first = run.first + run.played;
        let known = run.failed.len();
        let played = run.add(&play(first, portion, &args.passed)?)?;
        std::fs::write(place(), run.to_json().to_string()).context("cannot keep how far it has come")?;
        println!("{}; next --first {}", run.told(), run.first + run.played);
        if played < portion {
            println!("the portion from {first} ended after {} failures", run.failed.len() - known);
            break;
        }
    }
    print!("{}", run.failures_told());
    println!("{}, on commit {}", run.told(), run.commit);
    Ok(run.failed.is_empty())
}

/// So many seeds for CI: a minute and a half of processor time.
const SAMPLE: u64 = 4_000;

/// The first seeds, with the program that is built already.
pub(crate) fn sample() -> Result<bool> {
    let mut run = Run { commit: commit(), first: 1, seeds: SAMPLE, ..Run::default() };
    run.add(&play(run.first, run.seeds, &[])?)?;
    print!("{}", run.failures_told());
    println!("{}, on commit {}", run.told(), run.commit);
    Ok(run.failed.is_empty())
}

/// One portion. The verb fails when a rule was broken, and says so in its report.
fn play(first: u64, seeds: u64, passed: &[String]) -> Result<Value> {
    let mut program = Command::new(root().join("target/release/dormouse"));
    program.current_dir(root()).args(["simulate", "--chaos", "--format", "json"]);
    program.args(["--first", &first.to_string(), "--seeds", &seeds.to_string()]).args(passed);
    let out = program.stderr(Stdio::inherit()).output().context("cannot start the program")?;
    serde_json::from_slice(&out.stdout)
        .with_context(|| format!("seeds from {first}: it ended without a report"))
}

fn place() -> PathBuf {
    root().join("target/chaos.json")
}

/// The run of this commit as it was left.
fn kept(commit: &str) -> Result<Run> {
    let text = std::fs::read_to_string(place()).context("there is no run to go on with")?;
    let kept: Value = serde_json::from_str(&text).context("what was kept is no JSON")?;
    let run = Run::from_json(&kept).context("what was kept is of another shape")?;
    ensure!(run.commit == commit, "the run that was kept is of commit {}, this is {commit}", run.commit);
    Ok(run)
}

fn commit() -> String {
    let git = |args: &[&str]| output(Command::new("git").current_dir(root()).args(args));
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_ok_and(|text| !text.is_empty());
    format!("{}{}", commit.trim(), if changed { " with changes" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Args> {
        Args::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_of_the_verb_are_passed_on_and_others_refused() {
        let args = words("--seeds 200000 --first 7 --threads 2 --resume").expect("sound");
        assert_eq!((args.first, args.seeds, args.portion, args.resume), (7, 200_000, PORTION, true));
        assert_eq!(args.passed, ["--threads", "2"]);
        for wrong in ["--seeds", "--seeds many", "--sedes 7"] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn portions_add_up_and_what_is_kept_goes_on() {
        let mut run = Run { commit: "c0ffee".to_owned(), first: 1, seeds: 30, ..Run::default() };
        let violation = json!({"invariant": "I7", "at": 5, "text": "h1 was woken again"});
        let bad = json!({"seeds": 10, "simulated_h": 18, "failed": [{"seed": 4, "violations": [violation]}]});
        let good = json!({"seeds": 10, "simulated_h": 20, "failed": []});
        assert_eq!(run.add(&bad).expect("a report"), 10);
        let mut again = Run::from_json(&run.to_json()).expect("its own shape");
        assert_eq!(again, run);
        again.add(&good).expect("a report");
        assert_eq!(again.told(), "20 seeds from 1, 38 hours of cluster time, 1 broke a rule");
        assert_eq!(
            again.failures_told(),
            "seed 4 broke I7: h1 was woken again\n  on commit c0ffee; \
             `cargo xtask chaos --first 4 --seeds 1` repeats it\n"
        );
        assert!(run.add(&json!({"seeds": 10})).is_err());
    }
}
