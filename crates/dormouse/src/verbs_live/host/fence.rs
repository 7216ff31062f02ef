//! `dormouse host fence` and `dormouse host adopt`: two words that only a person can give, each said twice.
//!
//! Without `--confirm` they say what would follow and do nothing. What follows is the daemon's to decide.

use super::{all, find};
use crate::cli::{Ctx, Exit, Failure, counted, safe};
use crate::daemon::client::Client;
use crate::daemon::wire::{HostView, OrderWord, Verb, VmView};
use crate::verbs_live::age;
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "HOST")]
    host: String,

    /// I have seen that it is off, and that it stays off until it is repaired
    #[arg(long)]
    confirm: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArgs {
    #[arg(value_name = "HOST")]
    host: String,

    /// No other manager looks after it any more
    #[arg(long)]
    confirm: bool,
}

pub(super) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let hosts = all(ctx)?;
    let host = find(&hosts, &args.host)?;
    let vms: Vec<VmView> = Client::connect(ctx)?.ask(Verb::Vms)?;
    ctx.print(&before(host, &vms))?;
    if !args.confirm {
        return Err(Failure::with_exit(Exit::Refused, "nothing was done").hint(format!(
            "go and see that {} is off, then: dormouse host fence {} --confirm",
            host.name, host.name
        )));
    }
    let view = Client::connect(ctx)?.order(OrderWord::Fence { host: host.name.clone() })?;
    let mut text = format!("\n{} counts as off, by the word of {}.\n", safe(&host.name), safe(&view.by));
    for event in &view.told {
        let field =
            |key: &str| event.fields.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value);
        match event.name.as_str() {
            "host.fenced" => {
                let count: usize = field("vms").parse().unwrap_or(0);
                _ = writeln!(text, "{} to be started elsewhere.", counted(count, "VM"));
            }
            "restart.waits" => {
                _ = writeln!(text, "{}: {}", safe(field("vm")), waits(field("why"), &safe(field("hosts"))));
            }
            _ => {}
        }
    }
    text += "`dormouse events --follow` shows them start; `dormouse vm list` where they are.\n";
    ctx.print(&text)
}

/// What is known of the host, and what the word would mean.
fn before(host: &HostView, vms: &[VmView]) -> String {
    let mut text = format!("{} is {} for {}", safe(&host.name), host.state, age(host.in_state_ms));
    if let Some(seen) = host.seen_ms {
        _ = write!(text, "; it last answered {} ago", age(seen));
    }
    text += ".\n";
    if let Some(error) = &host.error {
        _ = writeln!(text, "The last look at it ended so: {}", safe(error));
        if error.contains("refused") {
            text += "A connection that is refused is refused by somebody: the machine is on.\n";
        }
    }
    let held: Vec<&VmView> = vms
        .iter()
        .filter(|vm| vm.host.as_ref() == Some(&host.name) || vm.hosts.contains(&host.name))
        .collect();
    if held.is_empty() {
        text += "No VM was there when it was last seen.\n";
    } else {
        text += "VMs there when it was last seen:\n";
        for vm in &held {
            let bound = vm.immovable.as_deref().map(|why| format!("; stays down: {}", safe(why)));
            _ = writeln!(
                text,
                "  {}  {} MiB, {}{}",
                safe(&vm.name),
                vm.mem_mib,
                vm.state,
                bound.unwrap_or_default()
            );
        }
        text += "With your word they start again on other hosts, as soon as every other host is seen without them or is off.\n\
                 If the machine runs after all, each of them then runs twice and its disk is lost.\n";
    }
    text
}

fn waits(why: &str, hosts: &str) -> String {
    match why {
        "may-run-there" => format!("waits, since nobody knows that it does not run on {hosts}"),
        "no-room" => "waits, since no host has room for it".to_owned(),
        "paused" => "waits for `dormouse resume`".to_owned(),
        "bound-to-its-host" => "stays down: its disk or a device of it is in that host".to_owned(),
        "stays-stopped" => "stays down: it was paused or stopped there".to_owned(),
        "fails" => "waits: it could not be started several times".to_owned(),
        other => format!("waits ({})", safe(other)),
    }
}

pub(super) fn adopt(args: &AdoptArgs, ctx: &Ctx) -> Result<(), Failure> {
    let hosts = all(ctx)?;
    let host = find(&hosts, &args.host)?;
    let name = safe(&host.name);
    if !args.confirm {
        ctx.print(&format!(
            "The guard on {name} obeys one cluster and remembers its highest epoch; it refuses every other.\n\
             With your word it obeys this cluster from now on. Two managers must never share a host.\n"
        ))?;
        return Err(Failure::with_exit(Exit::Refused, "nothing was done").hint(format!(
            "when no other manager looks after {name}: dormouse host adopt {name} --confirm"
        )));
    }
    super::orders::give(
        ctx,
        OrderWord::Adopt { host: host.name.clone() },
        &format!("{} obeys this cluster from now on", host.name),
    )
}
