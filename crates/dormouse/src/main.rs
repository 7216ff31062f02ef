//! The `dormouse` program: reads the command line, runs one verb, says how it ended.
//!
//! The only crate that prints. Verbs that need no real host (`demo`, `plan`, `simulate`, `why`, `config`, `export`) are in
//! [`verbs`] and build without the `live` feature; everything that touches real hosts is behind it.
#![forbid(unsafe_code)]

mod cli;
mod config;
#[cfg(feature = "live")]
mod daemon;
#[cfg(feature = "live")]
mod lab;
mod verbs;
#[cfg(feature = "live")]
mod verbs_live;

fn main() -> std::process::ExitCode {
    cli::main()
}
