//! Completion in people's own shells, manual pages, and where `make install` puts all of it.

use super::Terminal;
use expect_test::expect;
use std::path::Path;
use std::process::Command;

const CLUSTER: &str = "\
cluster x
host lab[01-02] cpus=4 mem=8G
vm pc01@lab01 mem=1G
vm \"my vm\"@lab01 mem=1G
vm \"$(touch pwned)\"@lab01 mem=1G
";

/// A folder with settings that lead to the cluster text, and this program first on the path.
fn desk() -> Terminal {
    let terminal = Terminal::with(CLUSTER);
    std::fs::write(
        terminal.folder.path().join("dormouse.toml"),
        "cluster = \"cluster\"\nsocket = \"none.sock\"\n",
    )
    .unwrap();
    terminal
}

fn run(terminal: &Terminal, program: &str, args: &[&str]) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_dormouse")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let folder = terminal.folder.path();
    let out = Command::new(program)
        .args(args)
        .current_dir(folder)
        .env("HOME", folder)
        .env("PATH", path)
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    // fish parts an offer from what it means by a tab.
    said.replace('\t', " = ")
}

/// What bash would offer for each of these lines, the last word being the one that is typed.
const BASH: &str = r#"
source <(dormouse completions bash)
for line in 'dormouse host sh' 'dormouse --config dormouse.toml host show l' 'dormouse --config dormouse.toml vm show ' 'dormouse vm list --f' 'dormouse plan --cluster cl'; do
    read -ra COMP_WORDS <<<"$line"
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9 COMPREPLY=()
    _clap_complete_dormouse dormouse "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$line [${COMPREPLY[*]}]"
done
complete -p dormouse
"#;

#[test]
#[ignore = "needs bash"]
fn bash_completes_verbs_and_names_and_leaves_files_to_itself() {
    let desk = desk();
    expect![[r#"
        dormouse host sh [show]
        dormouse --config dormouse.toml host show l [lab01 lab02]
        dormouse --config dormouse.toml vm show  [pc01 --format --config --color --help]
        dormouse vm list --f [--format]
        dormouse plan --cluster cl []
        complete -o bashdefault -o default -o nosort -o nospace -F _clap_complete_dormouse dormouse
    "#]]
    .assert_eq(&run(&desk, "bash", &["--norc", "-c", BASH]));
    assert!(!desk.folder.path().join("pwned").exists());
}

#[test]
#[ignore = "needs fish"]
fn fish_completes_verbs_and_names() {
    let script = "dormouse completions fish | source
        for line in 'dormouse host sh' 'dormouse --config dormouse.toml vm show '; complete -C $line; end";
    expect![[r#"
        show = Everything about one host
        pc01
        --format = For people or for programs
        --config = The daemon's settings; /etc/dormouse/dormouse.toml unless given
        --color = Colour: auto (only on a terminal, and not with NO_COLOR), always, never
        --help = Print help (see more with '--help')
    "#]]
    .assert_eq(&run(&desk(), "fish", &["-N", "-c", script]));
}

#[cfg(feature = "live")]
#[test]
fn names_come_from_the_daemon_that_runs() {
    use super::live::{Running, SETTINGS, terminal};
    let text = "cluster x\nhost seen address=127.0.0.1:1 mac=52:54:00:00:00:01\n";
    let terminal = terminal(SETTINGS, text);
    let offered = || {
        let line = ["dormouse", "--", "dormouse", "--config", "dormouse.toml", "host", "show", ""];
        run(&terminal, "env", &[&["_DORMOUSE_COMPLETE=fish"], line.as_slice()].concat())
    };
    let daemon = Running::start_with(&terminal, &[]);
    std::fs::write(terminal.folder.path().join("cluster"), text.replace("seen", "written")).unwrap();
    assert!(offered().starts_with("seen\n"), "{}", offered());
    drop(daemon);
    assert!(offered().starts_with("written\n"), "{}", offered());
}

#[test]
fn each_script_asks_this_program() {
    let terminal = Terminal::new();
    for (shell, line) in [
        (
            "bash",
            "complete -o nospace -o bashdefault -o default -o nosort -F _clap_complete_dormouse dormouse",
        ),
        ("zsh", "#compdef dormouse"),
        ("fish", "complete --keep-order --exclusive --command dormouse"),
    ] {
        let shown = terminal.type_in(&format!("completions {shell}"));
        assert!(shown.contains(line) && shown.contains("_DORMOUSE_COMPLETE"), "{shown}");
        assert!(shown.ends_with("exit status 0\n"), "{shown}");
    }
}

#[test]
fn every_verb_has_a_page() {
    let terminal = Terminal::new();
    let shown = terminal.type_in("man --dir pages");
    let count = std::fs::read_dir(terminal.folder.path().join("pages")).unwrap().count();
    assert!(shown.ends_with(&format!("\n{count} pages in pages\nexit status 0\n")), "{shown}");
    let page = |name: &str| std::fs::read_to_string(terminal.folder.path().join("pages").join(name)).unwrap();
    for name in ["dormouse.1", "dormouse-plan.1", "dormouse-config-check.1", "dormouse-shell.1"] {
        assert!(page(name).contains(".SH SYNOPSIS"), "{name}");
    }
    assert_eq!(terminal.type_in("man").lines().nth(1), page("dormouse.1").lines().next());
    std::fs::write(terminal.folder.path().join("file"), "").unwrap();
    terminal.check(
        "man --dir file",
        expect![[r#"
        $ dormouse man --dir file
        stderr: Error: cannot write pages into `file`
        stderr: Caused by: File exists (os error 17)
        exit status 1
    "#]],
    );
}

#[test]
#[ignore = "needs make"]
fn everything_is_installed_where_it_is_looked_for() {
    let terminal = Terminal::new();
    let root = terminal.folder.path().join("root");
    let project = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let program = format!("DORMOUSE={}", env!("CARGO_BIN_EXE_dormouse"));
    let said = run(
        &terminal,
        "make",
        &["-s", "-C", project, "install-only", &program, &format!("DESTDIR={}", root.display())],
    );
    for file in [
        "usr/bin/dormouse",
        "usr/lib/systemd/system/dormouse.service",
        "usr/share/man/man1/dormouse-host-list.1",
        "usr/share/bash-completion/completions/dormouse",
        "usr/share/zsh/vendor-completions/_dormouse",
        "usr/share/fish/vendor_completions.d/dormouse.fish",
        "usr/share/dormouse/dormouse-inventory",
    ] {
        let length = std::fs::metadata(root.join(file)).map(|file| file.len());
        assert!(length.as_ref().is_ok_and(|length| *length > 0), "{file}: {length:?}\n{said}");
    }
}
