//! What a run comes to, in numbers. Field names are those of `simulate --format json`.

use dormouse_model::{Cluster, Mono};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

use crate::invariants::Violation;
use crate::run::Tally;
use crate::world::World;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub policy: String,
    pub seed: u64,
    pub days: f64,
    pub energy_kwh: f64,
    /// The same VMs, each at its own host, with all hosts on all the time.
    pub energy_always_on_kwh: f64,
    pub hosts_on_mean: f64,
    pub hosts_on_min: u32,
    pub migrations: u64,
    pub wakes: u64,
    pub sleeps: u64,
    /// Share of the time hosts were on in which they were asked for more than they have.
    pub slatah: f64,
    /// Share of the demand that moves cost.
    pub pdm: f64,
    pub slav: f64,
    /// Moves from A to B and back to A within an hour.
    pub thrash: u64,
    /// One core is 1000 MIPS.
    pub unserved_mips_s: f64,
    pub unserved_share: f64,
    /// Minutes in which VMs that should run did not.
    pub waiting_vm_min: f64,
    pub knobs: BTreeMap<String, String>,
    pub violations: Vec<Violation>,
    /// Filled by the caller, who has a clock.
    pub wall_ms: u64,
}

impl Figures {
    pub(crate) fn of(
        world: &World,
        tally: &Tally,
        cluster: &Cluster,
        seed: u64,
        violations: &[Violation],
    ) -> Self {
        let end = world.now;
        let sums = &world.sums;
        let overload: u128 = world.hosts.iter().map(|host| host.account.unserved).sum();
        let on_ms: u128 = world.hosts.iter().map(|host| u128::from(host.account.on_ms)).sum();
        let over_ms: u128 = world.hosts.iter().map(|host| u128::from(host.account.overloaded_ms)).sum();
        let unserved = overload + sums.missing_time;
        let (slatah, pdm) = (ratio(over_ms, on_ms), ratio(sums.moved_loss, sums.demand_time));
        Self {
            policy: cluster.policy.name.to_string(),
            seed,
            days: rounded(ratio(u128::from(end.0), 86_400_000), 4),
            energy_kwh: rounded(world.energy().as_kwh(), 3),
            energy_always_on_kwh: rounded(world.energy_always_on().as_kwh(), 3),
            hosts_on_mean: rounded(ratio(sums.awake_ms, u128::from(end.0)), 3),
            hosts_on_min: world.hosts_on.iter().map(|(_, count)| *count).min().unwrap_or(0),
            migrations: tally.migrations,
            wakes: tally.wakes,
            sleeps: tally.sleeps,
            slatah: rounded(slatah, 6),
            pdm: rounded(pdm, 6),
            slav: rounded(slatah * pdm, 9),
            thrash: tally.thrash,
            unserved_mips_s: rounded(ratio(unserved, 1000), 1),
            unserved_share: rounded(ratio(unserved, sums.demand_time), 6),
            waiting_vm_min: rounded(ratio(sums.waiting_ms, 60_000), 2),
            knobs: cluster.policy.knobs.entries().map(|(name, value)| (name.to_owned(), value)).collect(),
            violations: violations.to_vec(),
            wall_ms: 0,
        }
    }
}

/// The closing lines of a golden log.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "figure policy={} seed={} days={:.4}", self.policy, self.seed, self.days)?;
        writeln!(
            f,
            "figure energy_kwh={:.3} energy_always_on_kwh={:.3}",
            self.energy_kwh, self.energy_always_on_kwh
        )?;
        writeln!(f, "figure hosts_on_mean={:.3} hosts_on_min={}", self.hosts_on_mean, self.hosts_on_min)?;
        writeln!(
            f,
            "figure migrations={} wakes={} sleeps={} thrash={}",
            self.migrations, self.wakes, self.sleeps, self.thrash
        )?;
        writeln!(f, "figure slatah={:.6} pdm={:.6} slav={:.9}", self.slatah, self.pdm, self.slav)?;
        writeln!(
            f,
            "figure unserved_mips_s={:.1} unserved_share={:.6} waiting_vm_min={:.2} violations={}",
            self.unserved_mips_s,
            self.unserved_share,
            self.waiting_vm_min,
            self.violations.len()
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn ratio(part: u128, whole: u128) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// How many hosts were awake, since when.
pub type HostsOn = Vec<(Mono, u32)>;
