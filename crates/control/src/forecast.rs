//! What is expected of the hours to come, and what it changes: hosts are woken ahead of a rise, and none goes to sleep
//! just before one. A forecast only ever adds to what was seen; without one, or for an hour never seen, nothing changes.

use crate::controller::Controller;
use crate::demand::{HOURS, Hour};
use crate::vms::VmRecord;
use crate::{Effect, Level, LogEvent, Now};
use dormouse_model::{
    Demand, DemandBatch, Forecast, Goal, HostState, MilliCpu, Millis, Mono, Permille, RollUp, Vm,
};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

/// A rise further away decides nothing yet.
const HOURS_AHEAD: usize = 24;
/// It is a rise if so much more is expected than is needed now, and at least what one host is filled with.
const RISE: Permille = Permille(250);
const HOUR_S: i64 = 3600;
/// Every zone's hours begin at a quarter of ours.
const QUARTER_S: i64 = 900;
/// Closed roll-ups are handed to the store at most so many at once, and at the latest after one period.
const BATCH: usize = 256;

/// The hours ahead, by their place in the week; made anew every quarter of an hour.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    quarter: Option<i64>,
    local: Option<(jiff::civil::Date, i8)>,
    /// The present hour and those after it. `None`: a day that no week repeats.
    hours: Vec<Option<usize>>,
    /// When the present hour began, on the calendar's clock.
    began: i64,
    /// The rise that was told.
    told: Option<i64>,
}

impl Outlook {
    /// How far off, in calendar seconds, the hour begins that is so many after the present one.
    fn starts_in(&self, ahead: usize, now: Timestamp) -> i64 {
        let ahead = i64::try_from(ahead).unwrap_or(i64::MAX / HOUR_S);
        (self.began + ahead * HOUR_S - now.as_second()).max(0)
    }
}

impl Controller {
    /// Which hour it is; costs nothing until a quarter of an hour has passed.
    pub(crate) fn keep_hour(&mut self) {
        let now = self.now.wall;
        let quarter = now.as_second().div_euclid(QUARTER_S);
        if self.outlook.quarter == Some(quarter) {
            return;
        }
        let schedule = &self.cluster.schedule;
        let local: DateTime = schedule.zone.rules().to_datetime(now);
        let same = self.outlook.local == Some((local.date(), local.hour()));
        let number = self.vms.hour.number + u64::from(!same);
        self.vms.hour = Hour { number, of_week: schedule.hour_of_week(now) };
        self.outlook.quarter = Some(quarter);
        self.outlook.local = Some((local.date(), local.hour()));
        if self.forecasts() {
            let into = i64::from(local.minute()) * 60 + i64::from(local.second());
            self.outlook.began = now.as_second() - into;
            let at = |ahead: usize| {
                let ahead = SignedDuration::from_hours(i64::try_from(ahead).unwrap_or(0));
                now.checked_add(ahead).ok().and_then(|then| schedule.hour_of_week(then))
            };
            self.outlook.hours = (0..=HOURS_AHEAD).map(at).collect();
        }
    }

    pub(crate) fn forecasts(&self) -> bool {
        self.cluster.policy.knobs.forecast != Forecast::None
    }

    /// What was seen, raised to what is expected: for waking, within the time that waking takes; for sleeping, within the
    /// time that a sleep must last to be of use.
    pub(crate) fn with_forecast(&self, vm: &VmRecord, seen: Demand, ahead: &Ahead) -> Demand {
        let most = |hours: usize| {
            let hours = self.outlook.hours.iter().take(hours).flatten();
            hours.filter_map(|hour| vm.history.expected(*hour)).max().unwrap_or_default()
        };
        let limit = vm.spec.cpu_limit();
        Demand {
            sleep: seen.sleep.max(most(ahead.sleep).min(limit)),
            wake: seen.wake.max(most(ahead.wake).min(limit)),
        }
    }

    /// How many of the hours ahead count, the present one among them; none without a forecast.
    pub(crate) fn ahead(&self, now: Now) -> Ahead {
        if !self.forecasts() {
            return Ahead::default();
        }
        let knobs = &self.cluster.policy.knobs;
        let rate = i64::from(self.settings.calendar_rate.max(1));
        let within = |span: Millis| {
            let span = i64::try_from(span.as_secs()).unwrap_or(i64::MAX).saturating_mul(rate);
            (0..self.outlook.hours.len())
                .take_while(|ahead| self.outlook.starts_in(*ahead, now.wall) <= span)
                .count()
        };
        let lead = self.lead_time();
        Ahead { wake: within(lead), sleep: within(lead + knobs.scaled(knobs.min_up)) }
    }

