//! `dormouse host add`: look at a host once, confirm its ssh key, and write its line into the cluster text.
//!
//! Nothing is installed or changed on the host.

use crate::cli::{Ctx, Exit, Failure, safe};
use crate::config::Config;
use crate::verbs::input::settings;
use crate::verbs_live::inventory;
use crate::verbs_live::run::libvirt;
use dormouse_control::HostMemory;
use dormouse_driver::{Probe as _, Store as _};
use dormouse_model::{Cluster, HostFacts, HostSpec, Millis, ProbeError, text};
use dormouse_store::SqliteStore;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DEADLINE: Millis = Millis::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to call it
    #[arg(value_name = "NAME")]
    name: String,

    /// Where ssh finds it: [user@]host[:port], or `local` for this machine
    #[arg(long, value_name = "ADDRESS")]
    address: String,

    /// The private key that the host accepts; as in the settings unless given
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The fingerprint of its ssh key as you know it: SHA256:…
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,

    /// Do not ask: accept the ssh key that the host shows, and write
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let mut config = settings(ctx)?.config;
    if let Some(key) = &args.key {
        config.ssh_identity = Some(key.clone());
    }
    let (source, cluster) = inventory::read(&config.cluster)?;
    refuse_known(&cluster, args)?;
    let spec = bare_spec(args)?;
    if args.address != dormouse_libvirt::LOCAL {
        pin_key(args, ctx, &mut config)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start").because(&error))?;
    let facts = runtime
        .block_on(libvirt(&config).look(&spec, DEADLINE))
        .map_err(|error| not_reached(args, &error))?;
    runtime.block_on(refuse_twin(&config, &facts))?;

    let line = line(args, &facts);
    let new = inventory::with_host_line(&source, &line);
    text::parse(&new).map_err(|error| {
        Failure::new("the cluster text would not be right with the new line").because_of(error.to_string())
    })?;
    ctx.print(&format!("{}\n", safe(&line)))?;
    for failure in &facts.failures {
        ctx.print(&format!("note: {}\n", safe(&failure.to_string())))?;
    }
    if facts.wake_on_lan == Some(false) {
        ctx.print("note: its network card does not listen for a wake; `ethtool -s CARD wol g` on the host changes that\n")?;
    }
    confirm(args, ctx, &format!("Add it to {}?", config.cluster.display()))?;
    inventory::replace(&config.cluster, &new)?;
    ctx.print(&format!(
        "{} is in {}; a running daemon takes it in with SIGHUP\n",
        safe(&args.name),
        config.cluster.display()
    ))
}

fn refuse_known(cluster: &Cluster, args: &Args) -> Result<(), Failure> {
    let known = cluster
        .hosts
        .iter()
        .find(|host| host.name == args.name || host.address.as_ref() == Some(&args.address));
    match known {
        None => Ok(()),
        Some(host) => Err(Failure::with_exit(
            Exit::Refused,
            format!(
                "host {} at {} is in the cluster text already",
                host.name,
                host.address.as_deref().unwrap_or("no address")
            ),
        )),
    }
}

/// A host of which nothing but name and address is known, as the cluster text reads it.
fn bare_spec(args: &Args) -> Result<HostSpec, Failure> {
    let odd =
        |text: &str| text.contains(|c: char| c.is_whitespace() || c.is_control() || "#\"'=,[".contains(c));
    if odd(&args.name) || odd(args.address.trim_start_matches('[')) {
        return Err(Failure::usage(format!("`{}` at `{}` cannot be a host", args.name, args.address))
            .hint("a name has letters, digits, `.`, `_` and `-`; an address is [user@]host[:port]"));
    }
    let bare = format!("cluster x\nhost {} address={} cpus=1 mem=1M\n", args.name, args.address);
    let cluster = text::parse(&bare).map_err(|error| {
        Failure::usage(format!("`{}` at `{}` cannot be a host", args.name, args.address))
            .because_of(error.to_string())
    })?;
    match <[HostSpec; 1]>::try_from(cluster.hosts) {
        Ok([host]) => Ok(host),
        Err(hosts) => Err(Failure::usage(format!("`{}` names {} hosts", args.name, hosts.len()))
            .hint("add them one by one")),
    }
}

