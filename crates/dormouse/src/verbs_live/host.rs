//! `dormouse host`: the hosts as the daemon sees them, and a person's word about them.

mod add;
mod fence;
mod pin;
mod remove;
mod rollout;

use super::{age, orders};
use crate::cli::{Ctx, Exit, Failure, Format, Table};
use crate::daemon::client::Client;
use crate::daemon::wire::{HostView, MovesView, OrderWord, Verb};
use clap::builder::PossibleValuesParser;
use dormouse_model::HostState;
use dormouse_model::text::did_you_mean;
use std::io::BufRead as _;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every host with its state
    List(ListArgs),
    /// Everything about one host
    Show(ShowArgs),
    /// Reach hosts by ssh, give them certificates for moves, and add them to the cluster text; renews what ends
    Add(add::Args),
    /// Take a host off every list and out of the cluster text; its VMs and disks are not touched
    Remove(remove::Args),
    /// Move its VMs away and leave it on
    Drain(HostArg),
    /// End drain, maintenance or distrust
    Clear(HostArg),
    /// Move its VMs away and put it to sleep
    Sleep(HostArg),
    /// Wake it
    Wake(HostArg),
    /// Leave it alone: nothing is moved there, and it is not switched
    Maintenance(MaintenanceArgs),
    /// Say that a silent host was switched off by a person, on purpose
    Off(HostArg),
    /// Say that a silent host is really off, so that its VMs may start elsewhere
    Fence(fence::Args),
    /// Take over a host whose guard obeys another cluster, or a store that was lost
    Adopt(fence::AdoptArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only hosts in these states, like asleep,off
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = state())]
    states: Vec<String>,

    /// Only hosts with this in their name or address
    #[arg(long, value_name = "TEXT")]
    find: Option<String>,

    /// Only hosts with at least this load (of 15 minutes, of all processors)
    #[arg(long, value_name = "PERCENT")]
    load_min: Option<u64>,

    /// Only hosts with at most this load; one whose load was not seen has neither
    #[arg(long, value_name = "PERCENT")]
    load_max: Option<u64>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[arg(value_name = "HOST")]
    name: String,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HostArg {
    #[arg(value_name = "HOST")]
    host: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MaintenanceArgs {
    #[arg(value_name = "HOST")]
    host: String,

    /// End it
    #[arg(long)]
    off: bool,
}

/// One of the states there are.
fn state() -> PossibleValuesParser {
    HostState::ALL.map(HostState::as_str).into()
}

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, ctx),
        Command::Show(args) => show(args, ctx),
        Command::Add(args) => add::run(args, ctx),
        Command::Remove(args) => remove::run(args, ctx),
        Command::Drain(HostArg { host }) => orders::give(
            ctx,
            OrderWord::Drain { host: host.clone() },
            &format!("{host} will be emptied and stay on"),
        ),
        Command::Clear(HostArg { host }) => orders::give(
            ctx,
            OrderWord::Clear { host: host.clone() },
            &format!("{host} is as the others again"),
        ),
        Command::Sleep(HostArg { host }) => orders::give(
            ctx,
            OrderWord::Sleep { host: host.clone() },
            &format!("{host} will be emptied and put to sleep; `dormouse why {host}` says what it waits for"),
        ),
        Command::Wake(HostArg { host }) => {
            orders::give(ctx, OrderWord::Wake { host: host.clone() }, &format!("{host} will be woken"))
        }
        Command::Maintenance(MaintenanceArgs { host, off }) => {
            let meaning = if *off { "is as the others again" } else { "is left as it is" };
            orders::give(
                ctx,
                OrderWord::Maintenance { host: host.clone(), on: !off },
                &format!("{host} {meaning}"),
            )
        }
        Command::Fence(args) => fence::run(args, ctx),
        Command::Adopt(args) => fence::adopt(args, ctx),
        Command::Off(HostArg { host }) => orders::give(
            ctx,
            OrderWord::SayOff { host: host.clone() },
            &format!("{host} counts as switched off by a person"),
        ),
    }
}

fn confirm(yes: bool, ctx: &Ctx, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !ctx.is_interactive() {
        return Err(Failure::usage("nobody is there to ask").hint("--yes answers every question with yes"));
    }
    ctx.print(&format!("{question} [y/N] "))?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::new("cannot read the answer").because(&error))?;
    if matches!(line.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::new("nothing was changed")) }
}

fn all(ctx: &Ctx) -> Result<Vec<HostView>, Failure> {
    Client::connect(ctx)?.ask(Verb::Hosts)
}

