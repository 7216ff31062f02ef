//! When hosts come up: who is woken first, under the burst that the gate allows and what each circuit bears.

use dormouse_model::{Because, HostId, HostState, Millis, Snapshot};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// The span that `wakes.burst` speaks of.
const BURST_SPAN: Millis = Millis::from_secs(10);

/// The host whose boot and inflow together take longest is woken first: whichever wake comes last has the least to do
/// after it, so no other order under the burst ends earlier (Jackson's rule for delivery times). Of equal ones those come
/// first that take from different sources, so that hosts which come up together need not wait for one link.
pub(super) fn first_things_first(
    snapshot: &Snapshot,
    wakes: &mut [(HostId, Because)],
    inflow: impl Fn(HostId) -> Millis,
    turn: impl Fn(HostId) -> u32,
) {
    wakes.sort_by_cached_key(|(host, _)| (Reverse(tail(snapshot, *host, &inflow)), turn(*host)));
}

fn tail(snapshot: &Snapshot, host: HostId, inflow: &impl Fn(HostId) -> Millis) -> Millis {
    snapshot.host(host).spec.boot.saturating_add(inflow(host))
}

/// At most so many starts within a span.
pub(super) struct Burst {
    limit: usize,
    span: Millis,
    sent: VecDeque<Millis>,
}

impl Burst {
    /// A limit of zero would start nothing; that is the gate's to say.
    pub(super) fn new(limit: u32, span: Millis) -> Self {
        Self { limit: limit.max(1) as usize, span, sent: VecDeque::new() }
    }

    pub(super) fn of_wakes(snapshot: &Snapshot) -> Self {
        Self::new(snapshot.cluster.policy.knobs.wakes_burst, BURST_SPAN)
    }

    /// The first time from `now` on at which one more may start.
    pub(super) fn next(&mut self, now: Millis) -> Millis {
        while self.sent.front().is_some_and(|first| first.saturating_add(self.span) <= now) {
            self.sent.pop_front();
        }
        match self.sent.len().checked_sub(self.limit) {
            Some(over) => self.sent[over].saturating_add(self.span),
            None => now,
        }
    }

    pub(super) fn send(&mut self, now: Millis) {
        self.sent.push_back(now);
    }
}

/// Start and end of each boot when hosts are woken in this order: each as soon as burst and circuit allow.
pub(super) fn times(snapshot: &Snapshot, hosts: &[HostId]) -> Vec<(Millis, Millis)> {
    let mut times = vec![(Millis::ZERO, Millis::ZERO); hosts.len()];
    let mut circuits = Circuits::of(snapshot);
    // Those whose circuit bears one more, first in the order first; the others wait at their circuit.
    let mut ready: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
    for (place, host) in hosts.iter().enumerate() {
        if let Some(place) = circuits.ask(*host, place) {
            ready.push(Reverse(place));
        }
    }
    let mut burst = Burst::of_wakes(snapshot);
    let mut now = Millis::ZERO;
    loop {
        circuits.up_to(now, &mut ready);
        match ready.pop() {
            Some(Reverse(place)) => {
                now = burst.next(now);
                circuits.up_to(now, &mut ready);
                // One that became ready meanwhile may come before it.
                ready.push(Reverse(place));
                let Some(Reverse(place)) = ready.pop() else { break };
                let end = now.saturating_add(snapshot.host(hosts[place]).spec.boot);
                burst.send(now);
                circuits.boots(hosts[place], end);
                times[place] = (now, end);
            }
            None => match circuits.next_up() {
                Some(next) => now = now.max(next),
                None => break,
            },
        }
    }
    times
}

/// Hosts on fuses: which boot, and which wait for that.
struct Circuits {
    /// By host.
    of: Vec<Option<usize>>,
    /// Boots that each still bears.
    left: Vec<u32>,
    waiting: Vec<VecDeque<usize>>,
    /// Boots that end, soonest first.
    ends: BinaryHeap<Reverse<(Millis, usize)>>,
}

