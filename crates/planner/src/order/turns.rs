//! Which end chooses next: the one with most left to carry.

use super::links::Port;
use dormouse_model::Millis;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// Most left first, of equal ones the first port: one number, so that one comparison tells. Cut at 49 days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn(u64);

impl Turn {
    fn of(port: Port, left: Millis) -> Self {
        Self((left.0.min(u64::from(u32::MAX)) << 32) | u64::from(!port.number()))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half of it is the port")]
    const fn port(self) -> Port {
        Port::numbered(!(self.0 as u32))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Nothing changed there since it was last looked at, or nothing waits there.
    Quiet,
    /// To be looked at.
    Asked,
    /// Looked at, and all who wait there were kept away by something else.
    InVain,
}

/// Ends that are to be looked at, because something changed there.
pub(super) struct Turns {
    /// What was left when it was entered; what is left now may be less.
    asked: BinaryHeap<Turn>,
    stands: Vec<Stand>,
    in_vain: usize,
}

impl Turns {
    pub(super) fn new(ports: usize) -> Self {
        Self { asked: BinaryHeap::with_capacity(ports), stands: vec![Stand::Quiet; ports], in_vain: 0 }
    }

    pub(super) fn is_asked(&self, port: Port) -> bool {
        self.stands[port.index()] == Stand::Asked
    }

    pub(super) fn ask(&mut self, port: Port, left: Millis) {
        let was = std::mem::replace(&mut self.stands[port.index()], Stand::Asked);
        self.in_vain -= usize::from(was == Stand::InVain);
        self.asked.push(Turn::of(port, left));
    }

    /// The end with most left now. It is looked at no more until it is entered again.
    pub(super) fn next(&mut self, left: impl Fn(Port) -> Millis) -> Option<Port> {
        loop {
            let mut first = self.asked.peek_mut()?;
            let port = first.port();
            let now = Turn::of(port, left(port));
            if *first == now {
                PeekMut::pop(first);
                self.stands[port.index()] = Stand::Quiet;
                return Some(port);
            }
            // It took something since; its turn comes later.
            *first = now;
        }
    }

    /// This end could start nothing for the time being.
    pub(super) fn in_vain(&mut self, port: Port) {
        debug_assert!(self.stands[port.index()] == Stand::Quiet, "it has just had its turn");
        self.stands[port.index()] = Stand::InVain;
        self.in_vain += 1;
    }

    /// Is there any such end?
    pub(super) const fn any_in_vain(&self) -> bool {
        self.in_vain > 0
    }
}
