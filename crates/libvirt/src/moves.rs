//! One live move from beginning to end: check both ends, start, watch, abort when it must be, look at both ends again.
//!
//! The result comes from what is seen afterwards and from nothing else: libvirt's own word only explains it.

use crate::ffi::{Connection, Error, MigrateFlags, Params};
use crate::line::Line;
use crate::ssh::{Destination, LOCAL};
use crate::trust::TlsWay;
use crate::worker::{CallError, Target, Worker, millis};
use crate::{Libvirt, vms, xml};
use dormouse_driver::{End, MoveRequest, Settlement};
use dormouse_model::{DomainState, HostSpec, Job, JobKind, Mib, Millis, Outcome, OutcomeError};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use uuid::Uuid;

/// Between two looks at the progress of a move.
const WATCH: Duration = Duration::from_millis(250);
/// Looks before and after a move, and orders to abort, are short calls.
const SHORT: Duration = Duration::from_secs(10);
/// After an abort the move's own call has this long to come back.
const GRACE: Duration = Duration::from_secs(20);

/// Why we ended a move ourselves.
type Ended = OutcomeError;

impl Libvirt {
    pub(crate) async fn carry_out(&self, request: MoveRequest<'_>) -> Outcome {
        let until = Instant::now() + Duration::from_millis(request.deadline.0);
        let by_us = match self.way(request.from, request.to) {
            TlsWay::Listed | TlsWay::Open => None,
            TlsWay::Managed { .. } => match timeout_at(until, self.by_us.lock()).await {
                Ok(turn) => Some(turn),
                Err(_) => return Outcome::Failed(OutcomeError::Deadline(request.deadline)),
            },
        };
        let worker = match self.prepare(&request).await {
            Ok(worker) => worker,
            Err(why) => return Outcome::Failed(OutcomeError::Driver(why.to_string())),
        };
        let (said, ended) = match by_us {
            None => {
                let call = self.peer_to_peer(&worker, &request, until);
                self.watch(call, &request, until).await
            }
            Some(_) => {
                let call = self.by_us(&worker, &request, until);
                self.watch(call, &request, until).await
            }
        };
        self.confirm(&request, said, ended).await
    }

    /// Refuses what must not even be tried, clears the way at the destination, and opens the connection that carries
    /// the move: one of its own, so that looks at the source go on.
    async fn prepare(&self, request: &MoveRequest<'_>) -> Result<Worker, CallError> {
        let short = Instant::now() + SHORT;
        let vm = request.vm;
        let shared = Arc::clone(&self.shared);
        let source = self.worker(request.from, short).await?;
        let destination = self.worker(request.to, short).await?;
        let persistent = source.call(short, move |connection| leaves(connection, vm, &shared)).await?;
        destination.call(short, move |connection| arrives(connection, vm, persistent)).await?;
        let (target, _) = self.target(request.from, short).await?;
        Worker::start(&request.from.name, target, None).map_err(CallError::Connect)
    }

    async fn peer_to_peer(
        &self,
        worker: &Worker,
        request: &MoveRequest<'_>,
        until: Instant,
    ) -> Result<(), CallError> {
        let (vm, encrypt) = (request.vm, self.settings.moves.encrypt);
        let host = bare_address(request.to)?;
        worker
            .call(until + GRACE, move |connection| {
                let domain =
                    connection.find(vm)?.ok_or_else(|| Error::ours("the source no longer has it"))?;
                domain.migrate_to(
                    &format!("qemu+tls://{host}/system"),
                    &stream_to(&host)?,
                    MigrateFlags::new(encrypt),
                )
            })
            .await
    }

    async fn by_us(
        &self,
        worker: &Worker,
        request: &MoveRequest<'_>,
        until: Instant,
    ) -> Result<(), CallError> {
        let (vm, encrypt) = (request.vm, self.settings.moves.encrypt);
        let host = bare_address(request.to)?;
        let (target, link) = self.target(request.to, until).await?;
        let (line, uri) = match target {
            Target::Uri(uri) => (None, uri),
            Target::Socket(path) => {
                let line = Line::to(path).map_err(|error| {
                    CallError::Connect(Error::ours(format!("no socket for libvirt: {error}")))
                })?;
                let uri = line.uri();
                (Some(line), uri)
            }
        };
        let result = worker
            .call(until + GRACE, move |connection| {
                let to = Connection::open(&uri)?;
                let domain =
                    connection.find(vm)?.ok_or_else(|| Error::ours("the source no longer has it"))?;
                domain.migrate_by_us(&to, &stream_to(&host)?, MigrateFlags::new(encrypt))
            })
            .await;
        drop((line, link));
        result
    }

