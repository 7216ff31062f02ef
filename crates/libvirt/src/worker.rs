//! One blocking thread with one libvirt connection, and the means to end a call that hangs.
//!
//! The C library blocks and cannot be cancelled. So its connection runs through a socket of ours, behind which we
//! copy bytes to the real one; when a call misses its deadline we stop copying, the call fails at once, and the thread
//! goes on with a new connection. Nobody waits for a hung host but those who asked about that host.

use crate::ffi::{Connection, Error};
use crate::line::Line;
use dormouse_model::{Millis, ProbeError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Where libvirt is found.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A unix socket of a libvirtd with the qemu driver: its own, or the near end of an ssh forward.
    Socket(PathBuf),
    /// Any URI, without a socket of ours in between: libvirt's test driver, which cannot hang.
    Uri(String),
}

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    Libvirt(Error),
    /// The connection broke in the middle: what was asked for may have happened.
    #[error("the connection to libvirt broke: {0}")]
    Lost(Error),
    #[error("no connection to libvirt: {0}")]
    Connect(Error),
    #[error(transparent)]
    Host(ProbeError),
    #[error("libvirt did not answer within {0}")]
    Deadline(Millis),
}

type OnChange = Arc<dyn Fn() + Send + Sync>;
type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// Dropping it ends whatever call is under way.
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
    line: Option<Arc<Line>>,
    tickets: AtomicU64,
    /// The ticket of the job that runs.
    running: Arc<AtomicU64>,
}

/// What the thread holds.
struct Slot {
    uri: String,
    connection: Option<Connection>,
    line: Option<Arc<Line>>,
    on_change: Option<OnChange>,
}

impl Worker {
    /// `on_change` is called, on another thread, when a domain changes its state while a connection is open.
    pub(crate) fn start(name: &str, target: Target, on_change: Option<OnChange>) -> Result<Self, Error> {
        let (line, uri) = match target {
            Target::Socket(path) => {
                let line =
                    Line::to(path).map_err(|error| Error::ours(format!("no socket for libvirt: {error}")))?;
                let uri = line.uri();
                (Some(Arc::new(line)), uri)
            }
            Target::Uri(uri) => (None, uri),
        };
        let (jobs, queue) = mpsc::channel::<Job>();
        let mut slot = Slot { uri, connection: None, line: line.clone(), on_change };
        // The name shows in process lists: at most 15 bytes, and nothing but plain letters.
        let short: String = name.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        std::thread::Builder::new()
            .name(format!("lv-{short}"))
            .spawn(move || {
                for job in queue {
                    job(&mut slot);
                }
                slot.hang_up();
            })
            .map_err(|error| Error::ours(format!("no thread for libvirt: {error}")))?;
        Ok(Self { jobs, line, tickets: AtomicU64::new(1), running: Arc::new(AtomicU64::new(0)) })
    }

    /// Runs `work` on the thread, with a connection opened if there is none. Answers by the deadline.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        until: Instant,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, CallError> {
        let asked = Instant::now();
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let running = Arc::clone(&self.running);
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |slot| {
            // Whoever asked may have given up while the job before was hanging.
            if !tell.is_closed() {
                running.store(ticket, Ordering::SeqCst);
                let result = slot.run(work);
                running.store(0, Ordering::SeqCst);
                // Nobody waits any more: then nobody wants to know.
                let _ = tell.send(result);
            }
        });
        let gone = || CallError::Connect(Error::ours("the thread for this host ended"));
        self.jobs.send(job).map_err(|_| gone())?;
        match timeout_at(until, told).await {
            Ok(answer) => answer.map_err(|_| gone())?,
            Err(_) => {
                if self.running.load(Ordering::SeqCst) == ticket {
                    self.cut();
                }
                Err(CallError::Deadline(millis(asked.elapsed())))
            }
        }
    }

    /// Ends the call under way, if any; the next one opens a new connection.
    pub(crate) fn cut(&self) {
        if let Some(line) = &self.line {
            line.cut();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.cut();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Slot {
    fn run<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, CallError> {
        if self.connection.as_ref().is_some_and(|connection| !connection.is_alive()) {
            self.hang_up();
        }
        if self.connection.is_none() {
            let mut connection = Connection::open(&self.uri).map_err(CallError::Connect)?;
            if let Some(call) = self.on_change.clone() {
                // Without events changes are seen at the next look.
                if let Err(error) = connection.on_change(Box::new(move || call())) {
                    tracing::debug!(%error, "no events from this host");
                }
            }
            self.connection = Some(connection);
        }
        let connection = self.connection.as_ref().expect("opened above");
        match work(connection) {
            Ok(done) => Ok(done),
            Err(error) if connection.is_alive() => Err(CallError::Libvirt(error)),
            Err(error) => {
                self.hang_up();
                Err(CallError::Lost(error))
            }
        }
    }

    /// Closing politely is a call, too, and may hang: the line goes first.
    fn hang_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            if let Some(line) = &self.line {
                line.cut();
            }
            drop(connection);
        }
    }
}

pub(crate) fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