fn find<'a>(hosts: &'a [HostView], name: &str) -> Result<&'a HostView, Failure> {
    hosts.iter().find(|host| host.name == name).ok_or_else(|| {
        let near = did_you_mean(name, hosts.iter().map(|host| host.name.as_str()));
        let hint = if near.is_empty() {
            "`dormouse host list` shows them all"
        } else {
            near.trim_start_matches("; ")
        };
        Failure::with_exit(Exit::Usage, format!("there is no host `{name}`")).hint(hint)
    })
}

fn list(args: &ListArgs, ctx: &Ctx) -> Result<(), Failure> {
    let mut hosts = all(ctx)?;
    if !args.states.is_empty() {
        hosts.retain(|host| args.states.contains(&host.state));
    }
    if let Some(text) = args.find.as_ref().map(|text| text.to_lowercase()) {
        let has = |place: &String| place.to_lowercase().contains(&text);
        hosts.retain(|host| has(&host.name) || host.address.as_ref().is_some_and(has));
    }
    if args.load_min.is_some() || args.load_max.is_some() {
        let (least, most) = (args.load_min.unwrap_or(0), args.load_max.unwrap_or(u64::MAX));
        let within = |load: u64| load >= least.saturating_mul(10) && load <= most.saturating_mul(10);
        hosts.retain(|host| host.load15_permille.is_some_and(within));
    }
    if args.format == Format::Json {
        return ctx.print_json(&hosts);
    }
    let mut table =
        Table::new(&["host", "state", "for", "VMs ", "memory ", "load ", "moves", "marks", "trouble"]);
    for host in &hosts {
        // A host that is down by our will or another's is silent, which is no trouble.
        let trouble = host.error.as_deref().filter(|_| !matches!(host.state.as_str(), "asleep" | "off"));
        let load = host
            .load15_permille
            .map_or_else(String::new, |load| format!("{}.{:02}", load / 1000, load % 1000 / 10));
        table.row([
            &host.name,
            &host.state,
            &age(host.in_state_ms),
            &host.vms.len().to_string(),
            &format!("{}/{} MiB", host.mem_used_mib, host.mem_mib),
            &load,
            &host.moves.as_ref().map_or_else(String::new, short),
            &host.marks.join(","),
            trouble.unwrap_or(""),
        ]);
    }
    ctx.print(&table.to_string())
}

fn show(args: &ShowArgs, ctx: &Ctx) -> Result<(), Failure> {
    let hosts = all(ctx)?;
    let host = find(&hosts, &args.name)?;
    if args.format == Format::Json {
        return ctx.print_json(host);
    }
    let none = || "none".to_owned();
    let joined = |parts: &[String]| if parts.is_empty() { none() } else { parts.join(", ") };
    let mut table = Table::new(&["host", &host.name]);
    table.row(["state", &format!("{} for {}", host.state, age(host.in_state_ms))]);
    table.row(["address", host.address.as_deref().unwrap_or("none")]);
    table.row(["seen", &host.seen_ms.map_or_else(|| "never".to_owned(), |ms| format!("{} ago", age(ms)))]);
    table.row(["trouble", &host.error.clone().unwrap_or_else(none)]);
    table.row(["VMs", &joined(&host.vms)]);
    table.row(["memory", &format!("{} of {} MiB taken", host.mem_used_mib, host.mem_mib)]);
    table.row(["CPUs", &host.cpus.to_string()]);
    table.row(["marks", &joined(&host.marks)]);
    table.row(["moves", &host.moves.as_ref().map_or_else(|| "not known".to_owned(), carried)]);
    table.row(["against sleep", &joined(&host.obstacles)]);
    table.row(["sleeps", &format!("{} in this day", host.cycles_day)]);
    ctx.print(&table.to_string())
}

/// Who carries its moves, in a word or two.
fn short(moves: &MovesView) -> String {
    match moves.way.as_str() {
        "peer-to-peer-listed" if moves.notes.is_empty() => "TLS",
        "peer-to-peer-listed" => "TLS, see show",
        "peer-to-peer" => "TLS, no list",
        _ => "by us: weaker",
    }
    .to_owned()
}

fn carried(moves: &MovesView) -> String {
    let mut text = moves.words.clone();
    for note in &moves.notes {
        text = format!("{text}; {note}");
    }
    match &moves.mend {
        Some(host) => format!("{text}; `dormouse host add {host}` mends it"),
        None => text,
    }
}
