//! Time zones by their IANA name, from the zone data built into the program.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use std::fmt;

/// A named zone with its rules; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of that name, whatever its letters' case. `None`: there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("UTC") {
            return Some(Self::default());
        }
        TimeZoneDatabase::bundled().get(name).ok().filter(|zone| zone.iana_name().is_some()).map(Self)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.iana_name().expect("only zones with a name are made")
    }

    #[must_use]
    pub const fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// When the wall clock shows this. A time it skips is the moment of the jump, a time it shows twice the first.
    /// `None`: outside the years 0 to 9999, or on a day that this zone left out.
    pub(super) fn instant(&self, shown: DateTime) -> Option<Timestamp> {
        let ambiguous = self.0.to_ambiguous_timestamp(shown);
        let offset = ambiguous.offset();
        let instant = ambiguous.compatible().ok()?;
        if !matches!(offset, AmbiguousOffset::Gap { .. }) {
            return Some(instant);
        }
        if !self.has(shown.date()) {
            return None;
        }
        // `compatible` lies as far behind the jump as `shown` lies inside it.
        let behind = instant.checked_add(jiff::SignedDuration::from_nanos(1)).ok()?;
        Some(self.0.preceding(behind).next().map_or(instant, |jump| jump.timestamp()))
    }

    /// Some islands have crossed the date line and left a day out.
    fn has(&self, date: Date) -> bool {
        let first = self.0.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible();
        first.is_ok_and(|first| self.0.to_datetime(first).date() == date)
    }

    /// All names, for suggestions.
    pub(crate) fn known() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
