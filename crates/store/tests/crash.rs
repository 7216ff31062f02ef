//! The manager dies, at any point: what a restart finds is what was acknowledged, at most one write more.

mod common;

use common::{DONE, Files, Place, contents, migrate, sleep};
use dormouse_driver::{Kind, Store};
use dormouse_model::IntentId;
use dormouse_store::SqliteStore;
use serde_json::json;

#[derive(Clone, Copy, Debug)]
enum Write {
    Append(u64),
    Close(u64),
    Remember(&'static str),
    Forget(&'static str),
}

const STORY: [Write; 10] = [
    Write::Remember("lab07"),
    Write::Append(1),
    Write::Append(2),
    Write::Close(1),
    Write::Remember("lab07"),
    Write::Remember("lab08"),
    Write::Close(2),
    Write::Append(3),
    Write::Forget("lab08"),
    Write::Close(3),
];

fn write(place: &Place, store: &SqliteStore, what: Write, turn: usize) {
    place
        .run(async {
            match what {
                Write::Append(id) if id % 2 == 0 => store.append(&sleep(id, 1)).await,
                Write::Append(id) => store.append(&migrate(id, 1)).await,
                Write::Close(id) => store.close(IntentId(id), &DONE).await,
                Write::Remember(key) => store.remember(Kind::Host, key, json!({ "turn": turn })).await,
                Write::Forget(key) => store.forget(Kind::Host, key).await,
            }
        })
        .expect("written");
}

/// Each write's files and contents: first before all, then after each.
fn play() -> Vec<(Files, String)> {
    let place = Place::new();
    let store = place.open().expect("a new store");
    let (_lease, term) = place.lead(&store);
    term.expect("free");
    let mut after = vec![(place.files(), contents(&place, &store).expect("whole"))];
    for (turn, what) in STORY.into_iter().enumerate() {
        write(&place, &store, what, turn);
        after.push((place.files(), contents(&place, &store).expect("whole")));
    }
    after
}

fn reopened(files: &Files) -> String {
    let place = Place::with(files);
    let store = place.open().expect("a crash is no damage");
    contents(&place, &store).expect("whole")
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_between_any_two_writes() {
    for (turn, (files, expected)) in play().iter().enumerate() {
        assert_eq!(&reopened(files), expected, "after write {turn}");
    }
}

#[test]
fn a_power_cut_in_the_middle_of_a_write_leaves_the_state_before_or_after_it() {
    const WAL: &str = "dormouse.db-wal";
    let story = play();
    let mut cuts = 0;
    for pair in story.windows(2) {
        let [(before, was), (after, is)] = pair else { unreachable!("two of them") };
        let (short, long) = (before[WAL].len(), after[WAL].len());
        assert!(short < long, "each write is in the log");
        for length in (short..long).step_by(509).chain([long - 1, long]) {
            let mut torn = after.clone();
            torn.get_mut(WAL).expect("the log").truncate(length);
            let found = reopened(&torn);
            assert!(&found == was || (length == long && &found == is), "log cut at {length} of {long}");
            cuts += 1;
        }
    }
    assert!(cuts > STORY.len() * 5);
}

#[test]
fn a_restarted_manager_leads_with_a_higher_epoch() {
    for (files, _) in play() {
        let place = Place::with(&files);
        let store = place.open().expect("whole");
        let (_lease, term) = place.lead(&store);
        assert_eq!(term.expect("the dead hold no lock").epoch.0, 2);
    }
}

#[test]
fn a_crash_while_the_store_is_made_leaves_none_or_a_whole_one() {
    let place = Place::new();
    std::fs::write(place.dir.path().join("dormouse.db.new"), b"half a store").expect("left over");
    std::fs::write(place.dir.path().join("dormouse.db.new-wal"), b"and its log").expect("left over");
    drop(place.open().expect("made anew"));

    // Named, but the marker was not written any more.
    let place = Place::new();
    let store = place.open().expect("made");
    let before = contents(&place, &store).expect("whole");
    std::fs::remove_file(place.dir.path().join("dormouse.db.id")).expect("removed");
    let again = place.open().expect("opened");
    assert_eq!(contents(&place, &again).expect("whole"), before);
    assert!(place.files().contains_key("dormouse.db.id"));
}
