//! The verbs that need no real host. One module each: its arguments and `run`.

pub(crate) mod calendar;
mod chaos;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod export;
mod figures;
pub(crate) mod input;
pub(crate) mod inventory;
pub(crate) mod names;
pub(crate) mod picture;
pub(crate) mod plan;
pub(crate) mod replay;
pub(crate) mod shell;
pub(crate) mod simulate;
pub(crate) mod when;
pub(crate) mod why;
