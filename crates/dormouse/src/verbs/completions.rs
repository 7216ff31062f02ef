//! `dormouse completions SHELL` and `dormouse man`: what shells and `man` want to know, made from the command line itself.
//!
//! The script of a shell asks this program at each Tab, with [`VAR`] set, so names of hosts and VMs are those of now. Names that
//! a shell would take apart or carry out are never offered to one: it would be typed as it stands.

use super::names::{self, Names, Source};
use crate::cli::{Ctx, Failure, counted, safe};
use clap::ValueHint;
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Shells, Zsh};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Not one of the settings' own, which begin with `DORMOUSE_`.
const VAR: &str = "_DORMOUSE_COMPLETE";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose script is printed
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write a page for every verb into this folder; without it the first page is printed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = vec![];
    shell
        .write_registration(VAR, "dormouse", "dormouse", "dormouse", &mut script)
        .map_err(|error| Failure::new("cannot write the script").because(&error))?;
    let script = String::from_utf8_lossy(&script);
    ctx.print(&match args.shell {
        // Files are bash's own matter, which quotes them.
        Shell::Bash => script.replace("-o bashdefault", "-o bashdefault -o default"),
        // Where it lies in a folder of functions, the first Tab calls it and wants an answer at once.
        Shell::Zsh => format!(
            "{script}\nif [ \"$funcstack[1]\" = \"_dormouse\" ]; then\n    _clap_dynamic_completer_dormouse \"$@\"\nfi\n"
        ),
        Shell::Fish => script.into_owned(),
    })
}

/// Answers a shell that asks what could come next; `None`: none does.
pub(crate) fn answer() -> Option<Result<(), Failure>> {
    let shell = std::env::var_os(VAR)?;
    let words: Vec<OsString> = std::env::args_os().collect();
    let ctx = Ctx { config: config(&words) };
    let source: Source = Arc::new(move || plain(names::known(&ctx)));
    let commands = || {
        let commands = names::offered(crate::cli::command(), &source);
        if shell == "bash" { without_files(commands) } else { commands }
    };
    let folder = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(commands)
        .var(VAR)
        .shells(Shells(&[&Bash, &Zsh, &Fish]))
        .try_complete(words, folder.as_deref());
    Some(answered.map(|_| ()).map_err(|error| Failure::usage(error.to_string().trim().to_owned())))
}

/// `--config` of the line that is being typed.
fn config(words: &[OsString]) -> Option<PathBuf> {
    words.iter().enumerate().find_map(|(at, word)| match word.to_str()?.strip_prefix("--config")? {
        "" => words.get(at + 1).map(PathBuf::from),
        rest => rest.strip_prefix('=').map(PathBuf::from),
    })
}

/// bash puts an offer into the line as it is.
fn plain(mut names: Names) -> Names {
    let plain = |name: &String| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+@%,".contains(c))
    };
    names.hosts.retain(plain);
    names.vms.retain(plain);
    names
}

fn without_files(command: clap::Command) -> clap::Command {
    let no_files = |arg: clap::Arg| {
        if arg.get_action().takes_values() { arg.value_hint(ValueHint::Other) } else { arg }
    };
    command.mut_args(no_files).mut_subcommands(without_files)
}

pub(crate) fn man(args: &ManArgs, ctx: &Ctx) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let mut page = vec![];
        clap_mangen::Man::new(crate::cli::command().disable_help_subcommand(true))
            .render(&mut page)
            .map_err(|error| Failure::new("cannot write the page").because(&error))?;
        return match std::io::stdout().lock().write_all(&page) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::reader_gone()),
            other => other.map_err(|error| Failure::new("cannot write the output").because(&error)),
        };
    };
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(crate::cli::command(), dir))
        .map_err(|error| {
            Failure::new(format!("cannot write pages into `{}`", dir.display())).because(&error)
        })?;
    let shown = dir.display().to_string();
    ctx.print(&format!("{} in {}\n", counted(pages(&crate::cli::command()), "page"), safe(&shown)))
}

/// One for each verb that people are told of.
fn pages(command: &clap::Command) -> usize {
    1 + command.get_subcommands().filter(|below| !below.is_hide_set()).map(pages).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_would_take_apart_are_not_offered() {
        let all = ["pc01", "my vm", "$(reboot)", "a;b", "-x", "a*", "~root", "a\nb", "é"].map(str::to_owned);
        let names = plain(Names { hosts: vec!["lab-01.x".to_owned()], vms: all.to_vec() });
        assert_eq!((names.hosts.len(), names.vms), (1, vec!["pc01".to_owned()]));
    }

    #[test]
    fn the_settings_of_the_line_are_used() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(config(&words("dormouse -- dormouse --config x host")), Some("x".into()));
        assert_eq!(config(&words("dormouse -- dormouse host --config=y")), Some("y".into()));
        assert_eq!(config(&words("dormouse -- dormouse host list")), None);
    }
}
