//! The lines of the calendar: window and holiday.

use super::error::{Span, TextError, quoted};
use super::lex::{Item, Line};
use super::parse::{Parser, plain_name};
use super::parts::{Known, Parts};
use super::value;
use crate::Millis;
use crate::schedule::{Days, Holiday, Schedule, Span as Hours, Window, WindowGoal};
use jiff::civil::{Date, Weekday};

pub(super) const WEEK: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// More spans than a week can hold with sense; the calendar looks at each of them.
const MOST_SPANS: usize = 500;
const MOST_HOLIDAYS: usize = 5_000;
/// Of all spans together, counted anew for each hours behind them.
const MOST_DATES: usize = 5_000;

impl Parser {
    pub(super) fn window_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let known = Known { keys: &["goal", "up-by"], flags: &["wake-all"] };
        let mut parts = Parts::of(line.word.span, &line.rest, known)?.no_at()?;
        let items = parts.names.split_off(parts.names.len().min(1));
        let name = plain_name(&parts, "window")?;
        if self.cluster.schedule.windows.iter().any(|window| window.name == name) {
            let error = parts.names[0].span.error(format!("window {} is already defined", quoted(&name)));
            return Err(error.hint("write all its spans on one line, with commas between them"));
        }
        let spans = hours(&items, parts.word)?;
        let total: usize = self.cluster.schedule.windows.iter().map(|window| window.spans.len()).sum();
        if total + spans.len() > MOST_SPANS {
            return Err(parts.word.error(format!("more than {MOST_SPANS} spans in this calendar")));
        }
        if dates(&self.cluster.schedule) + spans.iter().map(dates_of).sum::<usize>() > MOST_DATES {
            return Err(parts
                .word
                .error(format!("more than {MOST_DATES} dates in the spans of this calendar")));
        }
        let goal = parts
            .read("goal", "one of compact, spread, hold", WindowGoal::named)?
            .unwrap_or(WindowGoal::Spread);
        let up_by = parts.read("up-by", value::UP_BY, value::up_by)?;
        let wake_all = parts.flag("wake-all");
        if goal != WindowGoal::Spread && (up_by.is_some() || wake_all) {
            let error = parts.place("goal").error(format!("a window with `goal={goal}` wakes no host"));
            return Err(error.hint("`up-by=` and `wake-all` belong to `goal=spread`"));
        }
        let up_by = up_by.unwrap_or(Millis::ZERO);
        self.cluster.schedule.windows.push(Window { name, spans, goal, up_by, wake_all });
        Ok(())
    }

    pub(super) fn holiday_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let parts =
            Parts::of(line.word.span, &line.rest, Known { keys: &["as", "why"], flags: &[] })?.no_at()?;
        let as_day = parts.read("as", "a day of the week: Mon Tue Wed Thu Fri Sat Sun", day)?;
        let why = parts.one("why")?.map(|item| item.text.clone().into_owned());
        if parts.names.is_empty() {
            return Err(parts
                .word
                .error("this line names no date")
                .hint("like `2026-12-25, 2026-12-31..2027-01-06`"));
        }
        for item in &parts.names {
            let (from, to) = date_range(item)?;
            if self.cluster.schedule.holidays.len() == MOST_HOLIDAYS {
                return Err(item.span.error(format!("more than {MOST_HOLIDAYS} holidays in this calendar")));
            }
            self.cluster.schedule.holidays.push(Holiday { from, to, as_day, why: why.clone() });
        }
        Ok(())
    }
}

fn dates(schedule: &Schedule) -> usize {
    schedule.windows.iter().flat_map(|window| &window.spans).map(dates_of).sum()
}

fn dates_of(span: &Hours) -> usize {
    if let Days::Dates(dates) = &span.days { dates.len() } else { 0 }
}

