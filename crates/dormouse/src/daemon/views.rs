//! The controller's picture as verbs show it.

use super::wire::{
    Answer, CalendarView, Code, Count, DoubleView, HostView, MovesView, NextView, PlanView, RunningView,
    StatusView, TallyView, TroubleView, View, VmView, WhyView, calendar_text,
};
use crate::verbs::plan::{AsOf, Exactly, Planned};
use dormouse_control::{Controller, Level, LogEvent, Now, Single};
use dormouse_driver::{EventRecord, Hypervisor};
use dormouse_model::schedule::Schedule;
use dormouse_model::text::did_you_mean;
use dormouse_model::{
    Action, Goal, Host, HostId, HostState, Intent, Obstacle, PlanId, Snapshot, Vm, VmId, VmState,
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

pub(super) fn status(controller: &Controller, moves: &dyn Hypervisor, now: Now) -> StatusView {
    let picture = controller.snapshot(now);
    let zone = &picture.cluster.schedule.zone;
    let (tally, goal) = (controller.tally(), controller.goal_now(now));
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: picture.cluster.name.clone(),
        mode: controller.automation().to_string(),
        epoch: controller.epoch().map(|epoch| epoch.0),
        store_trouble: None,
        standby: None,
        paused: controller.is_paused(),
        frozen: controller.is_frozen(),
        policy: picture.cluster.policy.name.to_string(),
        goal: goal.as_str().to_owned(),
        horizon_ms: if let Goal::Compact { horizon } = goal { Some(horizon.0) } else { None },
        time: local_time(now, &zone.to_string()),
        hosts: counts(picture.hosts.iter().map(|host| host.state.as_str())),
        hosts_on: picture.hosts_on(),
        vms: counts(picture.vms.iter().map(|vm| vm.state.as_str())),
        watts: picture.watts().0,
        watts_all_on: picture.watts_all_on().0,
        next: next(&picture.cluster.schedule, now),
        running: controller.in_flight().map(|intent| running(controller, intent, now)).collect(),
        trouble: picture.host_ids().filter_map(|id| trouble(controller, &picture, id)).collect(),
        doubles: doubles(controller),
        since_start: TallyView {
            moves: tally.moves,
            moves_failed: tally.moves_failed,
            wakes: tally.wakes,
            sleeps: tally.sleeps,
            plans: tally.plans,
        },
        moves: counts(
            picture.hosts.iter().filter_map(|host| Some(moves.carried_at(&host.spec)?.by.as_str())),
        ),
    }
}

/// The end of the window in force, or the next opening, whichever comes first.
fn next(schedule: &Schedule, now: Now) -> Option<NextView> {
    let local = |at: Timestamp| schedule.zone.rules().to_datetime(at);
    let words = |at: Timestamp, beside: Timestamp| {
        let near = local(at).date() == local(beside).date();
        local(at).strftime(if near { "%H:%M" } else { "%a %H:%M" }).to_string()
    };
    let view = |event: &str, window: &str, at: Timestamp, up_by: Option<Timestamp>| NextView {
        event: event.to_owned(),
        window: window.to_owned(),
        at: words(at, now.wall),
        in_ms: u64::try_from(at.duration_since(now.wall).as_millis()).unwrap_or(0),
        up_by: up_by.filter(|up_by| *up_by != at).map(|up_by| words(up_by, at)),
    };
    let moment = schedule.at(now.wall);
    let ends = moment.window.zip(moment.until);
    match (ends, moment.next_opening) {
        (Some((window, until)), opening) if opening.is_none_or(|opening| until <= opening.opens) => {
            Some(view("ends", &window.name, until, None))
        }
        (_, Some(opening)) => Some(view("opens", &opening.window.name, opening.opens, Some(opening.up_by))),
        _ => None,
    }
}

fn doubles(controller: &Controller) -> Vec<DoubleView> {
    let double = |(single, vms): (Single, Vec<VmId>)| DoubleView {
        kind: single.kind().to_owned(),
        what: single.to_string(),
        vms: vms.into_iter().map(|vm| controller.vm_name(vm).to_owned()).collect(),
    };
    controller.doubles().into_iter().map(double).collect()
}

