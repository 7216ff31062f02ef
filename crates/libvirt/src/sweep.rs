//! Folders of connections that nobody holds any more: a program that was killed could not remove them. Their ssh ended
//! with it, so nothing listens there. Nothing else is removed: not what others own, not what a living program uses, and
//! of a folder only our two sockets.

use crate::ssh::{CONTROL, FOLDERS, LIBVIRT};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A younger folder may belong to a connection that is being made.
const YOUNG: Duration = Duration::from_secs(120);

/// Removes what killed programs left behind; answers how many folders. What cannot be removed stays: it is only litter.
#[expect(clippy::disallowed_methods, reason = "it is where those folders were made")]
pub fn sweep() -> usize {
    sweep_in(&std::env::temp_dir(), YOUNG)
}

fn sweep_in(folder: &Path, young: Duration) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(FOLDERS.as_bytes()))
        .filter(|entry| is_left(&entry.path(), young) && remove(&entry.path()).is_ok())
        .count()
}

fn is_left(path: &Path, young: Duration) -> bool {
    // SAFETY: it takes nothing, touches nothing and cannot fail.
    let us = unsafe { libc::geteuid() };
    let Ok(meta) = fs::symlink_metadata(path) else { return false };
    let old = meta.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age >= young);
    meta.is_dir() && meta.uid() == us && old && UnixStream::connect(path.join(CONTROL)).is_err()
}

fn remove(path: &Path) -> io::Result<()> {
    for socket in [CONTROL, LIBVIRT] {
        match fs::remove_file(path.join(socket)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_what_nobody_listens_to_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("made");
            path
        };
        let empty = make("dormouse-ssh-a");
        let dead = make("dormouse-ssh-b");
        drop(UnixListener::bind(dead.join(CONTROL)).expect("bound"));
        let alive = make("dormouse-ssh-c");
        let _listens = UnixListener::bind(alive.join(CONTROL)).expect("bound");
        let foreign = make("dormouse-ssh-d");
        fs::write(foreign.join("notes"), "somebody's").expect("written");
        let other = make("another");
        std::os::unix::fs::symlink(&other, folder.path().join("dormouse-ssh-e")).expect("linked");

        assert_eq!(sweep_in(folder.path(), YOUNG), 0, "all of them are young");
        assert_eq!(sweep_in(folder.path(), Duration::ZERO), 2);
        assert!(!empty.exists() && !dead.exists());
        assert!(alive.exists() && foreign.join("notes").exists() && other.exists());
    }
}
