//! The lines of a source, plain or gzip, read one at a time and never longer than a trace has them.

use super::error::{TraceError, Wrong};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};

/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The header of a year has 1.1 MB.
const LINE_BYTES_MAX: usize = 2 << 20;

pub(super) struct Lines<'a> {
    file: &'a str,
    source: Box<dyn BufRead + 'a>,
    gzip: bool,
    /// The number of the line read last, from 1.
    number: u32,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// Whether it is gzip is seen from its first bytes: names lie.
    pub(super) fn of(file: &'a str, mut source: impl BufRead + 'a) -> Result<Self, TraceError> {
        let mut head = Vec::new();
        let begun = source.by_ref().take(2).read_to_end(&mut head);
        let gzip = head == GZIP;
        let whole = BufReader::new(io::Cursor::new(head).chain(source));
        let source: Box<dyn BufRead> =
            if gzip { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(whole) };
        let lines = Self { file, source, gzip, number: 0, buffer: Vec::new() };
        match begun {
            Ok(_) => Ok(lines),
            Err(error) => Err(lines.unreadable(&error).on_line(file, 1)),
        }
    }

    /// The next line without its end, or none at the end of the source. An empty line can only be the last.
    pub(super) fn next(&mut self) -> Result<Option<&str>, TraceError> {
        if !self.fill()? {
            return Ok(None);
        }
        if self.line().is_empty() {
            let number = self.number;
            if self.fill()? {
                let wrong = Wrong::at(1, "an empty line").hint("each line is one VM; drop the line");
                return Err(wrong.on_line(self.file, number));
            }
            return Ok(None);
        }
        // A mark that some programs put at the front of a file is no part of the header.
        let line = self.line();
        let line = if self.number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            Err(error) => {
                let before = String::from_utf8_lossy(&line[..error.valid_up_to()]).chars().count();
                Err(self.wrong(Wrong::at(before + 1, "not UTF-8 text").hint("save it as UTF-8")))
            }
        }
    }

    /// The mistake on the line read last.
    pub(super) fn wrong(&self, wrong: Wrong) -> TraceError {
        wrong.on_line(self.file, self.number)
    }

    fn line(&self) -> &[u8] {
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Whether there was one more.
    fn fill(&mut self) -> Result<bool, TraceError> {
        self.buffer.clear();
        self.number = self.number.saturating_add(1);
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = self.source.by_ref().take(most).read_until(b'\n', &mut self.buffer);
        let wrong = match read {
            Ok(_) if self.buffer.len() <= LINE_BYTES_MAX => return Ok(!self.buffer.is_empty()),
            Ok(_) => Wrong::at(LINE_BYTES_MAX, format!("a line of more than {LINE_BYTES_MAX} bytes"))
                .hint("a trace has one line for each VM; cut longer ones into years"),
            Err(error) => self.unreadable(&error),
        };
        Err(self.wrong(wrong))
    }

    fn unreadable(&self, error: &io::Error) -> Wrong {
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof if self.gzip => "the gzip data end in the middle".to_owned(),
            _ if self.gzip => format!("the gzip data are damaged: {error}"),
            _ => format!("cannot be read: {error}"),
        };
        let wrong = Wrong::at(1, what);
        if self.gzip { wrong.hint("the file is not whole; fetch it again") } else { wrong }
    }
}
