//! What is said when the program fails by a mistake of ours.

use super::safe;
use std::io::{self, Write as _};

/// From here on, for the whole process: it is told in one clean line, where the log is, since its text may quote anything.
pub(super) fn tell() {
    const QUOTED_MAX: usize = 500;
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("no reason");
        let why: String = safe(why).chars().take(QUOTED_MAX).collect();
        let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
        if tracing::dispatcher::has_been_set() {
            tracing::error!("a mistake in dormouse{place}: {why}");
        } else {
            // Nothing sensible can be done when that fails.
            _ = writeln!(io::stderr(), "Error: a mistake in dormouse{place}: {why}\nHint: please report it");
        }
    }));
}
