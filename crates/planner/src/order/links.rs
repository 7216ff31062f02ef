//! What may run at once, and the time that no order beats.
//!
//! A move gets the full rate of the narrower of its two links, or at least half of it, or waits: two moves that share a
//! link end no sooner than one after the other, and the first of them later. So on equal links one move enters and one
//! leaves a host at a time; a wide link takes several from narrow ones, as many as the budgets allow.

use crate::picture::Picture;
use dormouse_model::{HostId, Knobs, Mbps, Mib, Millis, Snapshot};

/// One direction of a host's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port(u32);

impl Port {
    pub(super) const fn inward(host: HostId) -> Self {
        Self(host.0 * 2)
    }
    pub(super) const fn outward(host: HostId) -> Self {
        Self(host.0 * 2 + 1)
    }
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
    /// One number for each port, and back.
    pub(super) const fn number(self) -> u32 {
        self.0
    }
    pub(super) const fn numbered(number: u32) -> Self {
        Self(number)
    }
    /// 0 inward, 1 outward.
    pub(super) const fn side(self) -> usize {
        (self.0 % 2) as usize
    }
    pub(super) const fn host(self) -> HostId {
        HostId(self.0 / 2)
    }
    pub(super) fn all(hosts: usize) -> impl Iterator<Item = Self> {
        (0..hosts).map(HostId::at).flat_map(|host| [Self::inward(host), Self::outward(host)])
    }
}

/// Where a move goes and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) from: HostId,
    pub(super) to: HostId,
    pub(super) rate: Mbps,
}

impl Way {
    pub(super) const fn ports(&self) -> [Port; 2] {
        [Port::inward(self.to), Port::outward(self.from)]
    }

    /// The end that is not this one.
    pub(super) const fn other(&self, port: Port) -> Port {
        if port.side() == 0 { Port::outward(self.from) } else { Port::inward(self.to) }
    }
}

/// The rate of each host's link.
pub(super) struct Rates(Vec<Mbps>);

impl Rates {
    /// A link without any rate would never end; the slowest there is stands for it.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self::from_links(snapshot.hosts.iter().map(|host| host.spec.link))
    }

    /// The same from a picture, which has them side by side.
    pub(super) fn in_picture(picture: &Picture<'_>) -> Self {
        Self::from_links(picture.hosts.iter().map(|host| host.link))
    }

    fn from_links(links: impl Iterator<Item = Mbps>) -> Self {
        Self(links.map(|link| link.max(Mbps(1))).collect())
    }

    pub(super) fn way(&self, from: HostId, to: HostId) -> Way {
        Way { from, to, rate: self.0[from.index()].min(self.0[to.index()]) }
    }
}

/// A budget of zero would carry out nothing; that is the gate's to say, not a reason to have no order.
fn budgets(knobs: &Knobs) -> [u32; 2] {
    [knobs.moves_host_in.max(1), knobs.moves_host_out.max(1)]
}

/// No limit is written as zero.
fn all(knobs: &Knobs) -> u32 {
    if knobs.moves_all == 0 { u32::MAX } else { knobs.moves_all }
}

/// One end of a link: what is still free of it, and what it has still to carry.
#[derive(Clone, Copy)]
struct End {
    /// Rate that nobody uses, and all there is.
    rate: Mbps,
    full: Mbps,
    /// Time that the moves which wait here take.
    left: Millis,
    /// Moves that may still start.
    budget: u32,
}

impl End {
    /// Could a move of that full rate start here?
    fn has(&self, full: Mbps) -> bool {
        self.budget > 0 && self.rate.0.saturating_mul(2) >= full.0
    }
}

/// What is still free of links and budgets.
pub(super) struct Links {
    /// By port.
    ends: Vec<End>,
    all: u32,
    rationed: bool,
}

impl Links {
    pub(super) fn new(rates: &Rates, knobs: &Knobs) -> Self {
        let [into, out] = budgets(knobs);
        let end = |rate: Mbps, budget: u32| End { rate, full: rate, left: Millis::ZERO, budget };
        let ends = rates.0.iter().flat_map(|rate| [end(*rate, into), end(*rate, out)]).collect();
        Self { ends, all: all(knobs), rationed: knobs.moves_all > 0 }
    }

    /// May any move start at all?
    pub(super) const fn any(&self) -> bool {
        self.all > 0
    }

    /// Is there a limit on all moves together that may keep an end waiting?
    pub(super) const fn are_rationed(&self) -> bool {
        self.rationed
    }

    /// Has this end anything left to give?
    pub(super) fn is_open(&self, port: Port) -> bool {
        let end = &self.ends[port.index()];
        end.budget > 0 && end.rate > Mbps::ZERO
    }

