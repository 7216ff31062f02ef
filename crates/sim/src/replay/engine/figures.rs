//! From sums to figures: rows for each step while it runs, and the figures at the end.

use super::world::World;
use super::{Bounds, Replay};
use crate::replay::Policy;
use crate::replay::day::{Figures, Row};
use crate::trace::Trace;
use dormouse_model::Millis;

/// Microwatts times milliseconds in a joule, and in a kilowatt hour.
const PER_JOULE: f64 = 1e9;
const PER_KWH: f64 = 3.6e15;
/// Tenths of a MIPS times milliseconds in a MIPS-second.
const PER_MIPS_S: f64 = 1e4;

/// Readings at the end of the last step, and the rows made of their differences.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Reading,
    pub(super) rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    energy: u128,
    unserved: u128,
    awake_ms: u64,
    serving_ms: u128,
    demand_ms: u128,
    waiting_ms: u64,
    moves: u64,
    wakes: u64,
    sleeps: u64,
}

impl Reading {
    fn of(world: &World<'_>) -> Self {
        let sums = &world.sums;
        Self {
            energy: world.accounts.iter().map(|account| account.energy).sum(),
            unserved: unserved(world),
            awake_ms: sums.awake_ms,
            serving_ms: sums.serving_ms,
            demand_ms: sums.demand_ms,
            waiting_ms: sums.waiting_ms,
            moves: world.moves,
            wakes: world.wakes,
            sleeps: world.sleeps,
        }
    }
}

/// On hosts that had too little, and of VMs that waited; in tenths of a MIPS times milliseconds.
fn unserved(world: &World<'_>) -> u128 {
    let overload: u128 = world.accounts.iter().map(|account| account.unserved).sum();
    overload + world.sums.missing_ms * u128::from(super::account::TENTHS)
}

impl Meter {
    /// All sums are settled.
    pub(super) fn read(&mut self, world: &World<'_>, step: Millis, bound_watts: f64) {
        let (now, last) = (Reading::of(world), self.last);
        let span = float(u128::from(step.0));
        let count = |now: u64, last: u64| u32::try_from(now - last).unwrap_or(u32::MAX);
        self.rows.push(Row {
            hosts_on: float(u128::from(now.awake_ms - last.awake_ms)) / span,
            watts: float(now.energy - last.energy) / PER_JOULE / (span / 1e3),
            bound_watts,
            demand: float(now.demand_ms - last.demand_ms) / span,
            capacity: float(now.serving_ms - last.serving_ms) / span,
            moves: count(now.moves, last.moves),
            wakes: count(now.wakes, last.wakes),
            sleeps: count(now.sleeps, last.sleeps),
            unserved: float(now.unserved - last.unserved) / PER_MIPS_S,
            waiting: float(u128::from(now.waiting_ms - last.waiting_ms)) / span,
        });
        self.last = now;
    }
}

impl Replay<'_> {
    pub(super) fn figures(&self, world: &World<'_>, policy: &dyn Policy) -> Figures {
        let (sums, accounts) = (&world.sums, &world.accounts);
        let energy: u128 = accounts.iter().map(|account| account.energy).sum();
        let always_on: u128 = accounts.iter().map(|account| account.energy_always_on).sum();
        let on: u128 = accounts.iter().map(|account| u128::from(account.on_ms)).sum();
        let over: u128 = accounts.iter().map(|account| u128::from(account.over_ms)).sum();
        let span = u128::from(world.now.0);
        let step_s = float(u128::from(Trace::STEP.0)) / 1e3;
        let kwh = float(energy) / PER_KWH;
        let floor = Bounds::kwh(&self.bounds.floor, step_s);
        let bound = Bounds::kwh(&self.bounds.bound, step_s);
        let (slatah, pdm) = (ratio(over, on), ratio(sums.moving_ms, sums.demand_ms * 10));
        let per_vm_day = float(u128::from(world.moves)) * 86_400_000.0 / float(sums.running_ms.max(1));
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Figures {
            trace: self.trace.name.clone(),
            fleet: self.fleet.name.clone(),
            rules: self.rules,
            policy: policy.name().to_owned(),
            seed: 0,
            days: rounded(ratio(span, 86_400_000), 4),
            hosts: count(self.fleet.machines.len()),
            vms: count(self.trace.vms.len()),
            energy_kwh: rounded(kwh, 3),
            energy_always_on_kwh: rounded(float(always_on) / PER_KWH, 3),
            floor_kwh: rounded(floor, 3),
            bound_kwh: rounded(bound, 3),
            over_floor: rounded(over_by(kwh, floor), 5),
            over_bound: rounded(over_by(kwh, bound), 5),
            hosts_on_mean: rounded(ratio(u128::from(sums.awake_ms), span), 3),
            hosts_on_min: u32::try_from(sums.awake_min).unwrap_or(u32::MAX),
            migrations: world.moves,
            wakes: world.wakes,
            sleeps: world.sleeps,
            slatah: rounded(slatah, 6),
            pdm: rounded(pdm, 6),
            slav: rounded(slatah * pdm, 9),
            thrash: world.thrash,
            unserved_mips_s: rounded(float(unserved(world)) / PER_MIPS_S, 1),
            unserved_share: rounded(ratio(unserved(world), sums.demand_ms * 10), 7),
            waiting_vm_min: rounded(ratio(u128::from(sums.waiting_ms), 60_000), 2),
            waiting_share: rounded(ratio(u128::from(sums.waiting_ms), sums.running_ms), 7),
            moves_vm_day: rounded(per_vm_day, 4),
            knobs: policy.knobs(),
            violations: world.violations.clone(),
            wall_ms: 0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn float(number: u128) -> f64 {
    number as f64
}

fn ratio(part: u128, whole: u128) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

fn over_by(energy: f64, least: f64) -> f64 {
    if least > 0.0 { energy / least } else { 0.0 }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
