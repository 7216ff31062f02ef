//! `dormouse run`: the daemon, from its settings to its end.

use super::kept::{Kept, NotOpened};
use super::secrets;
use crate::cli::{CleanLog, Ctx, Exit, Failure, safe};
use crate::config::{Config, HostCpu, LogFormat, Transport};
use crate::daemon::{
    DaemonClock, Definitions, Ended, Handle, Lead, Listening, Rim, Runner, Standby, Systemd, Waited, who,
};
use crate::verbs::input;
use dormouse_driver::{Lease, LeaseError, Remembered, Store, StoreError};
use dormouse_libvirt::{Libvirt, MoveSettings, Settings as LibvirtSettings, SshSettings, Way};
use dormouse_model::{Cluster, HostState};
use dormouse_power::WolAndGuard;
use dormouse_store::OpenError;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

pub(crate) fn run(ctx: &Ctx) -> Result<(), Failure> {
    let config = input::settings(ctx)?.config;
    start_log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start").because(&error))?;
    let done = runtime.block_on(serve(ctx, config));
    // A driver that hangs does not keep the program: its sockets close with it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// Until it is told to stop. A reload is a restart within the process, and so is the way from standing by to leading and
/// back: everything that matters is in the store.
async fn serve(ctx: &Ctx, mut config: Config) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::new("cannot wait for signals").because(&error);
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate()).map_err(cannot)?,
        interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
        reload: signal(SignalKind::hangup()).map_err(cannot)?,
    };
    let mut cluster = live_cluster(&config.cluster)?;
    prepare(&config)?;
    let Some(store) = open_store(&config, &mut signals).await? else { return Ok(()) };
    // Before the first look: whoever starts on a damaged history does nothing, and stands by for nobody.
    tokio::select! {
        damage = damage(store.store()) => if let Some(error) = damage {
            return Err(damaged(&store, &error));
        },
        _ = signals.terminate.recv() => return Ok(()),
        _ = signals.interrupt.recv() => return Ok(()),
    }
    let swept = dormouse_libvirt::sweep();
    if swept > 0 {
        tracing::debug!("{swept} folders of connections of a killed program were removed");
    }
    let systemd = Arc::new(Systemd::of_environment());
    let mut first = true;
    loop {
        match live(&config, &cluster, &store, ctx, &mut signals, (first, &systemd)).await? {
            Next::Stop => return Ok(()),
            Next::Again => {}
            Next::Reload(new) => (config, cluster) = *new,
        }
        first = false;
    }
}

/// Between two tries to read the whole store.
const VERIFY_AGAIN: Duration = Duration::from_secs(2);

