//! What a new leader begins with: all that is remembered, and the intents without an outcome.
//!
//! It is read while nobody leads, so its time is part of every failover. Closed intents are seen as keys alone and the logs
//! not at all: nothing is begun from them, and they are verified beside the work (`Store::verify`).

use super::copy::{Range, all};
use super::keys::{end_of, unseal};
use super::record;
use super::store::{EtcdStore, OPS};
use crate::journal::{damaged, unclosed};
use dormouse_driver::{IntentRecord, Kind, Remembered, StoreError};
use dormouse_model::{DemandRow, IntentId};
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use serde_json::Value;

/// All of one revision, each part read beside the others; every record in it verified.
pub(super) async fn read(store: &EtcdStore) -> Result<Remembered, StoreError> {
    let (found, _, revision) = record::read(store.link(), store.keys()).await?;
    let (record, _) = found.ok_or_else(|| StoreError::Damaged("the store in etcd is gone".to_owned()))?;
    record.usable()?;
    let demands = store.keys().demands();
    let (hosts, vms, settings, demand, (open, last_intent)) = tokio::try_join!(
        memories(store, Kind::Host, revision),
        memories(store, Kind::Vm, revision),
        memories(store, Kind::Setting, revision),
        whole(store, &demands, revision),
        journal(store, revision),
    )?;
    Ok(Remembered { cluster: record.cluster, hosts, vms, settings, demand: rows(&demand), open, last_intent })
}

/// In the order of time. One that does not read is left out: without it less is known, and nothing wrong believed.
pub(super) fn rows<'a>(demand: impl IntoIterator<Item = &'a KeyValue>) -> Vec<DemandRow> {
    let read = |kv| unseal::<Vec<DemandRow>>(kv).unwrap_or_default();
    let mut rows: Vec<DemandRow> = demand.into_iter().flat_map(read).collect();
    rows.sort_by_key(|row| (row.roll_up, row.start, row.vm));
    rows
}

async fn whole(store: &EtcdStore, prefix: &str, revision: i64) -> Result<Vec<KeyValue>, StoreError> {
    all(store, prefix, &end_of(prefix), Range { revision, ..Range::ALL }).await
}

async fn memories(store: &EtcdStore, kind: Kind, revision: i64) -> Result<Vec<(String, Value)>, StoreError> {
    let prefix = store.keys().memories(kind);
    let found = whole(store, &prefix, revision).await?;
    let name = |kv: &KeyValue| String::from_utf8_lossy(&kv.key()[prefix.len()..]).into_owned();
    found.iter().map(|kv| Ok((name(kv), unseal(kv)?))).collect()
}

/// Open intents in the order of ids, and the highest id that is there.
async fn journal(store: &EtcdStore, revision: i64) -> Result<(Vec<IntentRecord>, u64), StoreError> {
    let (intents, outcomes) = (store.keys().intents(), store.keys().outcomes());
    let (intents, outcomes) = tokio::try_join!(
        ids(store, "the intent", &intents, revision),
        ids(store, "the outcome", &outcomes, revision)
    )?;
    let last = intents.last().map_or(0, |id| id.0);
    let mut open = vec![];
    for some in unclosed(intents, outcomes)?.chunks(OPS) {
        let get = |id: &IntentId| {
            TxnOp::get(store.keys().intent(*id), Some(GetOptions::new().with_revision(revision)))
        };
        let found = store.link().txn(Txn::new().and_then(some.iter().map(get).collect::<Vec<_>>())).await?;
        for (id, answer) in some.iter().zip(found.op_responses()) {
            let TxnOpResponse::Get(answer) = answer else { return Err(damaged("the intent", id)) };
            let kv = answer.kvs().first().ok_or_else(|| damaged("the intent", id))?;
            open.push(unseal(kv)?);
        }
    }
    Ok((open, last))
}

/// The ids below a prefix, by their keys alone.
async fn ids(
    store: &EtcdStore,
    what: &str,
    prefix: &str,
    revision: i64,
) -> Result<Vec<IntentId>, StoreError> {
    let keys = all(store, prefix, &end_of(prefix), Range { revision, ..Range::KEYS }).await?;
    let id = |kv: &KeyValue| {
        let name = String::from_utf8_lossy(&kv.key()[prefix.len()..]);
        name.parse().map(IntentId).map_err(|_| damaged(what, name.escape_default()))
    };
    keys.iter().map(id).collect()
}
