//! How long a listed plan takes: its steps carried out in order as needs, links, budgets, bursts and circuits allow, each
//! in the shortest time it can take. An estimate for people: the executor sets its own pace.

use super::links::{Bound, Links, Port, Rates, Way};
use super::wakes::{self, Burst};
use dormouse_model::{Action, HostId, Mbps, Mib, Millis, Plan, Snapshot, Step};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The span that `sleeps.burst` speaks of.
const SLEEPS_SPAN: Millis = Millis::from_mins(10);

/// When the steps of a plan run, counted from its begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Start and end of each step, in the order of the plan.
    pub spans: Vec<(Millis, Millis)>,
    /// When the last move is over.
    pub moves_time: Millis,
    /// No order of these moves is over sooner: the most that one link, or the budgets, have to carry.
    pub moves_bound: Millis,
}

/// How long this plan would take on this picture. A step that needs what is not in the plan is held for nothing.
#[must_use]
pub fn pace(snapshot: &Snapshot, plan: &Plan) -> Pace {
    of_steps(snapshot, &plan.steps)
}

pub(super) fn of_steps(snapshot: &Snapshot, steps: &[Step]) -> Pace {
    let (rates, knobs) = (Rates::of(snapshot), &snapshot.cluster.policy.knobs);
    let mut run = Run::new(snapshot, &rates, steps);
    run.play();
    let ends = steps.iter().zip(&run.spans).filter(|(step, _)| is_move(step)).map(|(_, (_, end))| *end);
    let moves_time = ends.max().unwrap_or_default();
    let mut bound = Bound::new(&rates, knobs);
    let mut woken = vec![];
    for step in steps {
        match step.action {
            Action::Migrate { vm, from, to } => {
                let (way, mem) = (rates.way(from, to), snapshot.vm(vm).spec.mem);
                bound.add(&way, mem, mem.transfer_time(way.rate));
            }
            Action::Wake { host } => woken.push(host),
            Action::Sleep { .. } | Action::Start { .. } | Action::Stop { .. } | Action::Fence { .. } => {}
        }
    }
    let by_wakes = wakes::bound(snapshot, &woken, |host| bound.of(Port::inward(host)));
    let moves_bound = bound.least(by_wakes);
    Pace { spans: run.spans, moves_time, moves_bound }
}

fn is_move(step: &Step) -> bool {
    matches!(step.action, Action::Migrate { .. })
}

struct Run<'a> {
    snapshot: &'a Snapshot,
    rates: &'a Rates,
    steps: &'a [Step],
    /// By step: how many of its needs are not over, and who needs it.
    missing: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    /// Moves that need nothing more, first in the plan first; with the end at which each waited.
    ready: BinaryHeap<Reverse<(usize, Option<Port>)>>,
    /// Moves that wait for an end to become free.
    parked: Vec<BinaryHeap<Reverse<usize>>>,
    links: Links,
    /// Rate that each move got, by step.
    given: Vec<Mbps>,
    /// Boots as burst and circuits allow, by step.
    boots: Vec<Option<(Millis, Millis)>>,
    sleeps: Burst,
    running: BinaryHeap<Reverse<(Millis, usize)>>,
    spans: Vec<(Millis, Millis)>,
    now: Millis,
}

impl<'a> Run<'a> {
    fn new(snapshot: &'a Snapshot, rates: &'a Rates, steps: &'a [Step]) -> Self {
        let mut missing = vec![0; steps.len()];
        let mut dependents = vec![vec![]; steps.len()];
        for (index, step) in steps.iter().enumerate() {
            for need in step.needs.iter().filter(|need| need.index() < index) {
                missing[index] += 1;
                dependents[need.index()].push(index);
            }
        }
        let wakes: Vec<(usize, HostId)> = steps
            .iter()
            .enumerate()
            .filter_map(|(index, step)| match step.action {
                Action::Wake { host } => Some((index, host)),
                _ => None,
            })
            .collect();
        let hosts: Vec<HostId> = wakes.iter().map(|(_, host)| *host).collect();
        let mut boots = vec![None; steps.len()];
        for ((index, _), span) in wakes.iter().zip(wakes::times(snapshot, &hosts)) {
            boots[*index] = Some(span);
        }
        Self {
            snapshot,
            rates,
            steps,
            ready: BinaryHeap::new(),
            missing,
            dependents,
            parked: vec![BinaryHeap::new(); snapshot.hosts.len() * 2],
            links: Links::new(rates, &snapshot.cluster.policy.knobs),
            given: vec![Mbps::ZERO; steps.len()],
            boots,
            sleeps: Burst::new(snapshot.cluster.policy.knobs.sleeps_burst, SLEEPS_SPAN),
            running: BinaryHeap::new(),
            spans: vec![(Millis::ZERO, Millis::ZERO); steps.len()],
            now: Millis::ZERO,
        }
    }

