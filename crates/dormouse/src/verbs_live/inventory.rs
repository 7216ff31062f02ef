//! Adding a line to the cluster text, which a person also edits: nothing else in it changes.

use crate::cli::Failure;
use crate::verbs::input;
use dormouse_model::{Cluster, text};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The text and what it says. One that does not exist yet is an empty cluster.
pub(crate) fn read(path: &Path) -> Result<(String, Cluster), Failure> {
    let source = if path.exists() { input::read(path)? } else { "cluster home\n".to_owned() };
    match text::parse(&source) {
        Ok(cluster) => Ok((source, cluster)),
        Err(error) => Err(input::bad_text("the cluster text", path, &source, error)),
    }
}

/// The text with the line after the last `host` line, where a reader looks for it.
pub(super) fn with_host_line(source: &str, line: &str) -> String {
    let is_host = |line: &str| line.split_whitespace().next() == Some("host");
    let lines: Vec<&str> = source.lines().collect();
    let after =
        lines.iter().rposition(|line| is_host(line)).or_else(|| (!lines.is_empty()).then(|| lines.len() - 1));
    let at = after.map_or(0, |after| after + 1);
    let mut out: Vec<&str> = lines[..at].to_vec();
    out.push(line);
    out.extend(&lines[at..]);
    out.join("\n") + "\n"
}

/// The text without the line of this host. `None`: no line is about it alone.
pub(super) fn without_host_line(source: &str, name: &str) -> Option<String> {
    let about = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next() == Some("host")
            && words.next() == Some(name)
            && words.next().is_none_or(|word| {
                word.contains('=')
                    || word.starts_with('#')
                    || matches!(word, "keep-on" | "maintenance" | "unproven")
            })
    };
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    (lines.iter().filter(|line| about(line)).count() == 1)
        .then(|| lines.into_iter().filter(|line| !about(line)).collect())
}

/// Replaces the file in one step: a reader finds the old text or the new one, never a part.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = beside(path);
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        // The folder may belong to the daemon's user while root writes: what lies there under this name is not followed.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        file.write_all(content.as_bytes())?;
        if let Ok(before) = std::fs::metadata(path) {
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        _ = std::fs::remove_file(&new);
        Failure::new(format!("cannot write `{}`", path.display())).because(&error)
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_below_the_other_hosts_and_nothing_else_changes() {
        let before =
            "# ours\ncluster x\nhost a cpus=2 mem=2G # old\n  host b cpus=2 mem=2G\n\npolicy balanced";
        let after = with_host_line(before, "host c cpus=4 mem=8G");
        assert_eq!(
            after,
            "# ours\ncluster x\nhost a cpus=2 mem=2G # old\n  host b cpus=2 mem=2G\nhost c cpus=4 mem=8G\n\npolicy balanced\n"
        );
        assert_eq!(with_host_line("cluster x\n", "host c"), "cluster x\nhost c\n");
        assert!(text::parse(&after).is_ok());
    }

    #[test]
    fn the_line_of_one_host_goes_and_one_of_several_stays() {
        let text = "cluster x\nhost a cpus=2 mem=2G # old\nhost b, c cpus=2 mem=2G\nhost ab cpus=2 mem=2G\n";
        assert_eq!(
            without_host_line(text, "a").as_deref(),
            Some("cluster x\nhost b, c cpus=2 mem=2G\nhost ab cpus=2 mem=2G\n")
        );
        for name in ["b", "c", "b,", "x", ""] {
            assert_eq!(without_host_line(text, name), None, "{name}");
        }
    }

    #[test]
    fn the_file_keeps_its_mode_and_no_scrap_is_left() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::TempDir::new().expect("a folder");
        let path = dir.path().join("cluster");
        std::fs::write(&path, "cluster x\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        replace(&path, "cluster y\n").expect("replaced");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "cluster y\n");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }
}
