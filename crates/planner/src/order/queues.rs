//! Who waits at each end of each link, in an order that holds while others leave.

use super::links::{Port, Way};
use dormouse_model::{HostId, Millis};

/// A job that waits at an end, with what is looked at most often.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) job: u32,
    /// Its other end.
    pub(super) other: Port,
    /// In milliseconds, cut at 49 days.
    time: u32,
}

impl Waiting {
    /// Fills room that no list uses yet.
    const NOBODY: Self = Self { job: 0, other: Port::inward(HostId(0)), time: 0 };

    pub(super) fn new(job: u32, other: Port, time: Millis) -> Self {
        Self { job, other, time: u32::try_from(time.0).unwrap_or(u32::MAX) }
    }

    /// How long it takes; `None`: longer than can be told here.
    pub(super) fn time(&self) -> Option<Millis> {
        (self.time < u32::MAX).then_some(Millis(u64::from(self.time)))
    }
}

/// A list up to this length is closed up whenever somebody has left it.
const SHORT: usize = 64;

/// Each waiting job stands in two lists: that of its destination and that of its source.
///
/// All lists are parts of one block of memory. Who leaves is only crossed off: the other list of each job is far away in
/// memory, and is closed up when it is looked at anyway, a long one when most of it has left.
pub(super) struct Queues {
    block: Vec<Waiting>,
    /// By port.
    lists: Vec<List>,
    /// By job.
    waits: Vec<bool>,
}

/// Where in the block a list begins and ends, and how far it may grow.
#[derive(Clone, Copy)]
struct List {
    start: u32,
    end: u32,
    limit: u32,
    /// How many in it still wait.
    waiting: u32,
}

fn place(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than 2^32 moves")
}

impl Queues {
    /// Empty lists with room for so many each.
    pub(super) fn new(jobs: usize, counts: impl Iterator<Item = u32>) -> Self {
        let mut sum = 0usize;
        let lists = counts
            .map(|count| {
                let start = place(sum);
                sum += count as usize;
                List { start, end: start, limit: place(sum), waiting: 0 }
            })
            .collect();
        Self { block: vec![Waiting::NOBODY; sum], lists, waits: Vec::with_capacity(jobs) }
    }

    /// Puts the next job last in both lists.
    pub(super) fn push(&mut self, job: u32, way: &Way, time: Millis) {
        debug_assert_eq!(self.waits.len(), job as usize, "jobs are numbered as they come");
        self.waits.push(true);
        for port in way.ports() {
            if self.lists[port.index()].end == self.lists[port.index()].limit {
                self.grow(port);
            }
            let list = &mut self.lists[port.index()];
            self.block[list.end as usize] = Waiting::new(job, way.other(port), time);
            list.end += 1;
            list.waiting += 1;
        }
    }

    /// Moves a list to the end of the block, with as much room again.
    fn grow(&mut self, port: Port) {
        let waiting: Vec<Waiting> = self.of(port).copied().collect();
        let start = self.block.len();
        self.block.extend_from_slice(&waiting);
        let end = self.block.len();
        self.block.resize(end + waiting.len() + 4, Waiting::NOBODY);
        let (end, limit) = (place(end), place(self.block.len()));
        self.lists[port.index()] = List { start: place(start), end, limit, waiting: place(waiting.len()) };
    }

    pub(super) fn remove(&mut self, job: u32, ports: [Port; 2]) {
        self.waits[job as usize] = false;
        for port in ports {
            self.lists[port.index()].waiting -= 1;
        }
    }

    pub(super) fn is_empty(&self, port: Port) -> bool {
        self.lists[port.index()].waiting == 0
    }

    pub(super) fn of(&self, port: Port) -> impl Iterator<Item = &Waiting> + '_ {
        let list = self.lists[port.index()];
        let part = &self.block[list.start as usize..list.end as usize];
        part.iter().filter(|waiting| self.waits[waiting.job as usize])
    }

    /// Closes the gaps of a list, if that is worth it.
    pub(super) fn close_up(&mut self, port: Port) {
        let list = &mut self.lists[port.index()];
        let (start, end, waiting) = (list.start as usize, list.end as usize, list.waiting as usize);
        let length = end - start;
        if waiting == length || length > SHORT && waiting * 2 > length {
            return;
        }
        let mut last = start;
        for at in start..end {
            let one = self.block[at];
            self.block[last] = one;
            last += usize::from(self.waits[one.job as usize]);
        }
        list.end = place(last);
    }
}
