//! How single values are written. Each has a bound, so that no sum of a million of them leaves its integer.

use super::{decimal_thousandths, duration};
use crate::{Mbps, Mib, MilliCpu, Millis, Watts};
use jiff::civil::{Date, DateTime, Time};

pub(super) const MEMORY: &str = "memory from 0M to 1024T, like 2048M or 64G";
pub(super) const LINK: &str = "a rate from 1M to 10000G, like 1000M or 10G (bits per second)";
pub(super) const WATTS: &str = "three powers up to 1000000 W, idle/busy/asleep, like 45/95/3";
pub(super) const ROLE: &str = "one of manager, quorum, storage, gateway";
pub(super) const SECONDS: &str = "a time up to 1d, like 75s or 2m";
pub(super) const CORES: &str = "a whole number from 1 to 65536";
pub(super) const CPU: &str = "cores in use, up to 65536, like 0.02";
pub(super) const DIRTY: &str = "MiB per second, a whole number up to 1000000";
pub(super) const COUNT: &str = "a whole number from 1 to 1000000";
pub(super) const UP_BY: &str = "a time before the start, up to 1d, like -30m";
pub(super) const UNTIL: &str = "a date and time like 2026-12-01T08:00";
pub(super) const MAC: &str = "the MAC address of one machine, like 52:54:00:12:34:56";

const MOST_MIB: u64 = 1 << 30;

pub(super) fn memory(text: &str) -> Option<Mib> {
    // Nothing is nothing in every unit.
    if text == "0" {
        return Some(Mib::ZERO);
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "M" => 1,
        "G" => 1 << 10,
        "T" => 1 << 20,
        _ => return None,
    };
    let thousandths = decimal_thousandths(number)?.checked_mul(factor)?;
    (thousandths % 1000 == 0 && thousandths / 1000 <= MOST_MIB).then_some(Mib(thousandths / 1000))
}

pub(super) fn link(text: &str) -> Option<Mbps> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "M" => 1,
        "G" => 1000,
        _ => return None,
    };
    let thousandths = decimal_thousandths(number)?.checked_mul(factor)?;
    (thousandths % 1000 == 0 && (1..=10_000_000).contains(&(thousandths / 1000)))
        .then_some(Mbps(thousandths / 1000))
}

pub(super) fn watts(text: &str) -> Option<[Watts; 3]> {
    let mut parts = text.split('/').map(|part| number(part, 0..=1_000_000).map(Watts));
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

pub(super) fn seconds(text: &str) -> Option<Millis> {
    duration(text).filter(|span| *span <= Millis::from_secs(86_400))
}

pub(super) fn up_by(text: &str) -> Option<Millis> {
    seconds(text.strip_prefix('-').unwrap_or(text))
}

pub(super) fn cores(text: &str) -> Option<u32> {
    number(text, 1..=65_536).and_then(|cores| u32::try_from(cores).ok())
}

pub(super) fn cpu(text: &str) -> Option<MilliCpu> {
    decimal_thousandths(text).filter(|cpu| *cpu <= 65_536_000).map(MilliCpu)
}

pub(super) fn dirty(text: &str) -> Option<u64> {
    number(text, 0..=1_000_000)
}

pub(super) fn count(text: &str) -> Option<u32> {
    number(text, 1..=1_000_000).and_then(|count| u32::try_from(count).ok())
}

/// Digits only: no sign, no blanks.
fn number(text: &str, allowed: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|number| allowed.contains(number))
}

/// A MAC address of one machine, with `:` or `-`: neither zero nor a group's.
#[must_use]
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut bytes = [0; 6];
    let mut parts = text.split(separator);
    for byte in &mut bytes {
        let part =
            parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    (parts.next().is_none() && bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(bytes)
}

pub(super) fn date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    let part = |range: std::ops::Range<usize>| text.get(range);
    shape.then_some(())?;
    Date::new(part(0..4)?.parse().ok()?, part(5..7)?.parse().ok()?, part(8..10)?.parse().ok()?).ok()
}

/// `09:00`, `9:00` or `09:00:30`.
pub(super) fn time(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let mut part = |digits: std::ops::RangeInclusive<usize>| {
        let part = parts.next()?;
        (digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<i8>().ok())?
    };
    let (hour, minute) = (part(1..=2)?, part(2..=2)?);
    let second = if text.matches(':').count() == 2 { part(2..=2)? } else { 0 };
    parts.next().is_none().then(|| Time::new(hour, minute, second, 0).ok())?
}

/// A date, with or without a time behind a `T`.
pub(super) fn date_time(text: &str) -> Option<DateTime> {
    let (day, clock) = text.split_once('T').unwrap_or((text, "00:00"));
    Some(DateTime::from_parts(date(day)?, time(clock)?))
}
