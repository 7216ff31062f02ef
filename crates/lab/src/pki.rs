//! Keys of the lab: one ssh key for the manager, one host key per host, and a small CA with one certificate per
//! host (and one for the manager), so that libvirt moves guests from host to host over TLS.
//!
//! Made with `ssh-keygen` and `certtool`; written under the lab's state folder and nowhere else.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Doing, Result, checked};
use crate::paths::LabPaths;
use crate::spec::{HostSpec, MANAGER_ADDRESS};

/// The files libvirt and QEMU look for, in one folder each.
pub(crate) struct Authority {
    dir: PathBuf,
}

impl Authority {
    pub(crate) fn create(paths: &LabPaths) -> Result<Self> {
        let dir = paths.state.join("ca");
        private_dir(&dir)?;
        let ca = Self { dir };
        private_key(&ca.key())?;
        let template = ca.dir.join("ca.tmpl");
        write(&template, "cn = \"dormouse lab\"\nca\ncert_signing_key\nexpiration_days = 3650\n")?;
        certtool(
            &["--generate-self-signed"],
            &[("--load-privkey", &ca.key()), ("--template", &template)],
            &ca.cert(),
        )?;
        Ok(ca)
    }

    fn key(&self) -> PathBuf {
        self.dir.join("ca-key.pem")
    }

    fn cert(&self) -> PathBuf {
        self.dir.join("ca-cert.pem")
    }

    /// A host's certificate, placed where libvirtd and QEMU inside it look.
    pub(crate) fn equip_host(&self, etc: &Path, host: &HostSpec) -> Result<()> {
        let (key, cert) = self.issue(&host.name, host.address)?;
        let libvirt = etc.join("pki/libvirt");
        private_dir(&libvirt.join("private"))?;
        private_dir(&etc.join("pki/CA"))?;
        private_dir(&etc.join("pki/qemu"))?;
        self.place(&[
            (&self.cert(), etc.join("pki/CA/cacert.pem")),
            (&cert, libvirt.join("servercert.pem")),
            (&cert, libvirt.join("clientcert.pem")),
            (&key, libvirt.join("private/serverkey.pem")),
            (&key, libvirt.join("private/clientkey.pem")),
            (&self.cert(), etc.join("pki/qemu/ca-cert.pem")),
            (&cert, etc.join("pki/qemu/server-cert.pem")),
            (&key, etc.join("pki/qemu/server-key.pem")),
            (&cert, etc.join("pki/qemu/client-cert.pem")),
            (&key, etc.join("pki/qemu/client-key.pem")),
        ])
    }

    /// The manager's certificate, in the layout of libvirt's `pkipath=`.
    pub(crate) fn equip_manager(&self, pki: &Path) -> Result<()> {
        let (key, cert) = self.issue("manager", MANAGER_ADDRESS)?;
        private_dir(pki)?;
        self.place(&[
            (&self.cert(), pki.join("cacert.pem")),
            (&cert, pki.join("clientcert.pem")),
            (&key, pki.join("clientkey.pem")),
        ])
    }

    fn issue(&self, name: &str, address: Ipv4Addr) -> Result<(PathBuf, PathBuf)> {
        let (key, cert) =
            (self.dir.join(format!("{name}-key.pem")), self.dir.join(format!("{name}-cert.pem")));
        let template = self.dir.join(format!("{name}.tmpl"));
        private_key(&key)?;
        write(
            &template,
            &format!(
                "organization = \"dormouse lab\"\ncn = \"{name}\"\ndns_name = \"{name}\"\nip_address = \"{address}\"\n\
                 tls_www_server\ntls_www_client\nencryption_key\nsigning_key\nexpiration_days = 3650\n"
            ),
        )?;
        certtool(
            &["--generate-certificate"],
            &[
                ("--load-privkey", &key),
                ("--load-ca-certificate", &self.cert()),
                ("--load-ca-privkey", &self.key()),
                ("--template", &template),
            ],
            &cert,
        )?;
        Ok((key, cert))
    }

    fn place(&self, files: &[(&PathBuf, PathBuf)]) -> Result<()> {
        for (from, to) in files {
            fs::copy(from, to).doing(|| format!("cannot write {}", to.display()))?;
        }
        Ok(())
    }
}

/// A new ed25519 key without a passphrase; returns the public half as one line.
pub(crate) fn ssh_key(path: &Path, comment: &str) -> Result<String> {
    checked(
        "ssh-keygen",
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(path)
            .output(),
    )?;
    let public = path.with_extension("pub");
    fs::read_to_string(&public)
        .map(|s| s.trim().to_owned())
        .doing(|| format!("cannot read {}", public.display()))
}

fn private_key(path: &Path) -> Result<()> {
    // RSA, because libvirt wants certificates that permit key encipherment.
    certtool(&["--generate-privkey", "--key-type", "rsa", "--bits", "2048"], &[], path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .doing(|| format!("cannot protect {}", path.display()))
}

fn certtool(verb: &[&str], files: &[(&str, &Path)], out: &Path) -> Result<()> {
    let mut command = Command::new("certtool");
    command.args(verb).arg("--outfile").arg(out);
    for (option, path) in files {
        command.arg(option).arg(path);
    }
    checked(&format!("certtool {}", verb[0]), command.output()).map(drop)
}

fn private_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).doing(|| format!("cannot make {}", dir.display()))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .doing(|| format!("cannot protect {}", dir.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).doing(|| format!("cannot write {}", path.display()))
}
