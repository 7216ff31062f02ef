//! `dormouse calendar`: the hours of the cluster as they come, and changes to them.

#[cfg(feature = "live")]
mod change;
mod days;
mod draw;
#[cfg(feature = "live")]
mod edit;
mod json;
#[cfg(test)]
mod tests;
#[cfg(feature = "live")]
mod told;

use super::input;
use crate::cli::{Ctx, Failure, Format, safe};
use dormouse_model::schedule::Schedule;
use jiff::Timestamp;
use jiff::civil::DateTime;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Draw the coming days: open, quiet and closed hours, holidays, exams
    Show(ShowArgs),
    /// Open once: an exam on a Sunday
    #[cfg(feature = "live")]
    Open(change::OpenArgs),
    /// A time in which nothing is moved or switched
    #[cfg(feature = "live")]
    Quiet(change::QuietArgs),
    /// Close on dates: holidays
    #[cfg(feature = "live")]
    #[command(visible_alias = "holiday")]
    Close(change::CloseArgs),
    /// Take over a calendar of another program (.ics)
    #[cfg(feature = "live")]
    Import(change::ImportArgs),
    /// Take back a window by its name, or what is written for a date
    #[cfg(feature = "live")]
    Remove(change::RemoveArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// A cluster text instead of what the daemon has in use; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// How many days, the first included
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=62))]
    days: u16,

    /// As of this time in the cluster's zone, like 2026-12-01T08:00; now unless given
    #[arg(long, value_name = "TIME", value_parser = input::shown_time)]
    from: Option<DateTime>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(command: Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Show(args) => show(&args, ctx),
        #[cfg(feature = "live")]
        Command::Open(args) => change::open(&args, ctx),
        #[cfg(feature = "live")]
        Command::Quiet(args) => change::quiet(&args, ctx),
        #[cfg(feature = "live")]
        Command::Close(args) => change::close(&args, ctx),
        #[cfg(feature = "live")]
        Command::Import(args) => change::import(&args, ctx),
        #[cfg(feature = "live")]
        Command::Remove(args) => change::remove(&args, ctx),
    }
}

fn show(args: &ShowArgs, ctx: &Ctx) -> Result<(), Failure> {
    let Shown { name, from, schedule, now, note } = Shown::of(args.cluster.as_deref(), ctx)?;
    let of = format!("Calendar of {}, zone {}, {from}", safe(&name), schedule.zone);
    let now = match args.from {
        Some(shown) => input::instant(&schedule, shown)?,
        None => now,
    };
    let days = days::of(&schedule, now, args.days);
    match args.format {
        Format::Json => ctx.print_json(&json::Document::of(&schedule, &days, now)),
        Format::Text => {
            let note = note.map_or_else(String::new, |note| format!("\nNote: {note}\n"));
            ctx.print(&(text(&of, &schedule, &days, now) + &note))
        }
    }
}

/// A calendar, and where it comes from.
struct Shown {
    name: String,
    from: String,
    schedule: Schedule,
    now: Timestamp,
    note: Option<String>,
}

impl Shown {
    /// As the daemon has it in use; without one, or where a text is named, from the text.
    fn of(cluster: Option<&Path>, ctx: &Ctx) -> Result<Self, Failure> {
        #[cfg(feature = "live")]
        if cluster.is_none()
            && let Some((name, schedule, now)) = told::in_use(ctx)
        {
            let note = told::differs(ctx, &schedule);
            return Ok(Self { name, from: "as the daemon has it in use".to_owned(), schedule, now, note });
        }
        let path = match cluster {
            Some(path) => path.to_owned(),
            None => input::settings(ctx)?.config.cluster,
        };
        let read = input::cluster(&path)?;
        let from = format!("from {}", safe(&path.display().to_string()));
        let from = if cluster.is_some() { from } else { format!("{from}; no daemon answers") };
        Ok(Self { name: read.name, from, schedule: read.schedule, now: input::now(), note: None })
    }
}

fn text(of: &str, schedule: &Schedule, days: &[days::Day<'_>], now: Timestamp) -> String {
    if schedule.windows.is_empty() {
        return format!("{of}\nIt has no window: always closed, and hosts may sleep at any time.\n");
    }
    let signs = if is_utf8() { draw::UNICODE } else { draw::ASCII };
    format!("{of}\n\n{}", draw::draw(schedule, days, now, signs))
}

/// What this terminal's text is written in, as the C library looks it up.
fn is_utf8() -> bool {
    let mut named = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let first = named.find(|value| !value.is_empty());
    first.is_some_and(|value| {
        let value = value.to_string_lossy().to_ascii_uppercase();
        value.contains("UTF-8") || value.contains("UTF8")
    })
}
