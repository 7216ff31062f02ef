//! `dormouse status`: one look at everything.

use super::age;
use crate::cli::{Ctx, Failure, Format, Table, counted, safe, style};
use crate::daemon::client::Client;
use crate::daemon::wire::{Count, RunningView, StatusView, Verb};
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let status: StatusView = Client::connect(ctx)?.ask(Verb::Status)?;
    match args.format {
        Format::Json => ctx.print_json(&status),
        Format::Text => ctx.print(&text(&status)),
    }
}

fn text(status: &StatusView) -> String {
    let mut out = String::new();
    let lead = match (&status.standby, status.epoch) {
        (Some(standby), _) => {
            format!(
                "standby; the leader is {}, as it told {} ago",
                safe(&standby.leader),
                age(standby.age_ms)
            )
        }
        (None, Some(epoch)) => format!("leads, epoch {epoch}"),
        (None, None) => "does not lead".to_owned(),
    };
    let horizon = status.horizon_ms.map_or_else(String::new, |ms| format!(" for {}", age(ms)));
    let goal = format!("{}{horizon}", status.goal);
    let (strong, alarm) = (style::STRONG, style::ERROR);
    let mut line = |text: String| _ = writeln!(out, "{text}");
    line(format!(
        "{strong}{}{strong:#}  {}, {lead}; policy {}, goal {}; {}",
        safe(&status.cluster),
        status.mode,
        status.policy,
        goal,
        status.time
    ));
    if let Some(why) = &status.store_trouble {
        line(format!(
            "{alarm}the store takes nothing{alarm:#}: {}; nothing new is started until it does",
            safe(why)
        ));
    }
    if status.paused {
        line(format!("{alarm}paused{alarm:#}: nothing new is started; `dormouse resume` ends it"));
    }
    if status.frozen {
        line(format!(
            "{alarm}frozen{alarm:#}: too many hosts vanished at once; look at our own network, then `dormouse resume`"
        ));
    }
    line(format!("hosts  {}; {} count as on, {} W", counts(&status.hosts), status.hosts_on, status.watts));
    line(format!("VMs    {}", counts(&status.vms)));
    if !status.moves.is_empty() {
        line(format!("moves  {}", moves(&status.moves)));
    }
    let tally = &status.since_start;
    line(format!(
        "since start  {} ({} failed), {}, {}, {}",
        many(tally.moves, "move"),
        tally.moves_failed,
        many(tally.wakes, "wake"),
        many(tally.sleeps, "sleep"),
        many(tally.plans, "plan")
    ));
    if !status.running.is_empty() {
        let mut table = Table::new(&["under way", "what", "where", "for"]);
        for step in &status.running {
            table.row([&format!("i{}", step.intent), &what(step), &place(step), &age(step.for_ms)]);
        }
        out += &format!("\n{table}");
    }
    if !status.trouble.is_empty() {
        let mut table = Table::new(&["host", "state", "why"]);
        for host in &status.trouble {
            table.row([&host.host, &host.state, &host.why]);
        }
        out += &format!("\n{table}");
    }
    if !status.doubles.is_empty() {
        let mut table = Table::new(&["doubled", "what", "VMs"]);
        for double in &status.doubles {
            table.row([&double.kind, &double.what, &double.vms.join(", ")]);
        }
        out += &format!("\n{table}");
    }
    out
}

/// Who carries them.
fn moves(counts: &[Count]) -> String {
    let words = |way: &str| match way {
        "peer-to-peer-listed" => "peer to peer, TLS, our CA",
        "peer-to-peer" => "peer to peer without allow-list",
        _ => "managed by us (weaker: `dormouse host show HOST` says why)",
    };
    let parts: Vec<String> = counts
        .iter()
        .map(|count| format!("{} {}", counted(count.count as usize, "host"), words(&count.state)))
        .collect();
    parts.join("; ")
}

fn many(count: u64, what: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), what)
}

fn what(step: &RunningView) -> String {
    step.vm.as_ref().map_or_else(|| step.kind.clone(), |vm| format!("{} {vm}", step.kind))
}

fn place(step: &RunningView) -> String {
    step.to.as_ref().map_or_else(|| step.host.clone(), |to| format!("{} -> {to}", step.host))
}

fn counts(counts: &[Count]) -> String {
    let parts: Vec<String> = counts.iter().map(|count| format!("{} {}", count.count, count.state)).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
