//! The names that can be typed now: from the running daemon, or from the cluster text where none answers.
//!
//! For completion alone: what cannot be found out in a moment is left out, and no failure is told.

use super::input;
use crate::cli::Ctx;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) hosts: Vec<String>,
    pub(crate) vms: Vec<String>,
}

pub(crate) fn known(ctx: &Ctx) -> Names {
    let Ok(settings) = input::settings(ctx) else { return Names::default() };
    #[cfg(feature = "live")]
    if let Some(names) = of_daemon(&settings.config.socket) {
        return names;
    }
    let Ok(cluster) = input::cluster(&settings.config.cluster) else { return Names::default() };
    Names {
        hosts: cluster.hosts.iter().map(|host| host.name.clone()).collect(),
        vms: cluster.vms.iter().map(|vm| vm.name.clone()).collect(),
    }
}

#[cfg(feature = "live")]
fn of_daemon(socket: &std::path::Path) -> Option<Names> {
    use crate::daemon::client::Client;
    use crate::daemon::wire::{HostView, Verb, VmView};
    /// Someone has pressed a key and waits.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
    let mut client = Client::within(socket, PATIENCE).ok()?;
    let hosts: Vec<HostView> = client.ask(Verb::Hosts).ok()?;
    let vms: Vec<VmView> = client.ask(Verb::Vms).ok()?;
    Some(Names {
        hosts: hosts.into_iter().map(|host| host.name).collect(),
        vms: vms.into_iter().map(|vm| vm.name).collect(),
    })
}

/// Where names come from, when one is wanted.
pub(crate) type Source = Arc<dyn Fn() -> Names + Send + Sync>;

/// The command line with names offered wherever an argument says that it takes a `HOST` or a `VM`.
pub(crate) fn offered(command: clap::Command, names: &Source) -> clap::Command {
    let offer = |arg: clap::Arg| {
        let takes = |what: &str| {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().any(|name| name.split('|').any(|part| part == what))
        };
        let (host, vm) = (takes("HOST"), takes("VM"));
        if !host && !vm {
            return arg;
        }
        let names = Arc::clone(names);
        arg.add(ArgValueCandidates::new(move || {
            let known = names();
            let mut all = if host { known.hosts } else { vec![] };
            all.extend(if vm { known.vms } else { vec![] });
            all.sort_unstable();
            all.dedup();
            all.into_iter().map(CompletionCandidate::new).collect()
        }))
    };
    command.mut_args(offer).mut_subcommands(|below| offered(below, names))
}
