//! Rules on Rust sources: what may be named where.

use super::lex::{self, Line};
use super::{File, Finding};

/// Longest source file. Beyond it a file holds two ideas.
const LINES_MAX: usize = 600;

/// Decide and nothing else: no clock, chance, async, logging, file or socket.
pub(super) const PURE: [&str; 3] = ["model", "planner", "control"];
/// Must give the same bytes on every run.
const REPEATABLE: [&str; 4] = ["model", "planner", "control", "sim"];
/// May talk to people.
const SPEAKING: [&str; 2] = ["dormouse", "xtask"];

/// Words that may not stand in code, where, and what to write instead.
struct Banned {
    words: &'static [&'static str],
    applies: fn(&Place) -> bool,
    what: &'static str,
    instead: &'static str,
}

/// Where a line stands.
struct Place<'a> {
    krate: &'a str,
    /// In `#[cfg(test)]`, `tests.rs`, `tests/`, `examples/` or `benches/`.
    test: bool,
    /// A program of its own: a tool for people, or a build script talking to cargo.
    speaks: bool,
}

impl Place<'_> {
    fn pure(&self) -> bool {
        PURE.contains(&self.krate) && !self.test
    }
}

const BANNED: &[Banned] = &[
    Banned {
        words: &["Instant", "SystemTime", "UNIX_EPOCH", "::now("],
        applies: |place| place.pure(),
        what: "a pure crate has no clock",
        instead: "take the time as an argument (`Now`, `Mono`)",
    },
    Banned {
        words: &["std::fs", "std::net", "std::env", "std::process", "std::thread", "std::io", "std::os"],
        applies: |place| place.pure(),
        what: "a pure crate does no I/O",
        instead: "take text as `&str`, return an `Effect`, and let the rim do it",
    },
    Banned {
        words: &["async fn", "async move", ".await"],
        applies: |place| place.pure(),
        what: "a pure crate does not wait",
        instead: "return an `Effect` and take its outcome as the next `Event`",
    },
    Banned {
        words: &["HashMap", "HashSet", "RandomState"],
        applies: |place| REPEATABLE.contains(&place.krate) && !place.test,
        what: "the order of a hash table differs from run to run",
        instead: "use `BTreeMap`, or a `Vec` indexed by the id",
    },
    Banned {
        words: &["f32", "f64"],
        applies: |place| matches!(place.krate, "planner" | "control") && !place.test,
        what: "a decision on floats differs from machine to machine",
        instead: "use the integer units of `model` (`Mib`, `MilliCpu`, `Permille` …)",
    },
    Banned {
        words: &["println!", "print!", "eprintln!", "eprint!"],
        applies: |place| !place.speaks && !place.test,
        what: "only the binary talks to people",
        instead: "return a value that `dormouse` prints, or use `tracing` in the rim",
    },
    Banned {
        words: &["todo!", "unimplemented!", "dbg!"],
        applies: |_| true,
        what: "a left-over",
        instead: "finish it, or return an error that says what cannot be done",
    },
    Banned {
        words: &["allow(dead_code)", "allow(unused)"],
        applies: |_| true,
        what: "code that nobody calls",
        instead: "delete it; git keeps it",
    },
    Banned {
        words: &["#[ignore]"],
        applies: |_| true,
        what: "an ignored test without its needs",
        instead: "write `#[ignore = \"needs …\"]` (xtask/src/machine.rs says which), or fix or delete the test",
    },
];

/// Words that may not stand in comments.
const NOTES: [&str; 3] = ["FIXME", "XXX", "TODO"];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let lines = lex::lines(&file.text);
    let mut findings = Vec::new();
    let count = file.text.lines().count();
    if count > LINES_MAX {
        let instead = format!("split it by idea; {LINES_MAX} is the limit");
        findings.push(file.finding(0, format!("{count} lines"), instead));
    }
    findings.extend(header(file));
    for (at, line) in lines.iter().enumerate() {
        findings.extend(words(file, at + 1, line));
    }
    findings.extend(grouped_imports(file, &lines));
    findings
}

/// A module says what it decides or touches; a pure crate also says what is absent from it.
fn header(file: &File) -> Option<Finding> {
    let (_, inside) = file.path.split_once("src/")?;
    if file.path.ends_with("/tests.rs") {
        return None;
    }
    if !file.text.starts_with("//!") {
        let instead = "begin with `//!`: what it decides or touches, and what it never does";
        return Some(file.finding(1, "no header", instead));
    }
    if inside != "lib.rs" || !PURE.contains(&file.krate()) {
        return None;
    }
    let missing = ["//! Absent from this crate:", "#![forbid(unsafe_code)]"]
        .into_iter()
        .find(|wanted| !file.text.lines().any(|line| line.starts_with(wanted)))?;
    Some(file.finding(1, format!("a pure crate without `{missing}`"), "say it at the top of lib.rs"))
}

fn words(file: &File, number: usize, line: &Line) -> Vec<Finding> {
    let place = place(file, line.test);
    let mut findings = Vec::new();
    for ban in BANNED.iter().filter(|ban| (ban.applies)(&place)) {
        if let Some(word) = ban.words.iter().find(|word| names(&line.code, word)) {
            findings.push(file.finding(number, format!("`{word}`: {}", ban.what), ban.instead));
        }
    }
    if let Some(note) = NOTES.iter().find(|note| names(&line.comment, note)) {
        let instead = "open an issue, or say in a sentence what is missing and why that is fine";
        findings.push(file.finding(number, format!("`{note}` in a comment"), instead));
    }
    findings
}

