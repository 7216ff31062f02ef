//! One conversation with a host about its certificates: what is there, and to put ours there or take them away.
//!
//! Decides nothing. What was put there goes back by itself unless [`keep`](Visit::keep) is said: a conversation that breaks
//! off leaves the host as it was. Keys travel on the script's standard input.

use super::{Identity, Tls};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dormouse_driver::{Channel, Remote, Script};
use dormouse_model::{HostSpec, Millis, ProbeError};
use std::time::Duration;

const TRUST: Script = Script {
    name: "trust",
    text: concat!(
        include_str!("../../../driver/src/checks.sh"),
        include_str!("../tls.sh"),
        include_str!("trust.sh")
    ),
};

/// A restart of libvirt is part of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What base64(1) writes.
const LINE: usize = 76;
/// More of anything is cut.
const TOLD_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    #[error(transparent)]
    Host(#[from] ProbeError),
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
    #[error("it did not answer within 60 s")]
    Late,
    #[error("it answered what was not asked")]
    Odd,
    /// Everything there is as it was.
    #[error("{0}")]
    Refused(String),
}

/// What is there.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Untrusted text.
    pub hostname: String,
    /// `libvirtd`, or `virtproxyd` where libvirt is split up.
    pub daemon: String,
    /// The configuration of that daemon.
    pub conf: String,
    /// The CA's certificate there.
    pub ca: Option<String>,
    pub tls: Option<Tls>,
    /// A VM is being moved there or from there.
    pub moving: bool,
    sum: String,
}

/// What was done beside what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Copies of what lay there before.
    pub kept: Vec<String>,
    /// What came back from such copies.
    pub restored: Vec<String>,
    /// The socket that is open from now on.
    pub opened: Option<String>,
}

#[derive(Debug)]
pub struct Visit {
    channel: Channel,
}

impl Visit {
    pub async fn open(remote: &dyn Remote, host: &HostSpec, deadline: Millis) -> Result<Self, VisitError> {
        Ok(Self { channel: remote.open(host, TRUST, &[], deadline).await? })
    }

    pub async fn facts(&mut self) -> Result<Facts, VisitError> {
        let lines = self.ask("facts").await?;
        let mut facts = Facts {
            hostname: String::new(),
            daemon: String::new(),
            conf: String::new(),
            ca: None,
            tls: None,
            moving: true,
            sum: String::new(),
        };
        let mut lines = lines.iter();
        while let Some(line) = lines.next() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("host", name) => facts.hostname = name.to_owned(),
                ("daemon", name @ ("libvirtd" | "virtproxyd")) => facts.daemon = name.to_owned(),
                ("sum", sum) if sum.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    facts.sum = sum.to_owned()
                }
                ("tls", said) => facts.tls = Some(Tls::read(said).ok_or(VisitError::Odd)?),
                ("moving", said) => facts.moving = said != "no",
                ("begin", name @ ("ca" | "conf")) => {
                    let file: String =
                        lines.by_ref().take_while(|line| *line != "stop").map(String::as_str).collect();
                    let bytes = BASE64.decode(file).map_err(|_| VisitError::Odd)?;
                    let text = String::from_utf8(bytes).map_err(|_| VisitError::Odd)?;
                    if name == "ca" { facts.ca = Some(text) } else { facts.conf = text }
                }
                _ => return Err(VisitError::Odd),
            }
        }
        if facts.daemon.is_empty() { Err(VisitError::Odd) } else { Ok(facts) }
    }

    /// Puts certificates there, if there are new ones, and the configuration with the list of this number; restarts
    /// libvirt, whose VMs do not notice.
    pub async fn apply(
        &mut self,
        facts: &Facts,
        identity: Option<(&Identity, &str)>,
        (conf, list): (&str, u32),
    ) -> Result<Applied, VisitError> {
        let mut terms = "- -".to_owned();
        if let Some((identity, ca)) = identity {
            self.put("ca", ca).await?;
            self.put("cert", &identity.certificate).await?;
            self.put("key", &identity.key).await?;
            terms = format!("{} {}", identity.member.since, identity.member.ends_s);
        }
        self.put("conf", conf).await?;
        let sum = sum(facts);
        self.act(&format!("apply {sum} {list} {terms}")).await
    }

    /// Takes ours away and puts this configuration in place.
    pub async fn withdraw(&mut self, facts: &Facts, conf: &str) -> Result<Applied, VisitError> {
        self.put("conf", conf).await?;
        let sum = sum(facts);
        self.act(&format!("withdraw {sum}")).await
    }

    /// What was done stays.
    pub async fn keep(mut self) -> Result<(), VisitError> {
        self.ask("keep").await.map(drop)
    }

    async fn act(&mut self, order: &str) -> Result<Applied, VisitError> {
        let mut applied = Applied::default();
        let mut done = false;
        for line in self.ask(order).await? {
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("kept", path) => applied.kept.push(path.to_owned()),
                ("restored", path) => applied.restored.push(path.to_owned()),
                ("opened", unit) => applied.opened = Some(unit.to_owned()),
                ("failed", why) => return Err(VisitError::Refused(why.to_owned())),
                ("done", "") => done = true,
                _ => return Err(VisitError::Odd),
            }
            if applied.kept.len() + applied.restored.len() > TOLD_MAX {
                return Err(VisitError::Odd);
            }
        }
        if done { Ok(applied) } else { Err(VisitError::Odd) }
    }

    async fn put(&mut self, name: &str, text: &str) -> Result<(), VisitError> {
        let coded = BASE64.encode(text);
        let mut words = vec![format!("put {name}")];
        words.extend(coded.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line).into_owned()));
        words.push(".".to_owned());
        for word in words {
            self.channel.say(&word).await.map_err(VisitError::Broken)?;
        }
        Ok(())
    }

    /// The lines of an answer up to its `end`.
    async fn ask(&mut self, word: &str) -> Result<Vec<String>, VisitError> {
        let conversation = async {
            self.channel.say(word).await.map_err(VisitError::Broken)?;
            let mut lines = vec![];
            loop {
                match self.channel.hear().await.map_err(VisitError::Broken)? {
                    Some(line) if line == "end" => return Ok(lines),
                    Some(line) => lines.push(line),
                    None => {
                        let ended =
                            std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it ended in an answer");
                        return Err(VisitError::Broken(ended));
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, conversation).await.unwrap_or(Err(VisitError::Late))
    }
}

fn sum(facts: &Facts) -> &str {
    if facts.sum.is_empty() { "-" } else { &facts.sum }
}
