//! Talking with a fixed script of ours on a host: the one way in which anything is run there.
//!
//! The script travels on standard input to `sh -s`, greets with its name, then reads words from us and answers in lines.
//! Losing the connection looks to it like the end of its input. No word of a host, VM or user is ever part of the script.

use async_trait::async_trait;
use dormouse_model::{HostSpec, Millis, ProbeError};
use std::any::Any;
use std::fmt;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{self, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// A script of ours, part of the program. Its first line of output is `hello NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub name: &'static str,
    pub text: &'static str,
}

impl Script {
    /// What may be an argument: ASCII letters, digits, `-`, `_` and `.`, not starting with `-`. Nothing in it means
    /// anything to a shell.
    #[must_use]
    pub fn is_plain(arg: &str) -> bool {
        !arg.is_empty()
            && arg.len() <= 256
            && !arg.starts_with('-')
            && arg.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    }
}

#[async_trait]
pub trait Remote: Send + Sync {
    /// Starts the script and waits for its greeting. Arguments that are not [plain](Script::is_plain) are refused.
    async fn open(
        &self,
        host: &HostSpec,
        script: Script,
        args: &[&str],
        deadline: Millis,
    ) -> Result<Channel, ProbeError>;
}

/// A running script. Dropping it closes both directions; the script sees the end of its input.
pub struct Channel {
    input: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    output: BufReader<Box<dyn AsyncRead + Send + Sync + Unpin>>,
    heard: usize,
    /// What must live as long as the channel.
    _keep: Box<dyn Any + Send + Sync>,
}

impl Channel {
    /// A longer line is cut off by ending the conversation: no script of ours prints one.
    pub const LINE_MAX: usize = 4096;
    /// So much may be heard between two words of ours.
    pub const ANSWER_MAX: usize = 1 << 20;
    /// Lines before the greeting: a login script on the host may be talkative.
    const NOISE_MAX: usize = 100;

    pub fn new(
        input: impl AsyncWrite + Send + Sync + Unpin + 'static,
        output: impl AsyncRead + Send + Sync + Unpin + 'static,
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self {
            input: Box::new(input),
            output: BufReader::new(Box::new(output)),
            heard: 0,
            _keep: Box::new(keep),
        }
    }

    /// Sends the script and waits for its greeting.
    pub async fn start(&mut self, script: Script) -> io::Result<()> {
        // Exactly one line end after the last command: one more would be its first word from us.
        self.input.write_all(script.text.trim_end().as_bytes()).await?;
        self.input.write_all(b"\n").await?;
        self.input.flush().await?;
        for _ in 0..Self::NOISE_MAX {
            match self.hear().await? {
                Some(line) if line.strip_prefix("hello ") == Some(script.name) => return Ok(()),
                Some(_) => {}
                None => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before its greeting"));
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "no greeting within the first lines"))
    }

    /// One line to the script. It must not hold a line break.
    pub async fn say(&mut self, line: &str) -> io::Result<()> {
        if line.contains(['\n', '\0']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a word with a line break"));
        }
        self.heard = 0;
        self.input.write_all(line.as_bytes()).await?;
        self.input.write_all(b"\n").await?;
        self.input.flush().await
    }

    /// The next line, without its end; `None` when the script ended. Untrusted text.
    pub async fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = vec![];
        let limit = Self::LINE_MAX as u64 + 1;
        let read = (&mut self.output).take(limit).read_until(b'\n', &mut line).await?;
        self.heard += read;
        if read == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            let why =
                if read > Self::LINE_MAX { "a line without end" } else { "it ended in the middle of a line" };
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if self.heard > Self::ANSWER_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer without end"));
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("heard", &self.heard).finish_non_exhaustive()
    }
}

/// Runs scripts on this machine: for the manager's own host, and for tests of the scripts.
#[derive(Clone, Debug)]
pub struct Local {
    /// The POSIX shell and its first arguments.
    pub shell: Vec<String>,
    /// Set for the scripts beside [what every child gets](crate::passed_environment).
    pub env: Vec<(String, String)>,
}

