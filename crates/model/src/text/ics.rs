//! Calendars of other programs (RFC 5545, `.ics`): which days and hours their events take, on the wall clock of one zone.
//!
//! Reads what calendars of holidays and exams are made of: events of whole days or of hours, once or every year. What it
//! does not read (other repetitions, exceptions, zones of no known name) is refused at its line and never guessed at: a day
//! that is missing here would be a lab that sleeps through an exam. Its authors are not trusted; everything is counted.

use super::error::{Span, TextError, quoted, reorders};
use crate::schedule::Zone;
use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// Holidays of a country for a century, and far more than a person enters.
pub const MOST_BYTES: usize = 4 << 20;
const MOST_EVENTS: usize = 5_000;
/// A longer event is neither opening nor holiday.
const MOST_DAYS: i32 = 400;
/// What is kept of a summary, in characters.
const SUMMARY: usize = 80;
/// Parts within parts; real calendars have three.
const DEEPEST: usize = 8;

/// One event, on the days or in the hours of one time that it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it begins in the text, from 1.
    pub line: u32,
    /// Harmless, on one line, and no longer than a name is.
    pub summary: Option<String>,
    pub when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Both ends included.
    Days { from: Date, to: Date },
    /// The end not included; later than the start on the clock.
    Hours { start: DateTime, end: DateTime },
}

/// The events that touch the dates from `from` to `until`, both included, in the order of the text. `zone` is where hours
/// are to be told.
///
/// # Errors
/// The first line that cannot be read, or that says something which is not read here.
pub fn parse(text: &str, zone: &Zone, from: Date, until: Date) -> Result<Vec<Event>, TextError> {
    let start = Span { line: 1, column: 1, width: 1 };
    if text.len() > MOST_BYTES {
        return Err(start.error(format!("this calendar is larger than {} MiB", MOST_BYTES >> 20)));
    }
    let mut reader = Reader { zone, from, until, inside: vec![], draft: None, events: vec![] };
    let mut begun = false;
    for line in lines(text)? {
        let opens = line.name == "BEGIN" && line.value.eq_ignore_ascii_case("VCALENDAR");
        if !(begun || opens) {
            return Err(line
                .place
                .error("a calendar begins with BEGIN:VCALENDAR")
                .hint("is this an `.ics` file? other programs export one as iCalendar"));
        }
        begun = true;
        reader.take(&line)?;
    }
    if let Some((name, place)) = reader.inside.pop() {
        return Err(place.error(format!("{} is not closed", quoted(&name))).hint("was the file cut off?"));
    }
    if begun { Ok(reader.events) } else { Err(start.error("there is no calendar in this file")) }
}

struct Reader<'z> {
    zone: &'z Zone,
    from: Date,
    until: Date,
    /// The parts that are open, the outermost first.
    inside: Vec<(String, Span)>,
    draft: Option<Draft>,
    events: Vec<Event>,
}

