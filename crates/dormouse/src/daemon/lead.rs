//! Keeping the lead: renews the term in time and says when it is lost. Decides nothing else.

use super::Rim;
use super::runner::{Ended, Input};
use dormouse_control::Event;
use dormouse_driver::{LeaseError, Term};
use dormouse_model::Mono;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The lead, and when it was asked for: the term counts from then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lead {
    pub(crate) term: Term,
    pub(crate) asked: Mono,
}

/// Keeps the lead until it is lost. Then the loop ends: whoever led meanwhile wrote what we do not know.
pub(super) async fn keep_lead(
    rim: Rim,
    Lead { term, mut asked }: Lead,
    inbox: mpsc::Sender<Input>,
    trouble: watch::Sender<Option<String>>,
) {
    let every = Duration::from_millis(term.lasts.0 / 3);
    let mut until = asked + term.lasts;
    let mut renew_at = tokio::time::Instant::now();
    if inbox.send(Input::Event(Event::Leads { epoch: term.epoch, until })).await.is_err() {
        return;
    }
    loop {
        renew_at += every;
        tokio::time::sleep_until(renew_at).await;
        asked = rim.clock.mono();
        match rim.lease.renew(term.epoch).await {
            Ok(renewed) => {
                trouble.send_replace(None);
                until = asked + renewed.lasts;
                if inbox.send(Input::Event(Event::Leads { epoch: term.epoch, until })).await.is_err() {
                    return;
                }
            }
            Err(LeaseError::Over(_)) => {
                tracing::error!("the lead was lost: nothing is started until it is taken again");
                _ = inbox.send(Input::Event(Event::Deposed)).await;
                _ = inbox.send(Input::Stop(Ended::Deposed)).await;
                return;
            }
            // The term ends by itself when this goes on; the controller sees to that.
            Err(error) => {
                let over = rim.clock.mono() >= until;
                if over && trouble.borrow().is_none() {
                    tracing::error!("the lead is over without a renewal, and nothing is started: {error}");
                } else if !over {
                    tracing::warn!("the lead could not be renewed: {error}");
                }
                trouble.send_if_modified(|why| {
                    let first = over && why.is_none();
                    if first {
                        *why = Some(error.to_string());
                    }
                    first
                });
                // After a pause of ours there is nothing to catch up with.
                renew_at = renew_at.max(tokio::time::Instant::now() - every);
            }
        }
    }
}

/// What another manager is told about us.
pub(crate) fn who() -> String {
    // A service may not see all of /proc.
    let host = ["/proc/sys/kernel/hostname", "/etc/hostname"].map(std::fs::read_to_string);
    let host = host.into_iter().find_map(Result::ok).unwrap_or_default();
    format!("dormouse, process {} on {}", std::process::id(), host.trim())
}
