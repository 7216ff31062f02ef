//! Exit codes. Scripts depend on them: a number never changes its meaning (`docs/exit-codes.md`).

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done what was asked.
    Done = 0,
    /// Tried and failed, or a check that was asked for did not hold.
    Failed = 1,
    /// The command line, a cluster text, a scenario or the config says something that makes no sense.
    Usage = 2,
    /// A safety rule says no.
    #[cfg(feature = "live")]
    Refused = 3,
    /// The daemon or a host does not answer.
    #[cfg(feature = "live")]
    Unreachable = 4,
    /// Something was demanded, and there is nothing to do.
    #[cfg(feature = "live")]
    Nothing = 5,
}

impl Exit {
    /// The one of this number, where one has it.
    pub(crate) fn of(code: i32) -> Option<Self> {
        Some(match code {
            0 => Self::Done,
            1 => Self::Failed,
            2 => Self::Usage,
            #[cfg(feature = "live")]
            3 => Self::Refused,
            #[cfg(feature = "live")]
            4 => Self::Unreachable,
            #[cfg(feature = "live")]
            5 => Self::Nothing,
            _ => return None,
        })
    }

    /// In a word or two.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            #[cfg(feature = "live")]
            Self::Refused => "refused by a safety rule",
            #[cfg(feature = "live")]
            Self::Unreachable => "not reachable",
            #[cfg(feature = "live")]
            Self::Nothing => "nothing to do",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
