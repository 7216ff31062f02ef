//! Reading the lines of Rust's test harness as they come.

/// What the harness has told so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<String>,
    pub(crate) ignored: Vec<Ignored>,
}

/// A test that was not run, and the reason it gives for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ignored {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Tally {
    /// Takes one line of output; anything that is not the harness's is passed over.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test ") else { return };
        if let Some(figures) = rest.strip_prefix("result: ") {
            self.passed += count(figures, "passed");
            self.failed += count(figures, "failed");
        } else if let Some((name, verdict)) = rest.rsplit_once(" ... ") {
            let name = name.trim_end_matches(" - should panic").to_owned();
            match verdict.trim_end().strip_prefix("ignored") {
                Some(reason) => {
                    let reason = reason.trim_start_matches(", ").to_owned();
                    self.ignored.push(Ignored { name, reason });
                }
                None if verdict.starts_with("FAILED") => self.failures.push(name),
                None => {}
            }
        }
    }
}

/// The number before `what` in `ok. 5 passed; 0 failed; …`.
fn count(figures: &str, what: &str) -> u64 {
    let words: Vec<&str> = figures.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == what).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_binaries_add_up_and_reasons_are_kept() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test units::tests::adds ... ok",
            "test night ... ignored, needs the lab",
            "test gone ... FAILED",
            "test panics - should panic ... FAILED",
            "test bare ... ignored",
            "test result: FAILED. 1 passed; 2 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ] {
            tally.read(line);
        }
        assert_eq!((tally.passed, tally.failed), (42, 2));
        assert_eq!(tally.failures, ["gone", "panics"]);
        let reasons: Vec<_> =
            tally.ignored.iter().map(|one| (one.name.as_str(), one.reason.as_str())).collect();
        assert_eq!(reasons, [("night", "needs the lab"), ("bare", "")]);
    }
}
