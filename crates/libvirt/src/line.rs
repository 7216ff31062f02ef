//! A socket of ours in front of another one. Cutting it ends every conversation through it at once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinHandle};

#[derive(Debug)]
pub(crate) struct Line {
    /// Ours alone (mode 0700): nobody else finds the socket.
    dir: TempDir,
    listening: JoinHandle<()>,
    talks: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Line {
    /// Must be called within a tokio runtime.
    pub(crate) fn to(target: PathBuf) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("dormouse-").tempdir()?;
        let listener = UnixListener::bind(dir.path().join("s"))?;
        let talks = Arc::new(Mutex::new(vec![]));
        let all = Arc::clone(&talks);
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let talk = tokio::spawn(carry(near, target.clone()));
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.retain(|talk: &AbortHandle| !talk.is_finished());
                all.push(talk.abort_handle());
            }
        });
        Ok(Self { dir, listening, talks })
    }

    /// The URI under which libvirt finds the qemu driver behind this line.
    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.dir.path().join("s").display())
    }

    pub(crate) fn cut(&self) {
        for talk in self.talks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            talk.abort();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

/// Both sockets close when this ends, however it ends.
async fn carry(mut near: UnixStream, target: impl AsRef<Path>) {
    match UnixStream::connect(target.as_ref()).await {
        Ok(mut far) => {
            // How a conversation ends is told by libvirt on its side.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
        Err(error) => {
            tracing::debug!(%error, target = %target.as_ref().display(), "libvirt's socket does not answer")
        }
    }
}
