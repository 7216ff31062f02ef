//! `dormouse store`: what the daemon keeps, looked at and handled by a person. Nothing here runs by itself, and nothing
//! that was there is thrown away.

use super::run::cannot_open;
use super::shared::{self, Found};
use crate::cli::{Ctx, Exit, Failure, Format, counted, safe};
use crate::config::{Config, StoreKind};
use crate::daemon::DaemonClock;
use crate::verbs::input;
use dormouse_control::{HostMemory, VmMemory};
use dormouse_driver::{AuditEntry, AuditLine};
use dormouse_model::HostState;
use dormouse_store::{Copied, Dump, OpenError};
use serde::Serialize;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Read all of it, verify every record, and say what is in it
    Show(ShowArgs),
    /// Copy it into a new file, also while a daemon is at work
    Backup(FileArg),
    /// Put a copy in its place; what is there now is kept aside
    Restore(FileArg),
    /// Give up what is in it and begin anew
    Rebuild(RebuildArgs),
    /// Put it elsewhere: from the file into the etcd, or back
    Move(MoveArgs),
    /// Take an etcd that went back in time as it is: restored from a backup, or set up anew with the old data
    Accept,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MoveArgs {
    /// Where to. The settings' `store` names where it is now
    #[arg(long, value_enum)]
    to: To,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// A file of this manager, in `state`
    Sqlite,
    /// The etcd of the settings' [etcd]
    Etcd,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FileArg {
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArgs {
    /// Say that what is remembered shall be given up: hosts that do not answer are then unknown until they do
    #[arg(long, required = true)]
    from_observation: bool,
}

/// What `show --format json` prints.
#[derive(Debug, Serialize)]
struct StoreView {
    store: String,
    schema: u32,
    cluster: String,
    epoch: u64,
    hosts: usize,
    vms: usize,
    settings: usize,
    intents: usize,
    open: usize,
    demand: usize,
    events: usize,
    audit_last: u64,
    audit_hash: String,
}

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Show(args) => show(args, ctx),
        Command::Backup(args) => backup(args, ctx),
        Command::Restore(args) => restore(args, ctx),
        Command::Rebuild(_) => rebuild(ctx),
        Command::Move(args) => move_to(args.to, ctx),
        Command::Accept => accept(ctx),
    }
}

/// Everything in the store of these settings, found whole, and where it is.
fn read(config: &Config) -> Result<Found, Failure> {
    match config.store_kind {
        StoreKind::Etcd => shared::read(config),
        StoreKind::Sqlite => {
            let dump = dormouse_store::read(&config.store()).map_err(|error| failed(&error))?;
            Ok(Found { dump, place: config.store().display().to_string() })
        }
    }
}

/// Everything in the store of these settings, found whole.
pub(super) fn whole(ctx: &Ctx) -> Result<(), Failure> {
    read(&input::settings(ctx)?.config).map(drop)
}

/// The audit log as it is.
pub(super) fn audit_lines(ctx: &Ctx, after: u64) -> Result<Vec<AuditLine>, Failure> {
    let config = input::settings(ctx)?.config;
    match config.store_kind {
        StoreKind::Sqlite => {
            dormouse_store::audit_lines(&config.store(), after).map_err(|error| failed(&error))
        }
        StoreKind::Etcd => {
            let lines = shared::read(&config)?.dump.audit;
            Ok(lines.into_iter().filter(|line| line.seq > after).collect())
        }
    }
}

fn show(args: &ShowArgs, ctx: &Ctx) -> Result<(), Failure> {
    let config = input::settings(ctx)?.config;
    let Found { dump, place } = read(&config)?;
    let copied = Copied::of(&dump, None);
    let (audit_last, audit_hash) = copied.audit.unwrap_or_default();
    let view = StoreView {
        store: place,
        schema: dormouse_store::VERSION,
        cluster: dump.cluster.to_string(),
        epoch: dump.epoch,
        hosts: dump.hosts.len(),
        vms: dump.vms.len(),
        settings: dump.settings.len(),
        intents: dump.intents.len(),
        open: copied.open,
        demand: dump.demand.len(),
        events: dump.events.len(),
        audit_last,
        audit_hash,
    };
    match args.format {
        Format::Json => ctx.print_json(&view),
        Format::Text => ctx.print(&format!(
            "{}  whole, schema {}\ncluster  {}, epoch {}\nholds    {}, {}, {}, {} ({} open), {} of demand, {}\n\
             audit    up to {}:{}\n",
            safe(&view.store),
            view.schema,
            view.cluster,
            view.epoch,
            counted(view.hosts, "host"),
            counted(view.vms, "VM"),
            counted(view.settings, "setting"),
            counted(view.intents, "intent"),
            view.open,
            counted(view.demand, "row"),
            counted(view.events, "event"),
            view.audit_last,
            view.audit_hash
        )),
    }
}

