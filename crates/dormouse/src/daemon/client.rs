//! Asking the daemon over its socket.

use super::wire::{Answer, Code, OrderView, OrderWord, Request, VERSION, Verb};
use crate::cli::{Ctx, Exit, Failure};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The daemon answers from memory; one that does not is stuck.
const PATIENCE: Duration = Duration::from_secs(15);
/// Far above what 1,000 hosts with 20,000 VMs are told in. What listens there may not be our daemon.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A connection to the running daemon.
#[derive(Debug)]
pub(crate) struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// To the daemon of these settings.
    pub(crate) fn connect(ctx: &Ctx) -> Result<Self, Failure> {
        Self::to(&crate::verbs::input::settings(ctx)?.config.socket)
    }

    pub(crate) fn to(path: &Path) -> Result<Self, Failure> {
        Self::within(path, PATIENCE)
    }

    /// To one that must answer within so long.
    pub(crate) fn within(path: &Path, patience: Duration) -> Result<Self, Failure> {
        let path = path.to_owned();
        let connect = || -> io::Result<UnixStream> {
            let stream = UnixStream::connect(&path)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        };
        match connect() {
            Ok(stream) => Ok(Self { path, stream: BufReader::new(stream) }),
            Err(error) => Err(unreachable(&path, &error)),
        }
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, verb: Verb) -> Result<T, Failure> {
        let mut line = serde_json::to_string(&Request { v: VERSION, verb })
            .map_err(|error| Failure::new("cannot write the request").because(&error))?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|error| unreachable(&self.path, &error))?;
        self.next()?.ok_or_else(|| unreachable(&self.path, &io::Error::from(io::ErrorKind::UnexpectedEof)))
    }

    /// The next line; `None` when the daemon has closed the connection.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let mut line = String::new();
        let read = (&mut self.stream).take(ANSWER_BYTES_MAX).read_line(&mut line);
        if read.map_err(|error| unreachable(&self.path, &error))? == 0 {
            return Ok(None);
        }
        if !line.ends_with('\n') {
            return Err(Failure::new("the daemon's answer breaks off, or has no end"));
        }
        let odd = |error: serde_json::Error| {
            Failure::new("the daemon's answer makes no sense")
                .because(&error)
                .hint("restart the daemon after an upgrade")
        };
        let answer: Answer = serde_json::from_str(&line).map_err(odd)?;
        match (answer.data, answer.error) {
            (Some(data), None) => serde_json::from_value(data).map(Some).map_err(odd),
            (_, Some(error)) => {
                let exit = match error.code {
                    Code::Failed => Exit::Failed,
                    Code::Usage => Exit::Usage,
                    Code::Refused => Exit::Refused,
                    Code::Unreachable => Exit::Unreachable,
                    Code::Nothing => Exit::Nothing,
                };
                let failure = Failure::with_exit(exit, error.message);
                Err(if let Some(hint) = error.hint { failure.hint(hint) } else { failure })
            }
            (None, None) => Err(Failure::new("the daemon answered nothing")),
        }
    }

    /// For what comes when it comes.
    pub(crate) fn wait_for_ever(&mut self) -> Result<(), Failure> {
        self.stream.get_ref().set_read_timeout(None).map_err(|error| unreachable(&self.path, &error))
    }

    pub(crate) fn order(&mut self, order: OrderWord) -> Result<OrderView, Failure> {
        self.ask(Verb::Order(order))
    }
}

/// One question, and the answer as data.
pub(crate) fn ask(socket: &Path, verb: &Verb) -> Result<Value, Failure> {
    Client::to(socket)?.ask(verb.clone())
}

fn unreachable(path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "only root and the user that runs the daemon may ask: try sudo",
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it is there and does not answer: see its log",
        _ => "start it with `dormouse run`, or name its settings with --config",
    };
    Failure::with_exit(Exit::Unreachable, format!("no daemon answers at {}", path.display()))
        .because(error)
        .hint(hint)
}
