//! Who is heard from where. Each guest numbers its heartbeats; the lab hears each on the switch port of the host
//! it comes from. A guest that moves goes on counting on the other port; a guest that runs twice is heard from the
//! old port again, or with numbers the lab has already heard from elsewhere.
//!
//! Pure: packets and times in, counts out.

use std::collections::HashMap;

/// A heartbeat as it came off the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) uuid: [u8; 16],
    /// Drawn at each boot of the guest.
    pub(crate) nonce: u64,
    pub(crate) counter: u64,
}

impl Beat {
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(b"DMHB")?;
        let (uuid, rest) = rest.split_first_chunk::<16>()?;
        let (nonce, rest) = rest.split_first_chunk::<8>()?;
        let (counter, _) = rest.split_first_chunk::<8>()?;
        Some(Self { uuid: *uuid, nonce: u64::from_be_bytes(*nonce), counter: u64::from_be_bytes(*counter) })
    }
}

/// The last that was heard of one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) host: u16,
    pub(crate) nonce: u64,
    pub(crate) counter: u64,
    pub(crate) at_ms: u64,
}

/// What a heartbeat told beyond "still there".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// First heard, or heard after a new boot.
    Booted,
    Moved {
        from: u16,
    },
    /// Heard from two hosts in one stretch of its counter.
    Twice {
        other: u16,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    heard: HashMap<[u8; 16], Heard>,
    /// Boots that were followed by another boot: one of them heard again means two copies.
    ended: HashMap<[u8; 16], Vec<u64>>,
}

impl Heartbeats {
    pub(crate) fn hear(&mut self, beat: Beat, host: u16, at_ms: u64) -> Option<News> {
        let now = Heard { host, nonce: beat.nonce, counter: beat.counter, at_ms };
        let Some(last) = self.heard.get_mut(&beat.uuid) else {
            self.heard.insert(beat.uuid, now);
            return Some(News::Booted);
        };
        if last.nonce != beat.nonce {
            let ended = self.ended.entry(beat.uuid).or_default();
            if ended.contains(&beat.nonce) {
                return Some(News::Twice { other: last.host });
            }
            ended.push(last.nonce);
            *last = now;
            return Some(News::Booted);
        }
        if last.host == host {
            // A frame that was overtaken changes nothing.
            if beat.counter > last.counter {
                *last = now;
            }
            return None;
        }
        let from = last.host;
        if beat.counter <= last.counter {
            return Some(News::Twice { other: from });
        }
        *last = now;
        Some(News::Moved { from })
    }

    pub(crate) fn last(&self, uuid: &[u8; 16]) -> Option<Heard> {
        self.heard.get(uuid).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word is `boot.counter@host`; the answer names what each word told.
    fn story(words: &str) -> String {
        let mut beats = Heartbeats::default();
        let told = words.split_whitespace().map(|w| {
            let (beat, host) = w.split_once('@').unwrap();
            let (nonce, counter) = beat.split_once('.').unwrap();
            let beat =
                Beat { uuid: [7; 16], nonce: nonce.parse().unwrap(), counter: counter.parse().unwrap() };
            match beats.hear(beat, host.parse().unwrap(), 0) {
                None => "-".to_owned(),
                Some(News::Booted) => "boot".to_owned(),
                Some(News::Moved { from }) => format!("from{from}"),
                Some(News::Twice { other }) => format!("TWICE{other}"),
            }
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_move_goes_on_counting() {
        assert_eq!(story("1.1@1 1.2@1 1.3@2 1.4@2 1.5@1"), "boot - from1 - from2");
    }

    #[test]
    fn two_running_copies_are_told_apart_from_a_move() {
        assert_eq!(story("1.1@1 1.2@1 1.3@2 1.3@1"), "boot - from1 TWICE2");
        assert_eq!(story("1.1@1 1.9@1 1.4@2"), "boot - TWICE1");
    }

    #[test]
    fn a_restart_elsewhere_is_fine_until_the_old_copy_speaks_again() {
        assert_eq!(story("1.1@1 1.2@1 2.1@2 2.2@2"), "boot - boot -");
        assert_eq!(story("1.1@1 2.1@2 1.2@1"), "boot boot TWICE2");
    }
}
