//! What waits to be written, in order and bounded. Holds no lock across anything that waits.

use dormouse_driver::{AuditEntry, EventRecord, IntentRecord, Kind, MemoryRecord};
use dormouse_model::{DemandBatch, IntentId, Outcome};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// More intents than any budget lets start at once.
const WRITES_MAX: usize = 1_000;
/// Beyond that the trail loses lines rather than the manager its memory.
const TELLS_MAX: usize = 10_000;
/// Batches of history that wait; more are dropped, since losing history is harmless.
const DEMANDS_MAX: usize = 64;
/// Lines of the audit log that wait: an order beyond them is refused, so that no word goes unrecorded.
const NOTES_MAX: usize = 10_000;

/// Lines and records that go to the store together: a cluster seen for the first time brings tens of thousands.
const BUNCH: usize = 500;
const BEHIND: &str = "the store is too far behind to keep the audit log";

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Write(IntentRecord),
    Close { intent: IntentId, outcome: Outcome },
    Note(AuditEntry),
    Remember(MemoryRecord),
    Tell(EventRecord),
    Demand(DemandBatch),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something was written, or was not.
    moved: watch::Sender<()>,
}

/// Everything that was pushed before, as seen by someone who waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    next: u64,
    failures: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Each with its number, in the order pushed.
    entries: VecDeque<(u64, Entry)>,
    next: u64,
    /// The numbers below this are on their way to the store.
    sent: u64,
    /// The records that a later one may take the place of.
    records: HashMap<(Kind, String), u64>,
    writes: usize,
    tells: usize,
    demands: usize,
    notes: usize,
    dropped: u64,
    /// Why the store takes nothing at the moment.
    failing: Option<String>,
    /// How often it took nothing.
    failures: u64,
    /// A record was refused because someone else leads: from now on nothing of ours is taken.
    fenced: bool,
}

