//! The verbs that handle what the daemon keeps, typed beside a store that a manager left behind.

use super::Terminal;
use dormouse_driver::{AuditEntry, Kind, Lease as _, Store as _};
use dormouse_model::Epoch;
use dormouse_store::{FileLease, SqliteStore};
use expect_test::expect;
use serde_json::{Value, json};

const SETTINGS: &str = "cluster = \"cluster\"\nstate = \"state\"\nsocket = \"control.sock\"\n";

/// A terminal beside a store in which a person's word, a setting and a sleeping host are kept.
fn terminal() -> Terminal {
    let terminal = Terminal::with("cluster x\nhost a address=10.0.0.1 mac=52:54:00:00:00:01\n");
    let folder = terminal.folder.path();
    std::fs::write(folder.join("dormouse.toml"), SETTINGS).unwrap();
    std::fs::create_dir(folder.join("state")).unwrap();
    let path = folder.join("state/dormouse.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        let lease = FileLease::new(&store);
        lease.campaign("test").await.unwrap();
        let order = json!({ "order": "drain", "host": "a\u{1b}[2J" });
        store.note(&AuditEntry::Word { by: "ada".into(), order, answer: "taken".into() }).await.unwrap();
        let host = json!({
            "host": "a", "state": "asleep", "since": 0, "machine": null, "boot": null, "proven": true,
            "maintenance": false, "drain": false, "sleeps": [], "tries": 0, "boots_s": []
        });
        store.remember(Kind::Host, "a", host).await.unwrap();
        lease.resign(Epoch(1)).await.unwrap();
    });
    // Its thread closes the files in its own time.
    while path.with_file_name("dormouse.db-wal").exists() {
        std::thread::yield_now();
    }
    terminal
}

/// What is typed and what comes back; what differs from run to run is taken out.
fn shown(terminal: &Terminal, line: &str) -> String {
    let folder = terminal.folder.path().display().to_string();
    let shown = terminal.type_in(&format!("--config dormouse.toml {line}")).replace(&folder, "DIR");
    let plain = |line: &str| {
        let mut line = line.to_owned();
        // Hashes, the cluster's id, times.
        for (length, name) in [(64, "HASH"), (36, "CLUSTER"), (13, "MS")] {
            while let Some(at) = run_of(&line, length) {
                line.replace_range(at..at + length, name);
            }
        }
        line
    };
    shown.lines().map(|line| plain(line) + "\n").collect()
}

/// Where that many letters of a hash, an id or a time stand in a row.
fn run_of(line: &str, length: usize) -> Option<usize> {
    let letter = |byte: &u8| byte.is_ascii_hexdigit() || (length == 36 && *byte == b'-');
    let letters = |at: &usize| line.as_bytes()[*at..*at + length].iter().all(letter);
    (0..(line.len() + 1).saturating_sub(length)).find(letters)
}