    /// Waits for the call, tells progress, and ends the job when time is over or nothing moves any more.
    async fn watch(
        &self,
        call: impl Future<Output = Result<(), CallError>>,
        request: &MoveRequest<'_>,
        until: Instant,
    ) -> (Result<(), CallError>, Option<Ended>) {
        let mut call = pin!(call);
        let mut ticks = interval(WATCH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress = Progress::new(Instant::now());
        let patience = self.settings.moves.no_progress;
        let mut ended = None;
        loop {
            tokio::select! {
                biased;
                said = &mut call => return (said, ended),
                _ = ticks.tick() => {}
            }
            let now = Instant::now();
            if ended.is_some() {
                continue;
            }
            if now >= until {
                ended = Some(OutcomeError::Deadline(request.deadline));
            } else if progress.silence(now) > patience {
                ended = Some(OutcomeError::NoProgress(patience));
            }
            let look = async {
                if ended.is_some() {
                    self.end_job(request).await;
                } else if let Some(job) = self.progress(request, until).await {
                    progress.seen(&job, Instant::now());
                    if let Some(tell) = &request.progress {
                        tell.send_replace(Some(job));
                    }
                }
            };
            tokio::select! {
                biased;
                said = &mut call => return (said, ended),
                () = look => {}
            }
        }
    }

    async fn progress(&self, request: &MoveRequest<'_>, until: Instant) -> Option<Job> {
        let vm = request.vm;
        let short = until.min(Instant::now() + SHORT);
        let read = self.worker(request.from, short).await.ok()?;
        let numbers = read
            .call(short, move |connection| connection.find(vm)?.map(|domain| domain.job(false)).transpose())
            .await;
        let numbers = numbers.ok()??;
        // Not begun yet, or over already.
        let job = Some(vms::read_job(&numbers)).filter(|job| job.kind == JobKind::MigrationOut)?;
        if let Some(rate) = vms::dirty_rate(&numbers)
            && let Ok(mut before) = self.host(&request.to.name).before.try_lock()
        {
            before.learn_dirty(vm, rate);
        }
        Some(job)
    }

    async fn end_job(&self, request: &MoveRequest<'_>) {
        let vm = request.vm;
        let short = Instant::now() + SHORT;
        let abort = async {
            let worker = self.worker(request.from, short).await?;
            worker
                .call(short, move |connection| {
                    connection.find(vm)?.map_or(Ok(()), |domain| domain.abort_job())
                })
                .await
        };
        if let Err(error) = abort.await {
            tracing::warn!(%vm, from = request.from.name, %error, "a move cannot be aborted");
        }
    }

    /// What is there now, at both ends.
    async fn confirm(
        &self,
        request: &MoveRequest<'_>,
        said: Result<(), CallError>,
        ended: Option<Ended>,
    ) -> Outcome {
        let vm = request.vm;
        let short = || Instant::now() + SHORT;
        let settled = match self.set_right(vm, request.from, request.to, short()).await {
            Ok(settled) => settled,
            Err(error) => return Outcome::Unsure(error.to_string()),
        };
        // What was touched or could not be seen is looked at again, with time of its own: the first look may have used all of it.
        let (source, destination, settlement) = match settled.settlement {
            Settlement::DropSource
            | Settlement::ResumeSource
            | Settlement::DropDefinition
            | Settlement::Unseen => self.ends(vm, request.from, request.to, short()).await,
            seen => (settled.source, settled.destination, seen),
        };
        let why = said.as_ref().err().map(ToString::to_string);
        let lacks = match &said {
            Err(CallError::Libvirt(error)) => error.lack(),
            _ => None,
        };
        let seen = format!("source {source}, destination {destination}");
        match settlement {
            Settlement::Moved => Outcome::Done { downtime: self.downtime(vm, request.to, short()).await },
            // libvirt says success and the VM never left: nobody knows what it will do next.
            Settlement::Stayed if said.is_ok() => Outcome::Unsure(format!("reported as done, yet {seen}")),
            Settlement::Stayed => Outcome::Failed(ended.unwrap_or_else(|| {
                let why = why.unwrap_or_default();
                match lacks {
                    Some(lacks) => OutcomeError::Unfit { lacks, why },
                    None => OutcomeError::Driver(why),
                }
            })),
            Settlement::UnderWay => Outcome::Unsure(format!("it neither goes on nor ends: {seen}")),
            Settlement::Gone => Outcome::Unsure(format!("it ended while it moved: {seen}")),
            _ => Outcome::Unsure(
                why.map_or_else(|| seen.clone(), |why| format!("{seen}; libvirt said: {why}")),
            ),
        }
    }

    async fn downtime(&self, vm: Uuid, host: &HostSpec, until: Instant) -> Option<Millis> {
        let worker = self.worker(host, until).await.ok()?;
        let numbers = worker
            .call(until, move |connection| connection.find(vm)?.map(|domain| domain.job(true)).transpose())
            .await
            .ok()??;
        numbers.get("downtime").map(Millis)
    }
}

/// May this VM leave? Answers whether its definition is persistent.
fn leaves(connection: &Connection, vm: Uuid, shared: &[String]) -> Result<bool, Error> {
    let domain = connection.find(vm)?.ok_or_else(|| Error::ours("the source does not have it"))?;
    let (code, reason) = domain.state()?;
    let number = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    match vms::state(number(code), number(reason), false) {
        DomainState::Running | DomainState::Paused => {}
        other => {
            return Err(Error::ours(format!(
                "it is {} at the source",
                End::Has { state: other, persistent: true }
            )));
        }
    }
    if vms::job(&domain)?.is_some() {
        return Err(Error::ours("another job runs on it"));
    }
    let definition = xml::read(&domain.xml(false)?, shared).map_err(Error::ours)?;
    if vms::block_job(&domain, &definition.drives)?.is_some() {
        return Err(Error::ours("a job runs on one of its disks"));
    }
    match definition.immovable {
        Some(why) => Err(Error::ours(why)),
        None => domain.is_persistent(),
    }
}

/// Is there room for its name? A shut-off definition of the same VM goes, if the one that comes is persistent.
fn arrives(connection: &Connection, vm: Uuid, persistent: bool) -> Result<(), Error> {
    let Some(domain) = connection.find(vm)? else { return Ok(()) };
    let (code, reason) = domain.state()?;
    let number = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    match vms::state(number(code), number(reason), domain.has_saved_memory()?) {
        DomainState::ShutOff if persistent => domain.undefine(),
        DomainState::ShutOff => Err(Error::ours("its last definition is at the destination")),
        other => Err(Error::ours(format!(
            "it is {} at the destination",
            End::Has { state: other, persistent: true }
        ))),
    }
}

/// The guest's memory goes to the configured address: no name is resolved on the way.
fn stream_to(host: &str) -> Result<Params, Error> {
    Params::new().with("migrate_uri", &format!("tcp:{host}"))
}

/// The address without user and port, as a URI takes it.
fn bare_address(host: &HostSpec) -> Result<String, CallError> {
    let address = host.address.as_deref().unwrap_or(&host.name);
    if address == LOCAL {
        return Err(CallError::Libvirt(Error::ours(
            "the destination has no address that other hosts could reach",
        )));
    }
    let bare = Destination::parse(address)?.host;
    Ok(if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() })
}