fn backup(args: &FileArg, ctx: &Ctx) -> Result<(), Failure> {
    if args.file.exists() {
        return Err(Failure::new(format!("`{}` is there already", safe(&args.file.display().to_string())))
            .hint("nothing is written over: name another file"));
    }
    let found = read(&input::settings(ctx)?.config)?;
    dormouse_store::write(&args.file, &found.dump).map_err(|error| {
        let named = format!("cannot write `{}`", safe(&args.file.display().to_string()));
        Failure::new(named).because(&error)
    })?;
    let copied = Copied::of(&found.dump, None);
    ctx.print(&format!("copied to {}\n{}", safe(&args.file.display().to_string()), told(&copied)))
}

fn restore(args: &FileArg, ctx: &Ctx) -> Result<(), Failure> {
    let config = input::settings(ctx)?.config;
    state_folder(&config)?;
    let copied = match config.store_kind {
        StoreKind::Sqlite => dormouse_store::restore(&args.file, &config.store(), now_ms(), distrust)
            .map_err(|error| failed(&error))?,
        StoreKind::Etcd => {
            let mut dump = dormouse_store::read(&args.file).map_err(|error| failed(&error))?;
            let there = shared::identity(&config)?;
            if let Some((cluster, _)) = there.filter(|(cluster, _)| *cluster != dump.cluster) {
                let why = format!("the copy is of cluster {}, and the etcd holds {cluster}", dump.cluster);
                return Err(
                    Failure::with_exit(Exit::Refused, "the copy is another cluster's").because_of(why)
                );
            }
            distrust(&mut dump);
            dump.epoch = beyond(dump.epoch.max(there.map_or(0, |(_, epoch)| epoch)));
            dump.note(&AuditEntry::Store { change: "brought back from a copy".to_owned() });
            shared::replace(&config, &dump)?;
            Copied::of(&dump, None)
        }
    };
    ctx.print(&format!(
        "brought back from {}\n{}{UNKNOWN_NOW}",
        safe(&args.file.display().to_string()),
        told(&copied)
    ))
}

fn rebuild(ctx: &Ctx) -> Result<(), Failure> {
    let config = input::settings(ctx)?.config;
    state_folder(&config)?;
    let copied = match config.store_kind {
        StoreKind::Sqlite => {
            dormouse_store::rebuild(&config.store(), now_ms()).map_err(|error| failed(&error))?
        }
        StoreKind::Etcd => {
            let (cluster, epoch) = shared::identity(&config)?.ok_or_else(|| {
                Failure::new("the etcd does not say any more which cluster it held")
                    .hint("the hosts obey one cluster only: `dormouse store restore FILE` brings back a copy")
            })?;
            let mut dump = Dump::empty(cluster, beyond(epoch));
            dump.note(&AuditEntry::Store { change: "made anew, from what is seen".to_owned() });
            shared::replace(&config, &dump)?;
            Copied::of(&dump, None)
        }
    };
    ctx.print(&format!("made anew\n{}", told(&copied)))?;
    ctx.print("start the daemon in mode `observe` first; hosts that do not answer are unknown, not asleep\n")
}

fn accept(ctx: &Ctx) -> Result<(), Failure> {
    let config = input::settings(ctx)?.config;
    if config.store_kind == StoreKind::Sqlite {
        return Err(Failure::with_exit(Exit::Nothing, "there is no etcd to accept: `store` is `sqlite`"));
    }
    state_folder(&config)?;
    let Found { mut dump, .. } = shared::read_whatever(&config)?;
    distrust(&mut dump);
    dump.epoch = beyond(dump.epoch);
    dump.note(&AuditEntry::Store { change: "accepted as it is in the etcd".to_owned() });
    shared::replace(&config, &dump)?;
    ctx.print(&format!("accepted\n{}{UNKNOWN_NOW}", told(&Copied::of(&dump, None))))
}

