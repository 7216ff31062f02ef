//! A move as a stream of memory over links that other moves share.
//!
//! Pre-copy: a first round carries all memory, each next one what was written meanwhile, until the rest fits into the
//! allowed downtime; then the VM is held, the rest is sent, and it goes on at the destination. A guest that writes as
//! fast as the link carries never gets there. The stream runs between the hosts: it needs no manager.

use dormouse_model::{HostId, IntentId, Mbps, Millis, Mono};

/// libvirt's default for the longest time a VM may be held at the end of a move.
const DOWNTIME_MAX: Millis = Millis(300);
/// Taking over devices and telling the switches costs this, however little memory is left.
const HAND_OVER: Millis = Millis(30);
/// No new low in what remains for so long: the driver gives up (fault M06).
pub(crate) const PROGRESS_WATCH: Millis = Millis(150_000);

/// The time of what does not happen.
const NEVER: Mono = Mono(u64::MAX);

const BITS_PER_MIB: u64 = 8 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

#[derive(Clone, Debug)]
pub struct Flow {
    pub id: FlowId,
    /// The VM's place in the world's list.
    pub vm: usize,
    pub from: HostId,
    pub to: HostId,
    /// Ours, or `None` when a user moves by hand.
    pub intent: Option<IntentId>,
    pub started: Mono,
    /// Share of the links it has now.
    pub(crate) rate: Mbps,
    phase: Phase,
    /// All of the VM's memory.
    total_bits: u64,
    dirty_bits_per_ms: u64,
    stuck: bool,
    since: Mono,
    sent_bits: u64,
    lowest: u64,
    lowest_at: Mono,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Copy { left: u64, dirtied: u64 },
    Hold { from: Mono, until: Mono },
}

/// What a flow does when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlowStep {
    /// Nothing to see.
    Goes,
    /// The VM's processors stop at the source.
    Held,
    /// It runs at the destination.
    Done { downtime: Millis },
}

impl Flow {
    pub(crate) fn new(
        id: FlowId,
        vm: usize,
        from: HostId,
        to: HostId,
        mem_mib: u64,
        dirty_mib_s: u64,
        now: Mono,
    ) -> Self {
        let total = mem_mib * BITS_PER_MIB;
        Self {
            id,
            vm,
            from,
            to,
            intent: None,
            started: now,
            rate: Mbps(0),
            phase: Phase::Copy { left: total, dirtied: 0 },
            total_bits: total,
            dirty_bits_per_ms: dirty_mib_s * BITS_PER_MIB / 1000,
            stuck: false,
            since: now,
            sent_bits: 0,
            lowest: u64::MAX,
            lowest_at: now,
        }
    }

    pub(crate) fn with_intent(mut self, intent: Option<IntentId>) -> Self {
        self.intent = intent;
        self
    }

    pub(crate) fn with_stuck(mut self, stuck: bool) -> Self {
        self.stuck = stuck;
        self
    }

    /// Nothing holds it up any more.
    pub(crate) fn free(&mut self) {
        self.stuck = false;
    }

    fn bits_per_ms(&self) -> u64 {
        if self.stuck { 0 } else { self.rate.0 * 1000 }
    }

    /// Lets time pass at the rate it had.
    pub(crate) fn settle(&mut self, now: Mono) {
        let span = now.since(self.since).0;
        self.since = now;
        let rate = self.bits_per_ms();
        if let Phase::Copy { left, dirtied } = &mut self.phase {
            let sent = left.saturating_sub(left.saturating_sub(rate.saturating_mul(span)));
            *left -= sent;
            self.sent_bits += sent;
            *dirtied = (*dirtied + self.dirty_bits_per_ms.saturating_mul(span)).min(self.total_bits);
            if *left < self.lowest {
                self.lowest = *left;
                self.lowest_at = now;
            }
        }
    }

