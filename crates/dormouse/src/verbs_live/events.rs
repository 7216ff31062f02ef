//! `dormouse events`: the trail, and with `--follow` what is added to it.

use crate::cli::{Ctx, Failure, Format, safe, style};
use crate::daemon::client::Client;
use crate::daemon::wire::Verb;
use dormouse_driver::EventRecord;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many of the last events
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    last: usize,

    /// All events after this number
    #[arg(long, value_name = "SEQ", conflicts_with = "last")]
    after: Option<u64>,

    /// Go on with those to come, until interrupted
    #[arg(short, long)]
    follow: bool,

    /// For people or for programs: one JSON object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let mut client = Client::connect(ctx)?;
    let last = args.after.is_none().then_some(args.last);
    let events: Vec<EventRecord> =
        client.ask(Verb::Events { after: args.after, last, follow: args.follow })?;
    for event in &events {
        show(ctx, args.format, event)?;
    }
    if args.follow {
        client.wait_for_ever()?;
        while let Some(event) = client.next::<EventRecord>()? {
            show(ctx, args.format, &event)?;
        }
    }
    Ok(())
}

fn show(ctx: &Ctx, format: Format, event: &EventRecord) -> Result<(), Failure> {
    match format {
        Format::Json => ctx.print_json_line(event),
        Format::Text => ctx.print(&line(event)),
    }
}

/// One event is one line, whatever is in it.
pub(super) fn line(event: &EventRecord) -> String {
    let time = jiff::Timestamp::from_millisecond(event.at_ms).map_or_else(
        |_| event.at_ms.to_string(),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    );
    let style = match event.level.as_str() {
        "alarm" => style::ERROR,
        "warn" => style::STRONG,
        _ => anstyle::Style::new(),
    };
    let fields: Vec<String> =
        event.fields.iter().map(|(key, value)| format!("{}={}", safe(key), quoted(value))).collect();
    format!("{time}  {style}{:<5} {}{style:#}  {}\n", safe(&event.level), safe(&event.name), fields.join(" "))
}

fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    if plain { safe(value).into_owned() } else { format!("\"{}\"", safe(&value.replace('"', "\\\""))) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_event_stays_on_its_line() {
        let event = super::EventRecord {
            seq: 4,
            at_ms: 0,
            level: "warn".to_owned(),
            name: "vm.seen".to_owned(),
            fields: vec![
                ("vm".to_owned(), "a b\n\u{1b}[2J\"".to_owned()),
                ("host".to_owned(), "lab07".to_owned()),
            ],
        };
        let line = anstream::adapter::strip_str(&super::line(&event)).to_string();
        assert!(line.ends_with("  warn  vm.seen  vm=\"a b\\n\\u{1b}[2J\\\"\" host=lab07\n"), "{line:?}");
    }
}
