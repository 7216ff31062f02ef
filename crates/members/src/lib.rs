//! An etcd of one's own for tests, on loopback: its members can be killed, frozen, slowed and set back. Ended with the
//! value, by id.
//!
//! It knows the program `etcd` and its HTTP pages for operators; it never speaks to it as dormouse does.

mod certificates;
mod ports;
mod relay;

pub use certificates::{Authority, Papers};
pub use relay::Relay;

use ports::Port;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than an election takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often other ports are tried before it is no matter of ports.
const TRIES: usize = 5;

/// All members of one etcd, in a folder that goes with them.
#[derive(Debug)]
pub struct Members {
    pub dir: TempDir,
    members: Vec<Member>,
    extra: Vec<String>,
    papers: Option<Papers>,
}

#[derive(Debug)]
struct Member {
    client: Port,
    peer: Port,
    /// Pages for operators, without TLS whatever the rest has.
    pages: Port,
    child: Option<Child>,
}

impl Member {
    fn new() -> Self {
        Self { client: Port::free(), peer: Port::free(), pages: Port::free(), child: None }
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            _ = child.kill();
            _ = child.wait();
        }
    }
}

impl Members {
    /// So many members that work together.
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// The same, with more arguments for each.
    #[must_use]
    pub fn start_with(count: usize, extra: &[&str]) -> Self {
        Self::begin(count, extra, None)
    }

    /// Members that are spoken to over TLS alone, and by those with a certificate of the same authority.
    #[must_use]
    pub fn start_tls(count: usize, papers: Papers) -> Self {
        Self::begin(count, &[], Some(papers))
    }

    fn begin(count: usize, extra: &[&str], papers: Option<Papers>) -> Self {
        let extra = extra.iter().map(|word| (*word).to_owned()).collect();
        let dir = TempDir::new().expect("a folder");
        let mut all = Self { dir, members: vec![], extra, papers };
        for _ in 0..TRIES {
            all.members = (0..count).map(|_| Member::new()).collect();
            (0..count).for_each(|at| all.spawn(at));
            if all.comes_up() {
                return all;
            }
            // Another program took a port between our look and theirs.
            all.members.clear();
            (0..count).for_each(|at| _ = std::fs::remove_dir_all(all.data(at)));
        }
        panic!("no free ports for {count} members of an etcd");
    }

