//! What the controller must still know after a restart. Everything else is seen again.

use crate::Automation;
use dormouse_model::{DemandRow, HostState, Intent, IntentId, Lack};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Read once at start from the store.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub hosts: Vec<HostMemory>,
    pub vms: Vec<VmMemory>,
    /// What VMs needed, roll-up by roll-up, each VM's in the order of time.
    pub demand: Vec<DemandRow>,
    pub manager: ManagerMemory,
    /// Written, but without an outcome: to be settled by looking, never by doing again.
    pub open: Vec<Intent>,
    /// Intent ids continue above this.
    pub last_intent: u64,
}

/// One host, by its name in the configuration. Times are seconds since 1970 on the calendar's clock: only they survive a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMemory {
    pub host: String,
    pub state: HostState,
    pub since: i64,
    /// The machine and the boot seen last.
    pub machine: Option<Uuid>,
    pub boot: Option<Uuid>,
    #[serde(default)]
    pub hypervisor: Option<String>,
    pub proven: bool,
    pub maintenance: bool,
    /// An operator's drain, and whether it shall sleep once empty.
    pub drain: bool,
    #[serde(default)]
    pub sleep_asked: bool,
    /// Starts of sleep within the last day.
    pub sleeps: Vec<i64>,
    /// Failed tries to wake it since the last success.
    pub tries: u32,
    /// When the present try to wake it began, while one goes on.
    #[serde(default)]
    pub wake_try: Option<i64>,
    /// It answered with its doors open after the guard's word: silence proves nothing any longer.
    #[serde(default)]
    pub word_gone: bool,
    /// Off commands to this boot that the guard may have agreed to.
    #[serde(default)]
    pub offs: Vec<IntentId>,
    /// An off command of ours went out and its answer was lost.
    #[serde(default)]
    pub maybe_asleep: bool,
    /// Why it was set aside, while it is.
    #[serde(default)]
    pub aside: Option<Aside>,
    /// An operator's word that it is really off, until it is seen again.
    #[serde(default)]
    pub fenced: bool,
    /// Times its power control was asked to prove it off since it was seen last.
    #[serde(default)]
    pub proofs: u32,
    /// Measured boot times, newest last, in seconds; bounded.
    pub boots_s: Vec<u64>,
}

/// Why a host is no longer trusted: it decides what gives the trust back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aside {
    /// It ignores its off command and answers healthily all the while: health proves nothing, only a new boot or a person.
    NeverWent,
    NeverWoke,
    CheckFails,
    /// Another machine answers under its address.
    Identity,
}

impl Aside {
    /// One stable word for golden events.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NeverWent => "never-went",
            Self::NeverWoke => "never-woke",
            Self::CheckFails => "check-fails",
            Self::Identity => "probe.identity",
        }
    }
}

/// One VM, by UUID: where it was last and when it was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmMemory {
    pub vm: Uuid,
    pub name: String,
    /// Host name.
    pub at: Option<String>,
    /// It held memory there. A host that does not answer our successor is presumed to hold it still.
    #[serde(default)]
    pub present: bool,
    #[serde(default)]
    pub mem_mib: u64,
    #[serde(default)]
    pub vcpus: u32,
    /// It ran on this host, which was then proved off: it is to be started again elsewhere.
    #[serde(default)]
    pub owed: Option<String>,
    /// It crashed there and starts there or nowhere.
    #[serde(default)]
    pub owed_there: bool,
    /// Moves within the last day.
    pub moves: Vec<i64>,
    /// Its last crashes, and that there were too many.
    #[serde(default)]
    pub crashes: Vec<i64>,
    #[serde(default)]
    pub given_up: bool,
    /// Ways on which its moves failed.
    #[serde(default)]
    pub pairs: Vec<PairMemory>,
}

/// A move from one host to another that failed: hosts by name, and until when the way rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairMemory {
    pub from: String,
    pub to: String,
    pub until: i64,
    pub failures: u32,
    #[serde(default)]
    pub lacks: Option<Lack>,
}

/// What an operator set for the manager itself, while it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerMemory {
    #[serde(default)]
    pub automation: Option<KeptAutomation>,
    #[serde(default)]
    pub normalise: Option<KeptNormalise>,
    #[serde(default)]
    pub pause: Option<KeptPause>,
}

/// An operator's automation. It ends when the configuration says something else than it did then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAutomation {
    pub set: Automation,
    pub instead_of: Automation,
}

/// A pause that stands until that time, in seconds since 1970, or until it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPause {
    pub until: Option<i64>,
}

/// A `normalise` that stands until the window in force changes from this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptNormalise {
    pub window: Option<String>,
    /// When the window changes by the calendar, in seconds since 1970: nobody may have been there to see it.
    pub until: Option<i64>,
}
