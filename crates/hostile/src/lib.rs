//! Hostile text for every reader: one entry for each place where text comes in, with what must hold whatever comes.
//!
//! The same entries serve two runners: a fixed number of seeded mutations of the corpus in `fuzz/corpus`, as an ordinary
//! test, and libFuzzer for as long as one likes (`make fuzz`). An entry panics when a promise is broken, and only then.
//! Readers of the program itself (settings, requests) take the mutations from here and are tested where they live.
//!
//! Part of no shipped program.

mod entries;
mod mutate;

pub use entries::{ENTRIES, Entry};
pub use mutate::Mutator;

/// One text through the entry of this name.
///
/// # Panics
/// Where there is no such entry, and where it is not as promised.
pub fn run(name: &str, bytes: &[u8]) {
    let entry = ENTRIES.iter().find(|entry| entry.name == name).expect("an entry of this name");
    (entry.run)(bytes);
}