/// Notices when the rest of a move no longer shrinks.
#[derive(Debug)]
struct Progress {
    least: Option<Mib>,
    since: Instant,
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self { least: None, since: now }
    }

    fn seen(&mut self, job: &Job, now: Instant) {
        // Before the first page has moved there is nothing to shrink.
        if job.processed > Mib(0) && self.least.is_none_or(|least| job.remaining < least) {
            self.least = Some(job.remaining);
            self.since = now;
        }
    }

    fn silence(&self, now: Instant) -> Millis {
        millis(now.saturating_duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_model::Lack;

    #[test]
    fn progress_is_a_rest_that_gets_smaller_than_ever() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let job = |remaining| Job {
            kind: JobKind::MigrationOut,
            elapsed: Millis(0),
            remaining: Mib(remaining),
            processed: Mib(1),
        };
        let mut progress = Progress::new(start);
        progress.seen(&job(900), at(10));
        progress.seen(&job(300), at(20));
        // The next round begins with more again, and never gets below.
        for secs in 21..100 {
            progress.seen(&job(400 + secs), at(secs));
        }
        assert_eq!(progress.silence(at(100)), Millis::from_secs(80));
        progress.seen(&job(299), at(101));
        assert_eq!(progress.silence(at(101)), Millis(0));
    }

    #[test]
    fn the_stream_goes_to_the_configured_address() {
        let mut host = dormouse_driver::fake::host("lab07");
        assert_eq!(bare_address(&host), Ok("lab07".into()));
        for (address, bare) in [("root@10.77.1.1:22", "10.77.1.1"), ("2001:db8::7", "[2001:db8::7]")] {
            host.address = Some(address.into());
            assert_eq!(bare_address(&host), Ok(bare.into()));
        }
        host.address = Some(LOCAL.into());
        assert!(bare_address(&host).is_err());
    }

    #[test]
    fn what_a_destination_lacks_is_told_from_what_goes_away() {
        let said = |code: virt_sys::virErrorNumber, message: &str| {
            Error { code: code.cast_signed(), message: message.to_owned() }.lack()
        };
        let anything = virt_sys::VIR_ERR_OPERATION_FAILED;
        assert_eq!(said(virt_sys::VIR_ERR_CPU_INCOMPATIBLE, "the CPU is incompatible"), Some(Lack::Cpu));
        assert_eq!(said(virt_sys::VIR_ERR_NO_NETWORK, "Network not found"), Some(Lack::Network));
        for (message, lack) in [
            (
                "operation failed: guest CPU doesn't match specification: missing features: avx2",
                Some(Lack::Cpu),
            ),
            (
                "internal error: process exited while connecting to monitor: unsupported machine type 'pc-q35-9.0'",
                Some(Lack::Machine),
            ),
            ("Cannot get interface MTU on 'br7': No such device", Some(Lack::Network)),
            ("unable to connect to server at 'h02:16514': Connection refused", None),
            ("migration job: unexpectedly failed", None),
        ] {
            assert_eq!(said(anything, message), lack, "{message}");
        }
    }
}
