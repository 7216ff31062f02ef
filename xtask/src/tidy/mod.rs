//! House rules as a check. Every message names what to do instead.
//!
//! Reads the tree and cargo's view of the dependencies; changes nothing. A rule lives here when a reviewer would
//! otherwise have to say the same thing twice. What clippy or rustfmt can say is left to them.

mod covered;
mod deps;
mod lex;
mod rust;
mod scenarios;
mod text;

use anyhow::{Context, Result};
use std::fmt;
use std::fs;
use std::path::Path;

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// From 1; 0 when the whole file or folder is meant.
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) instead: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, instead } = self;
        match line {
            0 => write!(f, "{path}: {what}; {instead}"),
            line => write!(f, "{path}:{line}: {what}; {instead}"),
        }
    }
}

/// A text file of the tree.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn finding(
        &self,
        line: usize,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into(), instead: instead.into() }
    }

    /// The crate it belongs to: `planner` for `crates/planner/src/lib.rs`.
    pub(crate) fn krate(&self) -> &str {
        match self.path.strip_prefix("crates/") {
            Some(rest) => rest.split('/').next().unwrap_or_default(),
            None => self.path.split('/').next().unwrap_or_default(),
        }
    }
}

/// Every rule on the whole tree.
pub(crate) fn all(root: &Path) -> Result<(Vec<Finding>, covered::Tally)> {
    let mut files = Vec::new();
    gather(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings = Vec::new();
    for file in &files {
        findings.extend(text::check(file, root));
        if file.path.ends_with(".rs") {
            findings.extend(rust::check(file));
        }
    }
    findings.extend(scenarios::check(files.iter().map(|file| file.path.as_str())));
    findings.extend(deps::check(root)?);
    let (gaps, tally) = covered::check(&files)?;
    findings.extend(gaps);
    Ok((findings, tally))
}

/// Text files below `dir`; what git ignores at the root and what is not UTF-8 is passed over.
fn gather(root: &Path, dir: &Path, files: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if name != ".git" && !(dir == root && (name == "target" || name == "out")) {
                gather(root, &path, files)?;
            }
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push(File { path, text });
        }
    }
    Ok(())
}
