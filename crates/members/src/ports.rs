//! Ports that nobody else takes while a member that listens there is away.
//!
//! A port that the kernel hands out may be handed out again the moment it is free, also for an outgoing connection. So ours
//! lie below those, and each is held by a UDP socket of the same number, which is no hindrance to TCP and keeps other tests
//! away.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what Linux hands out by itself, above what services use.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _held: UdpSocket,
}

impl Port {
    /// One on which nobody listens now.
    pub(crate) fn free() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes begin at places of their own.
        let begin = u16::try_from(std::process::id().wrapping_mul(7_919) % u32::from(COUNT)).unwrap_or(0);
        for _ in 0..COUNT {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (begin + turn % COUNT) % COUNT;
            let Ok(held) = UdpSocket::bind(("127.0.0.1", number)) else { continue };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _held: held };
            }
        }
        panic!("all ports from {FIRST} on are taken");
    }

    pub(crate) const fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_given_twice_while_it_is_held_or_listened_on() {
        let held: Vec<Port> = (0..50).map(|_| Port::free()).collect();
        let numbers: BTreeSet<u16> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 50);
        let listener = TcpListener::bind(("127.0.0.1", held[0].number())).expect("ours to listen on");
        drop(held);
        let again: Vec<Port> = (0..50).map(|_| Port::free()).collect();
        let taken = listener.local_addr().expect("its number").port();
        assert!(again.iter().all(|port| port.number() != taken));
    }
}