/// By VM, in words.
fn doubles_by_vm(controller: &Controller) -> BTreeMap<VmId, Vec<String>> {
    let mut by_vm: BTreeMap<VmId, Vec<String>> = BTreeMap::new();
    for (single, vms) in controller.doubles() {
        let word = if single.kind() == "mac" { "MAC" } else { "disk" };
        for vm in &vms {
            let others = vms.iter().filter(|other| *other != vm).map(|other| controller.vm_name(*other));
            let others = others.collect::<Vec<_>>().join(", ");
            by_vm.entry(*vm).or_default().push(format!("{word} {single} as {others}"));
        }
    }
    by_vm
}

/// What managers that stand by are shown.
pub(super) fn all(
    controller: &Controller,
    moves: &dyn Hypervisor,
    now: Now,
    status: StatusView,
    at_ms: i64,
) -> View {
    View {
        at_ms,
        status,
        hosts: hosts(controller, moves, now),
        vms: vms(controller, now),
        plan: plan(controller, now).ok(),
    }
}

pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Box<Answer> {
    let answer = Answer::error(Code::Usage, format!("there is no {what} `{}`", name.escape_default()));
    let near = did_you_mean(name, known);
    let near = near.trim_start_matches("; ");
    Box::new(if near.is_empty() { answer } else { answer.hint(near) })
}

/// An event as the trail keeps it.
pub(super) fn trail(event: &LogEvent, at_ms: i64) -> EventRecord {
    let level = match event.level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Alarm => "alarm",
    };
    let fields = event.fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    EventRecord { seq: 0, at_ms, level: level.to_owned(), name: event.name.to_owned(), fields }
}

fn local_time(now: Now, zone: &str) -> String {
    now.wall
        .in_tz(zone)
        .map_or_else(|_| now.wall.to_string(), |time| time.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string())
}

fn counts<'a>(states: impl Iterator<Item = &'a str>) -> Vec<Count> {
    let mut counts = BTreeMap::new();
    for state in states {
        *counts.entry(state).or_insert(0) += 1;
    }
    counts.into_iter().map(|(state, count)| Count { state: state.to_owned(), count }).collect()
}

fn running(controller: &Controller, intent: &Intent, now: Now) -> RunningView {
    let name = |host: HostId| controller.host_name(host).to_owned();
    let (host, to) = match intent.action {
        Action::Migrate { from, to, .. } => (from, Some(to)),
        Action::Wake { host }
        | Action::Sleep { host }
        | Action::Fence { host }
        | Action::Start { host, .. }
        | Action::Stop { host, .. } => (host, None),
    };
    RunningView {
        intent: intent.id.0,
        kind: intent.action.kind().to_owned(),
        vm: intent.action.vm().map(|vm| controller.vm_name(vm).to_owned()),
        host: name(host),
        to: to.map(name),
        for_ms: now.mono.since(intent.written).0,
    }
}

fn trouble(controller: &Controller, picture: &Snapshot, id: HostId) -> Option<TroubleView> {
    let host = picture.host(id);
    if !matches!(host.state, HostState::Unusable | HostState::Unknown | HostState::SetAside) {
        return None;
    }
    let why = controller.last_look(id).1.map_or_else(|| host.state.to_string(), ToString::to_string);
    Some(TroubleView { host: host.spec.name.clone(), state: host.state.to_string(), why })
}

pub(super) fn hosts(controller: &Controller, moves: &dyn Hypervisor, now: Now) -> Vec<HostView> {
    let picture = controller.snapshot(now);
    picture.host_ids().map(|id| host(controller, moves, &picture, id)).collect()
}

fn host(controller: &Controller, moves: &dyn Hypervisor, picture: &Snapshot, id: HostId) -> HostView {
    let host = picture.host(id);
    let (seen, error) = controller.last_look(id);
    HostView {
        name: host.spec.name.clone(),
        state: host.state.to_string(),
        in_state_ms: host.in_state.0,
        address: host.spec.address.clone(),
        vms: picture.vms_on(id).map(|vm| picture.vm(vm).spec.name.clone()).collect(),
        mem_mib: host.spec.mem.0,
        mem_used_mib: picture.mem_used(id).0,
        cpus: host.spec.cpus,
        load15_permille: host.load15.known().map(|load| load.0),
        marks: marks(host, controller.is_fenced(id), controller.is_unlocked(id)),
        obstacles: host.obstacles.iter().map(obstacle).collect(),
        cycles_day: host.cycles_day,
        seen_ms: seen.map(|age| age.0),
        error: error.map(ToString::to_string),
        moves: moves.carried_at(&host.spec).map(|carried| MovesView {
            way: carried.by.as_str().to_owned(),
            words: carried.words,
            notes: carried.notes,
            mend: carried.mend,
            certificate_days: carried.days_left,
        }),
    }
}

