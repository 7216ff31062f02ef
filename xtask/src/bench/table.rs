//! The table: rows as they are measured, a verdict each, and how many of each verdict there are.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) case: String,
    pub(super) reach: String,
    pub(super) measured: String,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    Missed,
    /// A yardstick, with nothing to reach.
    Told,
    /// Cannot be measured on this machine.
    Skipped,
    /// Nothing in this tree measures it yet.
    Pending,
    /// What should have measured it did not run.
    Failed,
}

impl Verdict {
    const ALL: [Self; 6] = [Self::Met, Self::Missed, Self::Told, Self::Skipped, Self::Pending, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Told => "-",
            Self::Skipped => "skipped",
            Self::Pending => "pending",
            Self::Failed => "failed",
        }
    }
}

impl Row {
    pub(super) fn pending(case: &str, reach: &str) -> Self {
        let [case, reach, measured] = [case, reach, "-"].map(str::to_owned);
        Self { case, reach, measured, verdict: Verdict::Pending }
    }

    /// A line of a bench: four columns with tabs between. Anything else is a failure that shows itself.
    pub(super) fn read(line: &str) -> Self {
        let columns: Vec<&str> = line.split('\t').collect();
        let known = |word: &str| Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == word);
        if let [case, reach, measured, verdict] = columns[..]
            && let Some(verdict) = known(verdict)
        {
            let [case, reach, measured] = [case, reach, measured].map(str::to_owned);
            return Self { case, reach, measured, verdict };
        }
        Self {
            case: "a line that is no row".to_owned(),
            reach: "-".to_owned(),
            measured: line.to_owned(),
            verdict: Verdict::Failed,
        }
    }
}

/// As Markdown, so that it can be read here and pasted there.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, reach, measured, verdict } = self;
        write!(f, "| {case:<48} | {reach:<44} | {measured} | {} |", verdict.as_str())
    }
}

/// Prints each row as it comes: some take minutes.
#[derive(Debug)]
pub(super) struct Table {
    verdicts: Vec<Verdict>,
}

impl Table {
    pub(super) fn new() -> Self {
        println!("| {:<48} | {:<44} | measured | verdict |\n|---|---|---|---|", "case", "to reach");
        Self { verdicts: vec![] }
    }

    pub(super) fn add(&mut self, row: Row) {
        println!("{row}");
        self.verdicts.push(row.verdict);
    }

    pub(super) fn fail(&mut self, case: &str, error: &anyhow::Error) {
        let measured = format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ");
        self.add(Row { case: case.to_owned(), reach: "-".to_owned(), measured, verdict: Verdict::Failed });
    }

    pub(super) fn sum(&self) -> String {
        let count = |verdict: Verdict| self.verdicts.iter().filter(|other| **other == verdict).count();
        let words = Verdict::ALL
            .into_iter()
            .filter(|verdict| *verdict != Verdict::Told && count(*verdict) > 0)
            .map(|verdict| format!("{} {}", count(verdict), verdict.as_str()));
        words.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn all_ran(&self) -> bool {
        !self.verdicts.contains(&Verdict::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_row_or_shows_that_it_is_none() {
        let row = Row::read("a\t8 hosts\t9 hosts\tmissed");
        assert_eq!((row.measured.as_str(), row.verdict), ("9 hosts", Verdict::Missed));
        assert_eq!(Row::read("thread 'main' panicked").verdict, Verdict::Failed);
        assert_eq!(Row::read("a\tb\tc\tsplendid").verdict, Verdict::Failed);
    }

    #[test]
    fn the_sum_names_what_there_is() {
        let verdicts = vec![Verdict::Met, Verdict::Told, Verdict::Met, Verdict::Pending];
        let table = Table { verdicts };
        assert_eq!(table.sum(), "2 met, 1 pending");
        assert!(table.all_ran());
    }
}