#[test]
fn a_store_is_shown_copied_and_brought_back() {
    let terminal = terminal();
    expect![[r#"
        $ dormouse --config dormouse.toml store show
        DIR/state/dormouse.db  whole, schema 4
        cluster  CLUSTER, epoch 1
        holds    1 host, 0 VMs, 0 settings, 0 intents (0 open), 0 rows of demand, 0 events
        audit    up to 3:HASH
        exit status 0
    "#]]
    .assert_eq(&shown(&terminal, "store show"));
    expect![[r#"
        $ dormouse --config dormouse.toml store backup copy.db
        copied to copy.db
        cluster CLUSTER, epoch 1, 0 intents open; audit log up to 3:HASH
        exit status 0
    "#]]
    .assert_eq(&shown(&terminal, "store backup copy.db"));
    expect![[r#"
        $ dormouse --config dormouse.toml store backup copy.db
        stderr: Error: `copy.db` is there already
        stderr: Hint: nothing is written over: name another file
        exit status 1
    "#]]
    .assert_eq(&shown(&terminal, "store backup copy.db"));
    expect![[r#"
        $ dormouse --config dormouse.toml store restore copy.db
        brought back from copy.db
        cluster CLUSTER, epoch MS, 0 intents open; audit log up to 4:HASH
        what was there is kept as DIR/state/dormouse.db.kept-MS
        hosts that slept when the copy was made are unknown until they are seen or woken
        exit status 0
    "#]]
    .assert_eq(&shown(&terminal, "store restore copy.db"));
    let view = terminal.json("--config dormouse.toml store show --format json");
    assert_eq!((&view["hosts"], &view["open"], &view["schema"]), (&json!(1), &json!(0), &json!(4)));
    assert!(view["epoch"].as_u64().unwrap() > 1_700_000_000_000, "above every epoch that was: {view}");
    let host = terminal.folder.path().join("state/dormouse.db");
    let host = dormouse_store::read(&host).unwrap().hosts[0].1.clone();
    assert_eq!((&host["state"], &host["maybe_asleep"]), (&json!("unknown"), &json!(true)));
}

#[test]
fn giving_a_store_up_takes_the_whole_word() {
    let terminal = terminal();
    expect![[r#"
        $ dormouse --config dormouse.toml store rebuild
        stderr: error: the following required arguments were not provided:
        stderr:   --from-observation
        stderr:
        stderr: Usage: dormouse store rebuild --from-observation
        stderr:
        stderr: For more information, try '--help'.
        exit status 2
    "#]]
    .assert_eq(&shown(&terminal, "store rebuild"));
    expect![[r#"
        $ dormouse --config dormouse.toml store rebuild --from-observation
        made anew
        cluster CLUSTER, epoch MS, 0 intents open; audit log up to 2:HASH
        what was there is kept as DIR/state/dormouse.db.kept-MS
        start the daemon in mode `observe` first; hosts that do not answer are unknown, not asleep
        exit status 0
    "#]]
    .assert_eq(&shown(&terminal, "store rebuild --from-observation"));
    assert_eq!(terminal.json("--config dormouse.toml store show --format json")["hosts"], json!(0));
}

#[test]
fn the_audit_log_is_shown_and_a_change_in_it_is_named() {
    let terminal = terminal();
    let listed = shown(&terminal, "audit list -n 1");
    expect![[r#"
        $ dormouse --config dormouse.toml audit list -n 1
             3  TIME  word of ada: {"host":"a\u001b[2J","order":"drain"}: taken
        exit status 0
    "#]]
    .assert_eq(&listed.replace(&listed[listed.find("20").unwrap()..][..19], "TIME"));
    expect![[r#"
        $ dormouse --config dormouse.toml audit verify
        3 lines hold, 1 to 3; note this one elsewhere and give it to --expect next time:
        3:HASH
        exit status 0
    "#]]
    .assert_eq(&shown(&terminal, "audit verify"));
    let verdict: Value = terminal.json("--config dormouse.toml audit verify --format json");
    assert_eq!((&verdict["lines"], &verdict["first"], &verdict["last"]), (&json!(3), &json!(1), &json!(3)));
    let seen = format!("3:{}", verdict["hash"].as_str().unwrap());
    let again = shown(&terminal, &format!("audit verify --expect {seen}"));
    assert!(again.ends_with("exit status 0\n"), "{again}");
    let other = seen.replace(char::is_alphabetic, "0");
    expect![[r#"
        $ dormouse --config dormouse.toml audit verify --expect 3:HASH
        stderr: Error: the audit log does not hold
        stderr: Caused by: line 3 has another hash: the chain was made anew
        exit status 1
    "#]]
    .assert_eq(&shown(&terminal, &format!("audit verify --expect {other}")));

    let exported = terminal.type_in("--config dormouse.toml audit export");
    let exported: Vec<&str> = exported.lines().filter(|line| line.starts_with('{')).collect();
    std::fs::write(terminal.folder.path().join("log"), exported[1..].join("\n").replace("ada", "bob"))
        .unwrap();
    expect![[r#"
        $ dormouse --config dormouse.toml audit verify --file log
        stderr: Error: the audit log does not hold
        stderr: Caused by: line 3 of the audit log was changed
        stderr: Hint: `dormouse audit list` shows the lines as they are; compare with an export
        exit status 1
    "#]]
    .assert_eq(&shown(&terminal, "audit verify --file log"));

    let path = terminal.folder.path().join("state/dormouse.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|bytes| bytes == b"ada").unwrap();
    bytes[at..at + 3].copy_from_slice(b"bob");
    std::fs::write(&path, bytes).unwrap();
    expect![[r#"
        $ dormouse --config dormouse.toml audit verify
        stderr: Error: the audit log does not hold
        stderr: Caused by: line 3 of the audit log was changed
        stderr: Hint: `dormouse audit list` shows the lines as they are; compare with an export
        exit status 1
    "#]]
    .assert_eq(&shown(&terminal, "audit verify"));
    expect![[r#"
        $ dormouse --config dormouse.toml run
        stderr: Error: the store DIR/state/dormouse.db cannot be used: nothing is done without it
        stderr: Caused by: the store is damaged: line 3 of the audit log was changed
        stderr: Hint: `dormouse store restore FILE` brings back a copy; without one, `dormouse store rebuild --from-observation` keeps the files aside and begins anew from what is seen
        exit status 1
    "#]].assert_eq(&shown(&terminal, "run"));
}
