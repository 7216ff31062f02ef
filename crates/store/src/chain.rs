//! The chain that the audit log is: each line's hash covers the hash of the line before it.
//!
//! `SHA-256(prev "\n" seq "\n" at_ms "\n" entry)`, in lower-case hexadecimal: what `sha256sum` says of those four lines
//! without a last line break. It shows that a line was changed or taken out. Whoever can write the whole store can write
//! a whole new chain; against that a hash noted elsewhere helps (`audit verify --expect`).

use dormouse_driver::{AuditEntry, AuditLine, StoreError};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// What the first line names as the one before it.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The first line that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {seq} of the audit log {why}")]
pub struct BadLine {
    pub seq: u64,
    pub why: &'static str,
}

/// Goes along the chain, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    last: Option<(u64, String)>,
}

impl Chain {
    /// Goes on after a line that is known to be right.
    pub(crate) fn after(line: &AuditLine) -> Self {
        Self { last: Some((line.seq, line.hash.clone())) }
    }

    /// Number and hash of the last good line.
    #[must_use]
    pub fn end(&self) -> Option<(u64, &str)> {
        self.last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()))
    }

    /// The line that comes next.
    pub(crate) fn next(&self, at_ms: i64, entry: &AuditEntry) -> Result<AuditLine, StoreError> {
        let entry =
            serde_json::to_string(entry).map_err(|error| StoreError::NotWritten(error.to_string()))?;
        let (seq, prev) =
            self.last.as_ref().map_or((1, BEGINNING), |(seq, hash)| (seq.saturating_add(1), hash.as_str()));
        Ok(AuditLine { seq, at_ms, prev: prev.to_owned(), hash: hash(prev, seq, at_ms, &entry), entry })
    }

    /// Takes the next line, if it is the next one. The first given may follow lines that are kept no more.
    ///
    /// # Errors
    /// It was changed, or does not follow the one before.
    pub fn take(&mut self, line: &AuditLine) -> Result<AuditEntry, BadLine> {
        let bad = |seq, why| Err(BadLine { seq, why });
        match &self.last {
            Some((seq, _)) if line.seq != seq + 1 => return bad(seq + 1, "is missing"),
            Some((_, hash)) if line.prev != *hash => {
                return bad(line.seq, "does not follow the line before it");
            }
            None if line.seq == 1 && line.prev != BEGINNING => {
                return bad(1, "is not the first that was written");
            }
            _ => {}
        }
        if line.hash != hash(&line.prev, line.seq, line.at_ms, &line.entry) {
            return bad(line.seq, "was changed");
        }
        let Ok(entry) = serde_json::from_str(&line.entry) else {
            return bad(line.seq, "was written by another version, or by nobody");
        };
        self.last = Some((line.seq, line.hash.clone()));
        Ok(entry)
    }
}

fn hash(prev: &str, seq: u64, at_ms: i64, entry: &str) -> String {
    let sum = Sha256::digest(format!("{prev}\n{seq}\n{at_ms}\n{entry}"));
    sum.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a string does not fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// Wall clock, milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the store says when it took a line; nothing is decided from it"
)]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::IntentId;

    fn lines(count: u64) -> Vec<AuditLine> {
        let mut chain = Chain::default();
        let mut line = |n| {
            let line = chain.next(5, &AuditEntry::Effect { intent: IntentId(n) }).expect("plain data");
            chain.take(&line).expect("its own line");
            line
        };
        (1..=count).map(&mut line).collect()
    }

    fn verdict(lines: &[AuditLine]) -> Result<(), String> {
        let mut chain = Chain::default();
        lines.iter().try_for_each(|line| chain.take(line).map(drop)).map_err(|bad| bad.to_string())
    }

    #[test]
    fn the_first_bad_line_is_named_whatever_was_done_to_it() {
        let good = lines(5);
        assert_eq!(verdict(&good), Ok(()));
        assert_eq!(verdict(&good[2..]), Ok(()), "the oldest may be gone");
        let with = |change: &dyn Fn(&mut Vec<AuditLine>)| {
            let mut lines = good.clone();
            change(&mut lines);
            verdict(&lines).expect_err("noticed")
        };
        let said = |number: u64, why: &str| format!("line {number} of the audit log {why}");
        assert_eq!(with(&|lines| lines[2].at_ms += 1), said(3, "was changed"));
        assert_eq!(with(&|lines| lines[2].entry = lines[3].entry.clone()), said(3, "was changed"));
        assert_eq!(with(&|lines| drop(lines.remove(1))), said(2, "is missing"));
        assert_eq!(with(&|lines| lines.swap(1, 2)), said(2, "is missing"));
        assert_eq!(
            with(&|lines| lines[0].prev = lines[1].prev.clone()),
            said(1, "is not the first that was written")
        );
        // Changed, and its own hash made to fit.
        let forged = |lines: &mut Vec<AuditLine>| {
            lines[2].at_ms += 1;
            lines[2].hash = hash(&lines[2].prev, 3, lines[2].at_ms, &lines[2].entry);
        };
        assert_eq!(with(&forged), said(4, "does not follow the line before it"));
    }

    #[test]
    fn the_hash_is_the_one_that_sha256sum_tells() {
        assert_eq!(
            hash(BEGINNING, 1, 5, "{}"),
            "64496cc3a6d110128a1a3f815b48bfc3576e3eadb6c083c48d894e07ab05235a"
        );
    }
}
