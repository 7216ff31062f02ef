//! A store that an earlier version wrote opens and loses nothing; what is new in it can be used.

mod common;

use common::{DONE, Files, Place, contents, migrate, sleep, vm};
use dormouse_driver::{ActionRecord, IntentRecord, Kind, Store};
use dormouse_model::{DemandBatch, DemandRow, IntentId, RollUp};
use dormouse_store::SqliteStore;
use rusqlite::Connection;
use serde_json::json;

const DB: &str = "dormouse.db";
const VERSION_1: &str = include_str!("version-1.sql");

/// The files of a store of version 1.
fn version_1() -> Files {
    let place = Place::new();
    let db = Connection::open(place.path()).expect("a new file");
    db.execute_batch(VERSION_1).expect("the tables of then");
    db.close().expect("closed");
    std::fs::write(place.dir.path().join("dormouse.db.id"), "00000000-0000-4000-8000-00000000beef\n")
        .expect("its marker");
    place.files()
}

fn version(place: &Place) -> i64 {
    let db = Connection::open(place.path()).expect("ours");
    db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number")
}

fn row(at: i64, roll_up: RollUp) -> DemandRow {
    DemandRow {
        vm: vm(7),
        roll_up,
        start: at,
        secs: 285,
        samples: 20,
        mean: 31,
        max: 400,
        mem: 256,
        levels: vec![(20, 18), (48, 2)],
    }
}

fn batch(rows: Vec<DemandRow>, five_minutes_from: i64) -> DemandBatch {
    DemandBatch { rows, five_minutes_from, hours_from: 0 }
}

#[test]
fn a_store_of_version_1_opens_with_all_that_was_in_it() {
    let place = Place::with(&version_1());
    let store = place.open().expect("an old store");
    assert_eq!(version(&place), 4);
    place.run(async {
        let all = store.load().await.expect("whole");
        assert_eq!((all.open, all.last_intent), (vec![sleep(2, 1)], 2));
        assert_eq!(store.outcome(IntentId(1)).await, Ok(Some(DONE)));
        assert_eq!(all.hosts, [("lab07".to_owned(), json!({ "state": "stopping" }))]);
        assert_eq!(all.vms, [("pc07".to_owned(), json!({ "at": "lab01" }))]);
        assert_eq!(store.last_events(9).await.expect("the trail").len(), 1);
        store.keep_demand(&batch(vec![row(1, RollUp::Hour)], 0)).await.expect("there is a place for it");
    });
    let (_lease, term) = place.lead(&store);
    assert_eq!(term.expect("free").epoch.0, 2);
    place.run(store.append(&migrate(3, 2))).expect("and it goes on");
    // What version 1 knew nothing of, and what it kept: both are still so.
    let fence = IntentRecord { action: ActionRecord::Fence { host: "lab07".to_owned() }, ..sleep(4, 2) };
    place.run(store.append(&fence)).expect("there is a place for it");
    assert_eq!(place.run(store.load()).expect("whole").open, [sleep(2, 1), migrate(3, 2), fence]);
    let db = Connection::open(place.path()).expect("ours");
    for forbidden in
        ["DELETE FROM intents WHERE id = 2", "UPDATE intents SET host = 'x'", "UPDATE outcomes SET sum = 0"]
    {
        assert!(db.execute(forbidden, []).is_err(), "{forbidden}");
    }
}

/// What is in it but for the audit log, whose first line says when the store was brought up.
fn old_contents(place: &Place, store: &SqliteStore) -> String {
    let text = contents(place, store).expect("whole");
    text.lines().filter(|line| !line.starts_with("AuditLine")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_power_cut_while_it_is_brought_up_leaves_the_old_or_the_new() {
    const WAL: &str = "dormouse.db-wal";
    let place = Place::with(&version_1());
    let store = place.open().expect("an old store");
    let expected = old_contents(&place, &store);
    let after = place.files();
    for length in (0..after[WAL].len()).step_by(1013).chain([after[WAL].len()]) {
        let mut torn = after.clone();
        torn.get_mut(WAL).expect("the log").truncate(length);
        let place = Place::with(&torn);
        let store = place.open().expect("a crash is no damage");
        assert_eq!(old_contents(&place, &store), expected, "log cut at {length}");
        assert_eq!(version(&place), 4);
    }
}

#[test]
fn a_damaged_old_store_is_refused_before_anything_is_changed() {
    let mut files = version_1();
    let bytes = files.get_mut(DB).expect("the store");
    let at = bytes.windows(13).position(|bytes| bytes == b"does not rise").expect("a trigger");
    bytes[at] ^= 1;
    let place = Place::with(&files);
    assert!(place.open().expect_err("refused").to_string().contains("its tables are not those of a store"));
    assert_eq!(version(&place), 1);
}

#[test]
fn demand_comes_back_in_the_order_of_time_and_is_forgotten_by_age() {
    let place = Place::new();
    let store = place.open().expect("a new store");
    place.run(async {
        let rows = [600, 0, 300].map(|at| row(at, RollUp::FiveMinutes));
        store
            .keep_demand(&batch([rows.to_vec(), vec![row(0, RollUp::Hour)]].concat(), 0))
            .await
            .expect("kept");
        let starts = |rows: &[DemandRow]| rows.iter().map(|row| (row.roll_up, row.start)).collect::<Vec<_>>();
        let all = store.load().await.expect("whole").demand;
        let five = |at| (RollUp::FiveMinutes, at);
        assert_eq!(starts(&all), [five(0), five(300), five(600), (RollUp::Hour, 0)]);
        assert_eq!(all[1], row(300, RollUp::FiveMinutes));
        store.keep_demand(&batch(vec![row(900, RollUp::FiveMinutes)], 600)).await.expect("kept");
        let all = store.load().await.expect("whole").demand;
        assert_eq!(starts(&all), [five(600), five(900), (RollUp::Hour, 0)]);
    });
}

#[test]
fn a_row_that_was_changed_is_left_out_and_nothing_else() {
    let place = Place::new();
    let store = place.open().expect("a new store");
    place.run(async {
        let rows = [0, 300].map(|at| row(at, RollUp::FiveMinutes)).to_vec();
        store.keep_demand(&batch(rows, 0)).await.expect("kept");
        store.remember(Kind::Host, "lab07", json!(1)).await.expect("kept");
    });
    let db = Connection::open(place.path()).expect("ours");
    db.execute("UPDATE demand SET levels = '20:20' WHERE start_s = 0", []).expect("changed");
    let all = place.run(store.load()).expect("losing history is harmless");
    assert_eq!((all.demand, all.hosts.len()), (vec![row(300, RollUp::FiveMinutes)], 1));
}
