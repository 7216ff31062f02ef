//! The drivers behind the controller's effects, each call under a deadline of ours and with its panics caught.

use super::{DaemonClock, Definitions, restore};
use dormouse_driver::{
    GuardOrder, Hypervisor, Kind, Lease, LeaseError, MemoryRecord, MoveRequest, Power, Probe, Store,
};
use dormouse_model::{
    Action, Cluster, Epoch, HostFacts, HostId, HostSpec, HostTime, Intent, Millis, Observation,
    ObservationId, Outcome, OutcomeError, ProbeError,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A driver answers by its deadline; one that does not is given this much more and then left alone.
pub(super) const LOOK_GRACE: Millis = Millis::from_secs(1);
/// More for effects: a move that is ended at its deadline is looked for on both ends before anything is said.
const ACT_GRACE: Millis = Millis::from_secs(30);
/// The guard writes one file.
const ADOPT: Millis = Millis::from_secs(12);
/// Ending or setting right a move is asked of two hosts at most.
const SETTLE: Millis = Millis::from_secs(60);

/// Everything outside. Cloned into each task.
#[derive(Clone)]
pub(crate) struct Rim {
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) power: Arc<dyn Power>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lease: Arc<dyn Lease>,
    /// Several managers may use the store.
    pub(crate) shared: bool,
    pub(crate) clock: DaemonClock,
    pub(crate) cluster: Arc<Cluster>,
    /// Whom the guards on the hosts obey.
    pub(crate) cluster_id: Uuid,
    pub(crate) login_idle: Millis,
    /// What VMs are, should their host die.
    pub(crate) definitions: Arc<Definitions>,
}

impl Rim {
    pub(super) fn host(&self, id: HostId) -> &HostSpec {
        &self.cluster.hosts[id.index()]
    }

    pub(crate) async fn look(self, id: ObservationId, host: HostId, deadline: Millis) -> Observation {
        let asked = self.clock.mono();
        let clock = self.clock.clone();
        let look = async move { self.probe.look(self.host(host), deadline).await };
        let result: Result<HostFacts, ProbeError> = match guarded(look, deadline + LOOK_GRACE).await {
            Ok(result) => result,
            Err(Broken::Late) => Err(ProbeError::Timeout(deadline)),
            Err(Broken::Panic(why)) => Err(ProbeError::Malformed(format!("our look at it failed: {why}"))),
        };
        Observation { id, host, asked, answered: clock.mono(), result }
    }

    /// Carries out one intent. Whatever goes wrong on our side is `Unsure`: it may have happened.
    pub(crate) async fn act(self, intent: Intent) -> Outcome {
        let deadline = intent.deadline;
        match guarded(async move { self.call(&intent).await }, deadline.saturating_add(ACT_GRACE)).await {
            Ok(outcome) => outcome,
            Err(Broken::Late) => Outcome::Unsure(format!("the driver did not answer within {deadline}")),
            Err(Broken::Panic(why)) => Outcome::Unsure(format!("the driver failed: {why}")),
        }
    }

    async fn call(&self, intent: &Intent) -> Outcome {
        let deadline = intent.deadline;
        match (intent.action, intent.vm) {
            (Action::Migrate { from, to, .. }, Some(vm)) => {
                let (from, to) = (self.host(from), self.host(to));
                self.hypervisor.migrate(MoveRequest { vm, from, to, deadline, progress: None }).await
            }
            (Action::Start { host, .. }, Some(vm)) => self.start(vm, self.host(host), deadline).await,
            (Action::Stop { host, .. }, Some(vm)) => {
                self.hypervisor.stop(vm, self.host(host), deadline).await
            }
            (Action::Wake { host }, _) => self.power.wake(self.host(host), deadline).await,
            (Action::Sleep { host }, _) => {
                let host = self.host(host);
                let order = self.guard_order(intent.epoch, intent.good_until);
                let outcome = self.power.off(host, &order, deadline).await;
                if matches!(outcome, Outcome::Done { .. }) {
                    self.probe.forget(&host.name).await;
                }
                outcome
            }
            (Action::Fence { host }, _) => self.fence(intent.epoch, self.host(host), deadline).await,
            (_, None) => Outcome::Failed(OutcomeError::Driver("the intent names no VM".to_owned())),
        }
    }

    /// No guard on the host can refuse this, so the store is asked at the last moment whether we still lead: had we stood
    /// still, the host might be on again, in the hands of another manager.
    async fn fence(&self, epoch: Epoch, host: &HostSpec, deadline: Millis) -> Outcome {
        match self.lease.renew(epoch).await {
            Ok(_) => self.power.prove_off(host, deadline).await,
            Err(LeaseError::Held { .. } | LeaseError::Over(_)) => Outcome::Failed(OutcomeError::Fenced),
            Err(error) => Outcome::Failed(OutcomeError::Driver(format!("nobody says that we lead: {error}"))),
        }
    }

    fn guard_order(&self, epoch: Epoch, good_until: Option<HostTime>) -> GuardOrder {
        GuardOrder { cluster: self.cluster_id, epoch, login_idle: self.login_idle, good_until }
    }

    /// An operator's word that this host obeys this cluster from now on.
    pub(crate) async fn adopt(self, host: HostId, epoch: Epoch) -> Outcome {
        let order = self.guard_order(epoch, None);
        let adopt = async move { self.power.adopt(self.host(host), &order, ADOPT).await };
        guarded(adopt, ADOPT + LOOK_GRACE)
            .await
            .unwrap_or_else(|broken| Outcome::Unsure(format!("the driver did not answer: {broken:?}")))
    }

