//! Why a verb did not do what was asked: what failed on what, the causes below it, and what to try.
//!
//! Message, causes and hint are separate so that each can be good; a message never repeats its cause.

use super::text::isolated;
use super::{Exit, safe, style};
use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    silent: bool,
}

impl Failure {
    pub(crate) fn with_exit(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: vec![], hint: None, silent: false }
    }

    /// Tried and failed.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Failed, message)
    }

    /// What was asked makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Usage, message)
    }

    /// The reader of our output went away (`dormouse plan | head`): nothing to say and nobody to say it to.
    pub(crate) fn reader_gone() -> Self {
        Self { silent: true, ..Self::new("the reader of the output went away") }
    }

    /// Adds an error and everything below it.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds a cause in words.
    pub(crate) fn because_of(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Message, causes and hint on one line, for a log.
    #[cfg(feature = "live")]
    pub(crate) fn one_line(&self) -> String {
        let causes = self.causes.iter().flat_map(|cause| cause.lines().next());
        let parts = std::iter::once(self.message.as_str()).chain(causes).chain(self.hint.as_deref());
        parts.map(safe).collect::<Vec<_>>().join("; ")
    }

    /// To stderr. Nothing sensible can be done when that fails.
    pub(crate) fn print(&self) {
        if !self.silent {
            let text = self.to_string();
            let text = if io::stderr().is_terminal() { isolated(&text) } else { text.into() };
            _ = anstream::stderr().lock().write_all(text.as_bytes());
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut part = |head_style: anstyle::Style, head: &str, text: &str| {
            // Only line breaks keep their meaning: a cause may be a quoted line with a caret below it.
            let text = text.lines().map(safe).collect::<Vec<_>>().join("\n  ");
            writeln!(f, "{head_style}{head}:{head_style:#} {text}")
        };
        part(style::ERROR, "Error", &self.message)?;
        for cause in &self.causes {
            part(style::STRONG, "Caused by", cause)?;
        }
        self.hint.iter().try_for_each(|hint| part(style::HINT, "Hint", hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[derive(Debug, thiserror::Error)]
    #[error("1 VM was not seen in this look")]
    struct NotSeen(#[source] std::num::ParseIntError);

    #[test]
    fn message_causes_and_hint_are_separate_lines_and_hostile_text_stays_text() {
        let inner = "x".parse::<u8>().expect_err("not a number");
        let failure = Failure::new("cannot put h17\u{1b}[2J to sleep")
            .because(&NotSeen(inner))
            .because_of("line 3\n   ^^^")
            .hint("`dormouse refresh h17` asks the host again");
        let plain = anstream::adapter::strip_str(&failure.to_string()).to_string();
        expect![[r"
            Error: cannot put h17\u{1b}[2J to sleep
            Caused by: 1 VM was not seen in this look
            Caused by: invalid digit found in string
            Caused by: line 3
                 ^^^
            Hint: `dormouse refresh h17` asks the host again
        "]]
        .assert_eq(&plain);
    }
}
