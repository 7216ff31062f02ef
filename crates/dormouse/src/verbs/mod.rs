//! The verbs that need no real host. One module each: its arguments and `run`.

pub(crate) mod config;
