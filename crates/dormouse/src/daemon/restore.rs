//! Between what the store keeps (names, UUIDs) and what the controller knows (ids of this process).

use dormouse_control::{HostMemory, ManagerMemory, Memory, VmMemory};
use dormouse_driver::{ActionRecord, IntentRecord, Remembered};
use dormouse_model::{Action, Cluster, HostId, Intent, Mono, VmId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// The key under which what an operator set for the manager itself is kept.
pub(crate) const MANAGER: &str = "manager";

/// A record that this program wrote and cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the memory of {what} {key} does not read: {source}")]
pub(crate) struct RestoreError {
    what: &'static str,
    key: String,
    source: serde_json::Error,
}

/// What the controller starts from, and the open intents it cannot take up because a host is no longer configured.
pub(crate) fn memory(
    kept: &Remembered,
    cluster: &Cluster,
    now: Mono,
) -> Result<(Memory, Vec<IntentRecord>), RestoreError> {
    let hosts: Vec<HostMemory> = all("host", &kept.hosts)?;
    let mut vms: Vec<VmMemory> = all("VM", &kept.vms)?;
    let (mut open, mut strangers) = (vec![], vec![]);
    for record in &kept.open {
        // The controller finds its VM again by UUID.
        match record.intent(cluster, VmId(u32::MAX), now) {
            Some(intent) => open.push(intent),
            None => strangers.push(record.clone()),
        }
    }
    // A VM of an open intent is known by its UUID at least, so that the controller can look for it.
    for record in &kept.open {
        if let (Some(vm), ActionRecord::Migrate { from, .. }) = (record.vm, &record.action)
            && !vms.iter().any(|known| known.vm == vm)
            && !cluster.vms.iter().any(|known| known.uuid == vm)
        {
            vms.push(VmMemory { vm, name: vm.to_string(), at: Some(from.clone()), ..VmMemory::default() });
        }
    }
    let manager: Vec<(String, Value)> =
        kept.settings.iter().filter(|(key, _)| key == MANAGER).cloned().collect();
    let manager: Option<ManagerMemory> = all("setting", &manager)?.pop();
    let memory = Memory {
        hosts,
        vms,
        demand: kept.demand.clone(),
        manager: manager.unwrap_or_default(),
        open,
        last_intent: kept.last_intent,
    };
    Ok((memory, strangers))
}

fn all<T: DeserializeOwned>(what: &'static str, records: &[(String, Value)]) -> Result<Vec<T>, RestoreError> {
    let read = |(key, value): &(String, Value)| {
        serde_json::from_value(value.clone()).map_err(|source| RestoreError {
            what,
            key: key.escape_default().to_string(),
            source,
        })
    };
    records.iter().map(read).collect()
}

/// This VM is owed to this host, on which it crashed.
pub(crate) fn crashed_there(kept: &Remembered, vm: Uuid, host: &str) -> bool {
    let memories =
        kept.vms.iter().filter_map(|(_, value)| serde_json::from_value::<VmMemory>(value.clone()).ok());
    memories
        .into_iter()
        .any(|memory| memory.vm == vm && memory.owed_there && memory.owed.as_deref() == Some(host))
}

/// The intent as the store keeps it.
pub(crate) fn record(intent: &Intent, cluster: &Cluster, written_ms: i64) -> IntentRecord {
    let name = |host: HostId| cluster.hosts[host.index()].name.clone();
    let action = match intent.action {
        Action::Migrate { from, to, .. } => ActionRecord::Migrate { from: name(from), to: name(to) },
        Action::Wake { host } => ActionRecord::Wake { host: name(host) },
        Action::Sleep { host } => ActionRecord::Sleep { host: name(host) },
        Action::Start { host, .. } => ActionRecord::Start { host: name(host) },
        Action::Fence { host } => ActionRecord::Fence { host: name(host) },
        Action::Stop { host, .. } => ActionRecord::Stop { host: name(host) },
    };
    let Intent { id, epoch, plan, step, vm, deadline, .. } = *intent;
    IntentRecord { id, epoch, plan, step, action, vm, deadline, written_ms }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::{Epoch, IntentId, Millis, PlanId, StepId, text};
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn an_open_intent_comes_back_although_ids_have_changed() {
        let before = text::parse("cluster x\nhost a b c cpus=2 mem=2G\n").expect("a cluster");
        let after = text::parse("cluster x\nhost c b cpus=2 mem=2G\n").expect("the same with one host less");
        let vm = Some(Uuid::from_u128(7));
        let migrate = |from, to| Intent {
            id: IntentId(4),
            epoch: Epoch(2),
            plan: PlanId(1),
            step: StepId(0),
            action: Action::Migrate { vm: VmId(0), from, to },
            vm,
            deadline: Millis::from_secs(60),
            written: Mono(99),
            good_until: None,
        };
        let open = vec![
            record(&migrate(HostId(1), HostId(2)), &before, 5),
            record(&migrate(HostId(0), HostId(1)), &before, 6),
        ];
        let kept = Remembered { open, last_intent: 4, ..Remembered::default() };
        let (memory, strangers) = memory(&kept, &after, Mono(7)).expect("reads");
        assert_eq!(memory.open.len(), 1);
        let Action::Migrate { from, to, .. } = memory.open[0].action else { panic!("a move") };
        assert_eq!((from, to), (HostId(1), HostId(0)), "b and c in their new places");
        assert_eq!(memory.vms[0].at.as_deref(), Some("b"), "the VM is known, though it was never remembered");
        assert_eq!(strangers[0].written_ms, 6, "a is not configured any more");
    }

    #[test]
    fn memory_of_another_shape_is_refused_by_name() {
        let kept =
            Remembered { hosts: vec![("lab07".to_owned(), json!({ "host": 7 }))], ..Remembered::default() };
        let error =
            memory(&kept, &text::parse("cluster x\nhost a cpus=2 mem=2G\n").expect("a cluster"), Mono(7));
        let message = error.expect_err("refused").to_string();
        assert!(message.starts_with("the memory of host lab07 does not read: invalid type"), "{message}");
    }
}
