//! Rules on `covered.toml`: each rule and each fault of `docs/faults.md` says which tests hold it, who owns it, or why
//! nothing does yet. A test that is named is there; what lacks one is counted and told, never silently; what is held by
//! simulation alone says why.

use super::{File, Finding};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

const LIST: &str = "docs/faults.md";
const MAP: &str = "covered.toml";

/// How many rows are held by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: usize,
    /// By tests, and nothing is missing.
    pub(crate) covered: usize,
    /// By another part of the program, not tested here.
    pub(crate) owned: usize,
    /// By some tests; something is missing.
    pub(crate) in_part: usize,
    pub(crate) pending: usize,
    /// Of those with tests, the ones that nothing but pure code and the simulator holds.
    pub(crate) simulated: usize,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, covered, owned, in_part, pending, simulated } = self;
        write!(
            f,
            "{rows} rules and faults: {covered} covered, {in_part} in part, {owned} owned elsewhere, {pending} pending; \
             {simulated} by simulation alone"
        )
    }
}

#[derive(Debug, Default)]
struct Row {
    line: usize,
    tests: Vec<String>,
    owner: bool,
    pending: bool,
    simulated: bool,
}

/// Where tests meet what is not ours: hypervisors, shells, a store's members, the program as it is installed.
const REAL: [&str; 6] = [
    "crates/dormouse/examples/lab-faults/",
    "crates/dormouse/tests/",
    "crates/lab/tests/",
    "crates/libvirt/tests/",
    "crates/power/tests/",
    "crates/store/tests/",
];

/// What is wrong with the map, and what it says.
pub(crate) fn check(files: &[File]) -> Result<(Vec<Finding>, Tally)> {
    let file = |path: &str| files.iter().find(|file| file.path == path);
    let (Some(list), Some(map)) = (file(LIST), file(MAP)) else {
        bail!("{LIST} and {MAP} belong to the tree");
    };
    let ids = ids(&list.text);
    let rows = read(&map.text).with_context(|| format!("{MAP} does not read"))?;
    let mut findings: Vec<Finding> = ids
        .iter()
        .filter(|(id, _)| !rows.contains_key(**id))
        .map(|(id, line)| {
            list.finding(
                *line,
                format!("{id} is not in {MAP}"),
                "name its tests, its owner, or why it has none",
            )
        })
        .collect();
    let mut tally = Tally { rows: rows.len(), ..Tally::default() };
    for (id, row) in &rows {
        if !ids.contains_key(id.as_str()) {
            findings.push(map.finding(
                row.line,
                format!("{id} is not in {LIST}"),
                "describe it there, or drop it",
            ));
        }
        for test in row.tests.iter().filter(|test| !exists(files, test)) {
            findings.push(map.finding(
                row.line,
                format!("{id}: there is no {test}"),
                "write `path/to/file.rs::function`, or `scenarios/NAME`",
            ));
        }
        let real = row.tests.iter().any(|test| REAL.iter().any(|place| test.starts_with(place)));
        match (real || row.tests.is_empty(), row.simulated) {
            (false, false) => findings.push(map.finding(
                row.line,
                format!("{id} is held by simulation alone and does not say so"),
                "say why in `simulated = \"…\"`, or try it on something real",
            )),
            (true, true) => findings.push(map.finding(
                row.line,
                format!("{id} calls itself simulated, and is not"),
                "drop `simulated`",
            )),
            (false, true) => tally.simulated += 1,
            (true, false) => {}
        }
        match (row.tests.is_empty(), row.pending, row.owner) {
            (true, false, false) => findings.push(map.finding(
                row.line,
                format!("{id} says nothing"),
                "name its tests, its owner, or why it has none",
            )),
            (false, true, _) => tally.in_part += 1,
            (_, true, _) => tally.pending += 1,
            (true, _, true) => tally.owned += 1,
            (false, ..) => tally.covered += 1,
        }
    }
    Ok((findings, tally))
}

/// `| C01 | … |`: the IDs, each with its line.
fn ids(list: &str) -> BTreeMap<&str, usize> {
    list.lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((line.strip_prefix("| ")?.split(' ').next()?, number)))
        .filter(|(id, _)| {
            id.len() >= 2
                && id.starts_with(|c: char| c.is_ascii_uppercase())
                && id.chars().skip(1).all(|c| c.is_ascii_digit())
        })
        .collect()
}

