//! One ssh connection per host: the admin's own ssh, with strict host keys, through which everything travels.
//!
//! The master process is ours and lives as long as its standard input: when this program ends, however it ends, so do
//! all its connections. It carries an idle shell that holds it open, a forward of libvirt's socket, and a channel for
//! each running script. No password is ever asked for, no unknown host key accepted, no agent forwarded.

use async_trait::async_trait;
use dormouse_driver::{Channel, Local, Remote, Script, passed_environment};
use dormouse_model::{HostSpec, Millis, ProbeError};
use openssh::{Session, Stdio};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// How to get into the hosts. What is not given here is up to the admin's own ssh configuration.
#[derive(Clone, Debug, Default)]
pub struct SshSettings {
    pub config: Option<PathBuf>,
    /// Only this key is tried, then.
    pub key: Option<PathBuf>,
    /// The pinned host keys. Only these count, then.
    pub known_hosts: Option<PathBuf>,
    pub user: Option<String>,
}

/// A host that is reached without ssh: the manager's own.
pub const LOCAL: &str = "local";

/// How the names of the folders for connections begin, in the system's folder for temporary files.
pub(crate) const FOLDERS: &str = "dormouse-ssh-";
/// The master's own socket in such a folder, and the near end of libvirt's.
pub(crate) const CONTROL: &str = "m";
pub(crate) const LIBVIRT: &str = "l";

/// Waits doubled with each refusal, so that a wrong key does not look like an attack.
const REFUSED_FIRST: Duration = Duration::from_secs(15);
const REFUSED_MAX: Duration = Duration::from_secs(300);

/// All ssh connections, by host.
#[derive(Debug)]
pub struct Links {
    settings: SshSettings,
    /// libvirt's socket on the hosts.
    socket: PathBuf,
    hosts: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
}

#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    until: Instant,
    wait: Duration,
    why: ProbeError,
}

/// A live connection to one host.
#[derive(Debug)]
pub(crate) struct Link {
    address: String,
    session: Option<Arc<Session>>,
    /// The near end of libvirt's socket.
    pub(crate) libvirt: PathBuf,
    lost: Arc<AtomicBool>,
    _dir: Option<TempDir>,
    /// The master's standard input: it closes when this program ends, even by a kill, and the master ends with it.
    _anchor: Option<ChildStdin>,
    /// Dropping it ends the master at once.
    _end: Option<oneshot::Sender<()>>,
}

impl Link {
    pub(crate) fn is_alive(&self) -> bool {
        !self.lost.load(Ordering::SeqCst)
    }
}

impl Links {
    #[must_use]
    pub fn new(settings: SshSettings, socket: PathBuf) -> Self {
        Self { settings, socket, hosts: Mutex::default() }
    }

    /// The connection to this host, made now if there is none.
    pub(crate) async fn link(&self, host: &HostSpec, until: Instant) -> Result<Arc<Link>, ProbeError> {
        let asked = Instant::now();
        let late = || ProbeError::Timeout(crate::worker::millis(asked.elapsed()));
        let slot = Arc::clone(
            self.hosts.lock().unwrap_or_else(PoisonError::into_inner).entry(host.name.clone()).or_default(),
        );
        let mut slot = timeout_at(until, slot.lock()).await.map_err(|_| late())?;
        let address = host.address.as_deref().unwrap_or(&host.name);
        if let Some(link) = slot.link.as_ref().filter(|link| link.is_alive() && link.address == address) {
            return Ok(Arc::clone(link));
        }
        slot.link = None;
        if let Some(refused) = slot.refused.as_ref().filter(|refused| refused.until > Instant::now()) {
            return Err(refused.why.clone());
        }
        match timeout_at(until, self.connect(address)).await.map_err(|_| late()).and_then(|made| made) {
            Ok(link) => {
                slot.refused = None;
                Ok(Arc::clone(slot.link.insert(Arc::new(link))))
            }
            Err(why) => {
                if matches!(why, ProbeError::Auth(_) | ProbeError::Identity(_)) {
                    let wait = slot
                        .refused
                        .as_ref()
                        .map_or(REFUSED_FIRST, |before| (before.wait * 2).min(REFUSED_MAX));
                    slot.refused = Some(Refused { until: Instant::now() + wait, wait, why: why.clone() });
                } else {
                    slot.refused = None;
                }
                Err(why)
            }
        }
    }

