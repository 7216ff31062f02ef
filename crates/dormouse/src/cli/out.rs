//! Where output goes and in which form. Colour only on a terminal that wants it; a reader that leaves is no error.

use super::Failure;
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

/// What every verb is given beside its arguments.
#[derive(Debug)]
pub(crate) struct Ctx {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value, fields as in docs/json.md.
    Json,
}

/// `--color`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// From here on for the whole process. `Auto` honours NO_COLOR, CLICOLOR and TERM=dumb.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// The few styles there are. Meaning never hangs on colour alone.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    pub(crate) const STRONG: Style = Style::new().bold();
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
}

impl Ctx {
    /// Prints text that may hold styles; they are taken out where nobody would see them.
    /// Untrusted parts have been through [`super::safe`] before.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        if io::stdout().is_terminal() { self.write(&super::text::isolated(text)) } else { self.write(text) }
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::reader_gone(),
            _ => Failure::new("cannot write the output").because(&error),
        })
    }

    /// Prints one JSON value. Control characters beyond ASCII are escaped too: it may be read on a terminal.
    pub(crate) fn print_json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new("cannot write the output as JSON").because(&error))?;
        self.write(&(escape_controls(&text) + "\n"))
    }

    /// Prints one JSON value on one line, for streams.
    #[cfg(feature = "live")]
    pub(crate) fn print_json_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::new("cannot write the output as JSON").because(&error))?;
        self.write(&(escape_controls(&text) + "\n"))
    }

    /// Someone sits before it and could press a key.
    pub(crate) fn is_interactive(&self) -> bool {
        io::stdout().is_terminal() && io::stdin().is_terminal()
    }
}

/// serde_json escapes below 0x20 only. Outside of strings JSON has no such characters, so this cannot break it.
pub(super) fn escape_controls(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => safe.push(c),
            _ if super::text::is_unsafe(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    safe.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #[test]
    fn json_shows_no_control_character_and_still_means_the_same() {
        let value = "a\u{9b}31m\u{202e}b\u{7f}\n";
        let json = super::escape_controls(&serde_json::to_string(value).unwrap());
        assert_eq!(json, r#""a\u009b31m\u202eb\u007f\n""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
    }
}