impl Circuits {
    fn of(snapshot: &Snapshot) -> Self {
        let circuits = &snapshot.cluster.circuits;
        let by_name: BTreeMap<&str, usize> =
            circuits.iter().enumerate().map(|(index, circuit)| (circuit.name.as_str(), index)).collect();
        let of = |host: &dormouse_model::Host| by_name.get(host.spec.circuit.as_deref()?).copied();
        let mut these = Self {
            of: snapshot.hosts.iter().map(of).collect(),
            left: circuits.iter().map(|circuit| circuit.wakes.max(1)).collect(),
            waiting: vec![VecDeque::new(); circuits.len()],
            ends: BinaryHeap::new(),
        };
        // Who is waking already takes its place until it should be up.
        for host in snapshot.host_ids().filter(|host| snapshot.host(*host).state == HostState::Waking) {
            if let Some(circuit) = these.of[host.index()] {
                let seen = snapshot.host(host);
                these.left[circuit] = these.left[circuit].saturating_sub(1);
                these.ends.push(Reverse((seen.spec.boot.saturating_sub(seen.in_state), circuit)));
            }
        }
        these
    }

    /// Its turn now, or it waits.
    fn ask(&mut self, host: HostId, place: usize) -> Option<usize> {
        let Some(circuit) = self.of[host.index()] else { return Some(place) };
        if self.left[circuit] == 0 {
            self.waiting[circuit].push_back(place);
            return None;
        }
        self.left[circuit] -= 1;
        Some(place)
    }

    fn boots(&mut self, host: HostId, end: Millis) {
        if let Some(circuit) = self.of[host.index()] {
            self.ends.push(Reverse((end, circuit)));
        }
    }

    fn next_up(&self) -> Option<Millis> {
        self.ends.peek().map(|Reverse((end, _))| *end)
    }

    /// Lets in who waited for boots that are over by then.
    fn up_to(&mut self, now: Millis, ready: &mut BinaryHeap<Reverse<usize>>) {
        while let Some(Reverse((_, circuit))) =
            self.ends.peek().copied().filter(|Reverse((end, _))| *end <= now)
        {
            self.ends.pop();
            match self.waiting[circuit].pop_front() {
                Some(place) => ready.push(Reverse(place)),
                None => self.left[circuit] += 1,
            }
        }
    }
}

/// No order brings these hosts up and their moves in sooner: of any so many the last is woken no sooner than the burst
/// (or, on one circuit, the boots before it) allows, and then has its own boot and inflow to do.
pub(super) fn bound(snapshot: &Snapshot, hosts: &[HostId], inflow: impl Fn(HostId) -> Millis) -> Millis {
    let burst = snapshot.cluster.policy.knobs.wakes_burst.max(1) as usize;
    let tails = |hosts: &mut dyn Iterator<Item = HostId>| {
        let mut tails: Vec<Millis> = hosts
            .filter(|host| inflow(*host) > Millis::ZERO)
            .map(|host| tail(snapshot, host, &inflow))
            .collect();
        tails.sort_unstable_by_key(|tail| Reverse(*tail));
        tails
    };
    let least = |tails: Vec<Millis>, at_once: usize, each: Millis| {
        let waits = |turn: usize| Millis(each.0.saturating_mul((turn / at_once) as u64));
        let ends = tails.iter().enumerate().map(|(turn, tail)| tail.saturating_add(waits(turn)));
        ends.max().unwrap_or_default()
    };
    let by_burst = least(tails(&mut hosts.iter().copied()), burst, BURST_SPAN);
    let by_circuit = snapshot.cluster.circuits.iter().map(|circuit| {
        let on_it = |host: &HostId| snapshot.host(*host).spec.circuit.as_ref() == Some(&circuit.name);
        let boots = hosts.iter().copied().filter(on_it).map(|host| snapshot.host(host).spec.boot);
        let shortest = boots.min().unwrap_or_default();
        least(tails(&mut hosts.iter().copied().filter(on_it)), circuit.wakes.max(1) as usize, shortest)
    });
    by_circuit.max().unwrap_or_default().max(by_burst)
}