    /// Could a move of that full rate start here?
    pub(super) fn has(&self, port: Port, full: Mbps) -> bool {
        self.ends[port.index()].has(full)
    }

    /// Time that those who wait at the other end take, if a move between these two ends could start.
    pub(super) fn left_if_free(&self, port: Port, other: Port) -> Option<Millis> {
        let (end, other) = (&self.ends[port.index()], &self.ends[other.index()]);
        let full = end.full.min(other.full);
        (other.has(full) && end.has(full)).then_some(other.left)
    }

    /// The way between these two ends at the full rate of the narrower one.
    pub(super) fn way(&self, port: Port, other: Port) -> Way {
        let rate = self.ends[port.index()].full.min(self.ends[other.index()].full);
        let (into, out) = if port.side() == 0 { (port, other) } else { (other, port) };
        Way { from: out.host(), to: into.host(), rate }
    }

    /// Time that those who wait here take.
    pub(super) fn left(&self, port: Port) -> Millis {
        self.ends[port.index()].left
    }

    /// One more waits at both ends of this way.
    pub(super) fn waits(&mut self, way: &Way, time: Millis) {
        for port in way.ports() {
            let left = &mut self.ends[port.index()].left;
            *left = left.saturating_add(time);
        }
    }

    /// One of them waits no longer.
    pub(super) fn no_longer_waits(&mut self, ports: [Port; 2], time: Millis) {
        for port in ports {
            let left = &mut self.ends[port.index()].left;
            *left = left.saturating_sub(time);
        }
    }

    /// The way at the rate that it gets now.
    pub(super) fn offer(&self, way: &Way) -> Way {
        let free = way.ports().map(|port| self.ends[port.index()].rate);
        Way { rate: way.rate.min(free[0]).min(free[1]).max(Mbps(1)), ..*way }
    }

    pub(super) fn take(&mut self, way: &Way) {
        for port in way.ports() {
            let end = &mut self.ends[port.index()];
            end.rate -= way.rate;
            end.budget -= 1;
        }
        self.all -= 1;
    }

    pub(super) fn give_back(&mut self, way: &Way) {
        for port in way.ports() {
            let end = &mut self.ends[port.index()];
            end.rate += way.rate;
            end.budget += 1;
        }
        self.all += 1;
    }
}

/// Adds up what the ends have to carry.
///
/// The bytes into or out of one host cannot pass its link faster, nor can they pass in fewer turns than the budgets allow;
/// and all moves together not in fewer than there may be at once.
pub(super) struct Bound<'a> {
    rates: &'a Rates,
    knobs: &'a Knobs,
    ends: Vec<Carried>,
    all: Millis,
}

/// What one end has to carry.
#[derive(Clone, Copy, Default)]
struct Carried {
    mem: Mib,
    time: Millis,
    count: u32,
}

impl<'a> Bound<'a> {
    pub(super) fn new(rates: &'a Rates, knobs: &'a Knobs) -> Self {
        Self { rates, knobs, ends: vec![Carried::default(); rates.0.len() * 2], all: Millis::ZERO }
    }

    pub(super) fn add(&mut self, way: &Way, mem: Mib, time: Millis) {
        for port in way.ports() {
            let end = &mut self.ends[port.index()];
            end.mem = end.mem.saturating_add(mem);
            end.time = end.time.saturating_add(time);
            end.count += 1;
        }
        self.all = self.all.saturating_add(time);
    }

    /// Of how many, by port.
    pub(super) fn counts(&self) -> impl Iterator<Item = u32> + '_ {
        self.ends.iter().map(|end| end.count)
    }

    /// The time of both ends of this way together.
    pub(super) fn around(&self, way: &Way) -> Millis {
        let [into, out] = way.ports().map(|port| self.ends[port.index()].time);
        into.saturating_add(out)
    }

    /// The least time in which this end carries its moves.
    pub(super) fn of(&self, port: Port) -> Millis {
        let Carried { mem, time, .. } = self.ends[port.index()];
        let turns = u64::from(budgets(self.knobs)[port.side()]);
        mem.transfer_time(self.rates.0[port.host().index()]).max(Millis(time.0.div_ceil(turns)))
    }

    /// No order is over sooner. `woken`: what the wakes add to the hosts that they bring up.
    pub(super) fn least(&self, woken: Millis) -> Millis {
        let by_all = Millis(self.all.0.div_ceil(u64::from(all(self.knobs))));
        let by_ends = Port::all(self.rates.0.len()).map(|port| self.of(port)).max().unwrap_or_default();
        by_ends.max(by_all).max(woken)
    }
}
