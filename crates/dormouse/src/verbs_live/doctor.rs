//! `dormouse doctor`: every prerequisite looked at, each with a verdict, the reason and the command that mends it.
//!
//! It looks by the daemon's own probe, and once more closely by a survey; it needs no daemon and changes nothing. What the
//! looks mean is decided in `alone` (one host) and `together` (between hosts), which see data and nothing else.

mod alone;
mod finding;
mod shown;
#[cfg(test)]
mod tests;
mod together;

use crate::cli::{Ctx, Exit, Failure, Format, counted, safe};
use crate::config::{Config, Transport};
use crate::verbs::input::settings;
use crate::verbs_live::run::libvirt;
use crate::verbs_live::{inventory, secrets};
use dormouse_driver::Probe as _;
use dormouse_libvirt::{Libvirt, Survey};
use dormouse_model::text::did_you_mean;
use dormouse_model::{HostFacts, HostSpec, Millis, ProbeError};
use finding::{Finding, Verdict};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// For a connection, a look and a survey each; a host that is well needs a second.
const DEADLINE: Millis = Millis::from_secs(20);
/// Connections made at once: each is a process of ssh.
const AT_ONCE: usize = 32;
/// Who waits longer is told how far it is.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these; all of the cluster text unless given
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What one host answered.
#[derive(Debug)]
struct Patient {
    spec: HostSpec,
    facts: Result<HostFacts, ProbeError>,
    /// Asked only after a good look.
    survey: Result<Survey, ProbeError>,
}

/// What the settings say that verdicts hang on.
#[derive(Clone, Debug)]
struct Rules {
    /// Folders of the shared storage.
    shared: Vec<String>,
    require_disk_lock: bool,
    transport: Transport,
}

impl Rules {
    fn of(config: &Config) -> Self {
        Self {
            shared: config.shared.iter().map(|path| path.display().to_string()).collect(),
            require_disk_lock: config.require_disk_lock,
            transport: config.transport,
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let config = settings(ctx)?.config;
    let hosts = chosen(&config, &args.hosts)?;
    let mut findings = here(&config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start").because(&error))?;
    let patients = runtime.block_on(look_at_all(Arc::new(libvirt(&config)), hosts));
    let rules = Rules::of(&config);
    for patient in &patients {
        findings.extend(alone::findings(patient, &rules));
    }
    findings.extend(together::findings(&patients, &rules));
    match args.format {
        Format::Json => ctx.print_json(&findings)?,
        Format::Text => ctx.print(&shown::text(&findings))?,
    }
    verdict(&findings, &patients)
}

/// The hosts that were asked for, in the order of the cluster text.
fn chosen(config: &Config, asked: &[String]) -> Result<Vec<HostSpec>, Failure> {
    let (_, cluster) = inventory::read(&config.cluster)?;
    if let Some(odd) = asked.iter().find(|name| cluster.host_named(name).is_none()) {
        let near = did_you_mean(odd, cluster.hosts.iter().map(|host| host.name.as_str()));
        let failure = Failure::usage(format!("there is no host `{}` in the cluster text", safe(odd)));
        return Err(match near.trim_start_matches("; ") {
            "" => failure,
            near => failure.hint(near),
        });
    }
    let mut hosts = cluster.hosts;
    hosts.retain(|host| asked.is_empty() || asked.contains(&host.name));
    match hosts.iter().find(|host| host.address.is_none()) {
        Some(host) => {
            Err(Failure::usage(format!("host {} has no address: nothing to look at", safe(&host.name)))
                .hint("give address= on its line (`address=local` for this machine), or `dormouse host add`"))
        }
        None if hosts.is_empty() => {
            Err(Failure::with_exit(Exit::Nothing, "the cluster text has no host").hint("`dormouse host add`"))
        }
        None => Ok(hosts),
    }
}

/// What this machine needs as the manager.
fn here(config: &Config) -> Vec<Finding> {
    let key = match (secrets::check(config), config.identity()) {
        (Err(failure), _) => Finding::fail("ssh key", failure.one_line()),
        (Ok(()), Some(key)) => Finding::ok("ssh key", key.display().to_string()),
        (Ok(()), None) => Finding::ok("ssh key", "as ssh itself finds one; none is named in the settings"),
    };
    let state = match tempfile_in(&config.state) {
        Ok(()) => Finding::ok("state folder", format!("{} takes what we write", config.state.display())),
        Err(error) => Finding::fail("state folder", format!("{}: {error}", config.state.display()))
            .mend_here(format!(
                "install -d -m 700 -o dormouse {}",
                quoted(&config.state.display().to_string())
            )),
    };
    [key, state].map(|finding| finding.about("manager")).into()
}

/// Whether a file can be made there; it is gone again at once.
fn tempfile_in(folder: &std::path::Path) -> std::io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)
}

/// For a shell, whatever it holds.
fn quoted(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-:@".contains(&byte));
    if plain && !text.is_empty() { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

async fn look_at_all(libvirt: Arc<Libvirt>, hosts: Vec<HostSpec>) -> Vec<Patient> {
    let all = hosts.len();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut looks = JoinSet::new();
    for (place, spec) in hosts.into_iter().enumerate() {
        let (libvirt, turns) = (Arc::clone(&libvirt), Arc::clone(&turns));
        looks.spawn(async move {
            let _turn = turns.acquire().await;
            (place, look_at(&libvirt, spec).await)
        });
    }
    let mut patients = vec![];
    let mut waited = tokio::time::interval_at(tokio::time::Instant::now() + QUIET, QUIET / 4);
    let terminal = std::io::stderr().is_terminal();
    let mut drawn = false;
    loop {
        tokio::select! {
            look = looks.join_next() => match look {
                Some(Ok(patient)) => patients.push(patient),
                // A look that panicked has been told on stderr; its host is missing from the list.
                Some(Err(_)) => {}
                None => break,
            },
            _ = waited.tick(), if terminal => {
                drawn = true;
                _ = write!(std::io::stderr(), "\rlooked at {} of {}", patients.len(), counted(all, "host"));
            }
        }
    }
    if drawn {
        _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    patients.sort_by_key(|(place, _)| *place);
    patients.into_iter().map(|(_, patient)| patient).collect()
}

async fn look_at(libvirt: &Libvirt, spec: HostSpec) -> Patient {
    let facts = libvirt.look(&spec, DEADLINE).await;
    let survey = match &facts {
        Ok(_) => libvirt.survey(&spec, DEADLINE).await,
        Err(error) => Err(error.clone()),
    };
    Patient { spec, facts, survey }
}

/// The exit code: a prerequisite that fails is a check that does not hold.
fn verdict(findings: &[Finding], patients: &[Patient]) -> Result<(), Failure> {
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    if failed == 0 {
        return Ok(());
    }
    if patients.iter().all(|patient| patient.facts.is_err()) {
        return Err(Failure::with_exit(Exit::Unreachable, "no host could be looked at"));
    }
    let one = failed == 1;
    Err(Failure::new(format!("{} {}", counted(failed, "check"), if one { "fails" } else { "fail" })))
}
