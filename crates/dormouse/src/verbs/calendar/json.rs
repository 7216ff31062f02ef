//! The coming days for programs (docs/json.md).

use super::days::Day;
use dormouse_model::schedule::Schedule;
use jiff::Timestamp;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Document<'s> {
    zone: String,
    now: String,
    goal: &'static str,
    window: Option<&'s str>,
    /// `null`: nothing changes within 400 days.
    until: Option<String>,
    next_opening: Option<NextOpening<'s>>,
    days: Vec<DayView<'s>>,
}

#[derive(Debug, Serialize)]
struct NextOpening<'s> {
    window: &'s str,
    opens: String,
    up_by: String,
}

#[derive(Debug, Serialize)]
struct DayView<'s> {
    date: String,
    today: bool,
    /// 23 or 25 hours where the clocks change.
    minutes: i64,
    holiday: Option<HolidayView<'s>>,
    parts: Vec<PartView<'s>>,
    up_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct HolidayView<'s> {
    why: Option<&'s str>,
    /// The day of the week that it counts as; `null`: none, closed.
    #[serde(rename = "as")]
    as_day: Option<String>,
}

/// What is in force from `start` to `end`; no window: closed.
#[derive(Debug, Serialize)]
struct PartView<'s> {
    start: String,
    end: String,
    window: Option<&'s str>,
    goal: &'static str,
}

impl<'s> Document<'s> {
    pub(super) fn of(schedule: &'s Schedule, days: &[Day<'s>], now: Timestamp) -> Self {
        let rfc = |at: Timestamp| {
            at.to_zoned(schedule.zone.rules().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        };
        let day = |day: &Day<'s>| DayView {
            date: day.date.to_string(),
            today: (day.start..day.end).contains(&now),
            minutes: day.end.duration_since(day.start).as_mins(),
            holiday: day.holiday.map(|holiday| HolidayView {
                why: holiday.why.as_deref(),
                as_day: holiday.as_day.map(|day| format!("{day:?}").chars().take(3).collect()),
            }),
            parts: day
                .parts
                .iter()
                .map(|part| PartView {
                    start: rfc(part.start),
                    end: rfc(part.end),
                    window: part.window.map(|window| window.name.as_str()),
                    goal: part.goal().as_str(),
                })
                .collect(),
            up_by: day.up_by.iter().map(|at| rfc(*at)).collect(),
        };
        let moment = schedule.at(now);
        Self {
            zone: schedule.zone.to_string(),
            now: rfc(now),
            goal: moment.goal.as_str(),
            window: moment.window.map(|window| window.name.as_str()),
            until: moment.until.map(rfc),
            next_opening: moment.next_opening.map(|next| NextOpening {
                window: &next.window.name,
                opens: rfc(next.opens),
                up_by: rfc(next.up_by),
            }),
            days: days.iter().map(day).collect(),
        }
    }
}
