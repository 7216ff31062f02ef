//! The manager's store, as the simulator keeps it: it outlives the manager and loses what was not yet durable.

use dormouse_control::{HostMemory, ManagerMemory, Memory, VmMemory};
use dormouse_model::{
    Cluster, DemandBatch, DemandRow, HostSpec, HostState, Intent, IntentId, Millis, RollUp,
};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

use crate::world::World;

/// What the first version knew of a host and of a VM; it kept nothing of the manager's own.
const FIRST_HOST: [&str; 11] = [
    "host",
    "state",
    "since",
    "machine",
    "boot",
    "proven",
    "maintenance",
    "drain",
    "sleeps",
    "tries",
    "boots_s",
];
const FIRST_VM: [&str; 4] = ["vm", "name", "at", "moves"];

/// A write is durable after this.
pub(crate) const SYNC: Millis = Millis(2);
/// Writing down anew all that is remembered takes no longer.
pub(crate) const RECORDS: Millis = Millis::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Store {
    hosts: BTreeMap<String, HostMemory>,
    vms: BTreeMap<Uuid, VmMemory>,
    manager: ManagerMemory,
    demand: BTreeMap<(RollUp, i64, Uuid), DemandRow>,
    open: BTreeMap<IntentId, Intent>,
    last_intent: u64,
    epoch: u64,
    /// Writes that must not be lost while the store is full; in order.
    backlog: VecDeque<Write>,
}

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Intent(Box<Intent>),
    Close(IntentId),
    Host(Box<HostMemory>),
    Vm(Box<VmMemory>),
    Manager(Box<ManagerMemory>),
    Demand(Box<DemandBatch>),
}

/// Hosts that the text calls down or set aside have been so for this long.
const BEFORE_S: i64 = 7 * 86_400;

impl Store {
    /// What an earlier manager left: the states in which the cluster text has its hosts. Whatever answers is seen anew,
    /// so hosts that are on need no memory.
    pub(crate) fn new(cluster: &Cluster, world: &World, start: Timestamp) -> Self {
        let remembered =
            |host: &HostSpec| matches!(host.state, HostState::Asleep | HostState::Off | HostState::SetAside);
        let hosts = cluster.hosts.iter().zip(&world.hosts).filter(|(spec, _)| remembered(spec)).map(
            |(spec, truth)| {
                let memory = HostMemory {
                    host: spec.name.clone(),
                    state: spec.state,
                    since: start.as_second() - BEFORE_S,
                    machine: Some(truth.machine),
                    hypervisor: None,
                    boot: Some(truth.boot),
                    proven: !spec.unproven,
                    maintenance: spec.maintenance,
                    drain: false,
                    sleep_asked: false,
                    sleeps: vec![],
                    tries: 0,
                    wake_try: None,
                    word_gone: false,
                    offs: vec![],
                    maybe_asleep: false,
                    fenced: false,
                    proofs: 0,
                    aside: None,
                    boots_s: vec![],
                };
                (spec.name.clone(), memory)
            },
        );
        Self { hosts: hosts.collect(), ..Self::default() }
    }

    /// A new leader's epoch is higher than any before.
    pub(crate) fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Takes a write. `false`: an intent was refused because there is no space. Other writes wait for space.
    pub(crate) fn take(&mut self, write: Write, full: bool) -> bool {
        if full {
            let refused = matches!(write, Write::Intent(_));
            // Nobody waits for history.
            if !refused && !matches!(write, Write::Demand(_)) {
                self.backlog.push_back(write);
            }
            return !refused;
        }
        while let Some(earlier) = self.backlog.pop_front() {
            self.apply(earlier);
        }
        self.apply(write);
        true
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Intent(intent) => {
                self.last_intent = self.last_intent.max(intent.id.0);
                self.open.insert(intent.id, *intent);
            }
            Write::Close(intent) => {
                self.open.remove(&intent);
            }
            Write::Host(host) => {
                self.hosts.insert(host.host.clone(), *host);
            }
            Write::Vm(vm) => {
                self.vms.insert(vm.vm, *vm);
            }
            Write::Manager(manager) => self.manager = *manager,
            Write::Demand(batch) => {
                for (roll_up, from) in
                    [(RollUp::FiveMinutes, batch.five_minutes_from), (RollUp::Hour, batch.hours_from)]
                {
                    let begin = (roll_up, i64::MIN, Uuid::nil());
                    let old = |demand: &BTreeMap<_, _>| {
                        let first = demand.range(begin..(roll_up, from, Uuid::nil())).next();
                        first.map(|(key, _): (&(RollUp, i64, Uuid), &DemandRow)| *key)
                    };
                    while let Some(key) = old(&self.demand) {
                        self.demand.remove(&key);
                    }
                }
                self.demand.extend(batch.rows.into_iter().map(|row| ((row.roll_up, row.start, row.vm), row)));
            }
        }
    }

    /// The manager fell: what waited in its memory is gone.
    pub(crate) fn crash(&mut self) {
        self.backlog.clear();
    }

    /// The manager is upgraded (fault C13): what it reads is as the first version wrote it.
    pub(crate) fn as_first_version(&mut self) {
        for host in self.hosts.values_mut() {
            *host = without_news(host, &FIRST_HOST);
        }
        for vm in self.vms.values_mut() {
            *vm = without_news(vm, &FIRST_VM);
        }
        self.manager = without_news(&self.manager, &[]);
    }

    /// What a new manager reads.
    pub(crate) fn memory(&self) -> Memory {
        Memory {
            hosts: self.hosts.values().cloned().collect(),
            vms: self.vms.values().cloned().collect(),
            demand: self.demand.values().cloned().collect(),
            manager: self.manager.clone(),
            open: self.open.values().cloned().collect(),
            last_intent: self.last_intent,
        }
    }
}

/// Written, stripped of what is not in the list, and read again as the present version reads.
fn without_news<T: Serialize + DeserializeOwned>(record: &T, known: &[&str]) -> T {
    let mut written = serde_json::to_value(record).expect("a record is written");
    if let Some(fields) = written.as_object_mut() {
        fields.retain(|field, _| known.contains(&field.as_str()));
    }
    serde_json::from_value(written).expect("a record of the first version reads")
}
