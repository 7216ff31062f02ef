//! Changing the calendar's lines of a cluster text, which a person also edits: what is not asked for stays as it stands, with its
//! comments. Text in, text out; whether the new one holds together is for the parser to say.

use crate::cli::{Failure, safe};
use crate::daemon::wire::calendar_text;
use dormouse_model::schedule::{Days, Holiday, Schedule, Window};
use dormouse_model::{Cluster, text};
use jiff::civil::Date;

/// A calendar line of the text.
pub(super) struct Entry {
    /// From 1.
    pub(super) line: usize,
    pub(super) what: What,
}

pub(super) enum What {
    Window(Window),
    Holidays(Vec<Holiday>),
}

/// Each line that is a window or holidays, read by itself: neither speaks of any other line.
pub(super) fn entries(source: &str) -> Vec<Entry> {
    let read = |(index, line): (usize, &str)| {
        let word = line.split_whitespace().next()?;
        if !matches!(word.trim_start_matches('\u{feff}'), "window" | "holiday") {
            return None;
        }
        let Cluster { schedule, .. } = text::parse(line).ok()?;
        let what = match <[Window; 1]>::try_from(schedule.windows) {
            Ok([window]) => What::Window(window),
            Err(_) => What::Holidays(schedule.holidays),
        };
        Some(Entry { line: index + 1, what })
    };
    source.lines().enumerate().filter_map(read).collect()
}

/// With the lines below the last one of the calendar: the later line wins.
pub(super) fn with_lines(source: &str, lines: &[String]) -> String {
    let all: Vec<&str> = source.lines().collect();
    let at = entries(source).last().map_or(all.len(), |last| last.line);
    let mut out: Vec<&str> = all[..at].to_vec();
    out.extend(lines.iter().map(String::as_str));
    out.extend(&all[at..]);
    out.join("\n") + "\n"
}

/// What is taken out of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) line: usize,
    pub(super) was: String,
    /// What stands there now, if anything.
    pub(super) now: Option<String>,
}

/// Without the window of this name.
pub(super) fn without_window(source: &str, name: &str) -> Option<(String, Vec<Taken>)> {
    let found = entries(source)
        .into_iter()
        .find(|entry| matches!(&entry.what, What::Window(window) if window.name == name))?;
    Some(rewritten(source, vec![(found.line, None)]))
}

/// Without what is written for this date: holidays, and spans that name it. Weekly hours stay.
pub(super) fn without_date(source: &str, date: Date) -> Option<(String, Vec<Taken>)> {
    let mut changes = vec![];
    for entry in entries(source) {
        let line = source.lines().nth(entry.line - 1).unwrap_or_default();
        let kept = match entry.what {
            What::Holidays(holidays) => {
                if !holidays.iter().any(|holiday| (holiday.from..=holiday.to).contains(&date)) {
                    continue;
                }
                let rest = holidays.iter().flat_map(|holiday| {
                    let parts = without(&[(holiday.from, holiday.to)], date);
                    parts.into_iter().map(|(from, to)| Holiday { from, to, ..holiday.clone() })
                });
                let rest: Vec<Holiday> = rest.collect();
                (!rest.is_empty()).then(|| printed(vec![], rest))
            }
            What::Window(mut window) => {
                let mut names_it = false;
                for span in &mut window.spans {
                    if let Days::Dates(dates) = &mut span.days
                        && dates.iter().any(|(from, to)| (*from..=*to).contains(&date))
                    {
                        names_it = true;
                        *dates = without(dates, date);
                    }
                }
                if !names_it {
                    continue;
                }
                window.spans.retain(|span| !matches!(&span.days, Days::Dates(dates) if dates.is_empty()));
                (!window.spans.is_empty()).then(|| printed(vec![window], vec![]))
            }
        };
        changes.push((entry.line, kept.map(|kept| kept + comment(line))));
    }
    (!changes.is_empty()).then(|| rewritten(source, changes))
}

/// The one line of the calendar that says this.
fn printed(windows: Vec<Window>, holidays: Vec<Holiday>) -> String {
    let schedule = Schedule { windows, holidays, ..Schedule::default() };
    let text = calendar_text("x", &schedule);
    text.trim_end().lines().last().unwrap_or_default().to_owned()
}

