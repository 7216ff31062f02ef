//! What is wanted now: the calendar's goal, unless a person said otherwise.

use crate::controller::Controller;
use crate::mutants::{self, Mutant};
use crate::{Level, LogEvent, Now};
use dormouse_model::schedule::{Schedule, WindowGoal};
use dormouse_model::{Circuit, Goal, HostState, Millis, PolicyName};
use jiff::{SignedDuration, Timestamp};

/// Without windows a host is expected to sleep for so long.
const HORIZON_OPEN_ENDED: Millis = Millis::from_mins(8 * 60);
/// Hosts are up this much before they have to be: looks, the first moves' start, clocks that differ.
const LEAD_MARGIN: Millis = Millis::from_secs(60);
const WAKE_SPAN_S: u64 = 10;
/// The calendar is asked this often, not at each event.
const CHECK_EVERY: Millis = Millis::from_secs(1);

/// The calendar is read again after so long at the latest.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

impl Controller {
    pub(crate) fn goal_at(&self, now: Now) -> Goal {
        if self.normalise.is_some() {
            return Goal::Spread { wake_off: false };
        }
        let season = self.season_at(now);
        match (&season.window, season.goal) {
            (Some(_), WindowGoal::Spread) if mutants::has(Mutant::SleepsWhenOpen) => {
                return Goal::Compact { horizon: HORIZON_OPEN_ENDED };
            }
            (Some(window), WindowGoal::Spread) => return Goal::Spread { wake_off: window.wake_all },
            (Some(_), WindowGoal::Hold) => return Goal::Hold,
            _ => {}
        }
        // Outside a spread window: compact, until it is time to be up for the next one.
        let closed_until = season.until.filter(|_| season.window.is_some());
        let opening = season.opening.filter(|_| !mutants::has(Mutant::WakesTooLate));
        let lead = match self.cluster.policy.name {
            // The rule of the lab this project grew from: it begins at the minute itself.
            PolicyName::Seed => Millis::ZERO,
            PolicyName::Balanced => self.lead_time(),
        };
        let rest = |until: Timestamp, lead: Millis| {
            let wall_ms = u64::try_from(until.as_millisecond() - now.wall.as_millisecond()).unwrap_or(0);
            Millis((wall_ms / u64::from(self.settings.calendar_rate.max(1))).saturating_sub(lead.0))
        };
        if let Some((up_by, wake_off)) = opening {
            let left = rest(up_by, lead);
            // Once begun it goes on: as hosts come up the lead gets shorter, and must not end what it began.
            if left == Millis::ZERO || self.opening == Some(up_by) {
                return Goal::Spread { wake_off };
            }
            let horizon = closed_until.map_or(left, |until| rest(until, Millis::ZERO).min(left));
            return Goal::Compact { horizon };
        }
        Goal::Compact { horizon: closed_until.map_or(HORIZON_OPEN_ENDED, |until| rest(until, Millis::ZERO)) }
    }

    /// How long before up-by waking has to begin: the slowest boot of those that sleep, one after the other where their
    /// circuit bears no more, and once more for good measure; the stagger of wakes; and the moves home at the pace that
    /// was measured.
    pub(crate) fn lead_time(&self) -> Millis {
        let knobs = &self.cluster.policy.knobs;
        let asleep =
            || self.hosts.iter().filter(|host| matches!(host.state, HostState::Asleep | HostState::Waking));
        let Some(boot) = asleep().map(crate::hosts::HostRecord::usual_boot).max() else { return LEAD_MARGIN };
        let bursts = (asleep().count() as u64).div_ceil(u64::from(knobs.wakes_burst.max(1)));
        let (mut most, mut all) = (0_u64, 0_u64);
        for host in self.hosts.iter().filter(|host| host.state == HostState::On) {
            let vms = || self.vms.present_on(host.id);
            let leaving = vms().count().saturating_sub(1) as u64;
            all += leaving;
            let each = self.move_mean.unwrap_or_else(|| {
                let mem = vms().map(|vm| self.vms.record(vm).spec.mem).max().unwrap_or_default();
                // Two at a time share the link, so each takes its bare time twice.
                Millis(mem.transfer_time(host.spec.link).0.saturating_mul(u64::from(knobs.moves_host_out)))
            });
            most = most.max(leaving.div_ceil(u64::from(knobs.moves_host_out.max(1))) * each.0);
        }
        if let Some(each) = self.move_mean.filter(|_| knobs.moves_all > 0) {
            most = most.max(all.div_ceil(u64::from(knobs.moves_all)) * each.0);
        }
        let in_turn = self.boots_in_turn();
        Millis((1 + in_turn) * boot.0 + bursts * WAKE_SPAN_S * 1000 + 2 * most)
            + Millis(LEAD_MARGIN.0 * in_turn)
    }