impl Default for Local {
    fn default() -> Self {
        Self { shell: vec!["sh".to_owned()], env: vec![] }
    }
}

#[async_trait]
impl Remote for Local {
    async fn open(
        &self,
        _: &HostSpec,
        script: Script,
        args: &[&str],
        deadline: Millis,
    ) -> Result<Channel, ProbeError> {
        if let Some(odd) = args.iter().find(|arg| !Script::is_plain(arg)) {
            return Err(ProbeError::Malformed(format!("not an argument: {odd:?}")));
        }
        let Some((shell, first)) = self.shell.split_first() else {
            return Err(ProbeError::Unreachable("no shell is named".into()));
        };
        // Not killed on drop: as over ssh, a script that is left alone sees the end of its input and tidies up.
        let mut child = tokio::process::Command::new(shell)
            .args(first)
            .args(["-s", "--"])
            .args(args)
            .env_clear()
            .envs(crate::passed_environment())
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| ProbeError::Unreachable(format!("cannot run {shell} here: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ProbeError::Unreachable("sh has no standard input or output".into()));
        };
        let mut channel = Channel::new(input, output, child);
        match tokio::time::timeout(Duration::from_millis(deadline.0), channel.start(script)).await {
            Ok(Ok(())) => Ok(channel),
            Ok(Err(error)) => Err(ProbeError::Malformed(format!("{}: {error}", script.name))),
            Err(_) => Err(ProbeError::Timeout(deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    const ECHO: Script =
        Script { name: "echo", text: "echo hello echo\nwhile read -r word; do echo \"got $word\"; done" };

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    async fn open(script: Script, args: &[&str]) -> Result<Channel, ProbeError> {
        Local::default().open(&fake::host("here"), script, args, Millis(5000)).await
    }

    #[test]
    fn words_go_in_and_lines_come_out() {
        runtime().block_on(async {
            let mut channel = open(ECHO, &["a-1", "b_2.3"]).await.expect("opens");
            channel.say("$(reboot); `reboot` 'x").await.expect("says");
            assert_eq!(channel.hear().await.expect("hears").as_deref(), Some("got $(reboot); `reboot` 'x"));
            assert!(channel.say("two\nlines").await.is_err());
        });
    }

    #[test]
    fn arguments_that_could_mean_something_to_a_shell_are_refused() {
        for odd in ["", "-rf", "a b", "$(reboot)", "a;b", "a/b", "ä", "a\n"] {
            let answer = runtime().block_on(open(ECHO, &[odd])).map(drop);
            assert!(matches!(answer, Err(ProbeError::Malformed(_))), "{odd:?}");
        }
    }

    #[test]
    fn endless_output_ends_the_conversation() {
        const YES: Script = Script { name: "yes", text: "echo hello yes; while :; do echo y; done" };
        const LINE: Script =
            Script { name: "line", text: "echo hello line; while :; do printf yyyyyyyyyyyyyyyy; done" };
        for script in [YES, LINE] {
            runtime().block_on(async {
                let mut channel = open(script, &[]).await.expect("opens");
                let mut heard = 0;
                let error = loop {
                    match channel.hear().await {
                        Ok(line) => heard += line.expect("it never ends").len(),
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(heard <= Channel::ANSWER_MAX);
            });
        }
    }

    #[test]
    fn a_talkative_login_is_skipped_and_a_silent_one_times_out() {
        const CHATTY: Script = Script { name: "chatty", text: "echo Welcome!; echo; echo hello chatty" };
        const MUTE: Script = Script { name: "mute", text: "read -r word" };
        runtime().block_on(async {
            open(CHATTY, &[]).await.expect("opens");
            let answer = Local::default().open(&fake::host("here"), MUTE, &[], Millis(50)).await;
            assert_eq!(answer.map(drop), Err(ProbeError::Timeout(Millis(50))));
        });
    }
}
