//! The CA of a cluster: made once, kept in a folder that only its owner can read, with a register of whom it vouches for.
//!
//! Decides what stands in a certificate, how long it lasts, and who is on the list. The register is on disk before a
//! certificate leaves. Keys are made by `ssh-keygen` (our TLS library signs with RSA and makes no RSA keys; libvirt's and
//! QEMU's checks of the key's use are for RSA). A host's key is handed over once and not kept.

use super::names::{Named, common_name};
use super::{AllowList, DAY};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, SanType, SerialNumber,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use time::OffsetDateTime;
use uuid::Uuid;

/// A host's certificate lasts two years…
pub const HOST_DAYS: i64 = 730;
/// … and is made anew by `host add` in its last two months.
pub const RENEW_DAYS: i64 = 60;
/// The CA outlives the hosts: a new one means to add every host anew.
pub const CA_DAYS: i64 = 7300;
/// Clocks of hosts may be behind ours.
const EARLIER: i64 = DAY;
/// Recommended until 2030 and beyond.
const RSA_BITS: &str = "3072";

const CA_KEY: &str = "ca.key";
const CA_CERT: &str = "ca.pem";
const REGISTER: &str = "register.json";
/// In libvirt's own layout: `virsh -c 'qemu+tls://HOST/system?pkipath=…'`.
const MANAGER: &str = "manager";

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{0}")]
    File(String, #[source] io::Error),
    #[error("`ssh-keygen` made no key")]
    Key(#[source] io::Error),
    #[error("the certificate cannot be made")]
    Certificate(#[source] rcgen::Error),
    #[error("the register {0} cannot be read")]
    Register(String, #[source] serde_json::Error),
    #[error("no name or address of it fits into a certificate")]
    Nameless,
    #[error("another `dormouse host add` or `host remove` is at work")]
    Busy,
    #[error("{0} is missing: without it the CA cannot go on")]
    Half(String),
}

/// Whom the CA vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// As the cluster text calls it.
    pub name: String,
    pub machine: Option<Uuid>,
    /// For the lists. Stays when the certificate is made anew.
    pub cn: String,
    /// The first list that it is on.
    pub since: u32,
    /// Of its certificate, in hexadecimal.
    pub serial: String,
    pub ends_s: i64,
    /// What the certificate speaks for.
    pub speaks_for: Vec<String>,
}

/// What the CA has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Number of the present list.
    pub list: u32,
    pub hosts: Vec<Member>,
    pub manager: Option<Member>,
}

/// A certificate and its key, on their way to a host.
#[derive(Clone)]
pub struct Identity {
    pub member: Member,
    pub certificate: String,
    pub(crate) key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("member", &self.member).finish_non_exhaustive()
    }
}

/// The CA, open for one verb: nobody else uses it meanwhile.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    register: Register,
    _lock: File,
}

