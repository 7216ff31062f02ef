//! Carries out one command of a line: a word of the shell's own, an old one, or a verb in a process of its own.

use super::words::Word;
use super::{OWN, help, seed, watch};
use crate::cli::{Ctx, Exit, Failure};
use dormouse_model::text::did_you_mean;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// What there is to carry commands out with.
#[derive(Debug)]
pub(super) struct Shell<'a> {
    pub(super) commands: clap::Command,
    pub(super) ctx: &'a Ctx,
    program: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(super) enum Ended {
    Done,
    /// It has said why.
    Failed(ExitStatus),
    /// It did not begin.
    Not(Failure),
    Leave,
    History,
}

/// Where its input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    Person,
    /// A script: what it reads is ours.
    Nobody,
}

impl<'a> Shell<'a> {
    pub(super) fn new(ctx: &'a Ctx) -> Result<Self, Failure> {
        let mut commands = crate::cli::command();
        commands.build();
        Ok(Self { commands, ctx, program: program()? })
    }

    /// `dormouse` with these words, told what this one was told.
    pub(super) fn process(&self, words: &[String]) -> Command {
        let mut process = Command::new(&self.program);
        process.arg0(self.commands.get_name()).args(words);
        if let Some(config) = &self.ctx.config {
            process.env("DORMOUSE_CONFIG", config);
        }
        match anstream::ColorChoice::global() {
            anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => {
                process.env("CLICOLOR_FORCE", "1")
            }
            anstream::ColorChoice::Never => process.env("NO_COLOR", "1"),
            anstream::ColorChoice::Auto => &mut process,
        };
        process
    }

    pub(super) fn carry_out(&self, words: &[Word], keys: Keys) -> Ended {
        match self.meant(words) {
            Err(failure) => Ended::Not(failure),
            Ok(words) => self.run(&words, keys),
        }
    }

    /// The words as this build understands them.
    pub(super) fn meant(&self, words: &[Word]) -> Result<Vec<String>, Failure> {
        if let Some(odd) = words.iter().find(|word| word.bare && word.text.starts_with(['|', '>', '<', '&']))
        {
            let verb: Vec<&str> =
                words.iter().take_while(|word| *word != odd).map(|word| word.text.as_str()).collect();
            return Err(Failure::usage(format!("there is no `{}` here", odd.text)).hint(format!(
                "in your own shell: dormouse {} {} …",
                verb.join(" "),
                odd.text
            )));
        }
        if words.iter().any(|word| word.text.contains('\0')) {
            return Err(Failure::usage("a word holds a NUL character, which no name has"));
        }
        let mut words: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
        if words.len() > 1 && words[0] == self.commands.get_name() {
            words.remove(0);
        }
        seed::put(&words, &self.commands).unwrap_or(Ok(words))
    }

    fn run(&self, words: &[String], keys: Keys) -> Ended {
        let Some((first, rest)) = words.split_first() else { return Ended::Done };
        let done = |result: Result<(), Failure>| result.map_or_else(Ended::Not, |()| Ended::Done);
        match first.as_str() {
            "exit" | "quit" if rest.is_empty() => return Ended::Leave,
            "exit" | "quit" => return Ended::Not(Failure::usage(format!("`{first}` takes nothing"))),
            "history" => return Ended::History,
            "help" | "?" if rest.is_empty() => return done(self.ctx.print(&help::all(&self.commands))),
            "help" => {
                if let Some(text) = help::own(&rest[0], &self.commands) {
                    return done(self.ctx.print(&text));
                }
                if self.commands.find_subcommand(&rest[0]).is_none() {
                    return Ended::Not(self.unknown(&rest[0]));
                }
            }
            "watch" => return done(watch::run(self, rest)),
            "shell" if rest.is_empty() => {
                return Ended::Not(Failure::usage("this is the shell").hint("`help` says what there is"));
            }
            _ if first.starts_with('-') || self.commands.find_subcommand(first).is_some() => {}
            _ => return Ended::Not(self.unknown(first)),
        }
        let mut process = self.process(words);
        if keys == Keys::Nobody {
            process.stdin(Stdio::null());
        }
        match process.status() {
            Ok(status) if status.success() => Ended::Done,
            Ok(status) => Ended::Failed(status),
            Err(error) => Ended::Not(Failure::new("cannot start a process").because(&error)),
        }
    }

    fn unknown(&self, word: &str) -> Failure {
        let verbs =
            self.commands.get_subcommands().filter(|verb| !verb.is_hide_set()).map(clap::Command::get_name);
        let own = OWN.iter().map(|(own, ..)| *own).chain(seed::WORDS.iter().map(|seed| seed.word));
        let near = did_you_mean(word, verbs.chain(own));
        let failure = Failure::usage(format!("there is no command `{word}`"));
        failure.hint(near.strip_prefix("; ").unwrap_or("`help` says what there is"))
    }
}

/// This program as it runs, even where the file was replaced by a newer one since.
fn program() -> Result<PathBuf, Failure> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        return Ok(running);
    }
    std::env::current_exe()
        .map_err(|error| Failure::new("cannot find this program's own file").because(&error))
}

/// `exit code 4, not reachable`.
pub(super) fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::of(code).map_or_else(|| format!("exit code {code}"), as_told),
        (None, Some(2)) => "stopped by Ctrl-C".to_owned(),
        (None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
    }
}

pub(super) fn as_told(exit: Exit) -> String {
    format!("exit code {}, {}", exit as u8, exit.words())
}

/// The exit code of ours that says the same.
pub(super) fn exit(status: ExitStatus) -> Exit {
    status.code().and_then(Exit::of).unwrap_or(Exit::Failed)
}
