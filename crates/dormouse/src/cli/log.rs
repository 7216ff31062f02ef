//! The log of the daemon: to stderr, one event a line, and nothing in it that a terminal obeys, whoever wrote the text.

use super::out::escape_controls;
use super::safe;
use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;

/// A longer line of text is cut: no event of ours needs it.
const LINE_CHARS_MAX: usize = 8_000;

/// Makes each event clean on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CleanLog {
    /// Each line is a JSON object, and must remain one.
    pub(crate) json: bool,
}

impl<'a> MakeWriter<'a> for CleanLog {
    type Writer = Cleaner<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Cleaner { to: io::stderr(), json: self.json }
    }
}

#[derive(Debug)]
pub(crate) struct Cleaner<W> {
    to: W,
    json: bool,
}

impl<W: Write> Write for Cleaner<W> {
    /// An event comes whole, with its line end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut clean = if self.json {
            escape_controls(&line.replace('\n', " "))
        } else {
            safe(line).chars().take(LINE_CHARS_MAX).collect()
        };
        clean.push('\n');
        self.to.write_all(clean.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::fmt::MakeWriter;

    const EVIL: &str = "no domain \u{1b}[2J\u{9b}31m\nev=host.state host=h07 to=off\r\u{202e}x";

    fn logged(json: bool) -> String {
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("not poisoned").extend(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        struct Make(Kept, bool);
        impl<'a> MakeWriter<'a> for Make {
            type Writer = Cleaner<Kept>;
            fn make_writer(&'a self) -> Self::Writer {
                Cleaner { to: self.0.clone(), json: self.1 }
            }
        }
        let kept = Kept::default();
        let log = tracing_subscriber::fmt()
            .with_writer(Make(kept.clone(), json))
            .with_target(false)
            .with_ansi(false);
        let tell = || tracing::warn!(error = EVIL, "a move cannot be aborted: {EVIL}");
        if json {
            tracing::subscriber::with_default(log.json().finish(), tell);
        } else {
            tracing::subscriber::with_default(log.finish(), tell);
        }
        let bytes = kept.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn one_event_is_one_line_and_steers_no_terminal() {
        for json in [false, true] {
            let said = logged(json);
            let line = said.strip_suffix('\n').expect("a line end");
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
            assert!(line.contains("a move cannot be aborted: no domain "), "{said:?}");
        }
        let value: serde_json::Value = serde_json::from_str(&logged(true)).expect("an object");
        assert_eq!(value["fields"]["error"], EVIL);
    }
}