/// What was seen, as a line. Live hosts keep memory for themselves and each VM costs a little more than its own.
fn line(args: &Args, facts: &HostFacts) -> String {
    let macs: Vec<String> =
        facts.macs.iter().map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":")).collect();
    let mac = if macs.is_empty() { String::new() } else { format!(" mac={}", macs.join(",")) };
    let reserve = (facts.mem.0 / 20).max(512).min(facts.mem.0 / 2);
    format!(
        "host {} address={}{mac} cpus={} mem={}M reserve={reserve}M overhead=64M unproven",
        args.name, args.address, facts.cpus, facts.mem.0
    )
}

/// The machine itself, under whatever name it was added before (fault U13).
async fn refuse_twin(config: &Config, facts: &HostFacts) -> Result<(), Failure> {
    let path = config.store();
    if !path.exists() {
        return Ok(());
    }
    let store =
        SqliteStore::open(&path).map_err(|error| Failure::new("the store cannot be read").because(&error))?;
    let kept =
        store.load().await.map_err(|error| Failure::new("the store cannot be read").because(&error))?;
    let hosts =
        kept.hosts.into_iter().filter_map(|(_, value)| serde_json::from_value::<HostMemory>(value).ok());
    match hosts.into_iter().find(|host| host.machine == Some(facts.machine)) {
        None => Ok(()),
        Some(host) => Err(Failure::with_exit(
            Exit::Refused,
            format!("this machine is known as {} already (machine {})", safe(&host.host), facts.machine),
        )),
    }
}

fn not_reached(args: &Args, error: &ProbeError) -> Failure {
    let hint = match error {
        ProbeError::Auth(_) => {
            "name the private key with --key, and put its public half into ~/.ssh/authorized_keys on the host"
        }
        ProbeError::Identity(_) => {
            "if the host was installed anew, remove its old key from the known hosts; if not, someone else answers there"
        }
        _ => "the address is used by ssh as it stands: `ssh ADDRESS true` must work",
    };
    Failure::with_exit(Exit::Unreachable, format!("{} at {} cannot be looked at", args.name, args.address))
        .because(error)
        .hint(hint)
}

/// Shows the fingerprint of the key that the host has, and keeps the key once a person agrees. A key that is known
/// already is not asked about; ssh itself refuses another one.
fn pin_key(args: &Args, ctx: &Ctx, config: &mut Config) -> Result<(), Failure> {
    let place = args.address.rsplit_once('@').map_or(args.address.as_str(), |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port),
        _ => (place, "22"),
    };
    let file = config.known_hosts().unwrap_or_else(|| config.state.join("ssh/known_hosts"));
    config.ssh_known_hosts = Some(file.clone());
    let entry = if port == "22" { host.to_owned() } else { format!("[{host}]:{port}") };
    if tool("ssh-keygen", &["-F", &entry, "-f", &file.display().to_string()], None)
        .is_ok_and(|found| !found.is_empty())
    {
        return Ok(());
    }
    let keys = tool("ssh-keyscan", &["-T", "10", "-t", "ed25519", "-p", port, "--", host], None)?;
    if keys.trim().is_empty() {
        return Err(Failure::with_exit(Exit::Unreachable, format!("{} shows no ssh key", safe(place)))
            .hint("is sshd running there, and is the address right?"));
    }
    let shown = tool("ssh-keygen", &["-l", "-f", "-"], Some(&keys))?;
    let fingerprint = shown.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap_or_default();
    match &args.fingerprint {
        Some(known) if known == fingerprint => {}
        Some(known) => {
            let message = format!("{} shows the key {}, not {}", safe(place), safe(fingerprint), safe(known));
            return Err(
                Failure::with_exit(Exit::Refused, message).hint("someone else may answer at this address")
            );
        }
        None => {
            ctx.print(&format!("{} shows the ssh key {}\n", safe(place), safe(fingerprint)))?;
            confirm(args, ctx, "Is it that of your host?")?;
        }
    }
    keep_key(&file, &keys)
}

