//! Private keys that other users can read are no secrets any more: nothing is started with them.

use crate::cli::{Exit, Failure};
use crate::config::{Config, credentials};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Every private key of these settings, and every one that lies in the state folder.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    if let Some(key) = config.identity() {
        check_key(&key, "name the private key as `identity` in [ssh]")?;
    }
    if let Some(key) = &config.etcd_key {
        check_key(key, "name the private key as `key` in [etcd]")?;
    }
    for key in keys_below(&config.state, 2) {
        check_key(&key, "it was there a moment ago")?;
    }
    Ok(())
}

fn check_key(key: &Path, where_else: &str) -> Result<(), Failure> {
    let named = || format!("the private key {} cannot be used", key.display());
    let meta =
        std::fs::metadata(key).map_err(|error| Failure::usage(named()).because(&error).hint(where_else))?;
    // A credential of systemd lies in a folder of this service alone, and the access list by which it is given shows as
    // rights of its group.
    let credential = credentials().is_some_and(|folder| key.starts_with(folder));
    let others = if credential { 0o007 } else { 0o077 };
    if meta.permissions().mode() & others != 0 {
        let hint = format!("chmod 600 {}", key.display());
        return Err(Failure::with_exit(Exit::Refused, named())
            .because_of("other users can read it")
            .hint(hint));
    }
    Ok(())
}

/// By their names: `id_…` of ssh, `….key` and `…key.pem` of TLS.
fn keys_below(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let found = |path: PathBuf| match path.is_dir() {
        true if depth > 0 => keys_below(&path, depth - 1),
        true => vec![],
        false => Some(path).filter(|path| is_key(path)).into_iter().collect(),
    };
    let mut keys: Vec<PathBuf> = paths.flat_map(found).collect();
    keys.sort();
    keys
}

fn is_key(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or("");
    ending == Some("key") || name.ends_with("key.pem") || (name.starts_with("id_") && ending != Some("pub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused_wherever_it_lies() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let config = Config { state: dir.path().to_owned(), ..Config::default() };
        for (name, secret) in [
            ("ssh/id_ed25519", true),
            ("tls/ca.key", true),
            ("ssh/id_ed25519.pub", false),
            ("tls/manager/clientkey.pem", true),
            ("tls/ca.pem", false),
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, "").expect("written");
            for (mode, refused) in [(0o644, secret), (0o640, secret), (0o600, false)] {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
                let found = check(&config).err().map(|failure| failure.one_line());
                assert_eq!(found.is_some(), refused, "{name} {mode:o}: {found:?}");
                assert!(found.is_none_or(|found| found.contains("other users can read it")));
            }
        }
    }
}
