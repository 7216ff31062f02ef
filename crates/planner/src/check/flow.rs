//! The heaviest instant: what a host can come to hold when arrivals and departures may happen in many orders.
//!
//! Choosing a set of arrivals forces the departures that they need; the heaviest such choice is a cut of a small
//! network, found by its greatest flow. Nothing here knows what is weighed.

use std::collections::BTreeMap;

/// Source to arrivals to the departures they need to sink.
#[derive(Clone)]
pub(super) struct Network {
    /// What is left to send into each arrival, and out of each departure.
    arrivals: Vec<u128>,
    departures: Vec<u128>,
    /// For each arrival the departures that are over before it comes.
    needs: Vec<Vec<usize>>,
    flow: BTreeMap<(usize, usize), u128>,
}

impl Network {
    pub(super) fn new(arrivals: Vec<u128>, departures: Vec<u128>, needs: Vec<Vec<usize>>) -> Self {
        Self { arrivals, departures, needs, flow: BTreeMap::new() }
    }

    /// What is left to choose where one arrival has come for certain; what it brings; what the departures that it
    /// forces have freed.
    fn with(&self, arrival: usize) -> (Self, u128, u128) {
        let mut rest = self.clone();
        let gone = self.needs[arrival].iter().map(|at| std::mem::take(&mut rest.departures[*at])).sum();
        let come = std::mem::take(&mut rest.arrivals[arrival]);
        (rest, come, gone)
    }

    /// The heaviest instant at which something has come or is coming, on a host that holds too much at first: each
    /// arrival in turn is there for certain.
    pub(super) fn peak(&self, first: u128) -> u128 {
        let forced = |arrival| {
            let (rest, come, gone) = self.with(arrival);
            (first + come + rest.heaviest()).saturating_sub(gone)
        };
        (0..self.arrivals.len()).map(forced).max().unwrap_or(0)
    }

    /// The most that arrivals can outweigh the departures that they force.
    pub(super) fn heaviest(&self) -> u128 {
        self.arrivals.iter().sum::<u128>() - self.clone().max_flow()
    }

    fn max_flow(&mut self) -> u128 {
        let mut sum = 0;
        for start in 0..self.arrivals.len() {
            while self.arrivals[start] > 0 {
                let pushed = self.augment(start);
                if pushed == 0 {
                    break;
                }
                self.arrivals[start] -= pushed;
                sum += pushed;
            }
        }
        sum
    }

    /// One path from an arrival to a departure with something left, over flows that can be turned back.
    fn augment(&mut self, start: usize) -> u128 {
        // For each departure reached, the arrival it was reached from; for each arrival, the departure.
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        let mut came_by: BTreeMap<usize, Option<usize>> = BTreeMap::from([(start, None)]);
        let mut open = vec![start];
        while let Some(arrival) = open.pop() {
            for departure in self.needs[arrival].clone() {
                if reached.contains_key(&departure) {
                    continue;
                }
                reached.insert(departure, arrival);
                if self.departures[departure] > 0 {
                    return self.push_along(start, departure, &reached, &came_by);
                }
                for other in 0..self.arrivals.len() {
                    let turned = self.flow.get(&(other, departure)).is_some_and(|flow| *flow > 0);
                    if turned && !came_by.contains_key(&other) {
                        came_by.insert(other, Some(departure));
                        open.push(other);
                    }
                }
            }
        }
        0
    }

    fn push_along(
        &mut self,
        start: usize,
        end: usize,
        reached: &BTreeMap<usize, usize>,
        came_by: &BTreeMap<usize, Option<usize>>,
    ) -> u128 {
        let mut amount = self.arrivals[start].min(self.departures[end]);
        let mut path = vec![];
        let mut departure = end;
        loop {
            let arrival = reached[&departure];
            path.push((arrival, departure, true));
            match came_by[&arrival] {
                None => break,
                Some(back) => {
                    amount = amount.min(self.flow[&(arrival, back)]);
                    path.push((arrival, back, false));
                    departure = back;
                }
            }
        }
        for (arrival, departure, forth) in path {
            let flow = self.flow.entry((arrival, departure)).or_insert(0);
            *flow = if forth { *flow + amount } else { *flow - amount };
        }
        self.departures[end] -= amount;
        amount
    }
}
