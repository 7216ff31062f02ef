//! The audit log in SQLite: every intent, effect, outcome and word of an operator, in the order in which they came.

use crate::chain::{Chain, now_ms};
use crate::error::store_error;
use crate::journal;
use dormouse_driver::{AuditEntry, AuditLine, IntentRecord, StoreError};
use dormouse_model::{IntentId, Outcome};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;

/// Lines kept at least: the database lets no younger one go.
const KEEP: i64 = 100_000;
/// How many may pile up above that before the oldest go.
const SLACK: i64 = 1_000;

const COLUMNS: &str = "seq, at_ms, entry, prev, hash";

/// Adds a line, within whatever transaction is open.
pub(crate) fn add(db: &Connection, entry: &AuditEntry) -> Result<(), StoreError> {
    let last = db
        .query_row(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq DESC LIMIT 1"), [], line_of)
        .optional()
        .map_err(store_error)?;
    let chain = last.as_ref().map_or_else(Chain::default, Chain::after);
    put(db, &chain.next(now_ms(), entry)?)?;
    if let Some((seq, _)) = chain.end().filter(|(seq, _)| seq.is_multiple_of(SLACK.unsigned_abs())) {
        let sql = "DELETE FROM audit WHERE seq <= ?1";
        db.execute(sql, [journal::signed(seq)? - KEEP]).map_err(store_error)?;
    }
    Ok(())
}

/// A line as it is.
pub(crate) fn put(db: &Connection, line: &AuditLine) -> Result<(), StoreError> {
    let row = params![journal::signed(line.seq)?, line.at_ms, line.entry, line.prev, line.hash];
    db.execute("INSERT INTO audit (seq, at_ms, entry, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5)", row)
        .map(drop)
        .map_err(store_error)
}

pub(crate) fn after(db: &Connection, seq: u64, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2");
    let mut query = db.prepare_cached(&sql).map_err(store_error)?;
    let bounds = [i64::try_from(seq).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX)];
    let rows = query.query_map(bounds, line_of).map_err(store_error)?;
    rows.map(|row| row.map_err(store_error)).collect()
}

fn line_of(row: &Row<'_>) -> rusqlite::Result<AuditLine> {
    Ok(AuditLine {
        seq: row.get::<_, i64>(0)?.unsigned_abs(),
        at_ms: row.get(1)?,
        entry: row.get(2)?,
        prev: row.get(3)?,
        hash: row.get(4)?,
    })
}

/// The whole log: the chain holds, and the journal says the same.
pub(crate) fn verify(db: &Connection) -> Result<Chain, StoreError> {
    let mut judge = Judge::default();
    let mut query = db.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq")).map_err(store_error)?;
    for line in query.query_map([], line_of).map_err(store_error)? {
        judge.take(&line.map_err(store_error)?)?;
    }
    let (intents, outcomes) = journal::all(db)?;
    judge.end(&intents, &outcomes)
}

/// Holds the log against the journal: a log cut short at its end is a good chain, and a wrong one.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    chain: Chain,
    begins: Option<IntentId>,
    intents: BTreeMap<IntentId, IntentRecord>,
    outcomes: BTreeMap<IntentId, Outcome>,
}

impl Judge {
    pub(crate) fn take(&mut self, line: &AuditLine) -> Result<(), StoreError> {
        match self.chain.take(line).map_err(|bad| StoreError::Damaged(bad.to_string()))? {
            AuditEntry::Begin { after } => self.begins = Some(after),
            AuditEntry::Intent { intent } => _ = self.intents.insert(intent.id, intent),
            AuditEntry::Outcome { intent, outcome } => _ = self.outcomes.insert(intent, outcome),
            _ => {}
        }
        Ok(())
    }

    /// `intents` in the order of their ids.
    pub(crate) fn end(
        self,
        intents: &[IntentRecord],
        outcomes: &[(IntentId, Outcome)],
    ) -> Result<Chain, StoreError> {
        let wrong = |what: &str, id: IntentId| {
            Err(StoreError::Damaged(format!(
                "the audit log does not say what the journal says of {what} {id}"
            )))
        };
        if self.chain.end().is_none() {
            return Err(StoreError::Damaged("the audit log is gone".to_owned()));
        }
        // What is older than the log is in the journal alone.
        let oldest = self.intents.keys().next().map(|id| IntentId(id.0.saturating_sub(1)));
        let Some(before) = self.begins.or(oldest) else {
            return Ok(self.chain);
        };
        for intent in intents.iter().filter(|intent| intent.id > before) {
            if self.intents.get(&intent.id) != Some(intent) {
                return wrong("intent", intent.id);
            }
        }
        for (id, outcome) in outcomes.iter().filter(|(id, _)| *id > before) {
            if self.outcomes.get(id) != Some(outcome) {
                return wrong("the outcome of intent", *id);
            }
        }
        Ok(self.chain)
    }
}
