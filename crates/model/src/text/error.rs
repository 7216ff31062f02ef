//! What is wrong with a text, where, and what to write instead.

use super::nearest;
use std::fmt;

/// The first thing wrong with a text. Line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    pub line: u32,
    pub column: u32,
    /// How many characters it is about, for underlining.
    pub width: u32,
    /// Safe to show: words of the text are quoted with control characters escaped.
    pub message: String,
    /// What to do about it: `did you mean …?`, or how it is written.
    pub hint: Option<String>,
}

/// `LINE:COL: message; hint`.
impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TextError {}

/// So much of a long source line is shown on each side of the mistake.
const AROUND: usize = 60;

impl TextError {
    /// The error as a person likes to see it: the source line with the mistake underlined.
    /// `source` is the text that was parsed, `file` what to call it.
    #[must_use]
    pub fn render(&self, file: &str, source: &str) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let mut out = format!("{}:{}:{}: {}\n", printable(file), self.line, self.column, self.message);
        let index = usize::try_from(self.line).unwrap_or(usize::MAX).saturating_sub(1);
        if let Some(line) = source.strip_prefix('\u{feff}').unwrap_or(source).lines().nth(index) {
            let column = usize::try_from(self.column).unwrap_or(usize::MAX).saturating_sub(1);
            let width = usize::try_from(self.width).unwrap_or(1).clamp(1, AROUND);
            let skipped = column.saturating_sub(AROUND);
            let shown: String =
                line.chars().skip(skipped).take(column - skipped + AROUND).map(visible).collect();
            let under = " ".repeat(column - skipped) + &"^".repeat(width);
            out += &format!("{margin} |\n{number} | {}\n{margin} | {under}\n", shown.trim_end());
        }
        if let Some(hint) = &self.hint {
            out += &format!("{margin} = {hint}\n");
        }
        out
    }
}

/// A stretch of one line of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) width: u32,
}

impl Span {
    pub(super) fn error(self, message: impl Into<String>) -> TextError {
        TextError {
            line: self.line,
            column: self.column,
            width: self.width,
            message: message.into(),
            hint: None,
        }
    }
}

impl TextError {
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A hint with the nearest of the known words, if one is near.
    pub(super) fn suggest<'k>(mut self, word: &str, known: impl Iterator<Item = &'k str>) -> Self {
        if let Some(near) = nearest(word, known) {
            self.hint = Some(format!("did you mean {}?", quoted(near)));
        }
        self
    }
}

/// A word of the text in backticks, harmless and of bounded length.
#[must_use]
pub fn quoted(word: &str) -> String {
    const MOST: usize = 60;
    let mut shown = printable(word);
    if let Some((cut, _)) = shown.char_indices().nth(MOST) {
        shown.truncate(cut);
        shown.push('…');
    }
    format!("`{shown}`")
}

fn printable(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// A terminal must get neither control characters nor marks that reorder the line; one character stays one.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c if reorders(c) => '\u{fffd}',
        c => c,
    }
}

/// Marks that are not seen themselves but change how the line is.
pub(super) const fn reorders(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
