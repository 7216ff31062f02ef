//! Certificates on a host, as an operator would try it: a pretend host in a folder, a stand-in for systemd, and the script
//! that ships. What the host is like goes in; what was said and what lies there comes out.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use dormouse_driver::{Local, fake};
use dormouse_libvirt::trust::{
    AllowList, Applied, Authority, Facts, Identity, Listed, Visit, VisitError, Whose, named, with_list,
    without_list,
};
use dormouse_model::Millis;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;
use uuid::Uuid;

const NOW: i64 = 1_795_000_000;
const CONF: &str = "# as Debian brings it\nhost_uuid = \"22222222-3333-4444-5555-666666666666\"\n";

/// Units are files; TLS is listened to while the socket is there and libvirtd runs on a configuration that it likes.
const SYSTEMCTL: &str = r#"
verb=$1; shift; [ "$1" = --quiet ] && shift
units=$DORMOUSE_ROOT/units
case $verb in is-*) ;; *) echo "$verb $1" >>"$DORMOUSE_ROOT/log" ;; esac
status=0
case $verb in
    is-active) [ -e "$units/$1" ] ;;
    is-enabled) [ -e "$DORMOUSE_ROOT/known/$1" ] && echo enabled ;;
    start) case $1 in *-tls.socket) [ -e "$units/libvirtd.service" ] && exit 1 ;; esac; : >"$units/$1" ;;
    stop) rm -f "$units/$1" ;;
    restart) [ -e "$DORMOUSE_ROOT/broken" ] && exit 1; : >"$units/$1" ;;
esac || status=$?
: >"$DORMOUSE_ROOT/proc/net/tcp"
[ -e "$units/libvirtd-tls.socket" ] && echo ' 1: 00000000:4082 00000000:0000 0A 0' >"$DORMOUSE_ROOT/proc/net/tcp"
exit $status
"#;

