//! The built-in night: the 62-host lab that this project grew from, from closing to opening.

use dormouse_model::{Cluster, PolicyName};
use jiff::civil::DateTime;

use crate::run::{Options, Sim};
use crate::scenario::{Scenario, parse_cluster};

/// The lab's cluster text.
pub const NIGHT_CLUSTER: &str = include_str!("night.cluster");

/// Monday evening, an hour before closing: the manager has seen enough to decide when the house closes.
const START: DateTime = DateTime::constant(2026, 1, 12, 18, 45, 0, 0);
/// Tuesday morning, ten minutes after opening.
const END: DateTime = DateTime::constant(2026, 1, 13, 9, 10, 0, 0);

/// The lab as a cluster, under that policy with its own defaults.
#[must_use]
pub fn night_cluster(policy: PolicyName) -> Cluster {
    let mut cluster = parse_cluster("night.cluster", NIGHT_CLUSTER).expect("the built-in text is tested");
    cluster.policy = dormouse_model::Policy::named(policy);
    cluster
}

/// One night with this cluster.
#[must_use]
pub fn night(cluster: Cluster, seed: u64) -> Sim {
    Sim::new(&night_scenario(cluster, seed), Options::default())
}

#[must_use]
pub fn night_scenario(cluster: Cluster, seed: u64) -> Scenario {
    Scenario::from_cluster(cluster, START, END, seed)
}
