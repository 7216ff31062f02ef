//! `tools/deps.sh` on machines made of a folder: what it installs, what it leaves alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A system in a folder. Its programs write down how they were called.
struct System(PathBuf);

impl System {
    /// `installed`: packages that dpkg knows. `user`: who asks.
    fn new(name: &str, user: u32, installed: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if root.exists() {
            fs::remove_dir_all(&root).expect("an old system goes");
        }
        for folder in ["bin", "usr/sbin", "lib/systemd/system"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        // Nothing else of the real machine is on the path: it may have a cargo of its own.
        for tool in ["chmod", "env", "rm", "tee"] {
            symlink(Path::new("/bin").join(tool), root.join("bin").join(tool)).expect("a link");
        }
        let system = Self(root);
        system.program("cargo", "");
        system.program("id", &format!("echo {user}"));
        system.program("sudo", "echo \"sudo $*\" >>\"$DEPS_ROOT/log\"; exec \"$@\"");
        system
            .program("dpkg-query", &format!("case ' {installed} ' in *\" $3 \"*) printf installed ;; esac"));
        // An installation brings a unit; the user's own was there before.
        system.program(
            "apt-get",
            "echo \"apt-get $*\" >>\"$DEPS_ROOT/log\"
             case \"$*\" in *openssh-server*)
                 : >\"$DEPS_ROOT/lib/systemd/system/ssh.service\"
                 \"$DEPS_ROOT/usr/sbin/policy-rc.d\" || echo \"services may start: $?\" >>\"$DEPS_ROOT/log\"
             esac",
        );
        system.program("systemctl", "echo \"systemctl $*\" >>\"$DEPS_ROOT/log\"");
        system
    }

    fn program(&self, name: &str, body: &str) {
        let path = self.0.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may run");
    }

    /// What the script did, then what it said, a line each.
    fn deps(&self, kind: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/deps.sh");
        let path = self.0.join("bin");
        let mut command = Command::new(script);
        let out = command.arg(kind).env("PATH", path).env("DEPS_ROOT", &self.0).output().expect("it starts");
        let log = fs::read_to_string(self.0.join("log")).unwrap_or_default();
        let log =
            log.replace("-q -y -o DPkg::Lock::Timeout=300", "…").replace(&*self.0.to_string_lossy(), "");
        let log = log.replace("env DEBIAN_FRONTEND=noninteractive ", "");
        format!("{log}{}", String::from_utf8_lossy(&out.stderr))
    }
}

const LAB_BUT_SSHD: &str = "libvirt-daemon libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients \
                            qemu-system-x86 openssh-client iproute2 iptables kmod xz-utils gnutls-bin busybox-static ganeti-htools systemd systemd-container \
                            etcd-server protobuf-compiler libprotobuf-dev fish ansible-core";

#[test]
fn nothing_missing_is_nothing_done() {
    let system = System::new("complete", 1000, "pkg-config libvirt-dev build-essential");
    assert_eq!(system.deps("build"), "");
}

#[test]
fn a_user_is_told_before_sudo_and_only_what_is_missing_comes() {
    let system = System::new("user", 1000, "pkg-config build-essential");
    assert_eq!(
        system.deps("build"),
        "sudo apt-get … update\n\
         apt-get … update\n\
         sudo apt-get … install --no-install-recommends libvirt-dev\n\
         apt-get … install --no-install-recommends libvirt-dev\n\
         deps: installing with sudo: libvirt-dev\n\
         deps: done\n"
    );
}

#[test]
fn what_the_lab_brings_neither_starts_nor_is_enabled_and_the_users_own_is_left_alone() {
    let system = System::new("lab", 0, LAB_BUT_SSHD);
    fs::write(system.0.join("lib/systemd/system/libvirtd.service"), "").expect("the user's own unit");
    assert_eq!(
        system.deps("lab"),
        "apt-get … update\n\
         apt-get … install --no-install-recommends openssh-server\n\
         services may start: 101\n\
         systemctl --quiet disable ssh.service\n\
         deps: installing: openssh-server\n\
         deps: done\n"
    );
    assert!(!system.0.join("usr/sbin/policy-rc.d").exists(), "it is taken away again");
}

#[test]
fn a_policy_that_was_there_stays() {
    let system = System::new("container", 0, LAB_BUT_SSHD);
    let policy = system.0.join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 101\n").expect("the container's own");
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).expect("it may run");
    system.deps("lab");
    assert!(policy.exists());
}

#[test]
fn without_cargo_or_apt_it_says_what_to_do() {
    let system = System::new("bare", 0, "");
    fs::remove_file(system.0.join("bin/cargo")).expect("it was there");
    assert!(system.deps("build").contains("https://rustup.rs"));
    assert!(!system.0.join("log").exists(), "and installs nothing");
}