    /// Closes what is open, and tries again at once next time.
    pub fn forget(&self, host: &str) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }

    async fn connect(&self, address: &str) -> Result<Link, ProbeError> {
        if address == LOCAL {
            let lost = Arc::new(AtomicBool::new(false));
            return Ok(Link {
                address: address.to_owned(),
                session: None,
                libvirt: self.socket.clone(),
                lost,
                _dir: None,
                _anchor: None,
                _end: None,
            });
        }
        let destination = Destination::parse(address)?;
        let here = |what: &str, error: std::io::Error| ProbeError::Unreachable(format!("{what}: {error}"));
        let dir = tempfile::Builder::new()
            .prefix(FOLDERS)
            .tempdir()
            .map_err(|error| here("no folder for sockets", error))?;
        let (control, libvirt) = (dir.path().join(CONTROL), dir.path().join(LIBVIRT));
        let mut child = self
            .command(&destination, &control, &libvirt)
            .spawn()
            .map_err(|error| here("cannot run ssh", error))?;
        let anchor = child.stdin.take();
        // The control socket is there, and listened to, once ssh is logged in.
        loop {
            tokio::select! {
                biased;
                end = child.wait() => return Err(why_not(&mut child, end).await),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            if UnixStream::connect(&control).await.is_ok() {
                break;
            }
        }
        let lost = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel::<()>();
        tokio::spawn(watch(child, ended, Arc::clone(&lost)));
        let session = Arc::new(Session::resume_mux(control.into_boxed_path(), None));
        Ok(Link {
            address: address.to_owned(),
            session: Some(session),
            libvirt,
            lost,
            _dir: Some(dir),
            _anchor: anchor,
            _end: Some(end),
        })
    }

    fn command(&self, to: &Destination<'_>, control: &std::path::Path, libvirt: &std::path::Path) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-T", "-M", "-S"]).arg(control);
        for option in [
            "ControlPersist=no",
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "RemoteCommand=none",
            "ExitOnForwardFailure=no",
            "StreamLocalBindMask=0177",
            "ConnectTimeout=15",
            // A half-open connection is dropped within 25 s.
            "ServerAliveInterval=5",
            "ServerAliveCountMax=4",
        ] {
            ssh.arg("-o").arg(option);
        }
        let mut forward = libvirt.as_os_str().to_owned();
        forward.push(":");
        forward.push(self.socket.as_os_str());
        ssh.arg("-L").arg(forward);
        if let Some(config) = &self.settings.config {
            ssh.arg("-F").arg(config);
        }
        if let Some(key) = &self.settings.key {
            ssh.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i"]).arg(key);
        }
        if let Some(known) = &self.settings.known_hosts {
            let mut option = std::ffi::OsString::from("UserKnownHostsFile=");
            option.push(known);
            ssh.arg("-o").arg(option).args(["-o", "GlobalKnownHostsFile=/dev/null"]);
        }
        if let Some(user) = to.user.or(self.settings.user.as_deref()) {
            ssh.args(["-l", user]);
        }
        if let Some(port) = to.port {
            ssh.args(["-p", &port.to_string()]);
        }
        // The shell reads nothing, says nothing, and ends when we do.
        ssh.arg("--").arg(to.host).args(["sh", "-s"]);
        ssh.env_clear()
            .envs(passed_environment())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        ssh
    }
}

#[async_trait]
impl Remote for Links {
    async fn open(
        &self,
        host: &HostSpec,
        script: Script,
        args: &[&str],
        deadline: Millis,
    ) -> Result<Channel, ProbeError> {
        if let Some(odd) = args.iter().find(|arg| !Script::is_plain(arg)) {
            return Err(ProbeError::Malformed(format!("not an argument: {odd:?}")));
        }
        let until = Instant::now() + Duration::from_millis(deadline.0);
        let link = self.link(host, until).await?;
        let Some(session) = link.session.clone() else {
            return Local::default().open(host, script, args, deadline).await;
        };
        let start = async {
            let mut command = Session::arc_command(session, "sh");
            command
                .arg("-s")
                .arg("--")
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut child = command
                .spawn()
                .await
                .map_err(|error| ProbeError::Unreachable(format!("no channel: {}", chain(&error))))?;
            let (Some(input), Some(output)) = (child.stdin().take(), child.stdout().take()) else {
                return Err(ProbeError::Unreachable("a channel without input or output".into()));
            };
            let mut channel = Channel::new(input, output, (child, link));
            match channel.start(script).await {
                Ok(()) => Ok(channel),
                Err(error) => Err(ProbeError::Malformed(format!("{}: {error}", script.name))),
            }
        };
        timeout_at(until, start).await.unwrap_or(Err(ProbeError::Timeout(deadline)))
    }
}

