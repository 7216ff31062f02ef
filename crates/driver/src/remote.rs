//! Running our own fixed scripts on a host. The one way in which anything is run there.

use async_trait::async_trait;
use dormouse_model::{HostSpec, Millis, ProbeError};

/// A script of ours, part of the program. It travels on standard input to `sh -s`.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub name: &'static str,
    pub text: &'static str,
}

/// What a script left behind. Untrusted bytes, capped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// `None`: it ended by a signal, or the connection was lost before it ended.
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The script was never started.
    #[error(transparent)]
    NotStarted(#[from] ProbeError),
    /// It was started; whether it ended, and how, is not known. What it said so far is kept.
    #[error("lost in the middle: {why}")]
    Lost { why: String, so_far: Vec<u8> },
}

#[async_trait]
pub trait Remote: Send + Sync {
    /// Runs the script with these arguments. An argument may hold ASCII letters, digits, `-`, `_` and `.` only, and an
    /// implementation refuses any other (`Malformed`): no word of a host, VM or user can reach the shell.
    /// When the deadline passes the script's standard input and output are closed.
    async fn run(&self, host: &HostSpec, script: Script, args: &[&str], deadline: Millis) -> Result<Ran, RemoteError>;
}

impl Script {
    /// The rule of [`Remote::run`] for one argument.
    #[must_use]
    pub fn is_plain(arg: &str) -> bool {
        !arg.is_empty()
            && arg.len() <= 256
            && !arg.starts_with('-')
            && arg.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    }
}
