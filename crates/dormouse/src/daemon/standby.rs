//! A manager that does not lead: it waits for the lead, and shows what the leader told meanwhile. Looks at no host and
//! carries out no order.

mod why;

use super::lead::{Lead, who};
use super::runner::{Handle, INBOX, Input};
use super::wire::{Answer, Code, StandbyView, StatusView, Verb, View};
use super::{DaemonClock, Systemd};
use dormouse_driver::{Lease, LeaseError, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Between two tries to take the lead. Part of how long a failover takes.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// How often whoever follows the trail here is woken to look.
const BEAT: Duration = Duration::from_secs(2);

/// Why the waiting ended.
#[derive(Debug)]
pub(crate) enum Waited {
    Leads(Lead),
    Ended,
    /// The store must not be used until a person has looked.
    Failed(StoreError),
}

pub(crate) struct Standby {
    store: Arc<dyn Store>,
    lease: Arc<dyn Lease>,
    clock: DaemonClock,
    inbox: mpsc::Receiver<Input>,
    handle: Handle,
    told: watch::Sender<u64>,
    leader: watch::Sender<String>,
    systemd: Arc<Systemd>,
}

impl Standby {
    /// `leader` as far as known.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        lease: Arc<dyn Lease>,
        clock: DaemonClock,
        leader: String,
        systemd: Arc<Systemd>,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        let (told, listener) = watch::channel(0);
        let handle = Handle::new(sender, listener);
        Self { store, lease, clock, inbox, handle, told, leader: watch::Sender::new(leader), systemd }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Until the lead is free and taken, or it is told to stop.
    pub(crate) async fn run(mut self) -> Waited {
        let (lease, clock, leader) = (Arc::clone(&self.lease), self.clock.clone(), self.leader.clone());
        let mut campaign = tokio::spawn(campaign(lease, clock, leader));
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                input = self.inbox.recv() => match input {
                    Some(Input::Ask { verb, reply, .. }) => {
                        let (store, leader, now) =
                            (Arc::clone(&self.store), self.leader.borrow().clone(), self.clock.real());
                        tokio::spawn(async move {
                            _ = reply.send(answer(&*store, leader, now.as_millisecond(), &verb).await);
                        });
                    }
                    Some(Input::Stop(_)) => {
                        campaign.abort();
                        return Waited::Ended;
                    }
                    Some(Input::Event(_) | Input::Adopted { .. }) => {}
                    None => unreachable!("we hold a sender ourselves"),
                },
                ended = &mut campaign => return match ended {
                    Ok(Ok(lead)) => Waited::Leads(lead),
                    Ok(Err(error)) => Waited::Failed(error),
                    Err(error) => Waited::Failed(StoreError::Unknown(format!("the campaign failed: {error}"))),
                },
                _ = beat.tick() => {
                    self.told.send_modify(|n| *n += 1);
                    self.systemd.alive();
                }
            }
        }
    }
}

impl std::fmt::Debug for Standby {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standby").field("leader", &*self.leader.borrow()).finish_non_exhaustive()
    }
}

async fn campaign(
    lease: Arc<dyn Lease>,
    clock: DaemonClock,
    leader: watch::Sender<String>,
) -> Result<Lead, StoreError> {
    let mut before = None;
    loop {
        let asked = clock.mono();
        let why = match lease.campaign(&who()).await {
            Ok(term) => return Ok(Lead { term, asked }),
            Err(LeaseError::Store(error @ (StoreError::Damaged(_) | StoreError::Newer { .. }))) => {
                return Err(error);
            }
            Err(LeaseError::Held { who }) => {
                leader.send_replace(who.clone());
                format!("standby: the leader is {who}")
            }
            Err(error) => {
                leader.send_replace("not known".to_owned());
                format!("standby, and nobody is known to lead: {error}")
            }
        };
        // Once for each change, not twice a second.
        if before.as_ref() != Some(&why) {
            tracing::info!("{why}");
            before = Some(why);
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// What the leader told last, or why not.
async fn answer(store: &dyn Store, leader: String, now_ms: i64, verb: &Verb) -> Answer {
    let ask_there = format!(
        "ask there; here `status`, `host list`, `vm list`, `plan`, `why` and `events` show what {leader} told"
    );
    let refused = Answer::error(Code::Refused, format!("standby; the leader is {leader}"));
    if matches!(verb, Verb::Order(_) | Verb::Events { .. } | Verb::Calendar | Verb::Plan { at_ms: Some(_) }) {
        return refused.hint(ask_there);
    }
    let view: View = match store.published().await.map(|view| view.map(serde_json::from_value)) {
        Ok(Some(Ok(view))) => view,
        Ok(Some(Err(_))) => return refused.hint("the leader is of another version"),
        Ok(None) => return refused.hint("it told nothing yet"),
        Err(error) => return Answer::error(Code::Unreachable, format!("standby, and {error}")),
    };
    let age_ms = u64::try_from(now_ms.saturating_sub(view.at_ms)).unwrap_or(0);
    match verb {
        Verb::Status => {
            let standby = Some(StandbyView { leader, age_ms });
            Answer::data(&StatusView { standby, epoch: None, ..view.status })
        }
        Verb::Hosts => Answer::data(&view.hosts),
        Verb::Vms => Answer::data(&view.vms),
        Verb::Plan { .. } => match view.plan {
            Some(plan) => Answer::data(&plan),
            None => Answer::error(Code::Failed, "the leader has no plan"),
        },
        Verb::Why { name } => why::answer(&view, &leader, age_ms, name),
        Verb::Order(_) | Verb::Events { .. } | Verb::Calendar => refused.hint(ask_there),
    }
}
