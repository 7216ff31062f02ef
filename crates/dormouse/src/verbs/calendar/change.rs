//! `dormouse calendar open`, `quiet`, `close`, `import`, `remove`: the calendar's lines of the cluster text, and the running daemon
//! told of them. Nothing is written that contradicts what stands there, and nothing that the parser would refuse.

use super::edit::{self, Taken, What};
use crate::cli::{Ctx, Exit, Failure, counted, safe};
use crate::verbs::when;
use crate::verbs_live::inventory;
use dormouse_model::schedule::{Holiday, Schedule, WindowGoal};
use dormouse_model::text::{self, did_you_mean, ics};
use dormouse_model::{Cluster, Millis};
use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan as _};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// A cluster text instead of the one that the settings name; no daemon is told
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// Say what would be written, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    /// Day and hours, like `Sun 8:00-14:00`, `tomorrow 22:00-02:00`, `2026-11-29 8:00-14:00`, `2026-12-01..2026-12-04 9:00-20:00`
    #[arg(value_name = "WHEN", required = true)]
    when: Vec<String>,

    /// What it is, like exam
    #[arg(long, value_name = "NAME")]
    why: Option<String>,

    /// How long before it hosts should be up; as before other openings unless given
    #[arg(long, value_name = "SPAN", value_parser = crate::verbs_live::span)]
    up_by: Option<Millis>,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct QuietArgs {
    /// Day and hours, like `Wed 12:00-13:00`; nothing is moved or switched then
    #[arg(value_name = "WHEN", required = true)]
    when: Vec<String>,

    /// What it is, like backup
    #[arg(long, value_name = "NAME")]
    why: Option<String>,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CloseArgs {
    /// Dates, like 2026-12-25, 2026-12-31..2027-01-06, tomorrow, Mon
    #[arg(value_name = "DATE", required = true)]
    dates: Vec<String>,

    /// What it is called, like Christmas
    #[arg(long, visible_alias = "why", value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// A calendar of another program (.ics); `-` reads it from stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What its events are: whole days become holidays; hours become openings or quiet times
    #[arg(long = "as", value_enum, value_name = "WHAT", default_value_t = As::Holidays)]
    kind: As,

    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum As {
    Holidays,
    Openings,
    Quiet,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The name of a window, or a date whose holiday, opening or quiet time is taken back
    #[arg(value_name = "NAME|DATE")]
    what: String,

    #[command(flatten)]
    common: Common,
}

/// The text that is changed, and what it says.
struct Book {
    path: PathBuf,
    /// The daemon's own text.
    live: bool,
    source: String,
    schedule: Schedule,
    today: Date,
}

impl Book {
    fn open(common: &Common, ctx: &Ctx) -> Result<Self, Failure> {
        let (path, live) = match &common.cluster {
            Some(path) => (path.clone(), false),
            None => (crate::verbs::input::settings(ctx)?.config.cluster, true),
        };
        if !path.exists() {
            return Err(Failure::new(format!("there is no cluster text `{}`", path.display()))
                .hint("`dormouse host add` writes one; --cluster FILE names another"));
        }
        let (source, cluster) = inventory::read(&path)?;
        let schedule = cluster.schedule;
        let today = schedule.zone.rules().to_datetime(crate::verbs::input::now()).date();
        Ok(Self { path, live, source, schedule, today })
    }

    /// `FILE:LINE`, where something stands already.
    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    fn day(&self, said: &str) -> Result<Date, Failure> {
        when::day(said, self.today)
            .ok_or_else(|| Failure::usage(format!("`{}` is no day", safe(said))).hint(when::DAYS))
    }

    /// `2026-12-31..2027-01-06`, or one day.
    fn range(&self, said: &str) -> Result<(Date, Date), Failure> {
        let (from, to) = said.split_once("..").unwrap_or((said, said));
        let (from, to) = (self.day(from)?, self.day(to)?);
        if from > to {
            return Err(Failure::usage(format!("{from}..{to} runs backwards")));
        }
        if to < self.today {
            let failure = Failure::usage(format!("{} is over", shown(from, to)));
            return Err(failure.hint(format!("today is {}", self.today)));
        }
        Ok((from, to))
    }

    fn new_lines(&self, common: &Common, ctx: &Ctx, lines: &[String]) -> Result<(), Failure> {
        let new = edit::with_lines(&self.source, lines);
        edit::checked(&new)?;
        for line in lines {
            ctx.print(&format!("+ {}\n", safe(line)))?;
        }
        self.write(common, ctx, &new)
    }

    fn taken(&self, common: &Common, ctx: &Ctx, new: &str, taken: &[Taken]) -> Result<(), Failure> {
        edit::checked(new)?;
        for Taken { was, now, .. } in taken {
            ctx.print(&format!("- {}\n", safe(was.trim_end())))?;
            if let Some(now) = now {
                ctx.print(&format!("+ {}\n", safe(now)))?;
            }
        }
        self.write(common, ctx, new)
    }

    fn write(&self, common: &Common, ctx: &Ctx, new: &str) -> Result<(), Failure> {
        if common.dry_run {
            return ctx.print("Nothing was written.\n");
        }
        let expected = edit::checked(new)?;
        inventory::replace(&self.path, new)?;
        ctx.print(&format!("Written to {}.\n", safe(&self.path.display().to_string())))?;
        if self.live { super::told::tell(ctx, &expected) } else { Ok(()) }
    }
}

pub(crate) fn open(args: &OpenArgs, ctx: &Ctx) -> Result<(), Failure> {
    let book = Book::open(&args.common, ctx)?;
    // As before the other openings; the longest is the safest.
    let usual = book.schedule.windows.iter().filter(|window| window.goal == WindowGoal::Spread);
    let usual = usual.map(|window| window.up_by).max().unwrap_or(Millis::ZERO);
    let up_by = args.up_by.unwrap_or(usual);
    let mut rest = " goal=spread".to_owned();
    if up_by > Millis::ZERO {
        rest += &format!(" up-by=-{}", text::duration_text(up_by));
    }
    let line = window_line(&book, &args.when, args.why.as_deref(), "opening", WindowGoal::Spread, &rest)?;
    book.new_lines(&args.common, ctx, &[line])
}

pub(crate) fn quiet(args: &QuietArgs, ctx: &Ctx) -> Result<(), Failure> {
    let book = Book::open(&args.common, ctx)?;
    let line = window_line(&book, &args.when, args.why.as_deref(), "quiet", WindowGoal::Hold, " goal=hold")?;
    book.new_lines(&args.common, ctx, &[line])
}

fn window_line(
    book: &Book,
    said: &[String],
    why: Option<&str>,
    kind: &str,
    goal: WindowGoal,
    rest: &str,
) -> Result<String, Failure> {
    let words: Vec<&str> = said.iter().flat_map(|word| word.split_whitespace()).collect();
    let [day, hours] = words[..] else {
        return Err(Failure::usage(format!("`{}` is no day with its hours", safe(&words.join(" "))))
            .hint("like `Sun 8:00-14:00`, `tomorrow 22:00-02:00` or `2026-11-29 8:00-14:00`"));
    };
    let (from, to) = book.range(day)?;
    let name = free_name(book, &why.map_or_else(|| format!("{kind}-{from}"), plain), from)?;
    let line = format!("window {name} {} {hours}{rest}", shown(from, to));
    // By itself first: a mistake in the hours is one of what was typed.
    let alone = text::parse(&line).map_err(|error| {
        let failure =
            Failure::usage(format!("`{}` cannot be read", safe(&words.join(" ")))).because_of(error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    refuse_contradictions(book, &alone, (from, to), goal)?;
    Ok(line)
}

/// An opening that is over or open anyway, and hours that another line for these dates already gives away.
fn refuse_contradictions(
    book: &Book,
    alone: &Cluster,
    (from, to): (Date, Date),
    goal: WindowGoal,
) -> Result<(), Failure> {
    let zone = &book.schedule.zone;
    let new = Schedule { zone: zone.clone(), ..alone.schedule.clone() };
    let start = zone.rules().to_timestamp(from.at(0, 0, 0, 0)).unwrap_or(Timestamp::MIN);
    let days = u32::try_from(from.until(to).map_or(0, |span| span.get_days())).unwrap_or(0).min(400) + 1;
    let now = crate::verbs::input::now();
    let comes: Vec<_> = new.occurrences(start, days).into_iter().filter(|o| o.end > now).collect();
    if comes.is_empty() {
        return Err(Failure::usage("these hours are over")
            .hint("a day of the week is the next such day, today included"));
    }
    let old = book.schedule.occurrences(start, days + 1);
    let entries = edit::entries(&book.source);
    for new in &comes {
        // What is in force later in the text wins; look from the last line up.
        for was in old.iter().rev() {
            let window = &book.schedule.windows[was.window];
            let place = entries
                .iter()
                .find(|entry| matches!(&entry.what, What::Window(known) if known.name == window.name));
            let place = place.map_or_else(String::new, |entry| book.place(entry.line));
            if window.goal == goal && was.start <= new.start && new.end <= was.end {
                return Err(Failure::with_exit(
                    Exit::Nothing,
                    format!("it is so already, by window {}", safe(&window.name)),
                )
                .because_of(place));
            }
            let once = window.spans.iter().any(|span| span.starts_on(from, None));
            if once && window.goal != goal && was.start < new.end && new.start < was.end {
                return Err(Failure::usage(format!(
                    "it contradicts window {}, which is {} in these hours",
                    safe(&window.name),
                    window.goal
                ))
                .because_of(place)
                .hint(format!("dormouse calendar remove {}", window.name)));
            }
        }
    }
    Ok(())
}

pub(crate) fn close(args: &CloseArgs, ctx: &Ctx) -> Result<(), Failure> {
    let book = Book::open(&args.common, ctx)?;
    let mut holidays = vec![];
    for said in args.dates.iter().flat_map(|said| said.split([',', ' '])).filter(|said| !said.is_empty()) {
        let (from, to) = book.range(said)?;
        holidays.push(Holiday { from, to, as_day: None, why: args.name.clone() });
    }
    let entries = edit::entries(&book.source);
    for holiday in &holidays {
        let overlaps = |from: Date, to: Date| from <= holiday.to && holiday.from <= to;
        for entry in &entries {
            match &entry.what {
                What::Holidays(known) => {
                    if let Some(known) = known.iter().find(|known| overlaps(known.from, known.to)) {
                        let from = known.from.max(holiday.from);
                        return Err(Failure::with_exit(
                            Exit::Nothing,
                            format!("{from} is a holiday already"),
                        )
                        .because_of(book.place(entry.line))
                        .hint(format!("dormouse calendar remove {from}")));
                    }
                }
                What::Window(window) => {
                    let mut days = std::iter::successors(Some(holiday.from), |day| day.tomorrow().ok())
                        .take_while(|day| *day <= holiday.to)
                        .take(400);
                    if let Some(day) =
                        days.find(|day| window.spans.iter().any(|span| span.starts_on(*day, None)))
                    {
                        return Err(Failure::usage(format!(
                            "window {} opens on {day} by its date",
                            safe(&window.name)
                        ))
                        .because_of(book.place(entry.line))
                        .hint(format!("take it back first: dormouse calendar remove {day}")));
                    }
                }
            }
        }
    }
    book.new_lines(&args.common, ctx, &holiday_lines(holidays))
}

fn holiday_lines(holidays: Vec<Holiday>) -> Vec<String> {
    let schedule = Schedule { holidays, ..Schedule::default() };
    let printed = crate::daemon::wire::calendar_text("x", &schedule);
    printed.lines().filter(|line| line.starts_with("holiday ")).map(str::to_owned).collect()
}

/// So far ahead events are taken over.
const AHEAD_YEARS: i16 = 2;

pub(crate) fn import(args: &ImportArgs, ctx: &Ctx) -> Result<(), Failure> {
    let book = Book::open(&args.common, ctx)?;
    let source = crate::verbs::input::read(&args.file)?;
    let until = book.today.checked_add(AHEAD_YEARS.years()).unwrap_or(Date::MAX);
    let events = ics::parse(&source, &book.schedule.zone, book.today, until)
        .map_err(|error| crate::verbs::input::bad_text("the calendar", &args.file, &source, error))?;
    let (mut holidays, mut lines, mut names, mut other, mut known) = (vec![], vec![], vec![], 0, 0);
    for event in events {
        match (event.when, args.kind) {
            (ics::When::Days { from, to }, As::Holidays) => {
                // Each day that is closed already stays with its line.
                let why = event.summary;
                let closed = |day: Date| book.schedule.holiday(day).is_some();
                if closed(from) && closed(to) {
                    known += 1;
                } else {
                    holidays.push(Holiday { from, to, as_day: None, why });
                }
            }
            (ics::When::Hours { start, end }, As::Openings | As::Quiet) => {
                let (kind, goal) =
                    if args.kind == As::Quiet { ("quiet", "hold") } else { ("opening", "spread") };
                let hours = hours(start, end).ok_or_else(|| {
                    Failure::usage(format!("the event at line {} lasts longer than a day", event.line))
                        .hint("an opening ends within 24 hours: write one for each day")
                })?;
                let name = event.summary.as_deref().map_or_else(|| kind.to_owned(), plain);
                let mut name = if name.is_empty() { kind.to_owned() } else { name };
                let taken = |name: &str, names: &[String]| {
                    names.iter().any(|known| known == name)
                        || book.schedule.windows.iter().any(|window| window.name == name)
                };
                if taken(&name, &names) {
                    name = format!("{name}-{}-{}", start.date(), start.strftime("%H%M"));
                    if taken(&name, &names) {
                        known += 1;
                        continue;
                    }
                }
                names.push(name.clone());
                lines.push(format!("window {name} {} {hours} goal={goal}", start.date()));
            }
            _ => other += 1,
        }
    }
    lines.extend(holiday_lines(holidays));
    if other > 0 {
        let (what, way) = match args.kind {
            As::Holidays => ("of some hours", "--as openings or --as quiet takes those"),
            _ => ("of whole days", "--as holidays takes those"),
        };
        ctx.print(&format!("{} {what} not taken: {way}\n", counted(other, "event")))?;
    }
    if known > 0 {
        ctx.print(&format!("{} known already\n", counted(known, "event")))?;
    }
    if lines.is_empty() {
        return Err(Failure::with_exit(Exit::Nothing, "nothing new in it")
            .hint(format!("events from {} to {until} are taken", book.today)));
    }
    book.new_lines(&args.common, ctx, &lines)
}

/// `08:00-14:00`, if the parser's rule that an end which is not later lies on the next day says the same.
fn hours(start: DateTime, end: DateTime) -> Option<String> {
    let clock = |at: DateTime| at.strftime("%H:%M:%S").to_string().trim_end_matches(":00").to_owned();
    let same_day = end.date() == start.date();
    let next_day = start.date().tomorrow().is_ok_and(|day| day == end.date()) && end.time() <= start.time();
    let full = |text: String| if text.contains(':') { text } else { format!("{text}:00") };
    (same_day || next_day).then(|| format!("{}-{}", full(clock(start)), full(clock(end))))
}

pub(crate) fn remove(args: &RemoveArgs, ctx: &Ctx) -> Result<(), Failure> {
    let book = Book::open(&args.common, ctx)?;
    let what = args.what.trim();
    let found = edit::without_window(&book.source, what).or_else(|| {
        let date = when::day(what, book.today)?;
        edit::without_date(&book.source, date)
    });
    match found {
        Some((new, taken)) => book.taken(&args.common, ctx, &new, &taken),
        None => {
            let names = book.schedule.windows.iter().map(|window| window.name.as_str());
            let failure = Failure::usage(format!(
                "nothing in the calendar is called `{}`, and no line names such a date",
                safe(what)
            ));
            Err(failure.hint(match did_you_mean(what, names).trim_start_matches("; ") {
                "" => "`dormouse calendar show` names what comes; a date is like 2026-12-25".to_owned(),
                near => near.to_owned(),
            }))
        }
    }
}

/// A window's name is one plain word.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let word: String = name.trim().chars().take(40).map(plain).collect();
    word.trim_matches(['-', '.', '_']).to_owned()
}

fn free_name(book: &Book, name: &str, date: Date) -> Result<String, Failure> {
    if name.is_empty() {
        return Err(Failure::usage("--why needs a name with letters or digits"));
    }
    let taken = |name: &str| book.schedule.windows.iter().any(|window| window.name == name);
    if !taken(name) {
        return Ok(name.to_owned());
    }
    let dated = format!("{name}-{date}");
    if !taken(&dated) {
        return Ok(dated);
    }
    Err(Failure::usage(format!("there is a window {dated} already")).hint(format!(
        "--why gives it another name; `dormouse calendar remove {dated}` takes the other back"
    )))
}

fn shown(from: Date, to: Date) -> String {
    if from == to { from.to_string() } else { format!("{from}..{to}") }
}
