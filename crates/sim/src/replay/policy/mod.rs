//! Who may be under test: the one trait, what a policy sees, what it may ask for, and the policies by name.
//!
//! A policy sees what an operator could see at that moment and keeps what it wants to remember itself. It never sees the
//! trace, so none can look ahead.

mod bands;
mod detect;
mod emptiest;
mod first_fit;
mod history;
mod mmt;
mod ours;
mod sketch;

use super::fleet::Fleet;
use dormouse_model::text::did_you_mean;
use dormouse_model::{HostId, KnobError, Mib, Millis, Policy as Named, PolicyName, VmId};
use std::collections::BTreeMap;

/// The power state of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    On,
    /// Full watts, serving nothing.
    Waking,
    /// Idle watts, serving nothing.
    Stopping,
    Asleep,
}

/// A host at this moment.
#[derive(Clone, Debug)]
pub struct HostNow {
    pub power: Power,
    /// Since when.
    pub since: Millis,
    /// Memory taken by the VMs here, those on their way here, and what the host adds to each.
    pub used: Mib,
    /// VMs here and on their way here.
    pub count: u32,
    /// VMs that run here, those on their way elsewhere among them.
    pub vms: Vec<VmId>,
    /// Times it went to sleep in this replay.
    pub sleeps: u32,
}

/// Where a VM is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It should not run.
    Stopped,
    /// It should run and has no host.
    Waiting,
    On(HostId),
    Moving {
        from: HostId,
        to: HostId,
    },
}

/// A VM at this moment.
#[derive(Clone, Debug)]
pub struct VmNow {
    pub mem: Mib,
    /// The most it can ask for, in MIPS.
    pub limit: u64,
    /// What it asks for, in MIPS.
    pub demand: u64,
    pub place: Place,
}

/// What a policy sees.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Since the beginning of the trace.
    pub now: Millis,
    pub fleet: &'a Fleet,
    pub hosts: &'a [HostNow],
    pub vms: &'a [VmNow],
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Begins when the VM is at rest, the host on, and there is room at both ends.
    Move {
        vm: VmId,
        to: HostId,
    },
    Wake(HostId),
    /// Begins when the host is empty and nobody is on the way there.
    Sleep(HostId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub act: Act,
    /// Places in the list of steps that must be done before.
    pub needs: Vec<usize>,
}

/// What to do until the next orders come. What has not begun by then is forgotten.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    pub steps: Vec<Step>,
    /// Moves out of and into one host, and altogether, at once; `None`: no limit.
    pub out_of_host: Option<u32>,
    pub into_host: Option<u32>,
    pub at_once: Option<u32>,
}

/// A policy under test.
pub trait Policy: std::fmt::Debug {
    /// What it was asked for as.
    fn name(&self) -> &str;

    /// What it can be told, with what it was told.
    fn knobs(&self) -> BTreeMap<String, String>;

    /// A host for each of these VMs, which run nowhere; `None`: it has to wait. At the beginning every VM asks, every
    /// host is on, and those that are not used are then asleep for nothing; later only hosts that are on count.
    fn place(&mut self, view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>>;

    /// Asked at the beginning of each step.
    fn plan(&mut self, view: &View<'_>) -> Orders;
}

impl View<'_> {
    /// Room on a host that is on.
    #[must_use]
    pub fn fits(&self, vm: VmId, host: HostId) -> bool {
        let (spec, now) = (&self.fleet.machine(host).spec, &self.hosts[host.index()]);
        now.power == Power::On
            && now.used + self.vms[vm.index()].mem + spec.overhead <= spec.mem_for_vms()
            && spec.slots.is_none_or(|slots| now.count < slots)
    }
}

impl Orders {
    pub(crate) fn push(&mut self, act: Act, needs: Vec<usize>) -> usize {
        self.steps.push(Step { act, needs });
        self.steps.len() - 1
    }
}

/// A policy that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("unknown policy `{name}`{}", did_you_mean(.name, ALL.into_iter()))]
    Unknown { name: String },
    #[error("`{name}`: {what}")]
    Parameter { name: String, what: &'static str },
    #[error("cannot set {knob}={value}")]
    Knob {
        knob: String,
        value: String,
        #[source]
        source: KnobError,
    },
}

/// The policies that come along, with their usual parameters.
const ALL: [&str; 8] =
    ["none", "emptiest-first", "thr-mmt-0.8", "iqr-mmt-1.5", "mad-mmt-2.5", "lr-mmt-1.2", "seed", "balanced"];

/// Their names, from doing nothing to ours.
pub fn all() -> impl Iterator<Item = &'static str> {
    ALL.into_iter()
}

/// The policy of this name for this fleet; `set` overrides knobs, which only `seed` and `balanced` have.
///
/// # Errors
/// There is no such policy, or its parameter or a knob makes no sense.
pub fn named(
    name: &str,
    fleet: &Fleet,
    set: &[(String, String)],
) -> Result<Box<dyn Policy + Send>, PolicyError> {
    if let Some(found) = PolicyName::ALL.into_iter().find(|policy| policy.as_str() == name) {
        return Ok(Box::new(ours::Ours::new(fleet, policy_line(&fleet.policy, found, set)?)));
    }
    match name {
        "none" => return Ok(Box::new(first_fit::FirstFit)),
        "emptiest-first" => return Ok(Box::new(emptiest::EmptiestFirst)),
        _ => {}
    }
    let parts = name.split_once("-mmt-").ok_or_else(|| PolicyError::Unknown { name: name.to_owned() })?;
    let detector = detect::Detector::named(parts.0, parts.1)
        .ok_or_else(|| PolicyError::Unknown { name: name.to_owned() })?
        .map_err(|what| PolicyError::Parameter { name: name.to_owned(), what })?;
    Ok(Box::new(mmt::Mmt::new(name.to_owned(), detector)))
}

/// What the fleet's policy line says, under this name: another policy keeps the knobs that the text sets by itself.
fn policy_line(line: &Named, name: PolicyName, set: &[(String, String)]) -> Result<Named, PolicyError> {
    let mut policy = Named::named(name);
    let standard = Named::named(line.name);
    for ((knob, value), (_, usual)) in line.knobs.entries().zip(standard.knobs.entries()) {
        if value != usual {
            policy.knobs.set(knob, &value).expect("a knob reads what it shows");
        }
    }
    for (knob, value) in set {
        policy.knobs.set(knob, value).map_err(|source| PolicyError::Knob {
            knob: knob.clone(),
            value: value.clone(),
            source,
        })?;
    }
    Ok(policy)
}