    #[must_use]
    pub fn endpoint(&self, at: usize) -> String {
        let scheme = if self.papers.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port(at))
    }

    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|at| self.endpoint(at)).collect()
    }

    /// Where clients are heard.
    #[must_use]
    pub fn port(&self, at: usize) -> u16 {
        self.members[at].client.number()
    }

    /// Where a member keeps everything.
    #[must_use]
    pub fn data(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("m{at}"))
    }

    fn log(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("m{at}.log"))
    }

    /// Starts a member again, and does not wait for it.
    pub fn run(&mut self, at: usize) {
        let begun = Instant::now();
        loop {
            self.spawn(at);
            // Its port may be in use for a moment by one that asked for it while it was free.
            let settled = Instant::now() + Duration::from_secs(1);
            while Instant::now() < settled && !self.taken(at) {
                if answers(self.members[at].pages.number(), "/metrics").is_some() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            if !self.taken(at) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "the ports of member {at} are taken: {}", self.said(at));
        }
    }

    fn spawn(&mut self, at: usize) {
        self.members[at].end();
        let peer = |member: &Member| format!("http://127.0.0.1:{}", member.peer.number());
        let named = |(at, member)| format!("m{at}={}", peer(member));
        let cluster = self.members.iter().enumerate().map(named).collect::<Vec<_>>().join(",");
        let (own, client) = (peer(&self.members[at]), self.endpoint(at));
        let pages = format!("http://127.0.0.1:{}", self.members[at].pages.number());
        let mut command = Command::new("etcd");
        command
            .args(["--name", &format!("m{at}"), "--initial-cluster", &cluster])
            .arg("--data-dir")
            .arg(self.data(at))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &own, "--initial-advertise-peer-urls", &own])
            .args(["--listen-metrics-urls", &pages])
            .args(&self.extra);
        if let Some(papers) = &self.papers {
            command.arg("--client-cert-auth");
            command.arg("--trusted-ca-file").arg(&papers.ca);
            command.arg("--cert-file").arg(&papers.certificate).arg("--key-file").arg(&papers.key);
        }
        let log = File::create(self.log(at)).expect("a log");
        let child =
            command.stdout(Stdio::null()).stderr(log).spawn().expect("etcd: `make deps-lab` brings it");
        self.members[at].child = Some(child);
    }

    fn said(&self, at: usize) -> String {
        std::fs::read_to_string(self.log(at)).unwrap_or_default()
    }

    /// It ended because somebody else has its port.
    fn taken(&mut self, at: usize) -> bool {
        let child = self.members[at].child.as_mut();
        let ended = child.is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some()));
        ended && self.said(at).contains("address already in use")
    }

    /// Waits until they work together; `false` when a port is taken.
    fn comes_up(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            if (0..self.members.len()).any(|at| self.taken(at)) {
                return false;
            }
            if self.works() {
                return true;
            }
            assert!(begun.elapsed() < PATIENCE, "etcd does not come up: {}", self.said(0));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every member that runs can read what most of them agreed upon.
    fn works(&self) -> bool {
        let mut running = self.members.iter().filter(|member| member.child.is_some());
        running.all(|member| {
            answers(member.pages.number(), "/health").is_some_and(|page| page.contains("\"health\":\"true\""))
        })
    }

    /// Until those that run work together.
    pub fn wait(&self) {
        let begun = Instant::now();
        while !self.works() {
            assert!(begun.elapsed() < PATIENCE, "etcd does not come back: {}", self.said(0));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The member that leads the others, if one says so.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.members.iter().position(|member| {
            answers(member.pages.number(), "/metrics")
                .is_some_and(|page| page.lines().any(|line| line == "etcd_server_is_leader 1"))
        })
    }

    /// How often each has seen their leader change since it was started; `None`: it does not run.
    #[must_use]
    pub fn elections(&self) -> Vec<Option<u64>> {
        let seen = |member: &Member| {
            let page = answers(member.pages.number(), "/metrics")?;
            let line =
                page.lines().find_map(|line| line.strip_prefix("etcd_server_leader_changes_seen_total "));
            line?.trim().parse::<u64>().ok()
        };
        self.members.iter().map(seen).collect()
    }

    /// Writes past every check, as somebody would who has the etcd's password. Words of plain text, without TLS.
    ///
    /// # Panics
    /// It is not taken.
    pub fn put(&self, key: &str, value: &str) {
        let body = format!("{{\"key\":\"{}\",\"value\":\"{}\"}}", base64(key), base64(value));
        let mut stream = TcpStream::connect(("127.0.0.1", self.port(0))).expect("reached");
        let length = body.len();
        write!(stream, "POST /v3/kv/put HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.contains(" 200 OK"), "{answer}");
    }

    /// As a power cut ends it.
    pub fn kill(&mut self, at: usize) {
        self.members[at].end();
    }

    /// `-STOP`, `-CONT`.
    ///
    /// # Panics
    /// It does not run.
    pub fn signal(&self, at: usize, signal: &str) {
        let id = self.members[at].child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill is there").success());
    }

    /// What a member has, as a folder for later.
    pub fn copy(&self, at: usize, to: &Path) {
        copy_folder(&self.data(at), to);
    }

    /// That folder in place of what a member has now. It must not run.
    ///
    /// # Panics
    /// The folder cannot be removed.
    pub fn set_back(&self, at: usize, from: &Path) {
        std::fs::remove_dir_all(self.data(at)).expect("removed");
        copy_folder(from, &self.data(at));
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Member::end);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp is there").success());
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]);
            out.push(if at <= three.len() { letter } else { '=' });
        }
    }
    out
}

/// One page for operators.
fn answers(port: u16, page: &str) -> Option<String> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {page} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
