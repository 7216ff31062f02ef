//! Commands from a file or from stdin, with no prompt.
//!
//! Stops at the first command that fails, since what follows counts on it, unless it is told to keep going. A command reads
//! nothing from the script: where a verb would ask, it is refused as it is wherever nobody sits.

use super::carry::{self, Ended, Keys, Shell};
use super::words::{End, split};
use crate::cli::{Exit, Failure, counted};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

/// A longer line is no command.
const LINE_BYTES_MAX: u64 = 64 << 10;

pub(super) fn from_file(path: &Path, keep_going: bool, shell: &Shell<'_>) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let file =
        File::open(path).map_err(|error| Failure::new(format!("cannot read `{shown}`")).because(&error))?;
    Script { name: &shown, keep_going, failed: None, tried: 0, wrong: 0 }.play(BufReader::new(file), shell)
}

pub(super) fn from_stdin(keep_going: bool, shell: &Shell<'_>) -> Result<(), Failure> {
    Script { name: "stdin", keep_going, failed: None, tried: 0, wrong: 0 }.play(io::stdin().lock(), shell)
}

struct Script<'a> {
    name: &'a str,
    keep_going: bool,
    /// Exit code and place of the first failure.
    failed: Option<(Exit, String)>,
    tried: usize,
    wrong: usize,
}

impl Script<'_> {
    fn play(mut self, mut source: impl BufRead, shell: &Shell<'_>) -> Result<(), Failure> {
        let mut number = 0;
        'lines: while let Some((first, text)) = self.line(&mut source, &mut number)? {
            let line = split(&text);
            if let End::Open(at) = line.end {
                let at = text[..at].chars().count() + 1;
                return Err(Failure::usage(format!(
                    "{}:{first}:{at}: the quote that begins here has no end",
                    self.name
                )));
            }
            for words in line.commands.iter().filter(|words| !words.is_empty()) {
                let place = format!("{}:{first}", self.name);
                let typed: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                self.tried += 1;
                let (exit, why) = match shell.carry_out(words, Keys::Nobody) {
                    Ended::Done | Ended::History => continue,
                    Ended::Leave => break 'lines,
                    Ended::Failed(status) => (carry::exit(status), carry::told(status)),
                    Ended::Not(failure) => {
                        failure.print();
                        (failure.exit(), carry::as_told(failure.exit()))
                    }
                };
                self.wrong += 1;
                let told = format!("{place}: `{}` ended with {why}", typed.join(" "));
                if !self.keep_going {
                    return Err(Failure::with_exit(exit, told)
                        .hint("nothing after it was done; --keep-going goes on after a failure"));
                }
                Failure::with_exit(exit, told).print();
                self.failed.get_or_insert((exit, place));
            }
        }
        match self.failed {
            None => Ok(()),
            Some((exit, place)) => {
                let wrong = format!("{} of {} failed", self.wrong, counted(self.tried, "command"));
                Err(Failure::with_exit(exit, format!("{wrong}, the first at {place}")))
            }
        }
    }

    /// A line with those that a backslash at the end joins to it, and the number of the first.
    fn line(
        &self,
        source: &mut impl BufRead,
        number: &mut usize,
    ) -> Result<Option<(usize, String)>, Failure> {
        let mut text = String::new();
        let first = *number + 1;
        loop {
            let mut bytes = vec![];
            let read = source.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes);
            read.map_err(|error| Failure::new(format!("cannot read `{}`", self.name)).because(&error))?;
            if bytes.is_empty() {
                return Ok((*number >= first).then_some((first, text)));
            }
            *number += 1;
            let wrong = |what: &str| Failure::usage(format!("{}:{number}: {what}", self.name));
            if bytes.len() as u64 > LINE_BYTES_MAX {
                return Err(wrong("a line of more than 64 KiB is no command"));
            }
            let line = String::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8 text"))?;
            let line = line.strip_suffix('\n').unwrap_or(&line);
            text += line.strip_suffix('\r').unwrap_or(line);
            if split(&text).end != End::Backslash {
                return Ok(Some((first, text)));
            }
            text.pop();
        }
    }
}
