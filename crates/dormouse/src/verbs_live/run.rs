//! `dormouse run`: the daemon, from its settings to its end.

use crate::cli::{CleanLog, Ctx, Exit, Failure, safe};
use crate::config::{Config, HostCpu, LogFormat, Transport, credentials};
use crate::daemon::{DaemonClock, Definitions, Ended, Listening, Rim, Runner, Systemd, who};
use crate::verbs::input;
use dormouse_driver::{Lease as _, LeaseError, Remembered, Store as _, Term};
use dormouse_libvirt::{Libvirt, MoveSettings, Settings as LibvirtSettings, SshSettings, Way};
use dormouse_model::{Cluster, HostState};
use dormouse_power::WolAndGuard;
use dormouse_store::{FileLease, OpenError, SqliteStore};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Give up a damaged store: its files are kept aside, everything is looked at anew
    #[arg(long)]
    rebuild_store: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let config = input::settings(ctx)?.config;
    start_log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start").because(&error))?;
    let done = runtime.block_on(serve(args, ctx, config));
    // A driver that hangs does not keep the program: its sockets close with it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

/// Until it is told to stop. A reload is a restart within the process: everything that matters is in the store.
async fn serve(args: &Args, ctx: &Ctx, mut config: Config) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::new("cannot wait for signals").because(&error);
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate()).map_err(cannot)?,
        interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
        reload: signal(SignalKind::hangup()).map_err(cannot)?,
    };
    let mut cluster = live_cluster(&config.cluster)?;
    let store = open_store(&config, args.rebuild_store)?;
    let swept = dormouse_libvirt::sweep();
    if swept > 0 {
        tracing::debug!("{swept} folders of connections of a killed program were removed");
    }
    let systemd = Arc::new(Systemd::of_environment());
    loop {
        match lead(&config, cluster, &store, ctx, &mut signals, &systemd).await? {
            Next::Stop => return Ok(()),
            Next::Reload(new) => (config, cluster) = *new,
        }
    }
}

enum Next {
    Stop,
    Reload(Box<(Config, Cluster)>),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

/// One life of the loop.
async fn lead(
    config: &Config,
    cluster: Cluster,
    store: &SqliteStore,
    ctx: &Ctx,
    signals: &mut Signals,
    systemd: &Arc<Systemd>,
) -> Result<Next, Failure> {
    let listening = Listening::bind(&config.socket).await.map_err(|error| {
        Failure::new(format!("cannot listen on {}", config.socket.display()))
            .because(&error)
            .hint("name another `socket` in the settings, or stop the daemon that uses this one")
    })?;
    let kept = store.load().await.map_err(|error| damaged(&config.store(), &error))?;
    let (lease, term) = take_lead(store).await?;
    let rim = rim(config, cluster, store, lease, &kept);
    let runner = Runner::start(rim, config.settings(), &kept, term)
        .map_err(|error| damaged(&config.store(), &error))?
        .watched_by(Arc::clone(systemd), config.observe_every);
    let handle = runner.handle();
    let _serving = listening.serve(handle.clone(), Arc::new(store.clone()));
    tracing::info!(
        "{} on cluster {}; {} open intents; verbs at {}",
        config.mode,
        safe(&config.cluster.display().to_string()),
        kept.open.len(),
        config.socket.display()
    );
    let usual = format!("{} on cluster {}", config.mode, config.cluster.display());
    systemd.ready(config.observe_every, &usual);
    let running = tokio::spawn(runner.run());
    tokio::pin!(running);
    let mut next = Next::Stop;
    loop {
        tokio::select! {
            ended = &mut running => {
                return match ended {
                    Ok(Ended::Stopped | Ended::Reload) => Ok(next),
                    // The loop itself failed: a mistake of ours. Nothing more is done; a restart finds everything in the store.
                    Err(error) => Err(Failure::new("the daemon failed").because(&error).hint("please report it with the log above")),
                };
            }
            _ = signals.terminate.recv() => {
                systemd.stopping();
                handle.stop(Ended::Stopped).await;
            }
            _ = signals.interrupt.recv() => {
                systemd.stopping();
                handle.stop(Ended::Stopped).await;
            }
            _ = signals.reload.recv() => {
                systemd.reloading();
                match reread(ctx, config) {
                    Ok(new) => {
                        tracing::info!("the settings were read again and are taken into use");
                        next = Next::Reload(Box::new(new));
                        handle.stop(Ended::Reload).await;
                    }
                    Err(failure) => {
                        let why = failure.one_line();
                        tracing::error!("the settings stay as they were: {why}");
                        systemd.ready(config.observe_every, &format!("{usual}; the last reload failed: {why}"));
                    }
                }
            }
        }
    }
}

/// All or nothing: what is running changes only when everything new can be used.
fn reread(ctx: &Ctx, before: &Config) -> Result<(Config, Cluster), Failure> {
    let config = input::settings(ctx)?.config;
    let fixed = [
        ("state", config.state == before.state),
        ("socket", config.socket == before.socket),
        ("log.format", config.log_format == before.log_format),
        ("log.level", config.log_level == before.log_level),
    ];
    if let Some((name, _)) = fixed.iter().find(|(_, same)| !same) {
        return Err(
            Failure::usage(format!("`{name}` cannot change while the daemon runs")).hint("restart it")
        );
    }
    if let Some(key) = config.identity() {
        check_key(&key)?;
    }
    let cluster = live_cluster(&config.cluster)?;
    Ok((config, cluster))
}

/// The cluster text, with what a live host needs.
fn live_cluster(path: &Path) -> Result<Cluster, Failure> {
    let mut cluster = input::cluster(path)?;
    if cluster.hosts.is_empty() {
        // As an editor leaves it in the middle of writing: taken for the truth, every host would be nobody's.
        return Err(Failure::usage(format!("`{}` names no host", path.display()))
            .hint("was the file cut off? `dormouse host add` writes the first one"));
    }
    let lacking = cluster.hosts.iter().find(|host| host.address.is_none());
    if let Some(host) = lacking {
        return Err(Failure::usage(format!("`{}`: host {} has no address", path.display(), safe(&host.name)))
            .hint("give address= on its line (`address=local` for the host this daemon runs on), or `dormouse host add`"));
    }
    for host in &mut cluster.hosts {
        // What a text says of now (`asleep`, `off`) is for plans and scenarios; here hosts are looked at.
        host.state = HostState::On;
        if host.macs.is_empty() && !host.unproven {
            tracing::warn!(
                "host {} has no mac=: it could not be woken, so it is not put to sleep",
                safe(&host.name)
            );
            host.unproven = true;
        }
    }
    Ok(cluster)
}

fn open_store(config: &Config, rebuild: bool) -> Result<SqliteStore, Failure> {
    let path = config.store();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.state).map_err(|error| {
        Failure::new(format!("cannot make the folder {}", config.state.display()))
            .because(&error)
            .hint("run as root, or name another `state` in the settings")
    })?;
    if let Some(key) = config.identity() {
        check_key(&key)?;
    }
    if rebuild {
        let aside = SqliteStore::rebuild(&path, DaemonClock::system().real().as_second())
            .map_err(|error| cannot_open(&error))?;
        tracing::warn!("the store was made anew; what was there is kept as {}", aside.display());
    }
    SqliteStore::open(&path).map_err(|error| cannot_open(&error))
}

