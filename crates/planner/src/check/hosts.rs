//! Hosts: who may take, give, sleep and wake, and that each is up or empty when it has to be.

use super::Violation;
use super::graph::Graph;
use dormouse_model::{Action, Goal, Host, HostId, HostState, Obstacle, Plan, PolicyName, Snapshot, StepId};

pub(super) fn check(
    before: &Snapshot,
    after: &Snapshot,
    plan: &Plan,
    graph: &Graph<'_>,
    found: &mut Vec<Violation>,
) {
    for step in &plan.steps {
        match step.action {
            Action::Migrate { from, to, .. } => {
                let brought_up = woken(plan, graph, step.id, from);
                if let Some(why) = gives_none(before.host(from)).filter(|_| !brought_up) {
                    found.push(Violation::GivesNone { step: step.id, host: from, why });
                }
                target(before, plan, graph, step.id, to, found);
            }
            Action::Start { host, .. } => target(before, plan, graph, step.id, host, found),
            Action::Stop { .. } => {}
            Action::Wake { host } => {
                if let Some(why) = must_not_wake(before.host(host), plan.goal) {
                    found.push(Violation::MustNotWake { step: step.id, host, why });
                }
            }
            Action::Sleep { host } => {
                if let Some(why) = must_not_sleep(before, host) {
                    found.push(Violation::MustNotSleep { step: step.id, host, why });
                }
                emptied(before, plan, graph, step.id, host, found);
            }
        }
    }
    let slept = plan.steps.iter().any(|step| matches!(step.action, Action::Sleep { .. }));
    if slept {
        numbers(before, after, found);
    }
}

fn seen(host: &Host) -> bool {
    host.load15.is_known() && matches!(host.state, HostState::On | HostState::Draining)
}

fn at_rest(host: &Host) -> Option<&'static str> {
    let mark = |it: &Obstacle| match it {
        Obstacle::Block(_) => Some("something on it says not now"),
        Obstacle::BackOff { .. } => Some("a step failed there lately"),
        Obstacle::People { .. } | Obstacle::GuardRefused { .. } => None,
    };
    if host.held.is_some() { Some("held") } else { host.obstacles.iter().find_map(mark) }
}

fn gives_none(host: &Host) -> Option<&'static str> {
    match () {
        () if !seen(host) => Some("not seen"),
        () if host.maintenance && !host.drain => Some("in maintenance"),
        () => at_rest(host),
    }
}

/// A step that is over by then wakes it.
fn woken(plan: &Plan, graph: &Graph<'_>, step: StepId, host: HostId) -> bool {
    graph.before(step).iter().any(|id| plan.steps[id.index()].action == Action::Wake { host })
}

/// The destination is up, seen and open, or woken by a step that is over by then; and nothing puts it to sleep.
fn target(
    before: &Snapshot,
    plan: &Plan,
    graph: &Graph<'_>,
    step: StepId,
    to: HostId,
    found: &mut Vec<Violation>,
) {
    let host = before.host(to);
    let marked = match () {
        () if host.maintenance => Some("in maintenance"),
        () if host.drain => Some("being emptied by an operator"),
        () => at_rest(host),
    };
    if let Some(why) = marked {
        found.push(Violation::TakesNone { step, host: to, why });
    }
    let up = host.state == HostState::On && seen(host);
    if !up && !woken(plan, graph, step, to) {
        found.push(Violation::NotUp { step, host: to });
    }
}

fn must_not_wake(host: &Host, goal: Goal) -> Option<&'static str> {
    match () {
        () if host.maintenance => Some("in maintenance"),
        () if host.drain => Some("being emptied by an operator"),
        () if host.state == HostState::Off && goal != (Goal::Spread { wake_off: true }) => {
            Some("switched off by someone else")
        }
        () => at_rest(host),
    }
}

fn must_not_sleep(before: &Snapshot, id: HostId) -> Option<&'static str> {
    let (host, knobs) = (before.host(id), &before.cluster.policy.knobs);
    match () {
        () if !seen(host) => Some("not seen"),
        () if host.spec.role.is_some() => Some("it has a role"),
        () if host.spec.keep_on => Some("marked keep-on"),
        () if host.held.is_some() => Some("held"),
        () if host.maintenance => Some("in maintenance"),
        () if host.drain => Some("being emptied by an operator, to stay on"),
        () if !host.proven && !knobs.unproven_sleep => Some("never seen to wake"),
        () if !host.obstacles.is_empty() => Some("something on it says no"),
        () if host.state == HostState::On
            && host.in_state.0 < knobs.min_up.0 / u64::from(knobs.time_scale.max(1)) =>
        {
            Some("on for too short a time")
        }
        () if host.cycles_day >= knobs.cycles_host_day => Some("its power cycles of the day are used up"),
        () => None,
    }
}

/// Every VM that was there or comes there has left, by steps that are over when the host goes to sleep.
fn emptied(
    before: &Snapshot,
    plan: &Plan,
    graph: &Graph<'_>,
    step: StepId,
    host: HostId,
    found: &mut Vec<Violation>,
) {
    let over = graph.before(step);
    let leaves = |vm, after: Option<StepId>| {
        over.iter().any(|id| match plan.steps[id.index()].action {
            Action::Migrate { vm: other, from, .. } => {
                other == vm && from == host && after.is_none_or(|came| *id > came)
            }
            Action::Stop { vm: other, host: there } => other == vm && there == host,
            _ => false,
        })
    };
    for vm in before.vms_on(host).filter(|vm| !leaves(*vm, None)) {
        found.push(Violation::NotEmptied { step, host, vm });
    }
    for other in &plan.steps {
        if let Action::Migrate { vm, to, .. } | Action::Start { vm, host: to } = other.action
            && to == host
            && !leaves(vm, Some(other.id))
        {
            found.push(Violation::NotEmptied { step, host, vm });
        }
    }
}

/// `min_on` and `keep N of`, where they held before.
fn numbers(before: &Snapshot, after: &Snapshot, found: &mut Vec<Violation>) {
    let usable = |picture: &Snapshot, host: HostId| picture.host(host).state == HostState::On;
    let count = |picture: &Snapshot, hosts: &mut dyn Iterator<Item = HostId>| {
        u32::try_from(hosts.filter(|host| usable(picture, *host)).count()).unwrap_or(u32::MAX)
    };
    let wanted = before.cluster.policy.knobs.min_on;
    let on = count(after, &mut after.host_ids());
    if on < wanted && before.cluster.policy.name == PolicyName::Balanced {
        found.push(Violation::MinOn { on, wanted });
    }
    for rule in before.cluster.keeps.iter().filter(|_| before.cluster.policy.name == PolicyName::Balanced) {
        let on = count(after, &mut rule.hosts.iter().copied());
        if on < rule.count && on < count(before, &mut rule.hosts.iter().copied()) {
            found.push(Violation::Keep { on, wanted: rule.count });
        }
    }
}
