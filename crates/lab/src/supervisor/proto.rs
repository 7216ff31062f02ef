//! What the lab's supervisor is asked and answers: one JSON line each, over a socket in the lab's folder.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Doing, LabError, Result};
use crate::report::{LabStatus, StreamsReport};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    Status,
    /// As by its power button: takes the boot time, unless `at_once`.
    PowerOn {
        host: String,
        at_once: bool,
    },
    PowerCut {
        host: String,
    },
    /// The next so many magic packets for this host do nothing.
    LoseWakes {
        host: String,
        packets: u32,
    },
    /// The next boot gets power and nothing more.
    HangBoot {
        host: String,
    },
    /// The next boot comes up without the shared folder.
    NoShare {
        host: String,
    },
    /// Takes back what these three set for the future.
    ForgetFaults {
        host: String,
    },
    /// Written to the lab's events: what was done to it from outside.
    Note {
        what: String,
        host: Option<String>,
    },
    /// Listens to the tick stream of every guest that is heard.
    StreamsStart,
    Streams {
        stop: bool,
    },
    Stop,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Done,
    Status(LabStatus),
    Streams(StreamsReport),
    Refused(String),
}

pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Reply> {
    let what = || format!("the lab's supervisor does not answer at {}", socket.display());
    let mut stream = UnixStream::connect(socket).doing(what)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).doing(what)?;
    let mut line = serde_json::to_string(request).doing(what)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).doing(what)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).doing(what)?;
    match serde_json::from_str(&answer).doing(what)? {
        Reply::Refused(why) => Err(LabError::new(why)),
        reply => Ok(reply),
    }
}