struct Pretend {
    root: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Pretend {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let host = Self { root: TempDir::new().unwrap(), runtime };
        for unit in ["units/libvirtd.service", "units/libvirtd.socket", "known/libvirtd-tls.socket"] {
            host.put(unit, "");
        }
        host.put("etc/libvirt/libvirtd.conf", CONF);
        host.put("etc/libvirt/qemu.conf", "#group = \"nobody\"\ngroup = \"root\"\n");
        host.put("proc/net/tcp", "");
        host.put("bin/systemctl", &format!("#!/bin/sh{SYSTEMCTL}"));
        fs::set_permissions(host.path("bin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What libvirt has of configuration and certificates.
    fn files(&self) -> BTreeMap<String, String> {
        fn below(dir: &Path, root: &Path, all: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    below(&path, root, all);
                } else {
                    let name = path.strip_prefix(root).unwrap().display().to_string();
                    all.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut all = BTreeMap::new();
        below(&self.path("etc"), &self.path("etc"), &mut all);
        all
    }

    fn talk<T>(&self, what: impl AsyncFnOnce(Visit) -> T) -> T {
        let root = self.root.path().display().to_string();
        let env = vec![("DORMOUSE_PATH".into(), format!("{root}/bin")), ("DORMOUSE_ROOT".into(), root)];
        let local = Local { shell: vec!["sh".into()], env };
        let answer = self.runtime.block_on(async {
            what(Visit::open(&local, &fake::host("h01"), Millis::from_secs(20)).await.unwrap()).await
        });
        self.wait_for_the_end();
        answer
    }

    /// The script tidies up after its input has ended.
    fn wait_for_the_end(&self) {
        let began = std::time::Instant::now();
        let at_work = || {
            let entries = fs::read_dir(self.path("etc/pki")).into_iter().flatten();
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(".dormouse-"))
        };
        while at_work() {
            assert!(began.elapsed().as_secs() < 20, "it never tidied up");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn facts(&self) -> Facts {
        self.talk(async |mut visit| visit.facts().await.unwrap())
    }

    /// Certificates and a list, and whether they are to stay.
    fn equip(
        &self,
        identity: Option<&Identity>,
        ca: &str,
        list: &AllowList,
        keep: bool,
    ) -> Result<Applied, VisitError> {
        self.talk(async |mut visit| {
            let facts = visit.facts().await?;
            let conf = with_list(&facts.conf, list).unwrap();
            let applied = visit.apply(&facts, identity.map(|one| (one, ca)), (&conf, list.number)).await?;
            if keep {
                visit.keep().await?;
            }
            Ok(applied)
        })
    }

    fn withdraw(&self) -> Result<Applied, VisitError> {
        self.talk(async |mut visit| {
            let facts = visit.facts().await?;
            let applied = visit.withdraw(&facts, &without_list(&facts.conf).unwrap()).await?;
            visit.keep().await?;
            Ok(applied)
        })
    }
}

#[derive(Clone)]
struct Ca {
    ca: String,
    identity: Identity,
    list: AllowList,
}

/// One for all tests: keys take their time.
fn ca() -> Ca {
    static MADE: OnceLock<Ca> = OnceLock::new();
    MADE.get_or_init(new_ca).clone()
}

fn new_ca() -> Ca {
    let dir = TempDir::new().unwrap();
    let mut ca = Authority::open(&dir.path().join("tls"), NOW).unwrap();
    let identity = ca.issue("h01", Uuid::from_u128(1), &named(["h01", "10.0.0.1"]), NOW).unwrap();
    Ca { ca: ca.certificate().to_owned(), identity, list: ca.list() }
}

#[test]
#[ignore = "needs ssh-keygen"]
fn a_host_is_given_certificates_and_they_are_taken_away_again() {
    let host = Pretend::new();
    let before = host.files();
    let found = host.facts();
    assert_eq!((found.daemon.as_str(), found.conf.as_str(), found.moving), ("libvirtd", CONF, false));
    let tls = found.tls.unwrap();
    assert_eq!((tls.listens, tls.whose, tls.listed), (false, Whose::Nobodys, Listed::Everyone));
    assert_eq!(host.files(), before, "a look changes nothing");

    let Ca { ca, identity, list } = ca();
    let applied = host.equip(Some(&identity), &ca, &list, true).unwrap();
    assert_eq!(applied.opened.as_deref(), Some("libvirtd-tls.socket"));
    assert_eq!(applied.kept, ["/etc/libvirt/libvirtd.conf.dormouse-old"], "{applied:?}");
    assert_eq!(host.read("etc/pki/CA/cacert.pem"), ca);
    assert_eq!(host.read("etc/pki/libvirt/servercert.pem"), identity.certificate);
    assert_eq!(without_list(&host.read("etc/libvirt/libvirtd.conf")).as_deref(), Ok(CONF));
    let mode = |name: &str| fs::metadata(host.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("etc/pki/libvirt/private/serverkey.pem"), 0o600);
    assert_eq!(mode("etc/pki/qemu/server-key.pem"), 0o640);
    assert_eq!(mode("etc/pki/CA/cacert.pem"), 0o644);
    assert_eq!(mode("etc/pki/CA"), 0o755);
    let log = host.read("log");
    assert_eq!(
        log.lines().collect::<Vec<_>>(),
        [
            "enable libvirtd-tls.socket",
            "stop libvirtd.service",
            "start libvirtd-tls.socket",
            "restart libvirtd.service"
        ]
    );
    let tls = host.facts().tls.unwrap();
    assert_eq!((tls.listens, tls.listed), (true, Listed::Ours(1)));
    assert_eq!(tls.whose, Whose::Ours { since: 1, ends_s: identity.member.ends_s });

    // The list alone grows: certificates stay, libvirt is restarted, its socket is left alone.
    let longer = AllowList { number: 2, names: vec![list.names[0].clone(), "h02-0000000000000002".into()] };
    assert_eq!(host.equip(None, &ca, &longer, true).unwrap(), Applied::default());
    assert!(host.read("etc/libvirt/libvirtd.conf").contains("    \"CN=h02-0000000000000002\",\n"));
    let tls = host.facts().tls.unwrap();
    assert_eq!(
        (tls.whose, tls.listed),
        (Whose::Ours { since: 1, ends_s: identity.member.ends_s }, Listed::Ours(2))
    );
    assert_eq!(host.read("log").lines().skip(4).collect::<Vec<_>>(), ["restart libvirtd.service"]);

    // Somebody puts another certificate in its place: it is ours no more, whatever the note says.
    host.put("etc/pki/libvirt/servercert.pem", "another");
    assert_eq!(host.facts().tls.unwrap().whose, Whose::Others);
    host.put("etc/pki/libvirt/servercert.pem", &identity.certificate);

    host.withdraw().unwrap();
    assert_eq!(host.files(), before, "as it was");
    assert!(!host.path("units/libvirtd-tls.socket").exists() && host.path("units/libvirtd.service").exists());
}

#[test]
#[ignore = "needs ssh-keygen"]
fn what_lay_there_is_kept_and_comes_back() {
    let host = Pretend::new();
    for name in
        ["CA/cacert.pem", "libvirt/servercert.pem", "libvirt/clientcert.pem", "libvirt/private/serverkey.pem"]
    {
        host.put(&format!("etc/pki/{name}"), &format!("the admin's {name}\n"));
    }
    host.put("etc/libvirt/libvirtd.conf", &format!("{CONF}tls_allowed_dn_list = [\"CN=friend\"]\n"));
    let before = host.files();
    let facts = host.facts();
    let tls = facts.tls.unwrap();
    assert_eq!((tls.whose, tls.listed), (Whose::Others, Listed::Others));
    assert_eq!(facts.ca.as_deref(), Some("the admin's CA/cacert.pem\n"));
    let Ca { ca, identity, list } = ca();
    let applied = host.equip(Some(&identity), &ca, &list, true).unwrap();
    assert_eq!(applied.kept.len(), 5, "{applied:?}");
    assert_eq!(host.read("etc/pki/CA/cacert.pem.dormouse-old"), "the admin's CA/cacert.pem\n");
    // A second time our own files are no reason for a copy.
    assert_eq!(host.equip(Some(&identity), &ca, &list, true).unwrap().kept, [""; 0]);
    let applied = host.withdraw().unwrap();
    assert_eq!(applied.restored.len(), 4, "{applied:?}");
    assert_eq!(host.files(), before);
}

#[test]
#[ignore = "needs ssh-keygen"]
fn whatever_goes_wrong_the_host_is_as_it_was() {
    let Ca { ca, identity, list } = ca();
    let refused = |host: &Pretend| match host.equip(Some(&identity), &ca, &list, true) {
        Err(VisitError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };

    let host = Pretend::new();
    let before = host.files();
    host.equip(Some(&identity), &ca, &list, false).unwrap();
    assert_eq!(kept_aside(&host), before, "the conversation broke off before `keep`");
    assert!(!host.path("units/libvirtd-tls.socket").exists());

    let host = Pretend::new();
    host.put("broken", "");
    assert_eq!(refused(&host), "libvirtd takes no TLS connections with it");
    assert_eq!(kept_aside(&host), before);

    let host = Pretend::new();
    host.put("run/libvirt/qemu/pc01.xml", "<job type='none' async='migration out' phase='perform3'/>");
    assert_eq!(refused(&host), "a VM is being moved there");
    assert_eq!(host.files(), before);
    assert!(!host.path("log").exists(), "libvirt went on");

    let host = Pretend::new();
    let answer = host.talk(async |mut visit| {
        let facts = visit.facts().await.unwrap();
        host.put("etc/libvirt/libvirtd.conf", "max_clients = 7\n");
        let conf = with_list(&facts.conf, &list).unwrap();
        visit.apply(&facts, Some((&identity, &ca)), (&conf, 1)).await
    });
    assert!(matches!(answer, Err(VisitError::Refused(why)) if why.contains("was changed")));
    assert_eq!(host.read("etc/libvirt/libvirtd.conf"), "max_clients = 7\n");
}

/// Without the copies that are kept for good, and folders that are empty.
fn kept_aside(host: &Pretend) -> BTreeMap<String, String> {
    host.files().into_iter().filter(|(name, _)| !name.ends_with(".dormouse-old")).collect()
}

#[test]
#[ignore = "needs ssh-keygen"]
fn keys_are_in_no_argument_and_no_message() {
    let host = Pretend::new();
    let Ca { ca, identity, list } = ca();
    // Whoever is started writes down how it was called.
    for tool in ["base64", "sha256sum", "cat", "mv", "cp", "chmod", "chgrp", "sed", "grep", "sync", "mktemp"]
    {
        let real = ["/usr/bin", "/bin"]
            .iter()
            .map(|dir| format!("{dir}/{tool}"))
            .find(|path| Path::new(path).exists());
        let script =
            format!("#!/bin/sh\necho \"$0 $*\" >>\"$DORMOUSE_ROOT/argv\"\nexec {} \"$@\"\n", real.unwrap());
        host.put(&format!("bin/{tool}"), &script);
        fs::set_permissions(host.path(&format!("bin/{tool}")), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let applied = host.equip(Some(&identity), &ca, &list, true).unwrap();
    let key = host.read("etc/pki/libvirt/private/clientkey.pem");
    let secret: Vec<&str> = key.lines().filter(|line| !line.starts_with("---")).collect();
    let told = format!("{}{applied:?}{identity:?}", host.read("argv"));
    assert!(secret.len() > 10 && told.contains("base64 -d"));
    assert!(secret.iter().all(|line| !told.contains(line)), "{told}");
}
