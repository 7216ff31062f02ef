//! Secrets stay where they are: a canary in each place that may hold one, and a look at all that leaves the program.

use super::live::{Running, SETTINGS, log, terminal, until};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// In the private key, and in variables that the daemon was given for another purpose.
const CANARY: &str = "canary-5f1c0a";

/// Command line and environment of each process below this one.
fn below(parent: u32) -> Vec<(String, String)> {
    let mut found = vec![];
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read =
            |name: &str| fs::read(entry.path().join(name)).map(|b| String::from_utf8_lossy(&b).into_owned());
        let Ok(stat) = read("stat") else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        if rest.split_whitespace().nth(1) != Some(&parent.to_string()) {
            continue;
        }
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // Gone meanwhile, or its program is not yet the one it becomes.
        if let (Ok(line), Ok(environ)) = (read("cmdline"), read("environ"))
            && !line.contains(env!("CARGO_BIN_EXE_dormouse"))
        {
            found.push((line, environ));
        }
        found.extend(below(pid));
    }
    found
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_secret_is_in_no_argument_environment_log_answer_export_or_store() {
    // Takes connections and says nothing: ssh waits there, to be looked at.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let terminal = terminal(
        &format!(
            "{SETTINGS}[ssh]\nidentity = \"key\"\n[log]\nlevel = \"trace,mio=off\"\n[time]\nobserve-every = \"2s\"\nlook-deadline = \"1s\"\nfresh = \"2s\"\n"
        ),
        &format!(
            "cluster x\nhost a address=root@127.0.0.1:{port} mac=52:54:00:00:00:01\nhost b address=127.0.0.1:1 mac=52:54:00:00:00:02\n"
        ),
    );
    let folder = terminal.folder.path();
    let key = folder.join("key");
    let text = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----\n");
    fs::write(&key, text).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = Running::start_with(
        &terminal,
        &[("IPMI_PASSWORD", CANARY), ("ETCDCTL_PASSWORD", CANARY), ("SSH_ASKPASS", CANARY)],
    );

    let mut children = vec![];
    until(&terminal, "an ssh of the daemon", |_| {
        below(daemon.0.id()).iter().any(|(line, _)| line.starts_with("ssh\0"))
    });
    children.extend(below(daemon.0.id()));
    assert!(children.iter().any(|(_, environ)| environ.contains("PATH=")), "they can be read: {children:?}");
    for (line, environ) in &children {
        assert!(!line.contains(CANARY) && !environ.contains(CANARY), "{line} {environ}");
        assert!(!line.contains("password"), "{line}");
    }
    let own = fs::read_to_string(format!("/proc/{}/cmdline", daemon.0.id())).unwrap();
    assert!(own.contains("dormouse") && !own.contains(CANARY), "{own}");

    until(&terminal, "a cycle", |terminal| {
        terminal.type_in("--config dormouse.toml events").contains("goal=compact")
    });
    for line in [
        "status",
        "events",
        "host list",
        "host show a",
        "vm list",
        "why a",
        "plan",
        "config explain",
        "config check",
        "status --format json",
        "events --format json",
        "host list --format json",
        "host show a --format json",
        "plan --format json",
        "export clusterinfo --cluster cluster",
        "host add c --address 127.0.0.1:1 --yes",
    ] {
        let shown = terminal.type_in(&format!("--config dormouse.toml {line}"));
        assert!(!shown.contains(CANARY), "{shown}");
    }
    assert!(!log(&terminal).contains(CANARY), "{}", log(&terminal));
    daemon.signal("TERM");
    drop(daemon);
    let written = files(folder);
    assert!(written.iter().any(|path| path.ends_with("dormouse.db")), "{written:?}");
    for path in written.iter().filter(|path| **path != key) {
        let bytes = fs::read(path).unwrap_or_default();
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "{}", path.display());
    }
}
