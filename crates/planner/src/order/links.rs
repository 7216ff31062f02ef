//! What may run at once, and the time that no order beats.
//!
//! A move gets the full rate of the narrower of its two links, or at least half of it, or waits: two moves that share a
//! link end no sooner than one after the other, and the first of them later. So on equal links one move enters and one
//! leaves a host at a time; a wide link takes several from narrow ones, as many as the budgets allow.

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
#[derive(Clone, Copy, Debug)]
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
        Self(snapshot.hosts.iter().map(|host| host.spec.link.max(Mbps(1))).collect())
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

/// What is still free of links and budgets.
pub(super) struct Links {
    /// By port: rate that nobody uses, and moves that may still start.
    free: Vec<(Mbps, u32)>,
    all: u32,
    rationed: bool,
}

impl Links {
    pub(super) fn new(rates: &Rates, knobs: &Knobs) -> Self {
        let [into, out] = budgets(knobs);
        let free = rates.0.iter().flat_map(|rate| [(*rate, into), (*rate, out)]).collect();
        Self { free, all: all(knobs), rationed: knobs.moves_all > 0 }
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
        let (rate, budget) = self.free[port.index()];
        budget > 0 && rate > Mbps::ZERO
    }

    /// Could a move of that full rate start here?
    pub(super) fn has(&self, port: Port, full: Mbps) -> bool {
        let (rate, budget) = self.free[port.index()];
        budget > 0 && rate.0.saturating_mul(2) >= full.0
    }

    /// The way at the rate that it gets now.
    pub(super) fn offer(&self, way: &Way) -> Way {
        let free = way.ports().map(|port| self.free[port.index()].0);
        Way { rate: way.rate.min(free[0]).min(free[1]).max(Mbps(1)), ..*way }
    }

    pub(super) fn take(&mut self, way: &Way) {
        for port in way.ports() {
            let (rate, budget) = &mut self.free[port.index()];
            *rate -= way.rate;
            *budget -= 1;
        }
        self.all -= 1;
    }

    pub(super) fn give_back(&mut self, way: &Way) {
        for port in way.ports() {
            let (rate, budget) = &mut self.free[port.index()];
            *rate += way.rate;
            *budget += 1;
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
    ends: Vec<(Mib, Millis)>,
    all: Millis,
}

impl<'a> Bound<'a> {
    pub(super) fn new(rates: &'a Rates, knobs: &'a Knobs) -> Self {
        Self { rates, knobs, ends: vec![(Mib::ZERO, Millis::ZERO); rates.0.len() * 2], all: Millis::ZERO }
    }

    pub(super) fn add(&mut self, way: &Way, mem: Mib, time: Millis) {
        for port in way.ports() {
            let (sum, times) = &mut self.ends[port.index()];
            (*sum, *times) = (sum.saturating_add(mem), times.saturating_add(time));
        }
        self.all = self.all.saturating_add(time);
    }

    /// The least time in which this end carries its moves.
    pub(super) fn of(&self, port: Port) -> Millis {
        let (mem, time) = self.ends[port.index()];
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
