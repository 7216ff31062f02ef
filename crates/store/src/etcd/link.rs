//! Calls to the members: each may arrive twice, and each is over by its deadline.

use super::EtcdSettings;
use dormouse_driver::StoreError;
use etcd_client::{
    Certificate, Client, ConnectOptions, Error, GetOptions, GetResponse, Identity, TlsOptions, Txn,
    TxnResponse,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// After so long without an answer the next member is asked as well.
const HEDGE: Duration = Duration::from_millis(400);
/// A member that said no is asked again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// A call is over after this.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub(super) struct Link {
    members: Arc<[Client]>,
    /// The member that answered last.
    first: Arc<AtomicUsize>,
    /// Members are spoken to over TLS.
    tls: bool,
}

/// Why a call brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The members say no, and would again.
    Refused(String),
    /// Nobody answered in time: it may have happened.
    Silence(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) => Self::NotWritten(format!("etcd: {why}")),
            Failure::Silence(why) => Self::Unknown(format!("etcd: {why}")),
        }
    }
}

impl Link {
    /// Connections are made when they are needed; a member that is away now may come later.
    pub(super) async fn to(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let bad = |why: String| StoreError::NotWritten(why);
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| bad(format!("cannot read {}: {error}", path.display())))
        };
        let mut options = ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(2))
            .with_keep_alive(Duration::from_secs(2), Duration::from_secs(2))
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        let tls = settings.ca.is_some() || settings.identity.is_some();
        if tls {
            let mut shown = TlsOptions::new();
            if let Some(ca) = &settings.ca {
                shown = shown.ca_certificate(Certificate::from_pem(read(ca)?));
            }
            if let Some((certificate, key)) = &settings.identity {
                shown = shown.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            options = options.with_tls(shown);
        }
        let mut members = vec![];
        for endpoint in &settings.endpoints {
            let client = Client::connect([endpoint], Some(options.clone()))
                .await
                .map_err(|error| bad(format!("etcd at {endpoint}: {}", words(&error, tls))))?;
            members.push(client);
        }
        if members.is_empty() {
            return Err(bad("no endpoint of an etcd is given".to_owned()));
        }
        Ok(Self { members: members.into(), first: Arc::new(AtomicUsize::new(0)), tls })
    }

    /// The first answer of any member, asked one after the other and in the end all at once.
    pub(super) async fn call<T, F>(&self, patience: Duration, ask: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let end = Instant::now() + patience;
        let count = self.members.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut asked = JoinSet::new();
        let mut turn = 0;
        let mut last = "no member answered in time".to_owned();
        loop {
            if asked.len() < count {
                let at = (first + turn) % count;
                turn += 1;
                let call = ask(self.members[at].clone());
                asked.spawn(async move { (at, call.await) });
            }
            match timeout_at(end.min(Instant::now() + HEDGE), asked.join_next()).await {
                Ok(Some(Ok((at, Ok(answer))))) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Some(Ok((_, Err(error))))) => {
                    if let Some(why) = refusal(&error) {
                        return Err(Failure::Refused(why));
                    }
                    last = words(&error, self.tls);
                    if turn >= count {
                        tokio::time::sleep_until(end.min(Instant::now() + AGAIN)).await;
                    }
                }
                Ok(Some(Err(error))) => last = error.to_string(),
                Ok(None) | Err(_) => {}
            }
            if Instant::now() >= end {
                return Err(Failure::Silence(last));
            }
        }
    }

    pub(super) async fn txn(&self, txn: Txn) -> Result<TxnResponse, Failure> {
        self.call(PATIENCE, |client| {
            let txn = txn.clone();
            async move { client.kv_client().txn(txn).await }
        })
        .await
    }

    pub(super) async fn get(&self, key: &str, options: Option<GetOptions>) -> Result<GetResponse, Failure> {
        self.call(PATIENCE, |client| {
            let (key, options) = (key.to_owned(), options.clone());
            async move { client.kv_client().max_decoding_message_size(64 << 20).get(key, options).await }
        })
        .await
    }
}

/// An error with all its causes, and what it means where that is not plain.
fn words(error: &dyn std::error::Error, tls: bool) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_words = next.to_string();
        if !words.contains(&next_words) {
            words = format!("{words}: {next_words}");
        }
        cause = next.source();
    }
    // Our side of TLS names what it refuses. The other side closes the connection, and its alert is not always heard: a word of
    // ours that was on its way meets a pipe without an end.
    let closed = ["fatal alert", "connection closed"].iter().any(|sign| words.contains(sign))
        || tls && ["broken pipe", "connection reset"].iter().any(|sign| words.to_lowercase().contains(sign));
    let meaning = if words.contains("invalid peer certificate") {
        "its certificate is not vouched for by `etcd.ca`"
    } else if closed {
        "it closed the connection, as a member does that wants a certificate it knows (`etcd.certificate`, `etcd.key`)"
    } else if words.contains("failed to parse private key") {
        "`etcd.key` is no key that we can use"
    } else {
        return words;
    };
    format!("{meaning}: {words}")
}

/// What no other member would answer differently, in etcd's words.
fn refusal(error: &Error) -> Option<String> {
    match error {
        Error::GRpcStatus(status) => {
            // Cancelled, unknown, deadline, aborted, internal, unavailable: another member, or a later moment, may do.
            let passing = matches!(i32::from(status.code()), 1 | 2 | 4 | 10 | 13 | 14);
            (!passing).then(|| status.message().to_owned())
        }
        Error::LeaseKeepAliveError(why) => Some(why.clone()),
        Error::InvalidArgs(why) => Some(why.clone()),
        _ => None,
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("members", &self.members.len()).finish()
    }
}
