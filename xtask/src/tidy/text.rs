//! Rules on all text files: white space, paths of one machine, links that lead nowhere.

use super::{File, Finding};
use std::path::Path;

/// Files we write, by how their name ends. Goldens and data are left as they are.
const OURS: [&str; 4] = [".rs", ".md", ".toml", ".sh"];

pub(super) fn check(file: &File, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in file.text.split('\n').enumerate() {
        let number = at + 1;
        if OURS.iter().any(|end| file.path.ends_with(end)) {
            findings.extend(white_space(file, number, line));
        }
        findings.extend(machine_path(file, number, line, &root.to_string_lossy()));
        if file.path.ends_with(".md") {
            findings.extend(dead_links(file, number, line, root));
        }
    }
    if OURS.iter().any(|end| file.path.ends_with(end)) && !file.text.is_empty() && !file.text.ends_with('\n')
    {
        findings.push(file.finding(0, "no newline at the end", "add one"));
    }
    findings
}

fn white_space(file: &File, number: usize, line: &str) -> Option<Finding> {
    if line.contains('\t') {
        Some(file.finding(number, "a tab", "use four spaces, or `\\t` inside a string"))
    } else if line.ends_with([' ', '\r']) {
        Some(file.finding(number, "white space at the end of the line", "cut it off"))
    } else {
        None
    }
}

/// The checkout's own place, or somebody's home.
fn machine_path(file: &File, number: usize, line: &str, root: &str) -> Option<Finding> {
    let homes = [concat!("/ho", "me/"), concat!("/Us", "ers/")];
    // A root of one level, such as `/src`, is a common word of other paths.
    let own = root.matches('/').count() > 1 && line.contains(root);
    let home = homes.iter().any(|home| line.contains(home));
    (own || home).then(|| {
        file.finding(number, "a path of one machine", "write it from the root of the tree, or from $HOME")
    })
}

/// `[text](path)` where no such file is.
fn dead_links(file: &File, number: usize, line: &str, root: &Path) -> Vec<Finding> {
    let folder = root.join(&file.path).parent().map(Path::to_path_buf).unwrap_or_default();
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .filter(|link| !folder.join(link).exists())
        .map(|link| {
            file.finding(number, format!("a link to `{link}`, which is not there"), "mend or drop it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        check(&file, root).into_iter().map(|one| format!("{}: {}", one.line, one.what)).collect()
    }

    #[test]
    fn white_space_is_told() {
        assert_eq!(said("a.rs", "a\n\tb\nc \n"), ["2: a tab", "3: white space at the end of the line"]);
        assert_eq!(said("a.md", "a"), ["0: no newline at the end"]);
        assert_eq!(said("Makefile", "a:\n\tb\n"), [""; 0]);
        assert_eq!(said("a.log", "golden \n"), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_told() {
        let own = format!("see {}/x\n", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(said("script", &own), ["1: a path of one machine"]);
        assert_eq!(said("a.toml", concat!("a = \"/ho", "me/ann/b\"\n")), ["1: a path of one machine"]);
        assert_eq!(said("a.toml", "a = \"/etc/dormouse\"\n"), [""; 0]);
    }

    #[test]
    fn dead_links_are_told() {
        assert_eq!(said("a.md", "[a](src/main.rs) [b](https://x.y/z) [c](#d) [e](src/main.rs#f)\n"), [""; 0]);
        assert_eq!(said("a.md", "[a](src/gone.rs)\n"), ["1: a link to `src/gone.rs`, which is not there"]);
    }
}
