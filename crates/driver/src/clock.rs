//! The two clocks. Timeouts and leases use the monotonic one, the calendar uses the other, nothing mixes them.

use dormouse_model::Mono;
use std::time::Instant;

pub trait Clock: Send + Sync {
    /// Never jumps, never goes back; its origin is the start of the process.
    fn mono(&self) -> Mono;
    fn wall(&self) -> jiff::Timestamp;
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}
