//! The cluster text: one line-based format for plans, scenarios, tests, captures and docs.

//!
//! [`parse`] reads it whole or names the first mistake; [`print()`] writes it so that `parse` gives the same cluster
//! back. What it looks like is told in `docs/cluster-text.md`. Its authors are not trusted: every list is counted
//! before it is expanded, and what an error quotes is safe for a terminal.

mod calendar;
mod error;
mod hosts;
pub mod ics;
mod lex;
mod names;
mod parse;
mod parts;
mod print;
mod rules;
#[cfg(test)]
mod tests;
mod value;

pub use error::{TextError, quoted};
pub use names::names;
pub use parse::parse;
pub use print::print;
pub use value::mac;

use crate::Millis;

/// `"; did you mean `x`?"` when one of the known words is close, else nothing.
pub fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The known word nearest to this one, if it is near enough for a slip of the keys.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of both lengths: no word we know is so long.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    known
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 1 + candidate.len() / 4)
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance > 0 && *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A decimal with at most three places as thousandths: `0.3` is 300. `None` for anything else.
#[must_use]
pub fn decimal_thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 3 || text.ends_with('.') {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(fraction)
}

/// `90s`, `40m`, `2h`, `1d`, `250ms`; a bare number is seconds. `None` for anything else.
#[must_use]
pub fn duration(text: &str) -> Option<Millis> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(Millis)
}

/// A span of time as [`duration`] reads it, in its largest whole unit up to hours.
#[must_use]
pub fn duration_text(span: Millis) -> String {
    let whole = |unit: u64| span.0 > 0 && span.0.is_multiple_of(unit);
    match span.0 {
        ms if whole(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if whole(60_000) => format!("{}m", ms / 60_000),
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}
