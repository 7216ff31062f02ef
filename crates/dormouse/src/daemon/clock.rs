//! The daemon's clocks: the machine's, with an origin that leaves room for remembered days, and for the lab a calendar
//! that runs faster.

use dormouse_control::Now;
use dormouse_driver::{Clock, SystemClock};
use dormouse_model::{Millis, Mono};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Moves and sleeps of the last day are placed on the monotonic clock, so it does not begin at zero.
const ORIGIN: Millis = Millis::from_mins(3 * 24 * 60);

#[derive(Clone)]
pub(crate) struct DaemonClock {
    inner: Arc<dyn Clock>,
    calendar: Option<Calendar>,
}

/// A calendar that showed `from` at the real time `at` and runs `rate` times as fast. It survives a restart.
#[derive(Clone, Copy, Debug)]
struct Calendar {
    from: Timestamp,
    at: Timestamp,
    rate: i32,
}

impl DaemonClock {
    /// The machine's own clocks.
    pub(crate) fn system() -> Self {
        Self { inner: Arc::new(SystemClock::new()), calendar: None }
    }

    /// For the lab: see [`Calendar`].
    pub(crate) fn with_calendar(mut self, from: Timestamp, at: Timestamp, rate: u32) -> Self {
        self.calendar = Some(Calendar { from, at, rate: i32::try_from(rate).unwrap_or(i32::MAX) });
        self
    }

    pub(crate) fn mono(&self) -> Mono {
        self.inner.mono() + ORIGIN
    }

    /// For the trail and whatever else people compare with their own clock.
    pub(crate) fn real(&self) -> Timestamp {
        self.inner.wall()
    }

    pub(crate) fn now(&self) -> Now {
        let real = self.real();
        let wall = match self.calendar {
            None => real,
            Some(Calendar { from, at, rate }) => {
                let passed = real.duration_since(at).checked_mul(rate).unwrap_or(SignedDuration::ZERO);
                from.checked_add(passed).unwrap_or(from)
            }
        };
        Now { mono: self.mono(), wall }
    }
}

impl std::fmt::Debug for DaemonClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DaemonClock").field("calendar", &self.calendar).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Timestamp);

    impl Clock for Fixed {
        fn mono(&self) -> Mono {
            Mono(5)
        }
        fn wall(&self) -> Timestamp {
            self.0
        }
    }

    #[test]
    fn the_labs_calendar_goes_on_after_a_restart() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let clock = |now: &str| {
            let fixed = DaemonClock { inner: Arc::new(Fixed(time(now))), calendar: None };
            fixed.with_calendar(time("2026-11-23T18:00:00Z"), time("2026-11-20T10:00:00Z"), 60).now().wall
        };
        assert_eq!(clock("2026-11-20T10:01:00Z"), time("2026-11-23T19:00:00Z"));
        assert_eq!(clock("2026-11-20T10:14:00Z"), time("2026-11-24T08:00:00Z"));
    }
}
