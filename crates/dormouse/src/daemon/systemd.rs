//! What systemd is told where it started us: that we are ready, read our settings again, stop, and still keep up.
//!
//! Its protocol is datagrams of `NAME=value` lines (sd_notify(3)). Nothing here waits and nothing here fails: without
//! systemd nobody is told.

use crate::cli::safe;
use dormouse_model::Millis;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// More of a status nobody reads.
const STATUS_CHARS_MAX: usize = 300;

/// The way to systemd, or to nobody.
#[derive(Debug, Default)]
pub(crate) struct Systemd {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// It ends us when it hears no sign of life for so long.
    watchdog: Option<Millis>,
}

impl Systemd {
    /// As the environment of this process says.
    pub(crate) fn of_environment() -> Self {
        let var = |name: &str| std::env::var_os(name);
        let to = var("NOTIFY_SOCKET").filter(|path| !path.is_empty()).and_then(|path| {
            connect(&path)
                .inspect_err(|error| tracing::warn!("systemd cannot be told anything: {error}"))
                .ok()
        });
        // A process that inherited the variable from another is not the one that is watched.
        let ours =
            var("WATCHDOG_PID").is_none_or(|pid| pid == OsString::from(std::process::id().to_string()));
        let watchdog = var("WATCHDOG_USEC").and_then(|span| patience(&span)).filter(|_| ours);
        Self { to, watchdog }
    }

    /// The loop runs. A cycle may be longer than the patience that the unit gives: then it is asked for more.
    pub(crate) fn ready(&self, cycle: Millis, status: &str) {
        let needed = Millis(cycle.0.saturating_mul(4));
        match self.watchdog {
            Some(patience) if patience < needed => {
                tracing::info!(
                    "systemd watches after {patience}, and a cycle takes {cycle}: asked for {needed}"
                );
                let usec = needed.0.saturating_mul(1000);
                self.tell(&format!("WATCHDOG_USEC={usec}\n{}", with_status("READY=1", status)));
            }
            _ => self.tell(&with_status("READY=1", status)),
        }
    }

    pub(crate) fn reloading(&self) {
        self.tell(&with_status("RELOADING=1", "reading the settings again"));
    }

    pub(crate) fn stopping(&self) {
        self.tell(&with_status("STOPPING=1", "nothing new is started"));
    }

    pub(super) fn alive(&self) {
        if self.watchdog.is_some() {
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        let Some((socket, to)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), to) {
            tracing::warn!("systemd could not be told: {error}");
        }
    }
}

/// A path, or a name that is in no folder (`@…`).
fn connect(path: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    // One who does not read must not hold up the loop.
    socket.set_nonblocking(true)?;
    let to = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    Ok((socket, to))
}

fn patience(usec: &OsStr) -> Option<Millis> {
    usec.to_str()?.parse::<u64>().ok().filter(|usec| *usec > 0).map(|usec| Millis(usec / 1000))
}

fn with_status(state: &str, status: &str) -> String {
    format!("{state}\nSTATUS={}", one_line(status))
}

/// A second line would be a message of its own.
fn one_line(text: &str) -> String {
    safe(text).chars().take(STATUS_CHARS_MAX).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Somebody who listens in systemd's place, under a name in no folder.
    pub(in crate::daemon) fn listener(name: &str, watchdog: Option<Millis>) -> (UnixDatagram, Systemd) {
        let name = format!("dormouse-test-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixDatagram::bind_addr(&address).expect("bound");
        listener.set_nonblocking(true).expect("set");
        let to = connect(OsStr::new(&format!("@{name}"))).expect("an address");
        (listener, Systemd { to: Some(to), watchdog })
    }

    pub(in crate::daemon) fn heard(listener: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 4096];
        std::iter::from_fn(|| {
            let length = listener.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .collect()
    }

    #[test]
    fn systemd_is_told_in_its_own_words() {
        let (listener, systemd) = listener("words", Some(Millis::from_secs(120)));
        systemd.ready(Millis::from_secs(15), "observe\nREADY=0\u{1b}");
        systemd.alive();
        systemd.ready(Millis::from_secs(60), "observe");
        systemd.reloading();
        systemd.stopping();
        assert_eq!(
            heard(&listener),
            [
                "READY=1\nSTATUS=observe\\nREADY=0\\u{1b}",
                "WATCHDOG=1",
                "WATCHDOG_USEC=240000000\nREADY=1\nSTATUS=observe",
                "RELOADING=1\nSTATUS=reading the settings again",
                "STOPPING=1\nSTATUS=nothing new is started",
            ]
        );
    }

    #[test]
    fn nobody_is_told_where_nobody_listens() {
        let (gone, systemd) = listener("gone", None);
        drop(gone);
        systemd.stopping();
        Systemd::default().stopping();
        assert_eq!(patience(OsStr::new("0")), None);
        assert_eq!(patience(OsStr::new("soon")), None);
        assert_eq!(patience(OsStr::new("120000000")), Some(Millis::from_secs(120)));
    }
}
