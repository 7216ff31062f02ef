//! A discrete-event world that carries out the controller's effects on a virtual clock.
//!
//! The daemon's own `control` runs here, unmodified; only what surrounds it is pretend: hosts that boot and go down,
//! moves that share links, people, faults, a store, two clocks. The same binary, scenario and seed give the same bytes.
//!
//! - [`World`] is what really is. Nobody but the simulator and the invariants sees it.
//! - [`Sim`] joins world and controller, plays a [`Scenario`], and watches the rules of `faults.md` after every event.
//! - What happened goes through one stream of notes: into the log, the facts of the script, the figures, the invariants.
//! - [`trace`] holds what VMs asked for over days, read from a file or made up from a seed.
//!
//! - [`Mirror`] holds what a real cluster's records tell against the same rules.
//! - [`chaos`] draws clusters and troubles from seeds and plays them by the thousand, each run by itself.
//!
//! Absent: any real clock, socket, or chance that does not come from the seed. See `docs/scenarios.md`.
#![forbid(unsafe_code)]

pub mod chaos;
mod expect;
mod figures;
mod invariants;
mod log;
mod mirror;
mod night;
mod note;
mod queue;
pub mod replay;
mod run;
mod scenario;
pub mod script;
mod store;
pub mod trace;
mod view;
mod world;

pub use expect::Failure;
pub use figures::{Figures, HostsOn};
pub use invariants::Violation;
pub use mirror::{Mirror, Seen};
pub use night::{NIGHT_CLUSTER, night, night_cluster, night_scenario};
pub use run::{Options, RunResult, Sim, Tally};
pub use scenario::{Scenario, ScenarioError};
pub use view::{HostView, MoveView};
pub use world::{Fault, Flow, FlowId, HostTruth, Power, VmTruth, World};
