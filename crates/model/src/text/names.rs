//! Names and ranges: `lab07`, `lab[01-62]`, `r[1-4]n[01-16]`, `lab[01-05,09]`, `"any text"`.
//! A range is counted before it is expanded, so that a few characters cannot fill the memory.

use super::error::{Span, TextError, quoted};
use super::lex::{Item, Token, tokens};
use std::fmt::Write;

/// Longer than any name that DNS or libvirt knows.
const LONGEST: usize = 253;
/// Brackets in one name.
const MOST_BRACKETS: usize = 4;
/// What [`names`] expands at most.
const MOST_NAMES: u64 = 1_000_000;

/// The names in a list like `lab[01-10], srv1 "odd name"`, in its order.
///
/// # Errors
/// The text is no such list, or it names more than a million.
pub fn names(text: &str) -> Result<Vec<String>, TextError> {
    let mut items = vec![];
    for (index, line) in text.lines().enumerate() {
        for token in tokens(line, u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1))? {
            match token {
                Token::Item(item) => items.push(item),
                other => return Err(other.span().error("expected names here")),
            }
        }
    }
    let patterns = items.iter().map(|item| Pattern::of(item, "")).collect::<Result<Vec<_>, _>>()?;
    let total = patterns.iter().fold(0_u64, |sum, pattern| sum.saturating_add(pattern.count));
    if total > MOST_NAMES {
        let span = items.first().map_or(Span { line: 1, column: 1, width: 1 }, |item| item.span);
        return Err(span.error(format!("{total} names; at most {MOST_NAMES} are allowed")));
    }
    let mut names = vec![];
    for pattern in &patterns {
        pattern.each(&mut |name| {
            names.push(name.to_owned());
            Ok(())
        })?;
    }
    Ok(names)
}

/// One item, understood as a name or a range of names.
#[derive(Debug)]
pub(super) struct Pattern<'i> {
    parts: Vec<Part<'i>>,
    /// How many names it stands for; saturates.
    pub(super) count: u64,
    pub(super) span: Span,
}

#[derive(Debug)]
enum Part<'i> {
    Text(&'i str),
    Numbers(Vec<Numbers>),
}

#[derive(Debug)]
struct Numbers {
    low: u64,
    high: u64,
    /// Zeros are put in front up to this many digits.
    width: usize,
}

/// May stand in a name without quotes.
pub(super) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// May be written without quotes.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(is_plain)
        && name.len() <= LONGEST
}

impl<'i> Pattern<'i> {
    /// `extra`: characters allowed beyond those of a plain name.
    pub(super) fn of(item: &'i Item<'_>, extra: &str) -> Result<Self, TextError> {
        let text: &str = &item.text;
        let mut pattern = Self { parts: vec![], count: 1, span: item.span };
        if item.quoted {
            if text.is_empty() || text.len() > LONGEST || text.contains('\0') {
                return Err(item.span.error(format!("a name has 1 to {LONGEST} bytes and no NUL")));
            }
            pattern.parts.push(Part::Text(text));
            return Ok(pattern);
        }
        let bad = |what: String| item.span.error(what);
        let mut length = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let open = rest.find('[').unwrap_or(rest.len());
            let (literal, behind) = rest.split_at(open);
            if let Some(c) = literal.chars().find(|c| !is_plain(*c) && !extra.contains(*c)) {
                return Err(bad(format!(
                    "{} is not a plain name because of {}",
                    quoted(text),
                    quoted(&c.to_string())
                ))
                .hint("plain names have letters, digits, `.`, `_` and `-`; quote any other"));
            }
            if !literal.is_empty() {
                pattern.parts.push(Part::Text(literal));
                length += literal.len();
            }
            rest = behind;
            if let Some(inside) = behind.strip_prefix('[') {
                let (ranges, after) = inside
                    .split_once(']')
                    .ok_or_else(|| bad(format!("{} has a `[` without `]`", quoted(text))))?;
                let numbers = ranges
                    .split(',')
                    .map(|range| Numbers::of(range).map_err(|why| bad(format!("{}: {why}", quoted(text)))))
                    .collect::<Result<Vec<_>, _>>()?;
                let many = numbers.iter().fold(0_u64, |sum, n| sum.saturating_add(n.high - n.low + 1));
                pattern.count = pattern.count.saturating_mul(many);
                pattern.parts.push(Part::Numbers(numbers));
                length += Numbers::DIGITS;
                rest = after;
            }
        }
        let brackets = pattern.parts.iter().filter(|part| matches!(part, Part::Numbers(_))).count();
        if brackets > MOST_BRACKETS {
            return Err(bad(format!("{} has more than {MOST_BRACKETS} ranges", quoted(text))));
        }
        if length > LONGEST {
            return Err(bad(format!("{} is longer than {LONGEST} characters", quoted(text))));
        }
        if text.starts_with(['.', '_', '-']) {
            return Err(bad(format!("a plain name begins with a letter or digit, unlike {}", quoted(text))));
        }
        Ok(pattern)
    }

    /// Calls `f` with each name, the last range running fastest.
    pub(super) fn each(&self, f: &mut impl FnMut(&str) -> Result<(), TextError>) -> Result<(), TextError> {
        expand(&self.parts, &mut String::new(), f)
    }
}

