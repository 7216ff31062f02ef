//! `dormouse calendar`: the hours of the cluster as they come, and changes to them.

mod days;
mod draw;
mod json;
#[cfg(test)]
mod tests;

use super::input;
use crate::cli::{Ctx, Failure, Format, safe};
use dormouse_model::schedule::Schedule;
use jiff::Timestamp;
use jiff::civil::DateTime;
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Draw the coming days: open, quiet and closed hours, holidays, exams
    Show(ShowArgs),
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
    }
}

fn show(args: &ShowArgs, ctx: &Ctx) -> Result<(), Failure> {
    let path = match &args.cluster {
        Some(path) => path.clone(),
        None => input::settings(ctx)?.config.cluster,
    };
    let cluster = input::cluster(&path)?;
    let of = format!("Calendar of {}, zone {}", safe(&cluster.name), cluster.schedule.zone);
    let schedule = cluster.schedule;
    let now = match args.from {
        Some(shown) => input::instant(&schedule, shown)?,
        None => input::now(),
    };
    let days = days::of(&schedule, now, args.days);
    match args.format {
        Format::Json => ctx.print_json(&json::Document::of(&schedule, &days, now)),
        Format::Text => ctx.print(&text(&of, &schedule, &days, now)),
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
