//! What is wanted now: the calendar's goal, unless a person said otherwise.

use crate::controller::Controller;
use crate::{Level, LogEvent, Now};
use dormouse_model::schedule::WindowGoal;
use dormouse_model::{Goal, HostState, Millis, PolicyName};

/// Without windows a host is expected to sleep for so long.
const HORIZON_OPEN_ENDED: Millis = Millis::from_mins(8 * 60);
/// Hosts are up this much before they have to be: looks, the first moves' start, clocks that differ.
const LEAD_MARGIN: Millis = Millis::from_secs(60);
const WAKE_SPAN_S: u64 = 10;
/// The calendar is asked this often, not at each event.
const CHECK_EVERY: Millis = Millis::from_secs(1);

impl Controller {
    pub(crate) fn goal_at(&self, now: Now) -> Goal {
        if self.normalise.is_some() {
            return Goal::Spread { wake_off: false };
        }
        let moment = self.cluster.schedule.at(now.wall);
        match (moment.window, moment.goal) {
            (Some(window), WindowGoal::Spread) => return Goal::Spread { wake_off: window.wake_all },
            (Some(_), WindowGoal::Hold) => return Goal::Hold,
            _ => {}
        }
        // Outside a spread window: compact, until it is time to be up for the next one.
        let closed_until = match (&moment.window, moment.until) {
            (Some(_), Some(until)) => Some(until),
            _ => None,
        };
        let opening = moment.next_opening.map(|opening| (opening.up_by, opening.window.wake_all));
        let lead = match self.cluster.policy.name {
            // The rule of the lab this project grew from: it begins at the minute itself.
            PolicyName::Seed => Millis::ZERO,
            PolicyName::Balanced => self.lead_time(),
        };
        let rest = |until: jiff::Timestamp, lead: Millis| {
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

    /// How long before up-by waking has to begin: the slowest boot of those that sleep, the stagger of wakes,
    /// and the moves home at the pace that was measured.
    fn lead_time(&self) -> Millis {
        let knobs = &self.cluster.policy.knobs;
        let asleep: Vec<_> = self
            .hosts
            .iter()
            .filter(|host| matches!(host.state, HostState::Asleep | HostState::Waking))
            .collect();
        if asleep.is_empty() {
            return LEAD_MARGIN;
        }
        let boot = asleep.iter().map(|host| host.usual_boot()).max().unwrap_or_default();
        let bursts = (asleep.len() as u64).div_ceil(u64::from(knobs.wakes_burst.max(1)));
        let (mut most, mut all) = (0_u64, 0_u64);
        for host in self.hosts.iter().filter(|host| host.state == HostState::On) {
            let vms: Vec<_> = self.vms.present_on(host.id).collect();
            let leaving = vms.len().saturating_sub(1) as u64;
            all += leaving;
            let each = self.move_mean.unwrap_or_else(|| {
                let mem = vms.iter().map(|vm| self.vms.record(*vm).spec.mem).max().unwrap_or_default();
                // Two at a time share the link, so each takes its bare time twice.
                Millis(mem.transfer_time(host.spec.link).0.saturating_mul(u64::from(knobs.moves_host_out)))
            });
            most = most.max(leaving.div_ceil(u64::from(knobs.moves_host_out.max(1))) * each.0);
        }
        if let Some(each) = self.move_mean.filter(|_| knobs.moves_all > 0) {
            most = most.max(all.div_ceil(u64::from(knobs.moves_all)) * each.0);
        }
        Millis(2 * boot.0 + bursts * WAKE_SPAN_S * 1000 + 2 * most) + LEAD_MARGIN
    }

    /// Takes in what the calendar says; a new goal ends the plan made for the old one.
    pub(crate) fn watch_goal(&mut self) -> Goal {
        let now = self.now;
        if let Some(goal) = self.goal.filter(|_| now.mono.since(self.goal_checked) < CHECK_EVERY) {
            return goal;
        }
        self.goal_checked = now.mono;
        if self.normalise.as_ref().is_some_and(|window| *window != self.window_name(now)) {
            self.normalise = None;
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
        let moment = self.cluster.schedule.at(now.wall);
        let inside = moment.window.is_some() && matches!(moment.goal, WindowGoal::Spread);
        let early = matches!(goal, Goal::Spread { .. }) && !inside && self.normalise.is_none();
        self.opening = moment.next_opening.map(|opening| opening.up_by).filter(|_| early);
        goal
    }

    pub(crate) fn window_name(&self, now: Now) -> Option<String> {
        self.cluster.schedule.at(now.wall).window.map(|window| window.name.clone())
    }
}
