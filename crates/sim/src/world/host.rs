//! A host as it really is, which nobody but the simulator knows.

use dormouse_model::{Epoch, HostId, HostSpec, MilliCpu, Millis, Mono};
use std::collections::BTreeSet;
use std::fmt;
use uuid::Uuid;

use super::fault::HostFaults;
use super::load::LoadAverage;

/// ```text
/// off -> booting -> on -> stopping -> off      any -> dead (power cut) -> booting (mains return)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    Off,
    Booting,
    On,
    /// The doors are closed and it is on its way off.
    Stopping,
    /// No mains: no packet wakes it.
    Dead,
}

#[derive(Clone, Debug)]
pub struct HostTruth {
    pub id: HostId,
    pub spec: HostSpec,
    pub power: Power,
    pub machine: Uuid,
    pub boot: Uuid,
    pub(crate) boots: u64,
    /// When it came up: its own clock counts from there.
    pub(crate) up_since: Mono,
    /// Timers of an earlier power state are void.
    pub(crate) generation: u64,
    /// VMs of which it holds a copy, by place in the world's list.
    pub vms: BTreeSet<usize>,
    pub people: Vec<Person>,
    pub blocks: Vec<String>,
    /// The highest epoch its guard has seen.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) faults: HostFaults,
    pub load: LoadAverage,
    /// What its VMs want and its moves cost now, together.
    pub demand: MilliCpu,
    pub(crate) account: HostAccount,
}

/// Someone who is logged in; active ones are never idle.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub idle_since: Option<Mono>,
    pub idle_before: Millis,
}

/// Sums over time, brought up to date before every change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HostAccount {
    pub(crate) since: Mono,
    /// Milliwatts times milliseconds.
    pub(crate) energy_uj: u128,
    pub(crate) on_ms: u64,
    pub(crate) overloaded_ms: u64,
    /// Thousandths of a core times milliseconds.
    pub(crate) unserved: u128,
}

impl HostTruth {
    #[must_use]
    pub fn used(&self) -> MilliCpu {
        MilliCpu(self.demand.0.min(self.spec.cpu_capacity().0))
    }

    /// Draws more than standby power.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        matches!(self.power, Power::Booting | Power::On | Power::Stopping)
    }

    /// By the curve of its spec; waking at busy watts, going off at idle watts, without mains nothing.
    #[must_use]
    pub fn milliwatts(&self) -> u64 {
        let spec = &self.spec;
        match self.power {
            Power::Dead => 0,
            Power::Off => spec.watts_asleep.0 * 1000,
            Power::Booting => spec.watts_busy.0 * 1000,
            Power::Stopping => spec.watts_idle.0 * 1000,
            Power::On => {
                let capacity = spec.cpu_capacity().0.max(1);
                let span = spec.watts_busy.saturating_sub(spec.watts_idle).0 * 1000;
                spec.watts_idle.0 * 1000 + span * self.used().0 / capacity
            }
        }
    }

    /// Adds up what has passed since the last change.
    pub(crate) fn settle(&mut self, now: Mono) {
        let span = now.since(self.account.since);
        self.account.since = now;
        if span.0 == 0 {
            return;
        }
        self.account.energy_uj += u128::from(self.milliwatts()) * u128::from(span.0);
        if self.power == Power::On {
            let over = self.demand.saturating_sub(self.spec.cpu_capacity());
            self.account.on_ms += span.0;
            if over.0 > 0 {
                self.account.overloaded_ms += span.0;
                self.account.unserved += u128::from(over.0) * u128::from(span.0);
            }
            self.load.pass(span, self.demand);
        }
    }

    /// How long this boot has lasted.
    #[must_use]
    pub fn uptime(&self, now: Mono) -> Millis {
        now.since(self.up_since)
    }

    /// Everything that must answer does.
    #[must_use]
    pub fn is_healthy(&self, now: Mono) -> bool {
        self.power == Power::On
            && !self.faults.is_silent(now)
            && !self.faults.is_frozen(now)
            && !self.faults.share_missing
            && self.faults.clock_ms.abs() < 2000
    }

    /// People who were active within the last half hour.
    #[must_use]
    pub fn active_people(&self, now: Mono, idle_limit: Millis) -> usize {
        self.people.iter().filter(|person| person.idle(now) < idle_limit).count()
    }
}

impl Person {
    #[must_use]
    pub fn idle(&self, now: Mono) -> Millis {
        self.idle_since.map_or(Millis::ZERO, |since| now.since(since) + self.idle_before)
    }
}

impl Power {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Booting => "booting",
            Self::On => "on",
            Self::Stopping => "stopping",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