impl State {
    /// Where the entry of that number is. Intents that were given back leave gaps.
    fn place(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an entry in, or says why an intent cannot be.
    pub(super) fn push(&self, entry: Entry) -> Result<(), String> {
        let mut state = self.state();
        match &entry {
            Entry::Write(_) => {
                if let Some(why) = &state.failing {
                    return Err(why.clone());
                }
                if state.writes >= WRITES_MAX {
                    return Err("the store is too far behind".to_owned());
                }
                state.writes += 1;
                // It may rest on what was remembered before it.
                state.records.clear();
            }
            Entry::Tell(_) if state.tells >= TELLS_MAX => {
                state.dropped += 1;
                return Ok(());
            }
            Entry::Tell(_) => state.tells += 1,
            Entry::Demand(_) if state.demands >= DEMANDS_MAX || state.failing.is_some() => return Ok(()),
            Entry::Demand(_) => state.demands += 1,
            Entry::Note(_) if state.notes >= NOTES_MAX => {
                return Err(BEHIND.to_owned());
            }
            Entry::Note(_) => state.notes += 1,
            // Bounded by the intents that were written.
            Entry::Close { .. } => {}
            // Bounded by the hosts and VMs: a later record takes the place of one that still waits.
            Entry::Remember(record) => {
                let key = (record.kind, record.key.clone());
                let waits = state.records.get(&key).filter(|number| **number >= state.sent).copied();
                if let Some(at) = waits.and_then(|number| state.place(number)) {
                    state.entries[at].1 = entry;
                    return Ok(());
                }
                let number = state.next;
                state.records.insert(key, number);
            }
        }
        let number = state.next;
        state.next += 1;
        state.entries.push_back((number, entry));
        Ok(())
    }

    /// Whether a line of the audit log would be taken in.
    pub(super) fn takes_notes(&self) -> Result<(), String> {
        if self.state().notes >= NOTES_MAX { Err(BEHIND.to_owned()) } else { Ok(()) }
    }

    pub(super) fn mark(&self) -> Mark {
        let state = self.state();
        Mark { next: state.next, failures: state.failures }
    }

    /// Until everything before the mark is written, or why it is not.
    pub(super) async fn written(&self, mark: Mark) -> Result<(), String> {
        let mut moved = self.moved.subscribe();
        loop {
            {
                let state = self.state();
                if state.fenced {
                    return Err("this manager no longer leads".to_owned());
                }
                if state.entries.front().is_none_or(|(number, _)| *number >= mark.next) {
                    return Ok(());
                }
                if let Some(why) = state.failing.as_ref().filter(|_| state.failures > mark.failures) {
                    return Err(why.clone());
                }
            }
            moved.changed().await.expect("we hold the sender ourselves");
        }
    }

    /// The next entry; it stays until [`Self::done`]. Lines of the trail and records come in bunches.
    pub(super) fn front(&self) -> Vec<Entry> {
        let mut state = self.state();
        let alike =
            |of: fn(&Entry) -> bool| state.entries.iter().take(BUNCH).take_while(|(_, e)| of(e)).count();
        let tells = alike(|entry| matches!(entry, Entry::Tell(_)));
        let records = alike(|entry| matches!(entry, Entry::Remember(_)));
        let next: Vec<_> = state.entries.iter().take(tells.max(records).max(1)).cloned().collect();
        state.sent = next.last().map_or(0, |(number, _)| number + 1);
        next.into_iter().map(|(_, entry)| entry).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().entries.is_empty()
    }

    /// The first so many entries are dealt with.
    pub(super) fn done(&self, count: usize) {
        let mut state = self.state();
        for (number, entry) in state.entries.drain(..count).collect::<Vec<_>>() {
            match entry {
                Entry::Write(_) => state.writes -= 1,
                Entry::Tell(_) => state.tells -= 1,
                Entry::Demand(_) => state.demands -= 1,
                Entry::Note(_) => state.notes -= 1,
                Entry::Close { .. } => {}
                Entry::Remember(record) => {
                    let key = (record.kind, record.key);
                    if state.records.get(&key) == Some(&number) {
                        state.records.remove(&key);
                    }
                }
            }
        }
        drop(state);
        self.moved.send_replace(());
    }

    /// From now on the store takes nothing: intents that wait are given back, new ones refused.
    pub(super) fn fail(&self, why: &str) -> Vec<IntentRecord> {
        let mut state = self.state();
        state.failing = Some(why.to_owned());
        state.failures += 1;
        state.sent = 0;
        state.writes = 0;
        let mut refused = vec![];
        state.entries.retain(|(_, entry)| match entry {
            Entry::Write(intent) => {
                refused.push(intent.clone());
                false
            }
            _ => true,
        });
        drop(state);
        self.moved.send_replace(());
        refused
    }

    /// The first so many entries are not kept: someone else leads.
    pub(super) fn fence(&self, count: usize) {
        self.state().fenced = true;
        self.done(count);
    }

    /// The store takes writes again. `true` if it did not before.
    pub(super) fn recover(&self) -> bool {
        self.state().failing.take().is_some()
    }

    /// Why the store takes nothing, if it does not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state().failing.clone()
    }

    /// Lines of the trail that were dropped since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.state().dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_driver::ActionRecord;
    use dormouse_model::{Epoch, Millis, PlanId, StepId};
    use serde_json::json;

    fn write(id: u64) -> Entry {
        Entry::Write(IntentRecord {
            id: IntentId(id),
            epoch: Epoch(1),
            plan: PlanId(1),
            step: StepId(0),
            action: ActionRecord::Wake { host: "a".to_owned() },
            vm: None,
            deadline: Millis(1),
            written_ms: 0,
        })
    }

    fn remember(key: &str, value: u64) -> Entry {
        Entry::Remember(MemoryRecord { kind: Kind::Host, key: key.to_owned(), value: Some(json!(value)) })
    }

    fn tell(name: &str) -> Entry {
        Entry::Tell(EventRecord {
            seq: 0,
            at_ms: 0,
            level: String::new(),
            name: name.to_owned(),
            fields: vec![],
        })
    }

    fn demand() -> Entry {
        Entry::Demand(DemandBatch { rows: vec![], five_minutes_from: 0, hours_from: 0 })
    }

