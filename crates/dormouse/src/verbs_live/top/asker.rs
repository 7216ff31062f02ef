//! Asks the daemon on a thread of its own: a daemon that is slow, gone or started anew leaves the keys and the screen alone.

use super::picture::Seen;
use crate::cli::Failure;
use crate::daemon::client::Client;
use crate::daemon::wire::{OrderView, OrderWord, Verb, WhyView};
use dormouse_driver::EventRecord;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Lines of the trail that are kept at hand.
const TRAIL: usize = 200;

/// What a person wants of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Why(String),
    Order(OrderWord),
}

#[derive(Debug)]
pub(super) enum Told {
    Seen(Box<Seen>),
    /// The daemon does not answer, and why.
    Silent(String),
    /// The answer to a wish.
    Said(Said),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Many lines, ready to be shown.
    Why(String),
    Done(String),
    Refused(String),
}

#[derive(Debug)]
pub(super) struct Asker {
    wishes: Sender<Wish>,
    told: Receiver<Told>,
}

impl Asker {
    pub(super) fn start(socket: PathBuf, every: Duration) -> io::Result<Self> {
        let (wishes, to_ask) = channel();
        let (tell, told) = channel();
        // It ends when the screen has gone: nobody listens any more.
        std::thread::Builder::new()
            .name("top-asker".to_owned())
            .spawn(move || ask_for_ever(&socket, every, &to_ask, &tell))?;
        Ok(Self { wishes, told })
    }

    pub(super) fn told(&self) -> Option<Told> {
        self.told.try_recv().ok()
    }

    pub(super) fn wish(&self, wish: Wish) {
        // It lives as long as we do; should it have ended after all, the screen says that nobody answers.
        let _ = self.wishes.send(wish);
    }
}

fn ask_for_ever(socket: &Path, every: Duration, wishes: &Receiver<Wish>, tell: &Sender<Told>) {
    let mut client = None;
    loop {
        let told = match look(&mut client, socket) {
            Ok(seen) => Told::Seen(Box::new(seen)),
            Err(failure) => {
                client = None;
                Told::Silent(failure.one_line())
            }
        };
        if tell.send(told).is_err() {
            return;
        }
        match wishes.recv_timeout(every) {
            Ok(wish) => {
                if tell.send(Told::Said(carry(socket, wish))).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// One connection for as long as it lasts.
fn look(client: &mut Option<Client>, socket: &Path) -> Result<Seen, Failure> {
    let client = match client {
        Some(client) => client,
        none => none.insert(Client::to(socket)?),
    };
    let trail: Vec<EventRecord> =
        client.ask(Verb::Events { after: None, last: Some(TRAIL), follow: false })?;
    Ok(Seen {
        status: client.ask(Verb::Status)?,
        hosts: client.ask(Verb::Hosts)?,
        vms: client.ask(Verb::Vms)?,
        trail,
    })
}

fn carry(socket: &Path, wish: Wish) -> Said {
    let refused = |failure: Failure| Said::Refused(failure.one_line());
    let mut client = match Client::to(socket) {
        Ok(client) => client,
        Err(failure) => return refused(failure),
    };
    match wish {
        Wish::Why(name) => client
            .ask::<WhyView>(Verb::Why { name })
            .map_or_else(refused, |why| Said::Why(anstream::adapter::strip_str(&why.text).to_string())),
        Wish::Order(order) => client
            .order(order)
            .map_or_else(refused, |OrderView { order, .. }| Said::Done(format!("{order}: under way"))),
    }
}
