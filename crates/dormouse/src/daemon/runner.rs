//! The loop: events and orders in, effects out. It owns the controller and waits for nothing but the next event.

use super::journal::Journal;
use super::lead::{Lead, keep_lead};
use super::pulse::Pulse;
use super::wire::{Answer, Code, OrderView, OrderWord, StatusView, Verb};
use super::{Rim, Systemd, restore, views};
use dormouse_control::{
    Controller, Effect, Event, HostMemory, Level, LogEvent, Now, Order, Settings, VmMemory,
};
use dormouse_driver::{AuditEntry, EventRecord, IntentRecord, Kind, Remembered};
use dormouse_model::{HostId, Millis, Mono, Outcome, VmId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
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

/// A pause outlives the daemon, and so it is kept with the machine's time.
#[derive(Debug, Serialize, Deserialize)]
struct KeptPause {
    by: String,
    /// Milliseconds since 1970; `None`: until resumed.
    until_ms: Option<i64>,
}

const PAUSE: &str = "pause";

/// The way into a running loop, for the socket and for signals.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    inbox: mpsc::Sender<Input>,
    pub(super) told: watch::Receiver<u64>,
}

impl Handle {
    pub(super) const fn new(inbox: mpsc::Sender<Input>, told: watch::Receiver<u64>) -> Self {
        Self { inbox, told }
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
        let handle = Handle { inbox: sender.clone(), told: journal.told() };
        let (trouble, lease_trouble) = watch::channel(None);
        let lease = tokio::spawn(keep_lead(rim.clone(), lead, sender, trouble));
        let publish_at = rim.shared.then_some(now.mono);
        let pulse = Pulse::new(Arc::default(), settings.observe_every);
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
            Input::Ask { verb: Verb::Order(OrderWord::Adopt { host }), by, reply } => {
                self.adopt(&host, by, reply)
            }
            Input::Ask { verb, by, reply } => _ = reply.send(self.answer(verb, by)),
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
        StatusView { store_trouble, ..views::status(&self.controller, now) }
    }

    /// Shows managers that stand by what we see.
    fn publish_if_due(&mut self) {
        let now = self.rim.clock.now();
        if self.publish_at.is_none_or(|at| now.mono < at) {
            return;
        }
        self.publish_at = Some(now.mono + PUBLISH_EVERY);
        let at_ms = self.rim.clock.real().as_millisecond();
        let view = views::all(&self.controller, now, self.status(now), at_ms);
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
                // An intent that was never closed and has no such line was never carried out.
                _ = self.journal.note(AuditEntry::Effect { intent: id });
                tokio::spawn(async move {
                    let outcome = rim.act(intent).await;
                    _ = inbox.send(Input::Event(Event::Ended { intent: id, outcome })).await;
                });
            }
            Effect::Abort(intent) => _ = tokio::spawn(rim.abort(intent)),
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

    fn pause_again(&mut self, kept: &Remembered, now: Now) {
        let Some((_, value)) = kept.settings.iter().find(|(key, _)| key == PAUSE) else { return };
        // Not to be read: when in doubt a person wanted nothing to be done.
        let pause: KeptPause = serde_json::from_value(value.clone())
            .unwrap_or(KeptPause { by: "unknown".to_owned(), until_ms: None });
        let left = pause.until_ms.map(|until| until - self.rim.clock.real().as_millisecond());
        let until = match left.map(u64::try_from) {
            None => None,
            Some(Ok(left)) if left > 0 => Some(Mono(now.mono.0 + left)),
            Some(_) => return self.journal.remember(Kind::Setting, PAUSE.to_owned(), None),
        };
        self.take(Event::Order { by: pause.by, order: Order::Pause { until } });
    }

