//! Moves under way: memory that crosses links which the other moves of a host share.

use crate::replay::fleet::Fleet;
use dormouse_model::{HostId, Mib, Millis, VmId};

/// RAM x 8 / link: a megabyte of a trace is 8,000,000 bits.
const BITS_PER_MB: u64 = 8_000_000;

#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) vm: VmId,
    pub(super) from: HostId,
    pub(super) to: HostId,
    bits_left: u64,
    bits_per_ms: u64,
}

/// All moves under way.
#[derive(Debug)]
pub(super) struct Flows {
    flows: Vec<Flow>,
    /// Moves at each host, in and out.
    at: Vec<u32>,
    out_of: Vec<u32>,
    into: Vec<u32>,
    since: Millis,
}

impl Flows {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            flows: vec![],
            at: vec![0; hosts],
            out_of: vec![0; hosts],
            into: vec![0; hosts],
            since: Millis::ZERO,
        }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.flows.len()).expect("fewer than 2^32 VMs")
    }

    pub(super) fn out_of(&self, host: HostId) -> u32 {
        self.out_of[host.index()]
    }

    pub(super) fn into(&self, host: HostId) -> u32 {
        self.into[host.index()]
    }

    pub(super) fn begin(&mut self, fleet: &Fleet, now: Millis, vm: VmId, mem: Mib, from: HostId, to: HostId) {
        self.settle(now);
        self.flows.push(Flow { vm, from, to, bits_left: mem.0 * BITS_PER_MB, bits_per_ms: 0 });
        self.count(from, to, 1);
        self.share(fleet);
    }

    /// Takes one out: it is done, or its VM was stopped.
    pub(super) fn end(&mut self, fleet: &Fleet, now: Millis, vm: VmId) -> Option<Flow> {
        self.settle(now);
        let place = self.flows.iter().position(|flow| flow.vm == vm)?;
        // In order, so that moves which end at once end in the order in which they began.
        let flow = self.flows.remove(place);
        self.count(flow.from, flow.to, -1);
        self.share(fleet);
        Some(flow)
    }

    fn count(&mut self, from: HostId, to: HostId, by: i32) {
        let change = |number: &mut u32| {
            *number = number.checked_add_signed(by).expect("as many end as began");
        };
        change(&mut self.at[from.index()]);
        change(&mut self.at[to.index()]);
        change(&mut self.out_of[from.index()]);
        change(&mut self.into[to.index()]);
    }

    fn settle(&mut self, now: Millis) {
        let span = now.0 - self.since.0;
        self.since = now;
        for flow in &mut self.flows {
            flow.bits_left = flow.bits_left.saturating_sub(flow.bits_per_ms.saturating_mul(span));
        }
    }

    /// Every host divides its link evenly among its moves; the slower end sets the pace.
    fn share(&mut self, fleet: &Fleet) {
        for flow in &mut self.flows {
            let part = |host: HostId| {
                fleet.machine(host).spec.link.0 * 1000 / u64::from(self.at[host.index()].max(1))
            };
            flow.bits_per_ms = part(flow.from).min(part(flow.to)).max(1);
        }
    }

    /// When the next one ends, and whose it is.
    pub(super) fn next_end(&self) -> Option<(Millis, VmId)> {
        self.flows
            .iter()
            .map(|flow| (Millis(self.since.0 + flow.bits_left.div_ceil(flow.bits_per_ms)), flow.vm))
            .min_by_key(|(at, _)| *at)
    }
}
