//! `dormouse shell`: the verbs of the command line at a prompt, or from a script.
//!
//! Each command is a process of its own, this program with those words: what goes wrong in it, or is stopped by Ctrl-C, ends
//! that command and not the shell, and an exit code is what it is everywhere. The words come from the one definition of the
//! command line; beside them are only the few of [`OWN`] and the old ones of [`seed`]. Never here: another shell.

mod carry;
mod complete;
mod help;
mod history;
mod prompt;
mod script;
mod seed;
mod watch;
mod words;

use crate::cli::{Ctx, Failure};
use std::path::PathBuf;

/// The shell's own words: what follows each, and what it does.
const OWN: &[(&str, &str, &str)] = &[
    ("help", "[WORD…]", "say what there is, or everything about one verb"),
    ("watch", "[-n SECONDS] COMMAND…", "show it again and again, until Ctrl-C"),
    ("history", "", "what was typed"),
    ("exit", "", "leave; so do quit and Ctrl-D"),
    ("quit", "", "leave"),
];

/// Lines are broken by whoever shows it.
const AFTER_HELP: &str = concat!(
    "At a terminal it asks with `cluster>`. Else it carries out the lines of SCRIPT or of stdin, and stops at the first ",
    "command that fails with the exit code of that command, as `sh -e` does.\n\n",
    "Words are parted by blanks, commands by `;` and line ends; `#` begins a comment. '…' and \"…\" hold names with blanks.",
);

#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Carry out the commands in this file and leave
    #[arg(value_name = "SCRIPT")]
    script: Option<PathBuf>,

    /// In a script: go on after a command that failed; the exit code is that of the first one
    #[arg(short, long)]
    keep_going: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let shell = carry::Shell::new(ctx)?;
    match &args.script {
        Some(path) => script::from_file(path, args.keep_going, &shell),
        None if ctx.is_interactive() => prompt::run(&shell, ctx),
        None => script::from_stdin(args.keep_going, &shell),
    }
}
