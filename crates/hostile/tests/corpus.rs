//! The corpus and a fixed number of its mutations through every entry. `DORMOUSE_MUTATIONS=1000000` makes it a long run.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use dormouse_hostile::{ENTRIES, Mutator};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Of each entry: seconds in all.
const MUTATIONS: usize = 2_000;
const SEED: u64 = 4;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name)
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder(name))
        .unwrap_or_else(|error| panic!("{}: {error}", folder(name).display()))
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn whatever_comes_in_is_read_or_refused() {
    let count = std::env::var("DORMOUSE_MUTATIONS").ok().map_or(MUTATIONS, |count| count.parse().unwrap());
    for entry in ENTRIES {
        let files = corpus(entry.name);
        assert!(!files.is_empty(), "{} has no corpus", entry.name);
        for (file, bytes) in &files {
            assert!(catch_unwind(|| (entry.run)(bytes)).is_ok(), "fuzz/corpus/{}/{file}", entry.name);
        }
        let seeds = files.into_iter().map(|(_, bytes)| bytes).collect();
        for (number, text) in Mutator::new(SEED, seeds).take(count).enumerate() {
            if catch_unwind(|| (entry.run)(&text)).is_err() {
                let kept =
                    std::env::current_exe().unwrap().with_file_name(format!("{}-{number}", entry.name));
                std::fs::write(&kept, &text).unwrap();
                panic!(
                    "mutation {number} of {}: {}\nkept as {}; with the fix it belongs into fuzz/corpus/{}",
                    entry.name,
                    String::from_utf8_lossy(&text[..text.len().min(300)]),
                    kept.display(),
                    entry.name
                );
            }
        }
    }
}

#[test]
fn every_entry_has_its_target_and_its_corpus_and_nothing_else_does() {
    let names = |folder: &str, ending: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder);
        let mut names: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(ending).to_owned())
            .collect();
        names.sort();
        names
    };
    let mut entries: Vec<String> = ENTRIES.iter().map(|entry| entry.name.to_owned()).collect();
    entries.sort();
    assert_eq!(names("fuzz_targets", ".rs"), entries);
    let own = ["request", "settings"].map(str::to_owned);
    let corpora: Vec<String> = names("corpus", "").into_iter().filter(|name| !own.contains(name)).collect();
    assert_eq!(corpora, entries);
}
