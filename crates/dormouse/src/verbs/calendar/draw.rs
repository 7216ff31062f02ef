//! The coming days as people look at them: a row a day, a bar of 48 half hours by the clock on the wall.

use super::days::{Day, Part};
use crate::cli::{safe, style};
use dormouse_model::schedule::{Schedule, WindowGoal};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;

/// Cells of a day: half hours.
const CELLS: usize = 48;
/// What is left of 80 columns beside the bar.
const WORDS: usize = 16;

/// What a cell is drawn with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    open: char,
    quiet: char,
    closed: char,
    up_by: char,
    cut: char,
}

pub(super) const UNICODE: Signs = Signs { open: '█', quiet: '▒', closed: '·', up_by: '▲', cut: '…' };
pub(super) const ASCII: Signs = Signs { open: '#', quiet: '~', closed: '.', up_by: '^', cut: '>' };

/// What a half hour is; where several things are, the greatest is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// The clock leaves it out that day.
    Skipped,
    Closed,
    UpBy,
    Quiet,
    Open,
}

pub(super) fn draw(schedule: &Schedule, days: &[Day<'_>], now: Timestamp, signs: Signs) -> String {
    let strong = style::STRONG;
    let mut out =
        format!("{strong}             0     3     6     9     12    15    18    21    24{strong:#}\n");
    for day in days {
        let today = if (day.start..day.end).contains(&now) { '>' } else { ' ' };
        let name = day.date.strftime("%a %m-%d");
        let line = format!("{today} {name}  {}  {}", bar(schedule, day, signs), words(schedule, day, signs));
        _ = writeln!(out, "{}", line.trim_end());
    }
    _ = writeln!(
        out,
        "\n  {} open   {} quiet: nothing is moved   {} closed: hosts may sleep   {} hosts up by",
        signs.open, signs.quiet, signs.closed, signs.up_by
    );
    let special = special(schedule, days);
    if !special.is_empty() {
        _ = write!(out, "\n{strong}Other than usual{strong:#}\n{special}");
    }
    _ = write!(out, "\n{}", next(schedule, now));
    out
}

fn bar(schedule: &Schedule, day: &Day<'_>, signs: Signs) -> String {
    const HALF_HOUR: SignedDuration = SignedDuration::from_mins(30);
    let mut cells = [Cell::Skipped; CELLS];
    let mut at = day.start;
    while at < day.end {
        let next = at.checked_add(HALF_HOUR).unwrap_or(day.end).min(day.end);
        let clock = schedule.zone.rules().to_datetime(at);
        let index = usize::from(clock.hour().unsigned_abs()) * 2 + usize::from(clock.minute() >= 30);
        let inside = |part: &&Part<'_>| part.start < next && part.end > at;
        let parts = day.parts.iter().filter(inside).map(|part| match part.goal() {
            WindowGoal::Spread => Cell::Open,
            WindowGoal::Hold => Cell::Quiet,
            WindowGoal::Compact => Cell::Closed,
        });
        let up_by = day.up_by.iter().any(|up_by| (at..next).contains(up_by)).then_some(Cell::UpBy);
        // An hour that comes twice is one cell.
        if let Some(cell) = parts.chain(up_by).max() {
            cells[index] = cells[index].max(cell);
        }
        at = next;
    }
    let sign = |cell: &Cell| match cell {
        Cell::Skipped => ' ',
        Cell::Closed => signs.closed,
        Cell::UpBy => signs.up_by,
        Cell::Quiet => signs.quiet,
        Cell::Open => signs.open,
    };
    cells.iter().map(sign).collect()
}

/// In the few columns beside the bar: what is special, or else the hours.
fn words(schedule: &Schedule, day: &Day<'_>, signs: Signs) -> String {
    let mut words: Vec<String> = vec![];
    if let Some(holiday) = day.holiday {
        words.push(holiday.why.clone().unwrap_or_else(|| "holiday".to_owned()));
    }
    let once = day.starts.iter().filter(|start| start.once);
    words.extend(once.map(|start| start.window.name.clone()));
    words.extend(hours_of_day(day));
    if words.is_empty() {
        let open =
            day.starts.iter().filter(|start| start.window.goal == WindowGoal::Spread).collect::<Vec<_>>();
        words.extend(open.iter().map(|start| hours(schedule, start.start, start.end)));
    }
    let words = words.join(", ");
    let words = safe(&words);
    if words.chars().count() <= WORDS {
        return words.into_owned();
    }
    words.chars().take(WORDS - 1).chain([signs.cut]).collect()
}

fn special(schedule: &Schedule, days: &[Day<'_>]) -> String {
    let mut out = String::new();
    for day in days {
        let mut words: Vec<String> = vec![];
        if let Some(holiday) = day.holiday {
            let name = holiday.why.clone().unwrap_or_else(|| "holiday".to_owned());
            words.push(match holiday.as_day {
                Some(as_day) => format!("{name}: as on a {as_day:?}"),
                None => format!("{name}: closed"),
            });
        }
        words.extend(day.starts.iter().filter(|start| start.once).map(|start| {
            let name = &start.window.name;
            format!("{name} {}, {}", hours(schedule, start.start, start.end), told(start.window.goal))
        }));
        words.extend(hours_of_day(day).map(|hours| match hours.as_str() {
            "0 h" => "the zone leaves this day out".to_owned(),
            hours => format!("the clocks change: a day of {hours}"),
        }));
        if !words.is_empty() {
            _ = writeln!(out, "  {}  {}", day.date.strftime("%a %Y-%m-%d"), safe(&words.join("; ")));
        }
    }
    out
}

/// `23 h`, where that is not what a day has.
fn hours_of_day(day: &Day<'_>) -> Option<String> {
    let minutes = day.end.duration_since(day.start).as_mins();
    match (minutes / 60, minutes % 60) {
        (24, 0) => None,
        (hours, 0) => Some(format!("{hours} h")),
        (hours, minutes) => Some(format!("{hours} h {minutes} min")),
    }
}

const fn told(goal: WindowGoal) -> &'static str {
    match goal {
        WindowGoal::Spread => "open",
        WindowGoal::Hold => "quiet",
        WindowGoal::Compact => "closed",
    }
}

fn hours(schedule: &Schedule, start: Timestamp, end: Timestamp) -> String {
    let clock = |at: Timestamp| schedule.zone.rules().to_datetime(at).strftime("%H:%M").to_string();
    format!("{}-{}", clock(start), clock(end))
}

/// What holds now, and what comes.
pub(super) fn next(schedule: &Schedule, now: Timestamp) -> String {
    let zone = schedule.zone.rules();
    let shown = |at: Timestamp| zone.to_datetime(at).strftime("%a %Y-%m-%d %H:%M").to_string();
    let moment = schedule.at(now);
    let name = |name: &str| safe(name).into_owned();
    let window = moment.window.map_or_else(|| "no window".to_owned(), |window| name(&window.name));
    let until = moment.until.map_or_else(String::new, |until| format!(" until {}", shown(until)));
    let mut out = format!("Now, {}: {} ({window}){until}.\n", shown(now), told(moment.goal));
    match moment.next_opening {
        Some(next) => {
            _ = write!(out, "Next opening: {}, {}", name(&next.window.name), shown(next.opens));
            if next.up_by < next.opens {
                _ = write!(out, ", hosts up by {}", zone.to_datetime(next.up_by).strftime("%H:%M"));
            }
            out += ".\nWaking begins before that, by as much as boots were measured to take.\n";
        }
        None => out += "No opening comes.\n",
    }
    out
}
