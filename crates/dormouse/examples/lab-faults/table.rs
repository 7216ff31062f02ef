//! The sum of what has been done, one line a part.

use crate::book::Book;
use crate::{Part, growth, judge, rows};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

pub(crate) struct Sum {
    part: Part,
    done: u64,
    planned: Option<u64>,
    units: usize,
    ms: u64,
    counts: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    /// Broken rules, and units that did not come to rest.
    bad: Vec<String>,
    grows: Vec<String>,
}

impl Sum {
    /// What has been done is good; whether it is all that was planned is another matter.
    pub(crate) fn is_good(&self) -> bool {
        self.bad.is_empty()
    }
}

pub(crate) fn sum(part: Part, planned: Option<u64>, out: &Path) -> Result<Sum> {
    let book = Book::open(out, part.name())?;
    let mut sum = Sum {
        part,
        done: book.done(),
        planned,
        units: book.units.len(),
        ms: book.units.iter().map(|unit| unit.ms).sum(),
        counts: BTreeMap::new(),
        faults: BTreeMap::new(),
        bad: vec![],
        grows: vec![],
    };
    if part == Part::Rows {
        sum.done = rows::passed(&book.units);
    }
    for unit in &book.units {
        for (name, count) in &unit.counts {
            *sum.counts.entry(name.clone()).or_default() += count;
        }
        // Of the scenarios, the name is all there is to tell; a suite that broke off and was played again counts as it ended.
        if part == Part::Rows {
            if rows::was_played_again(unit, &book.units) {
                continue;
            }
        } else {
            for fault in &unit.faults {
                *sum.faults.entry(fault.clone()).or_default() += 1;
            }
        }
        if let Some(trouble) = &unit.trouble {
            sum.bad.push(format!("unit {}: {trouble}", unit.unit));
        }
    }
    for records in book.stretches() {
        let name = records.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let verdict = judge::of_file(&records)?;
        sum.bad.extend(verdict.violations.into_iter().map(|one| format!("{name}: {one}")));
        for (name, count) in [
            ("guests that booted anew", verdict.booted_anew),
            ("rests with a definition left over", verdict.left_over),
        ] {
            if count > 0 {
                *sum.counts.entry(name.to_owned()).or_default() += count;
            }
        }
        if part == Part::Soak {
            for (line, too_much) in growth::of_records(&std::fs::read_to_string(&records)?) {
                sum.bad.extend(too_much.then(|| format!("L04: {line}")));
                sum.grows.push(line);
            }
        }
    }
    Ok(sum)
}

pub(crate) fn text(sums: &[Sum]) -> String {
    let mut text = String::from("\npart     done          units  wall time  violations\n");
    for sum in sums {
        let done =
            sum.planned.map_or_else(|| sum.done.to_string(), |planned| format!("{} of {planned}", sum.done));
        let minutes = format!("{}:{:02} h", sum.ms / 3_600_000, sum.ms / 60_000 % 60);
        _ = writeln!(
            text,
            "{:<8} {done:<13} {:>5}  {minutes:>9}  {:>10}",
            sum.part.name(),
            sum.units,
            sum.bad.len()
        );
    }
    for sum in sums {
        let mut say = |head: &str, map: &BTreeMap<String, u64>| {
            if !map.is_empty() {
                let words: Vec<String> = map.iter().map(|(name, count)| format!("{name} {count}")).collect();
                _ = writeln!(text, "\n{}, {head}: {}", sum.part.name(), words.join(" · "));
            }
        };
        say("faults", &sum.faults);
        say("counted", &sum.counts);
        for line in &sum.grows {
            _ = writeln!(text, "{}: {line}", sum.part.name());
        }
        for line in &sum.bad {
            _ = writeln!(text, "{}: VIOLATION {line}", sum.part.name());
        }
    }
    text
}
