//! Nouns and units of dormouse: hosts, VMs, what was seen of them, goals, plans, the calendar and the cluster text.
//!
//! Absent from this crate: any clock, randomness, async, logging, file or socket. Time arrives as an argument
//! ([`Mono`] for leases and timeouts, a wall-clock timestamp for the calendar only); text comes in as `&str` and goes out
//! as `String`. Quantities are integers with their unit in the type, so that results are the same on every machine.
#![forbid(unsafe_code)]

mod cluster;
mod demand_row;
mod devices;
mod id;
mod intent;
mod observation;
mod plan;
mod policy;
mod report;
pub mod schedule;
mod seen;
mod snapshot;
mod state;
pub mod text;
mod units;

pub use cluster::{Circuit, Cluster, Group, Hold, HostSpec, Keep, Role, Rule, VmSpec};
pub use demand_row::{DemandBatch, DemandRow, RollUp};
pub use devices::Devices;
pub use id::{Epoch, HostId, IntentId, ObservationId, PlanId, StepId, VmId};
pub use intent::{GuardRefusal, HostTime, Intent, Lack, Outcome, OutcomeError};
pub use observation::{CheckFailure, DomainState, HostFacts, Job, JobKind, Observation, ProbeError, VmFacts};
pub use plan::{Action, Because, Buys, Plan, Premise, Step};
pub use policy::{Forecast, KNOBS, KnobError, KnobInfo, Knobs, Policy, PolicyName};
pub use report::{AwakeReason, Refusal, RefusalReason, Report, Subject};
pub use seen::Seen;
pub use snapshot::{Barred, Demand, Goal, Host, Obstacle, Snapshot, Vm};
pub use state::{HostState, VmState};
pub use units::{Mbps, Mib, MilliCpu, MilliJoules, Millis, Mono, Permille, Watts};
