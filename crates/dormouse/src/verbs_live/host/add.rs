//! `dormouse host add`: look at hosts once, confirm their ssh keys, give them certificates for moves between hosts, and
//! write their lines into the cluster text. The same verb again mends what is missing and renews what comes to its end.
//!
//! Nothing is done before every host named was reached. On a host nothing changes but what `rollout` says.

use super::confirm;
use super::pin::pin_key;
use super::rollout::{self, Rollout, Target};
use crate::cli::{Ctx, Exit, Failure, counted, safe};
use crate::config::Config;
use crate::verbs::input::settings;
use crate::verbs_live::inventory;
use crate::verbs_live::run::libvirt;
use dormouse_control::HostMemory;
use dormouse_driver::{Probe as _, Store as _};
use dormouse_model::{Cluster, HostFacts, HostSpec, Millis, ProbeError, text};
use dormouse_store::SqliteStore;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinSet;

const DEADLINE: Millis = Millis::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A name of the cluster text, or where ssh finds a new host; ranges like lab[01-12] are several
    #[arg(value_name = "HOST", required = true)]
    pub(super) hosts: Vec<String>,

    /// HOST is what to call it, and this is where ssh finds it: [user@]host[:port], or `local` for this machine
    #[arg(long, value_name = "ADDRESS")]
    pub(super) address: Option<String>,

    /// The private key that the hosts accept; as in the settings unless given
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,

    /// The fingerprint of its ssh key as you know it: SHA256:…
    #[arg(long, value_name = "FINGERPRINT")]
    pub(super) fingerprint: Option<String>,

    /// Accept the ssh keys of hosts that were never seen; one that changed is refused all the same
    #[arg(long, conflicts_with = "fingerprint")]
    pub(super) accept_new: bool,

    /// Leave libvirt's certificates as they are
    #[arg(long)]
    pub(super) no_certificates: bool,

    /// Put our certificates in place of another CA's, and keep those beside them as *.dormouse-old
    #[arg(long, conflicts_with = "no_certificates")]
    pub(super) replace_certificates: bool,

    /// Look, say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,

    /// Do not ask: accept the ssh keys that the hosts show, and write
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// One host of the command line.
struct Asked {
    spec: HostSpec,
    /// It has its line already.
    known: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let mut config = settings(ctx)?.config;
    if let Some(key) = &args.key {
        config.ssh_identity = Some(key.clone());
    }
    let (source, cluster) = inventory::read(&config.cluster)?;
    let mut asked = asked(args, &cluster)?;
    let mut strangers = 0;
    for host in &asked {
        if address(&host.spec) != dormouse_libvirt::LOCAL
            && !pin_key(address(&host.spec), args, ctx, &mut config)?
        {
            strangers += 1;
        }
    }
    if strangers > 0 {
        return ctx.print(&format!(
            "{} not known yet: no more is said before their keys are accepted. Nothing was done.\n",
            counted(strangers, "host")
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start").because(&error))?;
    let facts = runtime.block_on(look(&config, &asked))?;
    let rollout = Rollout::new(&config);
    let mut targets = runtime
        .block_on(rollout.visit(&asked.iter().map(|host| &host.spec).zip(&facts).collect::<Vec<_>>()))?;
    let mut lines = vec![];
    for ((host, facts), target) in asked.iter_mut().zip(&facts).zip(&mut targets) {
        if !host.known {
            call_by_its_own_name(host, target, &cluster)?;
            lines.push(line(&host.spec, facts));
        }
    }
    refuse_same_names(&asked)?;
    runtime.block_on(refuse_twins(&config, &asked, &facts, &rollout))?;

    let mut new = source;
    for line in &lines {
        new = inventory::with_host_line(&new, line);
    }
    let new_cluster = text::parse(&new).map_err(|error| {
        Failure::new("the cluster text would not be right with the new line").because_of(error.to_string())
    })?;
    for (host, facts) in asked.iter().zip(&facts) {
        for failure in &facts.failures {
            ctx.print(&format!("note: {}: {}\n", safe(&host.spec.name), safe(&failure.to_string())))?;
        }
        if facts.wake_on_lan == Some(false) && !host.known {
            ctx.print(&format!("note: {}: its network card does not listen for a wake; `ethtool -s CARD wol g` on the host changes that\n", safe(&host.spec.name)))?;
        }
    }
    for line in &lines {
        ctx.print(&format!("{}\n", safe(line)))?;
    }
    let plan = if args.no_certificates {
        rollout::Plan::default()
    } else {
        rollout.plan(&targets, &new_cluster, args.replace_certificates)?
    };
    ctx.print(&plan.to_string())?;
    if args.dry_run {
        return ctx.print("Nothing was done.\n");
    }
    if lines.is_empty() && plan.is_nothing() {
        return ctx.print("There is nothing to do.\n");
    }
    confirm(args.yes, ctx, "Go on?")?;
    // The line first: a host with certificates that is in no text would be on lists and looked after by nobody.
    if !lines.is_empty() {
        inventory::replace(&config.cluster, &new)?;
        ctx.print(&format!(
            "{} in {}; a running daemon takes it in with SIGHUP\n",
            names(asked.iter().filter(|host| !host.known).map(|host| host.spec.name.as_str())),
            config.cluster.display()
        ))?;
    }
    runtime.block_on(rollout.carry_out(plan, ctx))
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| safe(name).into_owned()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

fn address(spec: &HostSpec) -> &str {
    spec.address.as_deref().unwrap_or(&spec.name)
}

/// The hosts named, each once: those of the cluster text, and new ones of which nothing but the address is known.
fn asked(args: &Args, cluster: &Cluster) -> Result<Vec<Asked>, Failure> {
    let mut all: Vec<Asked> = vec![];
    if let Some(address) = &args.address {
        let [name] = &args.hosts[..] else {
            return Err(Failure::usage("--address goes with one HOST"));
        };
        let same =
            cluster.hosts.iter().find(|host| host.name == *name && host.address.as_ref() == Some(address));
        if let Some(spec) = same {
            return Ok(vec![Asked { spec: spec.clone(), known: true }]);
        }
        refuse_known(cluster, name, address)?;
        return Ok(vec![Asked { spec: bare_spec(name, address)?, known: false }]);
    }
    for word in &args.hosts {
        for name in expanded(word) {
            let spec =
                cluster.hosts.iter().find(|host| host.name == name || host.address.as_deref() == Some(&name));
            let one = match spec {
                Some(spec) => Asked { spec: spec.clone(), known: true },
                None => {
                    let place = name.rsplit_once('@').map_or(name.as_str(), |(_, place)| place);
                    let bare = match place.rsplit_once(':') {
                        Some((host, _)) if !host.contains(':') => host,
                        _ => place,
                    };
                    Asked { spec: bare_spec(bare.trim_matches(['[', ']']), &name)?, known: false }
                }
            };
            if all.iter().all(|other| other.spec.name != one.spec.name) {
                all.push(one);
            }
        }
    }
    Ok(all)
}

/// A range of the cluster text is several names; whatever else is an address.
fn expanded(word: &str) -> Vec<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.[],".contains(c);
    let range = word.contains('[') && !word.starts_with('[') && word.chars().all(plain);
    let hosts = range.then(|| text::parse(&format!("cluster x\nhost {word} cpus=1 mem=1M\n")).ok()).flatten();
    hosts.map_or_else(
        || vec![word.to_owned()],
        |cluster| cluster.hosts.into_iter().map(|host| host.name).collect(),
    )
}

fn refuse_known(cluster: &Cluster, name: &str, address: &str) -> Result<(), Failure> {
    let known =
        cluster.hosts.iter().find(|host| host.name == name || host.address.as_deref() == Some(address));
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
fn bare_spec(name: &str, address: &str) -> Result<HostSpec, Failure> {
    let odd =
        |text: &str| text.contains(|c: char| c.is_whitespace() || c.is_control() || "#\"'=,[".contains(c));
    // An IPv6 address is no name; the host is asked for its own.
    let called = if name.contains(':') { "unnamed" } else { name };
    if odd(name) || odd(address.trim_start_matches('[')) || address.starts_with('-') {
        return Err(Failure::usage(format!("`{name}` at `{address}` cannot be a host"))
            .hint("a name has letters, digits, `.`, `_` and `-`; an address is [user@]host[:port]"));
    }
    let bare = format!("cluster x\nhost {called} address={address} cpus=1 mem=1M\n");
    let cluster = text::parse(&bare).map_err(|error| {
        Failure::usage(format!("`{name}` at `{address}` cannot be a host")).because_of(error.to_string())
    })?;
    match <[HostSpec; 1]>::try_from(cluster.hosts) {
        Ok([host]) => Ok(HostSpec { name: name.to_owned(), ..host }),
        Err(hosts) => Err(Failure::usage(format!("`{name}` names {} hosts", hosts.len()))
            .hint("--address goes with one host")),
    }
}

/// A host that was given by its IP address is called as it calls itself.
fn call_by_its_own_name(host: &mut Asked, target: &mut Target, cluster: &Cluster) -> Result<(), Failure> {
    if host.spec.name.parse::<IpAddr>().is_err() {
        return Ok(());
    }
    let own = target.hostname().split('.').next().unwrap_or_default().to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let usable = !own.is_empty() && own != "localhost" && own.chars().all(plain) && !own.starts_with('-');
    if !usable || cluster.hosts.iter().any(|other| other.name == own) {
        return Err(Failure::with_exit(
            Exit::Refused,
            format!("the host at {} has no name that it could be called by", host.spec.name),
        )
        .because_of(format!("it calls itself `{}`", safe(&own)))
        .hint(format!("dormouse host add NAME --address {}", address(&host.spec))));
    }
    target.rename(&own);
    host.spec.name = own;
    Ok(())
}

fn refuse_same_names(asked: &[Asked]) -> Result<(), Failure> {
    let twice = asked
        .iter()
        .enumerate()
        .find(|(at, host)| asked[..*at].iter().any(|other| other.spec.name == host.spec.name));
    twice.map_or(Ok(()), |(_, host)| {
        Err(Failure::with_exit(
            Exit::Refused,
            format!("two of these hosts call themselves {}", safe(&host.spec.name)),
        )
        .hint("add them one by one: dormouse host add NAME --address ADDRESS"))
    })
}

/// All at once; nothing goes on before each has answered.
async fn look(config: &Config, asked: &[Asked]) -> Result<Vec<HostFacts>, Failure> {
    let libvirt = Arc::new(libvirt(config));
    let mut looks = JoinSet::new();
    for (at, host) in asked.iter().enumerate() {
        let (libvirt, spec) = (Arc::clone(&libvirt), host.spec.clone());
        looks.spawn(async move { (at, libvirt.look(&spec, DEADLINE).await) });
    }
    let mut answers = looks.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    let read = |(at, answer): (usize, Result<HostFacts, ProbeError>)| {
        answer.map_err(|error| not_reached(&asked[at].spec, &error))
    };
    answers.into_iter().map(read).collect()
}

/// What was seen, as a line. Live hosts keep memory for themselves and each VM costs a little more than its own.
fn line(spec: &HostSpec, facts: &HostFacts) -> String {
    let macs: Vec<String> =
        facts.macs.iter().map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":")).collect();
    let mac = if macs.is_empty() { String::new() } else { format!(" mac={}", macs.join(",")) };
    let reserve = (facts.mem.0 / 20).max(512).min(facts.mem.0 / 2);
    format!(
        "host {} address={}{mac} cpus={} mem={}M reserve={reserve}M overhead=64M unproven",
        spec.name,
        address(spec),
        facts.cpus,
        facts.mem.0
    )
}

/// The machine itself, under whatever name it was added before (fault U13).
async fn refuse_twins(
    config: &Config,
    asked: &[Asked],
    facts: &[HostFacts],
    rollout: &Rollout,
) -> Result<(), Failure> {
    let mut known: Vec<(uuid::Uuid, String)> = rollout.machines()?;
    let path = config.store();
    if path.exists() {
        let cannot = |error: &dyn std::error::Error| Failure::new("the store cannot be read").because(error);
        let store = SqliteStore::open(&path).map_err(|error| cannot(&error))?;
        let kept = store.load().await.map_err(|error| cannot(&error))?;
        let hosts =
            kept.hosts.into_iter().filter_map(|(_, value)| serde_json::from_value::<HostMemory>(value).ok());
        known.extend(hosts.filter_map(|host| Some((host.machine?, host.host))));
    }
    for (host, facts) in asked.iter().zip(facts) {
        let name = &host.spec.name;
        if let Some((machine, other)) =
            known.iter().find(|(machine, other)| *machine == facts.machine && other != name)
        {
            return Err(Failure::with_exit(
                Exit::Refused,
                format!("this machine is known as {} already (machine {machine})", safe(other)),
            )
            .because_of(format!("{} and {} are one", safe(name), safe(other))));
        }
        known.push((facts.machine, name.clone()));
    }
    Ok(())
}

pub(super) fn not_reached(spec: &HostSpec, error: &ProbeError) -> Failure {
    let hint = match error {
        ProbeError::Auth(_) => {
            "name the private key with --key, and put its public half into ~/.ssh/authorized_keys on the host"
        }
        ProbeError::Identity(_) => {
            "if the host was installed anew, remove its old key from the known hosts; if not, someone else answers there"
        }
        _ => "the address is used by ssh as it stands: `ssh ADDRESS true` must work",
    };
    Failure::with_exit(
        Exit::Unreachable,
        format!("{} at {} cannot be looked at", safe(&spec.name), safe(address(spec))),
    )
    .because(error)
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::{Mib, MilliCpu, Permille};

    fn words(hosts: &[&str], address: Option<&str>) -> Args {
        Args {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            address: address.map(str::to_owned),
            key: None,
            fingerprint: None,
            accept_new: false,
            no_certificates: false,
            replace_certificates: false,
            dry_run: false,
            yes: true,
        }
    }

    fn cluster() -> Cluster {
        text::parse("cluster x\nhost lab07 address=10.0.0.7 cpus=2 mem=2G\n").expect("reads")
    }

    #[test]
    fn what_was_seen_becomes_a_line_that_reads_back() {
        let facts = HostFacts {
            machine: uuid::Uuid::from_u128(1),
            boot: uuid::Uuid::from_u128(2),
            uptime: Millis(0),
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
        let line = line(&bare_spec("lab07", "root@10.0.0.7:2222").expect("a host"), &facts);
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
            ("lab07", "-oProxyCommand=reboot"),
            ("lab07\nhost x", "10.0.0.7"),
        ] {
            assert!(bare_spec(name, address).is_err(), "{name:?} at {address:?}");
        }
        assert!(bare_spec("lab07", "10.0.0.7").is_ok());
        for word in ["$(reboot)", "a b", "", "-oX", "a\nhost b", "lab[01-"] {
            assert!(asked(&words(&[word], None), &cluster()).is_err(), "{word:?}");
        }
    }

    #[test]
    fn words_are_hosts_of_the_text_or_addresses_and_each_host_once() {
        let read = |hosts: &[&str]| -> Vec<(String, String, bool)> {
            let all = asked(&words(hosts, None), &cluster()).expect("reads");
            all.into_iter()
                .map(|one| (one.spec.name.clone(), address(&one.spec).to_owned(), one.known))
                .collect()
        };
        let one = |name: &str, address: &str, known| (name.to_owned(), address.to_owned(), known);
        assert_eq!(read(&["lab07", "10.0.0.7"]), [one("lab07", "10.0.0.7", true)]);
        assert_eq!(
            read(&["lab[08-09]", "root@lab10:2222"]),
            [
                one("lab08", "lab08", false),
                one("lab09", "lab09", false),
                one("lab10", "root@lab10:2222", false)
            ]
        );
        assert_eq!(read(&["root@10.0.0.9"]), [one("10.0.0.9", "root@10.0.0.9", false)]);
        assert!(asked(&words(&["a", "b"], Some("10.0.0.9")), &cluster()).is_err());
    }

    #[test]
    fn a_host_is_not_added_twice() {
        let add =
            |name, address| asked(&words(&[name], Some(address)), &cluster()).map(|all| all[0].known).ok();
        assert_eq!(add("lab07", "10.0.0.8"), None);
        assert_eq!(add("lab08", "10.0.0.7"), None);
        assert_eq!(add("lab08", "10.0.0.8"), Some(false));
        assert_eq!(add("lab07", "10.0.0.7"), Some(true), "once more: what is missing is mended");
    }
}
