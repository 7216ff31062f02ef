//! The loop: events and orders in, effects out. It owns the controller and waits for nothing but the next event.

mod orders;

use super::journal::Journal;
use super::lead::{Lead, keep_lead};
use super::pulse::Pulse;
use super::weaker::Weaker;
use super::wire::{Answer, Code, StatusView, Verb};
use super::{Rim, Systemd, restore, views};
use dormouse_control::{Controller, Effect, Event, HostMemory, Level, LogEvent, Now, Settings, VmMemory};
use dormouse_driver::{AuditEntry, IntentRecord, Kind, Remembered};
use dormouse_model::{Action, HostId, Millis, Mono, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Events that wait for the loop. Whoever brings more waits; the loop itself never does.
pub(super) const INBOX: usize = 4_096;
/// The loop never spins, whatever the controller asks for.
const TICK_MIN: Duration = Duration::from_millis(10);
/// A look is back by its deadline, the grace of its driver, and as much as a busy machine may add.
const LOOK_SLACK: Millis = Millis::from_secs(5);
/// How long running effects are given to end when the daemon stops. Moves from host to host go on without us.
const FAREWELL: Duration = Duration::from_secs(3);

/// How old the picture is that managers standing by show, at most.
const PUBLISH_EVERY: Millis = Millis::from_secs(5);

/// What reaches the loop.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are events: a box each would only be one more step"
)]
pub(super) enum Input {
    Event(Event),
    Ask { verb: Verb, by: String, reply: oneshot::Sender<Answer> },
    Adopted { host: HostId, by: String, outcome: Outcome, reply: oneshot::Sender<Answer> },
    Stop(Ended),
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Stopped,
    Reload,
    /// The lead is lost: what is remembered here may be behind what another leader wrote.
    Deposed,
}

/// The way into a running loop, for the socket and for signals.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    inbox: mpsc::Sender<Input>,
    pub(super) told: watch::Receiver<u64>,
    /// A person asked for settings and texts to be read again.
    reload: Arc<Notify>,
}

impl Handle {
    pub(super) fn new(inbox: mpsc::Sender<Input>, told: watch::Receiver<u64>) -> Self {
        Self { inbox, told, reload: Arc::new(Notify::new()) }
    }

    /// When a person has asked for a reload.
    pub(crate) async fn reload_asked(&self) {
        self.reload.notified().await;
    }

    /// Asks the loop. Answers in any case.
    pub(super) async fn ask(&self, verb: Verb, by: String) -> Answer {
        let gone = || Answer::error(Code::Unreachable, "the daemon is stopping");
        let (reply, answer) = oneshot::channel();
        if self.inbox.send(Input::Ask { verb, by, reply }).await.is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
    }

    pub(crate) async fn stop(&self, why: Ended) {
        _ = self.inbox.send(Input::Stop(why)).await;
    }
}

#[derive(Debug)]
pub(crate) struct Runner {
    controller: Controller,
    rim: Rim,
    journal: Journal,
    inbox: mpsc::Receiver<Input>,
    handle: Handle,
    lease: JoinHandle<()>,
    pulse: Pulse,
    /// Why the lead could not be renewed, while it cannot.
    lease_trouble: watch::Receiver<Option<String>>,
    /// When the managers that stand by are next shown what we see, if there are such.
    publish_at: Option<Mono>,
    weaker: Weaker,
    /// Between the wish to stop and the end: running effects may still end, nothing begins.
    stopping: Option<Ended>,
}

impl Runner {
    /// Everything from the store, the lead taken, and nothing done yet.
    pub(crate) fn start(
        rim: Rim,
        settings: Settings,
        kept: &Remembered,
        lead: Lead,
    ) -> Result<Self, restore::RestoreError> {
        let now = rim.clock.now();
        let (memory, strangers) = restore::memory(kept, &rim.cluster, now.mono)?;
        let (sender, inbox) = mpsc::channel(INBOX);
        let journal = Journal::start(Arc::clone(&rim.store), sender.clone());
        let handle = Handle::new(sender.clone(), journal.told());
        let (trouble, lease_trouble) = watch::channel(None);
        let lease = tokio::spawn(keep_lead(rim.clone(), lead, sender, trouble));
        let publish_at = rim.shared.then_some(now.mono);
        let pulse = Pulse::new(Arc::default(), settings.observe_every);
        // Who can be proved off is the drivers' to say.
        let proves = |id: &HostId| rim.power.can_prove_off(&rim.cluster.hosts[id.index()]);
        let settings = Settings { provers: rim.cluster.host_ids().filter(proves).collect(), ..settings };
        let controller = Controller::new(settings, Arc::clone(&rim.cluster), memory, now);
        let mut runner = Self {
            controller,
            rim,
            journal,
            inbox,
            handle,
            lease,
            pulse,
            lease_trouble,
            publish_at,
            weaker: Weaker::default(),
            stopping: None,
        };
        for record in strangers {
            runner.give_up(&record);
        }
        runner.pause_again(kept, now);
        Ok(runner)
    }

