//! `dormouse audit`: reads the audit log from the store itself, whether a daemon runs or not, and judges its chain.

use super::store;
use crate::cli::{Ctx, Failure, Format, counted, safe};
use dormouse_driver::{ActionRecord, AuditEntry, AuditLine, IntentRecord};
use dormouse_store::Chain;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The last lines, oldest first
    List(ListArgs),
    /// Go along the whole chain; name the first line that is not as it was written
    Verify(VerifyArgs),
    /// Every line as it is stored, one JSON object a line
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// How many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    last: usize,

    /// All lines after this number
    #[arg(long, value_name = "SEQ", conflicts_with = "last")]
    after: Option<u64>,

    /// For people or for programs: one JSON object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// An exported log in place of the store's
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The log must hold this line, as an earlier `verify` printed it
    #[arg(long, value_name = "SEQ:HASH")]
    expect: Option<String>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Lines after this number only
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
}

/// A line as `list --format json` shows it.
#[derive(Serialize)]
struct LineView<'a> {
    seq: u64,
    at_ms: i64,
    #[serde(flatten)]
    entry: &'a serde_json::Value,
}

#[derive(Serialize)]
struct Verdict<'a> {
    lines: usize,
    first: u64,
    last: u64,
    hash: &'a str,
}

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, ctx),
        Command::Verify(args) => verify(args, ctx),
        Command::Export(args) => {
            store::audit_lines(ctx, args.after)?.iter().try_for_each(|line| ctx.print_json_line(line))
        }
    }
}

fn list(args: &ListArgs, ctx: &Ctx) -> Result<(), Failure> {
    let lines = store::audit_lines(ctx, args.after.unwrap_or(0))?;
    let from = if args.after.is_some() { 0 } else { lines.len().saturating_sub(args.last) };
    for line in &lines[from..] {
        match args.format {
            Format::Text => ctx.print(&text(line))?,
            Format::Json => {
                let entry = serde_json::from_str(&line.entry)
                    .unwrap_or_else(|_| serde_json::json!({ "what": "damaged", "text": line.entry }));
                ctx.print_json_line(&LineView { seq: line.seq, at_ms: line.at_ms, entry: &entry })?;
            }
        }
    }
    Ok(())
}

fn verify(args: &VerifyArgs, ctx: &Ctx) -> Result<(), Failure> {
    let expected = args.expect.as_deref().map(line_and_hash).transpose()?;
    let lines = match &args.file {
        Some(path) => exported(path)?,
        None => store::audit_lines(ctx, 0)?,
    };
    let broken = || Failure::new("the audit log does not hold");
    let mut chain = Chain::default();
    for line in &lines {
        chain.take(line).map_err(|bad| {
            broken()
                .because(&bad)
                .hint("`dormouse audit list` shows the lines as they are; compare with an export")
        })?;
    }
    if args.file.is_none() {
        // The chain is good; a log that was cut short at its end disagrees with the journal.
        store::whole(ctx)?;
    }
    if let Some((seq, hash)) = expected {
        match lines.iter().find(|line| line.seq == seq) {
            Some(line) if line.hash == hash => {}
            Some(_) => {
                return Err(
                    broken().because_of(format!("line {seq} has another hash: the chain was made anew"))
                );
            }
            None => return Err(broken().because_of(format!("line {seq} is not there"))),
        }
    }
    let (Some((last, hash)), Some(first)) = (chain.end(), lines.first()) else {
        return Err(broken().because_of("it is empty"));
    };
    match args.format {
        Format::Json => {
            ctx.print_json(&Verdict { lines: lines.len(), first: first.seq, last, hash })
        }
        Format::Text => ctx.print(&format!(
            "{} hold, {} to {last}; note this one elsewhere and give it to --expect next time:\n{last}:{hash}\n",
            counted(lines.len(), "line"),
            first.seq
        )),
    }
}

fn line_and_hash(text: &str) -> Result<(u64, String), Failure> {
    let parts = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash.to_owned())));
    parts.filter(|(_, hash)| hash.len() == 64).ok_or_else(|| {
        Failure::usage(format!("`{}` is not a line of the audit log", safe(text)))
            .hint("give it as `dormouse audit verify` printed it: SEQ:HASH")
    })
}

fn exported(path: &PathBuf) -> Result<Vec<AuditLine>, Failure> {
    let named = || format!("cannot read `{}`", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Failure::new(named()).because(&error))?;
    let read = |(at, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| Failure::new(named()).because_of(format!("line {}: {error}", at + 1)))
    };
    text.lines().enumerate().map(read).collect()
}

/// One line for people, whatever is in it.
fn text(line: &AuditLine) -> String {
    let time = jiff::Timestamp::from_millisecond(line.at_ms).map_or_else(
        |_| line.at_ms.to_string(),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    );
    let mut words = String::new();
    // Writing into a string does not fail.
    _ = match serde_json::from_str(&line.entry) {
        Ok(AuditEntry::Begin { .. }) => write!(words, "the log begins"),
        Ok(AuditEntry::Intent { intent }) => write!(words, "intent {} {}", intent.id, action(&intent)),
        Ok(AuditEntry::Effect { intent }) => write!(words, "effect {intent}"),
        Ok(AuditEntry::Outcome { intent, outcome }) => write!(words, "outcome {intent} {outcome:?}"),
        Ok(AuditEntry::Word { by, order, answer }) => write!(words, "word of {by}: {order}: {answer}"),
        Ok(AuditEntry::Lead { epoch, who }) => write!(words, "lead in epoch {epoch}: {who}"),
        Ok(AuditEntry::Store { change }) => write!(words, "the store was {change}"),
        Err(_) => write!(words, "damaged: {}", line.entry),
    };
    format!("{:>6}  {time}  {}\n", line.seq, safe(&words))
}

fn action(intent: &IntentRecord) -> String {
    let vm = intent.vm.map_or_else(String::new, |vm| format!(" {vm}"));
    let what = match &intent.action {
        ActionRecord::Migrate { from, to } => format!("migrate{vm} {from} -> {to}"),
        ActionRecord::Wake { host } => format!("wake {host}"),
        ActionRecord::Sleep { host } => format!("sleep {host}"),
        ActionRecord::Start { host } => format!("start{vm} on {host}"),
        ActionRecord::Stop { host } => format!("stop{vm} on {host}"),
        ActionRecord::Fence { host } => format!("fence {host}"),
    };
    format!("{what} (plan {}, step {}, epoch {})", intent.plan, intent.step, intent.epoch)
}
