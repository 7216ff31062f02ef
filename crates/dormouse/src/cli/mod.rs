//! The command line: one variant of [`Command`] per verb, and the way from arguments to an exit code.
//!
//! To add a verb: a module with an args struct (`#[derive(clap::Args)]`) and `fn run(args, &Ctx) -> Result<(), Failure>`,
//! then a variant and an arm here. Nothing else in this folder knows any verb.

mod exit;
mod failure;
#[cfg(feature = "live")]
mod log;
mod out;
mod panic;
mod screen;
mod table;
mod text;

pub(crate) use exit::Exit;
pub(crate) use failure::Failure;
#[cfg(feature = "live")]
pub(crate) use log::CleanLog;
pub(crate) use out::{Ctx, Format, style};
pub(crate) use screen::Screen;
pub(crate) use table::Table;
pub(crate) use text::{counted, fold, safe};

use crate::verbs;
#[cfg(feature = "live")]
use crate::verbs_live;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::io::Write as _;
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
    /// Watch a simulated lab of 62 hosts fall asleep and wake: no set-up, no root
    Demo(verbs::demo::Args),
    /// Show what would be done to a cluster, and why not more
    Plan(verbs::plan::Args),
    /// What keeps a host awake, or where a VM is and what would happen to it
    Why(verbs::why::Args),
    /// Play a scenario folder: its script, the rules, its golden log
    Simulate(verbs::simulate::Args),
    /// Play days of measured demand under policies, side by side
    Replay(verbs::replay::Args),
    /// Opening hours, holidays, exams: show what comes, change it
    #[command(subcommand)]
    Calendar(verbs::calendar::Command),
    /// Check the configuration, or explain what it amounts to
    #[command(subcommand)]
    Config(verbs::config::Command),
    /// Give the cluster's hosts and VMs to other programs
    #[command(subcommand)]
    Export(verbs::export::Command),
    /// The hosts as a dynamic inventory of Ansible
    Inventory(verbs::inventory::Args),
    /// All verbs at a prompt, with completion and history; or a script of them
    Shell(verbs::shell::Args),
    /// Print what makes Tab complete in a shell: source <(dormouse completions bash)
    Completions(verbs::completions::Args),
    /// Write the manual pages
    Man(verbs::completions::ManArgs),
    #[cfg(feature = "live")]
    #[command(flatten)]
    Live(verbs_live::Command),
    /// A lab of real hosts and VMs on this machine (root), and a night in it
    #[cfg(feature = "live")]
    #[command(subcommand)]
    Lab(crate::lab::Command),
    /// The lab's own processes
    #[cfg(feature = "live")]
    #[command(hide = true, disable_help_flag = true)]
    LabInternal {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

impl Command {
    fn run(self, ctx: &Ctx) -> Result<(), Failure> {
        match self {
            Self::Demo(args) => verbs::demo::run(&args, ctx),
            Self::Plan(args) => verbs::plan::run(&args, ctx),
            Self::Why(args) => verbs::why::run(&args, ctx),
            Self::Simulate(args) => verbs::simulate::run(&args, ctx),
            Self::Replay(args) => verbs::replay::run(&args, ctx),
            Self::Calendar(command) => verbs::calendar::run(command, ctx),
            Self::Config(command) => verbs::config::run(&command, ctx),
            Self::Export(command) => verbs::export::run(&command, ctx),
            Self::Inventory(args) => verbs::inventory::run(&args, ctx),
            Self::Shell(args) => verbs::shell::run(&args, ctx),
            Self::Completions(args) => verbs::completions::run(&args, ctx),
            Self::Man(args) => verbs::completions::man(&args, ctx),
            #[cfg(feature = "live")]
            Self::Live(command) => verbs_live::run(command, ctx),
            #[cfg(feature = "live")]
            Self::Lab(command) => crate::lab::run(command, ctx),
            #[cfg(feature = "live")]
            Self::LabInternal { args } => crate::lab::internal(&args),
        }
    }
}

/// Every verb with its arguments, for whoever completes, explains or prints them.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process. Errors go to stderr once, here, and nowhere else.
pub(crate) fn main() -> ExitCode {
    panic::tell();
    if let Some(answer) = verbs::completions::answer() {
        return ended(answer);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error).into(),
    };
    cli.color.apply();
    let ctx = Ctx { config: cli.config };
    ended(cli.command.run(&ctx))
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

/// Help and version, or what is wrong with the command line: clap's own text.
fn not_understood(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        return if error.print().is_ok() { Exit::Done } else { Exit::Failed };
    }
    // It quotes what was typed, so it goes out without styles and with nothing that a terminal obeys.
    let text: String = error.render().to_string().lines().map(|line| format!("{}\n", safe(line))).collect();
    _ = anstream::stderr().lock().write_all(text.as_bytes());
    Exit::Usage
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