/// `Mon-Fri 09:00-12:00 13:00-19:45, 2026-11-29 09:00-13:45`: hours belong to the days before them, or to every day.
fn hours(items: &[&Item<'_>], word: Span) -> Result<Vec<Hours>, TextError> {
    let mut spans: Vec<Hours> = vec![];
    let mut days: Option<Days> = None;
    let mut used = true;
    for item in items {
        if item.text.starts_with(|c: char| c.is_ascii_digit()) && !is_like_a_date(&item.text) {
            let (start, end) = clock_range(item)?;
            let days = days.clone().unwrap_or_else(|| Days::Week(WEEK.map(|(_, day)| day).to_vec()));
            spans.push(Hours { days, start, end });
            if spans.len() > MOST_SPANS || spans.iter().map(dates_of).sum::<usize>() > MOST_DATES {
                return Err(item
                    .span
                    .error(format!("more than {MOST_SPANS} spans or {MOST_DATES} dates in this window")));
            }
            used = true;
            continue;
        }
        if used {
            days = None;
            used = false;
        }
        if is_like_a_date(&item.text) {
            let range = date_range(item)?;
            match &mut days {
                None => days = Some(Days::Dates(vec![range])),
                Some(Days::Dates(dates)) => dates.push(range),
                Some(Days::Week(_)) => return Err(mixed(item)),
            }
        } else {
            let more = day_range(item)?;
            match &mut days {
                None => days = Some(Days::Week(more)),
                Some(Days::Week(days)) => {
                    let new: Vec<Weekday> = more.into_iter().filter(|day| !days.contains(day)).collect();
                    days.extend(new);
                }
                Some(Days::Dates(_)) => return Err(mixed(item)),
            }
        }
    }
    if !used {
        return Err(items
            .last()
            .map_or(word, |item| item.span)
            .error("days without hours")
            .hint("like `Mon-Fri 09:00-19:45`"));
    }
    if spans.is_empty() {
        return Err(word.error("this window has no span").hint("like `window open Mon-Fri 09:00-19:45`"));
    }
    Ok(spans)
}

fn mixed(item: &Item<'_>) -> TextError {
    item.span
        .error("days of the week and dates before the same hours")
        .hint("give each its own hours: `Sat 09:00-13:00, 2026-11-29 09:00-13:00`")
}

/// Hours have a `:` where a date has its year.
fn is_like_a_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 7 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-' && bytes[7] == b'-'
}

/// `2026-12-25`, or `2026-12-31..2027-01-06` with both ends included.
fn date_range(item: &Item<'_>) -> Result<(Date, Date), TextError> {
    let (from, to) = item.text.split_once("..").unwrap_or((&item.text, &item.text));
    let (Some(from), Some(to)) = (value::date(from), value::date(to)) else {
        let error = item.span.error(format!("{} is no date", quoted(&item.text)));
        return Err(error.hint("write 2026-12-25, or 2026-12-31..2027-01-06 with both ends included"));
    };
    if from > to {
        return Err(item.span.error(format!("{} runs backwards", quoted(&item.text))));
    }
    Ok((from, to))
}

fn clock_range(item: &Item<'_>) -> Result<(jiff::civil::Time, jiff::civil::Time), TextError> {
    let bad = || item.span.error(format!("{} is no span of hours", quoted(&item.text)));
    let (start, end) = item
        .text
        .split_once('-')
        .ok_or_else(|| bad().hint("write the start and the end, like `09:00-19:45`"))?;
    let read = |text: &str| {
        value::time(text).ok_or_else(|| {
            if text.starts_with("24:") {
                bad().hint("there is no hour 24: write `00:00`, which as an end is the midnight that ends the day")
            } else {
                bad().hint("hours are 00:00 to 23:59, like `09:00-19:45`; a span may cross midnight, like `22:00-06:00`")
            }
        })
    };
    Ok((read(start)?, read(end)?))
}

/// `Mon`, `Mon-Fri`, `Sat-Mon`.
fn day_range(item: &Item<'_>) -> Result<Vec<Weekday>, TextError> {
    let (from, to) = item.text.split_once('-').unwrap_or((&item.text, &item.text));
    let place = |text: &str| WEEK.iter().position(|(name, _)| name.eq_ignore_ascii_case(text));
    let (Some(from), Some(to)) = (place(from), place(to)) else {
        let error = item.span.error(format!("{} is neither a day nor hours", quoted(&item.text)));
        return Err(error.hint(
            "days are Mon Tue Wed Thu Fri Sat Sun, a range like Mon-Fri, or dates like 2026-11-29; hours are like 09:00-19:45",
        ));
    };
    let many = (to + 7 - from) % 7 + 1;
    Ok(WEEK.iter().cycle().skip(from).take(many).map(|(_, day)| *day).collect())
}

fn day(text: &str) -> Option<Weekday> {
    WEEK.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, day)| *day)
}
