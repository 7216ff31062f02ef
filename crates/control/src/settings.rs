//! The controller's own numbers. None is a policy knob, none is scaled by `time.scale`, none can be switched off.

use dormouse_model::{HostId, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// How much the controller may do by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automation {
    /// Look and tell.
    #[default]
    Observe,
    /// Look, plan and tell what would be done; done only when a person applies it.
    Advise,
    Auto,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub automation: Automation,
    /// A look at every host, this often.
    pub observe_every: Millis,
    /// A look must be over by then.
    pub look_deadline: Millis,
    /// After so many periods without an answer knowledge is stale and the host `unknown`.
    pub stale_periods: u32,
    /// An observation that allows a power-off is not older.
    pub fresh: Millis,
    /// No effect may start unless the lease outlives its deadline by this; effects that end by themselves
    /// (peer-to-peer moves, off commands) need only the margin itself.
    pub lease_margin: Millis,
    /// For so long after it went out a host may obey an off command: enough for the guard to close the doors and look.
    pub off_span: Millis,
    /// A host has this long to become usable after a wake.
    pub t_on: Millis,
    /// A host has this long to go off.
    pub t_off: Millis,
    /// Tries before a host is set aside.
    pub tries: u32,
    /// A set-aside host that is seen healthy for this long is trusted again.
    pub heal_after: Millis,
    /// All destructive steps freeze when more hosts than the larger of these vanish within one period.
    pub freeze_hosts: u32,
    pub freeze_permille: u64,
    /// A login that has been idle for so long no longer keeps a host on.
    pub login_idle: Millis,
    /// A clock further off than this makes a host unusable.
    pub clock_offset: Millis,
    /// Pairs and hosts whose step failed rest for this long, doubled with each failure up to `backoff_max`.
    pub backoff: Millis,
    pub backoff_max: Millis,
    /// Policy `seed` plans this often in closed hours.
    pub seed_every: Millis,
    /// A move whose ends could not both be seen for so long after it ended is in doubt: a `conflict` until they are.
    pub confirm_within: Millis,
    /// Calendar seconds in a second: 1, but for the lab and demos, whose nights take minutes.
    pub calendar_rate: u32,
    /// Hosts whose power driver can prove them off. Of the others only a person's word does.
    pub provers: BTreeSet<HostId>,
    /// A host that is silent for so long, and holds VMs, is proved off where that can be done.
    pub prove_after: Millis,
    /// A manager that cannot reach its store any more still wakes hosts at an opening, and does nothing else.
    pub wake_without_quorum: bool,
    pub restart: Restart,
}

/// What follows when a VM is *seen* to have crashed, on a host that answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It is told.
    #[default]
    Never,
    /// It starts again on the same host, but for one that does so again and again.
    OnCrash,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            automation: Automation::Observe,
            observe_every: Millis::from_secs(15),
            look_deadline: Millis::from_secs(8),
            stale_periods: 3,
            fresh: Millis::from_secs(10),
            lease_margin: Millis::from_secs(2),
            off_span: Millis::from_secs(30),
            t_on: Millis::from_secs(600),
            t_off: Millis::from_secs(300),
            tries: 2,
            heal_after: Millis::from_mins(10),
            freeze_hosts: 2,
            freeze_permille: 300,
            login_idle: Millis::from_mins(30),
            clock_offset: Millis::from_secs(2),
            backoff: Millis::from_mins(2),
            backoff_max: Millis::from_mins(60),
            seed_every: Millis::from_mins(15),
            confirm_within: Millis::from_secs(60),
            calendar_rate: 1,
            provers: BTreeSet::new(),
            prove_after: Millis::from_mins(2),
            wake_without_quorum: false,
            restart: Restart::Never,
        }
    }
}

impl fmt::Display for Automation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Observe => "observe",
            Self::Advise => "advise",
            Self::Auto => "auto",
        })
    }
}