fn read(text: &str) -> Result<BTreeMap<String, Row>> {
    let table: Table = text.parse()?;
    let lines: BTreeMap<&str, usize> = text
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| Some((line.strip_prefix('[')?.strip_suffix(']')?, number)))
        .collect();
    let mut rows = BTreeMap::new();
    for (id, value) in table {
        let Value::Table(entry) = value else { bail!("{id} is no table") };
        let mut row = Row { line: lines.get(id.as_str()).copied().unwrap_or(0), ..Row::default() };
        for (key, value) in entry {
            match (key.as_str(), value) {
                ("tests", Value::Array(tests)) => {
                    for test in tests {
                        row.tests.push(
                            test.as_str().with_context(|| format!("{id}: a test is a text"))?.to_owned(),
                        );
                    }
                }
                ("owner", Value::String(text)) if !text.is_empty() => row.owner = true,
                ("pending", Value::String(text)) if !text.is_empty() => row.pending = true,
                ("simulated", Value::String(text)) if !text.is_empty() => row.simulated = true,
                _ => bail!(
                    "{id}: `{key}` is not one of tests = [\"…\"], simulated = \"…\", owner = \"…\", pending = \"…\""
                ),
            }
        }
        let each: BTreeSet<&String> = row.tests.iter().collect();
        if each.len() < row.tests.len() {
            bail!("{id} names a test twice");
        }
        rows.insert(id, row);
    }
    Ok(rows)
}

fn exists(files: &[File], test: &str) -> bool {
    if let Some((path, function)) = test.split_once("::") {
        let start = format!("fn {function}(");
        return files.iter().any(|file| file.path == path && file.text.contains(&start));
    }
    let script = format!("{test}/script");
    test.starts_with("scenarios/") && files.iter().any(|file| file.path == script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(map: &str) -> Vec<File> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        vec![
            file(
                LIST,
                "| ID | rule |\n|---|---|\n| I1 | nothing is lost |\n| C01 | killed |\n| U03 | people |\n",
            ),
            file(MAP, map),
            file("crates/power/tests/guard.rs", "#[test]\nfn it_holds() {}\n"),
            file("scenarios/night/script", "run until 13:00\n"),
        ]
    }

    fn said(map: &str) -> Vec<String> {
        check(&tree(map))
            .expect("reads")
            .0
            .iter()
            .map(|one| format!("{}:{} {}", one.path, one.line, one.what))
            .collect()
    }

    #[test]
    fn every_row_says_what_holds_it() {
        let whole = "[I1]\ntests = [\"crates/power/tests/guard.rs::it_holds\", \"scenarios/night\"]\n\
                     [C01]\nowner = \"the store\"\n[U03]\npending = \"nobody wrote it\"\n";
        let (findings, tally) = check(&tree(whole)).expect("reads");
        assert_eq!(findings, []);
        assert_eq!(
            tally.to_string(),
            "3 rules and faults: 1 covered, 0 in part, 1 owned elsewhere, 1 pending; 0 by simulation alone"
        );
    }

    #[test]
    fn what_nothing_real_holds_says_why() {
        let rest = "[C01]\nowner = \"x\"\n[U03]\nowner = \"x\"\n";
        let (findings, tally) =
            check(&tree(&format!("[I1]\ntests = [\"scenarios/night\"]\nsimulated = \"time\"\n{rest}")))
                .expect("reads");
        assert_eq!((findings, tally.simulated), (vec![], 1));
        assert_eq!(
            said(&format!("[I1]\ntests = [\"scenarios/night\"]\n{rest}")),
            ["covered.toml:1 I1 is held by simulation alone and does not say so"]
        );
        assert_eq!(
            said(&format!(
                "[I1]\ntests = [\"crates/power/tests/guard.rs::it_holds\"]\nsimulated = \"x\"\n{rest}"
            )),
            ["covered.toml:1 I1 calls itself simulated, and is not"]
        );
    }

    #[test]
    fn gaps_ghosts_and_empty_rows_are_told() {
        let map = "[I1]\ntests = [\"crates/power/tests/guard.rs::gone\", \"scenarios/day\"]\n[C01]\n[X99]\nowner = \"x\"\n";
        assert_eq!(
            said(map),
            [
                "docs/faults.md:5 U03 is not in covered.toml",
                "covered.toml:3 C01 says nothing",
                "covered.toml:1 I1: there is no crates/power/tests/guard.rs::gone",
                "covered.toml:1 I1: there is no scenarios/day",
                "covered.toml:4 X99 is not in docs/faults.md",
            ]
        );
        assert!(check(&tree("[I1]\ntest = []\n")).is_err(), "a misspelt key is no row that says nothing");
    }
}
