//! Leadership: the leader's key, on a lease that ends when nobody renews it.

use super::keys::Keys;
use super::link::{Failure, Link};
use super::store::{EtcdStore, Held};
use super::{LEASE_SECS, record};
use async_trait::async_trait;
use dormouse_driver::{AuditEntry, Lease, LeaseError, Store, StoreError, Term};
use dormouse_model::{Epoch, Millis};
use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use std::time::Duration;

/// A renewal that takes longer is given up; the term goes on until its end.
const RENEW: Duration = Duration::from_millis(1_800);
/// Renewals between two looks at whether the etcd went back, with a note of how far it was seen.
const NOTE_EVERY: u32 = 5;

#[derive(Debug)]
pub struct EtcdLease {
    store: EtcdStore,
    renewals: std::sync::atomic::AtomicU32,
}

impl EtcdLease {
    #[must_use]
    pub fn new(store: &EtcdStore) -> Self {
        Self { store: store.clone(), renewals: std::sync::atomic::AtomicU32::new(0) }
    }

    fn link(&self) -> &Link {
        self.store.link()
    }

    fn keys(&self) -> &Keys {
        self.store.keys()
    }

    async fn holder(&self) -> Result<Option<String>, StoreError> {
        let found = self.link().get(&self.keys().leader(), None).await?;
        Ok(found.kvs().first().map(|kv| kv.value_str().unwrap_or("").escape_default().to_string()))
    }

    async fn revoke(&self, lease: i64) {
        // It ends by itself, if this does not reach anyone.
        let ask = |client: etcd_client::Client| async move { client.lease_client().revoke(lease).await };
        _ = self.link().call(Duration::from_millis(500), ask).await;
    }
}

#[async_trait]
impl Lease for EtcdLease {
    async fn campaign(&self, who: &str) -> Result<Term, LeaseError> {
        let (found, etcd, revision) = record::read(self.link(), self.keys()).await?;
        let (record, written) =
            found.ok_or_else(|| StoreError::Damaged("the store in etcd is gone".to_owned()))?;
        self.store.seen().judge(&record, etcd, revision)?;
        if let Some(who) = self.holder().await? {
            return Err(LeaseError::Held { who });
        }
        let grant =
            |client: etcd_client::Client| async move { client.lease_client().grant(LEASE_SECS, None).await };
        let granted = self.link().call(RENEW, grant).await.map_err(StoreError::from)?;
        let (lease, ttl) = (granted.id(), granted.ttl());
        let leader = self.keys().leader();
        let free = [
            Compare::version(leader.clone(), CompareOp::Equal, 0),
            Compare::mod_revision(self.keys().cluster(), CompareOp::Equal, written),
        ];
        let put = TxnOp::put(leader.clone(), who, Some(PutOptions::new().with_lease(lease)));
        let won = self.link().txn(Txn::new().when(free).and_then([put])).await;
        // Whether it was this call or one before it that arrived, the key says.
        let found = self.link().get(&leader, None).await;
        let ours = found.as_ref().ok().and_then(|found| found.kvs().first()).filter(|kv| kv.lease() == lease);
        let Some(kv) = ours else {
            self.revoke(lease).await;
            won.map_err(StoreError::from)?;
            let who = self.holder().await?.unwrap_or_else(|| "another manager".to_owned());
            return Err(LeaseError::Held { who });
        };
        let held = Held { lease, revision: kv.create_revision(), base: record.base };
        let lasts = Millis::from_secs(u64::try_from(ttl.min(LEASE_SECS)).unwrap_or(0));
        self.store.lead(Some(held));
        let entry = AuditEntry::Lead { epoch: held.epoch(), who: who.to_owned() };
        let noted = async {
            self.store.seen().judge(&record, etcd, held.revision)?;
            self.store.seen().keep()?;
            self.store.note(&entry).await
        };
        if let Err(error) = noted.await {
            self.store.lead(None);
            self.revoke(lease).await;
            return Err(error.into());
        }
        // It was granted a while ago: what is left counts from a renewal.
        Ok(Term { lasts, ..self.renew(held.epoch()).await? })
    }

    async fn renew(&self, epoch: Epoch) -> Result<Term, LeaseError> {
        let over = || LeaseError::Over(epoch);
        let held = self.store.held().filter(|held| held.epoch() == epoch).ok_or_else(over)?;
        let lease = held.lease;
        let alive = |client: etcd_client::Client| async move {
            client.lease_client().keep_alive(lease).await.map(drop)
        };
        match self.link().call(RENEW, alive).await {
            Ok(()) => {}
            Err(Failure::Refused(why)) if why.contains("lease not found") => {
                self.store.lead(None);
                return Err(over());
            }
            Err(failure) => return Err(StoreError::from(failure).into()),
        }
        let turn = self.renewals.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if turn.is_multiple_of(NOTE_EVERY) {
            let (found, etcd, revision) = record::read(self.link(), self.keys()).await?;
            let (record, _) =
                found.ok_or_else(|| StoreError::Damaged("the store in etcd is gone".to_owned()))?;
            self.store.seen().judge(&record, etcd, revision)?;
            self.store.seen().keep()?;
        }
        Ok(Term { epoch, lasts: Millis::from_secs(LEASE_SECS.unsigned_abs()) })
    }

    async fn resign(&self, epoch: Epoch) -> Result<(), LeaseError> {
        if let Some(held) = self.store.held().filter(|held| held.epoch() == epoch) {
            self.store.lead(None);
            self.revoke(held.lease).await;
        }
        Ok(())
    }
}
