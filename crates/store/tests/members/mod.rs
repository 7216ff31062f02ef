//! An etcd of our own on loopback: its members can be killed, frozen, slowed and set back. Ended with the value, by id.
#![allow(dead_code, unreachable_pub, reason = "each user takes its part")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longer than an election takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Members {
    pub dir: TempDir,
    members: Vec<Member>,
    extra: Vec<String>,
}

struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

impl Members {
    pub fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    pub fn start_with(count: usize, extra: &[&str]) -> Self {
        let member = |_| Member { client: free_port(), peer: free_port(), child: None };
        let members = (0..count).map(member).collect();
        let extra = extra.iter().map(|word| (*word).to_owned()).collect();
        let mut all = Self { dir: TempDir::new().expect("a folder"), members, extra };
        (0..count).for_each(|at| all.run(at));
        all.wait();
        all
    }

    pub fn endpoint(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.members[at].client)
    }

    pub fn port(&self, at: usize) -> u16 {
        self.members[at].client
    }

    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|at| self.endpoint(at)).collect()
    }

    pub fn data(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("m{at}"))
    }

    /// Starts a member, or starts it again.
    pub fn run(&mut self, at: usize) {
        let peers: Vec<String> = (0..self.members.len())
            .map(|at| format!("m{at}=http://127.0.0.1:{}", self.members[at].peer))
            .collect();
        let peer = format!("http://127.0.0.1:{}", self.members[at].peer);
        let client = self.endpoint(at);
        let log = std::fs::File::create(self.dir.path().join(format!("m{at}.log"))).expect("a log");
        let child = Command::new("etcd")
            .args(["--name", &format!("m{at}"), "--initial-cluster", &peers.join(",")])
            .arg("--data-dir")
            .arg(self.data(at))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(&self.extra)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd is installed: `make deps-lab`");
        self.members[at].child = Some(child);
    }

    pub fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.members[at].child.take() {
            child.kill().expect("ours to end");
            child.wait().expect("it ends");
        }
    }

    pub fn signal(&self, at: usize, signal: &str) {
        let id = self.members[at].child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill is there").success());
    }

    /// Until a write goes through.
    pub fn wait(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let end = Instant::now() + PATIENCE;
        loop {
            let asked = runtime.block_on(async {
                let mut client = etcd_client::Client::connect(self.endpoints(), None).await?;
                tokio::time::timeout(Duration::from_secs(2), client.put("up", "", None))
                    .await
                    .map_err(|_| etcd_client::Error::Internal("late".to_owned()))??;
                Ok::<_, etcd_client::Error>(())
            });
            match asked {
                Ok(()) => return,
                Err(error) => assert!(Instant::now() < end, "etcd does not come up: {error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The member that leads the others.
    pub async fn leader(&self) -> Option<usize> {
        for at in 0..self.members.len() {
            let Ok(mut client) = etcd_client::Client::connect([self.endpoint(at)], None).await else {
                continue;
            };
            let status = tokio::time::timeout(Duration::from_secs(1), client.status()).await;
            if let Ok(Ok(status)) = status
                && status.header().is_some_and(|header| header.member_id() == status.leader())
            {
                return Some(at);
            }
        }
        None
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at);
        }
    }
}

pub fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp is there").success());
}

/// Hands everything on, each piece so many milliseconds late.
pub struct Relay {
    pub port: u16,
    pub late_ms: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("its number").port();
        let late_ms = Arc::new(AtomicU64::new(0));
        let late = Arc::clone(&late_ms);
        let task = tokio::spawn(async move {
            let mut pumps = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                pumps.spawn(pump(near_in, far_out, Arc::clone(&late)));
                pumps.spawn(pump(far_in, near_out, Arc::clone(&late)));
            }
        });
        Self { port: own, late_ms, task }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn late(&self, ms: u64) {
        self.late_ms.store(ms, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    late: Arc<AtomicU64>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(Duration::from_millis(late.load(Ordering::SeqCst))).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
