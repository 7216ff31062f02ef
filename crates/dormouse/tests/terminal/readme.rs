//! What the README tells people to try does what it says.

use super::Terminal;

const README: &str = include_str!("../../../../README.md");

/// The block of the README that begins with this line.
fn block(first: &str) -> &'static str {
    let from = README.find(first).unwrap();
    README[from..].split_once("```").unwrap().0
}

#[test]
fn the_example_can_be_planned_and_asked_about() {
    let terminal = Terminal::new();
    std::fs::write(terminal.folder.path().join("office"), block("cluster office ")).unwrap();
    let commands = block("dormouse plan --cluster office");
    let mut tried = 0;
    for line in commands.lines() {
        let command = line.split('#').next().unwrap().trim().strip_prefix("dormouse ").unwrap();
        let shown = terminal.type_in(command);
        assert!(shown.ends_with("exit status 0\n"), "{shown}");
        tried += 1;
    }
    assert!(tried >= 5, "{commands}");
}

#[test]
fn the_settings_are_understood() {
    let terminal = Terminal::new();
    let settings = block("mode = \"observe\"").replace("/etc/dormouse/", "");
    std::fs::write(terminal.folder.path().join("dormouse.toml"), settings).unwrap();
    std::fs::write(terminal.folder.path().join("cluster"), block("cluster office ")).unwrap();
    let shown = terminal.type_in("config check --config dormouse.toml");
    assert!(shown.contains("ok: cluster office, 13 hosts") && shown.ends_with("exit status 0\n"), "{shown}");
}