    /// Starts a VM that ran on another host: by the definition kept of it, or by one that this host has.
    async fn start(&self, vm: Uuid, host: &HostSpec, deadline: Millis) -> Outcome {
        let fails = |why: String| Outcome::Failed(OutcomeError::Driver(why));
        let there = match self.hypervisor.definitions(host, deadline).await {
            Ok(all) => all.into_iter().find(|one| one.uuid == vm),
            Err(error) => return fails(error.to_string()),
        };
        if there.as_ref().is_some_and(|one| one.state.is_present()) {
            return self.hypervisor.start(vm, host, deadline).await;
        }
        let kept = match self.store.load().await {
            // What crashed there starts as its host has it: somebody may have mended it since we read it.
            Ok(kept) if there.is_some() && restore::crashed_there(&kept, vm, &host.name) => None,
            Ok(kept) => Definitions::find(&kept, vm),
            Err(error) => return fails(error.to_string()),
        };
        match kept {
            Some(xml) => match self.hypervisor.define(host, &xml, deadline).await {
                Ok(uuid) if uuid == vm => {}
                Ok(other) => return fails(format!("its definition is that of {other}")),
                Err(error) => return fails(error.to_string()),
            },
            None if there.is_some() => {}
            None => {
                return fails("its definition was never seen, so it cannot be started elsewhere".to_owned());
            }
        }
        self.hypervisor.start(vm, host, deadline).await
    }

    /// After a good look: keeps the definitions of what is present there.
    pub(crate) async fn learn(self, host: HostId, facts: HostFacts) {
        let spec = self.host(host).clone();
        if !self.definitions.ask(&spec.name, &facts, self.clock.mono()) {
            return;
        }
        let definitions = Arc::clone(&self.definitions);
        let (hypervisor, store) = (Arc::clone(&self.hypervisor), Arc::clone(&self.store));
        let listed =
            guarded(async move { hypervisor.definitions(&spec, SETTLE).await }, SETTLE + LOOK_GRACE).await;
        let all = match listed {
            Ok(Ok(all)) => all,
            other => return tracing::debug!("definitions are not known: {other:?}"),
        };
        let news = definitions.news(all);
        let record = |(_, key, value): &(Uuid, String, Value)| MemoryRecord {
            kind: Kind::Setting,
            key: key.clone(),
            value: Some(value.clone()),
        };
        let records: Vec<_> = news.iter().map(record).collect();
        if records.is_empty() {
            return;
        }
        match store.remember_all(&records).await {
            Ok(()) => news.iter().for_each(|(vm, _, value)| definitions.kept(*vm, value)),
            Err(error) => tracing::warn!("the definitions of {} VMs were not kept: {error}", news.len()),
        }
    }

    /// A wake that nobody could write down. Whether it did anything is seen on the host.
    pub(crate) async fn wake_alone(self, host: HostId) {
        let wake = async move { self.power.wake(self.host(host), ADOPT).await };
        match guarded(wake, ADOPT + LOOK_GRACE).await {
            Ok(Outcome::Done { .. }) => {}
            other => tracing::warn!("a wake could not be sent: {other:?}"),
        }
    }

    /// Ends a running move at its source. What came of it is told by the move itself.
    pub(crate) async fn abort(self, intent: Intent) {
        let (Action::Migrate { from, .. }, Some(vm)) = (intent.action, intent.vm) else { return };
        let id = intent.id;
        let abort = async move { self.hypervisor.abort(vm, self.host(from), SETTLE).await };
        match guarded(abort, SETTLE + LOOK_GRACE).await {
            Ok(Outcome::Done { .. }) => tracing::info!("the move {id} was ended at its source"),
            other => tracing::warn!("the move {id} could not be ended: {other:?}"),
        }
    }

    /// Looks at both ends of a half-done move and sets right what is safe. Looks of the controller follow.
    pub(crate) async fn settle(self, intent: Intent) {
        let (Action::Migrate { from, to, .. }, Some(vm)) = (intent.action, intent.vm) else { return };
        let id = intent.id;
        let settle = async move { self.hypervisor.settle(vm, self.host(from), self.host(to), SETTLE).await };
        match guarded(settle, SETTLE + LOOK_GRACE).await {
            Ok(Ok(settled)) => tracing::info!(
                "the move {id} was half done: {} at the source, {} at the destination: {:?}",
                settled.source,
                settled.destination,
                settled.settlement
            ),
            Ok(Err(error)) => tracing::warn!("the half-done move {id} could not be looked at: {error}"),
            Err(broken) => tracing::warn!("the half-done move {id} could not be looked at: {broken:?}"),
        }
    }
}

impl std::fmt::Debug for Rim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rim").field("cluster", &self.cluster.name).finish_non_exhaustive()
    }
}

/// What a call did instead of answering.
#[derive(Debug)]
enum Broken {
    Late,
    Panic(String),
}

/// Runs a driver's call in a task of its own: its panic and its hang end there.
async fn guarded<T: Send + 'static>(
    call: impl Future<Output = T> + Send + 'static,
    limit: Millis,
) -> Result<T, Broken> {
    let mut task = tokio::spawn(call);
    match tokio::time::timeout(Duration::from_millis(limit.0), &mut task).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            Err(Broken::Panic(if error.is_panic() { "it panicked" } else { "it was ended" }.to_owned()))
        }
        Err(_) => {
            task.abort();
            Err(Broken::Late)
        }
    }
}
