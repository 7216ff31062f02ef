use super::read::Source;
use super::table::KEYS;
use super::{Config, load};
use crate::cli::Failure;
use dormouse_control::Automation;
use dormouse_model::Millis;
use expect_test::{Expect, expect};
use std::path::PathBuf;
use tempfile::TempDir;

fn read(text: &str, environment: &[(&str, &str)]) -> Result<(Config, Vec<(&'static str, Source)>), String> {
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
    refused("mode = \"auto\"\n[ssh]\nidentitty = \"/root/key\"\n", &[], expect![[""]]);
    refused("user = \"root\"\n", &[], expect![[""]]);
    refused("[hosts]\nlab01 = \"10.0.0.1\"\n", &[], expect![[""]]);
    refused("[policy]\nname = \"seed\"\n", &[], expect![[""]]);
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    refused("mode = \"automatic\"\n", &[], expect![[""]]);
    refused("[time]\nt-on = 600.5\n", &[], expect![[""]]);
    refused("[ssh]\nuser = \"-oProxyCommand=reboot\"\n", &[], expect![[""]]);
    refused("mode = \"auto\nstate = 1", &[], expect![[""]]);
    refused("", &[("DORMOUSE_LAB_CALENDAR_RATE", "0")], expect![[""]]);
    refused("", &[("DORMOUSE_SSH_USR", "root")], expect![[""]]);
}

#[test]
fn what_can_be_read_and_would_do_harm_is_refused() {
    refused("state = \"/srv/vm/dormouse\"\n[hosts]\nshared = \"/srv/vm\"\n", &[], expect![[""]]);
    refused("[time]\nlook-deadline = \"20s\"\n", &[], expect![[""]]);
    refused("[time]\nfresh = \"10m\"\n", &[], expect![[""]]);
    refused("[time]\nt-on = \"5s\"\n", &[], expect![[""]]);
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
