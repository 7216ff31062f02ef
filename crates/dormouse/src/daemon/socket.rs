//! The local socket through which the verbs reach the daemon: for the user that runs it and for root, nobody else.
//!
//! Everything is bounded: lines, connections, waiting. A slow or silent reader costs its own connection and nothing more.

use super::runner::Handle;
use super::wire::{Answer, Code, EVENTS_MAX, REQUEST_BYTES_MAX, Request, VERSION, Verb};
use dormouse_driver::Store;
use serde::Serialize;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const CONNECTIONS_MAX: usize = 64;
/// A connection on which nothing is asked for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// A reader that takes nothing for so long is gone.
const SLOW: Duration = Duration::from_secs(10);
/// Lines of the trail read at once while they are followed.
const BUNCH: usize = 500;

/// A socket with its name, not served yet.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: Arc<UnixListener>,
    path: PathBuf,
}

impl Listening {
    /// Takes the name. One that a dead daemon left behind is taken over, a living one's is not.
    pub(crate) async fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match UnixStream::connect(path).await {
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers there")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener: Arc::new(listener), path: path.to_owned() })
    }

    pub(crate) fn serve(self, handle: Handle, store: Arc<dyn Store>) -> Serving {
        let Self { listener, path } = self;
        let desk = Desk { handle, store, own: own_uid() };
        let task = tokio::spawn(accept(Arc::clone(&listener), desk));
        Serving { listener, path, task }
    }
}

impl Serving {
    /// The same socket for another loop: its name never goes away in between.
    pub(crate) fn again(mut self) -> Listening {
        self.task.abort();
        let (listener, path) = (Arc::clone(&self.listener), std::mem::take(&mut self.path));
        Listening { listener, path }
    }
}

/// A served socket. Dropping it ends the service and removes the name.
#[derive(Debug)]
pub(crate) struct Serving {
    listener: Arc<UnixListener>,
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
        if !self.path.as_os_str().is_empty() {
            _ = std::fs::remove_file(&self.path);
        }
    }
}

#[derive(Clone)]
struct Desk {
    handle: Handle,
    store: Arc<dyn Store>,
    own: Option<u32>,
}

async fn accept(listener: Arc<UnixListener>, desk: Desk) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file handles, most likely: others must close first.
                tracing::warn!("the control socket: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let desk = desk.clone();
                connections.spawn(async move {
                    let _place = place;
                    if let Err(error) = desk.talk(stream).await {
                        tracing::debug!("a connection to the control socket ended: {error}");
                    }
                });
            }
            Err(_) => drop(stream),
        }
    }
}

impl Desk {
    async fn talk(&self, stream: UnixStream) -> io::Result<()> {
        let uid = stream.peer_cred()?.uid();
        let (reader, mut writer) = stream.into_split();
        if uid != 0 && Some(uid) != self.own {
            let answer =
                Answer::error(Code::Refused, "only root and the user that runs the daemon may ask here");
            return send(&mut writer, &answer).await;
        }
        let by = name_of(uid);
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = vec![];
            let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX);
            let read = timeout(IDLE, (&mut reader).take(limit).read_until(b'\n', &mut line)).await??;
            if read == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') && read == REQUEST_BYTES_MAX {
                return send(&mut writer, &Answer::error(Code::Usage, "the request is too long")).await;
            }
            match request(&line) {
                Err(answer) => send(&mut writer, &answer).await?,
                Ok(Verb::Events { after, last, follow }) => {
                    self.events(&mut reader, &mut writer, after, last, follow).await?
                }
                Ok(verb) => send(&mut writer, &self.handle.ask(verb, by.clone()).await).await?,
            }
        }
    }

    /// One answer with what there is, then one line for each event to come.
    async fn events(
        &self,
        reader: &mut (impl AsyncBufReadExt + Unpin),
        writer: &mut (impl AsyncWriteExt + Unpin),
        after: Option<u64>,
        last: Option<usize>,
        follow: bool,
    ) -> io::Result<()> {
        let mut told = self.handle.told.clone();
        told.mark_unchanged();
        let limit = last.unwrap_or(100).min(EVENTS_MAX);
        let found = match after {
            Some(after) => self.store.events(after, last.unwrap_or(EVENTS_MAX).min(EVENTS_MAX)).await,
            None => self.store.last_events(limit).await,
        };
        let events = match found {
            Ok(events) => events,
            Err(error) => return send(writer, &Answer::error(Code::Failed, error.to_string())).await,
        };
        let mut seq = events.last().map_or(after.unwrap_or(0), |event| event.seq);
        if events.is_empty() && after.is_none() {
            seq = self
                .store
                .last_events(1)
                .await
                .ok()
                .and_then(|last| last.last().map(|event| event.seq))
                .unwrap_or(0);
        }
        send(writer, &Answer::data(&events)).await?;
        if !follow {
            return Ok(());
        }
        loop {
            let more = match self.store.events(seq, BUNCH).await {
                Ok(more) => more,
                Err(error) => return send(writer, &Answer::error(Code::Failed, error.to_string())).await,
            };
            for event in &more {
                send(writer, &Answer::data(event)).await?;
                seq = event.seq;
            }
            if more.is_empty() {
                // A reader that says something or leaves wants no more: its place is free for another.
                tokio::select! {
                    changed = told.changed() => if changed.is_err() { return Ok(()) },
                    _ = reader.fill_buf() => return Ok(()),
                }
            }
        }
    }
}

fn request(line: &[u8]) -> Result<Verb, Answer> {
    let refused =
        |error: serde_json::Error| Answer::error(Code::Usage, format!("this is not a request: {error}"));
    let value: serde_json::Value = serde_json::from_slice(line).map_err(refused)?;
    match value.get("v").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        version => {
            let spoken = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            let answer = Answer::error(
                Code::Usage,
                format!("the request has version {spoken}, and this daemon speaks {VERSION}"),
            );
            return Err(
                answer.hint("the program and the daemon are of different versions: restart the daemon")
            );
        }
    }
    serde_json::from_value::<Request>(value).map(|request| request.verb).map_err(refused)
}

async fn send(writer: &mut (impl AsyncWriteExt + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    timeout(SLOW, writer.write_all(&line)).await?
}

fn own_uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|meta| meta.uid())
}

/// Who asks, for the trail.
pub(crate) fn name_of(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_hostile::Mutator;

    fn corpus() -> Vec<Vec<u8>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/request");
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
    }

    #[test]
    fn whatever_is_asked_is_a_request_or_refused_in_a_line() {
        for line in corpus() {
            assert!(request(&line).is_ok(), "{}", String::from_utf8_lossy(&line));
        }
        let deep = [b"[".repeat(REQUEST_BYTES_MAX), br#"{"v":1,"verb":"#.to_vec()].map(|text| (text, true));
        let mutated = Mutator::new(4, corpus()).take(2_000).map(|text| (text, false));
        for (line, must_fail) in deep.into_iter().chain(mutated) {
            match request(&line) {
                Ok(_) => assert!(!must_fail),
                Err(answer) => {
                    let said = serde_json::to_string(&answer).expect("writes");
                    // What a terminal would obey is left to who shows it.
                    assert!(!said.contains('\n') && said.len() < 4 * REQUEST_BYTES_MAX, "{said}");
                }
            }
        }
    }
}
