//! `dormouse vm`: the VMs as the daemon sees them.

use crate::cli::{Ctx, Exit, Failure, Format, Table, safe, style};
use crate::daemon::client::Client;
use crate::daemon::wire::{OrderWord, Verb, VmView};
use crate::verbs_live::orders;
use dormouse_model::text::did_you_mean;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every VM, where it is and what it does there
    List(ListArgs),
    /// Which VMs have this in their name, UUID, state or place
    Find(FindArgs),
    /// Everything about one VM
    Show(ShowArgs),
    /// Move a VM now; passes the same checks as a plan
    Move(MoveArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those on this host
    #[arg(value_name = "HOST")]
    host: Option<String>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FindArgs {
    /// A part of it, in capital or small letters
    #[arg(value_name = "VM")]
    text: String,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its name or UUID
    #[arg(value_name = "VM")]
    name: String,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MoveArgs {
    /// Its name or UUID
    #[arg(value_name = "VM")]
    vm: String,

    /// Where to
    #[arg(value_name = "HOST")]
    to: String,
}

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, ctx),
        Command::Find(args) => find(args, ctx),
        Command::Show(args) => show(args, ctx),
        Command::Move(args) => {
            let order = OrderWord::Move { vm: args.vm.clone(), to: args.to.clone() };
            orders::give(ctx, order, &format!("{} will move to {}", args.vm, args.to))
        }
    }
}

fn all(ctx: &Ctx) -> Result<Vec<VmView>, Failure> {
    Client::connect(ctx)?.ask(Verb::Vms)
}

fn list(args: &ListArgs, ctx: &Ctx) -> Result<(), Failure> {
    let mut vms = all(ctx)?;
    vms.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    if let Some(host) = &args.host {
        vms.retain(|vm| vm.host.as_ref() == Some(host) || vm.hosts.contains(host));
    }
    tell(&vms, args.format, ctx)
}

fn find(args: &FindArgs, ctx: &Ctx) -> Result<(), Failure> {
    let mut vms = all(ctx)?;
    let wanted = args.text.to_lowercase();
    vms.retain(|vm| {
        let places = vm.hosts.iter().chain(&vm.host).chain(&vm.home);
        let texts = [&vm.name, &vm.uuid, &vm.state].into_iter().chain(places);
        texts.into_iter().any(|text| text.to_lowercase().contains(&wanted))
    });
    if vms.is_empty() && args.format == Format::Text {
        let failure = Failure::with_exit(Exit::Nothing, format!("no VM has `{}` in it", safe(&args.text)));
        return Err(failure.hint("`dormouse vm list` shows them all"));
    }
    vms.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    tell(&vms, args.format, ctx)
}

fn tell(vms: &[VmView], format: Format, ctx: &Ctx) -> Result<(), Failure> {
    if format == Format::Json {
        return ctx.print_json(&vms);
    }
    let mut table = Table::new(&["VM", "state", "host", "memory ", "CPU ", "uuid"]);
    for vm in vms {
        let cpu = format!("{}.{:02}", vm.cpu_milli / 1000, vm.cpu_milli % 1000 / 10);
        table.row([&vm.name, &vm.state, &place(vm), &format!("{} MiB", vm.mem_mib), &cpu, &vm.uuid]);
    }
    let mut out = table.to_string();
    for vm in vms.iter().filter(|vm| !vm.doubles.is_empty()) {
        for double in &vm.doubles {
            out += &format!("{}{}{:#}: {}\n", style::ERROR, safe(&vm.name), style::ERROR, safe(double));
        }
    }
    ctx.print(&out)
}

fn place(vm: &VmView) -> String {
    if vm.hosts.is_empty() { vm.host.clone().unwrap_or_default() } else { vm.hosts.join(", ") }
}

fn show(args: &ShowArgs, ctx: &Ctx) -> Result<(), Failure> {
    let vms = all(ctx)?;
    let found: Vec<&VmView> = vms.iter().filter(|vm| vm.name == args.name || vm.uuid == args.name).collect();
    if found.is_empty() {
        let near = did_you_mean(&args.name, vms.iter().map(|vm| vm.name.as_str()));
        let hint =
            if near.is_empty() { "`dormouse vm list` shows them all" } else { near.trim_start_matches("; ") };
        return Err(Failure::with_exit(Exit::Usage, format!("there is no VM `{}`", args.name)).hint(hint));
    }
    if args.format == Format::Json {
        return ctx.print_json(&found);
    }
    for vm in found {
        let mut table = Table::new(&["VM", &vm.name]);
        table.row(["uuid", &vm.uuid]);
        table.row(["state", &vm.state]);
        table.row(["host", &place(vm)]);
        table.row(["home", vm.home.as_deref().unwrap_or("none")]);
        table.row(["memory", &format!("{} MiB", vm.mem_mib)]);
        table.row([
            "CPUs",
            &format!("{}, {}.{:03} in use", vm.vcpus, vm.cpu_milli / 1000, vm.cpu_milli % 1000),
        ]);
        table.row(["moves", &format!("{} in this hour, {} in this day", vm.moves_hour, vm.moves_day)]);
        table.row(["movable", vm.immovable.as_deref().unwrap_or("yes")]);
        for double in &vm.doubles {
            table.row(["doubled", double]);
        }
        if !vm.barred.is_empty() {
            table.row(["not to", &vm.barred.join(", ")]);
        }
        ctx.print(&table.to_string())?;
    }
    Ok(())
}
