//! What Tab offers: verbs and options from the command line itself, names from the cluster, quoted where they must be.

use super::words::{End, quote, split};
use super::{OWN, seed};
use crate::verbs::names::{self, Source};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Where the word begins that the offers take the place of, and the offers as they are typed.
pub(super) fn offers(line: &str, commands: &clap::Command, names: &Source) -> (usize, Vec<String>) {
    let split = split(line);
    let mut words = split.commands.into_iter().next_back().unwrap_or_default();
    let (start, current) = match split.end {
        End::InComment => return (line.len(), vec![]),
        End::Between => (line.len(), String::new()),
        End::InWord | End::Backslash | End::Open(_) => match words.pop() {
            Some(word) => (word.start, word.text),
            None => (line.len(), String::new()),
        },
    };
    let mut before: Vec<String> = words.into_iter().map(|word| word.text).collect();
    if before.first().is_some_and(|word| word == commands.get_name()) {
        before.remove(0);
    }
    if before.first().is_some_and(|word| word == "watch") {
        before.remove(0);
        if before.first().is_some_and(|word| word == "-n") {
            before.drain(..before.len().min(2));
        }
    }
    let mut found = BTreeSet::new();
    if before.is_empty() || before == ["help"] {
        let own = OWN.iter().map(|(word, ..)| *word).chain(seed::WORDS.iter().map(|seed| seed.word));
        found.extend(own.filter(|word| word.starts_with(&current)).map(str::to_owned));
    }
    if before.len() == 1 && before[0].eq_ignore_ascii_case(seed::LIST) {
        let forms = seed::WORDS.iter().filter(|seed| seed.word == seed::LIST).map(|seed| seed.takes);
        found.extend(
            forms
                .filter(|form| *form != "HOST" && !form.is_empty() && form.starts_with(&current))
                .map(str::to_owned),
        );
        before.push("HOST".to_owned());
        before = put(&before, commands);
        before.pop();
    } else {
        before = put(&before, commands);
    }
    found.extend(by_the_command_line(before, &current, commands, names));
    // What begins with a dash would be read as an option, however it is quoted.
    let typed = found.into_iter().filter(|word| current.starts_with('-') || !word.starts_with('-'));
    (start, typed.map(|word| quote(&word)).collect())
}

fn put(words: &[String], commands: &clap::Command) -> Vec<String> {
    match seed::put(words, commands) {
        Some(Ok(today)) => today,
        _ => words.to_vec(),
    }
}

fn by_the_command_line(
    before: Vec<String>,
    current: &str,
    commands: &clap::Command,
    names: &Source,
) -> Vec<String> {
    let words = std::iter::once(commands.get_name().to_owned()).chain(before).chain([current.to_owned()]);
    let words: Vec<OsString> = words.map(OsString::from).collect();
    let at = words.len() - 1;
    let folder = std::env::current_dir().ok();
    let mut commands = names::offered(commands.clone(), names);
    let found =
        clap_complete::engine::complete(&mut commands, words, at, folder.as_deref()).unwrap_or_default();
    // What is no text cannot be typed here.
    found
        .iter()
        .filter(|offer| !offer.is_hide_set())
        .filter_map(|offer| offer.get_value().to_str())
        .map(str::to_owned)
        .collect()
}

#[cfg(all(test, feature = "live"))]
mod tests {
    use super::*;
    use crate::verbs::names::Names;
    use expect_test::expect;
    use std::sync::Arc;

    fn tab(line: &str) -> String {
        let names: Source = Arc::new(|| Names {
            hosts: ["lab01", "lab02", "srv"].map(str::to_owned).to_vec(),
            vms: ["pc01", "my vm", "evil\u{1b}[2J", "lazy"].map(str::to_owned).to_vec(),
        });
        let (start, offers) = offers(line, &crate::cli::command(), &names);
        let offers: String = offers.iter().map(|offer| format!(" | {offer}")).collect();
        format!("{}[{}]{offers}\n", &line[..start], &line[start..])
    }

    #[test]
    fn verbs_names_and_old_words_are_offered() {
        let lines = [
            "ho",
            "fin",
            "li",
            "host dr",
            "host drain l",
            "dormouse host drain s",
            "vm show ",
            "vm show my",
            "vm show \"my",
            "vm show e",
            "vm move pc01 l",
            "why la",
            "list ",
            "list V",
            "del_node l",
            "findVM p",
            "host list; vm sh",
            "watch -n 5 host sh",
            "help ho",
            "help host sh",
            "vm list --format ",
            "# ho",
            "host list --f",
        ];
        expect![[r#"
            [ho] | host
            [fin] | findVM
            [li] | list
            host [dr] | drain
            host drain [l] | lab01 | lab02
            dormouse host drain [s] | srv
            vm show [] | "evil\u{1b}[2J" | lazy | "my vm" | pc01
            vm show [my] | "my vm"
            vm show ["my] | "my vm"
            vm show [e] | "evil\u{1b}[2J"
            vm move pc01 [l] | lab01 | lab02
            why [la] | lab01 | lab02 | lazy
            list [] | Off | VM | lab01 | lab02 | srv
            list [V] | VM
            del_node [l] | lab01 | lab02
            findVM [p] | pc01
            host list; vm [sh] | show
            watch -n 5 host [sh] | show
            help [ho] | host
            help host [sh] | show
            vm list --format [] | json | text
            # ho[]
            host list [--f] | --find | --format
        "#]]
        .assert_eq(&lines.map(tab).concat());
    }
}