fn marks(host: &Host, fenced: bool, unlocked: bool) -> Vec<String> {
    let flags = [
        ("maintenance", host.maintenance),
        ("drain", host.drain),
        ("hold", host.held.is_some()),
        ("keep-on", host.spec.keep_on),
        ("unproven", !host.proven),
        ("fenced", fenced),
        ("no-disk-lock", unlocked),
    ];
    let role = host.spec.role.map(|role| format!("role:{role}"));
    flags.into_iter().filter(|(_, set)| *set).map(|(mark, _)| mark.to_owned()).chain(role).collect()
}

fn obstacle(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::People { count, idle } => format!("{count} logged in, idle for {idle}"),
        Obstacle::Block(what) => what.clone(),
        Obstacle::Autostart { .. } => obstacle.to_string(),
        Obstacle::GuardRefused { left } => format!("its guard refused; asked again in {left}"),
        Obstacle::BackOff { left } => format!("a step failed there; again in {left}"),
    }
}

pub(super) fn vms(controller: &Controller, now: Now) -> Vec<VmView> {
    let picture = controller.snapshot(now);
    let mut doubles = doubles_by_vm(controller);
    let view = |id| vm(controller, &picture, id, doubles.remove(&id).unwrap_or_default());
    picture.vm_ids().map(view).collect()
}

fn vm(controller: &Controller, picture: &Snapshot, id: VmId, doubles: Vec<String>) -> VmView {
    let vm: &Vm = picture.vm(id);
    let name = |host: &HostId| picture.host(*host).spec.name.clone();
    let hosts = vm.state.hosts();
    let host = match &vm.state {
        VmState::Saved { at } => Some(name(at)),
        _ => hosts.first().map(name),
    };
    VmView {
        uuid: controller.vm_uuid(id).to_string(),
        name: vm.spec.name.clone(),
        state: vm.state.as_str().to_owned(),
        host,
        hosts: if hosts.len() > 1 { hosts.iter().map(name).collect() } else { vec![] },
        home: vm.spec.home.as_ref().map(name),
        mem_mib: vm.spec.mem.0,
        vcpus: vm.spec.vcpus,
        cpu_milli: vm.demand.wake.0,
        moves_hour: vm.moves_hour,
        moves_day: vm.moves_day,
        immovable: vm.immovable.as_ref().map(ToString::to_string),
        doubles,
        barred: vm.barred.iter().map(|barred| name(&barred.to)).collect(),
    }
}

fn planned(controller: &Controller, now: Now) -> Planned {
    let started = Instant::now();
    let (plan, report) = controller.plan_now(now);
    let took = started.elapsed();
    Planned {
        snapshot: controller.snapshot(now),
        plan,
        report,
        took,
        cut_short: None,
        exact: Exactly::default(),
        as_of: None,
    }
}

pub(super) fn plan(controller: &Controller, now: Now) -> Result<PlanView, String> {
    shown(&planned(controller, now))
}

fn shown(planned: &Planned) -> Result<PlanView, String> {
    let plan = planned.json().map_err(|error| error.to_string())?;
    Ok(PlanView { steps: planned.plan.steps.len(), text: planned.text(), plan })
}

/// The calendar in use.
pub(super) fn calendar(controller: &Controller, now: Now) -> CalendarView {
    let cluster = controller.cluster();
    CalendarView { text: calendar_text(&cluster.name, &cluster.schedule), now_ms: now.wall.as_millisecond() }
}

