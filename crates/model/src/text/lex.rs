//! From characters to words: items, `key=value` pairs, `@` and `=`. It knows quotes, comments and brackets,
//! and nothing of what a line means.

use super::error::{Span, TextError};
use std::borrow::Cow;

/// A word or quoted text.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) text: Cow<'a, str>,
    /// Quoted text is never a flag and holds no ranges.
    pub(super) quoted: bool,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Token<'a> {
    Item(Item<'a>),
    /// `key=a,b`; the list is empty when nothing follows the `=`.
    Pair {
        key: &'a str,
        span: Span,
        items: Vec<Item<'a>>,
    },
    At(Span),
    Equals(Span),
}

/// A line that says something.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// Its first word.
    pub(super) word: Item<'a>,
    pub(super) rest: Vec<Token<'a>>,
}

/// All lines that say something.
pub(super) fn lines(text: &str) -> Result<Vec<Line<'_>>, TextError> {
    let mut found = vec![];
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let mut tokens = tokens(line, count(index).saturating_add(1))?.into_iter();
        match tokens.next() {
            None => {}
            Some(Token::Item(word)) if !word.quoted => found.push(Line { word, rest: tokens.collect() }),
            Some(other) => {
                return Err(other.span().error("a line begins with a word that says what it is about"));
            }
        }
    }
    Ok(found)
}

/// The words of one line.
pub(super) fn tokens(line: &str, number: u32) -> Result<Vec<Token<'_>>, TextError> {
    let mut lexer = Lexer { line, number, at: 0, column: 1 };
    let mut tokens = vec![];
    while let Some(token) = lexer.token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

impl Token<'_> {
    pub(super) fn span(&self) -> Span {
        match self {
            Self::Item(item) => item.span,
            Self::Pair { span, .. } | Self::At(span) | Self::Equals(span) => *span,
        }
    }
}

struct Lexer<'a> {
    line: &'a str,
    number: u32,
    /// In bytes.
    at: usize,
    /// In characters, from 1.
    column: u32,
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<char> {
        self.line[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.column = self.column.saturating_add(1);
        Some(c)
    }

    fn here(&self) -> Span {
        Span { line: self.number, column: self.column, width: 1 }
    }

    /// From `start` to here.
    fn since(&self, start: Span) -> Span {
        Span { width: self.column.saturating_sub(start.column).max(1), ..start }
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, TextError> {
        while self.peek().is_some_and(|c| c.is_whitespace() || c == ',') {
            self.next();
        }
        let start = self.here();
        match self.peek() {
            None | Some('#') => Ok(None),
            Some('@') => {
                self.next();
                Ok(Some(Token::At(start)))
            }
            Some('=') => {
                self.next();
                Ok(Some(Token::Equals(start)))
            }
            Some('"') => {
                let item = self.quoted()?;
                self.expect_end(&[',', '@', '='])?;
                Ok(Some(Token::Item(item)))
            }
            Some(_) => {
                let word = self.bare(&[',', '@', '='])?;
                if self.peek() != Some('=') {
                    let text = Cow::Borrowed(word);
                    return Ok(Some(Token::Item(Item { text, quoted: false, span: self.since(start) })));
                }
                let span = self.since(start);
                self.next();
                Ok(Some(Token::Pair { key: word, span, items: self.values()? }))
            }
        }
    }

    /// What follows `key=`: items with commas between them, up to a blank.
    fn values(&mut self) -> Result<Vec<Item<'a>>, TextError> {
        let mut items = vec![];
        if self.peek().is_none_or(char::is_whitespace) {
            return Ok(items);
        }
        loop {
            let start = self.here();
            if self.peek() == Some('"') {
                items.push(self.quoted()?);
                self.expect_end(&[','])?;
            } else {
                let text = self.bare(&[','])?;
                if text.is_empty() {
                    return Err(start
                        .error("a value is missing beside this comma")
                        .hint("inside a value write commas without blanks: `a,b,c`"));
                }
                items.push(Item { text: Cow::Borrowed(text), quoted: false, span: self.since(start) });
            }
            if self.peek() != Some(',') {
                return Ok(items);
            }
            self.next();
        }
    }

    /// A word up to a blank or one of `ends`, which do not count inside brackets.
    fn bare(&mut self, ends: &[char]) -> Result<&'a str, TextError> {
        let from = self.at;
        let mut bracket = None;
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() => break,
                '[' if bracket.is_none() => bracket = Some(self.here()),
                ']' => bracket = None,
                '"' => {
                    return Err(self
                        .here()
                        .error("a quote in the middle of a word")
                        .hint("put the whole text in quotes; inside them a quote is written `\\\"`"));
                }
                '#' => {
                    return Err(self
                        .here()
                        .error("a `#` in the middle of a word")
                        .hint("put a blank before a comment, or the text in quotes"));
                }
                c if bracket.is_none() && ends.contains(&c) => break,
                _ => {}
            }
            self.next();
        }
        match bracket {
            Some(open) => {
                Err(open.error("this `[` is not closed").hint("ranges have no blanks: `lab[01-10,12]`"))
            }
            None => Ok(&self.line[from..self.at]),
        }
    }

    fn quoted(&mut self) -> Result<Item<'a>, TextError> {
        let start = self.here();
        self.next();
        let mut text = String::new();
        loop {
            let here = self.here();
            match self.next() {
                Some('"') => break,
                Some('\\') => text.push(self.escape(here)?),
                Some(c) => text.push(c),
                None => return Err(self.since(start).error("this quote is not closed on its line")),
            }
        }
        Ok(Item { text: Cow::Owned(text), quoted: true, span: self.since(start) })
    }

    fn escape(&mut self, start: Span) -> Result<char, TextError> {
        let unknown = |span: Span| {
            span.error("an unknown escape")
                .hint("there are `\\\"`, `\\\\`, `\\n`, `\\r`, `\\t` and `\\u{…}` (hexadecimal)")
        };
        match self.next() {
            Some(c @ ('"' | '\\')) => Ok(c),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') if self.peek() == Some('{') => {
                self.next();
                let from = self.at;
                while self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                    self.next();
                }
                let digits = &self.line[from..self.at];
                let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                match (self.next(), c) {
                    (Some('}'), Some(c)) if digits.len() <= 6 => Ok(c),
                    _ => Err(unknown(self.since(start))),
                }
            }
            _ => Err(unknown(self.since(start))),
        }
    }

    fn expect_end(&self, ends: &[char]) -> Result<(), TextError> {
        match self.peek() {
            Some(c) if !c.is_whitespace() && !ends.contains(&c) => Err(self
                .here()
                .error("text right behind a closing quote")
                .hint("put a blank or a comma there")),
            _ => Ok(()),
        }
    }
}