enum Next {
    Stop,
    /// The lead was won or lost.
    Again,
    Reload(Box<(Config, Cluster)>),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

/// From taking the lead, or waiting for it, to its end.
async fn live(
    config: &Config,
    cluster: &Cluster,
    store: &Kept,
    ctx: &Ctx,
    signals: &mut Signals,
    (first, systemd): (bool, &Arc<Systemd>),
) -> Result<Next, Failure> {
    let listening = Listening::bind(&config.socket).await.map_err(|error| {
        Failure::new(format!("cannot listen on {}", config.socket.display()))
            .because(&error)
            .hint("name another `socket` in the settings, or stop the daemon that uses this one")
    })?;
    let (clock, lease) = (daemon_clock(config), store.lease());
    let asked = clock.mono();
    let (lead, listening) = match lease.campaign(&who()).await {
        Ok(term) => (Lead { term, asked }, listening),
        Err(LeaseError::Held { who }) if first && !store.is_shared() => {
            return Err(Failure::with_exit(Exit::Refused, format!("another manager leads: {who}"))
                .hint("one manager uses a store; `dormouse status` asks the one that runs"));
        }
        Err(LeaseError::Store(error @ (StoreError::Damaged(_) | StoreError::Newer { .. }))) => {
            return Err(damaged(store, &error));
        }
        Err(error) if first && !store.is_shared() => {
            return Err(Failure::new("the lead cannot be taken").because(&error));
        }
        Err(error) => {
            let leader = if let LeaseError::Held { who } = error { who } else { "not known".to_owned() };
            let standby =
                Standby::new(store.store(), Arc::clone(&lease), clock.clone(), leader, Arc::clone(systemd));
            let handle = standby.handle();
            let serving = listening.serve(handle.clone(), store.store());
            let usual = format!("stands by for cluster {}", config.cluster.display());
            systemd.ready(config.observe_every, &usual);
            let told = (&**systemd, usual.as_str());
            match obeying(tokio::spawn(standby.run()), &handle, ctx, config, signals, told).await? {
                (Waited::Leads(lead), Next::Again) => (lead, serving.again()),
                // Told to stop in the same moment: the lease ends by itself.
                (Waited::Leads(_) | Waited::Ended, next) => return Ok(next),
                (Waited::Failed(error), _) => return Err(damaged(store, &error)),
            }
        }
    };
    let kept = match load(&*store.store(), &*lease, lead).await {
        Ok(kept) => kept,
        // The lead is lost, or the store cannot be asked: nothing was begun.
        Err(StoreError::Unknown(why) | StoreError::NotWritten(why)) if store.is_shared() => {
            tracing::error!("the lead was taken, and the store cannot be read: {why}");
            _ = lease.resign(lead.term.epoch).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Ok(Next::Again);
        }
        Err(error) => return Err(damaged(store, &error)),
    };
    let rim = rim(config, cluster.clone(), store, lease, clock, &kept);
    let runner = Runner::start(rim, config.settings(), &kept, lead)
        .map_err(|error| damaged(store, &error))?
        .watched_by(Arc::clone(systemd), config.observe_every);
    let handle = runner.handle();
    let _serving = listening.serve(handle.clone(), store.store());
    tracing::info!(
        "{} on cluster {}, epoch {}; {} open intents; verbs at {}",
        config.mode,
        safe(&config.cluster.display().to_string()),
        lead.term.epoch,
        kept.open.len(),
        config.socket.display()
    );
    let usual = format!("{} on cluster {}", config.mode, config.cluster.display());
    systemd.ready(config.observe_every, &usual);
    let told = (&**systemd, usual.as_str());
    let mut verifying = JoinSet::new();
    verifying.spawn(damage(store.store()));
    let mut running =
        std::pin::pin!(obeying(tokio::spawn(runner.run()), &handle, ctx, config, signals, told));
    let found = loop {
        tokio::select! {
            ended = &mut running => return ended.map(|(_, next)| next),
            Some(verified) = verifying.join_next() => match verified {
                Ok(None) => {}
                Ok(Some(error)) => break error,
                Err(error) => break StoreError::Unknown(format!("verifying it failed: {error}")),
            },
        }
    };
    tracing::error!("{found}; this manager stops");
    handle.stop(Ended::Stopped).await;
    running.await?;
    Err(damaged(store, &found))
}

/// What is damaged anywhere in the store. A new leader does not wait for it: what it begins with was verified when it was read.
async fn damage(store: Arc<dyn Store>) -> Option<StoreError> {
    loop {
        match store.verify().await {
            Ok(()) => return None,
            Err(error @ (StoreError::Damaged(_) | StoreError::Newer { .. })) => return Some(error),
            Err(error) => tracing::warn!("the store could not be verified, and will be: {error}"),
        }
        tokio::time::sleep(VERIFY_AGAIN).await;
    }
}

/// What a leader begins with, with the lead kept meanwhile.
async fn load(store: &dyn Store, lease: &dyn Lease, lead: Lead) -> Result<Remembered, StoreError> {
    let mut loading = std::pin::pin!(store.load());
    let mut renewals = tokio::time::interval(Duration::from_millis(lead.term.lasts.0 / 3));
    loop {
        tokio::select! {
            kept = &mut loading => return kept,
            // One that fails shows when the term is next renewed.
            _ = renewals.tick() => {
                _ = lease.renew(lead.term.epoch).await;
            }
        }
    }
}

/// Waits for the end of a loop and hands it what signals ask for; says what comes next; by itself a loop ends when the
/// lead is won or lost.
async fn obeying<T>(
    mut running: tokio::task::JoinHandle<T>,
    handle: &Handle,
    ctx: &Ctx,
    config: &Config,
    signals: &mut Signals,
    (systemd, usual): (&Systemd, &str),
) -> Result<(T, Next), Failure> {
    let mut next = Next::Again;
    loop {
        tokio::select! {
            ended = &mut running => {
                // The loop itself failed: a mistake of ours. Nothing more is done; a restart finds everything in the store.
                let failed = |error: tokio::task::JoinError| Failure::new("the daemon failed").because(&error).hint("please report it with the log above");
                return Ok((ended.map_err(failed)?, next));
            }
            _ = signals.terminate.recv() => {
                next = Next::Stop;
                systemd.stopping();
                handle.stop(Ended::Stopped).await;
            }
            _ = signals.interrupt.recv() => {
                next = Next::Stop;
                systemd.stopping();
                handle.stop(Ended::Stopped).await;
            }
            () = reload(&mut signals.reload, handle) => {
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

/// When a signal or a person asks for it.
async fn reload(signal: &mut Signal, handle: &Handle) {
    tokio::select! {
        _ = signal.recv() => {}
        () = handle.reload_asked() => {}
    }
}

/// All or nothing: what is running changes only when everything new can be used.
fn reread(ctx: &Ctx, before: &Config) -> Result<(Config, Cluster), Failure> {
    let config = input::settings(ctx)?.config;
    let fixed = [
        ("state", config.state == before.state),
        ("store", config.store_kind == before.store_kind),
        ("etcd.endpoints", config.etcd_endpoints == before.etcd_endpoints),
        ("etcd.prefix", config.etcd_prefix == before.etcd_prefix),
        ("socket", config.socket == before.socket),
        ("log.format", config.log_format == before.log_format),
        ("log.level", config.log_level == before.log_level),
    ];
    if let Some((name, _)) = fixed.iter().find(|(_, same)| !same) {
        return Err(
            Failure::usage(format!("`{name}` cannot change while the daemon runs")).hint("restart it")
        );
    }
    secrets::check(&config)?;
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

/// The state folder, and secrets that are secret.
fn prepare(config: &Config) -> Result<(), Failure> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.state).map_err(|error| {
        Failure::new(format!("cannot make the folder {}", config.state.display()))
            .because(&error)
            .hint("run as root, or name another `state` in the settings")
    })?;
    secrets::check(config)
}

/// The store of these settings. `None`: it was told to stop while it waited for an etcd.
#[cfg(feature = "etcd")]
async fn open_store(config: &Config, signals: &mut Signals) -> Result<Option<Kept>, Failure> {
    loop {
        match Kept::open(config).await {
            Ok(store) => return Ok(Some(store)),
            Err(NotOpened::Failed(failure)) => return Err(failure),
            Err(NotOpened::Silent(error)) => {
                tracing::warn!("nothing is done before the store answers: {error}");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = signals.terminate.recv() => return Ok(None),
            _ = signals.interrupt.recv() => return Ok(None),
        }
    }
}

/// The store of these settings: a file answers at once.
#[cfg(not(feature = "etcd"))]
async fn open_store(config: &Config, _: &mut Signals) -> Result<Option<Kept>, Failure> {
    let NotOpened::Failed(failure) = match Kept::open(config).await {
        Ok(store) => return Ok(Some(store)),
        Err(not) => not,
    };
    Err(failure)
}

pub(super) fn cannot_open(error: &OpenError) -> Failure {
    let failure = Failure::new("the store cannot be used: nothing is done without it").because(error);
    if let Some(hint) = error.hint() { failure.hint(hint) } else { failure }
}

fn damaged(store: &Kept, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the store {store} cannot be used: nothing is done without it"))
        .because(error)
        .hint(store.give_up())
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
        Transport::Auto => Way::Best,
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

fn daemon_clock(config: &Config) -> DaemonClock {
    match (config.calendar_from, config.calendar_at) {
        (Some(from), Some(at)) => DaemonClock::system().with_calendar(from, at, config.calendar_rate),
        _ => DaemonClock::system(),
    }
}

fn rim(
    config: &Config,
    cluster: Cluster,
    store: &Kept,
    lease: Arc<dyn Lease>,
    clock: DaemonClock,
    kept: &Remembered,
) -> Rim {
    let libvirt = Arc::new(libvirt(config));
    let power = WolAndGuard::new(libvirt.links());
    Rim {
        probe: Arc::clone(&libvirt) as _,
        hypervisor: libvirt,
        power: Arc::new(power),
        store: store.store(),
        lease,
        shared: store.is_shared(),
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