    fn drained(queue: &Queue) -> Vec<Entry> {
        let mut all = vec![];
        loop {
            let next = queue.front();
            if next.is_empty() {
                return all;
            }
            queue.done(next.len());
            all.extend(next);
        }
    }

    #[test]
    fn a_record_is_replaced_while_it_waits_but_never_moved_across_an_intent() {
        let queue = Queue::default();
        for entry in
            [tell("x"), remember("a", 1), remember("b", 1), remember("a", 2), write(1), remember("a", 3)]
        {
            queue.push(entry).expect("room");
        }
        let expected = [tell("x"), remember("a", 2), remember("b", 1), write(1), remember("a", 3)];
        assert_eq!(drained(&queue), expected);
    }

    #[test]
    fn what_is_on_its_way_to_the_store_is_not_changed_any_more() {
        let queue = Queue::default();
        queue.push(remember("a", 1)).expect("room");
        queue.push(remember("b", 1)).expect("room");
        assert_eq!(queue.front().len(), 2, "both go together");
        for entry in [remember("a", 2), remember("c", 1), remember("a", 3)] {
            queue.push(entry).expect("room");
        }
        queue.done(2);
        assert_eq!(drained(&queue), [remember("a", 3), remember("c", 1)]);
    }

    #[test]
    fn a_failing_store_takes_no_intent_and_keeps_everything_else() {
        let queue = Queue::default();
        for entry in [remember("a", 1), write(1), write(2)] {
            queue.push(entry).expect("room");
        }
        assert_eq!(queue.fail("disk full").len(), 2);
        assert_eq!(queue.push(write(3)), Err("disk full".to_owned()));
        queue.push(remember("b", 1)).expect("kept");
        assert!(queue.recover());
        queue.push(write(4)).expect("room again");
        assert_eq!(drained(&queue), [remember("a", 1), remember("b", 1), write(4)]);
    }

    /// What someone who waits for the mark hears now.
    async fn heard(queue: &Queue, mark: Mark) -> Option<Result<(), String>> {
        tokio::select! {
            biased;
            settled = queue.written(mark) => Some(settled),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn what_was_pushed_is_waited_for_and_nothing_after_it() {
        let queue = Queue::default();
        assert_eq!(heard(&queue, queue.mark()).await, Some(Ok(())), "nothing to wait for");
        queue.push(remember("a", 1)).expect("room");
        queue.push(write(1)).expect("room");
        queue.push(remember("b", 1)).expect("room");
        let mark = queue.mark();
        queue.push(write(2)).expect("room");
        queue.push(remember("b", 2)).expect("room");
        assert_eq!(heard(&queue, mark).await, None);
        // The intents are given back: those after the mark say nothing about what is before it.
        queue.fail("disk full");
        assert_eq!(heard(&queue, mark).await, Some(Err("disk full".to_owned())));
        assert_eq!(heard(&queue, queue.mark()).await, None, "it may be tried again before that is known");
        queue.done(1);
        assert!(queue.recover());
        assert_eq!(heard(&queue, mark).await, None, "b is not written yet");
        queue.done(1);
        assert_eq!(heard(&queue, mark).await, Some(Ok(())));
        let late = queue.mark();
        queue.fence(1);
        let fenced = Err("this manager no longer leads".to_owned());
        assert_eq!(
            heard(&queue, late).await,
            Some(fenced),
            "it is gone from the queue and was never written"
        );
    }

    #[test]
    fn everything_has_a_limit() {
        let queue = Queue::default();
        let taken = (0..5_000).filter(|id| queue.push(write(*id)).is_ok()).count();
        assert_eq!(taken, WRITES_MAX);
        for _ in 0..20_000 {
            queue.push(tell("x")).expect("dropped silently");
            queue.push(remember("a", 1)).expect("replaced");
            queue.push(demand()).expect("dropped silently");
        }
        assert_eq!(queue.take_dropped(), 10_000);
        assert_eq!(drained(&queue).len(), WRITES_MAX + TELLS_MAX + DEMANDS_MAX + 1);
    }
}