fn expand(
    parts: &[Part<'_>],
    name: &mut String,
    f: &mut impl FnMut(&str) -> Result<(), TextError>,
) -> Result<(), TextError> {
    let Some((first, rest)) = parts.split_first() else {
        return f(name);
    };
    let length = name.len();
    match first {
        Part::Text(text) => {
            name.push_str(text);
            expand(rest, name, f)?;
        }
        Part::Numbers(ranges) => {
            for range in ranges {
                for number in range.low..=range.high {
                    write!(name, "{number:0width$}", width = range.width).expect("a String takes all");
                    expand(rest, name, f)?;
                    name.truncate(length);
                }
            }
        }
    }
    name.truncate(length);
    Ok(())
}

impl Numbers {
    const DIGITS: usize = 18;

    fn of(text: &str) -> Result<Self, String> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let number = |digits: &str| {
            Some(digits)
                .filter(|d| d.len() <= Self::DIGITS && !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|d| d.parse::<u64>().ok())
                .ok_or_else(|| {
                    format!("a range is written like `[01-62]` or `[1,3,5-9]`, not {}", quoted(text))
                })
        };
        let (from, to) = (number(low)?, number(high)?);
        if from > to {
            return Err(format!("the range {} runs backwards", quoted(text)));
        }
        let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
        if high.len() < low.len() || padded(high) && high.len() != low.len() {
            return Err(format!("write both ends of {} with the same number of digits", quoted(text)));
        }
        Ok(Self { low: from, high: to, width: if padded(low) { low.len() } else { 0 } })
    }
}

/// The last number in a name, between what stands before and behind it.
fn number(name: &str) -> Option<(&str, &str, &str)> {
    let digit = |c: char| c.is_ascii_digit();
    let end = name.rfind(digit)? + 1;
    let start = name[..end]
        .rfind(|c: char| !digit(c))
        .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
    (end - start < Numbers::DIGITS).then(|| (&name[..start], &name[start..end], &name[end..]))
}

/// Whether `next` is the name behind `name` in a range.
pub(super) fn follows(name: &str, next: &str) -> bool {
    let (Some((before, digits, behind)), Some((next_before, next_digits, next_behind))) =
        (number(name), number(next))
    else {
        return false;
    };
    let width = if digits.starts_with('0') { digits.len() } else { 0 };
    (before, behind) == (next_before, next_behind)
        && is_plain_name(name)
        && name.len() + Numbers::DIGITS <= LONGEST
        && digits.parse::<u64>().is_ok_and(|number| format!("{:0width$}", number + 1) == next_digits)
}

/// The range from one name to another that follows it, directly or through others.
pub(super) fn range(first: &str, last: &str) -> String {
    match (number(first), number(last)) {
        (Some((before, from, behind)), Some((_, to, _))) => format!("{before}[{from}-{to}]{behind}"),
        _ => format!("{first},{last}"),
    }
}
