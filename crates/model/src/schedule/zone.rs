//! Time zones by their IANA name, from the zone data built into the program.

use jiff::tz::{TimeZone, TimeZoneDatabase};
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