fn keep_key(file: &Path, keys: &str) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("cannot write {}", file.display())).because(&error);
    let before = if file.exists() { std::fs::read_to_string(file).map_err(failed)? } else { String::new() };
    let lines = keys.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<&str> = before.lines().chain(lines).collect();
    inventory::replace(file, &(all.join("\n") + "\n"))
}

/// Runs a tool of openssh with fixed words and an address, no shell between.
fn tool(name: &str, args: &[&str], input: Option<&str>) -> Result<String, Failure> {
    use std::io::Write as _;
    let failed = |error: &std::io::Error| {
        Failure::new(format!("cannot run {name}"))
            .because(error)
            .hint("it belongs to Debian's openssh-client")
    };
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut command = Command::new(name);
    let mut child = command
        .args(args)
        .env_clear()
        .envs(dormouse_driver::passed_environment())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(&error))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn confirm(args: &Args, ctx: &Ctx, question: &str) -> Result<(), Failure> {
    if args.yes {
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

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::{Mib, MilliCpu, Permille};

    fn args(name: &str, address: &str) -> Args {
        Args { name: name.to_owned(), address: address.to_owned(), key: None, fingerprint: None, yes: true }
    }

    #[test]
    fn what_was_seen_becomes_a_line_that_reads_back() {
        let facts = HostFacts {
            machine: uuid::Uuid::from_u128(1),
            boot: uuid::Uuid::from_u128(2),
            hypervisor: None,
            cpus: 8,
            mem: Mib(16_000),
            mem_available: Mib(9_000),
            load15: Permille(0),
            cpu_used: MilliCpu(0),
            clock_offset_ms: 0,
            macs: vec![[0x52, 0x54, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0xff]],
            wake_on_lan: Some(true),
            networks: vec![],
            disk_lock: Some(true),
            people_idle: vec![],
            blocks: vec![],
            epoch: None,
            failures: vec![],
            vms: vec![],
        };
        let line = line(&args("lab07", "root@10.0.0.7:2222"), &facts);
        let expected = "host lab07 address=root@10.0.0.7:2222 mac=52:54:00:00:00:01,02:00:00:00:00:ff cpus=8 mem=16000M reserve=800M overhead=64M unproven";
        assert_eq!(line, expected);
        let cluster = text::parse(&format!("cluster x\n{line}\n")).expect("reads");
        assert_eq!(cluster.hosts[0].macs, facts.macs);
        assert_eq!(cluster.hosts[0].address.as_deref(), Some("root@10.0.0.7:2222"));
    }

    #[test]
    fn a_name_that_is_none_is_refused_before_anything_is_run() {
        for (name, address) in [
            ("$(reboot)", "10.0.0.7"),
            ("lab[01-03]", "10.0.0.7"),
            ("lab07", "a mem=1T"),
            ("lab07\nhost x", "10.0.0.7"),
        ] {
            assert!(bare_spec(&args(name, address)).is_err(), "{name:?} at {address:?}");
        }
        assert!(bare_spec(&args("lab07", "10.0.0.7")).is_ok());
    }

    #[test]
    fn a_host_is_not_added_twice() {
        let cluster = text::parse("cluster x\nhost lab07 address=10.0.0.7 cpus=2 mem=2G\n").expect("reads");
        assert!(refuse_known(&cluster, &args("lab07", "10.0.0.8")).is_err());
        assert!(refuse_known(&cluster, &args("lab08", "10.0.0.7")).is_err());
        assert!(refuse_known(&cluster, &args("lab08", "10.0.0.8")).is_ok());
    }
}
