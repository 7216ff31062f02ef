//! The unit under a systemd of its own: a machine that boots the programs of this one in a container.

use expect_test::expect;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging");

/// Boots, runs `script` and powers off.
const ERRAND: &str = "\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=3min
ExecStart=/bin/sh /errand/script
StandardOutput=file:/errand/said
StandardError=file:/errand/said
ExecStopPost=/bin/systemctl --force poweroff
";

/// The unit's own times are for people.
const SOONER: &str = "[Service]\nRestartSec=200ms\nWatchdogSec=5s\n";

const SETTINGS: &str = "cluster = \"/etc/dormouse/cluster\"\n[time]\nobserve-every = \"1s\"\nlook-deadline = \"500ms\"\nfresh = \"1s\"\n";

fn place(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What `script` said on a machine whose `/usr` is ours with the program installed, and the rest its own.
fn on_a_machine(script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (root, usr) = (folder.path().join("root"), folder.path().join("usr"));
    for name in ["usr", "var", "run", "tmp", "proc", "sys", "dev", "errand"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).unwrap();
    }
    // As `make install` does.
    let unit = fs::read_to_string(format!("{PACKAGING}/dormouse.service")).unwrap();
    let user = fs::read_to_string(format!("{PACKAGING}/dormouse.sysusers")).unwrap();
    place(&usr.join("lib/systemd/system/dormouse.service"), &unit, 0o644);
    place(&usr.join("lib/sysusers.d/dormouse.conf"), &user, 0o644);
    fs::create_dir_all(usr.join("bin")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_dormouse"), usr.join("bin/dormouse")).unwrap();

    let etc = root.join("etc");
    place(&etc.join("os-release"), &fs::read_to_string("/etc/os-release").unwrap(), 0o644);
    place(&etc.join("machine-id"), "", 0o444);
    place(&etc.join("dormouse/dormouse.toml"), SETTINGS, 0o644);
    place(&etc.join("dormouse/cluster"), "cluster x\nhost a address=127.0.0.1:1\n", 0o644);
    place(&etc.join("credstore/dormouse.ssh-key"), "no key, but a file\n", 0o600);
    place(&etc.join("systemd/system/dormouse.service.d/sooner.conf"), SOONER, 0o644);
    place(&etc.join("systemd/system/errand.service"), ERRAND, 0o644);
    fs::create_dir_all(etc.join("systemd/system/multi-user.target.wants")).unwrap();
    symlink("../errand.service", etc.join("systemd/system/multi-user.target.wants/errand.service")).unwrap();
    place(&root.join("errand/script"), script, 0o644);

    let out = Command::new("timeout")
        .args(["--kill-after=10", "240", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit"])
        .args(["--private-network", "--console=pipe", "--boot"])
        .arg(format!("--machine=dormouse-{}", std::process::id()))
        .arg(format!("--directory={}", root.display()))
        .arg(format!("--overlay-ro=/usr:{}:/usr", usr.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    fs::read_to_string(root.join("errand/said"))
        .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&out.stderr)))
}

#[test]
#[ignore = "needs systemd-nspawn"]
fn the_unit_starts_reloads_comes_back_and_ends() {
    let said = on_a_machine(include_str!("systemd.sh"));
    expect![[r#"
        exit of start: 0
        state: active
        told: observe on cluster /etc/dormouse/cluster
        exit of status: 0
        leads, epoch
        user: dormouse
        capabilities: CapEff:0000000000000000
        key: 400 dormouse
        exit of a write in /var/lib: 1
        exit of a write in /etc/dormouse: 0
        exit of a write in /var/lib/dormouse: 0
        ssh: was run, and said why
        ActiveState: active
        a mistake: the last reload failed: the cluster text `/etc/dormouse/cluster` cannot be used; /etc/dormouse/cluster:3:8: unknown key `adress`
        NRestarts: 1
        ActiveState: active
        exit of status: 0
        leads, epoch
        NRestarts: 2
        ActiveState: active
        exit of status: 0
        leads, epoch
        the watchdog: Watchdog timeout
        result of stop: success
        sockets after stop: 0
        state folder: 700 dormouse
        exit of a start on a mistake: 1
        state: failed
        exit status: 2
    "#]].assert_eq(&said);
}