    /// Gives this one a sign of life for each cycle that ends on time.
    pub(crate) fn watched_by(mut self, systemd: Arc<Systemd>, observe_every: Millis) -> Self {
        self.pulse = Pulse::new(systemd, observe_every);
        self
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until it is stopped.
    pub(crate) async fn run(mut self) -> Ended {
        self.take(Event::Tick);
        while self.stopping.is_none() {
            self.publish_if_due();
            let due =
                self.publish_at.map_or(self.controller.next_tick(), |at| at.min(self.controller.next_tick()));
            let wait = Duration::from_millis(due.since(self.rim.clock.mono()).0);
            match tokio::time::timeout(wait.max(TICK_MIN), self.inbox.recv()).await {
                Ok(Some(input)) => self.receive(input),
                Ok(None) => unreachable!("the loop holds a sender itself"),
                Err(_) => {
                    self.take(Event::Tick);
                    self.pulse.tick(due, self.rim.clock.mono());
                }
            }
        }
        self.farewell().await
    }

    fn receive(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.take(event),
            Input::Ask { verb: Verb::Order(word), by, reply } => {
                let now = self.rim.clock.now();
                self.obey(&word, by, now, reply);
            }
            Input::Ask { verb, reply, .. } => _ = reply.send(self.answer(verb)),
            Input::Adopted { host, by, outcome, reply } => _ = reply.send(self.adopted(host, &by, &outcome)),
            Input::Stop(why) => self.stopping = Some(why),
        }
    }

    /// Lets running effects end for a moment, so that their outcomes are written; then writes what waits.
    async fn farewell(mut self) -> Ended {
        let ended = self.stopping.unwrap_or(Ended::Stopped);
        self.tell(
            LogEvent::new(Level::Info, "daemon.stop").with("running", self.controller.in_flight().count()),
        );
        let end = tokio::time::Instant::now() + FAREWELL;
        while self.controller.in_flight().next().is_some() {
            match tokio::time::timeout_at(end, self.inbox.recv()).await {
                Ok(Some(Input::Ask { reply, .. })) => {
                    _ = reply.send(Answer::error(Code::Unreachable, "the daemon is stopping"))
                }
                Ok(Some(input)) => self.receive(input),
                Ok(None) | Err(_) => break,
            }
        }
        self.lease.abort();
        self.journal.finish(FAREWELL).await;
        if let Some(epoch) = self.controller.epoch()
            && let Err(error) = self.rim.lease.resign(epoch).await
        {
            tracing::warn!("the lead could not be given up: {error}");
        }
        ended
    }

    fn status(&self, now: Now) -> StatusView {
        let store_trouble = self.journal.trouble().or_else(|| self.lease_trouble.borrow().clone());
        StatusView { store_trouble, ..views::status(&self.controller, &*self.rim.hypervisor, now) }
    }

    /// Shows managers that stand by what we see.
    fn publish_if_due(&mut self) {
        let now = self.rim.clock.now();
        if self.publish_at.is_none_or(|at| now.mono < at) {
            return;
        }
        self.publish_at = Some(now.mono + PUBLISH_EVERY);
        let at_ms = self.rim.clock.real().as_millisecond();
        let view = views::all(&self.controller, &*self.rim.hypervisor, now, self.status(now), at_ms);
        let store = Arc::clone(&self.rim.store);
        tokio::spawn(async move {
            let Ok(view) = serde_json::to_value(view) else { return };
            if let Err(error) = store.publish(&view).await {
                tracing::debug!("the managers that stand by were not told: {error}");
            }
        });
    }

