//! Certificates for members and for who speaks to them, made with `certtool`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority of one's own, in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// What one side of a connection shows, and whom it believes.
#[derive(Clone, Debug)]
pub struct Papers {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// # Panics
    /// `certtool` is not there.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let this = Self { folder: folder.to_owned() };
        this.key("ca");
        this.sign("ca", &["cn = \"etcd of a test\"", "ca", "cert_signing_key"], "--generate-self-signed");
        this
    }

    /// For the member of that name, or for a manager: both ends of TLS, on this machine.
    #[must_use]
    pub fn issue(&self, name: &str) -> Papers {
        self.key(name);
        let says = [
            &format!("cn = \"{name}\""),
            "ip_address = 127.0.0.1",
            "tls_www_server",
            "tls_www_client",
            "signing_key",
        ];
        self.sign(name, &says, "--generate-certificate");
        Papers {
            ca: self.file("ca.pem"),
            certificate: self.file(&format!("{name}.pem")),
            key: self.secret(name),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.key"))
    }

    fn key(&self, name: &str) {
        // Half of the EC keys that it makes are longer by a zero, which not everyone reads.
        let kind = ["--generate-privkey", "--key-type=rsa", "--bits=2048", "--no-text"];
        certtool(Command::new("certtool").args(kind).arg("--outfile").arg(self.secret(name)));
    }

    fn sign(&self, name: &str, says: &[&str], how: &str) {
        let template = self.file(&format!("{name}.tmpl"));
        let text = format!("{}\nexpiration_days = 30\n", says.join("\n"));
        std::fs::write(&template, text).expect("written");
        let mut command = Command::new("certtool");
        command.arg(how).arg("--load-privkey").arg(self.secret(name)).arg("--template").arg(template);
        if name != "ca" {
            command.arg("--load-ca-certificate").arg(self.file("ca.pem"));
            command.arg("--load-ca-privkey").arg(self.secret("ca"));
        }
        certtool(command.arg("--outfile").arg(self.file(&format!("{name}.pem"))));
    }
}

fn certtool(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().expect("certtool: `make deps-lab` brings it");
    assert!(done.status.success(), "certtool: {}", String::from_utf8_lossy(&done.stderr));
}
