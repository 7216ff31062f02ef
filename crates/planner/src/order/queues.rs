//! Who waits at each end of each link, in an order that holds while others leave.

use super::links::{Port, Way};
use dormouse_model::{HostId, Mbps, Millis};

/// A job that waits at an end, with what is looked at most often.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) job: u32,
    /// Its other end.
    pub(super) other: Port,
    /// In megabits a second; no link that a plan is made for has more than 32 bits of them.
    rate: u32,
    /// Of two with the same right the longer goes first. Cut at 49 days.
    pub(super) time: u32,
}

impl Waiting {
    /// Fills room that no list uses yet.
    const NOBODY: Self = Self { job: 0, other: Port::inward(HostId(0)), rate: 0, time: 0 };

    pub(super) fn rate(&self) -> Mbps {
        Mbps(u64::from(self.rate))
    }
}

/// Each waiting job stands in two lists: that of its destination and that of its source.
///
/// All lists are parts of one block of memory, each as long as it has to be. Jobs stand in the order of their numbers.
pub(super) struct Queues {
    block: Vec<Waiting>,
    /// By port.
    lists: Vec<List>,
}

/// Where in the block a list begins and ends, and how far it may grow.
#[derive(Clone, Copy)]
struct List {
    start: u32,
    end: u32,
    limit: u32,
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than 2^32 moves")
}

impl Queues {
    /// Empty lists with room for so many each.
    pub(super) fn new(counts: impl Iterator<Item = u32>) -> Self {
        let mut sum = 0usize;
        let lists = counts
            .map(|count| {
                let start = place(sum);
                sum += count as usize;
                List { start, end: start, limit: place(sum) }
            })
            .collect();
        Self { block: vec![Waiting::NOBODY; sum], lists }
    }

    /// Puts a job with a number above all others last in both lists.
    pub(super) fn push(&mut self, job: u32, way: &Way, time: Millis) {
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let (rate, time) = (short(way.rate.0), short(time.0));
        for port in way.ports() {
            if self.lists[port.index()].end == self.lists[port.index()].limit {
                self.grow(port);
            }
            let list = &mut self.lists[port.index()];
            self.block[list.end as usize] = Waiting { job, other: way.other(port), rate, time };
            list.end += 1;
        }
    }

    /// Moves a list to the end of the block, with as much room again.
    fn grow(&mut self, port: Port) {
        let old = self.of(port).to_vec();
        let start = self.block.len();
        self.block.extend_from_slice(&old);
        let end = self.block.len();
        self.block.resize(end + old.len() + 4, Waiting::NOBODY);
        self.lists[port.index()] =
            List { start: place(start), end: place(end), limit: place(self.block.len()) };
    }

    /// The shorter part of the list closes the gap.
    pub(super) fn remove(&mut self, job: u32, way: &Way) {
        for port in way.ports() {
            let list = &mut self.lists[port.index()];
            let (start, end) = (list.start as usize, list.end as usize);
            let Ok(at) = self.block[start..end].binary_search_by_key(&job, |waiting| waiting.job) else {
                debug_assert!(false, "who does not wait was taken from a list");
                continue;
            };
            let at = start + at;
            if at - start < end - at {
                self.block.copy_within(start..at, start + 1);
                list.start += 1;
            } else {
                self.block.copy_within(at + 1..end, at);
                list.end -= 1;
            }
        }
    }

    pub(super) fn is_empty(&self, port: Port) -> bool {
        let list = self.lists[port.index()];
        list.start == list.end
    }

    pub(super) fn of(&self, port: Port) -> &[Waiting] {
        let list = self.lists[port.index()];
        &self.block[list.start as usize..list.end as usize]
    }
}
