//! What this machine lacks for a lab, before anything is built.

use std::path::Path;

/// (program, the Debian package that brings it)
const PROGRAMS: [(&str, &str); 13] = [
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("libvirtd", "libvirt-daemon"),
    ("virsh", "libvirt-clients"),
    ("virt-ssh-helper", "libvirt-daemon"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("certtool", "gnutls-bin"),
    ("gcc", "build-essential"),
    ("depmod", "kmod"),
    ("dpkg-deb", "dpkg"),
];

/// In words, one line each; empty when a lab can be built.
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root: a lab makes namespaces (run it with sudo)".to_owned());
    }
    for (program, package) in PROGRAMS {
        let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists());
        if !found {
            missing.push(format!("{program}: apt-get install {package}"));
        }
    }
    let driver = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so";
    if !Path::new(driver).exists() {
        missing.push("libvirt's qemu driver: apt-get install libvirt-daemon-driver-qemu".to_owned());
    }
    missing
}
