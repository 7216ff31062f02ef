//! Hosts: who may take, give, sleep and wake, and that each is up or empty when it has to be.

use super::Violation;
use super::course::Course;
use super::graph::Graph;
use dormouse_model::{
    Action, Goal, Host, HostId, HostState, Obstacle, Plan, PolicyName, Snapshot, StepId, VmId,
};
use std::collections::BTreeMap;

pub(super) fn check(
    before: &Snapshot,
    after: &Snapshot,
    plan: &Plan,
    course: &Course,
    graph: &mut Graph<'_>,
    found: &mut Vec<Violation>,
) {
    for step in &plan.steps {
        match step.action {
            Action::Migrate { from, to, .. } => {
                let brought_up = woken(course, graph, step.id, from);
                if let Some(why) = gives_none(before.host(from)).filter(|_| !brought_up) {
                    found.push(Violation::GivesNone { step: step.id, host: from, why });
                }
                target(before, course, graph, step.id, to, found);
            }
            Action::Start { host, .. } => target(before, course, graph, step.id, host, found),
            Action::Fence { host } => {
                let why = "no plan fences a host";
                found.push(Violation::MustNotSleep { step: step.id, host, why });
            }
            Action::Stop { vm, .. } => found.push(Violation::Stops { step: step.id, vm }),
            Action::Wake { host } => {
                if let Some(why) = must_not_wake(before.host(host), plan.goal) {
                    found.push(Violation::MustNotWake { step: step.id, host, why });
                }
            }
            Action::Sleep { host } => {
                if let Some(why) = must_not_sleep(before, host) {
                    found.push(Violation::MustNotSleep { step: step.id, host, why });
                }
                emptied(course, graph, step.id, host, found);
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
        Obstacle::People { .. } | Obstacle::Autostart { .. } | Obstacle::GuardRefused { .. } => None,
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
fn woken(course: &Course, graph: &mut Graph<'_>, step: StepId, host: HostId) -> bool {
    course.wake_of(host).is_some_and(|wake| graph.follows(wake, step))
}

/// The destination is up, seen and open, or woken by a step that is over by then.
/// That nothing puts it to sleep with the VM on it is for [`emptied`].
fn target(
    before: &Snapshot,
    course: &Course,
    graph: &mut Graph<'_>,
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
    if !up && !woken(course, graph, step, to) {
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

/// Every VM that was there or comes there has left, by steps that are over when the host goes to sleep: one that
/// failed to leave must keep it on.
fn emptied(course: &Course, graph: &mut Graph<'_>, step: StepId, host: HostId, found: &mut Vec<Violation>) {
    let traffic = course.traffic_of(host);
    let (arrivals, departures) =
        traffic.map_or((&[][..], &[][..]), |traffic| (&traffic.arrivals, &traffic.departures));
    // For each VM the last time that it has certainly left.
    let mut left: BTreeMap<VmId, StepId> = BTreeMap::new();
    if let Some((earliest, _)) = departures.first() {
        graph.ask(step, *earliest);
        left.extend(departures.iter().filter(|(id, _)| graph.over(*id)).map(|(id, vm)| (*vm, *id)));
    }
    let stays = course.residents(host).iter().filter(|vm| !left.contains_key(vm));
    let comes = arrivals.iter().filter(|(came, vm)| left.get(vm).is_none_or(|gone| gone < came));
    for vm in stays.chain(comes.map(|(_, vm)| vm)) {
        found.push(Violation::NotEmptied { step, host, vm: *vm });
    }
}

/// `min_on` and `keep N of`, where they held before.
fn numbers(before: &Snapshot, after: &Snapshot, found: &mut Vec<Violation>) {
    let usable = |picture: &Snapshot, host: &HostId| {
        picture.hosts.get(host.index()).is_some_and(|host| host.state == HostState::On)
    };
    let count = |picture: &Snapshot, hosts: &mut dyn Iterator<Item = HostId>| {
        u32::try_from(hosts.filter(|host| usable(picture, host)).count()).unwrap_or(u32::MAX)
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
