//! The verbs that need no real host. One module each: its arguments and `run`.

pub(crate) mod config;
pub(crate) mod export;
pub(crate) mod input;
pub(crate) mod picture;
pub(crate) mod plan;
pub(crate) mod why;
