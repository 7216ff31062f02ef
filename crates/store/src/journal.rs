//! Intents and their outcomes: what was about to be done, and how it ended.

use crate::audit;
use crate::checksum::checksum;
use crate::error::store_error;
use dormouse_driver::{ActionRecord, AuditEntry, IntentRecord, StoreError};
use dormouse_model::{Epoch, IntentId, Millis, Outcome, PlanId, StepId};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};
use std::collections::HashSet;
use std::fmt::Display;
use uuid::Uuid;

/// Closed intents kept for the audit; open ones are always kept.
const KEEP: i64 = 100_000;

pub(crate) fn append(db: &mut Connection, intent: &IntentRecord) -> Result<(), StoreError> {
    let both = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    insert(&both, intent)?;
    audit::add(&both, &AuditEntry::Intent { intent: intent.clone() })?;
    both.commit().map_err(store_error)
}

pub(crate) fn insert(db: &Connection, intent: &IntentRecord) -> Result<(), StoreError> {
    let (action, host, dest) = columns(&intent.action);
    let row = params![
        signed(intent.id.0)?,
        signed(intent.epoch.0)?,
        signed(intent.plan.0)?,
        intent.step.0,
        action,
        host,
        dest,
        intent.vm.map(|vm| vm.to_string()),
        signed(intent.deadline.0)?,
        intent.written_ms,
        sum_of(intent),
    ];
    let sql =
        "INSERT INTO intents (id, epoch, plan, step, action, host, dest, vm, deadline_ms, written_ms, sum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    db.execute(sql, row).map(drop).map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) if error.to_string() == "fenced" => {
            StoreError::Fenced(intent.epoch)
        }
        Some(ErrorCode::ConstraintViolation) if is_key(&error) => StoreError::Twice(intent.id),
        _ => store_error(error),
    })
}

pub(crate) fn close(db: &mut Connection, intent: IntentId, outcome: &Outcome) -> Result<(), StoreError> {
    let both = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    insert_outcome(&both, intent, outcome)?;
    audit::add(&both, &AuditEntry::Outcome { intent, outcome: outcome.clone() })?;
    both.commit().map_err(store_error)
}

pub(crate) fn insert_outcome(db: &Connection, intent: IntentId, outcome: &Outcome) -> Result<(), StoreError> {
    let text = serde_json::to_string(outcome).map_err(|error| StoreError::NotWritten(error.to_string()))?;
    let id = signed(intent.0)?;
    let sum = checksum(&[&id.to_string(), &text]);
    db.execute("INSERT INTO outcomes (intent, outcome, sum) VALUES (?1, ?2, ?3)", params![id, text, sum])
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) if is_key(&error) => StoreError::Twice(intent),
            Some(ErrorCode::ConstraintViolation) => StoreError::NoSuch(intent),
            _ => store_error(error),
        })?;
    if id % 1024 == 0 {
        let sql = "DELETE FROM intents WHERE id <= ?1 AND id IN (SELECT intent FROM outcomes)";
        db.execute(sql, [id - KEEP]).map_err(store_error)?;
    }
    Ok(())
}

/// Every intent in the order of ids, and every outcome.
pub(crate) type Journal = (Vec<IntentRecord>, Vec<(IntentId, Outcome)>);

/// Every row is verified: a journal with one wrong letter is not a journal.
pub(crate) fn all(db: &Connection) -> Result<Journal, StoreError> {
    let mut outcomes = vec![];
    let mut query =
        db.prepare("SELECT intent, outcome, sum FROM outcomes ORDER BY intent").map_err(store_error)?;
    let mut rows = query.query([]).map_err(store_error)?;
    while let Some(row) = rows.next().map_err(store_error)? {
        let (intent, text, sum): (i64, String, i64) = row.try_into().map_err(store_error)?;
        let id = IntentId(intent.unsigned_abs());
        let outcome = serde_json::from_str(&text)
            .ok()
            .filter(|_| sum == checksum(&[&intent.to_string(), &text]))
            .ok_or_else(|| damaged("the outcome of intent", id))?;
        outcomes.push((id, outcome));
    }
    let mut query = db.prepare("SELECT * FROM intents ORDER BY id").map_err(store_error)?;
    let mut rows = query.query([]).map_err(store_error)?;
    let mut intents = vec![];
    while let Some(row) = rows.next().map_err(store_error)? {
        intents.push(intent_of(row)?);
    }
    Ok((intents, outcomes))
}

