//! What a person asks for: names into ids, the word into the audit log, the order to the controller.
//!
//! An order is acknowledged only when its line of the audit log, and what it set, are in the store. The loop does not wait
//! for that; the answer does. Until then the order is already in force here: a `pause` begins at once.

use super::{Input, Runner};
use crate::daemon::journal::Written;
use crate::daemon::views;
use crate::daemon::wire::{Answer, Code, OrderView, OrderWord};
use dormouse_control::{Effect, Event, Level, LogEvent, Now, Order};
use dormouse_driver::{AuditEntry, EventRecord, Kind, Remembered};
use dormouse_model::{HostId, Mono, Outcome, VmId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an answer waits for the store. Less than a client waits for us.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// A pause outlives the daemon, and so it is kept with the machine's time.
#[derive(Debug, Serialize, Deserialize)]
struct KeptPause {
    by: String,
    /// Milliseconds since 1970; `None`: until resumed.
    until_ms: Option<i64>,
}

const PAUSE: &str = "pause";

/// The answer, once what it rests on is written; or that it is not.
async fn once_written(answer: Answer, order: &str, written: Written, patience: Duration) -> Answer {
    let why = match tokio::time::timeout(patience, written).await {
        Ok(Ok(())) => return answer,
        Ok(Err(why)) => why,
        Err(_) => format!("the store did not answer within {} s", patience.as_secs()),
    };
    if !answer.ok {
        return answer;
    }
    Answer::error(Code::Failed, format!("`{order}` is in force and not written down: {why}")).hint(
        "it is lost if this daemon ends or another leads before: see `dormouse status`, then say it again",
    )
}

impl Runner {
    pub(super) fn pause_again(&mut self, kept: &Remembered, now: Now) {
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

    /// Answers in any case, sooner or later.
    pub(super) fn obey(&mut self, word: &OrderWord, by: String, now: Now, reply: oneshot::Sender<Answer>) {
        if let OrderWord::Adopt { host } = word {
            return self.adopt(word, host, by, reply);
        }
        if *word == OrderWord::Reload {
            return self.reload(word, by, reply);
        }
        let order = match self.resolve(word, now) {
            Ok(order) => order,
            Err(answer) => return drop(reply.send(*answer)),
        };
        if let Err(why) = self.journal.takes_words() {
            return drop(reply.send(no_room(why)));
        }
        let name = order.word().to_owned();
        let answer = self.order(word, order, by, now);
        let written = self.journal.written();
        tokio::spawn(async move {
            _ = reply.send(once_written(answer, &name, written, STORE_PATIENCE).await);
        });
    }

    /// Hands the order to the controller and answers with what it told about it in the same breath.
    fn order(&mut self, word: &OrderWord, order: Order, by: String, now: Now) -> Answer {
        let view = OrderView { order: order.word().to_owned(), by: by.clone(), told: vec![] };
        let kept = self.kept_pause(&order, &by, word);
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
        self.note_word(&by, word, refused.clone().unwrap_or_else(|| "taken".to_owned()));
        if let Some(kept) = kept {
            self.journal.remember(Kind::Setting, PAUSE.to_owned(), kept);
        }
        for effect in effects {
            self.carry_out(effect);
        }
        match refused {
            Some(why) => Answer::error(Code::Refused, why),
            None => Answer::data(&OrderView { told, ..view }),
        }
    }

    /// Tells the guard on a host whom it obeys: no matter of the controller's, but of the trail. Not before the word for it
    /// is written down.
    fn adopt(&mut self, word: &OrderWord, name: &str, by: String, reply: oneshot::Sender<Answer>) {
        let (host, epoch) = match (self.host(name), self.controller.epoch()) {
            (Ok(host), Some(epoch)) => (host, epoch),
            (Err(answer), _) => return drop(reply.send(*answer)),
            (_, None) => return drop(reply.send(Answer::error(Code::Refused, "this manager does not lead"))),
        };
        if let Err(why) = self.journal.takes_words() {
            return drop(reply.send(no_room(why)));
        }
        self.tell(
            LogEvent::new(Level::Warn, "order").with("by", &by).with("order", "adopt").with("host", name),
        );
        self.note_word(&by, word, "taken".to_owned());
        let (rim, inbox, written) = (self.rim.clone(), self.handle.inbox.clone(), self.journal.written());
        let name = name.to_owned();
        tokio::spawn(async move {
            let why = match tokio::time::timeout(STORE_PATIENCE, written).await {
                Ok(Ok(())) => {
                    let outcome = rim.adopt(host, epoch).await;
                    return drop(inbox.send(Input::Adopted { host, by, outcome, reply }).await);
                }
                Ok(Err(why)) => why,
                Err(_) => format!("the store did not answer within {} s", STORE_PATIENCE.as_secs()),
            };
            let why =
                format!("{name} was not taken over, because the word for it is not written down: {why}");
            _ = reply.send(Answer::error(Code::Failed, why).hint("try again once the store takes writes"));
        });
    }

    /// Has the texts read again, once the word for it is written down: by whoever runs this loop, which it ends.
    fn reload(&mut self, word: &OrderWord, by: String, reply: oneshot::Sender<Answer>) {
        if let Err(why) = self.journal.takes_words() {
            return drop(reply.send(no_room(why)));
        }
        self.tell(LogEvent::new(Level::Info, "order").with("by", &by).with("order", "reload"));
        self.note_word(&by, word, "taken".to_owned());
        let answer = Answer::data(&OrderView { order: "reload".to_owned(), by, told: vec![] });
        let (written, asked) = (self.journal.written(), Arc::clone(&self.handle.reload));
        tokio::spawn(async move {
            let answer = once_written(answer, "reload", written, STORE_PATIENCE).await;
            _ = reply.send(answer);
            asked.notify_one();
        });
    }

    pub(super) fn adopted(&mut self, host: HostId, by: &str, outcome: &Outcome) -> Answer {
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

    fn note_word(&self, by: &str, word: &OrderWord, answer: String) {
        let order = serde_json::to_value(word).expect("plain data");
        if let Err(why) = self.journal.note(AuditEntry::Word { by: by.to_owned(), order, answer }) {
            tracing::error!("an order was not written into the audit log: {why}");
        }
    }

    /// What is to be remembered of it, if it is about the pause.
    fn kept_pause(&self, order: &Order, by: &str, word: &OrderWord) -> Option<Option<serde_json::Value>> {
        match (order, word) {
            (Order::Pause { .. }, OrderWord::Pause { for_ms }) => {
                let now = self.rim.clock.real().as_millisecond();
                let until_ms = for_ms.map(|span| now.saturating_add(i64::try_from(span).unwrap_or(i64::MAX)));
                let pause = KeptPause { by: by.to_owned(), until_ms };
                Some(Some(serde_json::to_value(pause).expect("plain data")))
            }
            (Order::Resume, _) => Some(None),
            _ => None,
        }
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
            OrderWord::Reload => {
                return Err(Box::new(Answer::error(Code::Failed, "the loop itself reads its texts again")));
            }
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

fn no_room(why: String) -> Answer {
    Answer::error(Code::Failed, format!("nothing was done: {why}"))
        .hint("no word goes unrecorded: see `dormouse status` for what ails the store")
}
