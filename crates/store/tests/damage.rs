//! A store that is not as it was written is refused by name, and left as it is.

mod common;

use common::{DONE, Files, Place, closed, contents, migrate, sleep};
use dormouse_driver::{Kind, Store, StoreError};
use dormouse_model::IntentId;
use dormouse_store::OpenError;
use serde_json::json;

const DB: &str = "dormouse.db";

/// A small store with something in every table, closed in order.
fn filled() -> (Files, String) {
    let place = Place::new();
    let store = place.open().expect("a new store");
    let (lease, _) = place.lead(&store);
    place.run(async {
        store.append(&migrate(1, 1)).await.expect("written");
        store.close(IntentId(1), &DONE).await.expect("closed");
        store.append(&sleep(2, 1)).await.expect("written");
        store.remember(Kind::Host, "lab07", json!({ "state": "stopping" })).await.expect("kept");
        store.remember(Kind::Vm, "pc07", json!({ "at": "lab01" })).await.expect("kept");
    });
    let text = contents(&place, &store).expect("whole");
    drop(lease);
    closed(store, &place.path());
    (place.files(), text)
}

/// What the operator reads, or the contents.
fn found(files: &Files) -> Result<String, String> {
    let place = Place::with(files);
    match place.open() {
        Err(error) => Err(error.to_string().replace(&place.dir.path().display().to_string(), "DIR")),
        Ok(store) => contents(&place, &store),
    }
}

fn with_byte(files: &Files, at: usize, flip: u8) -> Files {
    let mut files = files.clone();
    files.get_mut(DB).expect("the store")[at] ^= flip;
    files
}

#[test]
fn no_changed_byte_changes_what_is_believed() {
    let (files, text) = filled();
    let size = files[DB].len();
    // Every byte of the header; of rows and pages every fourth; in the empty middle of the pages, samples.
    let busy = |at: &usize| match files[DB][*at] {
        _ if *at < 100 => true,
        0 => at.is_multiple_of(97),
        _ => at.is_multiple_of(4),
    };
    let (mut refused, mut harmless) = (0, 0);
    for at in (0..size).filter(busy) {
        let flip = 1_u8.rotate_left(u32::try_from(at % 8).expect("small"));
        match found(&with_byte(&files, at, flip)) {
            Err(_) => refused += 1,
            Ok(now) => {
                assert_eq!(now, text, "byte {at} changed and nobody noticed");
                harmless += 1;
            }
        }
    }
    assert!(refused > 2 * harmless, "{refused} refused, {harmless} harmless");
}

#[test]
fn the_record_that_does_not_read_back_is_named() {
    let (files, _) = filled();
    let at = |what: &[u8]| {
        files[DB].windows(what.len()).position(|bytes| bytes == what).expect("it is stored in plain")
    };
    let refused = |what: &str| found(&with_byte(&files, at(what.as_bytes()), 1)).expect_err("damaged");
    let damaged = |what: &str| format!("the store is damaged: {what} does not read back as it was written");
    assert_eq!(refused("stopping"), damaged("the memory of host lab07"));
    assert_eq!(refused("lab01\"}"), damaged("the memory of vm pc07"));
    assert_eq!(
        refused("migratelab07"),
        "DIR/dormouse.db: the store is damaged: CHECK constraint failed in intents"
    );
    assert_eq!(
        refused("sleeplab07").replace("DIR/dormouse.db: ", ""),
        "the store is damaged: CHECK constraint failed in intents"
    );
    // The audit log has the outcome, too, on a page before.
    let outcome = files[DB].windows(6).rposition(|bytes| bytes == b"{\"done").expect("it is stored in plain");
    let error = found(&with_byte(&files, outcome, 1)).expect_err("damaged");
    assert_eq!(error, damaged("the outcome of intent i1"));
}

#[test]
fn a_truncated_or_emptied_store_is_never_taken_for_a_new_one() {
    let (files, text) = filled();
    let cut = |length: usize| {
        let mut files = files.clone();
        files.get_mut(DB).expect("the store").truncate(length);
        found(&files).expect_err("refused")
    };
    assert_eq!(
        cut(0),
        "the store DIR/dormouse.db is gone, although it was made once (DIR/dormouse.db.id says so)"
    );
    assert_eq!(cut(50), "DIR/dormouse.db: the store is damaged: its first page is not that of a store");
    let mut refused = 0;
    for length in (100..files[DB].len()).step_by(511) {
        let mut short = files.clone();
        short.get_mut(DB).expect("the store").truncate(length);
        // Blanks at the end of the last page are no loss.
        match found(&short) {
            Ok(now) => assert_eq!(now, text, "cut at {length}"),
            Err(error) => refused += u32::from(error.contains("damaged")),
        }
    }
    assert!(refused > 30, "{refused}");
    let mut gone = files.clone();
    gone.remove(DB);
    assert!(found(&gone).expect_err("refused").contains("is gone"));
    let mut other = filled().0;
    other.insert("dormouse.db.id".to_owned(), files["dormouse.db.id"].clone());
    assert!(found(&other).expect_err("refused").contains("belongs to cluster"));
}

#[test]
fn a_newer_store_and_a_strange_file_are_left_untouched() {
    let (mut newer, _) = filled();
    newer.get_mut(DB).expect("the store")[60..64].copy_from_slice(&9_u32.to_be_bytes());
    let place = Place::with(&newer);
    let error = place.open().expect_err("newer");
    assert!(
        matches!(&error, OpenError::Store { source: StoreError::Newer { found: 9, known: 4 }, .. }),
        "{error}"
    );
    assert_eq!(error.hint(), Some("install the version that wrote it, or a later one"));
    assert_eq!(place.files(), newer);

    let strange = Files::from([(DB.to_owned(), b"holiday pictures\n".repeat(20))]);
    let place = Place::with(&strange);
    assert!(matches!(place.open(), Err(OpenError::Foreign(_))));
    assert_eq!(place.files(), strange);
}

#[test]
fn an_operator_may_give_it_up_and_nothing_is_thrown_away() {
    let (files, _) = filled();
    let place = Place::with(&with_byte(&files, 40, 0xff));
    let cluster = String::from_utf8(files["dormouse.db.id"].clone()).expect("text");
    let copied = dormouse_store::rebuild(&place.path(), 1_795_000_000_000).expect("made anew");
    let aside = copied.aside.expect("something was there");
    assert_eq!(std::fs::read(aside).expect("kept"), with_byte(&files, 40, 0xff)[DB]);
    let store = place.open().expect("whole");
    let all = place.run(store.load()).expect("whole");
    assert_eq!(all.cluster.to_string(), cluster.trim(), "the guards on the hosts know this cluster");
    assert_eq!((all.hosts.len(), all.open.len()), (0, 0));
    let (_lease, term) = place.lead(&store);
    assert_eq!(term.expect("free").epoch.0, 1_795_000_000_002, "above every epoch that a guard has seen");
}
