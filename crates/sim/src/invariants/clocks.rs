//! Moves end (I21), peace returns (I28), the calendar's clock may jump (I29), and one event has bounded effects (I30).

use dormouse_control::Level;
use dormouse_model::{Action, DomainState, HostState, Intent, IntentId, Millis, Mono};
use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Invariant, Scene};
use crate::note::Note;
use crate::world::FlowId;

/// I21: every move of ours is over some time after its deadline, if anybody could end it.
#[derive(Debug, Default)]
pub(super) struct MigrationsEnd {
    deadlines: BTreeMap<IntentId, Millis>,
    /// Since when somebody can end them.
    endable: BTreeMap<FlowId, Mono>,
    /// Only who leads may.
    leads_until: Mono,
}

/// Asking, aborting and noticing take this long.
const ABORT_SLACK: Millis = Millis::from_mins(3);

impl Invariant for MigrationsEnd {
    fn note(&mut self, note: &Note, _scene: &Scene<'_>, _found: &mut Found) {
        match note {
            Note::Acted(intent) if matches!(intent.action, Action::Migrate { .. }) => {
                self.deadlines.insert(intent.id, intent.deadline);
            }
            Note::ManagerUp { .. } | Note::Script { is_fault: true, .. } => self.endable.clear(),
            Note::Leased { until, .. } => self.leads_until = *until,
            _ => {}
        }
    }

    fn after(&mut self, scene: &Scene<'_>, found: &mut Found) {
        if scene.world.flows.is_empty() {
            return self.endable.clear();
        }
        for flow in &scene.world.flows {
            let Some(deadline) = flow.intent.and_then(|intent| self.deadlines.get(&intent)) else { continue };
            let source = scene.world.host(flow.from);
            let reachable = !source.faults.is_silent(scene.at)
                && !source.faults.is_frozen(scene.at)
                && !scene.world.abort_hangs(flow.vm);
            if !reachable || !scene.manager_up || self.leads_until <= scene.at {
                self.endable.remove(&flow.id);
                continue;
            }
            let since = *self.endable.entry(flow.id).or_insert(scene.at);
            if scene.at.since(since).0 > deadline.0 + ABORT_SLACK.0 {
                let name = &scene.world.vms[flow.vm].spec.name;
                found.add("I21", scene.at, format!("the move of {name} goes on after its deadline"));
            }
        }
    }
}

/// I28: when everything has been healed, nothing stays half done.
#[derive(Debug)]
pub(super) struct Converges {
    /// `None`: something is broken now.
    calm_since: Option<Mono>,
    since: Vec<Mono>,
    /// VMs that a person was told of.
    alarmed: BTreeSet<String>,
    /// VMs that are held by a move that is over, since when.
    held: BTreeMap<usize, Mono>,
    /// Of our moves: one that goes on has its time.
    deadlines: BTreeMap<IntentId, Millis>,
}

const T_CONV: Millis = Millis::from_mins(15);

impl Converges {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            calm_since: Some(Mono::ZERO),
            since: vec![Mono::ZERO; hosts],
            alarmed: BTreeSet::new(),
            held: BTreeMap::new(),
            deadlines: BTreeMap::new(),
        }
    }
}

impl Invariant for Converges {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, _found: &mut Found) {
        match note {
            Note::Acted(intent) if matches!(intent.action, Action::Migrate { .. }) => {
                self.deadlines.insert(intent.id, intent.deadline);
            }
            Note::Script { is_fault: true, .. } => self.calm_since = None,
            Note::Healed => self.calm_since = Some(scene.at),
            Note::ManagerUp { .. } => self.calm_since = self.calm_since.map(|_| scene.at),
            Note::Power { host, .. } => self.since[host.index()] = scene.at,
            Note::MoveEnded { from, to, .. } => {
                for host in [from, to] {
                    self.since[host.index()] = scene.at;
                }
            }
            Note::Told(event) if event.name == "host.state" => {
                if let Some(host) = event.field("host").and_then(|name| scene.cluster.host_named(name)) {
                    self.since[host.index()] = scene.at;
                }
            }
            Note::Told(event) if event.level == Level::Alarm => {
                self.alarmed.extend(event.field("vm").map(str::to_owned));
            }
            _ => {}
        }
    }

    fn after(&mut self, scene: &Scene<'_>, found: &mut Found) {
        for (place, vm) in scene.world.vms.iter().enumerate() {
            let held =
                vm.flow.is_none() && vm.copies.iter().any(|copy| copy.state == DomainState::PausedMigrating);
            if held {
                self.held.entry(place).or_insert(scene.at);
            } else if !self.held.is_empty() {
                self.held.remove(&place);
            }
        }
        let Some(calm) = self.calm_since.filter(|_| scene.manager_up) else { return };
        if scene.at.since(calm) <= T_CONV {
            return;
        }
        for (place, since) in &self.held {
            let name = &scene.world.vms[*place].spec.name;
            if scene.at.since(*since) > T_CONV && !self.alarmed.contains(name) {
                found.add("I28", scene.at, format!("{name} is still held by a move that is over"));
            }
        }
        for host in &scene.world.hosts {
            let state = scene.belief[host.id.index()];
            let unsettled = matches!(
                state,
                HostState::Draining
                    | HostState::Stopping
                    | HostState::Waking
                    | HostState::Unknown
                    | HostState::Unusable
            );
            let since = self.since[host.id.index()].max(calm);
            let moves = scene.world.flows.iter().any(|flow| {
                let deadline = flow.intent.and_then(|intent| self.deadlines.get(&intent));
                (flow.from == host.id || flow.to == host.id)
                    && deadline.is_some_and(|deadline| scene.at.since(since) <= *deadline + ABORT_SLACK)
            });
            if unsettled
                && !moves
                && scene.at.since(since) > T_CONV
                && host.is_healthy(scene.at)
                && !scene.ordered.contains(&host.id)
            {
                found.add("I28", scene.at, format!("{} is still {state}", host.spec.name));
            }
        }
    }
}

/// I29: a jump of the wall clock costs one idle cycle, and no more. What a person asked for has nothing to do with it.
#[derive(Debug, Default)]
pub(super) struct TwoClocks {
    jumped: Option<Mono>,
}

impl Invariant for TwoClocks {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        match note {
            Note::ClockJumped { by_ms } if by_ms.abs() > 60_000 => self.jumped = Some(scene.at),
            // Who was not there saw no jump.
            Note::ManagerUp { .. } => self.jumped = None,
            Note::Acted(Intent { id, action: Action::Sleep { host }, .. })
                if !scene.ordered.contains(host) =>
            {
                let idle = scene.settings.observe_every;
                if self.jumped.is_some_and(|jumped| scene.at.since(jumped) < idle) {
                    found.add("I29", scene.at, format!("i{} was carried out right after a clock jump", id.0));
                }
            }
            _ => {}
        }
    }
}

/// I30: one event makes a bounded number of effects, and the loop is never late by more than a period.
#[derive(Debug)]
pub(super) struct Bounded;

impl Invariant for Bounded {
    fn note(&mut self, note: &Note, scene: &Scene<'_>, found: &mut Found) {
        if let Note::Handled { effects, next_tick } = note {
            let most = 64 + 8 * (scene.world.hosts.len() + scene.world.vms.len());
            if *effects > most {
                found.add("I30", scene.at, format!("one event made {effects} effects"));
            }
            if next_tick.since(scene.at) > scene.settings.observe_every {
                found.add("I30", scene.at, "the next tick is more than a period away".to_owned());
            }
        }
    }
}
