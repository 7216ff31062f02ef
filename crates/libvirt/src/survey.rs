//! What a host needs beforehand, looked at once for a person: certificates, ports, cards, folders. The daemon does not need
//! it; what it acts by is in the probe's answer. It judges nothing.

use crate::Libvirt;
use dormouse_driver::{Remote as _, Script, with_checks};
use dormouse_model::{HostSpec, Millis, ProbeError};
use std::time::Duration;
use tokio::time::timeout;

const SURVEY: Script = Script { name: "survey", text: with_checks!("survey.sh") };

/// What the host said, as far as it did. Texts are untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Who we are there; 0 is root.
    pub user: Option<u32>,
    /// Something listens on libvirt's TLS port.
    pub tls: Option<bool>,
    /// `ca`, `server`, `client`, each `ok`, `ends` or `missing`.
    pub certificates: Vec<(String, String)>,
    /// libvirt's lock manager; `None`: none is set.
    pub lock: Option<String>,
    /// A number that is the same for the same features, and the model's name.
    pub processor: Option<(String, String)>,
    pub cards: Vec<Card>,
    /// libvirt-guests is enabled; what it does at boot and at shutdown.
    pub guests: Option<(bool, String, String)>,
    /// A guard that was killed left libvirt or logins closed.
    pub doors_closed: bool,
    /// Free in /var.
    pub var_free_kib: Option<u64>,
    /// Programs that are not there.
    pub without: Vec<String>,
    /// One for each shared folder that could be looked at, by its place in the settings.
    pub folders: Vec<Folder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub name: String,
    /// Letters as in ethtool(8); `None`: it does not say.
    pub can_wake: Option<String>,
    pub wakes: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub place: usize,
    /// Its number in its file system: two of one folder are equal.
    pub number: u64,
    pub free_kib: u64,
    /// Kind and device of the mount; `-`: it lies inside one.
    pub source: String,
}

impl Libvirt {
    /// One survey over a connection that exists or is made.
    pub async fn survey(&self, host: &HostSpec, deadline: Millis) -> Result<Survey, ProbeError> {
        let survey = async {
            let lost =
                |error: std::io::Error| ProbeError::Unreachable(format!("the connection broke: {error}"));
            let mut channel = self.links().open(host, SURVEY, &[], deadline).await?;
            for path in &self.settings.shared {
                channel.say(&format!("path {path}")).await.map_err(lost)?;
            }
            channel.say("look").await.map_err(lost)?;
            let mut survey = Survey::default();
            loop {
                match channel.hear().await.map_err(lost)? {
                    Some(line) if line == "end" => return Ok(survey),
                    Some(line) => survey.line(&line).map_err(ProbeError::Malformed)?,
                    None => {
                        return Err(ProbeError::Unreachable("it ended in the middle of its answer".into()));
                    }
                }
            }
        };
        timeout(Duration::from_millis(deadline.0), survey).await.unwrap_or(Err(ProbeError::Timeout(deadline)))
    }
}

/// More of anything is cut.
const LIST_MAX: usize = 64;

