//! What is wrong with the configuration, where, and what to do about it.

use crate::cli::{Failure, safe};
use dormouse_model::text::TextError;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// The first thing wrong with the configuration.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// `FILE:LINE:COL`, `FILE`, or the variable.
    pub(crate) place: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The line of the file with the mistake underlined.
    pub(crate) excerpt: Option<String>,
}

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: short(message), hint: None, excerpt: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A mistake at these bytes of the file.
    pub(super) fn at(path: &Path, source: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let before = source.get(..span.start).unwrap_or(source);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let error = TextError {
            line: number(before.matches('\n').count() + 1),
            column: number(before.rsplit('\n').next().unwrap_or("").chars().count() + 1),
            width: number(source.get(span).unwrap_or("").lines().next().unwrap_or("").chars().count().max(1)),
            message: short(message),
            hint: None,
        };
        let file = path.display().to_string();
        let rendered = error.render(&file, source);
        let excerpt = rendered.split_once('\n').map(|(_, lines)| lines.trim_end().to_owned());
        Self {
            place: format!("{}:{}:{}", safe(&file), error.line, error.column),
            message: error.message,
            hint: None,
            excerpt: excerpt.filter(|lines| !lines.is_empty()),
        }
    }
}

/// What a message quotes of a file is as long as somebody made it.
fn short(message: impl Into<String>) -> String {
    const MOST: usize = 300;
    let mut message = message.into();
    if let Some((end, _)) = message.char_indices().nth(MOST) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// On one line, as a log has it.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let mut cause = format!("{}: {}", error.place, error.message);
        if let Some(excerpt) = error.excerpt {
            cause += &format!("\n{excerpt}");
        }
        let failure = Self::usage("the settings cannot be used").because_of(cause);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