    /// One event into the controller, its effects into the world.
    fn take(&mut self, event: Event) {
        let now = self.rim.clock.now();
        if let Event::Observed(observation) = &event {
            self.pulse.answered(observation.id);
            if let Some(event) = self.weaker.certificate(&self.rim, observation.host) {
                self.tell(event);
            }
        }
        for effect in self.controller.handle(now, event) {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let (rim, inbox) = (self.rim.clone(), self.handle.inbox.clone());
        match effect {
            Effect::Look { .. } | Effect::Write(_) | Effect::Act(_) | Effect::Settle(_)
                if self.stopping.is_some() => {}
            Effect::Look { id, host, deadline } => {
                self.pulse.asked(id, self.rim.clock.mono() + deadline + super::rim::LOOK_GRACE + LOOK_SLACK);
                tokio::spawn(async move {
                    let observation = rim.clone().look(id, host, deadline).await;
                    let facts = observation.result.clone().ok();
                    _ = inbox.send(Input::Event(Event::Observed(observation))).await;
                    if let Some(facts) = facts {
                        rim.learn(host, facts).await;
                    }
                });
            }
            Effect::Write(intent) => {
                let record =
                    restore::record(&intent, &self.rim.cluster, self.rim.clock.real().as_millisecond());
                if let Some(refused) = self.journal.write(record) {
                    // Not from within: the controller is handed its answers one after the other.
                    tokio::spawn(async move { inbox.send(Input::Event(refused)).await });
                }
            }
            Effect::Act(intent) => {
                let id = intent.id;
                if let Action::Migrate { from, to, .. } = intent.action
                    && let Some(event) = self.weaker.moves(&self.rim, from, to)
                {
                    self.tell(event);
                }
                // For people. Not waited for, since an effect must not come late: that it is missing proves nothing.
                _ = self.journal.note(AuditEntry::Effect { intent: id });
                tokio::spawn(async move {
                    let outcome = rim.act(intent).await;
                    _ = inbox.send(Input::Event(Event::Ended { intent: id, outcome })).await;
                });
            }
            Effect::Abort(intent) => _ = tokio::spawn(rim.abort(intent)),
            Effect::WakeAlone(host) => _ = tokio::spawn(rim.wake_alone(host)),
            Effect::Settle(intent) => _ = tokio::spawn(rim.settle(intent)),
            Effect::Close { intent, outcome } => self.journal.close(intent, outcome),
            Effect::RememberHost(memory) => self.remember_host(&memory),
            Effect::RememberVm(memory) => self.remember_vm(&memory),
            Effect::RememberManager(memory) => {
                let value = serde_json::to_value(memory).expect("plain data");
                self.journal.remember(Kind::Setting, restore::MANAGER.to_owned(), Some(value));
            }
            Effect::RememberDemand(batch) => self.journal.keep_demand(batch),
            Effect::Tell(event) => self.tell(event),
        }
    }

    fn remember_host(&self, memory: &HostMemory) {
        let value = serde_json::to_value(memory).expect("plain data");
        self.journal.remember(Kind::Host, memory.host.clone(), Some(value));
    }

    fn remember_vm(&self, memory: &VmMemory) {
        let value = serde_json::to_value(memory).expect("plain data");
        self.journal.remember(Kind::Vm, memory.vm.to_string(), Some(value));
    }

    /// To the log of the system, and to the trail unless it is for developers only.
    fn tell(&self, event: LogEvent) {
        match event.level {
            Level::Debug => tracing::debug!("{event}"),
            Level::Info => tracing::info!("{event}"),
            Level::Warn => tracing::warn!("{event}"),
            Level::Alarm => tracing::error!("{event}"),
        }
        if event.level > Level::Debug {
            self.journal.tell(views::trail(&event, self.rim.clock.real().as_millisecond()));
        }
    }

    /// An open intent whose host is no longer configured: its outcome will never be known here.
    fn give_up(&mut self, record: &IntentRecord) {
        let why = "the manager restarted and its host is no longer configured";
        self.journal.close(record.id, Outcome::Unsure(why.to_owned()));
        self.tell(LogEvent::new(Level::Warn, "intent.given-up").with("intent", record.id).with("why", why));
    }

    fn answer(&self, verb: Verb) -> Answer {
        let now = self.rim.clock.now();
        match verb {
            Verb::Status => Answer::data(&self.status(now)),
            Verb::Hosts => Answer::data(&views::hosts(&self.controller, &*self.rim.hypervisor, now)),
            Verb::Vms => Answer::data(&views::vms(&self.controller, now)),
            Verb::Calendar => Answer::data(&views::calendar(&self.controller, now)),
            Verb::Plan { at_ms: Some(at_ms) } => match views::plan_at(&self.controller, now, at_ms) {
                Ok(plan) => Answer::data(&plan),
                Err(why) => Answer::error(Code::Usage, why),
            },
            Verb::Plan { at_ms: None } => match views::plan(&self.controller, now) {
                Ok(plan) => Answer::data(&plan),
                Err(why) => Answer::error(Code::Failed, why),
            },
            Verb::Why { name } => views::why(&self.controller, now, &name),
            // The socket reads the trail itself: it may be long. An order is answered when it is written.
            Verb::Events { .. } | Verb::Order(_) => Answer::error(Code::Failed, "this is not answered here"),
        }
    }
}