    fn answer(&mut self, verb: Verb, by: String) -> Answer {
        let now = self.rim.clock.now();
        match verb {
            Verb::Status => Answer::data(&self.status(now)),
            Verb::Hosts => Answer::data(&views::hosts(&self.controller, now)),
            Verb::Vms => Answer::data(&views::vms(&self.controller, now)),
            Verb::Plan => match views::plan(&self.controller, now) {
                Ok(plan) => Answer::data(&plan),
                Err(why) => Answer::error(Code::Failed, why),
            },
            Verb::Why { name } => views::why(&self.controller, now, &name),
            // The socket reads the trail itself: it may be long.
            Verb::Events { .. } => Answer::error(Code::Failed, "the trail is not read here"),
            Verb::Order(word) => self.order(&word, by, now),
        }
    }

    /// Tells the guard on a host whom it obeys: no matter of the controller's, but of the trail.
    fn adopt(&mut self, name: &str, by: String, reply: oneshot::Sender<Answer>) {
        let (host, epoch) = match (self.host(name), self.controller.epoch()) {
            (Ok(host), Some(epoch)) => (host, epoch),
            (Err(answer), _) => {
                _ = reply.send(*answer);
                return;
            }
            (_, None) => {
                _ = reply.send(Answer::error(Code::Refused, "this manager does not lead"));
                return;
            }
        };
        self.tell(
            LogEvent::new(Level::Warn, "order").with("by", &by).with("order", "adopt").with("host", name),
        );
        let word = serde_json::to_value(OrderWord::Adopt { host: name.to_owned() }).expect("plain data");
        self.note_word(&by, word, "taken".to_owned());
        let (rim, inbox) = (self.rim.clone(), self.handle.inbox.clone());
        tokio::spawn(async move {
            let outcome = rim.adopt(host, epoch).await;
            _ = inbox.send(Input::Adopted { host, by, outcome, reply }).await;
        });
    }

    fn adopted(&mut self, host: HostId, by: &str, outcome: &Outcome) -> Answer {
        let name = self.rim.cluster.hosts[host.index()].name.clone();
        let event = |level, name| LogEvent::new(level, name).with("by", by);
        match outcome {
            Outcome::Done { .. } => {
                self.tell(event(Level::Warn, "host.adopted").with("host", &name));
                Answer::data(&OrderView { order: "adopt".to_owned(), by: by.to_owned(), told: vec![] })
            }
            Outcome::Failed(why) => {
                self.tell(event(Level::Warn, "host.not-adopted").with("host", &name).with("why", why));
                Answer::error(Code::Failed, format!("{name} was not taken over: {why}"))
            }
            other => {
                self.tell(event(Level::Warn, "host.not-adopted").with("host", &name).with("why", "unsure"));
                Answer::error(Code::Failed, format!("whether {name} was taken over is not known: {other:?}"))
            }
        }
    }

    /// Hands the order to the controller and answers with what it told about it in the same breath.
    fn order(&mut self, word: &OrderWord, by: String, now: Now) -> Answer {
        let order = match self.resolve(word, now) {
            Ok(order) => order,
            Err(answer) => return *answer,
        };
        self.keep_pause(&order, &by, word);
        let view = OrderView { order: order.word().to_owned(), by: by.clone(), told: vec![] };
        let effects = self.controller.handle(now, Event::Order { by: by.clone(), order });
        let at_ms = self.rim.clock.real().as_millisecond();
        let told: Vec<EventRecord> = effects
            .iter()
            .filter_map(|effect| {
                if let Effect::Tell(event) = effect { Some(views::trail(event, at_ms)) } else { None }
            })
            .collect();
        let refused = told.iter().find(|event| event.name.ends_with(".refused"));
        let refused =
            refused.and_then(|event| event.fields.iter().find(|(key, _)| key == "why")).map(|(_, why)| {
                let picture = self.controller.snapshot(now);
                views::by_name(&picture, why)
            });
        // The word stands in the log before what it leads to.
        let answer = refused.clone().unwrap_or_else(|| "taken".to_owned());
        let word = serde_json::to_value(word).expect("plain data");
        self.note_word(&by, word, answer);
        for effect in effects {
            self.carry_out(effect);
        }
        match refused {
            Some(why) => Answer::error(Code::Refused, why),
            None => Answer::data(&OrderView { told, ..view }),
        }
    }