impl Reader<'_> {
    fn take(&mut self, line: &Line) -> Result<(), TextError> {
        let part = || line.value.trim().to_ascii_uppercase();
        match &*line.name {
            "BEGIN" => {
                if self.inside.len() == DEEPEST {
                    return Err(line.place.error("parts within parts, deeper than in any calendar"));
                }
                let part = part();
                if part == "VEVENT" {
                    if self.draft.is_some() {
                        return Err(line.place.error("an event within an event"));
                    }
                    self.draft = Some(Draft { place: line.place, ..Draft::default() });
                }
                self.inside.push((part, line.place));
            }
            "END" => match self.inside.pop() {
                Some((open, _)) if open == part() => {
                    if open == "VEVENT"
                        && let Some(draft) = self.draft.take()
                    {
                        self.finish(draft)?;
                    }
                }
                Some((open, _)) => {
                    return Err(line.place.error(format!("{} is to be closed here", quoted(&open))));
                }
                None => return Err(line.place.error("nothing is open here")),
            },
            // What stands in other parts (alarms, zones, tasks) says nothing of a day.
            _ => {
                if self.inside.last().is_some_and(|(part, _)| part == "VEVENT")
                    && let Some(draft) = &mut self.draft
                {
                    draft.take(line, self.zone)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, draft: Draft) -> Result<(), TextError> {
        if draft.cancelled {
            return Ok(());
        }
        let place = draft.place;
        let start = draft.start.ok_or_else(|| place.error("this event has no DTSTART"))?;
        let when = match (start, draft.end) {
            (Clock::Day(from), None) => When::Days { from, to: from },
            // RFC 5545: the end is the first day behind it.
            (Clock::Day(from), Some(Clock::Day(end))) => {
                let to = end.yesterday().unwrap_or(end).max(from);
                When::Days { from, to }
            }
            (Clock::Time(start), Some(Clock::Time(end))) if start < end => When::Hours { start, end },
            (Clock::Time(_), Some(Clock::Time(_))) => {
                return Err(place.error("this event ends before it begins"));
            }
            (Clock::Time(_), None) => {
                return Err(place
                    .error("this event has no DTEND")
                    .hint("hours need an end; DURATION is not read"));
            }
            _ => return Err(place.error("one end of this event is a day, the other a time of day")),
        };
        let (first, last) = dates(when);
        if first.until(last).map_or(true, |long| long.get_days() > MOST_DAYS) {
            return Err(place.error(format!("this event lasts longer than {MOST_DAYS} days")));
        }
        let Some(yearly) = draft.yearly else { return self.push(place, &draft.summary, when) };
        for number in 0..yearly.count.unwrap_or(u32::MAX) {
            // Counted in years from the first, so that February 29 is left out and not moved.
            let years = i64::from(yearly.every) * i64::from(number);
            let Some(shift) = i16::try_from(years).ok().filter(|years| *years < 10_000) else { break };
            let to_year = |date: Date| {
                let year = date.year().checked_add(shift).filter(|year| *year <= 9999)?;
                Some(Date::new(year, date.month(), date.day()).ok())
            };
            let Some(from) = to_year(first) else { break };
            let Some(from) = from else { continue };
            if from > self.until || yearly.until.is_some_and(|until| from > until) {
                break;
            }
            let moved = match when {
                When::Days { from: first, to } => {
                    let long = first.until(to).map_or(0, |long| long.get_days());
                    When::Days { from, to: from.checked_add(long.days()).unwrap_or(from) }
                }
                When::Hours { start, end } => {
                    let start_then = DateTime::from_parts(from, start.time());
                    let end_then = start_then.checked_add(start.duration_until(end)).unwrap_or(start_then);
                    When::Hours { start: start_then, end: end_then }
                }
            };
            self.push(place, &draft.summary, moved)?;
        }
        Ok(())
    }

    fn push(&mut self, place: Span, summary: &Option<String>, when: When) -> Result<(), TextError> {
        let (first, last) = dates(when);
        if last < self.from || first > self.until {
            return Ok(());
        }
        if self.events.len() == MOST_EVENTS {
            return Err(place.error(format!("more than {MOST_EVENTS} events to come in this calendar")));
        }
        self.events.push(Event { line: place.line, summary: summary.clone(), when });
        Ok(())
    }
}

fn dates(when: When) -> (Date, Date) {
    match when {
        When::Days { from, to } => (from, to),
        When::Hours { start, end } => (start.date(), end.date()),
    }
}

/// An event while it is read.
#[derive(Debug)]
struct Draft {
    place: Span,
    summary: Option<String>,
    start: Option<Clock>,
    end: Option<Clock>,
    yearly: Option<Yearly>,
    cancelled: bool,
}

impl Default for Draft {
    fn default() -> Self {
        let place = Span { line: 1, column: 1, width: 1 };
        Self { place, summary: None, start: None, end: None, yearly: None, cancelled: false }
    }
}

#[derive(Clone, Copy, Debug)]
enum Clock {
    Day(Date),
    Time(DateTime),
}

#[derive(Clone, Copy, Debug)]
struct Yearly {
    every: u16,
    count: Option<u32>,
    until: Option<Date>,
}

impl Draft {
    fn take(&mut self, line: &Line, zone: &Zone) -> Result<(), TextError> {
        let once = |seen: bool| {
            if seen { Err(line.place.error(format!("a second {} in one event", line.name))) } else { Ok(()) }
        };
        match &*line.name {
            "DTSTART" => {
                once(self.start.is_some())?;
                self.start = Some(line.clock(zone)?);
            }
            "DTEND" => {
                once(self.end.is_some())?;
                self.end = Some(line.clock(zone)?);
            }
            "SUMMARY" => self.summary = summary(&line.value),
            "STATUS" => self.cancelled = line.value.trim().eq_ignore_ascii_case("CANCELLED"),
            "RRULE" => {
                once(self.yearly.is_some())?;
                self.yearly = Some(line.yearly()?);
            }
            "RDATE" | "EXDATE" | "EXRULE" | "RECURRENCE-ID" => {
                return Err(line
                    .place
                    .error(format!("{} is not read: this event comes on days of its own", line.name))
                    .hint("export the single events, or take it out and enter its dates by hand"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A property: what several lines said that belong together.
#[derive(Debug)]
struct Line {
    name: String,
    params: Vec<(String, String)>,
    value: String,
    place: Span,
}

impl Line {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `20261225`, `20261129T080000`, the same with `Z`, and with `TZID=`.
    fn clock(&self, zone: &Zone) -> Result<Clock, TextError> {
        let bad = || {
            self.place
                .error(format!("{} is no day and no time", quoted(&self.value)))
                .hint("like 20261225, or 20261129T080000")
        };
        let value = self.value.trim();
        let (day, time) = match value.split_once('T') {
            None => return compact_date(value).map(Clock::Day).ok_or_else(bad),
            Some((day, time)) => (compact_date(day).ok_or_else(bad)?, time),
        };
        let (time, utc) = time.strip_suffix('Z').map_or((time, false), |time| (time, true));
        let shown = DateTime::from_parts(day, compact_time(time).ok_or_else(bad)?);
        let instant: Option<Timestamp> = if utc {
            TimeZone::UTC.to_timestamp(shown).ok()
        } else if let Some(name) = self.param("TZID") {
            let known = Zone::named(name).ok_or_else(|| {
                self.place
                    .error(format!("no time zone is called {}", quoted(name)))
                    .hint("names like Europe/Rome are known; export the calendar in UTC or with such a name")
            })?;
            known.rules().to_timestamp(shown).ok()
        } else {
            return Ok(Clock::Time(shown));
        };
        instant.map(|at| Clock::Time(zone.rules().to_datetime(at))).ok_or_else(bad)
    }

    /// `FREQ=YEARLY`, which is all that holidays need. What a rule adds must be what the start says already.
    fn yearly(&self) -> Result<Yearly, TextError> {
        let not_read = |part: &str| {
            self.place
                .error(format!("this repetition is not read: {}", quoted(part)))
                .hint("only FREQ=YEARLY is; hours of every week are a `window` line of the cluster text")
        };
        let mut rule = Yearly { every: 1, count: None, until: None };
        let mut freq = false;
        for part in self.value.trim().split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| not_read(part))?;
            match key.to_ascii_uppercase().as_str() {
                "FREQ" if value.eq_ignore_ascii_case("YEARLY") => freq = true,
                "INTERVAL" => {
                    rule.every = value
                        .parse()
                        .ok()
                        .filter(|every| (1..1000).contains(every))
                        .ok_or_else(|| not_read(part))?;
                }
                "COUNT" => {
                    rule.count =
                        Some(value.parse().ok().filter(|count| *count > 0).ok_or_else(|| not_read(part))?);
                }
                "UNTIL" => {
                    let day = value.get(..8).and_then(compact_date);
                    rule.until = Some(day.ok_or_else(|| not_read(part))?);
                }
                "WKST" => {}
                _ => return Err(not_read(part)),
            }
        }
        if freq { Ok(rule) } else { Err(not_read(self.value.trim())) }
    }
}

/// Lines that begin with a blank go on with the one before (RFC 5545, 3.1).
fn lines(text: &str) -> Result<Vec<Line>, TextError> {
    let mut whole: Vec<(u32, String)> = vec![];
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        match (line.strip_prefix([' ', '\t']), whole.last_mut()) {
            (Some(more), Some((_, before))) => before.push_str(more),
            _ if line.trim().is_empty() => {}
            _ => whole.push((number, line.to_owned())),
        }
    }
    whole.into_iter().map(|(number, line)| property(number, &line)).collect()
}

/// `NAME;PARAM=value;PARAM="value":value`.
fn property(number: u32, line: &str) -> Result<Line, TextError> {
    let mut quotes = false;
    let colon = line.char_indices().find(|(_, c)| {
        quotes ^= *c == '"';
        *c == ':' && !quotes
    });
    let width = line.find([';', ':']).unwrap_or(line.len()).clamp(1, 40);
    let place = Span { line: number, column: 1, width: u32::try_from(width).unwrap_or(1) };
    let Some((colon, _)) = colon else {
        return Err(place
            .error("this line has no `:`")
            .hint("a line is NAME:value; what goes on from the line before begins with a blank"));
    };
    let (head, value) = (&line[..colon], &line[colon + 1..]);
    let mut parts = head.split(';');
    let name = parts.next().unwrap_or_default().trim().to_ascii_uppercase();
    let params = parts.filter_map(|part| part.split_once('='));
    let params = params.map(|(key, value)| (key.to_ascii_uppercase(), value.trim_matches('"').to_owned()));
    Ok(Line { name, params: params.collect(), value: value.to_owned(), place })
}

/// `20261225`.
fn compact_date(text: &str) -> Option<Date> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(())?;
    Date::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?).ok()
}

/// `080000`, or `0800`. A leap second is the last one of its minute.
fn compact_time(text: &str) -> Option<Time> {
    let digits = matches!(text.len(), 4 | 6) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(())?;
    let second: i8 = text.get(4..6).map_or(Some(0), |second| second.parse().ok())?;
    Time::new(text[..2].parse().ok()?, text[2..4].parse().ok()?, if second == 60 { 59 } else { second }, 0)
        .ok()
}

/// Escapes undone, on one line, nothing in it that a terminal obeys.
fn summary(value: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') | None => text.push(' '),
                Some(other) => text.push(other),
            },
            c => text.push(c),
        }
    }
    let text: String = text.chars().map(|c| if c.is_control() || reorders(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(SUMMARY).collect();
    (!text.is_empty()).then_some(text)
}
