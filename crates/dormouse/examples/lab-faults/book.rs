//! What has been done: one line for each unit that is over, so that a run that was stopped goes on where it was.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One unit of a part: a round of moves, a kill, a minute, a double start, a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub(crate) unit: u64,
    pub(crate) seed: u64,
    /// Labs follow each other when one had to be given up or the run was stopped; each has records of its own.
    pub(crate) stretch: u64,
    pub(crate) ms: u64,
    /// What counts towards the plan of the part.
    pub(crate) done: u64,
    /// Other things counted, by name.
    #[serde(default)]
    pub(crate) counts: std::collections::BTreeMap<String, u64>,
    pub(crate) faults: Vec<String>,
    /// It did not come to rest as it had to; the scene is in `trouble-UNIT.txt`.
    #[serde(default)]
    pub(crate) trouble: Option<String>,
}

pub(crate) struct Book {
    pub(crate) folder: PathBuf,
    pub(crate) units: Vec<Unit>,
}

impl Book {
    pub(crate) fn open(out: &Path, part: &str) -> Result<Self> {
        let folder = out.join(part);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let text = fs::read_to_string(folder.join("units.jsonl")).unwrap_or_default();
        // A line that a stop cut short was not finished, and neither was its unit.
        let units = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { folder, units })
    }

    pub(crate) fn done(&self) -> u64 {
        self.units.iter().map(|unit| unit.done).sum()
    }

    /// The first unit that has not been played.
    pub(crate) fn next_unit(&self) -> u64 {
        self.units.iter().map(|unit| unit.unit + 1).max().unwrap_or(0)
    }

    /// The file for the records of a new lab, and its number.
    pub(crate) fn next_stretch(&self) -> (u64, PathBuf) {
        let path = |n| self.folder.join(format!("records-{n}.jsonl"));
        let n = (1..).find(|n| !path(*n).exists()).unwrap_or(1);
        (n, path(n))
    }

    pub(crate) fn stretches(&self) -> Vec<PathBuf> {
        let path = |n: u64| self.folder.join(format!("records-{n}.jsonl"));
        (1..).map(path).take_while(|path| path.exists()).collect()
    }

    pub(crate) fn add(&mut self, unit: Unit, scene: Option<&str>) -> Result<()> {
        let path = self.folder.join("units.jsonl");
        if let Some(scene) = scene {
            fs::write(self.folder.join(format!("trouble-{}.txt", unit.unit)), scene)?;
        }
        let mut file = File::options().create(true).append(true).open(&path)?;
        file.write_all(format!("{}\n", serde_json::to_string(&unit)?).as_bytes())?;
        self.units.push(unit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_run_goes_on_where_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut book = Book::open(folder.path(), "moves").expect("opens");
        assert_eq!((book.next_unit(), book.done()), (0, 0));
        for unit in 0..3 {
            book.add(Unit { unit, done: 2, ..Unit::default() }, None).expect("writes");
        }
        // Stopped in the middle of a line.
        let path = book.folder.join("units.jsonl");
        let text = fs::read_to_string(&path).expect("reads");
        fs::write(&path, &text[..text.len() - 5]).expect("writes");
        let book = Book::open(folder.path(), "moves").expect("opens");
        assert_eq!((book.next_unit(), book.done()), (2, 4));
    }
}
