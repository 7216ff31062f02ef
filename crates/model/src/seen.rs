//! What we know about something we looked at.

use crate::{Millis, Mono, ProbeError};

/// The result of looking.
///
/// - `Known`: the answer of this cycle. Only a host *known* to be empty may be put to sleep.
/// - `Stale`: an earlier answer. Good enough to leave things alone, never to switch them off.
/// - `Unknown`: no answer. Counts as full when placing and as busy when sleeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    Known(T),
    Stale { was: T, age: Millis },
    Unknown { last: Option<T>, since: Mono, why: ProbeError },
}

impl<T> Seen<T> {
    /// The answer of this cycle, if there is one.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Stale { .. } | Self::Unknown { .. } => None,
        }
    }

    /// The last answer, however old: for showing and for presuming, never for switching off.
    pub const fn last(&self) -> Option<&T> {
        match self {
            Self::Known(value) | Self::Stale { was: value, .. } => Some(value),
            Self::Unknown { last, .. } => last.as_ref(),
        }
    }

    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }
}