/// Intents without an outcome, in the order written, and the highest id ever written.
pub(crate) fn open(journal: &Journal) -> Result<(Vec<IntentRecord>, u64), StoreError> {
    let (intents, outcomes) = journal;
    let open = unclosed(intents.iter().map(|intent| intent.id), outcomes.iter().map(|(id, _)| *id))?;
    let open: HashSet<IntentId> = open.into_iter().collect();
    let last = intents.last().map_or(0, |intent| intent.id.0);
    Ok((intents.iter().filter(|intent| open.contains(&intent.id)).cloned().collect(), last))
}

/// Those that have no outcome, in their order.
pub(crate) fn unclosed(
    intents: impl IntoIterator<Item = IntentId>,
    outcomes: impl IntoIterator<Item = IntentId>,
) -> Result<Vec<IntentId>, StoreError> {
    let mut closed: HashSet<IntentId> = outcomes.into_iter().collect();
    let open = intents.into_iter().filter(|id| !closed.remove(id)).collect();
    match closed.into_iter().next() {
        Some(intent) => Err(damaged("an outcome without its intent,", intent)),
        None => Ok(open),
    }
}

pub(crate) fn outcome(db: &Connection, intent: IntentId) -> Result<Option<Outcome>, StoreError> {
    let text: Option<String> = db
        .query_row("SELECT outcome FROM outcomes WHERE intent = ?1", [signed(intent.0)?], |row| row.get(0))
        .optional()
        .map_err(store_error)?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| damaged("the outcome of intent", intent)))
        .transpose()
}

fn columns(action: &ActionRecord) -> (&'static str, &str, Option<&str>) {
    match action {
        ActionRecord::Migrate { from, to } => ("migrate", from, Some(to)),
        ActionRecord::Wake { host } => ("wake", host, None),
        ActionRecord::Sleep { host } => ("sleep", host, None),
        ActionRecord::Start { host } => ("start", host, None),
        ActionRecord::Stop { host } => ("stop", host, None),
        ActionRecord::Fence { host } => ("fence", host, None),
    }
}

fn intent_of(row: &Row<'_>) -> Result<IntentRecord, StoreError> {
    let number = |column: &str| row.get::<_, i64>(column).map_err(store_error);
    let text = |column: &str| row.get::<_, Option<String>>(column).map_err(store_error);
    let id = number("id")?;
    let wrong = || damaged("intent", IntentId(id.unsigned_abs()));
    let unsigned = |column: &str| u64::try_from(number(column)?).map_err(|_| wrong());
    let host = text("host")?.ok_or_else(wrong)?;
    let action = match (text("action")?.ok_or_else(wrong)?.as_str(), text("dest")?) {
        ("migrate", Some(to)) => ActionRecord::Migrate { from: host, to },
        ("wake", None) => ActionRecord::Wake { host },
        ("sleep", None) => ActionRecord::Sleep { host },
        ("start", None) => ActionRecord::Start { host },
        ("stop", None) => ActionRecord::Stop { host },
        ("fence", None) => ActionRecord::Fence { host },
        _ => return Err(wrong()),
    };
    let intent = IntentRecord {
        id: IntentId(unsigned("id")?),
        epoch: Epoch(unsigned("epoch")?),
        plan: PlanId(unsigned("plan")?),
        step: StepId(u32::try_from(number("step")?).map_err(|_| wrong())?),
        action,
        vm: text("vm")?.map(|vm| vm.parse::<Uuid>()).transpose().map_err(|_| wrong())?,
        deadline: Millis(unsigned("deadline_ms")?),
        written_ms: number("written_ms")?,
    };
    if number("sum")? != sum_of(&intent) {
        return Err(wrong());
    }
    Ok(intent)
}

fn sum_of(intent: &IntentRecord) -> i64 {
    let (action, host, dest) = columns(&intent.action);
    let numbers = [intent.id.0, intent.epoch.0, intent.plan.0, u64::from(intent.step.0), intent.deadline.0]
        .map(|n| n.to_string());
    let [id, epoch, plan, step, deadline] = &numbers;
    let vm = intent.vm.map_or_else(String::new, |vm| vm.to_string());
    checksum(&[
        id,
        epoch,
        plan,
        step,
        deadline,
        &intent.written_ms.to_string(),
        action,
        host,
        dest.unwrap_or(""),
        &vm,
    ])
}

fn is_key(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(failure, _)
        if matches!(failure.extended_code, rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY | rusqlite::ffi::SQLITE_CONSTRAINT_ROWID))
}

pub(crate) fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::NotWritten(format!("{value} is too large for the store")))
}

pub(crate) fn damaged(what: &str, which: impl Display) -> StoreError {
    StoreError::Damaged(format!("{what} {which} does not read back as it was written"))
}
