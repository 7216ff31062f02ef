//! What the store takes and what it refuses.

mod common;

use common::{DONE, Place, migrate, sleep};
use dormouse_driver::{EventRecord, Kind, Lease, LeaseError, Store, StoreError};
use dormouse_model::{Epoch, IntentId, Outcome};
use serde_json::json;

#[test]
fn an_intent_is_open_until_its_one_outcome() {
    let place = Place::new();
    let store = place.open().expect("a new store");
    let (_lease, term) = place.lead(&store);
    assert_eq!(term.expect("free").epoch, Epoch(1));
    place.run(async {
        store.append(&migrate(1, 1)).await.expect("first");
        store.append(&sleep(2, 1)).await.expect("second");
        assert_eq!(store.append(&sleep(2, 1)).await, Err(StoreError::Twice(IntentId(2))));
        store.close(IntentId(1), &DONE).await.expect("its outcome");
        assert_eq!(store.close(IntentId(1), &DONE).await, Err(StoreError::Twice(IntentId(1))));
        assert_eq!(store.close(IntentId(9), &DONE).await, Err(StoreError::NoSuch(IntentId(9))));
        let all = store.load().await.expect("whole");
        assert_eq!(all.open, [sleep(2, 1)]);
        assert_eq!(all.last_intent, 2);
        assert_eq!(store.outcome(IntentId(1)).await, Ok(Some(DONE)));
    });
}

#[test]
fn only_the_current_epoch_writes_intents() {
    let place = Place::new();
    let store = place.open().expect("a new store");
    assert_eq!(place.run(store.append(&sleep(1, 1))), Err(StoreError::Fenced(Epoch(1))), "nobody leads yet");
    let (first, _) = place.lead(&store);
    place.run(first.resign(Epoch(1))).expect("given up");
    let (_second, term) = place.lead(&store);
    assert_eq!(term.expect("free again").epoch, Epoch(2));
    place.run(async {
        assert_eq!(first.renew(Epoch(1)).await, Err(LeaseError::Over(Epoch(1))));
        assert_eq!(store.append(&sleep(1, 1)).await, Err(StoreError::Fenced(Epoch(1))), "a late leader");
        assert_eq!(
            store.append(&sleep(1, 3)).await,
            Err(StoreError::Fenced(Epoch(3))),
            "nobody gave it that epoch"
        );
        store.append(&sleep(1, 2)).await.expect("the leader writes");
    });
}

#[test]
fn one_of_two_managers_leads_and_the_other_is_told_who() {
    let place = Place::new();
    let (one, two) = (place.open().expect("one"), place.open().expect("two"));
    let (lease, term) = place.lead(&one);
    let term = term.expect("free");
    let (_other, refused) = place.lead(&two);
    assert_eq!(refused, Err(LeaseError::Held { who: "test".to_owned() }));
    assert_eq!(place.run(lease.renew(term.epoch)).map(|term| term.epoch), Ok(term.epoch));
    // Somebody removed the lock file: another manager may lock a new one, so this term is over.
    std::fs::remove_file(place.dir.path().join("dormouse.db.lock")).expect("removed");
    assert_eq!(place.run(lease.renew(term.epoch)), Err(LeaseError::Over(term.epoch)));
}

#[test]
fn memory_and_trail_come_back_in_order() {
    let place = Place::new();
    let store = place.open().expect("a new store");
    let event = |name: &str| EventRecord {
        seq: 0,
        at_ms: 5,
        level: "info".to_owned(),
        name: name.to_owned(),
        fields: vec![("vm".to_owned(), "$(reboot)\n\u{1b}[2J".to_owned())],
    };
    place.run(async {
        for (key, value) in [("lab02", 1), ("lab01", 2), ("lab02", 3), ("'; drop table memory; --", 4)] {
            store.remember(Kind::Host, key, json!({ "n": value })).await.expect("kept");
        }
        store.remember(Kind::Vm, "lab01", json!("another kind")).await.expect("kept");
        store.forget(Kind::Host, "lab01").await.expect("forgotten");
        let all = store.load().await.expect("whole");
        let hosts = [("'; drop table memory; --", 4), ("lab02", 3)]
            .map(|(key, n)| (key.to_owned(), json!({ "n": n })));
        assert_eq!(all.hosts, hosts);
        assert_eq!(all.vms.len(), 1);

        store.tell(&["a", "b", "c"].map(event)).await.expect("told");
        let names =
            |events: Vec<EventRecord>| events.into_iter().map(|e| (e.seq, e.name)).collect::<Vec<_>>();
        let of = |n: u64, name: &str| (n, name.to_owned());
        assert_eq!(names(store.events(1, 10).await.expect("read")), [of(2, "b"), of(3, "c")]);
        assert_eq!(names(store.last_events(1).await.expect("read")), [of(3, "c")]);
        assert_eq!(store.last_events(1).await.expect("read")[0].fields, event("c").fields);
    });
}

#[test]
fn the_trail_and_the_closed_journal_are_bounded() {
    let place = Place::new();
    let store = place.open().expect("a new store");
    let event =
        EventRecord { seq: 0, at_ms: 5, level: "debug".into(), name: "host.seen".into(), fields: vec![] };
    place.run(async {
        for _ in 0..103 {
            store.tell(&vec![event.clone(); 1000]).await.expect("told");
        }
        let kept = store.events(0, usize::MAX).await.expect("read");
        assert!((100_000..=102_000).contains(&kept.len()), "{} lines kept", kept.len());
        assert_eq!(kept.last().map(|event| event.seq), Some(103_000));
    });
}

#[test]
fn every_outcome_comes_back_as_it_was() {
    use dormouse_model::{GuardRefusal, Millis, OutcomeError};
    let outcomes = [
        Outcome::Done { downtime: None },
        Outcome::Failed(OutcomeError::Deadline(Millis(5))),
        Outcome::Failed(OutcomeError::NoProgress(Millis(5))),
        Outcome::Failed(OutcomeError::Driver("no \"bridge\" \u{0}".into())),
        Outcome::Failed(OutcomeError::Fenced),
        Outcome::Refused(vec![
            GuardRefusal::Qemu { count: 2 },
            GuardRefusal::Job,
            GuardRefusal::Epoch(Epoch(9)),
        ]),
        Outcome::Unsure("silence".into()),
    ];
    let place = Place::new();
    let store = place.open().expect("a new store");
    let (_lease, _) = place.lead(&store);
    place.run(async {
        for (id, outcome) in (1..).zip(outcomes) {
            store.append(&migrate(id, 1)).await.expect("written");
            store.close(IntentId(id), &outcome).await.expect("closed");
            assert_eq!(store.outcome(IntentId(id)).await, Ok(Some(outcome)));
        }
    });
}
