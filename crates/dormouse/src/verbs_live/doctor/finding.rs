//! One line of the report.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Ok,
    /// It works, and one day it will hurt.
    Warn,
    /// dormouse cannot do its work there, or not safely.
    Fail,
}

impl Verdict {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Where the command that mends it is to be typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    Host,
    Manager,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// A host, `manager` or `cluster`.
    pub(super) host: String,
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) mend: Option<String>,
    pub(super) mend_on: Option<Place>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { host: String::new(), check, verdict, reason: reason.into(), mend: None, mend_on: None }
    }

    pub(super) fn ok(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, reason)
    }

    pub(super) fn warn(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, reason)
    }

    pub(super) fn fail(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, reason)
    }

    pub(super) fn about(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// By a command on the host.
    pub(super) fn mend(mut self, command: impl Into<String>) -> Self {
        (self.mend, self.mend_on) = (Some(command.into()), Some(Place::Host));
        self
    }

    /// By a command on the manager.
    pub(super) fn mend_here(mut self, command: impl Into<String>) -> Self {
        (self.mend, self.mend_on) = (Some(command.into()), Some(Place::Manager));
        self
    }
}
