//! Faults as data: a script writes them down, and a seed may draw them.

use dormouse_model::{HostId, Lack, Millis, Mono};
use uuid::Uuid;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Wake packets for this host are lost: so many of them, or all.
    WakeLost { host: HostId, times: Option<u32> },
    /// Each boot takes so much longer.
    BootSlow { host: HostId, by: Millis },
    /// A boot begins and does not end, for so long or until healed.
    BootHangs { host: HostId, span: Option<Millis> },
    /// The guard agrees, but the host does not go off.
    OffIgnored { host: HostId },
    /// Its power is cut.
    Dies { host: HostId },
    /// It goes off at once, with all that runs there, and has its mains.
    Drops { host: HostId },
    /// Its power control says off and does nothing, or refuses us.
    Control { host: HostId, how: Control },
    /// It crashes and boots again by itself.
    Reboots { host: HostId },
    /// The manager does not hear it; with `oneway` the host still hears the manager.
    Silent { hosts: Vec<HostId>, span: Option<Millis>, oneway: bool },
    /// These two do not reach each other; the manager reaches both.
    Apart { ends: [HostId; 2], span: Option<Millis> },
    /// What it says of its load is not true.
    Lies { host: HostId, lie: Lie },
    /// Whoever switches it, on or off, is refused: a password that changed, a certificate that is not known.
    PowerRefused { host: HostId, times: Option<u32> },
    /// Moves of this VM (of any, without one) fail at their start.
    MoveFails { vm: Option<Uuid>, times: Option<u32> },
    /// This host cannot take VMs of others: moves to it are refused, with that reason.
    Lacks { host: HostId, lack: Lack },
    /// Moves of this VM start and make no progress.
    MoveStuck { vm: Uuid },
    /// The link between the hosts dies in the hand-over of a move of this VM (of any, without one): it is held at its
    /// source and runs at its destination, or with `early` runs nowhere yet.
    MoveCut { vm: Option<Uuid>, early: bool, times: Option<u32> },
    /// Moves of this VM cannot be ended: neither by the manager nor by the driver's own deadline.
    AbortHangs { vm: Uuid },
    /// The shared storage is not mounted.
    ShareMissing { host: HostId },
    /// libvirtd accepts and never answers.
    LibvirtFrozen { host: HostId, span: Option<Millis> },
    /// The host's clock is off.
    Clock { host: HostId, by_ms: i64 },
    /// The manager's wall clock jumps.
    ManagerClock { by_ms: i64 },
    /// The store takes no write.
    StoreFull { span: Option<Millis> },
    /// The lease cannot be renewed.
    LeaseLost { span: Millis },
    /// The manager stands still, and goes on afterwards as if nothing had been.
    ManagerFrozen { span: Millis },
    /// The effect happens on this host, its answer is lost: so many times, or always.
    ReplyLost { host: HostId, times: Option<u32> },
    /// Just before the guard looks for the last time, someone logs in.
    LastSecondLogin { host: HostId },
    /// Just before the guard looks for the last time, someone starts this stopped VM there.
    LastSecondStart { host: HostId, vm: Uuid },
}

/// What a host says of its load and memory that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing to do, everything free.
    Idle,
    /// More to do than it has processors for, nothing free.
    Busy,
    /// Numbers beyond any machine.
    Absurd,
}

/// What is wrong with the power control of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Lies,
    Password,
    Certificate,
}

/// A fault that lasts: until a time, or until healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lasting {
    until: Option<Mono>,
}

impl Lasting {
    pub(crate) fn from(now: Mono, span: Option<Millis>) -> Self {
        Self { until: span.map(|span| now + span) }
    }

    pub(crate) fn holds(self, now: Mono) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// How often something still goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Times {
    #[default]
    Never,
    Left(u32),
    Always,
}

impl Times {
    pub(crate) fn of(times: Option<u32>) -> Self {
        times.map_or(Self::Always, Self::Left)
    }

    /// Uses one up; says whether it went wrong.
    pub(crate) fn strike(&mut self) -> bool {
        match self {
            Self::Never | Self::Left(0) => false,
            Self::Left(left) => {
                *left -= 1;
                true
            }
            Self::Always => true,
        }
    }
}

/// What is wrong with one host now.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostFaults {
    pub(crate) wake_lost: Times,
    pub(crate) boot_slow: Millis,
    pub(crate) boot_hangs: Option<Option<Millis>>,
    pub(crate) off_ignored: bool,
    pub(crate) silent: Option<Lasting>,
    /// The manager's words still arrive while it is silent.
    pub(crate) oneway: bool,
    pub(crate) share_missing: bool,
    pub(crate) lacks: Option<Lack>,
    pub(crate) control: Option<Control>,
    pub(crate) libvirt_frozen: Option<Lasting>,
    pub(crate) clock_ms: i64,
    pub(crate) reply_lost: Times,
    pub(crate) last_second: Option<LastSecond>,
    pub(crate) lie: Option<Lie>,
    pub(crate) power_refused: Times,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum LastSecond {
    Login,
    Start(Uuid),
}

impl HostFaults {
    pub(crate) fn is_silent(&self, now: Mono) -> bool {
        self.silent.is_some_and(|silent| silent.holds(now))
    }

    /// Nothing we send arrives.
    pub(crate) fn is_deaf(&self, now: Mono) -> bool {
        self.is_silent(now) && !self.oneway
    }

    pub(crate) fn is_frozen(&self, now: Mono) -> bool {
        self.libvirt_frozen.is_some_and(|frozen| frozen.holds(now))
    }
}

/// What is wrong beside the hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterFaults {
    pub(crate) moves: Vec<(Option<Uuid>, Times)>,
    pub(crate) stuck: Vec<Uuid>,
    pub(crate) cuts: Vec<(Option<Uuid>, bool, Times)>,
    pub(crate) abort_hangs: Vec<Uuid>,
    pub(crate) apart: Vec<([HostId; 2], Lasting)>,
    pub(crate) lease_lost: Option<Lasting>,
    pub(crate) store_full: Option<Lasting>,
}

impl ClusterFaults {
    pub(crate) fn move_fails(&mut self, vm: Uuid) -> bool {
        self.moves.iter_mut().any(|(whose, times)| whose.is_none_or(|whose| whose == vm) && times.strike())
    }

    /// How the link dies in the hand-over of this VM, if it does: early or late.
    pub(crate) fn cut(&mut self, vm: Uuid) -> Option<bool> {
        self.cuts.iter_mut().find_map(|(whose, early, times)| {
            (whose.is_none_or(|whose| whose == vm) && times.strike()).then_some(*early)
        })
    }

    pub(crate) fn are_apart(&self, a: HostId, b: HostId, now: Mono) -> bool {
        let these = |ends: &[HostId; 2]| *ends == [a, b] || *ends == [b, a];
        self.apart.iter().any(|(ends, lasting)| these(ends) && lasting.holds(now))
    }

    pub(crate) fn is_lease_lost(&self, now: Mono) -> bool {
        self.lease_lost.is_some_and(|lost| lost.holds(now))
    }

    pub(crate) fn is_store_full(&self, now: Mono) -> bool {
        self.store_full.is_some_and(|full| full.holds(now))
    }
}
