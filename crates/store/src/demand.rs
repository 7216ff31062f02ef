//! What VMs needed, roll-up by roll-up. Bounded by how far back the controller looks; written a batch at a time.

use crate::checksum::checksum;
use crate::error::store_error;
use dormouse_driver::StoreError;
use dormouse_model::{DemandBatch, DemandRow, RollUp};
use rusqlite::{Connection, Row, params};
use std::fmt::Write as _;

pub(crate) const fn word(roll_up: RollUp) -> &'static str {
    match roll_up {
        RollUp::FiveMinutes => "five-minutes",
        RollUp::Hour => "hour",
    }
}

pub(crate) fn keep(db: &mut Connection, batch: &DemandBatch) -> Result<(), StoreError> {
    let all = db.transaction().map_err(store_error)?;
    insert(&all, batch)?;
    {
        let mut forget = all
            .prepare_cached("DELETE FROM demand WHERE roll_up = ?1 AND start_s < ?2")
            .map_err(store_error)?;
        for (roll_up, from) in
            [(RollUp::FiveMinutes, batch.five_minutes_from), (RollUp::Hour, batch.hours_from)]
        {
            forget.execute(params![word(roll_up), from]).map_err(store_error)?;
        }
    }
    all.commit().map_err(store_error)
}

pub(crate) fn insert(all: &Connection, batch: &DemandBatch) -> Result<(), StoreError> {
    let sql =
        "INSERT OR REPLACE INTO demand (roll_up, start_s, vm, secs, samples, mean, max, mem, levels, sum)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let mut insert = all.prepare_cached(sql).map_err(store_error)?;
    for row in &batch.rows {
        let values = params![
            word(row.roll_up),
            row.start,
            row.vm.to_string(),
            row.secs,
            row.samples,
            row.mean,
            row.max,
            row.mem,
            levels_text(row),
            sum_of(row),
        ];
        insert.execute(values).map_err(store_error)?;
    }
    Ok(())
}

pub(crate) fn load(db: &Connection) -> Result<Vec<DemandRow>, StoreError> {
    let sql = "SELECT roll_up, start_s, vm, secs, samples, mean, max, mem, levels, sum FROM demand
               ORDER BY roll_up, start_s, vm";
    let mut query = db.prepare(sql).map_err(store_error)?;
    let mut rows = query.query([]).map_err(store_error)?;
    let mut found = vec![];
    while let Some(row) = rows.next().map_err(store_error)? {
        found.extend(row_of(row));
    }
    Ok(found)
}

/// `None`: it is not as it was written.
fn row_of(row: &Row<'_>) -> Option<DemandRow> {
    let number = |at: usize| u32::try_from(row.get::<_, i64>(at).ok()?).ok();
    let text = |at: usize| row.get::<_, String>(at).ok();
    let roll_up = text(0)?;
    let found = DemandRow {
        vm: text(2)?.parse().ok()?,
        roll_up: [RollUp::FiveMinutes, RollUp::Hour].into_iter().find(|known| word(*known) == roll_up)?,
        start: row.get(1).ok()?,
        secs: number(3)?,
        samples: u16::try_from(number(4)?).ok()?,
        mean: number(5)?,
        max: number(6)?,
        mem: number(7)?,
        levels: text(8)?.split_terminator(' ').map(level_of).collect::<Option<_>>()?,
    };
    (row.get::<_, i64>(9).ok()? == sum_of(&found)).then_some(found)
}

/// `12:18 20:2`: 18 samples on level 12, two on level 20.
fn levels_text(row: &DemandRow) -> String {
    row.levels.iter().enumerate().fold(String::new(), |mut text, (at, (level, count))| {
        let gap = if at > 0 { " " } else { "" };
        // Writing into a string does not fail.
        _ = write!(text, "{gap}{level}:{count}");
        text
    })
}

fn level_of(text: &str) -> Option<(u8, u16)> {
    let (level, count) = text.split_once(':')?;
    Some((level.parse().ok()?, count.parse().ok()?))
}

fn sum_of(row: &DemandRow) -> i64 {
    let numbers = [row.secs, u32::from(row.samples), row.mean, row.max, row.mem].map(|n| n.to_string());
    let [secs, samples, mean, max, mem] = &numbers;
    checksum(&[
        word(row.roll_up),
        &row.start.to_string(),
        &row.vm.to_string(),
        secs,
        samples,
        mean,
        max,
        mem,
        &levels_text(row),
    ])
}
