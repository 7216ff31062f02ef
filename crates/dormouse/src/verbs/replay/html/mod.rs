//! A replay as one page of HTML that needs nothing beside it: no script, no font, no picture from elsewhere.
//!
//! It decides what is shown and how it is drawn, and computes nothing but sums over days. All that came from a file (names
//! of traces, policies, knobs, violations) goes through [`text`]; numbers are printed by [`number`] alone.

mod plot;
mod tables;
#[cfg(test)]
mod tests;
mod words;

use crate::cli::safe;
use dormouse_sim::replay::Day;
use std::fmt::{Display, Write as _};

/// Beyond two weeks nobody looks at single days, and the page would grow by 100 KB for each.
const PLOTTED_DAYS_MAX: usize = 14;

/// The page for these days, each a trace under a policy; they are grouped in the order in which they come.
pub(super) fn page(days: &[Day]) -> String {
    let replay = Replay::of(days);
    let title = format!("Replay of {} on {}", text(&replay.traces_in_short()), text(&replay.fleets()));
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // Should a name ever slip through, a browser still runs and loads nothing.
    out += "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";
    out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    out += "<meta name=\"color-scheme\" content=\"light dark\">\n";
    _ = writeln!(
        out,
        "<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>",
        include_str!("page.css")
    );
    _ = writeln!(out, "<h1>{title}</h1>");
    words::lead(&mut out, &replay);
    tables::summary(&mut out, &replay);
    tables::by_day(&mut out, &replay);
    for (at, trace) in replay.traces.iter().enumerate().take(PLOTTED_DAYS_MAX) {
        plot::day(&mut out, &replay, at, trace);
    }
    if let Some(more) = replay.traces.len().checked_sub(PLOTTED_DAYS_MAX).filter(|more| *more > 0) {
        _ = writeln!(out, "<p class=\"quiet\">{more} more days are in the tables and not drawn.</p>");
    }
    words::violations(&mut out, &replay);
    words::rules(&mut out, &replay);
    tables::knobs(&mut out, &replay);
    words::caveats(&mut out, &replay);
    out += "</main>\n</body>\n</html>\n";
    out
}

/// The days by trace and policy.
struct Replay<'a> {
    /// In the order of their first day.
    traces: Vec<&'a str>,
    policies: Vec<&'a str>,
    days: &'a [Day],
}

impl<'a> Replay<'a> {
    fn of(days: &'a [Day]) -> Self {
        let mut replay = Self { traces: vec![], policies: vec![], days };
        for day in days {
            let figures = &day.figures;
            if !replay.traces.contains(&figures.trace.as_str()) {
                replay.traces.push(&figures.trace);
            }
            if !replay.policies.contains(&figures.policy.as_str()) {
                replay.policies.push(&figures.policy);
            }
        }
        replay
    }

    fn day(&self, trace: &str, policy: &str) -> Option<&'a Day> {
        self.days.iter().find(|day| day.figures.trace == trace && day.figures.policy == policy)
    }

    fn of_policy(&self, policy: &str) -> impl Iterator<Item = &'a Day> {
        self.days.iter().filter(move |day| day.figures.policy == policy)
    }

    fn traces_in_short(&self) -> String {
        match self.traces[..] {
            [] => "nothing".to_owned(),
            [one] => one.to_owned(),
            [first, .., last] => format!("{} days, {first} to {last},", self.traces.len()),
        }
    }

    fn fleets(&self) -> String {
        let mut fleets: Vec<String> = vec![];
        for day in self.days {
            let fleet = format!("{} ({} hosts)", day.figures.fleet, number(f64::from(day.figures.hosts), 0));
            if !fleets.contains(&fleet) {
                fleets.push(fleet);
            }
        }
        fleets.join(" and ")
    }
}

/// Text that somebody else wrote, as text of the page.
fn text(raw: &str) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in safe(raw).chars() {
        match c {
            '&' => shown += "&amp;",
            '<' => shown += "&lt;",
            '>' => shown += "&gt;",
            '"' => shown += "&quot;",
            '\'' => shown += "&#39;",
            c => shown.push(c),
        }
    }
    shown
}

/// `1,234.5`. What is no number is shown as a dash.
fn number(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let shown = format!("{:.digits$}", value.abs());
    let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
    let negative = value < 0.0 && shown.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let mut out = if negative { "−".to_owned() } else { String::new() };
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        _ = write!(out, ".{fraction}");
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn count(value: u64) -> String {
    number(value as f64, 0)
}

fn percent(share: f64, digits: usize) -> String {
    number(share * 100.0, digits) + " %"
}

/// A tag with text in it that is HTML already.
fn tag(out: &mut String, name: &str, inside: impl Display) {
    _ = writeln!(out, "<{name}>{inside}</{name}>");
}
