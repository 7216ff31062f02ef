//! The program as a person or a script meets it: what is typed, what comes back on both streams, and the exit status.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod calendar;
mod completions;
mod demo;
#[cfg(feature = "live")]
mod doctor;
mod errors;
#[cfg(feature = "etcd")]
mod etcd;
mod export;
mod help;
mod inventory;
#[cfg(feature = "live")]
mod live;
mod plan;
mod pty;
mod readme;
mod replay;
#[cfg(feature = "live")]
mod secrets;
#[cfg(feature = "live")]
mod service;
mod shell;
mod simulate;
#[cfg(feature = "live")]
mod store;
#[cfg(feature = "live")]
mod systemd;
mod why;

use expect_test::Expect;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The lab of 62 hosts that the project grew from, without reserves.
const LAB: &str = "\
cluster ercolani zone=Europe/Rome
host lab[01-62] cpus=2 mem=2048M watts=45/95/3 boot=75s link=1000M
vm pc[01-62]@lab[01-62] vcpus=1 mem=256M cpu=0.02 home=lab[01-62]
policy balanced spare.min=0 spare.target=0 failover=0
window open Mon-Fri 09:00-19:45, Sat 09:00-13:45 goal=spread up-by=-30m
";

/// A folder to type in.
struct Terminal {
    folder: TempDir,
}

impl Terminal {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// A terminal in a folder with one file, called `cluster`.
    fn with(cluster: &str) -> Self {
        let terminal = Self::new();
        std::fs::write(terminal.folder.path().join("cluster"), cluster).unwrap();
        terminal
    }

    /// Types `dormouse …` and shows everything that comes back.
    fn type_in(&self, line: &str) -> String {
        self.feed(line, "")
    }

    /// The same with something on its stdin.
    fn feed(&self, line: &str, input: &str) -> String {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            // Programs of this machine are no part of what is shown.
            .env("PATH", self.folder.path())
            .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(mut stdin) = process.stdin.take() {
            // One that ends at a mistake does not read on.
            _ = stdin.write_all(input.as_bytes());
        }
        let out = process.wait_with_output().unwrap();
        let mut shown = format!("$ dormouse {line}\n");
        shown += &masked(&String::from_utf8(out.stdout).unwrap());
        for stderr in String::from_utf8(out.stderr).unwrap().lines() {
            shown += format!("stderr: {stderr}").trim_end();
            shown.push('\n');
        }
        shown + &format!("exit status {}\n", out.status.code().unwrap())
    }

    fn check(&self, line: &str, expected: Expect) {
        expected.assert_eq(&self.type_in(line));
    }

    /// The first lines of the output are enough.
    fn check_head(&self, line: &str, lines: usize, expected: Expect) {
        let shown = self.type_in(line);
        expected
            .assert_eq(&shown.lines().take(lines + 1).map(|line| format!("{line}\n")).collect::<String>());
    }

    /// What it printed, as JSON.
    fn json(&self, line: &str) -> serde_json::Value {
        let shown = self.type_in(line);
        let body = shown.split_once('\n').unwrap().1.rsplit_once("exit status 0").unwrap().0;
        serde_json::from_str(body).unwrap()
    }
}

/// Times that differ from run to run.
fn masked(text: &str) -> String {
    let mask = |line: &str| match ["\"planning_ms\": ", "\"wall_ms\": "]
        .iter()
        .find_map(|key| Some(line.find(key)? + key.len()))
    {
        Some(end) => format!("{}0{}", &line[..end], if line.ends_with(',') { "," } else { "" }),
        None => line.to_owned(),
    };
    text.lines().map(|line| mask(line) + "\n").collect()
}
