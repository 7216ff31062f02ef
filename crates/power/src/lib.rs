//! Power: Wake-on-LAN, and the guarded power-off over a [`Remote`].
//!
//! Decides nothing: a wake is sent where it is told, an off command carries its guard, whose word is final.
//! Never here: an off command without the guard, and a retry of one whose end is not known.

mod guard;
#[doc(hidden)]
pub mod hostile;
mod wol;

pub use guard::GUARD;
pub use wol::{WolError, magic_packet, send_everywhere};

use async_trait::async_trait;
use dormouse_driver::{GuardOrder, Power, Remote};
use dormouse_model::{HostSpec, Millis, Outcome, OutcomeError};
use std::sync::Arc;
use std::time::Duration;

/// Pauses before the second and third wake: the first packet may meet a switch port that is still asleep.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];

/// Wakes by magic packet, and switches off through the guard.
pub struct WolAndGuard {
    remote: Arc<dyn Remote>,
}

impl WolAndGuard {
    #[must_use]
    pub fn new(remote: Arc<dyn Remote>) -> Self {
        Self { remote }
    }
}

impl std::fmt::Debug for WolAndGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WolAndGuard")
    }
}

#[async_trait]
impl Power for WolAndGuard {
    async fn wake(&self, host: &HostSpec, deadline: Millis) -> Outcome {
        if host.macs.is_empty() {
            let hint = format!("no MAC address is known for {}; give mac= on its host line", host.name);
            return Outcome::Failed(OutcomeError::Driver(hint));
        }
        let sends = async {
            let mut sent = wol::wake_once(&host.macs).await;
            for pause in BACK_OFF {
                tokio::time::sleep(pause).await;
                sent = wol::wake_once(&host.macs).await.or(sent);
            }
            sent
        };
        match tokio::time::timeout(Duration::from_millis(deadline.0), sends).await {
            Ok(Ok(frames)) => {
                tracing::debug!(host = host.name, frames, "magic packets sent");
                Outcome::Done { downtime: None }
            }
            Ok(Err(error)) => Outcome::Failed(OutcomeError::Driver(error.to_string())),
            Err(_) => Outcome::Unsure(format!("sending the wake was not over after {deadline}")),
        }
    }

    async fn off(&self, host: &HostSpec, order: &GuardOrder, deadline: Millis) -> Outcome {
        guard::off(&*self.remote, host, order, deadline).await
    }

    async fn adopt(&self, host: &HostSpec, order: &GuardOrder, deadline: Millis) -> Outcome {
        guard::adopt(&*self.remote, host, order, deadline).await
    }
}