fn place(file: &File, test: bool) -> Place<'_> {
    let folders = ["/tests/", "/examples/", "/benches/", "/tests.rs"];
    let tool = file.path.contains("/src/bin/");
    Place {
        krate: file.krate(),
        test: test || folders.iter().any(|folder| file.path.contains(folder)),
        speaks: tool || file.path.ends_with("/build.rs") || SPEAKING.contains(&file.krate()),
    }
}

/// Whether `text` holds `word`, and not as a part of a longer one.
fn names(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        let glued = (found.starts_with(part) && before.is_some_and(part))
            || (found.ends_with(part) && after.is_some_and(part));
        !glued
    })
}

/// `use std::{fs, …}` in a pure crate, over as many lines as it takes.
fn grouped_imports(file: &File, lines: &[Line]) -> Vec<Finding> {
    if !PURE.contains(&file.krate()) || place(file, false).test {
        return Vec::new();
    }
    let code: Vec<&str> = lines.iter().map(|line| if line.test { "" } else { line.code.as_str() }).collect();
    let code = code.join("\n");
    let mut findings = Vec::new();
    for (at, _) in code.match_indices("use std::{") {
        let group = code[at..].split(';').next().unwrap_or_default();
        let number = code[..at].matches('\n').count() + 1;
        for word in ["fs", "net", "env", "process", "thread", "io", "os"] {
            if names(group, word) {
                let instead = "take text as `&str`, return an `Effect`, and let the rim do it";
                findings.push(file.finding(
                    number,
                    format!("`std::{word}`: a pure crate does no I/O"),
                    instead,
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tidy says of a source at a path, one line each, without the advice.
    fn said(path: &str, text: &str) -> Vec<String> {
        let text = if text.starts_with("//!") { text.to_owned() } else { format!("//! Header.\n{text}") };
        let file = File { path: path.to_owned(), text };
        check(&file).into_iter().map(|one| format!("{}: {}", one.line, one.what)).collect()
    }

    const PLANNER: &str = "crates/planner/src/compact.rs";

    #[test]
    fn each_rule_catches_its_planted_sample() {
        for (path, sample, expected) in [
            (PLANNER, "use std::time::Instant;", "2: `Instant`: a pure crate has no clock"),
            (PLANNER, "let t = jiff::Timestamp::now();", "2: `::now(`: a pure crate has no clock"),
            (PLANNER, "let t = std::env::var(a);", "2: `std::env`: a pure crate does no I/O"),
            (PLANNER, "use std::{\n    fmt,\n    fs,\n};", "2: `std::fs`: a pure crate does no I/O"),
            (PLANNER, "pub async fn plan() {}", "2: `async fn`: a pure crate does not wait"),
            (
                "crates/sim/src/world.rs",
                "use std::collections::HashMap;",
                "2: `HashMap`: the order of a hash table differs from run to run",
            ),
            (
                PLANNER,
                "let a = 1.0_f32 + x as f64;",
                "2: `f64`: a decision on floats differs from machine to machine",
            ),
            ("crates/libvirt/src/probe.rs", "println!();", "2: `println!`: only the binary talks to people"),
            ("crates/dormouse/src/cli.rs", "todo!()", "2: `todo!`: a left-over"),
            ("crates/lab/tests/up.rs", "dbg!(a);", "2: `dbg!`: a left-over"),
            ("crates/lab/src/up.rs", "#[allow(dead_code)]", "2: `allow(dead_code)`: code that nobody calls"),
            ("crates/lab/tests/up.rs", "#[ignore]", "2: `#[ignore]`: an ignored test without its needs"),
            ("crates/lab/src/up.rs", "// FIXME later", "2: `FIXME` in a comment"),
        ] {
            assert_eq!(said(path, sample), [expected], "{sample}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_left_alone() {
        for (path, sample) in [
            (PLANNER, "// Instant, println!, std::fs and f64 in a comment"),
            (PLANNER, "let a = \"todo! FIXME HashMap\";"),
            (PLANNER, "#[cfg(test)]\nmod tests {\n    use std::time::Instant;\n}"),
            (PLANNER, "let instantly = NowInstantly; known::nowhere();"),
            ("crates/planner/tests/laws.rs", "use std::collections::HashSet;"),
            ("crates/planner/examples/bench.rs", "println!(\"{:?}\", std::time::Instant::now());"),
            ("crates/libvirt/src/probe.rs", "let t = std::time::Instant::now();"),
            ("crates/libvirt/build.rs", "println!();"),
            ("crates/lab/src/bin/labctl.rs", "println!();"),
            ("crates/dormouse/src/cli.rs", "println!();"),
            ("crates/lab/tests/up.rs", "#[ignore = \"needs the lab\"]"),
        ] {
            assert_eq!(said(path, sample), [""; 0], "{sample}");
        }
    }

    #[test]
    fn headers_and_length() {
        let long = "//! Header.\n".to_owned() + &"fn a() {}\n".repeat(LINES_MAX);
        assert_eq!(said("crates/lab/src/up.rs", &long), ["0: 601 lines"]);
        let bare = File { path: "crates/lab/src/up.rs".to_owned(), text: "fn a() {}\n".to_owned() };
        assert_eq!(check(&bare).len(), 1);
        assert_eq!(
            said("crates/model/src/lib.rs", "//! Nouns.\n#![forbid(unsafe_code)]\n"),
            ["1: a pure crate without `//! Absent from this crate:`"]
        );
        assert_eq!(
            said("crates/model/src/lib.rs", "//! Nouns.\n//!\n//! Absent from this crate: all.\n"),
            ["1: a pure crate without `#![forbid(unsafe_code)]`"]
        );
    }
}