/// As [`plan`], with the goal that the calendar will set at that time; everything else as it is now.
pub(super) fn plan_at(controller: &Controller, now: Now, at_ms: i64) -> Result<PlanView, String> {
    let wall = Timestamp::from_millisecond(at_ms).map_err(|_| "there is no such time".to_owned())?;
    let picture = controller.snapshot(now);
    let schedule = &picture.cluster.schedule;
    let goal = crate::verbs::plan::goal_at(schedule, wall);
    let as_of = AsOf::new(schedule, wall, true);
    let started = Instant::now();
    let (plan, report) = dormouse_planner::plan(&picture, goal, PlanId(1));
    let took = started.elapsed();
    let exact = Exactly::default();
    let planned =
        Planned { snapshot: picture, plan, report, took, cut_short: None, exact, as_of: Some(as_of) };
    shown(&planned)
}

/// What keeps a host awake, or where a VM is.
pub(super) fn why(controller: &Controller, now: Now, name: &str) -> Answer {
    let planned = planned(controller, now);
    match crate::verbs::why::told(&planned, name) {
        Ok(told) if told.is_empty() => {
            let picture = &planned.snapshot;
            let hosts = picture.hosts.iter().map(|host| host.spec.name.as_str());
            *unknown("host or VM", name, hosts.chain(picture.vms.iter().map(|vm| vm.spec.name.as_str())))
        }
        Ok(told) => {
            let (text, why): (Vec<String>, Vec<Value>) = told.into_iter().unzip();
            Answer::data(&WhyView { text: text.join("\n"), why })
        }
        Err(error) => Answer::error(Code::Failed, error.to_string()),
    }
}

/// A refusal as people may read it: the checker names hosts and VMs by their places in our lists, and the step by its
/// number in a plan of one.
pub(super) fn by_name(picture: &Snapshot, why: &str) -> String {
    let mut rest = why.strip_prefix("s0: ").unwrap_or(why);
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('#') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let place = after[..digits].parse::<usize>().ok();
        // A name may hold the same signs, so a place that is none is left as it stands.
        let found = if before.ends_with("host") {
            place.and_then(|place| picture.hosts.get(place)).map(|host| ("host", host.spec.name.as_str()))
        } else if before.ends_with("vm") {
            place.and_then(|place| picture.vms.get(place)).map(|vm| ("vm", vm.spec.name.as_str()))
        } else {
            None
        };
        match found {
            Some((word, name)) => {
                out += &before[..before.len() - word.len()];
                out += name;
            }
            None => {
                out += before;
                out.push('#');
                out += &after[..digits];
            }
        }
        rest = &after[digits..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_refusal_names_hosts_and_vms() {
        let text = "host h[1-2] cpus=2 mem=2G\nvm web@h1 mem=1G\n";
        let picture = Snapshot::of(&Arc::new(dormouse_model::text::parse(text).expect("a cluster")));
        let read = |why| by_name(&picture, why);
        assert_eq!(read("s0: host#1 is asleep, not on"), "h2 is asleep, not on");
        assert_eq!(read("s0: pin, ban or fence keeps vm#0 off host#1"), "pin, ban or fence keeps web off h2");
        assert_eq!(read("host#9 and #1 vm# host"), "host#9 and #1 vm# host");
    }

    #[test]
    fn what_the_calendar_does_next() {
        let text =
            "cluster x zone=Europe/Rome\nhost a cpus=2 mem=2G\nwindow open mon-fri 08:00-20:00 up-by=30m\n";
        let cluster = dormouse_model::text::parse(text).expect("a cluster");
        let at = |wall: &str| {
            let now = Now { mono: dormouse_model::Mono::ZERO, wall: wall.parse().expect("a time") };
            let next = next(&cluster.schedule, now).expect("something");
            let up_by = next.up_by.map_or_else(String::new, |up_by| format!(", up by {up_by}"));
            format!("{} {} {}{up_by}, in {} min", next.window, next.event, next.at, next.in_ms / 60_000)
        };
        assert_eq!(at("2026-11-23T10:00:00Z"), "open ends 20:00, in 540 min");
        assert_eq!(at("2026-11-23T19:30:00Z"), "open opens Tue 08:00, up by 07:30, in 690 min");
        assert_eq!(at("2026-11-27T22:00:00Z"), "open opens Mon 08:00, up by 07:30, in 3420 min");
    }
}
