//! What can go wrong in the lab, as one error type: what was tried, on what, why not, and what helps.

use std::fmt;
use std::process::Output;

/// A lab operation that failed. `Display` gives one line; [`LabError::hint`] what an operator may do.
#[derive(Debug)]
pub struct LabError {
    what: String,
    cause: Option<String>,
    hint: Option<String>,
}

pub type Result<T, E = LabError> = std::result::Result<T, E>;

impl LabError {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None }
    }

    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LabError {}

/// Says what was being done when a foreign error came up.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| LabError::new(what()).because(e))
    }
}

/// A command's output as text, or an error that names the command and carries its last words.
pub(crate) fn checked(command: &str, output: std::io::Result<Output>) -> Result<String> {
    let output = output.doing(|| format!("cannot run {command}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("it said nothing").trim();
    Err(LabError::new(format!("{command} failed ({})", output.status)).because(said))
}
