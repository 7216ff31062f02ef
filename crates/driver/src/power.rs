//! Switching hosts on and off.

use async_trait::async_trait;
use dormouse_model::{Epoch, HostSpec, HostTime, Millis, Outcome, OutcomeError};
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

    /// Whether it can prove this host off: whoever is asked sees the power itself, without the host's help.
    fn can_prove_off(&self, _host: &HostSpec) -> bool {
        false
    }

    /// Switches a silent host off, asking nobody on it, and reads back twice that it is. `Done`: it is proved off.
    /// `Failed`: it is not, or we were refused. `Unsure`: no answer, or one that does not say which.
    async fn prove_off(&self, host: &HostSpec, _deadline: Millis) -> Outcome {
        Outcome::Failed(OutcomeError::Driver(format!("nothing here can prove {} off", host.name)))
    }

    /// An operator's word that this host now obeys this cluster and epoch, after a store was lost.
    async fn adopt(&self, host: &HostSpec, order: &GuardOrder, deadline: Millis) -> Outcome;
}