    fn note_word(&self, by: &str, order: serde_json::Value, answer: String) {
        if let Err(why) = self.journal.note(AuditEntry::Word { by: by.to_owned(), order, answer }) {
            tracing::error!("an order was not written into the audit log: {why}");
        }
    }

    fn keep_pause(&self, order: &Order, by: &str, word: &OrderWord) {
        let kept = match (order, word) {
            (Order::Pause { .. }, OrderWord::Pause { for_ms }) => {
                let now = self.rim.clock.real().as_millisecond();
                let until_ms = for_ms.map(|span| now.saturating_add(i64::try_from(span).unwrap_or(i64::MAX)));
                let pause = KeptPause { by: by.to_owned(), until_ms };
                Some(serde_json::to_value(pause).expect("plain data"))
            }
            (Order::Resume, _) => None,
            _ => return,
        };
        self.journal.remember(Kind::Setting, PAUSE.to_owned(), kept);
    }

    /// Names into ids.
    fn resolve(&self, word: &OrderWord, now: Now) -> Result<Order, Box<Answer>> {
        Ok(match word {
            OrderWord::Pause { for_ms } => {
                Order::Pause { until: for_ms.map(|span| Mono(now.mono.0.saturating_add(span))) }
            }
            OrderWord::Resume => Order::Resume,
            OrderWord::Normalise => Order::Normalise,
            OrderWord::Apply => Order::Apply,
            OrderWord::Refresh { hosts } => {
                Order::Refresh { hosts: hosts.iter().map(|name| self.host(name)).collect::<Result<_, _>>()? }
            }
            OrderWord::Drain { host } => Order::Drain { host: self.host(host)? },
            OrderWord::Clear { host } => Order::Clear { host: self.host(host)? },
            OrderWord::Maintenance { host, on } => Order::Maintenance { host: self.host(host)?, on: *on },
            OrderWord::Wake { host } => Order::Wake { host: self.host(host)? },
            OrderWord::Sleep { host } => Order::Sleep { host: self.host(host)? },
            OrderWord::SayOff { host } => Order::SayOff { host: self.host(host)? },
            OrderWord::Fence { host } => Order::Fence { host: self.host(host)? },
            OrderWord::Adopt { .. } => {
                return Err(Box::new(Answer::error(Code::Failed, "adopting is asked of the host itself")));
            }
            OrderWord::Move { vm, to } => Order::Move { vm: self.vm(vm, now)?, to: self.host(to)? },
        })
    }

    fn host(&self, name: &str) -> Result<HostId, Box<Answer>> {
        let hosts = &self.rim.cluster.hosts;
        self.rim
            .cluster
            .host_named(name)
            .ok_or_else(|| views::unknown("host", name, hosts.iter().map(|host| host.name.as_str())))
    }

    /// By UUID, or by a name that only one VM has.
    fn vm(&self, name: &str, now: Now) -> Result<VmId, Box<Answer>> {
        if let Some(vm) = name.parse().ok().and_then(|uuid| self.controller.vm_by_uuid(uuid)) {
            return Ok(vm);
        }
        let picture = self.controller.snapshot(now);
        let mut named = picture.vm_ids().filter(|id| picture.vm(*id).spec.name == name);
        match (named.next(), named.next()) {
            (Some(vm), None) => Ok(vm),
            (Some(_), Some(_)) => {
                let answer =
                    Answer::error(Code::Usage, format!("several VMs are called `{}`", name.escape_default()));
                Err(Box::new(answer.hint("name it by its UUID: `dormouse vm list` shows it")))
            }
            (None, _) => Err(views::unknown("VM", name, picture.vms.iter().map(|vm| vm.spec.name.as_str()))),
        }
    }
}
