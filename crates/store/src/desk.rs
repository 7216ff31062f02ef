//! The one thread that owns the database.

use dormouse_driver::StoreError;
use rusqlite::Connection;
use std::fmt;
use std::thread;
use tokio::sync::{mpsc, oneshot};

/// The database, opened twice: a commit through `sure` is on the disk when it returns, one through `soon` may be lost
/// in a power cut. Both live on one thread and never wait for each other.
pub(crate) struct Db {
    pub(crate) sure: Connection,
    pub(crate) soon: Connection,
}

type Job = Box<dyn FnOnce(&mut Db) + Send>;

/// Where work for the thread is handed in. Bounded: whoever brings more waits.
#[derive(Clone)]
pub(crate) struct Desk {
    jobs: mpsc::Sender<Job>,
}

impl Desk {
    pub(crate) fn open(mut db: Db) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(64);
        thread::Builder::new().name("store".to_owned()).spawn(move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut db);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Does it after everything that was handed in before. A caller that goes away does not stop it.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unknown("its thread has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |db| drop(reply.send(work(db))));
        self.jobs.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}