    /// How many of the hosts that sleep boot one after the other on the circuit that bears the fewest.
    fn boots_in_turn(&self) -> u64 {
        let asleep = |circuit: &Circuit| {
            let on_it = |host: &&crate::hosts::HostRecord| {
                matches!(host.state, HostState::Asleep | HostState::Waking)
                    && host.spec.circuit.as_ref() == Some(&circuit.name)
            };
            self.hosts.iter().filter(on_it).count() as u64
        };
        let turns =
            self.cluster.circuits.iter().map(|circuit| asleep(circuit).div_ceil(circuit.wakes.max(1).into()));
        turns.max().unwrap_or(1).max(1)
    }

    /// Takes in what the calendar says; a new goal ends the plan made for the old one.
    pub(crate) fn watch_goal(&mut self) -> Goal {
        let now = self.now;
        if let Some(goal) = self.goal.filter(|_| now.mono.since(self.goal_checked) < CHECK_EVERY) {
            return goal;
        }
        self.goal_checked = now.mono;
        if !self.season.as_ref().is_some_and(|season| season.holds(now.wall)) {
            self.season = Some(Season::at(&self.cluster.schedule, now.wall));
        }
        if self.normalise.as_ref().is_some_and(|window| *window != self.window_name(now)) {
            self.normalise = None;
            self.remember_manager();
        }
        let goal = self.goal_at(now);
        if self.goal.is_none_or(|was| was.as_str() != goal.as_str()) {
            let mut event = LogEvent::new(Level::Info, "goal").with("goal", goal.as_str());
            if let Goal::Compact { horizon } = goal {
                event = event.with("horizon", horizon);
            }
            self.tell(event);
            self.drop_run("goal");
            self.plan_due = now.mono;
        }
        self.goal = Some(goal);
        let season = self.season_at(now);
        let inside = season.window.is_some() && matches!(season.goal, WindowGoal::Spread);
        let early = matches!(goal, Goal::Spread { .. }) && !inside && self.normalise.is_none();
        self.opening = season.opening.map(|(up_by, _)| up_by).filter(|_| early);
        self.watch_opening();
        goal
    }

    pub(crate) fn window_name(&self, now: Now) -> Option<String> {
        self.season_at(now).window.map(|window| window.name)
    }

    fn season_at(&self, now: Now) -> Season {
        match &self.season {
            Some(season) if season.holds(now.wall) => season.clone(),
            _ => Season::at(&self.cluster.schedule, now.wall),
        }
    }
}

/// What the calendar says, and for how long it says so.
#[derive(Clone, Debug)]
pub(crate) struct Season {
    from: Timestamp,
    to: Timestamp,
    window: Option<SeasonWindow>,
    goal: WindowGoal,
    until: Option<Timestamp>,
    /// The up-by of the next opening, and whether it wakes hosts that others switched off.
    opening: Option<(Timestamp, bool)>,
}

#[derive(Clone, Debug)]
struct SeasonWindow {
    name: String,
    wake_all: bool,
}

impl Season {
    /// Nothing the calendar says changes before the window in force does; what lies further ahead than it looks may.
    fn at(schedule: &Schedule, now: Timestamp) -> Self {
        let moment = schedule.at(now);
        let look_again = now.checked_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX);
        Self {
            from: now,
            to: moment.until.map_or(look_again, |until| until.min(look_again)),
            window: moment
                .window
                .map(|window| SeasonWindow { name: window.name.clone(), wake_all: window.wake_all }),
            goal: moment.goal,
            until: moment.until,
            opening: moment.next_opening.map(|opening| (opening.up_by, opening.window.wake_all)),
        }
    }

    fn holds(&self, now: Timestamp) -> bool {
        (self.from..self.to).contains(&now)
    }
}