/// Whole, in one piece, and once: what is left behind says that it is not the store any more.
fn move_to(to: To, ctx: &Ctx) -> Result<(), Failure> {
    let config = input::settings(ctx)?.config;
    let note = |dump: &mut Dump, change: &str| {
        dump.epoch = beyond(dump.epoch);
        dump.note(&AuditEntry::Store { change: change.to_owned() });
    };
    let (dump, aside) = match (config.store_kind, to) {
        (StoreKind::Sqlite, To::Etcd) => {
            let mut dump = read(&config)?.dump;
            note(&mut dump, "moved into the etcd");
            if let Some((cluster, _)) = shared::identity(&config)?.filter(|(there, _)| *there != dump.cluster)
            {
                return Err(Failure::with_exit(Exit::Refused, format!("the etcd holds cluster {cluster}"))
                    .hint("give each cluster a prefix of its own: `prefix` in [etcd]"));
            }
            shared::replace(&config, &dump)?;
            let aside =
                dormouse_store::set_aside(&config.store(), now_ms()).map_err(|error| failed(&error))?;
            (dump, aside)
        }
        (StoreKind::Etcd, To::Sqlite) => {
            let mut dump = shared::read(&config)?.dump;
            note(&mut dump, "moved into a file");
            state_folder(&config)?;
            shared::say_moved(&config)?;
            let copied =
                dormouse_store::replace(&config.store(), &dump, now_ms()).map_err(|error| failed(&error))?;
            (dump, copied.aside)
        }
        (kind, _) => {
            return Err(Failure::with_exit(
                Exit::Nothing,
                format!("`store` is {kind:?} already").to_lowercase(),
            )
            .hint("the settings' `store` says where it is now; --to where it shall be"));
        }
    };
    let word = if to == To::Etcd { "etcd" } else { "sqlite" };
    ctx.print(&format!(
        "moved\n{}now set `store = \"{word}\"` in the settings of every manager, and start them\n",
        told(&Copied::of(&dump, aside))
    ))
}

const UNKNOWN_NOW: &str =
    "hosts that slept when the copy was made are unknown until they are seen or woken\n";

/// Above every epoch that was: they rise by a few a second at most.
fn beyond(epoch: u64) -> u64 {
    epoch.max(now_ms()).saturating_add(1)
}

/// Hosts and VMs went on since the copy was made. A host that slept or was off then may have been woken, have taken VMs,
/// and be silent now for another reason, so it is not known to be empty; it may be woken. And a VM that was owed a start
/// elsewhere may have had it.
fn distrust(dump: &mut Dump) {
    for (_, value) in &mut dump.hosts {
        let Ok(mut host) = serde_json::from_value::<HostMemory>(value.clone()) else { continue };
        let slept = matches!(host.state, HostState::Asleep | HostState::Stopping | HostState::Waking);
        if slept || host.state == HostState::Off {
            host.state = HostState::Unknown;
            host.maybe_asleep = slept;
        }
        host.fenced = false;
        *value = serde_json::to_value(host).expect("plain data");
    }
    for (_, value) in &mut dump.vms {
        let Ok(mut vm) = serde_json::from_value::<VmMemory>(value.clone()) else { continue };
        vm.owed = None;
        *value = serde_json::to_value(vm).expect("plain data");
    }
}

fn told(copied: &Copied) -> String {
    let aside = copied.aside.as_ref().map_or_else(String::new, |aside| {
        format!("what was there is kept as {}\n", safe(&aside.display().to_string()))
    });
    let audit = copied
        .audit
        .as_ref()
        .map_or_else(String::new, |(seq, hash)| format!("; audit log up to {seq}:{hash}"));
    format!(
        "cluster {}, epoch {}, {} open{audit}\n{aside}",
        copied.cluster,
        copied.epoch,
        counted(copied.open, "intent")
    )
}

fn failed(error: &OpenError) -> Failure {
    match error {
        OpenError::Led { .. } => {
            let refused = Failure::with_exit(Exit::Refused, "the store is in use").because(error);
            error.hint().map_or_else(|| Failure::new("the store is in use"), |hint| refused.hint(hint))
        }
        error => cannot_open(error),
    }
}

fn now_ms() -> u64 {
    DaemonClock::system().real().as_millisecond().unsigned_abs()
}

fn state_folder(config: &Config) -> Result<(), Failure> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.state).map_err(|error| {
        Failure::new(format!("cannot make the folder {}", config.state.display())).because(&error)
    })
}
