//! The disk of a lab host: folders with its own `/etc`, `/var/lib`, `/var/log`, `/root`, `/run` and `/tmp`.
//!
//! Written once by `up`, so that a host finds its files again after each power cycle, as a real one does
//! (only `/run` is fresh at each boot). From the machine's own `/etc` only what programs need to run is copied:
//! no keys, no passwords.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::error::{Doing, Result};
use crate::paths::{HostPaths, LabPaths};
use crate::pki;
use crate::spec::{HostSpec, LabSpec};

/// Taken over from the machine's `/etc` where present: accounts, the dynamic linker, name services.
const FROM_ETC: [&str; 16] = [
    "passwd",
    "group",
    "nsswitch.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "alternatives",
    "services",
    "protocols",
    "login.defs",
    "host.conf",
    "gai.conf",
    "debian_version",
    "os-release",
    "profile",
];

/// Stand-ins for what needs systemd, mounted over the real programs inside a host. `poweroff`, `reboot`, `halt`
/// and `shutdown` are links to systemctl in Debian; they find the stand-in the same way.
pub(crate) const STAND_INS: [&str; 2] = ["systemctl", "systemd-inhibit"];

/// Under a host's `/etc`: the sockets that its systemd opens at boot.
pub(crate) const WANTED: &str = "systemd/system/sockets.target.wants";
pub(crate) const TLS_SOCKET: &str = "libvirtd-tls.socket";

pub(crate) fn write(
    lab: &LabSpec,
    paths: &LabPaths,
    host: &HostSpec,
    authorized_key: &str,
) -> Result<String> {
    let own = paths.host(host);
    for (folder, _) in own.own_folders() {
        make(&folder, 0o755)?;
    }
    make(&own.root.join("tmp"), 0o1777)?;
    make(&own.root.join("root/.ssh"), 0o700)?;
    make(&own.root.join("proc"), 0o755)?;
    for dir in
        ["libvirt/qemu", "libvirt/images", "libvirt/boot", "libvirt/shared", "dpkg", "dormouse", "systemd"]
    {
        make(&own.root.join("var-lib").join(dir), 0o755)?;
    }
    make(&own.root.join("var-log/libvirt/qemu"), 0o755)?;
    for lock in ["lock", "lock-frontend"] {
        put(&own.root.join("var-lib/dpkg").join(lock), "")?;
    }
    put(&own.root.join("root/.ssh/authorized_keys"), &format!("{authorized_key}\n"))?;
    put(&own.loadavg(), "0.00 0.00 0.00 1/1 1\n")?;
    write_etc(lab, host, &own)?;
    write_tools(&own)?;
    let host_key = own.etc().join("ssh/ssh_host_ed25519_key");
    let public = pki::ssh_key(&host_key, &host.name)?;
    Ok(public.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

fn write_etc(lab: &LabSpec, host: &HostSpec, own: &HostPaths) -> Result<()> {
    let etc = own.etc();
    for name in FROM_ETC {
        let from = Path::new("/etc").join(name);
        if from.exists() {
            copy_tree(&from, &etc.join(name))?;
        }
    }
    let mut hosts = String::from("127.0.0.1 localhost\n");
    for h in lab.all_hosts() {
        hosts += &format!("{} {}\n", h.address, h.name);
    }
    put(&etc.join("hosts"), &hosts)?;
    put(&etc.join("hostname"), &format!("{}\n", host.name))?;
    put(&etc.join("machine-id"), &format!("{}\n", host.uuid.simple()))?;
    put(&etc.join("resolv.conf"), "")?;
    // Not locked (sshd refuses a locked account), and without a password that could match.
    put(&etc.join("shadow"), "root:*:19000:0:99999:7:::\n")?;
    fs::set_permissions(etc.join("shadow"), fs::Permissions::from_mode(0o600))
        .doing(|| "cannot protect a host's shadow file".to_owned())?;
    if etc.join("mtab").symlink_metadata().is_err() {
        symlink("/proc/self/mounts", etc.join("mtab")).doing(|| "cannot link mtab".to_owned())?;
    }
    make(&etc.join("ssh"), 0o755)?;
    put(&etc.join("ssh/sshd_config"), SSHD_CONFIG)?;
    let wanted = etc.join(WANTED);
    make(&wanted, 0o755)?;
    if lab.pki {
        put(&wanted.join(TLS_SOCKET), "")?;
    }
    make(&etc.join("libvirt/qemu/networks"), 0o755)?;
    make(&etc.join("libvirt/nwfilter"), 0o755)?;
    put(&etc.join("libvirt/libvirt.conf"), "")?;
    // QEMU's driver does not start when a folder is named that is not there.
    let certificates = if lab.pki { QEMU_CERTIFICATES } else { "" };
    put(&etc.join("libvirt/qemu.conf"), &format!("{QEMU_CONF}{certificates}"))?;
    put(
        &etc.join("libvirt/libvirtd.conf"),
        &format!(
            "host_uuid = \"{}\"\nlisten_tls = 1\nlisten_tcp = 0\nlisten_addr = \"{}\"\nauth_tls = \"none\"\n\
             unix_sock_group = \"root\"\nunix_sock_rw_perms = \"0700\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n\
             keepalive_interval = 5\nkeepalive_count = 3\nlog_outputs = \"3:file:/var/log/libvirt/libvirtd.log\"\n",
            host.uuid, host.address
        ),
    )
}

/// `/run` is fresh at each boot, so the stand-ins live beside it and pid 1 brings them in.
fn write_tools(own: &HostPaths) -> Result<()> {
    let tools = own.root.join("tools");
    make(&tools, 0o755)?;
    for name in STAND_INS {
        let path = tools.join(name);
        put(&path, "#!/bin/sh\nexec /run/lab/program lab-internal stand-in \"${0##*/}\" \"$@\"\n")?;
        make_executable(&path)?;
    }
    put(&own.root.join("proc/sysrq-trigger"), "")
}

const SSHD_CONFIG: &str = "\
# A lab host's sshd: keys only, no PAM (nothing of the machine's own login set-up).
Port 22
AddressFamily inet
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 100:30:200
MaxSessions 100
ClientAliveInterval 5
ClientAliveCountMax 3
Subsystem sftp internal-sftp
";

const QEMU_CONF: &str = "\
user = \"root\"
group = \"root\"
security_driver = \"none\"
namespaces = []
cgroup_controllers = []
remember_owner = 0
dynamic_ownership = 0
stdio_handler = \"file\"
set_process_name = 0
max_core = 0
keepalive_interval = 5
keepalive_count = 3
migrate_tls_x509_verify = 1
";

const QEMU_CERTIFICATES: &str = "migrate_tls_x509_cert_dir = \"/etc/pki/qemu\"\n";

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("cannot copy {}", from.display());
    let meta = fs::symlink_metadata(from).doing(doing)?;
    if meta.is_dir() {
        make(to, 0o755)?;
        for entry in fs::read_dir(from).doing(doing)?.flatten() {
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    } else if meta.is_symlink() {
        symlink(fs::read_link(from).doing(doing)?, to).doing(doing)
    } else {
        fs::copy(from, to).map(drop).doing(doing)
    }
}

pub(crate) fn make(dir: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(dir).doing(|| format!("cannot make {}", dir.display()))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
        .doing(|| format!("cannot set modes of {}", dir.display()))
}

pub(crate) fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(|| format!("cannot write {}", path.display()))
}

pub(crate) fn make_executable(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .doing(|| format!("cannot make {} executable", path.display()))
}
