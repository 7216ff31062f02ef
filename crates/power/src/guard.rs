//! Talking with the guard, and reading its words strictly: what is not exactly as expected is `Unsure`, never `Done`.

use dormouse_driver::{Channel, GuardOrder, Remote, Script, with_checks};
use dormouse_model::{Epoch, GuardRefusal, HostSpec, Millis, Outcome, OutcomeError, ProbeError};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The script that travels with each off command.
pub const GUARD: Script = Script { name: "guard", text: with_checks!("guard.sh") };

/// After the guard's last word the host may still say that its power command failed.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(crate) async fn off(
    remote: &dyn Remote,
    host: &HostSpec,
    order: &GuardOrder,
    deadline: Millis,
) -> Outcome {
    let until = Instant::now() + Duration::from_millis(deadline.0);
    let mut channel = match open(remote, host, "off", order, deadline).await {
        Ok(channel) => channel,
        Err(error) => return Outcome::Failed(OutcomeError::Driver(error.to_string())),
    };
    let mut talk = Talk::default();
    // Until `go` is said the guard cannot act: whatever happens, the host stays on and opens its doors again.
    loop {
        match timeout_at(until, channel.hear()).await {
            Ok(Ok(Some(line))) => match talk.hear(&line) {
                Ok(Heard::Reason) => {}
                Ok(Heard::Closed) => break,
                Ok(Heard::Refused) => return Outcome::Refused(talk.reasons),
                Ok(Heard::Off | Heard::Stayed) | Err(_) => {
                    return Outcome::Unsure(format!("the guard said what it may not say now: {line:?}"));
                }
            },
            Ok(Ok(None)) => return talk.broken("the guard ended before it closed the doors"),
            Ok(Err(error)) => {
                return talk.broken(&format!("the guard was lost before it closed the doors: {error}"));
            }
            Err(_) => return Outcome::Failed(OutcomeError::Deadline(deadline)),
        }
    }
    match timeout_at(until, channel.say("go")).await {
        Ok(Ok(())) => {}
        // It may have arrived.
        Ok(Err(error)) => return Outcome::Unsure(format!("the word to go was lost: {error}")),
        Err(_) => return Outcome::Unsure(format!("the word to go was not taken within {deadline}")),
    }
    loop {
        match timeout_at(until, channel.hear()).await {
            Ok(Ok(Some(line))) => match talk.hear(&line) {
                Ok(Heard::Reason) => {}
                Ok(Heard::Off) => return went(&mut channel).await,
                Ok(Heard::Refused) => return Outcome::Refused(talk.reasons),
                Ok(Heard::Closed | Heard::Stayed) | Err(_) => {
                    return Outcome::Unsure(format!("the guard said what it may not say now: {line:?}"));
                }
            },
            Ok(Ok(None)) => return Outcome::Unsure("the guard fell silent after its last look".into()),
            Ok(Err(error)) => {
                return Outcome::Unsure(format!("the guard was lost after its last look: {error}"));
            }
            Err(_) => return Outcome::Unsure(format!("no word from the guard within {deadline}")),
        }
    }
}

/// `off` was said. Silence is what we hope for.
async fn went(channel: &mut Channel) -> Outcome {
    match timeout(LAST_WORDS, channel.hear()).await {
        Ok(Ok(Some(line))) if line == "stayed" => Outcome::Failed(OutcomeError::Driver(
            "the guard agreed, but the host has no power-off command that works".into(),
        )),
        Ok(Ok(Some(line))) => Outcome::Unsure(format!("after its last word the guard said {line:?}")),
        Ok(Ok(None) | Err(_)) | Err(_) => Outcome::Done { downtime: None },
    }
}

pub(crate) async fn adopt(
    remote: &dyn Remote,
    host: &HostSpec,
    order: &GuardOrder,
    deadline: Millis,
) -> Outcome {
    let until = Instant::now() + Duration::from_millis(deadline.0);
    let mut channel = match open(remote, host, "adopt", order, deadline).await {
        Ok(channel) => channel,
        Err(error) => return Outcome::Failed(OutcomeError::Driver(error.to_string())),
    };
    match timeout_at(until, channel.hear()).await {
        Ok(Ok(Some(line))) if line == "adopted" => Outcome::Done { downtime: None },
        Ok(Ok(Some(line))) => {
            Outcome::Failed(OutcomeError::Driver(format!("the guard did not adopt: {line:?}")))
        }
        Ok(Ok(None)) => Outcome::Failed(OutcomeError::Driver("the guard cannot write its epoch file".into())),
        Ok(Err(error)) => Outcome::Unsure(error.to_string()),
        Err(_) => Outcome::Unsure(format!("no word from the guard within {deadline}")),
    }
}

async fn open(
    remote: &dyn Remote,
    host: &HostSpec,
    verb: &str,
    order: &GuardOrder,
    deadline: Millis,
) -> Result<Channel, ProbeError> {
    let cluster = order.cluster.to_string();
    let epoch = order.epoch.0.to_string();
    let idle = order.login_idle.as_secs().to_string();
    // Whole seconds, rounded down: rather refused than obeyed late.
    let (boot, uptime) = match order.good_until {
        Some(until) => (until.boot.to_string(), until.uptime.as_secs().to_string()),
        None => ("none".to_owned(), "0".to_owned()),
    };
    remote.open(host, GUARD, &[verb, &cluster, &epoch, &idle, &boot, &uptime], deadline).await
}

/// What the guard has said so far.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) reasons: Vec<GuardRefusal>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Reason,
    Refused,
    Closed,
    Off,
    Stayed,
}

impl Talk {
    /// More reasons than anybody reads are dropped; the first ones say enough.
    pub(crate) const REASONS_MAX: usize = 32;

    pub(crate) fn hear(&mut self, line: &str) -> Result<Heard, ()> {
        Ok(match line {
            "closed" => Heard::Closed,
            "off" if self.reasons.is_empty() => Heard::Off,
            "stayed" => Heard::Stayed,
            // A refusal without a reason is not one of ours.
            "refused" if !self.reasons.is_empty() => Heard::Refused,
            _ => {
                let reason = refusal(line.strip_prefix("refuse ").ok_or(())?).ok_or(())?;
                if self.reasons.len() < Self::REASONS_MAX {
                    self.reasons.push(reason);
                }
                Heard::Reason
            }
        })
    }

    /// The guard ended without `refused`: the doors may be closed still.
    fn broken(&self, what: &str) -> Outcome {
        match self.reasons.first() {
            None => Outcome::Failed(OutcomeError::Driver(what.to_owned())),
            Some(reason) => Outcome::Unsure(format!(
                "the guard refused ({reason}) and did not say that the doors are open again"
            )),
        }
    }
}

fn refusal(text: &str) -> Option<GuardRefusal> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match (word, rest) {
        ("qemu", count) => GuardRefusal::Qemu { count: count.parse().ok()? },
        ("people", count) => GuardRefusal::People { count: count.parse().ok()? },
        ("inhibitor", text) => GuardRefusal::Inhibitor(text.chars().take(200).collect()),
        ("package-lock", "") => GuardRefusal::PackageLock,
        ("resync", "") => GuardRefusal::Resync,
        ("autostart", count) => GuardRefusal::Autostart { count: count.parse().ok()? },
        ("job", "") => GuardRefusal::Job,
        ("cluster", "") => GuardRefusal::Cluster,
        ("late", "") => GuardRefusal::Late,
        ("epoch", epoch) => GuardRefusal::Epoch(Epoch(epoch.parse().ok()?)),
        ("doors", text) => GuardRefusal::Doors(text.chars().take(200).collect()),
        _ => return None,
    })
}