    /// How long until the first hour in which clearly more is needed than now, less the time it takes to be up by then.
    fn rise(&self, vms: &[Vm]) -> Option<(i64, MilliCpu, MilliCpu)> {
        let knobs = &self.cluster.policy.knobs;
        let fill = |cpu: MilliCpu| cpu.0 * knobs.cpu_target.0 / 1000;
        let on = self.hosts.iter().filter(|host| host.state == HostState::On);
        let one_host = on.map(|host| fill(host.spec.cpu_capacity())).min()?;
        let running = || self.vms.records.iter().zip(vms).filter(|(_, vm)| !vm.state.hosts().is_empty());
        let now: u64 = running().map(|(_, vm)| vm.demand.sleep.0).sum();
        let least = now + one_host.max(now * RISE.0 / 1000);
        let later = self.outlook.hours.iter().enumerate().skip(1);
        later.filter_map(|(ahead, hour)| Some((ahead, (*hour)?))).find_map(|(ahead, hour)| {
            let expected = |(record, vm): (&VmRecord, &Vm)| {
                record
                    .history
                    .expected(hour)
                    .map_or(vm.demand.sleep.0, |cpu| cpu.min(record.spec.cpu_limit()).0)
            };
            let then: u64 = running().map(expected).sum();
            (then >= least)
                .then(|| (self.outlook.starts_in(ahead, self.now.wall), MilliCpu(now), MilliCpu(then)))
        })
    }

    /// What is put to sleep saves until the rise at most.
    pub(crate) fn goal_before_rise(&mut self, goal: Goal, vms: &[Vm]) -> Goal {
        let Goal::Compact { horizon } = goal else { return goal };
        let Some((in_s, now, then)) = self.forecasts().then(|| self.rise(vms)).flatten() else { return goal };
        let at = self.now.wall.as_second() + in_s;
        let known = self.outlook.told.is_some_and(|told| told.abs_diff(at) < HOUR_S.unsigned_abs());
        if !known {
            self.outlook.told = Some(at);
            let rise = LogEvent::new(Level::Info, "forecast.rise")
                .with("in", Millis::from_secs(in_s.unsigned_abs()));
            self.tell(rise.with("cpu", now).with("then", then));
        }
        let rate = u64::from(self.settings.calendar_rate.max(1));
        let left = Millis(in_s.unsigned_abs() * 1000 / rate).saturating_sub(self.lead_time());
        Goal::Compact { horizon: horizon.min(left) }
    }

    /// Hands closed roll-ups to the store, not one by one.
    pub(crate) fn keep_demand(&mut self) {
        let closed = &mut self.vms.closed;
        if closed.is_empty() {
            return;
        }
        let since = *self.vms.closed_since.get_or_insert(self.now.mono);
        if closed.len() < BATCH && self.now.mono.since(since) < self.settings.observe_every {
            return;
        }
        let now = self.now;
        let rate = self.settings.calendar_rate.max(1);
        let wall = |at: Mono| crate::hosts::wall(now, at, rate);
        let records = &self.vms.records;
        let rows = closed
            .drain(..closed.len().min(BATCH))
            .map(|(vm, closed)| closed.row(records[vm.index()].uuid, wall))
            .collect();
        if closed.is_empty() {
            self.vms.closed_since = None;
        }
        let from = |roll_up| {
            let reach = self.vms.spans.reach(roll_up) + self.vms.spans.hour;
            let reach_s = reach.as_secs().saturating_mul(u64::from(rate));
            now.wall.as_second().saturating_sub(i64::try_from(reach_s).unwrap_or(i64::MAX))
        };
        let batch = DemandBatch {
            rows,
            five_minutes_from: from(RollUp::FiveMinutes),
            hours_from: from(RollUp::Hour),
        };
        self.out.push(Effect::RememberDemand(batch));
    }
}

/// So many of the hours ahead count for waking, and for sleeping.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead {
    wake: usize,
    sleep: usize,
}

const _: () = assert!(HOURS_AHEAD < HOURS, "further ahead the week repeats itself");
