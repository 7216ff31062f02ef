//! Sums over time, in whole numbers: brought up to date before anything changes.
//!
//! Demand is counted in tenths of a MIPS, because a move costs a tenth of its VM's demand at either end; energy in
//! microwatts times milliseconds.

use crate::replay::fleet::Machine;
use crate::replay::policy::Power;
use dormouse_model::Millis;

/// Of one MIPS.
pub(super) const TENTHS: u64 = 10;

/// One host's sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    since: Millis,
    /// What its VMs and moves ask for now, in tenths of a MIPS.
    pub(super) load: u64,
    pub(super) energy: u128,
    /// As if it had never slept.
    pub(super) energy_always_on: u128,
    pub(super) on_ms: u64,
    pub(super) over_ms: u64,
    /// Tenths of a MIPS times milliseconds.
    pub(super) unserved: u128,
}

impl Account {
    pub(super) fn settle(&mut self, now: Millis, machine: &Machine, power: Power) {
        let span = now.0 - self.since.0;
        self.since = now;
        if span == 0 {
            return;
        }
        let capacity = machine.mips * TENTHS;
        let (idle, full) = (machine.curve.idle(), machine.curve.full());
        let (draws, always_on) = match power {
            Power::On => {
                let draws = machine.curve.at(self.load, capacity);
                self.on_ms += span;
                if self.load > capacity {
                    self.over_ms += span;
                    self.unserved += u128::from(self.load - capacity) * u128::from(span);
                }
                (draws, draws)
            }
            Power::Waking => (full, idle),
            Power::Stopping => (idle, idle),
            Power::Asleep => (machine.spec.watts_asleep.0 * 1_000_000, idle),
        };
        self.energy += u128::from(draws) * u128::from(span);
        self.energy_always_on += u128::from(always_on) * u128::from(span);
    }
}

/// The cluster's sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) since: Millis,
    /// Now: hosts not asleep, MIPS of those that serve, MIPS of VMs that should run, of those that wait, of those that
    /// move; VMs that should run, and that wait.
    pub(super) awake: u64,
    pub(super) serving: u64,
    pub(super) demand: u64,
    pub(super) missing: u64,
    pub(super) moving: u64,
    pub(super) running: u64,
    pub(super) waiting: u64,
    /// Over time, in milliseconds.
    pub(super) awake_ms: u64,
    pub(super) serving_ms: u128,
    pub(super) demand_ms: u128,
    pub(super) missing_ms: u128,
    pub(super) moving_ms: u128,
    pub(super) running_ms: u128,
    pub(super) waiting_ms: u64,
    /// At any instant so far.
    pub(super) awake_min: u64,
}

impl Sums {
    pub(super) fn settle(&mut self, now: Millis) {
        let span = now.0 - self.since.0;
        if span == 0 {
            return;
        }
        self.awake_min = if self.since == Millis::ZERO { self.awake } else { self.awake_min.min(self.awake) };
        self.since = now;
        let wide = u128::from(span);
        self.awake_ms += self.awake * span;
        self.serving_ms += u128::from(self.serving) * wide;
        self.demand_ms += u128::from(self.demand) * wide;
        self.missing_ms += u128::from(self.missing) * wide;
        self.moving_ms += u128::from(self.moving) * wide;
        self.running_ms += u128::from(self.running) * wide;
        self.waiting_ms += self.waiting * span;
    }
}
