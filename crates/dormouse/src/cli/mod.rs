//! The command line: one variant of [`Command`] per verb, and the way from arguments to an exit code.
//!
//! To add a verb: a module with an args struct (`#[derive(clap::Args)]`) and `fn run(args, &Ctx) -> Result<(), Failure>`,
//! then a variant and an arm here. Nothing else in this folder knows any verb.

mod exit;
mod failure;
mod out;
mod table;
mod text;

pub(crate) use exit::Exit;
pub(crate) use failure::Failure;
pub(crate) use out::{Ctx, Format, style};
pub(crate) use table::Table;
pub(crate) use text::{fold, safe};

use crate::verbs;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Puts the idle hosts of a virtual machine cluster to sleep, and never loses a VM or cuts off a person doing so.
#[derive(Debug, Parser)]
#[command(
    name = "dormouse",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused by a safety rule, 4 not reachable, 5 nothing to do."
)]
struct Cli {
    /// The daemon's settings; /etc/dormouse/dormouse.toml unless given
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Colour: auto (only on a terminal, and not with NO_COLOR), always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    color: out::Color,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what would be done to a cluster, and why not more
    Plan(verbs::plan::Args),
    /// What keeps a host awake, or where a VM is and what would happen to it
    Why(verbs::why::Args),
    /// Check the configuration, or explain what it amounts to
    #[command(subcommand)]
    Config(verbs::config::Command),
    /// Give the cluster's hosts and VMs to other programs
    #[command(subcommand)]
    Export(verbs::export::Command),
}

impl Command {
    fn run(self, ctx: &Ctx) -> Result<(), Failure> {
        match self {
            Self::Plan(args) => verbs::plan::run(&args, ctx),
            Self::Why(args) => verbs::why::run(&args, ctx),
            Self::Config(command) => verbs::config::run(&command, ctx),
            Self::Export(command) => verbs::export::run(&command, ctx),
        }
    }
}

/// Runs the command line of this process. Errors go to stderr once, here, and nowhere else.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own text, its exit code 2 for usage and 0 for --help and --version.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            return match error.print() {
                Ok(()) => exit.into(),
                Err(_) => Exit::Failed.into(),
            };
        }
    };
    cli.color.apply();
    let ctx = Ctx { config: cli.config };
    match cli.command.run(&ctx) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
