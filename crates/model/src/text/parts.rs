//! The parts of a line: names first, hosts behind `@`, then flags and `key=value` in any order.

use super::error::{Span, TextError, quoted};
use super::lex::{Item, Token};
use super::value;

#[derive(Debug)]
pub(super) struct Parts<'l, 'a> {
    /// The line's first word.
    pub(super) word: Span,
    pub(super) names: Vec<&'l Item<'a>>,
    /// Behind `@`, with its place.
    pub(super) at: Option<(Span, Vec<&'l Item<'a>>)>,
    pairs: Vec<(&'a str, Span, &'l [Item<'a>])>,
    flags: Vec<&'l str>,
}

/// What a kind of line knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'k> {
    pub(super) keys: &'k [&'k str],
    pub(super) flags: &'k [&'k str],
}

impl<'l, 'a> Parts<'l, 'a> {
    pub(super) fn of(word: Span, tokens: &'l [Token<'a>], known: Known<'_>) -> Result<Self, TextError> {
        let mut parts = Self { word, names: vec![], at: None, pairs: vec![], flags: vec![] };
        let mut options = false;
        let words = || known.keys.iter().chain(known.flags).copied();
        for token in tokens {
            match token {
                Token::Item(item) if !item.quoted && known.flags.contains(&&*item.text) => {
                    if parts.flags.contains(&&*item.text) {
                        return Err(item.span.error(format!("{} is given twice", quoted(&item.text))));
                    }
                    parts.flags.push(&item.text);
                    options = true;
                }
                Token::Item(item) if options => {
                    let error = item.span.error(format!("unknown word {} on this line", quoted(&item.text)));
                    return Err(error
                        .hint("names come first, then keys and flags; inside a value write commas without blanks")
                        .suggest(&item.text, words()));
                }
                Token::Item(item) => match &mut parts.at {
                    Some((_, hosts)) => hosts.push(item),
                    None => parts.names.push(item),
                },
                Token::At(span) if parts.at.is_none() && !options => parts.at = Some((*span, vec![])),
                Token::At(span) => return Err(span.error("no `@` is expected here")),
                Token::Equals(span) => {
                    return Err(span
                        .error("no `=` is expected here")
                        .hint("write `key=value` without blanks"));
                }
                Token::Pair { key, span, items } => {
                    if !known.keys.contains(key) {
                        return Err(span
                            .error(format!("unknown key {} on this line", quoted(key)))
                            .hint(match known.keys {
                                [] => "this line has no keys".to_owned(),
                                keys => format!("known here: {}", keys.join(", ")),
                            })
                            .suggest(key, words()));
                    }
                    if items.is_empty() {
                        return Err(span
                            .error(format!("`{key}=` has no value"))
                            .hint("write it without blanks"));
                    }
                    if parts.pairs.iter().any(|(other, ..)| other == key) {
                        return Err(span.error(format!("`{key}=` is given twice")));
                    }
                    parts.pairs.push((key, *span, items));
                    options = true;
                }
            }
        }
        Ok(parts)
    }

    pub(super) fn no_at(self) -> Result<Self, TextError> {
        match self.at {
            Some((span, _)) => Err(span.error("`@` belongs on `vm` lines only")),
            None => Ok(self),
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }

    /// The place of a key, for errors about its value.
    pub(super) fn place(&self, key: &str) -> Span {
        self.pairs.iter().find(|(name, ..)| *name == key).map_or(self.word, |(_, span, _)| *span)
    }

    pub(super) fn list(&self, key: &str) -> Option<&'l [Item<'a>]> {
        self.pairs.iter().find(|(name, ..)| *name == key).map(|(.., items)| *items)
    }

    pub(super) fn one(&self, key: &str) -> Result<Option<&'l Item<'a>>, TextError> {
        match self.list(key) {
            None => Ok(None),
            Some([item]) => Ok(Some(item)),
            Some(items) => Err(items[1].span.error(format!("`{key}=` takes one value, not a list"))),
        }
    }

    /// The value of a key, read by `read`, which `takes` describes.
    pub(super) fn read<T>(
        &self,
        key: &str,
        takes: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, TextError> {
        let Some(item) = self.one(key)? else { return Ok(None) };
        let wrong = || item.span.error(format!("`{key}=` takes {takes}, not {}", quoted(&item.text)));
        read(&item.text).map(Some).ok_or_else(wrong)
    }

    /// MAC addresses, in the order given.
    pub(super) fn macs(&self) -> Result<Vec<[u8; 6]>, TextError> {
        let mac = |item: &Item<'_>| {
            value::mac(&item.text).ok_or_else(|| {
                item.span.error(format!("`mac=` takes {}, not {}", value::MAC, quoted(&item.text)))
            })
        };
        self.list("mac").unwrap_or_default().iter().map(mac).collect()
    }

    /// Names that others gave: any text that is not empty. In order, each once.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, TextError> {
        let mut texts = vec![];
        for item in self.list(key).unwrap_or_default() {
            if item.text.is_empty() {
                return Err(item.span.error(format!("`{key}=` takes names, not an empty text")));
            }
            texts.push(item.text.clone().into_owned());
        }
        texts.sort_unstable();
        texts.dedup();
        Ok(texts)
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'l [Item<'a>])> + '_ {
        self.pairs.iter().map(|(key, _, items)| (*key, *items))
    }
}
