//! Switching hosts on and off.

use async_trait::async_trait;
use dormouse_model::{Epoch, HostSpec, HostTime, Millis, Outcome};
use uuid::Uuid;

/// What the guard on the host must know to judge an off command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardOrder {
    /// A host obeys one cluster. The id is made once, with the store.
    pub cluster: Uuid,
    /// The guard refuses an epoch below the highest it has seen.
    pub epoch: Epoch,
    /// A login idle for longer does not keep the host on.
    pub login_idle: Millis,
    /// The guard refuses an off command after this moment of its own clock, and one without it at any time.
    pub good_until: Option<HostTime>,
}

#[async_trait]
pub trait Power: Send + Sync {
    /// Sends the wake, several times with back-off. `Done` says that it was sent, not that the host is on:
    /// only a look says that.
    async fn wake(&self, host: &HostSpec, deadline: Millis) -> Outcome;

    /// The last look on the host itself, then off. `Done`: the guard agreed and the host is going down.
    /// `Refused`: the doors are open again and the host is as before. `Failed`: it was never asked.
    /// `Unsure`: silence at a moment where it may have gone.
    async fn off(&self, host: &HostSpec, order: &GuardOrder, deadline: Millis) -> Outcome;

    /// An operator's word that this host now obeys this cluster and epoch, after a store was lost.
    async fn adopt(&self, host: &HostSpec, order: &GuardOrder, deadline: Millis) -> Outcome;
}
