//! The inventory for Ansible, by its documented form and by Ansible itself.

use super::Terminal;
use expect_test::expect;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

const OFFICE: &str = "\
cluster office
host a cpus=4 mem=8G address=root@10.0.0.1:2222 cpu-group=intel-old
host b cpus=4 mem=8G address=local role=storage
host c cpus=4 mem=8G
vm \"{{ lookup('pipe','touch pwned') }}\"@a mem=1G
vm pc01@a mem=1G
asleep c
";

#[test]
fn hosts_are_in_groups_by_cluster_state_class_and_role() {
    let list = Terminal::with(OFFICE).json("inventory --list --cluster cluster");
    let groups = [
        ("cluster_office", "[\"a\",\"b\",\"c\"]"),
        ("state_on", "[\"a\",\"b\"]"),
        ("state_asleep", "[\"c\"]"),
        ("class_intel_old", "[\"a\"]"),
        ("role_storage", "[\"b\"]"),
    ];
    for (group, hosts) in groups {
        assert_eq!(list[group]["hosts"].to_string(), hosts, "{group}");
    }
    assert_eq!(list.as_object().unwrap().len(), groups.len() + 1, "and what is known of each");
    let a = &list["_meta"]["hostvars"]["a"];
    assert_eq!(
        (&a["ansible_host"], &a["ansible_user"], &a["ansible_port"]),
        (&"10.0.0.1".into(), &"root".into(), &2222.into())
    );
    assert_eq!(a["dormouse_vms"][0]["__ansible_unsafe"], "{{ lookup('pipe','touch pwned') }}");
}

#[test]
fn one_host_and_what_makes_no_sense() {
    let office = Terminal::with(OFFICE);
    office.check(
        "inventory --host b --cluster cluster",
        expect![[r#"
        $ dormouse inventory --host b --cluster cluster
        {
          "ansible_connection": "local",
          "dormouse_cpus": 4,
          "dormouse_memory_mib": 8192,
          "dormouse_role": "storage",
          "dormouse_state": "on",
          "dormouse_vms": []
        }
        exit status 0
    "#]],
    );
    office.check(
        "inventory --host bb --cluster cluster",
        expect![[r#"
        $ dormouse inventory --host bb --cluster cluster
        stderr: Error: there is no host `bb`
        stderr: Hint: did you mean `b`?
        exit status 2
    "#]],
    );
    assert!(office.type_in("inventory").ends_with("exit status 2\n"));
}

#[cfg(feature = "live")]
#[test]
fn the_daemon_is_asked_where_no_text_is_named() {
    use super::live::{Running, SETTINGS, shown, terminal};
    let hosts = "cluster x\nhost a address=op@127.0.0.1:1 mac=52:54:00:00:00:01 cpu-group=old\n";
    let terminal = terminal(&format!("{SETTINGS}[ssh]\nuser = \"nobody\"\n"), hosts);
    expect![[r#"
        $ dormouse --config dormouse.toml inventory --list
        stderr: Error: no daemon answers at DIR/control.sock
        stderr: Caused by: No such file or directory (os error 2)
        stderr: Hint: start it with `dormouse run`, or give a cluster text with --cluster FILE
        exit status 4
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml inventory --list"));
    let _daemon = Running::start_with(&terminal, &[]);
    expect![[r#"
        $ dormouse --config dormouse.toml inventory --list
        {
          "_meta": {
            "hostvars": {
              "a": {
                "ansible_host": "127.0.0.1",
                "ansible_port": 1,
                "ansible_user": "op",
                "dormouse_class": "old",
                "dormouse_cpus": 0,
                "dormouse_memory_mib": 0,
                "dormouse_state": "unknown",
                "dormouse_vms": []
              }
            }
          },
          "class_old": {
            "hosts": [
              "a"
            ]
          },
          "cluster_x": {
            "hosts": [
              "a"
            ]
          },
          "state_unknown": {
            "hosts": [
              "a"
            ]
          }
        }
        exit status 0
    "#]]
    .assert_eq(&shown(&terminal, "--config dormouse.toml inventory --list"));
}

#[test]
#[ignore = "needs ansible-inventory"]
fn ansible_reads_it_and_carries_out_no_name() {
    let office = Terminal::with(OFFICE);
    let folder = office.folder.path();
    let script = include_str!("../../../../packaging/dormouse-inventory");
    let path = folder.join("inventory");
    std::fs::write(
        &path,
        script.replace(
            "dormouse inventory",
            &format!("{} inventory --cluster cluster", env!("CARGO_BIN_EXE_dormouse")),
        ),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ansible = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(["-i", "./inventory"]).args(args).current_dir(folder).env("HOME", folder);
        let out = command
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3")
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    expect![[r#"
        @all:
          |--@ungrouped:
          |--@class_intel_old:
          |  |--a
          |--@cluster_office:
          |  |--a
          |  |--b
          |  |--c
          |--@role_storage:
          |  |--b
          |--@state_asleep:
          |  |--c
          |--@state_on:
          |  |--a
          |  |--b
    "#]]
    .assert_eq(&ansible("ansible-inventory", &["--graph"]));
    let shown = ansible("ansible", &["b", "-m", "debug", "-a", "msg={{ hostvars['a'].dormouse_vms }}"]);
    assert!(shown.contains("touch pwned") && shown.contains("pc01"), "{shown}");
    assert!(!folder.join("pwned").exists(), "a name of a VM was carried out");
}
