//! The rules of [`Store`] and [`Lease`], held against an implementation that was just made: as in
//! [`crate::conformance`], what is given back are the rules that were seen broken.

use crate::{
    ActionRecord, AuditEntry, EventRecord, IntentRecord, Kind, Lease, LeaseError, Store, StoreError,
};
use dormouse_model::{
    DemandBatch, DemandRow, Epoch, GuardRefusal, IntentId, Millis, Outcome, OutcomeError, PlanId, RollUp,
    StepId,
};
use serde_json::json;
use uuid::Uuid;

const DONE: Outcome = Outcome::Done { downtime: Some(Millis(21)) };

#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    fn unless(&mut self, holds: bool, rule: &str, seen: impl std::fmt::Debug) {
        if !holds {
            self.0.push(format!("{rule}; seen: {seen:?}"));
        }
    }
}

fn intent(id: u64, epoch: Epoch) -> IntentRecord {
    let (action, vm) = if id.is_multiple_of(2) {
        (ActionRecord::Sleep { host: "lab07".to_owned() }, None)
    } else {
        let action = ActionRecord::Migrate { from: "lab07".to_owned(), to: "$(reboot)\n".to_owned() };
        (action, Some(Uuid::from_u128(7)))
    };
    IntentRecord {
        id: IntentId(id),
        epoch,
        plan: PlanId(3),
        step: StepId(1),
        action,
        vm,
        deadline: Millis::from_secs(60),
        written_ms: 1_795_000_000_000,
    }
}

/// A store on which nobody ever led, and two leases on it as two managers have them. The second manager leads at the end.
pub async fn store(one: (&dyn Store, &dyn Lease), two: (&dyn Store, &dyn Lease)) -> Vec<String> {
    let mut broken = Broken::default();
    let early = one.0.append(&intent(1, Epoch(1))).await;
    broken.unless(matches!(early, Err(StoreError::Fenced(_))), "nobody writes who does not lead", &early);
    let term = match one.1.campaign("one").await {
        Ok(term) => term,
        Err(error) => {
            broken.unless(false, "a free lead is taken", error);
            return broken.0;
        }
    };
    broken.unless(term.lasts > Millis::ZERO, "a term lasts", term);
    journal(one.0, term.epoch, &mut broken).await;
    memory(one.0, &mut broken).await;
    trail(one.0, &mut broken).await;
    lead(one, two, term.epoch, &mut broken).await;
    broken.0
}

async fn journal(store: &dyn Store, epoch: Epoch, broken: &mut Broken) {
    let first = store.append(&intent(1, epoch)).await;
    let second = store.append(&intent(2, epoch)).await;
    broken.unless((&first, &second) == (&Ok(()), &Ok(())), "the leader writes intents", (&first, &second));
    let again = store.append(&intent(2, epoch)).await;
    broken.unless(matches!(again, Err(StoreError::Twice(IntentId(2)))), "an intent is written once", &again);
    let strange = store.append(&intent(3, Epoch(epoch.0 + 1))).await;
    broken.unless(
        strange == Err(StoreError::Fenced(Epoch(epoch.0 + 1))),
        "nobody leads in an epoch that is not given",
        &strange,
    );
    let closed = store.close(IntentId(1), &DONE).await;
    broken.unless(closed == Ok(()), "an open intent takes its outcome", &closed);
    let again = store.close(IntentId(1), &DONE).await;
    broken.unless(again == Err(StoreError::Twice(IntentId(1))), "it takes one outcome", &again);
    let none = store.close(IntentId(9), &DONE).await;
    broken.unless(none == Err(StoreError::NoSuch(IntentId(9))), "no outcome without its intent", &none);
    let outcomes = [
        Outcome::Failed(OutcomeError::Deadline(Millis(5))),
        Outcome::Failed(OutcomeError::Driver("no \"bridge\" \u{0}\u{1b}[2J".into())),
        Outcome::Refused(vec![GuardRefusal::Qemu { count: 2 }, GuardRefusal::Epoch(Epoch(9))]),
        Outcome::Unsure("silence".into()),
    ];
    for (id, outcome) in (10..).zip(outcomes) {
        let written = store.append(&intent(id, epoch)).await.is_ok()
            && store.close(IntentId(id), &outcome).await.is_ok();
        broken.unless(written, "every outcome is taken", &outcome);
    }
    let all = store.load().await;
    let open = all.as_ref().map(|all| (all.open.clone(), all.last_intent));
    broken.unless(
        open == Ok((vec![intent(2, epoch)], 13)),
        "what is open and the highest id come back as they were written",
        &open,
    );
    let word =
        AuditEntry::Word { by: "ada".into(), order: json!({ "order": "apply" }), answer: "taken".into() };
    let noted = store.note(&word).await;
    broken.unless(noted == Ok(()), "a word is noted", &noted);
    let lines = store.audit(0, usize::MAX).await;
    let entries = lines.as_ref().map(|lines| {
        lines
            .iter()
            .filter_map(|line| serde_json::from_str::<AuditEntry>(&line.entry).ok())
            .collect::<Vec<_>>()
    });
    let said = entries.as_ref().is_ok_and(|entries| {
        let intents = entries.iter().filter(|entry| matches!(entry, AuditEntry::Intent { .. })).count();
        let outcomes = entries.iter().filter(|entry| matches!(entry, AuditEntry::Outcome { .. })).count();
        (intents, outcomes) == (6, 5)
            && entries
                .iter()
                .any(|entry| matches!(entry, AuditEntry::Lead { epoch: led, .. } if *led == epoch))
            && entries.last() == Some(&word)
    });
    broken.unless(said, "the audit log says it all, each once", &entries);
    let lines = lines.unwrap_or_default();
    let follow = lines.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1 && pair[1].prev == pair[0].hash);
    broken.unless(follow, "each line follows the one before", &lines);
    let some = store.audit(2, 3).await;
    broken.unless(some.as_deref() == Ok(lines.get(2..5).unwrap_or_default()), "it is read in parts", &some);
}

