//! What is wrong with a trace: in which file, where in it, and what to do about it.

use dormouse_model::text::TextError;

/// The first thing wrong with a trace. Safe to show: what it quotes of the file has no control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{mistake}")]
pub struct TraceError {
    /// What the caller calls the source.
    pub file: String,
    pub mistake: TextError,
}

/// A mistake in one cell of a line, before it is known which line that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// In characters, from 1.
    column: usize,
    message: String,
    hint: Option<String>,
}

impl Wrong {
    pub(super) fn at(column: usize, message: impl Into<String>) -> Self {
        Self { column, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn on_line(self, file: &str, line: u32) -> TraceError {
        let column = u32::try_from(self.column).unwrap_or(u32::MAX);
        let mistake = TextError { line, column, width: 1, message: self.message, hint: self.hint };
        TraceError { file: file.to_owned(), mistake }
    }
}
