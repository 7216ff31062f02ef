//! What a replay reads: the fleet, the rules, the policies by name, the traces.

use crate::cli::{Failure, safe};
use dormouse_sim::replay::{Fleet, Rules, all};
use dormouse_sim::trace::{Trace, TraceError};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The fleet that needs no file.
pub(super) const PLANETLAB: &str = "planetlab";

/// `--policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PolicyList {
    All,
    These(Vec<String>),
}

pub(super) fn rules(text: &str) -> Result<Rules, String> {
    Rules::ALL
        .into_iter()
        .find(|rules| rules.as_str() == text)
        .ok_or_else(|| "use honest or churn".to_owned())
}

pub(super) fn policies(text: &str) -> Result<PolicyList, String> {
    if text == "all" {
        return Ok(PolicyList::All);
    }
    let mut names: Vec<String> = vec![];
    for name in text.split(',').map(str::trim) {
        if name.is_empty() {
            let known = all().collect::<Vec<_>>().join(", ");
            return Err(format!("name policies, separated by commas, or all: {known}"));
        }
        // Twice the same would be the same row twice.
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }
    Ok(PolicyList::These(names))
}

pub(super) fn fleet(path: &Path) -> Result<Fleet, Failure> {
    if path == Path::new(PLANETLAB) {
        return Ok(Fleet::planetlab());
    }
    let cluster = super::super::input::cluster(path)
        .map_err(|failure| failure.hint("--fleet takes a cluster text or `planetlab`"))?;
    Fleet::of_cluster(&cluster).map_err(|error| {
        Failure::usage(format!("`{}` cannot be used as a fleet", safe(&path.display().to_string())))
            .because(&error)
    })
}

/// Days, one after the other; a file may hold several.
pub(super) fn traces(paths: &[PathBuf]) -> Result<Vec<Trace>, Failure> {
    let mut days = vec![];
    for path in paths {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| {
            Failure::new(format!("cannot read the trace `{}`", safe(&name))).because(&error)
        })?;
        let trace = Trace::read(&name, BufReader::new(file)).map_err(|error| mistake(&name, error))?;
        days.extend(trace.days());
    }
    Ok(days)
}

fn mistake(name: &str, mut error: TraceError) -> Failure {
    let hint = error.mistake.hint.take();
    let failure = Failure::usage(format!("the trace `{}` cannot be used", safe(name))).because(&error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
