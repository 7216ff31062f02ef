//! The trail: what happened, for people. Bounded; nothing is decided from it.

use crate::error::store_error;
use crate::journal;
use dormouse_driver::{EventRecord, StoreError};
use rusqlite::{Connection, Row, params};

/// Lines kept; the oldest go first.
const KEEP: i64 = 100_000;
/// How many lines may pile up above that before the oldest are dropped.
const SLACK: i64 = 1_000;

pub(crate) fn tell(db: &mut Connection, events: &[EventRecord]) -> Result<(), StoreError> {
    let all = db.transaction().map_err(store_error)?;
    {
        let sql = "INSERT INTO events (at_ms, level, name, fields) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = all.prepare_cached(sql).map_err(store_error)?;
        for event in events {
            let fields = serde_json::to_string(&event.fields)
                .map_err(|error| StoreError::NotWritten(error.to_string()))?;
            insert.execute(params![event.at_ms, event.level, event.name, fields]).map_err(store_error)?;
        }
    }
    let ends = "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM events";
    let (first, last): (i64, i64) =
        all.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(store_error)?;
    if last - first > KEEP + SLACK {
        all.execute("DELETE FROM events WHERE seq <= ?1", [last - KEEP]).map_err(store_error)?;
    }
    all.commit().map_err(store_error)
}

/// A line with the number it has.
pub(crate) fn put(db: &Connection, event: &EventRecord) -> Result<(), StoreError> {
    let fields =
        serde_json::to_string(&event.fields).map_err(|error| StoreError::NotWritten(error.to_string()))?;
    let row = params![journal::signed(event.seq)?, event.at_ms, event.level, event.name, fields];
    db.execute("INSERT INTO events (seq, at_ms, level, name, fields) VALUES (?1, ?2, ?3, ?4, ?5)", row)
        .map(drop)
        .map_err(store_error)
}

pub(crate) fn after(db: &Connection, seq: u64, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
    read(
        db,
        "SELECT seq, at_ms, level, name, fields FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        seq,
        limit,
    )
}

pub(crate) fn last(db: &Connection, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
    let sql = "SELECT * FROM (SELECT seq, at_ms, level, name, fields FROM events WHERE seq > ?1
               ORDER BY seq DESC LIMIT ?2) ORDER BY seq";
    read(db, sql, 0, limit)
}

fn read(db: &Connection, sql: &str, after: u64, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
    let mut query = db.prepare_cached(sql).map_err(store_error)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map([after, limit], event_of).map_err(store_error)?;
    rows.map(|row| row.map_err(store_error)).collect()
}

fn event_of(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    let fields: String = row.get(4)?;
    Ok(EventRecord {
        seq: row.get::<_, i64>(0)?.unsigned_abs(),
        at_ms: row.get(1)?,
        level: row.get(2)?,
        name: row.get(3)?,
        // Told to people only: a line that no longer reads is shown as it is rather than hiding the others.
        fields: serde_json::from_str(&fields).unwrap_or_else(|_| vec![("damaged".to_owned(), fields)]),
    })
}
