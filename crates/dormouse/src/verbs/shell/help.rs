//! What the shell says about itself: its verbs, made from the command line, and its own few words.

use super::{OWN, seed};
use crate::cli::style::STRONG;
use std::fmt::Write as _;

const WIDTH: usize = 36;

pub(super) fn all(commands: &clap::Command) -> String {
    let mut out = String::new();
    let mut part = |head: &str, lines: Vec<(String, String)>| {
        _ = writeln!(out, "{STRONG}{head}{STRONG:#}");
        for (word, about) in lines {
            _ = writeln!(out, "  {}", format!("{word:<WIDTH$}  {about}").trim_end());
        }
    };
    let verbs = commands
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && !matches!(verb.get_name(), "help" | "shell"));
    part("Verbs", verbs.flat_map(verb).collect());
    part("Words of old", seed::WORDS.iter().map(|seed| old(seed, commands)).collect());
    let own = OWN.iter().map(|(word, takes, about)| (joined(word, takes), (*about).to_owned()));
    part("The shell's own", own.collect());
    out += "`help VERB` says everything about one. Tab completes verbs, options, hosts and VMs.\n";
    out
}

/// A verb with verbs of its own is a line for each.
fn verb(verb: &clap::Command) -> Vec<(String, String)> {
    let about = |verb: &clap::Command| verb.get_about().map(ToString::to_string).unwrap_or_default();
    let below: Vec<&clap::Command> =
        verb.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help").collect();
    if below.is_empty() {
        return vec![(joined(verb.get_name(), &takes(verb)), about(verb))];
    }
    let name =
        |below: &clap::Command| joined(&format!("{} {}", verb.get_name(), below.get_name()), &takes(below));
    below.into_iter().map(|below| (name(below), about(below))).collect()
}

fn takes(verb: &clap::Command) -> String {
    let names = verb.get_positionals().flat_map(|arg| arg.get_value_names().unwrap_or_default());
    names.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn joined(word: &str, takes: &str) -> String {
    format!("{word} {takes}").trim_end().to_owned()
}

fn old(seed: &seed::Seed, commands: &clap::Command) -> (String, String) {
    let about = match seed.verb(commands) {
        Some(verb) => format!("is `{}`", verb.join(" ")),
        None => "not in this build: typing it says what to do instead".to_owned(),
    };
    (joined(seed.word, seed.takes), about)
}

/// About a word that the command line does not have.
pub(super) fn own(word: &str, commands: &clap::Command) -> Option<String> {
    if let Some((word, takes, about)) = OWN.iter().find(|(own, ..)| *own == word) {
        return Some(format!("{STRONG}{}{STRONG:#}: {about}\n", joined(word, takes)));
    }
    let forms = seed::WORDS
        .iter()
        .filter(|seed| seed.word.eq_ignore_ascii_case(word))
        .map(|seed| old(seed, commands));
    let text: String = forms.map(|(word, about)| format!("{STRONG}{word}{STRONG:#} {about}\n")).collect();
    (!text.is_empty() && commands.find_subcommand(word).is_none()).then_some(text)
}
