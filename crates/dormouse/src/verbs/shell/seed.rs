//! The words of the shell that this project grew from, each as a verb of today.
//!
//! A word whose verb this build does not have says so and what to do instead. Never here: a verb of its own.

use crate::cli::Failure;

/// One old word.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) word: &'static str,
    /// What follows it.
    pub(super) takes: &'static str,
    /// The verbs it may stand for: the first that this build has.
    verbs: &'static [&'static [&'static str]],
    /// What to do where it has none of them.
    instead: &'static str,
}

pub(super) const LIST: &str = "list";

pub(super) const WORDS: &[Seed] = &[
    Seed { word: "add_node", takes: "HOST…", verbs: &[&["host", "add"]], instead: "" },
    Seed { word: "del_node", takes: "HOST", verbs: &[&["host", "remove"]], instead: "" },
    Seed { word: LIST, takes: "", verbs: &[&["host", "list"]], instead: "" },
    Seed { word: LIST, takes: "VM", verbs: &[&["vm", "list"]], instead: "" },
    Seed { word: LIST, takes: "Off", verbs: &[&["host", "list", "--state", "asleep,off"]], instead: "" },
    Seed { word: LIST, takes: "HOST", verbs: &[&["vm", "list"]], instead: "" },
    Seed { word: "findVM", takes: "VM", verbs: &[&["vm", "find"], &["vm", "show"]], instead: "" },
    Seed {
        word: "insert",
        takes: "VM",
        verbs: &[&["vm", "define"]],
        instead: "define it with `virsh -c qemu+ssh://HOST/system define FILE`: VMs that a host knows are seen by themselves",
    },
    Seed {
        word: "start_VM",
        takes: "VM",
        verbs: &[&["vm", "start"]],
        instead: "start it with `virsh -c qemu+ssh://HOST/system start VM`: it is seen at the next look",
    },
    Seed {
        word: "add_machine_cluster",
        takes: "VM",
        verbs: &[&["vm", "import"], &["vm", "register"]],
        instead: "VMs that libvirt on a host of the cluster knows are seen by themselves; `host add HOST` adds the host",
    },
    Seed {
        word: "reset",
        takes: "",
        verbs: &[&["host", "reset"]],
        instead: "`host remove HOST` takes one host off; `store` has what is kept, and how to begin anew",
    },
];

impl Seed {
    /// The verb it stands for in this build.
    pub(super) fn verb(&self, command: &clap::Command) -> Option<&'static [&'static str]> {
        self.verbs.iter().copied().find(|verb| exists(command, verb))
    }

    fn missing(&self) -> Failure {
        Failure::usage(format!(
            "`{}` is `{}`, which this build does not have",
            self.word,
            self.verbs[0].join(" ")
        ))
        .hint(self.instead)
    }
}

fn exists(command: &clap::Command, verb: &[&str]) -> bool {
    let mut at = command;
    verb.iter().take_while(|word| !word.starts_with('-')).all(|word| match at.find_subcommand(word) {
        Some(below) => {
            at = below;
            true
        }
        None => false,
    })
}

/// Old words at the start of a command put as today's; `None` where there is none.
pub(super) fn put(words: &[String], command: &clap::Command) -> Option<Result<Vec<String>, Failure>> {
    let (first, rest) = words.split_first()?;
    let mut forms = WORDS.iter().filter(|seed| seed.word.eq_ignore_ascii_case(first)).peekable();
    let default = *forms.peek()?;
    if command.find_subcommand(first).is_some() {
        return None;
    }
    let (seed, rest) = match rest.split_first() {
        Some((form, rest)) if default.word == LIST && !form.starts_with('-') => {
            // A host may be called anything but these two.
            match forms
                .find(|seed| matches!(seed.takes, "VM" | "Off") && seed.takes.eq_ignore_ascii_case(form))
            {
                Some(seed) => (seed, rest),
                None => (WORDS.iter().find(|seed| seed.word == LIST && seed.takes == "HOST")?, &words[1..]),
            }
        }
        _ => (default, rest),
    };
    Some(match seed.verb(command) {
        Some(verb) => Ok(verb.iter().map(|word| (*word).to_owned()).chain(rest.iter().cloned()).collect()),
        None => Err(seed.missing()),
    })
}

#[cfg(all(test, feature = "live"))]
mod tests {
    use super::*;

    fn said(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        put(&words, &crate::cli::command())
            .map(|put| put.map_or_else(|failure| failure.one_line(), |words| words.join(" ")))
    }

    #[test]
    fn old_words_are_verbs_of_today() {
        for (old, new) in [
            ("add_node lab[01-12]", "host add lab[01-12]"),
            ("ADD_NODE a", "host add a"),
            ("del_node a", "host remove a"),
            ("list", "host list"),
            ("list --format json", "host list --format json"),
            ("list VM", "vm list"),
            ("list vm --format json", "vm list --format json"),
            ("list Off", "host list --state asleep,off"),
            ("list lab07", "vm list lab07"),
        ] {
            assert_eq!(said(old).as_deref(), Some(new), "{old}");
        }
        assert_eq!(said("host list"), None);
        assert_eq!(said("refresh"), None, "a verb of today");
    }

    #[test]
    fn a_verb_that_is_not_there_is_said_to_be_missing_and_what_to_do() {
        let without = clap::Command::new("dormouse").subcommand(clap::Command::new("vm"));
        let missing = put(&["start_VM".to_owned(), "pc01".to_owned()], &without).expect("an old word");
        let said = missing.expect_err("no such verb").one_line();
        assert!(
            said.starts_with(
                "`start_VM` is `vm start`, which this build does not have; start it with `virsh"
            ),
            "{said}"
        );
    }

    #[test]
    fn each_old_word_leads_to_a_verb_or_says_what_to_do() {
        let command = crate::cli::command();
        for seed in WORDS {
            assert!(seed.verb(&command).is_some() || !seed.instead.is_empty(), "{}", seed.word);
        }
    }
}