/// The ranges without one date.
fn without(ranges: &[(Date, Date)], date: Date) -> Vec<(Date, Date)> {
    let cut = |(from, to): &(Date, Date)| {
        if !(*from..=*to).contains(&date) {
            return vec![(*from, *to)];
        }
        let before = date.yesterday().ok().filter(|_| *from < date).map(|end| (*from, end));
        let behind = date.tomorrow().ok().filter(|_| date < *to).map(|start| (start, *to));
        before.into_iter().chain(behind).collect()
    };
    ranges.iter().flat_map(cut).collect()
}

fn rewritten(source: &str, changes: Vec<(usize, Option<String>)>) -> (String, Vec<Taken>) {
    let mut lines: Vec<Option<String>> = source.lines().map(|line| Some(line.to_owned())).collect();
    let mut taken = vec![];
    for (line, now) in changes {
        let was = lines[line - 1].take().unwrap_or_default();
        lines[line - 1].clone_from(&now);
        taken.push(Taken { line, was, now });
    }
    let new: Vec<String> = lines.into_iter().flatten().collect();
    (new.join("\n") + "\n", taken)
}

/// The comment at the end of a line, with the blanks before it.
fn comment(line: &str) -> &str {
    let (mut quoted, mut escaped, mut before) = (false, false, ' ');
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted && before.is_whitespace() => {
                let blanks = line[..at].trim_end().len();
                return &line[blanks..];
            }
            _ => {}
        }
        before = c;
    }
    ""
}

/// The text as it would be, or why it does not hold together.
pub(super) fn checked(new: &str) -> Result<Cluster, Failure> {
    text::parse(new).map_err(|error| {
        let failure = Failure::usage("the calendar would not hold together with it")
            .because_of(safe(error.render("the new text", new).trim_end()).replace("\\n", "\n"));
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const TEXT: &str = "\
# ours
window open Mon-Fri 09:00-18:00 # term
window exam 2026-11-29 08:00-14:00, 2026-12-06..2026-12-08 09:00-10:00 goal=spread up-by=-30m  # \"maths\"
holiday 2026-12-07, 2026-12-31..2027-01-02 why=\"a # \\\" b\"   # closed
policy balanced
";

    #[test]
    fn what_is_taken_back_leaves_the_rest_and_its_comments() {
        let without = |day| without_date(TEXT, date(2026, 12, day)).map(|(text, _)| text);
        let seventh = without(7).expect("named");
        assert_eq!(
            seventh,
            "\
# ours
window open Mon-Fri 09:00-18:00 # term
window exam 2026-11-29 08:00-14:00, 2026-12-06,2026-12-08 09:00-10:00 goal=spread up-by=-30m  # \"maths\"
holiday 2026-12-31..2027-01-02 why=\"a # \\\" b\"   # closed
policy balanced
"
        );
        assert!(without(31).expect("named").contains("holiday 2026-12-07, 2027-01-01..2027-01-02 why="));
        assert_eq!(without(9), None);
        // The whole line, where nothing else is on it.
        let (text, taken) =
            without_date("holiday 2026-12-07 # x\npolicy balanced\n", date(2026, 12, 7)).expect("named");
        assert_eq!((text.as_str(), taken[0].now.as_ref()), ("policy balanced\n", None));
        let (text, _) = without_window(TEXT, "open").expect("named");
        assert!(!text.contains("term") && text.contains("exam"), "{text}");
        assert!(without_window(TEXT, "opne").is_none());
    }

    #[test]
    fn a_line_that_comes_and_goes_leaves_the_text_as_it_was() {
        for line in
            ["window once 2030-01-01 08:00-09:00", "holiday 2030-01-01", "holiday 2030-01-01 why=\"#\""]
        {
            let with = with_lines(TEXT, &[line.to_owned()]);
            assert_eq!(with.lines().nth(4), Some(line), "below the last line of the calendar");
            let (without, taken) = without_date(&with, date(2030, 1, 1)).expect("it is there");
            assert_eq!(without, TEXT);
            assert_eq!(taken, [Taken { line: 5, was: line.to_owned(), now: None }]);
        }
    }
}
