//! `dormouse host remove`: the reverse of `host add`. The host leaves every list and the cluster text; its VMs, disks and
//! definitions are not touched.

use super::rollout::Rollout;
use super::{all, confirm};
use crate::cli::{Ctx, Exit, Failure, safe};
use crate::verbs::input::settings;
use crate::verbs_live::inventory;
use dormouse_model::text::{self, did_you_mean};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "HOST")]
    host: String,

    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let config = settings(ctx)?.config;
    let (source, cluster) = inventory::read(&config.cluster)?;
    let rollout = Rollout::new(&config);
    let name = args.host.as_str();
    let spec = cluster.hosts.iter().find(|host| host.name == name);
    let has_certificate = rollout.machines()?.iter().any(|(_, host)| host == name);
    if spec.is_none() && !has_certificate {
        let near = did_you_mean(name, cluster.hosts.iter().map(|host| host.name.as_str()));
        let failure = Failure::usage(format!("there is no host `{}`", safe(name)));
        return Err(failure.hint(match near.trim_start_matches("; ") {
            "" => format!("{} names them all", config.cluster.display()),
            near => near.to_owned(),
        }));
    }
    // Where no daemon runs, nobody is going to move a VM there either.
    if let Some(host) = all(ctx).ok().and_then(|hosts| hosts.into_iter().find(|host| host.name == name))
        && !host.vms.is_empty()
    {
        return Err(Failure::with_exit(
            Exit::Refused,
            format!("{} has VMs: {}", safe(name), safe(&host.vms.join(", "))),
        )
        .hint(format!("move them away first: dormouse host drain {}", safe(name))));
    }
    let without = inventory::without_host_line(&source, name).filter(|new| text::parse(new).is_ok());
    let shown = safe(name);
    if has_certificate {
        ctx.print(&format!(
            "{shown}: its certificate is struck off the list of every other host, and taken from it\n"
        ))?;
    }
    ctx.print(&match (&without, spec) {
        (Some(_), _) => format!("{shown}: its line leaves {}\n", config.cluster.display()),
        (None, Some(_)) => format!(
            "{shown}: {} names it together with others or elsewhere, too: that is yours to change\n",
            config.cluster.display()
        ),
        (None, None) => String::new(),
    })?;
    if args.dry_run {
        return ctx.print("Nothing was done.\n");
    }
    confirm(args.yes, ctx, "Go on?")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start").because(&error))?;
    let struck = runtime.block_on(rollout.strike(name, spec, &cluster, ctx));
    if let Some(new) = without {
        inventory::replace(&config.cluster, &new)?;
        ctx.print(&format!(
            "{shown} has left {}; a running daemon sees it with SIGHUP\n",
            config.cluster.display()
        ))?;
    }
    struck
}