impl Survey {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        self.read(word, rest)
            .ok_or_else(|| format!("{word} cannot be {:?}", rest.chars().take(80).collect::<String>()))
    }

    fn read(&mut self, word: &str, rest: &str) -> Option<()> {
        let told = |text: &str| (text != "-").then(|| text.to_owned());
        match word {
            "user" => self.user = Some(rest.parse().ok()?),
            "tls" => self.tls = Some(yes_no(rest)?),
            "certificate" => {
                let (name, state) = rest.split_once(' ')?;
                let known = matches!(state, "ok" | "ends" | "missing");
                self.certificates.push(known.then(|| (name.to_owned(), state.to_owned()))?);
            }
            "lock" => self.lock = told(rest),
            "processor" => {
                let (features, model) = rest.split_once(' ')?;
                self.processor = Some((features.to_owned(), model.to_owned()));
            }
            "card" => {
                let mut words = rest.splitn(3, ' ');
                let (name, can, set) = (words.next()?, words.next()?, words.next()?);
                self.cards.push(Card { name: name.to_owned(), can_wake: told(can), wakes: told(set) });
            }
            "guests" => {
                let mut words = rest.splitn(3, ' ');
                let (on, boot, down) = (words.next()?, words.next()?, words.next()?);
                self.guests = Some((on != "no", boot.to_owned(), down.to_owned()));
            }
            "doors" => self.doors_closed = rest == "closed",
            "var" => self.var_free_kib = Some(rest.parse().ok().filter(|kib| *kib < 1 << 50)?),
            "without" => self.without.push(rest.to_owned()),
            "folder" => {
                let mut words = rest.splitn(4, ' ');
                self.folders.push(Folder {
                    place: words.next()?.parse().ok()?,
                    number: words.next()?.parse().ok()?,
                    free_kib: words.next()?.parse().ok().filter(|kib| *kib < 1 << 50)?,
                    source: words.next()?.to_owned(),
                });
            }
            _ => return None,
        }
        let lists = [self.certificates.len(), self.cards.len(), self.without.len(), self.folders.len()];
        lists.into_iter().all(|len| len <= LIST_MAX).then_some(())
    }
}

fn yes_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_driver::{Local, fake};

    #[test]
    fn an_answer_is_read_strictly() {
        let read = |text: &str| {
            let mut survey = Survey::default();
            text.lines().try_for_each(|line| survey.line(line)).map(|()| survey)
        };
        let good = "user 0\ntls yes\ncertificate ca ends\nlock -\nprocessor 4242 Xeon (R)\ncard enp1s0 pumbg d\n\
                    guests enabled ignore shutdown\ndoors open\nvar 1000\nwithout ethtool\nfolder 0 2 77 nfs4:nas:/srv";
        let survey = read(good).expect("reads");
        assert_eq!((survey.user, survey.tls, survey.lock), (Some(0), Some(true), None));
        assert_eq!(survey.cards[0].wakes.as_deref(), Some("d"));
        assert_eq!(survey.guests, Some((true, "ignore".into(), "shutdown".into())));
        assert_eq!((survey.folders[0].number, survey.folders[0].free_kib), (2, 77));
        for bad in
            ["user -1", "tls perhaps", "certificate ca", "card x", "folder 0 a 1 x", "var 1e9", "reboot now"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&"without x\n".repeat(LIST_MAX + 1)).is_err());
    }

    /// The script as it ships, on a pretend host in a folder.
    #[test]
    fn the_script_says_what_is_there() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        put("proc/cpuinfo", "processor : 0\nmodel name : Old Box\nflags : sse2 avx\n");
        put("proc/self/mounts", "");
        put("proc/net/tcp", "  sl  local_address\n   0: 00000000:4082 00000000:0000 0A 0 0\n");
        put("etc/libvirt/qemu.conf", "#lock_manager = \"sanlock\"\nlock_manager = \"lockd\"\n");
        put("etc/default/libvirt-guests", "ON_BOOT=ignore\n#ON_SHUTDOWN=suspend\nON_SHUTDOWN=shutdown\n");
        put("run/dormouse-guard/doors", "");
        put("var/x", "");
        let root = root.path().display().to_string();
        let local = Local { env: vec![("DORMOUSE_ROOT".into(), root)], ..Local::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let survey = runtime.block_on(async {
            let mut channel =
                local.open(&fake::host("a"), SURVEY, &[], Millis::from_secs(10)).await.expect("opens");
            channel.say("look").await.expect("said");
            let mut survey = Survey::default();
            while let Some(line) = channel.hear().await.expect("heard").filter(|line| line != "end") {
                survey.line(&line).expect("one of its lines");
            }
            survey
        });
        assert_eq!((survey.tls, survey.lock.as_deref()), (Some(true), Some("lockd")));
        assert_eq!(survey.processor.map(|(_, model)| model).as_deref(), Some("Old Box"));
        assert_eq!(
            survey.guests.map(|(_, boot, down)| (boot, down)),
            Some(("ignore".into(), "shutdown".into()))
        );
        assert!(survey.doors_closed && survey.certificates.iter().all(|(_, state)| state == "missing"));
    }
}
