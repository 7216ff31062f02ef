//! Looking at a host.

use async_trait::async_trait;
use dormouse_model::{HostFacts, HostSpec, Millis, ProbeError};

/// Brings back everything about one host, or why it could not. A look changes nothing on the host.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Answers by the deadline. Looks at different hosts run at once and do not wait for each other;
    /// a host that hangs costs nobody else anything.
    ///
    /// A host whose ssh answers but whose libvirt, storage or clock does not is `Ok` with
    /// [`failures`](HostFacts::failures): it is there, and unusable.
    async fn look(&self, host: &HostSpec, deadline: Millis) -> Result<HostFacts, ProbeError>;

    /// Drops what is held open for a host that is no longer looked after or is known to be going down.
    async fn forget(&self, host: &str);
}
