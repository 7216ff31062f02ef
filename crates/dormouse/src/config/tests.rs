use super::read::Source;
use super::table::KEYS;
use super::{Config, load};
use crate::cli::Failure;
use dormouse_control::Automation;
use dormouse_model::Millis;
use expect_test::{Expect, expect};
use std::path::PathBuf;
use tempfile::TempDir;

/// The settings, and which of them are not standard.
type Read = (Config, Vec<(&'static str, Source)>);

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Read, String> {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("dormouse.toml");
    std::fs::write(&path, text).expect("written");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let dir = dir.path().display().to_string();
    match load(Some(&path), environment) {
        Ok(loaded) => {
            let set = loaded.entries().filter(|(_, _, origin)| *origin != Source::Default);
            Ok((loaded.config.clone(), set.map(|(key, _, origin)| (key.name, origin)).collect()))
        }
        Err(error) => Err(anstream::adapter::strip_str(&Failure::from(error).to_string())
            .to_string()
            .replace(&dir, "DIR")),
    }
}

fn refused(text: &str, environment: &[(&str, &str)], shown: Expect) {
    shown.assert_eq(&read(text, environment).expect_err("refused"));
}

#[test]
fn a_file_sets_what_it_names_and_the_environment_wins() {
    let text = r#"
        mode = "auto"
        cluster = "cluster"       # beside this file
        [ssh]
        user = "dormouse"
        config = "/etc/dormouse/ssh_config"
        [time]
        observe-every = "20s"
    "#;
    let (config, set) = read(text, &[("DORMOUSE_MODE", "advise"), ("HOME", "/root")]).expect("fine");
    assert_eq!(config.mode, Automation::Advise);
    assert!(config.cluster.is_absolute() && config.cluster.ends_with("cluster"), "{:?}", config.cluster);
    assert_eq!(config.ssh_user.as_deref(), Some("dormouse"));
    assert_eq!(config.settings().observe_every, Millis::from_secs(20));
    assert_eq!(config.state, PathBuf::from("/var/lib/dormouse"), "not named");
    let file = [("cluster", Source::File), ("ssh.user", Source::File), ("ssh.config", Source::File)];
    let expected =
        [&[("mode", Source::Environment)], &file[..], &[("time.observe-every", Source::File)]].concat();
    assert_eq!(set, expected);
}

#[test]
fn every_setting_reads_what_it_shows() {
    let mut other = Config::default();
    for key in KEYS {
        let shown = (key.get)(&Config::default());
        if !shown.is_empty() {
            (key.set)(&mut other, &shown).expect(key.name);
        }
    }
    assert_eq!(other, Config::default());
}

#[test]
fn a_misspelt_setting_is_found_with_its_place() {
    refused(
        "mode = \"auto\"\n[ssh]\nidentitty = \"/root/key\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:3:1: unknown setting `ssh.identitty`
                |
              3 | identitty = "/root/key"
                | ^^^^^^^^^
            Hint: did you mean `ssh.identity`?
        "#]],
    );
    refused(
        "user = \"root\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:1:1: unknown setting `user`
                |
              1 | user = "root"
                | ^^^^
            Hint: did you mean `ssh.user`?
        "#]],
    );
    refused(
        "[hosts]\nlab01 = \"10.0.0.1\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:2:1: unknown setting `hosts.lab01`
                |
              2 | lab01 = "10.0.0.1"
                | ^^^^^
            Hint: hosts, VMs, calendar and policy belong into the cluster text that `cluster` names
        "#]],
    );
    refused(
        "[policy]\nname = \"seed\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:1:2: unknown setting `policy`
                |
              1 | [policy]
                |  ^^^^^^
            Hint: hosts, VMs, calendar and policy belong into the cluster text that `cluster` names
        "#]],
    );
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    refused(
        "mode = \"automatic\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:1:8: `mode` takes observe, advise or auto, not "automatic"
                |
              1 | mode = "automatic"
                |        ^^^^^^^^^^^
        "#]],
    );
    refused(
        "[time]\nt-on = 600.5\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:2:8: `time.t-on` takes a time like "15s", "30m" or "2h", not 600.5
                |
              2 | t-on = 600.5
                |        ^^^^^
        "#]],
    );
    refused(
        "[ssh]\nuser = \"-oProxyCommand=reboot\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:2:8: `ssh.user` takes a word, not "-oProxyCommand=reboot"
                |
              2 | user = "-oProxyCommand=reboot"
                |        ^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
    );
    refused(
        "mode = \"auto\nstate = 1",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml:1:13: this is not TOML: invalid basic string, expected `"`
                |
              1 | mode = "auto
                |             ^
        "#]],
    );
    refused(
        "",
        &[("DORMOUSE_LAB_CALENDAR_RATE", "0")],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DORMOUSE_LAB_CALENDAR_RATE: takes a whole number above 0, not `0`
        "#]],
    );
    refused(
        "",
        &[("DORMOUSE_SSH_USR", "root")],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DORMOUSE_SSH_USR: this variable sets nothing
            Hint: did you mean `DORMOUSE_SSH_USER`?
        "#]],
    );
}

#[test]
fn what_can_be_read_and_would_do_harm_is_refused() {
    refused(
        "state = \"/srv/vm/dormouse\"\n[hosts]\nshared = \"/srv/vm\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml: `state` lies on the storage that we manage (/srv/vm)
            Hint: keep the store on a disk of the manager: it must not sleep with the hosts
        "#]],
    );
    refused(
        "[time]\nlook-deadline = \"20s\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml: looks may take 20.0s but one begins every 15.0s
            Hint: make `time.look-deadline` shorter than `time.observe-every`
        "#]],
    );
    refused(
        "[time]\nfresh = \"10m\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml: a power-off would rest on an observation up to 10m00s old
            Hint: `time.fresh` may be three times `time.observe-every` at most
        "#]],
    );
    refused(
        "[time]\nt-on = \"5s\"\n",
        &[],
        expect![[r#"
            Error: the settings cannot be used
            Caused by: DIR/dormouse.toml: no host is up 5.0s after a wake
            Hint: `time.t-on` is how long a host may take from the wake to usable: minutes
        "#]],
    );
}

#[test]
fn a_named_file_must_exist_and_the_usual_one_need_not() {
    let missing =
        load(Some("/nonexistent/dormouse.toml".as_ref()), std::iter::empty()).expect_err("not there");
    assert!(
        missing.to_string().starts_with("/nonexistent/dormouse.toml: cannot be read: No such file"),
        "{missing}"
    );
}

/// Whatever stands in the file: it is read, or refused with its place in words that steer no terminal, and nothing of it
/// is taken into use.
#[test]
fn any_slip_in_the_settings_is_read_or_refused() {
    let whole = include_bytes!("../../../../fuzz/corpus/settings/all").to_vec();
    assert!(read(std::str::from_utf8(&whole).expect("text"), &[]).is_ok());
    for bytes in dormouse_hostile::Mutator::new(4, vec![whole]).take(1_000) {
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        if let Err(shown) = read(text, &[]) {
            assert!(
                shown.starts_with("Error: the settings cannot be used\nCaused by: DIR/dormouse.toml"),
                "{shown}"
            );
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
            assert!(shown.lines().all(|line| line.chars().count() < 1_000), "{} characters", shown.len());
        }
    }
}

#[test]
fn a_file_without_end_is_refused() {
    let error = load(Some("/dev/zero".as_ref()), std::iter::empty()).expect_err("no settings");
    assert!(error.to_string().contains("is larger than 1 MiB"), "{error}");
}

#[test]
fn every_setting_is_documented() {
    let page = include_str!("../../../../docs/daemon.md");
    for key in KEYS {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        assert!(
            row.is_some_and(|row| row.ends_with(&format!("| {} |", key.help))),
            "{} is not as in docs/daemon.md",
            key.name
        );
        let standard = (key.get)(&Config::default());
        assert!(
            standard.is_empty() || row.is_some_and(|row| row.contains(&format!("| `{standard}` |"))),
            "{}: {standard}",
            key.name
        );
    }
}