/// Waits for the end of a master, or brings it about.
async fn watch(mut child: Child, ended: oneshot::Receiver<()>, lost: Arc<AtomicBool>) {
    let stderr = child.stderr.take();
    let drain = async {
        // Nobody reads what the master says; a full pipe must not stop it.
        if let Some(mut stderr) = stderr {
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = child.wait() => {}
        _ = ended => {}
        () = drain => {}
    }
    lost.store(true, Ordering::SeqCst);
    // It may have ended already.
    let _ = child.kill().await;
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// `[USER@]HOST[:PORT]`, with an IPv6 address in brackets when a port follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Destination<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
}

impl<'a> Destination<'a> {
    pub(crate) fn parse(address: &'a str) -> Result<Self, ProbeError> {
        let odd =
            || ProbeError::Unreachable(format!("{address:?} is not an address; expected [user@]host[:port]"));
        let (user, rest) = match address.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, address),
        };
        let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
            let (host, after) = inner.split_once(']').ok_or_else(odd)?;
            (host, after.strip_prefix(':'))
        } else {
            match rest.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (rest, None),
            }
        };
        let port = port.map(|port| port.parse::<u16>().map_err(|_| odd())).transpose()?;
        let plain = |text: &str, more: &[u8]| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !plain(host, b"-_.:%") || user.is_some_and(|user| !plain(user, b"-_.")) {
            return Err(odd());
        }
        Ok(Self { user, host, port })
    }
}

/// What ssh said before it gave up.
async fn why_not(child: &mut Child, end: std::io::Result<std::process::ExitStatus>) -> ProbeError {
    let mut said = vec![];
    if let Some(stderr) = child.stderr.take() {
        // It has ended: what it said is in the pipe.
        let _ = stderr.take(16 * 1024).read_to_end(&mut said).await;
    }
    let said = String::from_utf8_lossy(&said);
    if said.trim().is_empty() {
        let end = end.map_or_else(|error| error.to_string(), |status| status.to_string());
        return ProbeError::Unreachable(format!("ssh ended: {end}"));
    }
    judge_ssh(&said)
}

/// Sorts ssh's complaints. Host keys first: a wrong key makes ssh also say that it switched methods off.
pub(crate) fn judge_ssh(said: &str) -> ProbeError {
    let line = |wanted: &[&str]| said.lines().find(|line| wanted.iter().any(|word| line.contains(word)));
    let short = |line: &str| {
        line.trim()
            .trim_start_matches("ssh: ")
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect::<String>()
    };
    if line(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]).is_some() {
        let key = said
            .lines()
            .find(|line| line.starts_with("SHA256:") || line.contains(" SHA256:"))
            .map(short)
            .unwrap_or_default();
        return ProbeError::Identity(format!("its ssh host key has changed {key}").trim_end().to_owned());
    }
    if let Some(line) =
        line(&["Host key verification failed", "host key is known", "key is not known", "Host key for"])
    {
        return ProbeError::Identity(short(line));
    }
    if let Some(line) =
        line(&["Permission denied", "Too many authentication failures", "No more authentication methods"])
    {
        return ProbeError::Auth(short(line));
    }
    ProbeError::Unreachable(said.lines().rev().map(short).find(|line| !line.is_empty()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_odd_ones_refused() {
        let parse = |text| {
            Destination::parse(text).map(|to| (to.user.map(str::to_owned), to.host.to_owned(), to.port))
        };
        assert_eq!(parse("10.77.1.1"), Ok((None, "10.77.1.1".into(), None)));
        assert_eq!(parse("root@lab07:2222"), Ok((Some("root".into()), "lab07".into(), Some(2222))));
        assert_eq!(parse("ops@[fe80::1%eth0]:22"), Ok((Some("ops".into()), "fe80::1%eth0".into(), Some(22))));
        assert_eq!(parse("2001:db8::7"), Ok((None, "2001:db8::7".into(), None)));
        for odd in [
            "",
            "-oProxyCommand=reboot",
            "root@-x",
            "a b",
            "h;reboot",
            "$(reboot)",
            "h:port",
            "@h",
            "h:99999",
            "[::1",
        ] {
            assert!(matches!(parse(odd), Err(ProbeError::Unreachable(_))), "{odd:?}");
        }
    }

    #[test]
    fn each_complaint_of_ssh_is_told_apart() {
        for (said, cause) in [
            ("ssh: connect to host 10.0.0.9 port 22: No route to host\n", "probe.unreachable"),
            ("ssh: connect to host 10.0.0.9 port 22: Connection refused\r\n", "probe.unreachable"),
            ("ssh: Could not resolve hostname h9: Name or service not known\n", "probe.unreachable"),
            ("root@10.0.0.9: Permission denied (publickey).\r\n", "probe.auth"),
            ("Received disconnect from 10.0.0.9 port 22:2: Too many authentication failures\n", "probe.auth"),
            (
                "No ED25519 host key is known for h9 and you have requested strict checking.\nHost key verification failed.\n",
                "probe.identity",
            ),
            (
                "@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nSHA256:abc.\nPermission denied (publickey).\nHost key verification failed.\n",
                "probe.identity",
            ),
        ] {
            assert_eq!(judge_ssh(said).cause(), cause, "{said}");
        }
        assert_eq!(
            judge_ssh("\u{1b}[2Jssh: connect to host h port 22: Connection timed out"),
            ProbeError::Unreachable("[2Jssh: connect to host h port 22: Connection timed out".into())
        );
    }
}