async fn memory(store: &dyn Store, broken: &mut Broken) {
    for (key, value) in [("lab02", 1), ("lab01", 2), ("lab02", 3), ("'; drop table memory; --", 4)] {
        let kept = store.remember(Kind::Host, key, json!({ "n": value })).await;
        broken.unless(kept == Ok(()), "a record is kept", &kept);
    }
    _ = store.remember(Kind::Vm, "lab01", json!("another kind")).await;
    let gone = store.forget(Kind::Host, "lab01").await;
    broken.unless(gone == Ok(()), "a record is forgotten", &gone);
    let row = |start: i64, mean: u32| DemandRow {
        vm: Uuid::from_u128(7),
        roll_up: RollUp::FiveMinutes,
        start,
        secs: 285,
        samples: 20,
        mean,
        max: 400,
        mem: 256,
        levels: vec![(20, 18), (48, 2)],
    };
    for (rows, from) in [(vec![row(600, 1), row(0, 1), row(300, 1)], 0), (vec![row(600, 2)], 300)] {
        let batch = DemandBatch { rows, five_minutes_from: from, hours_from: 0 };
        let kept = store.keep_demand(&batch).await;
        broken.unless(kept == Ok(()), "demand is kept", &kept);
    }
    match store.load().await {
        Ok(all) => {
            let hosts = [("'; drop table memory; --", 4), ("lab02", 3)]
                .map(|(key, n)| (key.to_owned(), json!({ "n": n })));
            broken.unless(
                all.hosts == hosts && all.vms.len() == 1,
                "the last write stays, in the order of keys",
                &all.hosts,
            );
            broken.unless(
                all.demand == [row(300, 1), row(600, 2)],
                "demand comes back in the order of time, later rows in place of earlier ones",
                &all.demand,
            );
        }
        Err(error) => broken.unless(false, "it is read", error),
    }
}

async fn trail(store: &dyn Store, broken: &mut Broken) {
    let event = |name: &str| EventRecord {
        seq: 0,
        at_ms: 5,
        level: "info".to_owned(),
        name: name.to_owned(),
        fields: vec![("vm".to_owned(), "$(reboot)\n\u{1b}[2J".to_owned())],
    };
    let told = [store.tell(&["a", "b"].map(event)).await, store.tell(&[event("c")]).await];
    broken.unless(told == [Ok(()), Ok(())], "events are told", &told);
    let numbered = |seq: u64, name: &str| EventRecord { seq, ..event(name) };
    let after = store.events(1, 10).await;
    broken.unless(
        after == Ok(vec![numbered(2, "b"), numbered(3, "c")]),
        "the trail goes on after a number",
        &after,
    );
    let last = store.last_events(1).await;
    broken.unless(last == Ok(vec![numbered(3, "c")]), "its last lines are given", &last);
}

async fn lead(
    one: (&dyn Store, &dyn Lease),
    two: (&dyn Store, &dyn Lease),
    epoch: Epoch,
    broken: &mut Broken,
) {
    let held = two.1.campaign("two").await;
    broken.unless(
        held == Err(LeaseError::Held { who: "one".to_owned() }),
        "one leads, and the other is told who",
        &held,
    );
    let renewed = one.1.renew(epoch).await.map(|term| term.epoch);
    broken.unless(renewed == Ok(epoch), "a term is renewed", &renewed);
    let given = one.1.resign(epoch).await;
    broken.unless(given == Ok(()), "the lead is given up", &given);
    let next = two.1.campaign("two").await.map(|term| term.epoch);
    broken.unless(next.as_ref().is_ok_and(|next| *next > epoch), "the next epoch is higher", &next);
    let over = one.1.renew(epoch).await;
    broken.unless(over == Err(LeaseError::Over(epoch)), "an old term is over", &over);
    let late = one.0.append(&intent(20, epoch)).await;
    broken.unless(late == Err(StoreError::Fenced(epoch)), "a late leader writes no intent", &late);
    if let Ok(next) = next {
        let written = two.0.append(&intent(21, next)).await;
        broken.unless(written == Ok(()), "the new one does", &written);
    }
    let told = one.0.close(IntentId(2), &DONE).await;
    broken.unless(told == Ok(()), "a late leader may tell how what it began has ended", &told);
    let all = two.0.load().await.map(|all| all.open.len());
    broken.unless(all == Ok(1), "and the new one sees it", &all);
}
