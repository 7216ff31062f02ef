//! What just happened, in the world and between it and the manager. One stream feeds the log, the facts of a script,
//! the figures and the invariants, so that none of them can see what the others do not.

use dormouse_control::{LogEvent, Order};
use dormouse_model::{Epoch, HostId, Intent, IntentId, Millis, Mono, Outcome};
use uuid::Uuid;

use crate::world::Power;

#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// A line of the script was carried out.
    Script {
        line: String,
        is_fault: bool,
    },
    /// An operator gave an order; the host it is about, if it is about one.
    Ordered {
        host: Option<HostId>,
        order: Order,
    },
    Healed,
    /// The controller told this.
    Told(LogEvent),
    /// The controller asked for this intent to be written.
    Wrote(Intent),
    Durable(IntentId),
    NotDurable(IntentId),
    /// The controller had this carried out.
    Acted(Intent),
    Closed {
        intent: IntentId,
        outcome: Outcome,
    },
    /// A look reached the controller.
    Looked {
        host: HostId,
        asked: Mono,
        /// What it shows is the truth of this moment.
        seen: Mono,
        boot: Option<Uuid>,
    },
    GuardAgreed {
        host: HostId,
        epoch: Epoch,
    },
    WakeSent {
        host: HostId,
    },
    /// Its power control switched it off and read back twice that it is.
    ProvedOff {
        host: HostId,
    },
    Power {
        host: HostId,
        from: Power,
        to: Power,
        cause: &'static str,
    },
    MoveStarted {
        vm: Uuid,
        from: HostId,
        to: HostId,
        intent: Option<IntentId>,
    },
    MoveEnded {
        vm: Uuid,
        from: HostId,
        to: HostId,
        intent: Option<IntentId>,
        end: MoveEnd,
        took: Millis,
    },
    /// Its host died with it.
    VmLost {
        vm: Uuid,
        at: HostId,
    },
    VmStarted {
        vm: Uuid,
        at: HostId,
    },
    VmStopped {
        vm: Uuid,
        at: HostId,
    },
    /// A lease was won or renewed, until then.
    Leased {
        epoch: u64,
        until: Mono,
    },
    ManagerDown,
    ManagerUp {
        epoch: u64,
    },
    /// A manager that stood still goes on, and another leads.
    ManagerBack {
        epoch: u64,
    },
    /// It has heard that another leads.
    ManagerDeposed {
        epoch: u64,
    },
    /// A command of a manager that leads no longer, refused by the guard.
    LateRefused {
        host: HostId,
        epoch: Epoch,
        why: String,
    },
    ClockJumped {
        by_ms: i64,
    },
    /// How many effects one event made, and when the controller wants the next tick at the latest.
    Handled {
        effects: usize,
        next_tick: Mono,
    },
}

/// How a move ended, by the world's truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveEnd {
    Done {
        downtime: Millis,
    },
    /// The VM runs on at its source.
    Stayed(&'static str),
    /// The link died in the hand-over: both ends hold something of it.
    Cut,
    Lost,
}
