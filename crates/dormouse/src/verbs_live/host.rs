//! `dormouse host`: the hosts as the daemon sees them, and a person's word about them.

mod add;
mod fence;

use super::{age, orders};
use crate::cli::{Ctx, Exit, Failure, Format, Table};
use crate::daemon::client::Client;
use crate::daemon::wire::{HostView, OrderWord, Verb};
use dormouse_model::text::did_you_mean;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every host with its state
    List(ListArgs),
    /// Everything about one host
    Show(ShowArgs),
    /// Reach a host by ssh, read what it is, and add it to the cluster text
    Add(add::Args),
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

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, ctx),
        Command::Show(args) => show(args, ctx),
        Command::Add(args) => add::run(args, ctx),
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
    let hosts = all(ctx)?;
    if args.format == Format::Json {
        return ctx.print_json(&hosts);
    }
    let mut table = Table::new(&["host", "state", "for", "VMs ", "memory ", "load ", "marks", "trouble"]);
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
    table.row(["against sleep", &joined(&host.obstacles)]);
    table.row(["sleeps", &format!("{} in this day", host.cycles_day)]);
    ctx.print(&table.to_string())
}
