//! A plan as JSON. Fields are a promise (docs/json.md): add, never rename.

use super::Planned;
use dormouse_model::{Action, HostId, Snapshot, StepId, Subject, VmId};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    policy: &'static str,
    goal: &'static str,
    hosts_on_before: u32,
    hosts_on_after: u32,
    lower_bound: u32,
    watts_before: u64,
    watts_after: u64,
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
}

#[derive(Debug, Serialize)]
struct Awake<'a> {
    host: &'a str,
    because: String,
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
        let Planned { snapshot, plan, report, took, cut_short } = planned;
        Self {
            policy: plan.policy.as_str(),
            goal: plan.goal.as_str(),
            hosts_on_before: report.hosts_on_before,
            hosts_on_after: report.hosts_on_after,
            lower_bound: report.lower_bound,
            watts_before: report.watts_before.0,
            watts_after: report.watts_after.0,
            moves_ms: report.moves_time.0,
            moves_bound_ms: report.moves_bound.0,
            steps: plan.steps.iter().map(|step| Step::of(step, snapshot)).collect(),
            awake: report
                .awake
                .iter()
                .map(|(host, reason)| Awake {
                    host: host_name(snapshot, *host),
                    because: reason.words(snapshot),
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
            | Action::Start { host, .. }
            | Action::Stop { host, .. } => (Some(host), None, None),
        };
        let name = |host: Option<HostId>| host.map(|host| host_name(snapshot, host));
        Self {
            id: step.id,
            kind: step.action.kind(),
            vm: step.action.vm().map(|vm| vm_name(snapshot, vm)),
            host: name(host),
            from: name(from),
            to: name(to),
            needs: &step.needs,
            because: step.because.words(snapshot),
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
