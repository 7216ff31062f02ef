//! The store in a real etcd of up to three members, which are killed, slowed, filled and set back.
#![cfg(feature = "etcd")]

mod common;

use common::{DONE, migrate, sleep};
use dormouse_driver::{
    AuditEntry, IntentRecord, Kind, Lease, LeaseError, MemoryRecord, Store, StoreError, Term,
    conformance_store,
};
use dormouse_members::{Authority, Members, PATIENCE, Papers, Relay};
use dormouse_model::{Epoch, IntentId, Millis};
use dormouse_store::{Dump, EtcdLease, EtcdSettings, EtcdStore};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A manager's machine of that name.
fn settings(members: &Members, manager: &str) -> EtcdSettings {
    EtcdSettings {
        endpoints: members.endpoints(),
        prefix: "/dormouse".to_owned(),
        ca: None,
        identity: None,
        seen: members.dir.path().join(format!("{manager}.seen")),
    }
}

async fn manager(settings: &EtcdSettings) -> (EtcdStore, EtcdLease) {
    let store = EtcdStore::open(settings).await.expect("opens");
    let lease = EtcdLease::new(&store);
    (store, lease)
}

async fn led(settings: &EtcdSettings) -> (EtcdStore, EtcdLease, Term) {
    let (store, lease) = manager(settings).await;
    let end = Instant::now() + PATIENCE;
    loop {
        match lease.campaign("test").await {
            Ok(term) => return (store, lease, term),
            Err(error) => assert!(Instant::now() < end, "the lead is not taken: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn of(intent: IntentRecord, term: Term) -> IntentRecord {
    IntentRecord { epoch: term.epoch, ..intent }
}

/// Again and again, as the journal does, until it is taken.
async fn until_taken<T>(what: &str, mut call: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < end, "{what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How often the audit log says it.
async fn said(store: &EtcdStore, wanted: &AuditEntry) -> usize {
    let lines = store.audit(0, usize::MAX).await.expect("read");
    lines
        .iter()
        .filter(|line| serde_json::from_str::<AuditEntry>(&line.entry).is_ok_and(|entry| entry == *wanted))
        .count()
}

#[test]
#[ignore = "needs etcd"]
fn etcd_keeps_the_rules_of_a_store() {
    let members = Members::start(3);
    runtime().block_on(async {
        let (one, first) = manager(&settings(&members, "one")).await;
        let (two, second) = manager(&settings(&members, "two")).await;
        let broken = conformance_store::store((&one, &first), (&two, &second)).await;
        assert_eq!(broken, Vec::<String>::new());
    });
}

#[test]
#[ignore = "needs etcd"]
fn a_leader_that_goes_silent_is_followed_after_its_lease_and_writes_nothing_more() {
    let members = Members::start(1);
    runtime().block_on(async {
        let (one, first, term) = led(&settings(&members, "one")).await;
        one.append(&of(sleep(2, 1), term)).await.expect("it leads");
        let (two, second) = manager(&settings(&members, "two")).await;
        assert_eq!(second.campaign("two").await, Err(LeaseError::Held { who: "test".to_owned() }));
        let silent = Instant::now();
        let (_, _, next) = led(&settings(&members, "two")).await;
        let took = silent.elapsed();
        assert!(took >= Duration::from_millis(term.lasts.0) - Duration::from_secs(2), "too early: {took:?}");
        assert!(next.epoch > term.epoch);
        assert_eq!(one.append(&of(sleep(4, 1), term)).await, Err(StoreError::Fenced(term.epoch)));
        assert!(matches!(one.remember(Kind::Host, "lab07", json!(1)).await, Err(StoreError::Fenced(_))));
        assert_eq!(first.renew(term.epoch).await, Err(LeaseError::Over(term.epoch)));
        assert_eq!(one.close(IntentId(2), &DONE).await, Ok(()), "it may tell how what it began has ended");
        assert_eq!(two.load().await.expect("whole").open, []);
    });
}

#[test]
#[ignore = "needs etcd"]
fn one_member_may_die_or_hang_and_without_two_nothing_is_written() {
    let mut members = Members::start(3);
    let runtime = runtime();
    let (store, lease, term) = runtime.block_on(led(&settings(&members, "one")));
    let leads = members.leader().expect("one of them");
    // Its leader hangs: nothing answers there, and no connection is closed.
    members.signal(leads, "-STOP");
    runtime.block_on(async {
        until_taken("a frozen member", async || {
            lease.renew(term.epoch).await.map_err(|error| StoreError::Unknown(error.to_string()))
        })
        .await;
        let intent = of(migrate(1, 1), term);
        until_taken("a frozen member", async || match store.append(&intent).await {
            Err(StoreError::Twice(_)) => Ok(()),
            other => other,
        })
        .await;
        assert_eq!(said(&store, &AuditEntry::Intent { intent }).await, 1, "once, whatever was tried again");
    });
    members.signal(leads, "-CONT");
    members.kill(leads);
    members.kill((leads + 1) % 3);
    runtime.block_on(async {
        let refused = store.append(&of(sleep(2, 1), term)).await.expect_err("no quorum");
        assert!(matches!(refused, StoreError::Unknown(_)), "{refused}");
        lease.renew(term.epoch).await.expect_err("no quorum");
        lease.campaign("another").await.expect_err("no quorum");
        store.load().await.expect_err("no quorum");
    });
    members.run(leads);
    members.run((leads + 1) % 3);
    members.wait();
    runtime.block_on(async {
        // The journal's word for what was never answered: it never began.
        let (store, _lease, next) = led(&settings(&members, "one")).await;
        assert!(next.epoch > term.epoch);
        let open = store.load().await.expect("whole").open;
        assert!(open.iter().any(|intent| intent.id == IntentId(1)), "what was acknowledged is there");
        store.append(&of(sleep(4, 1), next)).await.expect("on it goes");
    });
}

#[test]
#[ignore = "needs etcd"]
fn a_slow_etcd_is_waited_for_and_a_stalled_one_doubles_nothing() {
    let members = Members::start(1);
    runtime().block_on(async {
        let relay = Relay::to(members.port(0));
        let through = EtcdSettings { endpoints: vec![relay.endpoint()], ..settings(&members, "one") };
        let (store, lease, term) = led(&through).await;
        relay.late(100);
        store.append(&of(migrate(1, 1), term)).await.expect("slow, and taken");
        lease.renew(term.epoch).await.expect("slow, and renewed");
        // Nothing is answered within a call's patience; what was sent arrives all the same.
        relay.late(4_000);
        let intent = of(sleep(2, 1), term);
        assert!(matches!(store.append(&intent).await, Err(StoreError::Unknown(_))));
        relay.late(0);
        let closed = until_taken("after the stall", async || match store.close(IntentId(2), &DONE).await {
            Err(StoreError::Twice(_) | StoreError::NoSuch(_)) => Ok(false),
            other => other.map(|()| true),
        })
        .await;
        let direct = manager(&settings(&members, "two")).await.0;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let all = direct.load().await.expect("whole, with a chain that holds");
        assert!(all.open.len() <= 2);
        let written = said(&direct, &AuditEntry::Intent { intent }).await;
        assert!(written <= 1, "never twice");
        assert!(!closed || written == 1);
    });
}

#[test]
#[ignore = "needs etcd"]
fn a_word_is_written_once_however_often_it_is_sent() {
    let members = Members::start(1);
    runtime().block_on(async {
        let relay = Relay::to(members.port(0));
        let through = EtcdSettings { endpoints: vec![relay.endpoint()], ..settings(&members, "one") };
        let (store, lease, term) = led(&through).await;
        let lines = store.audit(0, usize::MAX).await.expect("read");
        let first: AuditEntry = serde_json::from_str(&lines[0].entry).expect("ours");
        assert_eq!(first, AuditEntry::Begin { after: IntentId(0) }, "the log says where it begins");
        let word = |n: u32| AuditEntry::Word {
            by: "ops".to_owned(),
            order: json!({ "n": n }),
            answer: String::new(),
        };
        for n in 0..3 {
            until_taken("a renewal", async || {
                lease.renew(term.epoch).await.map_err(|error| StoreError::Unknown(error.to_string()))
            })
            .await;
            // The answer comes too late, the word in time.
            relay.late(1_600);
            assert!(matches!(store.note(&word(n)).await, Err(StoreError::Unknown(_))));
            relay.late(0);
            until_taken("the word", async || {
                lease.renew(term.epoch).await.map_err(|error| StoreError::Unknown(error.to_string()))?;
                store.note(&word(n)).await
            })
            .await;
            assert_eq!(said(&store, &word(n)).await, 1);
        }
        store.note(&word(0)).await.expect("written");
        assert_eq!(said(&store, &word(0)).await, 2, "said again is another word");
    });
}

#[test]
#[ignore = "needs etcd"]
fn many_records_are_kept_at_once_also_more_than_etcd_takes_in_one_breath() {
    let members = Members::start(1);
    runtime().block_on(async {
        let (store, _lease, _) = led(&settings(&members, "one")).await;
        let record = |n: u32, value| MemoryRecord { kind: Kind::Vm, key: format!("vm{n:05}"), value };
        let all: Vec<_> = (0..1_000).map(|n| record(n, Some(json!("x".repeat(2_000))))).collect();
        store.remember_all(&all).await.expect("kept");
        assert_eq!(store.load().await.expect("whole").vms.len(), 1_000);
        let half: Vec<_> = (0..1_000).step_by(2).map(|n| record(n, None)).collect();
        store.remember_all(&half).await.expect("forgotten");
        let kept = store.load().await.expect("whole").vms;
        assert_eq!(kept.len(), 500);
        assert!(kept.iter().all(|(key, _)| key.ends_with(['1', '3', '5', '7', '9'])));
    });
}

#[test]
#[ignore = "needs etcd, certtool"]
fn over_tls_only_those_who_are_vouched_for_speak_to_each_other() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (ours, theirs) =
        (Authority::new(&folder.path().join("ours")), Authority::new(&folder.path().join("theirs")));
    let members = Members::start_tls(1, ours.issue("member"));
    let (manager, stranger) = (ours.issue("manager"), theirs.issue("stranger"));
    let shows = |ca: &Papers, shown: Option<&Papers>| EtcdSettings {
        ca: Some(ca.ca.clone()),
        identity: shown.map(|papers| (papers.certificate.clone(), papers.key.clone())),
        ..settings(&members, "one")
    };
    runtime().block_on(async {
        let (store, _lease, term) = led(&shows(&manager, Some(&manager))).await;
        store.append(&of(sleep(2, 1), term)).await.expect("written");
        let refused = async |settings: EtcdSettings| {
            EtcdStore::open(&settings).await.map(drop).expect_err("refused").to_string()
        };
        let not_vouched = refused(shows(&stranger, Some(&manager))).await;
        assert!(not_vouched.contains("its certificate is not vouched for by `etcd.ca`"), "{not_vouched}");
        for shown in [None, Some(&stranger)] {
            let unknown = refused(shows(&manager, shown)).await;
            assert!(unknown.contains("wants a certificate it knows"), "{unknown}");
        }
    });
}

#[test]
#[ignore = "needs etcd"]
fn out_of_space_no_intent_is_taken_the_lead_is_kept_and_it_goes_on_when_there_is_room() {
    let members = Members::start_with(1, &["--quota-backend-bytes=2000000"]);
    runtime().block_on(async {
        let (store, lease, term) = led(&settings(&members, "one")).await;
        let mut client = etcd_client::Client::connect(members.endpoints(), None).await.expect("reached");
        let full = loop {
            if let Err(error) = client.put("filler", "x".repeat(50_000), None).await {
                break error;
            }
        };
        assert!(full.to_string().contains("space"), "{full}");
        let refused = store.append(&of(sleep(2, 1), term)).await;
        let why = "etcd: etcdserver: mvcc: database space exceeded".to_owned();
        assert_eq!(refused, Err(StoreError::NotWritten(why)), "it did not happen, and that is sure");
        lease.renew(term.epoch).await.expect("nobody else could do better");

        let revision = client.get("filler", None).await.expect("read").header().expect("one").revision();
        client.compact(revision, None).await.expect("its owner makes room");
        client.defragment().await.expect("its owner makes room");
        let (look, any) = (etcd_client::AlarmAction::Get, etcd_client::AlarmType::None);
        let alarms = client.alarm(look, any, None).await.expect("asked");
        for alarm in alarms.alarms() {
            let (disarm, kind) = (etcd_client::AlarmAction::Deactivate, etcd_client::AlarmType::Nospace);
            let mut which = etcd_client::AlarmOptions::new();
            which.with_member(alarm.member_id());
            client.alarm(disarm, kind, Some(which)).await.expect("its owner says so");
        }
        // Making room may take longer than a lease lasts.
        until_taken("there is room", async || {
            let term = match lease.renew(term.epoch).await {
                Ok(_) => term,
                Err(_) => {
                    let again = lease.campaign("one").await;
                    again.map_err(|error| StoreError::Unknown(error.to_string()))?
                }
            };
            store.append(&of(sleep(2, 1), term)).await
        })
        .await;
    });
}

#[test]
#[ignore = "needs etcd"]
fn an_etcd_that_went_back_is_refused_until_a_person_accepts_it() {
    let mut members = Members::start(1);
    let runtime = runtime();
    let one = settings(&members, "one");
    let (store, lease, before) = runtime.block_on(led(&one));
    runtime.block_on(async {
        store.remember(Kind::Host, "lab07", json!({ "state": "on" })).await.expect("kept");
        lease.resign(before.epoch).await.expect("given up");
    });
    members.kill(0);
    let backup = members.dir.path().join("backup");
    members.copy(0, &backup);
    members.run(0);
    members.wait();
    let (lease, last) = runtime.block_on(async {
        let (store, lease, term) = led(&one).await;
        store.append(&of(sleep(2, 1), term)).await.expect("written");
        lease.renew(term.epoch).await.expect("renewed");
        lease.resign(term.epoch).await.expect("given up");
        drop(EtcdStore::open(&one).await.expect("notes how far it is"));
        (lease, term)
    });
    members.kill(0);
    members.set_back(0, &backup);
    members.run(0);
    runtime.block_on(async {
        let end = Instant::now() + PATIENCE;
        let refused = loop {
            match EtcdStore::open(&one).await {
                Err(error @ StoreError::Damaged(_)) => break error.to_string(),
                other => assert!(Instant::now() < end, "not refused: {other:?}"),
            }
        };
        assert!(refused.contains("went back in time: it is at revision"), "{refused}");
        let late = lease.campaign("late").await.expect_err("also by a manager that has it open");
        assert!(late.to_string().contains("went back"), "{late}");

        // An operator accepts it.
        let mut dump = EtcdStore::read_whatever(&one).await.expect("it reads");
        dump.epoch = dump.epoch.max(1_795_000_000_000);
        EtcdStore::replace(&one, &dump).await.expect("accepted");
        let (store, _lease, term) = led(&one).await;
        assert!(term.epoch > last.epoch && term.epoch > Epoch(1_795_000_000_000));
        assert_eq!(store.load().await.expect("whole").hosts.len(), 1);
    });
}

#[test]
#[ignore = "needs etcd"]
fn a_store_moves_there_and_back_whole_and_its_epochs_only_rise() {
    let members = Members::start(1);
    let place = common::Place::new();
    let store = place.open().expect("a new store");
    let (lease, term) = place.lead(&store);
    let term = term.expect("free");
    place.run(async {
        store.append(&migrate(1, 1)).await.expect("written");
        store.close(IntentId(1), &DONE).await.expect("closed");
        store.append(&sleep(2, 1)).await.expect("written");
        store.remember(Kind::Host, "a/b\u{0}\u{e9}", json!({ "state": "on" })).await.expect("kept");
        lease.resign(term.epoch).await.expect("given up");
    });
    let whole = place.run(store.dump()).expect("whole");
    runtime().block_on(async {
        let there = settings(&members, "one");
        EtcdStore::replace(&there, &whole).await.expect("moved");
        let (etcd, lease, next) = led(&there).await;
        assert!(next.epoch > term.epoch);
        let refused = EtcdStore::replace(&there, &whole).await.expect_err("a manager leads");
        assert!(refused.to_string().contains("a manager is at work on it"), "{refused}");
        etcd.append(&of(sleep(4, 1), next)).await.expect("written");
        lease.resign(next.epoch).await.expect("given up");
        let back = etcd.dump().await.expect("whole");
        assert!(back.epoch >= next.epoch.0);
        let same = |dump: &Dump| {
            (dump.cluster, dump.hosts.clone(), dump.outcomes.clone(), dump.intents[..2].to_vec())
        };
        assert_eq!(same(&back), same(&whole));
        assert_eq!(back.audit[..whole.audit.len()], whole.audit[..], "one chain, wherever it was kept");
        let file = place.dir.path().join("back.db");
        dormouse_store::write(&file, &back).expect("a copy");
        assert_eq!(dormouse_store::read(&file).expect("whole"), back);
        EtcdStore::say_moved(&there).await.expect("said");
        let refused = EtcdStore::open(&there).await.expect_err("it lives elsewhere");
        assert!(refused.to_string().contains("elsewhere"), "{refused}");
    });
}

#[test]
#[ignore = "needs etcd"]
fn a_leader_begins_with_what_is_open_and_what_is_behind_it_is_verified_all_the_same() {
    let members = Members::start(1);
    runtime().block_on(async {
        let (store, _lease, term) = led(&settings(&members, "one")).await;
        // More open ones than are asked for at once, among closed ones.
        for id in 1..=120 {
            store.append(&of(sleep(id, 1), term)).await.expect("written");
            if id % 10 == 0 {
                store.close(IntentId(id), &DONE).await.expect("closed");
            }
        }
        let begins = store.load().await.expect("whole");
        let ids: Vec<u64> = begins.open.iter().map(|intent| intent.id.0).collect();
        assert_eq!(ids, (1..=120).filter(|id| id % 10 != 0).collect::<Vec<u64>>());
        assert_eq!((&begins.open[0], begins.last_intent), (&of(sleep(1, 1), term), 120));
        assert_eq!(store.verify().await, Ok(()));

        let mut client = etcd_client::Client::connect(members.endpoints(), None).await.expect("reached");
        let key = |folder: &str, number: u64| format!("/dormouse/{folder}/{number:020}");
        let changed = |key: &str| format!("the record {key} does not read back as it was written");
        let orphan = "an outcome without its intent, i10 does not read back as it was written".to_owned();
        let missing = "line 9 of the audit log is missing".to_owned();
        let (open, closed) = (key("intents", 7), key("intents", 10));
        let (outcome, line) = (key("outcomes", 10), key("audit", 9));
        // Changed, or gone; and whether a leader does not even begin.
        let cases = [
            (&open, false, true, changed(&open)),
            (&closed, false, false, changed(&closed)),
            (&closed, true, true, orphan),
            (&outcome, false, false, changed(&outcome)),
            (&line, false, false, changed(&line)),
            (&line, true, false, missing),
        ];
        for (key, gone, needed, why) in cases {
            let found = client.get(key.as_str(), None).await.expect("read").take_kvs().remove(0);
            if gone {
                client.delete(key.as_str(), None).await.expect("removed");
            } else {
                let other = found.value_str().expect("text").replace(':', ";");
                client.put(key.as_str(), other, None).await.expect("changed");
            }
            let named = StoreError::Damaged(why);
            let begins = if needed { Err(named.clone()) } else { Ok(begins.clone()) };
            assert_eq!(store.load().await, begins);
            assert_eq!(store.verify().await, Err(named));
            client.put(key.as_str(), found.value(), None).await.expect("put back");
        }
        assert_eq!(store.verify().await, Ok(()));
    });
}

#[test]
#[ignore = "needs etcd"]
fn a_changed_record_is_named_and_a_store_that_is_gone_is_not_a_new_one() {
    let members = Members::start(1);
    runtime().block_on(async {
        let one = settings(&members, "one");
        let (store, lease, term) = led(&one).await;
        store.remember(Kind::Host, "lab07", json!({ "state": "asleep" })).await.expect("kept");
        store.append(&of(sleep(2, 1), term)).await.expect("written");
        let mut client = etcd_client::Client::connect(members.endpoints(), None).await.expect("reached");
        let key = "/dormouse/memory/host/lab07";
        let found = client.get(key, None).await.expect("read").take_kvs().remove(0);
        let changed = found.value_str().expect("text").replace("asleep", "awake!");
        client.put(key, changed, None).await.expect("changed");
        let named = |what: &str| {
            Err(StoreError::Damaged(format!("the record {what} does not read back as it was written")))
        };
        assert_eq!(store.load().await.map(drop), named(key));
        client.put(key, found.value(), None).await.expect("put back");
        store.load().await.expect("whole again");
        // Another record's value, whole in itself.
        client.put("/dormouse/memory/host/lab08", found.value(), None).await.expect("copied");
        assert_eq!(store.load().await.map(drop), named("/dormouse/memory/host/lab08"));
        assert_eq!(store.verify().await, named("/dormouse/memory/host/lab08"));
        lease.resign(term.epoch).await.expect("given up");
        client
            .delete("/dormouse", Some(etcd_client::DeleteOptions::new().with_prefix()))
            .await
            .expect("somebody tidied up");
        let refused = EtcdStore::open(&one).await.expect_err("refused");
        assert!(refused.to_string().contains("is gone"), "{refused}");
        assert_eq!(Millis(6_000), term.lasts);
    });
}
