//! Who waits at each end of each link, in an order that holds while others leave.

use super::links::{Port, Way};
use dormouse_model::Mbps;

/// A job that waits at an end, with what is looked at most often.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) job: u32,
    /// Its other end.
    pub(super) other: Port,
    pub(super) rate: Mbps,
}

/// Each waiting job stands in two lists: that of its destination and that of its source.
pub(super) struct Queues {
    lists: Vec<List>,
    /// Where it stands in each of the two, by job and side.
    places: Vec<[u32; 2]>,
}

/// Those who left leave a gap, and gaps are closed when they are the larger part.
#[derive(Default)]
struct List {
    entries: Vec<Option<Waiting>>,
    gaps: usize,
}

impl Queues {
    pub(super) fn new(hosts: usize, jobs: usize) -> Self {
        let lists = std::iter::repeat_with(List::default).take(hosts * 2).collect();
        Self { lists, places: Vec::with_capacity(jobs) }
    }

    /// Puts the next job last in both lists.
    pub(super) fn push(&mut self, job: u32, way: &Way) {
        let mut places = [0; 2];
        for port in way.ports() {
            let entries = &mut self.lists[port.index()].entries;
            places[port.side()] = u32::try_from(entries.len()).expect("fewer than 2^32 moves");
            entries.push(Some(Waiting { job, other: way.other(port), rate: way.rate }));
        }
        debug_assert_eq!(self.places.len(), job as usize, "jobs are numbered as they come");
        self.places.push(places);
    }

    pub(super) fn remove(&mut self, job: u32, way: &Way) {
        for port in way.ports() {
            let list = &mut self.lists[port.index()];
            list.entries[self.places[job as usize][port.side()] as usize] = None;
            list.gaps += 1;
            if list.gaps * 2 > list.entries.len() {
                list.entries.retain(Option::is_some);
                list.gaps = 0;
                for (place, waiting) in (0..).zip(list.entries.iter().flatten()) {
                    self.places[waiting.job as usize][port.side()] = place;
                }
            }
        }
    }

    pub(super) fn len(&self, port: Port) -> usize {
        let list = &self.lists[port.index()];
        list.entries.len() - list.gaps
    }

    pub(super) fn is_empty(&self, port: Port) -> bool {
        self.len(port) == 0
    }

    pub(super) fn of(&self, port: Port) -> impl Iterator<Item = Waiting> + '_ {
        self.lists[port.index()].entries.iter().flatten().copied()
    }
}
