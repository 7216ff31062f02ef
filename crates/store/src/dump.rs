//! Everything that a store holds, as values: for copies, for moving to another kind of store, for beginning anew.

use crate::checksum::checksum;
use crate::error::store_error;
use crate::{audit, demand, journal, memory, open, trail};
use dormouse_driver::{AuditEntry, AuditLine, EventRecord, IntentRecord, Kind, StoreError};
use dormouse_model::{DemandBatch, DemandRow, IntentId, Outcome};
use rusqlite::{Connection, params};
use serde_json::Value;
use uuid::Uuid;

/// Key and record.
type Records = Vec<(String, Value)>;

/// What is in a store. Only one that was found whole is ever read into this.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    pub cluster: Uuid,
    /// The highest epoch in which anyone led.
    pub epoch: u64,
    pub intents: Vec<IntentRecord>,
    pub outcomes: Vec<(IntentId, Outcome)>,
    pub hosts: Records,
    pub vms: Records,
    pub settings: Records,
    pub demand: Vec<DemandRow>,
    pub events: Vec<EventRecord>,
    pub audit: Vec<AuditLine>,
}

impl Dump {
    /// What a store begins with.
    #[must_use]
    pub const fn empty(cluster: Uuid, epoch: u64) -> Self {
        Self {
            cluster,
            epoch,
            intents: vec![],
            outcomes: vec![],
            hosts: vec![],
            vms: vec![],
            settings: vec![],
            demand: vec![],
            events: vec![],
            audit: vec![],
        }
    }

    pub(crate) fn read(db: &Connection) -> Result<Self, StoreError> {
        let lead = open::lead(db)?;
        audit::verify(db)?;
        let (intents, outcomes) = journal::all(db)?;
        Ok(Self {
            cluster: lead.cluster,
            epoch: lead.epoch.unsigned_abs(),
            intents,
            outcomes,
            hosts: memory::load(db, Kind::Host)?,
            vms: memory::load(db, Kind::Vm)?,
            settings: memory::load(db, Kind::Setting)?,
            demand: demand::load(db)?,
            events: trail::after(db, 0, usize::MAX)?,
            audit: audit::after(db, 0, usize::MAX)?,
        })
    }

    /// Into a new and empty database, within the transaction that makes its tables.
    pub(crate) fn write(&self, db: &Connection) -> Result<(), StoreError> {
        let epoch = journal::signed(self.epoch)?;
        let row =
            params![self.cluster.to_string(), epoch, open::lead_sum(&self.cluster.to_string(), epoch, "")];
        db.execute("INSERT INTO lead (one, cluster, epoch, who, sum) VALUES (1, ?1, ?2, '', ?3)", row)
            .map_err(store_error)?;
        self.write_journal(db)?;
        for (kind, records) in
            [(Kind::Host, &self.hosts), (Kind::Vm, &self.vms), (Kind::Setting, &self.settings)]
        {
            records.iter().try_for_each(|(key, value)| memory::remember(db, kind, key, value))?;
        }
        let all =
            DemandBatch { rows: self.demand.clone(), five_minutes_from: i64::MIN, hours_from: i64::MIN };
        demand::insert(db, &all)?;
        self.events.iter().try_for_each(|event| trail::put(db, event))?;
        self.audit.iter().try_for_each(|line| audit::put(db, line))?;
        if self.audit.is_empty() {
            audit::add(db, &AuditEntry::Begin { after: IntentId(0) })?;
        }
        Ok(())
    }

    /// Intents of epochs that are over: the rule that only the leader writes has to look away.
    fn write_journal(&self, db: &Connection) -> Result<(), StoreError> {
        const RULE: &str = "only_the_leader_writes";
        let rule: String = db
            .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [RULE], |row| row.get(0))
            .map_err(store_error)?;
        db.execute_batch(&format!("DROP TRIGGER {RULE}")).map_err(store_error)?;
        self.intents.iter().try_for_each(|intent| journal::insert(db, intent))?;
        self.outcomes.iter().try_for_each(|(id, outcome)| journal::insert_outcome(db, *id, outcome))?;
        db.execute_batch(&rule).map_err(store_error)
    }

    /// A sum over all of it, to see that a copy is one.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        checksum(&[&format!("{self:?}")])
    }
}
