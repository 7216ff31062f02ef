//! A way in for hostile text, for the fuzz targets and nobody else.

use crate::guard::{Heard, Talk};

/// Whatever a host says as its guard: a refusal comes with its reasons, and `off` without any.
pub fn guard_words(text: &str) {
    let mut talk = Talk::default();
    for line in text.lines() {
        match talk.hear(line) {
            Ok(Heard::Refused) => assert!(!talk.reasons.is_empty()),
            Ok(Heard::Off) => assert!(talk.reasons.is_empty(), "off in spite of {:?}", talk.reasons),
            Ok(_) => {}
            Err(()) => return,
        }
    }
    for reason in &talk.reasons {
        assert!(reason.to_string().chars().count() <= 300);
    }
    assert!(talk.reasons.len() <= Talk::REASONS_MAX);
}