fn cannot_open(error: &OpenError) -> Failure {
    let failure = Failure::new("the store cannot be used: nothing is done without it").because(error);
    if let Some(hint) = error.hint() { failure.hint(hint) } else { failure }
}

fn damaged(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the store {} cannot be used: nothing is done without it", path.display()))
        .because(error)
        .hint("restore it from a backup, or start once with `dormouse run --rebuild-store`")
}

/// A private key that others can read is no secret any more.
fn check_key(key: &Path) -> Result<(), Failure> {
    let named = || format!("the ssh key {} cannot be used", key.display());
    let meta = std::fs::metadata(key).map_err(|error| {
        Failure::usage(named()).because(&error).hint("name the private key as `identity` in [ssh]")
    })?;
    // A credential of systemd lies in a folder of this service alone, and the access list by which it is given shows as
    // rights of its group.
    let credential = credentials().is_some_and(|folder| key.starts_with(folder));
    let others = if credential { 0o007 } else { 0o077 };
    if meta.permissions().mode() & others != 0 {
        let hint = format!("chmod 600 {}", key.display());
        return Err(Failure::with_exit(Exit::Refused, named())
            .because_of("other users can read it")
            .hint(hint));
    }
    Ok(())
}

async fn take_lead(store: &SqliteStore) -> Result<(FileLease, Term), Failure> {
    let lease = FileLease::new(store);
    match lease.campaign(&who()).await {
        Ok(term) => Ok((lease, term)),
        Err(LeaseError::Held { who }) => {
            Err(Failure::with_exit(Exit::Refused, format!("another manager leads: {who}"))
                .hint("one manager uses a store; `dormouse status` asks the one that runs"))
        }
        Err(error) => Err(Failure::new("the lead cannot be taken").because(&error)),
    }
}

/// The drivers for these settings.
pub(super) fn libvirt(config: &Config) -> Libvirt {
    let ssh = SshSettings {
        config: config.ssh_config.clone(),
        key: config.identity(),
        known_hosts: config.known_hosts(),
        user: config.ssh_user.clone(),
    };
    let way = match config.transport {
        Transport::Tls => Way::PeerToPeer,
        Transport::Managed => Way::ByUs,
    };
    let cpu = match config.host_cpu {
        HostCpu::Measured => dormouse_libvirt::HostCpu::Measured,
        HostCpu::Guests => dormouse_libvirt::HostCpu::Guests,
    };
    Libvirt::new(LibvirtSettings {
        ssh,
        socket: config.libvirt_socket.clone(),
        shared: config.shared.iter().map(|path| path.display().to_string()).collect(),
        clock_offset: config.clock_offset,
        require_disk_lock: config.require_disk_lock,
        cpu,
        moves: MoveSettings { way, encrypt: config.encrypt, no_progress: config.no_progress },
    })
}

fn rim(config: &Config, cluster: Cluster, store: &SqliteStore, lease: FileLease, kept: &Remembered) -> Rim {
    let libvirt = Arc::new(libvirt(config));
    let power = WolAndGuard::new(libvirt.links());
    let mut clock = DaemonClock::system();
    if let (Some(from), Some(at)) = (config.calendar_from, config.calendar_at) {
        clock = clock.with_calendar(from, at, config.calendar_rate);
    }
    Rim {
        probe: Arc::clone(&libvirt) as _,
        hypervisor: libvirt,
        power: Arc::new(power),
        store: Arc::new(store.clone()),
        lease: Arc::new(lease),
        clock,
        cluster: Arc::new(cluster),
        cluster_id: kept.cluster,
        login_idle: config.login_idle,
        definitions: Arc::new(Definitions::of(kept)),
    }
}

/// To stderr, where systemd and people look for it.
fn start_log(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log_level).map_err(|error| {
        Failure::usage(format!("`log.level` is `{}`", config.log_level))
            .because(&error)
            .hint("error, warn, info, debug or trace")
    })?;
    let json = config.log_format == LogFormat::Json;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(CleanLog { json }).with_target(false);
    match config.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