    fn play(&mut self) {
        (0..self.steps.len())
            .filter(|at| self.missing[*at] == 0)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|at| self.may(at));
        loop {
            self.start_what_can();
            let Some(Reverse((now, index))) = self.running.pop() else { return };
            self.now = now;
            self.end(index);
            while self.running.peek().is_some_and(|Reverse((at, _))| *at == now) {
                let Some(Reverse((_, index))) = self.running.pop() else { break };
                self.end(index);
            }
        }
    }

    fn start_what_can(&mut self) {
        while self.links.any()
            && let Some(Reverse((index, waited))) = self.ready.pop()
        {
            let Some(way) = self.way(index) else { continue };
            let busy = way.ports().into_iter().find(|port| !self.links.has(*port, way.rate));
            match busy {
                Some(busy) => self.parked[busy.index()].push(Reverse(index)),
                None => {
                    let way = self.links.offer(&way);
                    self.links.take(&way);
                    self.given[index] = way.rate;
                    self.start(index);
                }
            }
            // Where it waited another may go instead, or beside it.
            if let Some(port) = waited.filter(|port| busy != Some(*port)) {
                self.call(port);
            }
        }
    }

    /// The first who waits for this end may try, if the end has anything to give.
    fn call(&mut self, port: Port) {
        if self.links.is_open(port)
            && let Some(Reverse(index)) = self.parked[port.index()].pop()
        {
            self.ready.push(Reverse((index, Some(port))));
        }
    }

    fn way(&self, index: usize) -> Option<Way> {
        match self.steps[index].action {
            Action::Migrate { from, to, .. } => Some(self.rates.way(from, to)),
            _ => None,
        }
    }

    fn start(&mut self, index: usize) {
        let span = match self.steps[index].action {
            Action::Migrate { vm, .. } => {
                let mem: Mib = self.snapshot.vm(vm).spec.mem;
                (self.now, self.now.saturating_add(mem.transfer_time(self.given[index])))
            }
            Action::Wake { host } => {
                let boot = self.snapshot.host(host).spec.boot;
                let (start, _) = self.boots[index].unwrap_or((self.now, self.now));
                let start = start.max(self.now);
                (start, start.saturating_add(boot))
            }
            Action::Sleep { host } => {
                let start = self.sleeps.next(self.now);
                self.sleeps.send(start);
                (start, start.saturating_add(self.snapshot.host(host).spec.shutdown))
            }
            Action::Start { .. } | Action::Stop { .. } | Action::Fence { .. } => (self.now, self.now),
        };
        self.spans[index] = span;
        self.running.push(Reverse((span.1, index)));
    }

    fn end(&mut self, index: usize) {
        if let Some(way) = self.way(index) {
            let way = Way { rate: self.given[index], ..way };
            self.links.give_back(&way);
            way.ports().into_iter().for_each(|port| self.call(port));
        }
        for dependent in std::mem::take(&mut self.dependents[index]) {
            self.missing[dependent] -= 1;
            if self.missing[dependent] == 0 {
                self.may(dependent);
            }
        }
    }

    /// Nothing that it needs is missing: a move looks for its links, all else starts.
    fn may(&mut self, index: usize) {
        if is_move(&self.steps[index]) {
            self.ready.push(Reverse((index, None)));
        } else {
            self.start(index);
        }
    }
}
