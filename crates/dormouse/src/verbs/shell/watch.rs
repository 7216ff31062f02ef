//! `watch COMMAND`: its output again and again on a screen of its own; what was there before comes back afterwards.

use super::carry::{self, Shell};
use super::words::Word;
use crate::cli::{Failure, safe, style};
use ratatui::crossterm::terminal;
use signal_hook::consts::SIGINT;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EVERY_S: u64 = 2;
/// So soon Ctrl-C is noticed.
const TICK: Duration = Duration::from_millis(50);
const TICKS_S: u64 = 20;

/// A screen of its own, without line breaks of the terminal's making.
const ENTER: &str = "\x1b[?1049h\x1b[?7l\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?7h\x1b[?1049l";

pub(super) fn run(shell: &Shell<'_>, words: &[String]) -> Result<(), Failure> {
    let (every, words) = match words.split_first() {
        Some((option, rest)) if option == "-n" => {
            let seconds = rest.first().and_then(|text| text.parse().ok()).filter(|n| (1..=3600).contains(n));
            let seconds = seconds.ok_or_else(|| Failure::usage("-n takes seconds, from 1 to 3600"))?;
            (seconds, &rest[1..])
        }
        _ => (EVERY_S, words),
    };
    if words.is_empty() {
        return Err(Failure::usage("nothing to watch").hint("like this: watch -n 5 status"));
    }
    if !shell.ctx.is_interactive() {
        return Err(Failure::usage("`watch` draws on a terminal, and there is none"));
    }
    let typed: Vec<Word> =
        words.iter().map(|text| Word { text: text.clone(), start: 0, bare: false }).collect();
    let words = shell.meant(&typed)?;
    if shell.commands.find_subcommand(&words[0]).is_none() {
        return Err(
            Failure::usage(format!("`{}` cannot be watched", words[0])).hint("`help` lists the verbs")
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    let handler = signal_hook::flag::register(SIGINT, Arc::clone(&stop))
        .map_err(|error| Failure::new("cannot listen for Ctrl-C").because(&error))?;
    let result = draw(shell, &words, every, &stop);
    signal_hook::low_level::unregister(handler);
    raw(LEAVE).and(result)
}

/// What steers the screen goes out also where there is no colour.
fn raw(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new("cannot write the output").because(&error))
}

fn draw(shell: &Shell<'_>, words: &[String], every: u64, stop: &AtomicBool) -> Result<(), Failure> {
    let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    raw(ENTER)?;
    while !stop.load(Ordering::Relaxed) {
        let mut process = shell.process(words);
        if colour {
            process.env("CLICOLOR_FORCE", "1");
        }
        let out = process.stdin(Stdio::null()).output();
        let out = out.map_err(|error| Failure::new("cannot start a process").because(&error))?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let how = if out.status.success() { String::new() } else { format!("; {}", carry::told(out.status)) };
        let shown = [out.stdout, out.stderr].concat();
        raw(&picture(&words.join(" "), every, &how, &String::from_utf8_lossy(&shown)))?;
        for _ in 0..every * TICKS_S {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(TICK);
        }
    }
    Ok(())
}

/// The head and as many lines as there is room for.
fn picture(what: &str, every: u64, how: &str, text: &str) -> String {
    let rows = terminal::size().map_or(24, |(_, rows)| usize::from(rows)).max(3);
    let strong = style::STRONG;
    let mut out =
        format!("\x1b[H{strong}{}{strong:#}  every {every} s{how}; Ctrl-C ends\x1b[K\n\x1b[K", safe(what));
    let count = text.lines().count();
    let room = rows - 2;
    for line in text.lines().take(if count > room { room - 1 } else { room }) {
        _ = write!(out, "\n{line}\x1b[K");
    }
    if count > room {
        _ = write!(out, "\n… {} more lines\x1b[K", count - (room - 1));
    }
    out + "\x1b[J"
}
