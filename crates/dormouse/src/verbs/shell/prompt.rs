//! The prompt: lines from a person, edited, completed and kept.

use super::carry::{self, Ended, Keys, Shell};
use super::complete;
use super::history::{History, LINES_MAX};
use super::words::{End, Word, split};
use crate::cli::{Ctx, Failure, safe, style};
use crate::verbs::names::{self, Source};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const PROMPT: &str = "cluster> ";

struct Desk<'a> {
    commands: &'a clap::Command,
    names: Source,
    /// The line as it stands: the editor gives none back at Ctrl-C.
    typed: RefCell<String>,
}

impl Completer for Desk<'_> {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, mut offers) = complete::offers(&line[..pos], self.commands, &self.names);
        if let [only] = offers.as_mut_slice()
            && !only.ends_with(['/', '='])
        {
            only.push(' ');
        }
        Ok((start, offers))
    }
}

impl Hinter for Desk<'_> {
    type Hint = String;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        line.clone_into(&mut self.typed.borrow_mut());
        None
    }
}

impl Highlighter for Desk<'_> {}
impl Validator for Desk<'_> {}
impl Helper for Desk<'_> {}

type Lines<'a> = Editor<Desk<'a>, MemHistory>;

pub(super) fn run(shell: &Shell<'_>, ctx: &Ctx) -> Result<(), Failure> {
    // Ctrl-C and Ctrl-\ are for the command that runs, not for us.
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGQUIT] {
        signal_hook::flag::register(signal, Arc::clone(&ignored))
            .map_err(|error| Failure::new("cannot listen for signals").because(&error))?;
    }
    let (mut history, trouble) = History::open();
    if let Some(why) = trouble {
        ctx.print(&format!("{}\n", safe(&why)))?;
    }
    let mut editor = editor(shell, ctx)?;
    for line in history.lines() {
        _ = editor.add_history_entry(line);
    }
    ctx.print(&format!(
        "dormouse {}. `help` says what there is, Tab completes, Ctrl-D leaves.\n",
        env!("CARGO_PKG_VERSION")
    ))?;
    let colour = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let strong = style::STRONG;
    let styled = if colour { format!("{strong}{PROMPT}{strong:#}") } else { PROMPT.to_owned() };
    // A line that could not be read is given back to be mended.
    let mut again = String::new();
    loop {
        if let Some(desk) = editor.helper() {
            desk.typed.borrow_mut().clear();
        }
        let line = match editor.readline_with_initial(&(PROMPT, styled.as_str()), (&again, "")) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                let typed = editor.helper().map(|desk| desk.typed.take()).unwrap_or_default();
                again.clear();
                keep(&mut editor, &mut history, &typed);
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Signal(_)) => continue,
            Err(error) => return Err(Failure::new("cannot read from the terminal").because(&error)),
        };
        again.clear();
        keep(&mut editor, &mut history, &line);
        let read = split(&line);
        match read.end {
            End::Open(_) => Failure::usage("a quote has no end").print(),
            End::Backslash => Failure::usage("nothing follows the backslash").print(),
            _ => {
                if !each(&read.commands, shell, &history, ctx)? {
                    return Ok(());
                }
                continue;
            }
        }
        again = line;
    }
}

fn editor<'a>(shell: &'a Shell<'_>, ctx: &Ctx) -> Result<Lines<'a>, Failure> {
    let never = anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never;
    let cannot = |error: ReadlineError| Failure::new("cannot use this terminal").because(&error);
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .color_mode(if never { ColorMode::Disabled } else { ColorMode::Enabled })
        .max_history_size(LINES_MAX)
        .map_err(cannot)?
        .build();
    let mut editor =
        Editor::with_history(config.clone(), MemHistory::with_config(&config)).map_err(cannot)?;
    let asked = Ctx { config: ctx.config.clone() };
    let names: Source = Arc::new(move || names::known(&asked));
    editor.set_helper(Some(Desk { commands: &shell.commands, names, typed: RefCell::default() }));
    Ok(editor)
}

/// To be offered again.
fn keep(editor: &mut Lines<'_>, history: &mut History, line: &str) {
    let line = line.trim_end();
    if history.keep(line) {
        _ = editor.add_history_entry(line);
    }
}

/// The commands of a line, up to the first that fails; `false`: leave.
fn each(commands: &[Vec<Word>], shell: &Shell<'_>, history: &History, ctx: &Ctx) -> Result<bool, Failure> {
    for words in commands.iter().filter(|words| !words.is_empty()) {
        match shell.carry_out(words, Keys::Person) {
            Ended::Done => {}
            Ended::Leave => return Ok(false),
            Ended::History => {
                let lines: String = history.lines().iter().map(|line| format!("  {line}\n")).collect();
                ctx.print(&lines)?;
            }
            Ended::Failed(status) => {
                ended(&carry::told(status), ctx)?;
                return Ok(true);
            }
            Ended::Not(failure) => {
                failure.print();
                ended(&carry::as_told(failure.exit()), ctx)?;
                return Ok(true);
            }
        }
    }
    Ok(true)
}

fn ended(how: &str, ctx: &Ctx) -> Result<(), Failure> {
    let error = style::ERROR;
    ctx.print(&format!("{error}({how}){error:#}\n"))
}