impl Authority {
    /// Opens the CA in this folder, or makes it.
    pub fn open(dir: &Path, now_s: i64) -> Result<Self, TrustError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| cannot("make", dir, error))?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| cannot("open", &lock_path, error))?;
        lock.try_lock().map_err(|_| TrustError::Busy)?;
        let (key_path, cert_path) = (dir.join(CA_KEY), dir.join(CA_CERT));
        let (key, certificate) = match (key_path.exists(), cert_path.exists()) {
            (true, true) => (read(&key_path)?, read(&cert_path)?),
            (false, false) => {
                let key = new_key(dir)?;
                let certificate = certificate_of_ca(&key, now_s)?;
                // The key first: a certificate without it would look like a CA that lost its key.
                write(&key_path, &key)?;
                write(&cert_path, &certificate)?;
                (key, certificate)
            }
            // Cut off between the two: nobody was given anything yet.
            (true, false) if !dir.join(REGISTER).exists() => {
                let key = read(&key_path)?;
                let certificate = certificate_of_ca(&key, now_s)?;
                write(&cert_path, &certificate)?;
                (key, certificate)
            }
            (true, false) => return Err(TrustError::Half(cert_path.display().to_string())),
            (false, true) => return Err(TrustError::Half(key_path.display().to_string())),
        };
        let register = match dir.join(REGISTER) {
            path if path.exists() => serde_json::from_str(&read(&path)?)
                .map_err(|error| TrustError::Register(path.display().to_string(), error))?,
            _ => Register::default(),
        };
        let key = pair(&key)?;
        let issuer = Issuer::new(params_of_ca(&key), key);
        Ok(Self { dir: dir.to_owned(), issuer, certificate, register, _lock: lock })
    }

    /// Whether there is one in this folder, or what is left of one.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        [CA_KEY, CA_CERT, REGISTER].iter().any(|file| dir.join(file).exists())
    }

    /// The CA's own certificate, as hosts are given it.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    #[must_use]
    pub const fn register(&self) -> &Register {
        &self.register
    }

    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Member> {
        self.register.hosts.iter().find(|member| member.name == name)
    }

    /// Exactly the hosts and the manager.
    #[must_use]
    pub fn list(&self) -> AllowList {
        let all = self.register.hosts.iter().chain(&self.register.manager);
        AllowList { number: self.register.list, names: all.map(|member| member.cn.clone()).collect() }
    }

    /// A certificate for a host. A machine that has had one under this name stays who it is on every list; any other is
    /// somebody new.
    pub fn issue(
        &mut self,
        name: &str,
        machine: Uuid,
        speaks_for: &[Named],
        now_s: i64,
    ) -> Result<Identity, TrustError> {
        let before = self.host(name).filter(|member| member.machine == Some(machine)).cloned();
        let identity = self.make(name, Some(machine), speaks_for, before.as_ref(), now_s)?;
        let mut register = self.register.clone();
        register.hosts.retain(|member| member.name != name);
        register.hosts.push(identity.member.clone());
        register.hosts.sort_by(|a, b| a.name.cmp(&b.name));
        register.list = register.list.max(identity.member.since);
        self.keep(register)?;
        Ok(identity)
    }

    /// The manager's own certificate, kept in libvirt's layout for its operators; made anew in its last months.
    pub fn issue_manager(&mut self, now_s: i64) -> Result<Option<Member>, TrustError> {
        let before = self.register.manager.clone();
        if before.as_ref().is_some_and(|member| member.ends_s - now_s > RENEW_DAYS * DAY) {
            return Ok(None);
        }
        let name = [Named::Dns(MANAGER.to_owned())];
        let identity = self.make(MANAGER, None, &name, before.as_ref(), now_s)?;
        let mut register = self.register.clone();
        register.list = register.list.max(identity.member.since);
        register.manager = Some(identity.member.clone());
        let dir = self.dir.join(MANAGER);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| cannot("make", &dir, error))?;
        for (file, text) in [
            ("cacert.pem", &self.certificate),
            ("clientcert.pem", &identity.certificate),
            ("clientkey.pem", &identity.key),
        ] {
            write(&dir.join(file), text)?;
        }
        self.keep(register)?;
        Ok(Some(identity.member))
    }

    /// Strikes a host off. `None`: it was never on.
    pub fn strike(&mut self, name: &str) -> Result<Option<Member>, TrustError> {
        let Some(member) = self.host(name).cloned() else { return Ok(None) };
        let mut register = self.register.clone();
        register.hosts.retain(|member| member.name != name);
        register.list += 1;
        self.keep(register)?;
        Ok(Some(member))
    }

    fn make(
        &self,
        name: &str,
        machine: Option<Uuid>,
        speaks_for: &[Named],
        before: Option<&Member>,
        now_s: i64,
    ) -> Result<Identity, TrustError> {
        if speaks_for.is_empty() {
            return Err(TrustError::Nameless);
        }
        let key = new_key(&self.dir)?;
        let serial = serial()?;
        let identity = u64::from_be_bytes(serial[8..].try_into().expect("16 bytes"));
        let member = Member {
            name: name.to_owned(),
            machine,
            cn: before.map_or_else(|| common_name(name, identity), |member| member.cn.clone()),
            since: before.map_or(self.register.list + 1, |member| member.since),
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            ends_s: now_s + HOST_DAYS * DAY,
            speaks_for: speaks_for.iter().map(ToString::to_string).collect(),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = called(&member.cn);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        (params.not_before, params.not_after) = (moment(now_s - EARLIER), moment(member.ends_s));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        for one in speaks_for {
            params.subject_alt_names.push(match one {
                Named::Dns(name) => {
                    SanType::DnsName(name.as_str().try_into().map_err(TrustError::Certificate)?)
                }
                Named::Ip(ip) => SanType::IpAddress(*ip),
            });
        }
        let certificate = params.signed_by(&pair(&key)?, &self.issuer).map_err(TrustError::Certificate)?;
        Ok(Identity { member, certificate: certificate.pem(), key })
    }

    fn keep(&mut self, register: Register) -> Result<(), TrustError> {
        let path = self.dir.join(REGISTER);
        let text = serde_json::to_string_pretty(&register)
            .map_err(|error| TrustError::Register(path.display().to_string(), error))?;
        write(&path, &(text + "\n"))?;
        self.register = register;
        Ok(())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn certificate_of_ca(key: &str, now_s: i64) -> Result<String, TrustError> {
    let key = pair(key)?;
    let mut params = params_of_ca(&key);
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    (params.not_before, params.not_after) = (moment(now_s - EARLIER), moment(now_s + CA_DAYS * DAY));
    Ok(params.self_signed(&key).map_err(TrustError::Certificate)?.pem())
}

/// Named by its key: the same whenever it is opened, and another one for each CA, whatever the cluster is called.
fn params_of_ca(key: &KeyPair) -> CertificateParams {
    let public = key.public_key_raw();
    // From within the modulus: what comes before it is the same for all keys.
    let part: String = public.iter().skip(16).take(6).map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = called(&format!("dormouse CA {part}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// One part and no more, so that every library writes it in the same order.
fn called(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

fn pair(key: &str) -> Result<KeyPair, TrustError> {
    KeyPair::from_pem_and_sign_algo(key, &PKCS_RSA_SHA256).map_err(TrustError::Certificate)
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Positive, and never given twice.
fn serial() -> Result<[u8; 16], TrustError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    let mut file = File::open(source).map_err(|error| cannot("open", source, error))?;
    file.read_exact(&mut bytes).map_err(|error| cannot("read", source, error))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes)
}

/// A new RSA key as PKCS #8. It is on disk for a moment, in a folder of its own that only we can read.
fn new_key(dir: &Path) -> Result<String, TrustError> {
    let place = tempfile::Builder::new()
        .prefix(".key-")
        .tempdir_in(dir)
        .map_err(|error| cannot("make a folder in", dir, error))?;
    let path = place.path().join("key");
    let mut command = Command::new("ssh-keygen");
    // No passphrase: libvirt could not type it.
    command.args(["-q", "-t", "rsa", "-b", RSA_BITS, "-m", "PKCS8", "-N", "", "-C", "", "-f"]).arg(&path);
    command.env_clear().envs(dormouse_driver::passed_environment());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let made = command.output().map_err(TrustError::Key)?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).trim().chars().take(200).collect::<String>();
        return Err(TrustError::Key(io::Error::other(said)));
    }
    read(&path)
}

fn cannot(what: &str, path: &Path, error: io::Error) -> TrustError {
    TrustError::File(format!("cannot {what} {}", path.display()), error)
}

fn read(path: &Path) -> Result<String, TrustError> {
    fs::read_to_string(path).map_err(|error| cannot("read", path, error))
}

/// Readable by its owner alone, and there as a whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), TrustError> {
    let dir = path.parent().expect("a file in a folder");
    let put = || -> io::Result<()> {
        // Made with mode 0600, under a name nobody can guess.
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()
    };
    put().map_err(|error| cannot("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::named;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: i64 = 1_795_000_000;
    const MACHINE: Uuid = Uuid::from_u128(0x22);

    fn output(program: &str, args: &[&str]) -> (bool, String) {
        let out = Command::new(program).args(args).output().expect("runs");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.success(), said)
    }

    /// Judged by GnuTLS, as libvirt and QEMU will.
    #[test]
    #[ignore = "needs certtool, ssh-keygen"]
    fn a_certificate_says_what_libvirt_asks_of_it() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let place = dir.path().join("tls");
        let mut ca = Authority::open(&place, NOW).expect("made");
        let called = named(["lab07", "root@10.0.0.7:22", "2001:db8::7", "*", "lab07.example.org"]);
        let host = ca.issue("lab07", MACHINE, &called, NOW).expect("issued");
        let cert = dir.path().join("cert.pem");
        fs::write(&cert, &host.certificate).expect("written");
        let (_, said) = output("certtool", &["--certificate-info", "--infile", &cert.display().to_string()]);
        for part in [
            &format!("Subject: CN={}\n", host.member.cn),
            &format!("Serial Number (hex): {}\n", host.member.serial),
            "Issuer: CN=dormouse CA ",
            "Subject Public Key Algorithm: RSA",
            "(3072 bits)",
            "DNSname: lab07\n",
            "IPAddress: 10.0.0.7\n",
            "IPAddress: 2001:db8::7\n",
            "DNSname: lab07.example.org\n",
            "Certificate Authority (CA): FALSE",
            "Digital signature.",
            "Key encipherment.",
            "TLS WWW Server.",
            "TLS WWW Client.",
            "Not Before: Tue Nov 17 11:06:40 UTC 2026",
            "Not After: Fri Nov 17 11:06:40 UTC 2028",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        assert!(!said.contains('*'), "{said}");

        let verify = |cert: &Path, ca: &Path| {
            let (cert, ca) = (cert.display().to_string(), ca.display().to_string());
            output("certtool", &["--verify", "--infile", &cert, "--load-ca-certificate", &ca])
        };
        let (good, said) = verify(&cert, &place.join(CA_CERT));
        assert!(good, "{said}");
        let other = Authority::open(&dir.path().join("other"), NOW).expect("made");
        assert_ne!(other.certificate(), ca.certificate());
        let (good, said) = verify(&cert, &dir.path().join("other").join(CA_CERT));
        assert!(!good, "another CA vouches for it, too: {said}");
        let (_, said) = output(
            "certtool",
            &["--certificate-info", "--infile", &place.join(CA_CERT).display().to_string()],
        );
        assert!(
            said.contains("Certificate Authority (CA): TRUE") && said.contains("Path Length Constraint: 0"),
            "{said}"
        );
        assert!(said.contains("Not After: Tue Nov 13 11:06:40 UTC 2046"), "{said}");
    }

    #[test]
    #[ignore = "needs ssh-keygen"]
    fn the_register_knows_who_is_who_and_stays() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let place = dir.path().join("tls");
        let mut ca = Authority::open(&place, NOW).expect("made");
        assert!(matches!(Authority::open(&place, NOW), Err(TrustError::Busy)));
        let called = named(["h01"]);
        let first = ca.issue("h01", MACHINE, &called, NOW).expect("issued").member;
        let manager = ca.issue_manager(NOW).expect("issued").expect("a new one");
        assert_eq!((first.since, manager.since, ca.list().number), (1, 2, 2));
        assert_eq!(ca.list().names, [first.cn.clone(), manager.cn.clone()]);
        let certificate = ca.certificate().to_owned();
        drop(ca);

        let mut ca = Authority::open(&place, NOW + DAY).expect("opened");
        assert_eq!(ca.certificate(), certificate);
        assert_eq!(ca.issue_manager(NOW + DAY).expect("asked"), None, "it lasts");
        // Made anew: another serial, the same name on the lists, so no other host has to learn of it.
        let again = ca.issue("h01", MACHINE, &called, NOW + DAY).expect("issued").member;
        assert_eq!((&again.cn, again.since, ca.list().number), (&first.cn, 1, 2));
        assert!(again.serial != first.serial && again.ends_s == first.ends_s + DAY);
        // Struck off, and another machine under the same name: the old certificate lets nobody in.
        assert_eq!(ca.strike("h01").expect("struck").map(|member| member.cn), Some(first.cn.clone()));
        assert_eq!((ca.list().number, ca.list().names.as_slice()), (3, &[manager.cn][..]));
        assert_eq!(ca.strike("h01").expect("asked"), None);
        let other = ca.issue("h01", Uuid::from_u128(0x23), &called, NOW + DAY).expect("issued").member;
        assert!(other.cn != first.cn && other.since == 4, "{other:?}");
    }

    #[test]
    #[ignore = "needs ssh-keygen"]
    fn nothing_of_it_is_for_others_and_nothing_is_told() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let place = dir.path().join("tls");
        let mut ca = Authority::open(&place, NOW).expect("made");
        ca.issue_manager(NOW).expect("issued");
        let host = ca.issue("h01", MACHINE, &named(["h01"]), NOW).expect("issued");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&place), 0o700);
        for file in [CA_KEY, CA_CERT, REGISTER, "manager/clientkey.pem"] {
            assert_eq!(mode(&place.join(file)), 0o600, "{file}");
        }
        let mut names: Vec<_> = fs::read_dir(&place)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, [CA_KEY, CA_CERT, "lock", MANAGER, REGISTER]);
        let told = format!("{host:?} {ca:?} {}", read(&place.join(REGISTER)).expect("read"));
        assert!(!told.contains("PRIVATE KEY") && host.key.contains("PRIVATE KEY"), "{told}");

        fs::remove_file(place.join(CA_KEY)).expect("removed");
        drop(ca);
        assert!(
            matches!(Authority::open(&place, NOW), Err(TrustError::Half(_))),
            "no second CA in its place"
        );
    }
}