    /// When it next has something to do at its present rate.
    pub(crate) fn due(&self) -> Mono {
        match self.phase {
            Phase::Hold { until, .. } => until,
            Phase::Copy { left, .. } => match self.bits_per_ms() {
                0 => NEVER,
                rate => Mono(self.since.0 + left.div_ceil(rate)),
            },
        }
    }

    /// Takes the step that is due; call after [`Flow::settle`].
    pub(crate) fn step(&mut self, now: Mono) -> FlowStep {
        match self.phase {
            Phase::Hold { from, until } if now >= until => FlowStep::Done { downtime: until.since(from) },
            Phase::Copy { left: 0, dirtied } => {
                let rest = Millis(dirtied.div_ceil(self.bits_per_ms().max(1)));
                if rest <= DOWNTIME_MAX {
                    self.sent_bits += dirtied;
                    self.phase = Phase::Hold { from: now, until: now + rest + HAND_OVER };
                    FlowStep::Held
                } else {
                    self.phase = Phase::Copy { left: dirtied, dirtied: 0 };
                    FlowStep::Goes
                }
            }
            _ => FlowStep::Goes,
        }
    }

    /// For so long nothing less was left to send than before.
    pub(crate) fn without_progress(&self, now: Mono) -> Millis {
        now.since(self.lowest_at)
    }

    pub(crate) fn remaining_mib(&self) -> u64 {
        match self.phase {
            Phase::Copy { left, .. } => left.div_ceil(BITS_PER_MIB),
            Phase::Hold { .. } => 0,
        }
    }

    pub(crate) fn sent_mib(&self) -> u64 {
        self.sent_bits / BITS_PER_MIB
    }

    pub fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Hold { .. })
    }

    /// How far the first round is, for showing.
    #[must_use]
    pub fn progress_permille(&self) -> u64 {
        (self.sent_bits.saturating_mul(1000) / self.total_bits.max(1)).min(1000)
    }
}

/// What each flow gets: every link is shared equally by the moves in and out of its host, and the narrower end decides.
pub(crate) fn share_links(flows: &mut [Flow], link: impl Fn(HostId) -> Mbps) {
    let mut busy = std::collections::BTreeMap::<HostId, u64>::new();
    for flow in flows.iter() {
        *busy.entry(flow.from).or_default() += 1;
        *busy.entry(flow.to).or_default() += 1;
    }
    for flow in flows {
        let at = |host: HostId| link(host).0 / busy[&host];
        flow.rate = Mbps(at(flow.from).min(at(flow.to)).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mem: u64, dirty: u64, others: usize) -> Option<(Mono, Millis)> {
        let mut flows = vec![Flow::new(FlowId(0), 0, HostId(0), HostId(1), mem, dirty, Mono(0))];
        for other in 0..others {
            let to = HostId::at(other + 2);
            flows.push(Flow::new(FlowId(1), other, HostId(0), to, 1 << 30, 0, Mono(0)));
        }
        share_links(&mut flows, |_| Mbps(1000));
        let flow = &mut flows[0];
        for _ in 0..1000 {
            let now = flow.due();
            flow.settle(now);
            if let FlowStep::Done { downtime } = flow.step(now) {
                return Some((now, downtime));
            }
        }
        None
    }

    #[test]
    fn an_idle_clone_crosses_in_two_seconds_and_is_held_for_30_ms() {
        assert_eq!(run(256, 0, 0), Some((Mono(2178), Millis(30))));
    }

    #[test]
    fn moves_out_of_one_host_share_its_link() {
        assert_eq!(run(256, 0, 1), Some((Mono(4325), Millis(30))));
    }

    #[test]
    fn written_memory_is_sent_again_until_the_rest_is_small() {
        let (end, downtime) = run(1024, 40, 0).expect("converges: 40 MiB/s are a third of the link");
        assert!(end > Mono(8590 + 2800) && downtime < Millis(330), "{end} {downtime}");
    }

    #[test]
    fn a_guest_as_fast_as_the_link_never_gets_there() {
        assert_eq!(run(1024, 120, 0), None);
    }
}
