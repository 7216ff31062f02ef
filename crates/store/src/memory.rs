//! What the controller and the daemon want to find again, one JSON record under each key.

use crate::checksum::checksum;
use crate::error::store_error;
use crate::journal::damaged;
use dormouse_driver::{Kind, StoreError};
use rusqlite::{Connection, params};
use serde_json::Value;

pub(crate) const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Host => "host",
        Kind::Vm => "vm",
        Kind::Setting => "setting",
    }
}

pub(crate) fn remember(db: &Connection, kind: Kind, key: &str, value: &Value) -> Result<(), StoreError> {
    let text = value.to_string();
    let sql = "INSERT INTO memory (kind, key, value, sum) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, sum = excluded.sum";
    // Many come at once when a cluster is seen for the first time.
    let mut put = db.prepare_cached(sql).map_err(store_error)?;
    put.execute(params![word(kind), key, text, checksum(&[word(kind), key, &text])])
        .map(drop)
        .map_err(store_error)
}

pub(crate) fn forget(db: &Connection, kind: Kind, key: &str) -> Result<(), StoreError> {
    db.execute("DELETE FROM memory WHERE kind = ?1 AND key = ?2", params![word(kind), key])
        .map(drop)
        .map_err(store_error)
}

pub(crate) fn load(db: &Connection, kind: Kind) -> Result<Vec<(String, Value)>, StoreError> {
    let mut query =
        db.prepare("SELECT key, value, sum FROM memory WHERE kind = ?1 ORDER BY key").map_err(store_error)?;
    let rows = query
        .query_map([word(kind)], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })
        .map_err(store_error)?;
    rows.map(|row| {
        let (key, text, sum) = row.map_err(store_error)?;
        let wrong = || damaged(&format!("the memory of {}", word(kind)), key.escape_default());
        if sum != checksum(&[word(kind), &key, &text]) {
            return Err(wrong());
        }
        let value = serde_json::from_str(&text).map_err(|_| wrong())?;
        Ok((key, value))
    })
    .collect()
}
