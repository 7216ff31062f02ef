//! Copies: made while a manager is at work, brought back by an operator's word, and never a way for an epoch to go back.

mod common;

use common::{DONE, Place, contents, migrate, sleep};
use dormouse_driver::{AuditEntry, Kind, Store, StoreError};
use dormouse_model::IntentId;
use dormouse_store::{Chain, OpenError};
use rusqlite::Connection;
use serde_json::json;

/// A store that was led once, with an open intent and a closed one.
fn filled(place: &Place) -> dormouse_store::SqliteStore {
    let store = place.open().expect("a new store");
    let (_lease, _) = place.lead(&store);
    place.run(async {
        store.append(&migrate(1, 1)).await.expect("written");
        let word =
            AuditEntry::Word { by: "ada".into(), order: json!({ "order": "apply" }), answer: "ok".into() };
        store.note(&word).await.expect("noted");
        store.note(&AuditEntry::Effect { intent: IntentId(1) }).await.expect("noted");
        store.close(IntentId(1), &DONE).await.expect("closed");
        store.append(&sleep(2, 1)).await.expect("written");
        store.remember(Kind::Host, "lab07", json!({ "state": "asleep" })).await.expect("kept");
        store.remember(Kind::Setting, "pause", json!({ "by": "ada" })).await.expect("kept");
    });
    store
}

/// As an operator would do it with the sqlite3 shell.
fn edited(place: &Place, sql: &str) {
    let db = Connection::open(place.path()).expect("ours");
    let triggers: Vec<String> =
        ["audit_stays", "audit_keeps_its_end", "audit_has_no_gap"].map(str::to_owned).into();
    let text = |name: &String| {
        db.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [name], |row| row.get::<_, String>(0))
            .expect("a trigger")
    };
    let texts: Vec<String> = triggers.iter().map(text).collect();
    triggers.iter().for_each(|name| db.execute_batch(&format!("DROP TRIGGER {name}")).expect("dropped"));
    db.execute_batch(sql).expect("edited");
    texts.iter().for_each(|text| db.execute_batch(text).expect("made again"));
}

#[test]
fn a_copy_of_a_store_at_work_holds_what_it_held_and_goes_on() {
    let place = Place::new();
    let store = filled(&place);
    let to = place.dir.path().join("copy.db");
    let copied = dormouse_store::backup(&place.path(), &to).expect("copied");
    assert_eq!((copied.epoch, copied.open), (1, 1));
    assert_eq!(dormouse_store::read(&to).expect("whole"), place.run(store.dump()).expect("whole"));
    assert!(!place.files().contains_key("copy.db-wal"), "a copy is one file");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&to).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "and nobody else reads it");
    let again = dormouse_store::backup(&place.path(), &to).expect_err("refused");
    assert!(matches!(again, OpenError::Io { .. }), "nothing is written over: {again}");
    place.run(store.close(IntentId(2), &DONE)).expect("the manager goes on");
}

#[test]
fn a_copy_brought_back_leads_with_an_epoch_above_all_that_were() {
    let place = Place::new();
    let store = filled(&place);
    let to = place.dir.path().join("copy.db");
    dormouse_store::backup(&place.path(), &to).expect("copied");
    for _ in 0..5 {
        drop(place.lead(&store));
    }
    let (lease, term) = place.lead(&store);
    assert_eq!(term.expect("free").epoch.0, 7);
    let refused = dormouse_store::restore(&to, &place.path(), 3, |_| ()).expect_err("a manager is at work");
    assert_eq!(refused.to_string(), "a manager is at work on it: test");
    drop((lease, store));

    // A wall clock that is far behind does not take the epoch back.
    let copied =
        dormouse_store::restore(&to, &place.path(), 3, |dump| dump.hosts.clear()).expect("brought back");
    let store = place.open().expect("whole");
    let all = place.run(store.load()).expect("whole");
    assert_eq!((all.open, all.hosts, all.settings.len()), (vec![sleep(2, 1)], vec![], 1));
    let (_lease, term) = place.lead(&store);
    assert_eq!(term.expect("free").epoch.0, 9);
    let kept = dormouse_store::read(&copied.aside.expect("kept")).expect("whole");
    assert_eq!(kept.epoch, 7, "what was there is still there");

    let other = Place::new();
    drop(other.open().expect("another cluster's"));
    let refused = dormouse_store::restore(&to, &other.path(), 3, |_| ()).expect_err("refused");
    assert!(refused.to_string().contains("belongs to cluster"), "{refused}");
    // A new machine, on which no store ever was.
    let fresh = Place::new();
    dormouse_store::restore(&to, &fresh.path(), 1_795_000_000_000, |_| ()).expect("brought back");
    let store = fresh.open().expect("whole");
    let (_lease, term) = fresh.lead(&store);
    assert_eq!(term.expect("free").epoch.0, 1_795_000_000_002);
}

#[test]
fn a_copy_that_is_damaged_or_newer_replaces_nothing() {
    let place = Place::new();
    let store = filled(&place);
    let to = place.dir.path().join("copy.db");
    dormouse_store::backup(&place.path(), &to).expect("copied");
    drop(store);
    let good = std::fs::read(&to).expect("a copy");
    let before = contents(&place, &place.open().expect("whole")).expect("whole");
    let at = good.windows(6).position(|bytes| bytes == b"asleep").expect("in plain");
    for (at, byte) in [(at, b'A'), (30, 0xff), (63, 9)] {
        let mut bad = good.clone();
        bad[at] = byte;
        std::fs::write(&to, bad).expect("written");
        dormouse_store::restore(&to, &place.path(), 3, |_| ()).expect_err("refused");
    }
    assert_eq!(contents(&place, &place.open().expect("whole")).expect("whole"), before);
}

#[test]
fn an_edited_audit_log_stops_the_manager_and_names_the_first_bad_line() {
    let edits = [
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 4", "line 4 of the audit log was changed"),
        ("UPDATE audit SET entry = replace(entry, 'ada', 'bob')", "line 4 of the audit log was changed"),
        ("DELETE FROM audit WHERE seq = 5", "line 5 of the audit log is missing"),
        ("DELETE FROM audit", "the audit log is gone"),
        ("DELETE FROM audit WHERE seq >= 7", "the audit log does not say what the journal says of intent i2"),
    ];
    for (sql, expected) in edits {
        let place = Place::new();
        drop(filled(&place));
        edited(&place, sql);
        let store = place.open().expect("SQLite sees nothing wrong");
        let error = place.run(store.load()).expect_err("refused");
        assert_eq!(error, StoreError::Damaged(expected.to_owned()), "{sql}");
    }
}

#[test]
fn every_intent_effect_outcome_and_word_has_its_line() {
    let place = Place::new();
    let store = filled(&place);
    let mut chain = Chain::default();
    let lines = place.run(store.audit(0, usize::MAX)).expect("read");
    let words: Vec<String> = lines
        .iter()
        .map(|line| {
            let entry = serde_json::to_value(chain.take(line).expect("a good chain")).expect("plain data");
            entry["what"].as_str().expect("a word").to_owned()
        })
        .collect();
    assert_eq!(words, ["begin", "lead", "intent", "word", "effect", "outcome", "intent"]);
    assert_eq!(place.run(store.audit(5, 1)).expect("read"), lines[5..6]);
}
