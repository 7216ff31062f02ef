//! A plan as JSON. Fields are a promise (docs/json.md): add, never rename.

use super::Planned;
use dormouse_model::{Action, AwakeReason, Buys, HostId, Snapshot, StepId, Subject, VmId};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    /// The time whose goal it is, where that is not now.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
    policy: &'static str,
    goal: &'static str,
    hosts_on_before: u32,
    hosts_on_after: u32,
    lower_bound: u32,
    /// Hosts beyond the bound.
    hosts_gap: u32,
    watts_before: u64,
    watts_after: u64,
    watts_standing: u64,
    watts_bound: u64,
    watts_gap: u64,
    /// The bounds were found by looking at all placements.
    lower_bound_exact: bool,
    watts_bound_exact: bool,
    /// When the last move is over, and what no order of these moves beats.
    moves_ms: u64,
    moves_bound_ms: u64,
    steps: Vec<Step<'a>>,
    awake: Vec<Awake<'a>>,
    refusals: Vec<Refusal<'a>>,
    /// The deadline ended the search; a longer one may find a better plan.
    cut_short: bool,
    planning_ms: f64,
}

#[derive(Debug, Serialize)]
struct Step<'a> {
    id: StepId,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    needs: &'a [StepId],
    because: String,
    /// Once the host that it helps to empty is asleep.
    #[serde(skip_serializing_if = "Option::is_none")]
    saves_watts: Option<u64>,
    /// Of the overloaded host that it relieves.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_permille: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Awake<'a> {
    host: &'a str,
    reason: &'static str,
    because: String,
    #[serde(flatten)]
    figures: Figures<'a>,
}

/// The numbers of a reason that has some: what is asked, and the most that is free.
#[derive(Debug, Default, Serialize)]
struct Figures<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_cpu_milli: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_cpu_milli: Option<u64>,
    /// Where that is free; absent: on all other hosts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<&'a str>,
    /// The host whose death asks for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'a str>,
}

impl<'a> Figures<'a> {
    fn of(reason: &AwakeReason, snapshot: &'a Snapshot) -> Self {
        let (vm_of, host_of) = (|vm| vm_name(snapshot, vm), |host| host_name(snapshot, host));
        match *reason {
            AwakeReason::NoMemory { vm, asked, best, on } => Self {
                vm: Some(vm_of(vm)),
                asked_mib: Some(asked.0),
                free_mib: Some(best.0),
                on: on.map(host_of),
                ..Self::default()
            },
            AwakeReason::NoCpu { vm, asked, best, on } => Self {
                vm: Some(vm_of(vm)),
                asked_cpu_milli: Some(asked.0),
                free_cpu_milli: Some(best.0),
                on: on.map(host_of),
                ..Self::default()
            },
            AwakeReason::Full { asked, free, .. } => {
                Self { asked_mib: Some(asked.0), free_mib: Some(free.0), ..Self::default() }
            }
            AwakeReason::FailoverRoom { lost, free, host } => Self {
                asked_mib: Some(lost.0),
                free_mib: Some(free.0),
                lost: Some(host_of(host)),
                ..Self::default()
            },
            AwakeReason::FullCpu { asked, free, .. } => {
                Self { asked_cpu_milli: Some(asked.0), free_cpu_milli: Some(free.0), ..Self::default() }
            }
            AwakeReason::Immovable { vm, .. } | AwakeReason::NoSlot { vm } => {
                Self { vm: Some(vm_of(vm)), ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Refusal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    reason: &'static str,
    detail: String,
}

impl<'a> Document<'a> {
    pub(super) fn of(planned: &'a Planned) -> Self {
        let Planned { snapshot, plan, report, took, cut_short, exact, as_of } = planned;
        Self {
            at: as_of.as_ref().map(|as_of| as_of.at.as_str()),
            policy: plan.policy.as_str(),
            goal: plan.goal.as_str(),
            hosts_on_before: report.hosts_on_before,
            hosts_on_after: report.hosts_on_after,
            lower_bound: report.lower_bound,
            hosts_gap: report.hosts_on_after.saturating_sub(report.lower_bound),
            watts_before: report.watts_before.0,
            watts_after: report.watts_after.0,
            watts_standing: report.watts_standing.0,
            watts_bound: report.watts_bound.0,
            watts_gap: report.watts_standing.saturating_sub(report.watts_bound).0,
            lower_bound_exact: exact.hosts,
            watts_bound_exact: exact.watts,
            moves_ms: report.moves_time.0,
            moves_bound_ms: report.moves_bound.0,
            steps: plan.steps.iter().map(|step| Step::of(step, snapshot)).collect(),
            awake: report
                .awake
                .iter()
                .map(|(host, reason)| Awake {
                    host: host_name(snapshot, *host),
                    reason: reason.code(),
                    because: reason.words(snapshot),
                    figures: Figures::of(reason, snapshot),
                })
                .collect(),
            refusals: report.refusals.iter().map(|refusal| Refusal::of(refusal, snapshot)).collect(),
            cut_short: cut_short.is_some(),
            planning_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}

impl<'a> Step<'a> {
    fn of(step: &'a dormouse_model::Step, snapshot: &'a Snapshot) -> Self {
        let (host, from, to) = match step.action {
            Action::Migrate { from, to, .. } => (None, Some(from), Some(to)),
            Action::Wake { host }
            | Action::Sleep { host }
            | Action::Fence { host }
            | Action::Start { host, .. }
            | Action::Stop { host, .. } => (Some(host), None, None),
        };
        let name = |host: Option<HostId>| host.map(|host| host_name(snapshot, host));
        let buys = step.buys(snapshot);
        Self {
            id: step.id,
            kind: step.action.kind(),
            vm: step.action.vm().map(|vm| vm_name(snapshot, vm)),
            host: name(host),
            from: name(from),
            to: name(to),
            needs: &step.needs,
            because: step.because.words(snapshot),
            saves_watts: match buys {
                Some(Buys::Watts { watts, .. }) => Some(watts.0),
                _ => None,
            },
            load_permille: match buys {
                Some(Buys::Relief { load, .. }) => Some(load.0),
                _ => None,
            },
        }
    }
}

impl<'a> Refusal<'a> {
    fn of(refusal: &dormouse_model::Refusal, snapshot: &'a Snapshot) -> Self {
        let (vm, host) = match refusal.subject {
            Subject::Vm(vm) => (Some(vm_name(snapshot, vm)), None),
            Subject::Host(host) => (None, Some(host_name(snapshot, host))),
        };
        Self { vm, host, reason: refusal.reason.code(), detail: refusal.reason.to_string() }
    }
}

fn host_name(snapshot: &Snapshot, host: HostId) -> &str {
    &snapshot.host(host).spec.name
}

fn vm_name(snapshot: &Snapshot, vm: VmId) -> &str {
    &snapshot.vm(vm).spec.name
}
