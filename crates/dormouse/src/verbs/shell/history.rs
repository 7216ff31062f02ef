//! What was typed, kept for the next time: `dormouse/history` in the state folder of the person, readable to nobody else.
//!
//! A line that begins with a blank is not kept. Never a reason to stop: without a safe place there is no history.

use crate::cli::safe;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// So many lines are offered again; a file of more than twice as many is cut.
pub(super) const LINES_MAX: usize = 1_000;
const BYTES_MAX: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct History {
    path: Option<PathBuf>,
    lines: Vec<String>,
}

impl History {
    /// Opened for this person; and why nothing is kept, if so.
    pub(super) fn open() -> (Self, Option<String>) {
        match folder(
            std::env::var_os("XDG_STATE_HOME").map(PathBuf::from),
            std::env::var_os("HOME").map(PathBuf::from),
        ) {
            Some(folder) => Self::open_in(&folder),
            None => (Self { path: None, lines: vec![] }, None),
        }
    }

    fn open_in(folder: &Path) -> (Self, Option<String>) {
        let path = folder.join("history");
        match make(folder).and_then(|()| read(&path)) {
            Ok(lines) => (Self { path: Some(path), lines }, None),
            Err(error) => {
                let why = format!("what is typed is not kept: {}: {error}", path.display());
                (Self { path: None, lines: vec![] }, Some(why))
            }
        }
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether the line is one to offer again. It is kept as far as that is possible.
    pub(super) fn keep(&mut self, line: &str) -> bool {
        if line.trim().is_empty() || line.starts_with(' ') || safe(line) != line {
            return false;
        }
        if self.lines.last().is_some_and(|last| last == line) {
            return false;
        }
        self.lines.push(line.to_owned());
        if let Some(path) = &self.path {
            // A full disk is no reason to disturb anybody.
            _ = guarded(path).and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        }
        true
    }
}

/// By the rules of freedesktop.org: a relative path there counts as none.
fn folder(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let state = state.filter(absolute).or_else(|| Some(home.filter(absolute)?.join(".local/state")))?;
    Some(state.join("dormouse"))
}

fn make(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A file of ours alone: no link, no other's, and closed to others from now on.
fn guarded(path: &Path) -> io::Result<File> {
    let folder = path.parent().unwrap_or(path);
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("this is no plain file"));
    }
    let fresh = !path.exists();
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let (found, around) = (file.metadata()?, std::fs::metadata(folder)?);
    // With sudo this may be the home of another, who could not write there any more.
    if found.uid() != around.uid()
        || found.nlink() > 1
        || std::fs::symlink_metadata(path)?.ino() != found.ino()
    {
        if fresh {
            std::fs::remove_file(path)?;
        }
        return Err(io::Error::other("it belongs to another"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// The last lines; what a terminal would obey is not offered.
fn read(path: &Path) -> io::Result<Vec<String>> {
    let mut file = guarded(path)?;
    let mut bytes = vec![];
    (&mut file).take(BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().filter(|line| !line.is_empty() && safe(line) == *line).collect();
    let lines: Vec<String> =
        all[all.len().saturating_sub(LINES_MAX)..].iter().map(|line| (*line).to_owned()).collect();
    if all.len() > 2 * LINES_MAX {
        file.set_len(0)?;
        file.write_all((lines.join("\n") + "\n").as_bytes())?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_nobody_else_reads_them() {
        let home = tempfile::TempDir::new().expect("a folder");
        let folder = home.path().join("state/dormouse");
        let (mut history, trouble) = History::open_in(&folder);
        assert!(history.lines().is_empty() && trouble.is_none());
        for (line, kept) in [
            ("host list", true),
            ("host list", false),
            (" vm list", false),
            ("", false),
            ("a\u{1b}[2J", false),
            ("vm list", true),
        ] {
            assert_eq!(history.keep(line), kept, "{line:?}");
        }
        assert_eq!(History::open_in(&folder).0.lines(), ["host list", "vm list"]);
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("history"))), (0o700, 0o600));

        std::fs::set_permissions(folder.join("history"), std::fs::Permissions::from_mode(0o644))
            .expect("set");
        assert_eq!(History::open_in(&folder).0.lines().len(), 2);
        assert_eq!(mode(&folder.join("history")), 0o600, "closed again");
    }

    #[test]
    fn a_long_file_is_cut_and_a_hostile_one_is_not_drawn() {
        let home = tempfile::TempDir::new().expect("a folder");
        let path = home.path().join("history");
        let many: String = (0..=2 * LINES_MAX).map(|n| format!("host show h{n}\n")).collect();
        std::fs::write(&path, format!("{many}a\u{1b}[2J\n")).expect("written");
        let lines = History::open_in(home.path()).0.lines;
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (LINES_MAX, Some("host show h2000")));
        assert_eq!(std::fs::read_to_string(&path).expect("there").lines().count(), LINES_MAX);
    }

    #[test]
    fn a_link_is_not_followed_and_only_whole_paths_count() {
        let home = tempfile::TempDir::new().expect("a folder");
        let other = home.path().join("other");
        std::fs::write(&other, "secret\n").expect("written");
        std::os::unix::fs::symlink(&other, home.path().join("history")).expect("linked");
        let (mut history, trouble) = History::open_in(home.path());
        assert!(history.lines().is_empty() && trouble.is_some_and(|why| why.contains("no plain file")));
        assert!(history.keep("host list"), "offered again in this session");
        assert_eq!(std::fs::read_to_string(&other).expect("there"), "secret\n");

        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(folder(path("/s"), path("/h")), path("/s/dormouse"));
        assert_eq!(folder(path("s"), path("/h")), path("/h/.local/state/dormouse"));
        assert_eq!(folder(None, path("h")), None);
    }
}
