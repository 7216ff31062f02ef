//! The states of hosts and VMs, and the only edges between them (design: "Words and states").

use crate::HostId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a host is, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// ssh, libvirt, shared storage and clock all answer.
    On,
    /// We are emptying it; it takes no VM.
    Draining,
    /// The guard accepted the off command; not yet gone.
    Stopping,
    /// Healthy, switched off or suspended by us; holds no VM until woken.
    Asleep,
    /// Wake sent, not yet usable.
    Waking,
    /// Answers, but a check fails.
    Unusable,
    /// No answer: counts as on, full, drawing power, with its last VMs.
    Unknown,
    /// Switched off by someone else: reported, not ours to wake unless a window says so.
    Off,
    /// No longer trusted; alarmed; left alone until cleared or seen healthy for a while.
    SetAside,
}

impl HostState {
    pub const ALL: [Self; 9] = [
        Self::On,
        Self::Draining,
        Self::Stopping,
        Self::Asleep,
        Self::Waking,
        Self::Unusable,
        Self::Unknown,
        Self::Off,
        Self::SetAside,
    ];

    /// The states that may follow this one.
    #[must_use]
    pub const fn exits(self) -> &'static [Self] {
        match self {
            Self::On => &[Self::Draining, Self::Unusable, Self::Unknown, Self::Off, Self::SetAside],
            Self::Draining => &[Self::Stopping, Self::On, Self::Unknown, Self::Unusable, Self::Off],
            Self::Stopping => &[Self::Asleep, Self::On, Self::Unknown, Self::SetAside],
            Self::Asleep => &[Self::Waking, Self::On, Self::Off],
            Self::Waking => &[Self::On, Self::Unusable, Self::SetAside],
            Self::Unusable => &[Self::On, Self::Unknown, Self::SetAside],
            // "whatever it is next seen to be": a look can only tell these.
            Self::Unknown => &[Self::On, Self::Unusable, Self::Off, Self::Asleep, Self::SetAside],
            Self::Off => &[Self::On, Self::Waking],
            Self::SetAside => &[Self::On, Self::Unknown, Self::Off],
        }
    }

    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self.exits().contains(&next)
    }

    /// May take VMs and count as capacity.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::On)
    }

    /// Known to draw no more than standby power and to run nothing.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Asleep | Self::Off)
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Asleep => "asleep",
            Self::Waking => "waking",
            Self::Unusable => "unusable",
            Self::Unknown => "unknown",
            Self::Off => "off",
            Self::SetAside => "set-aside",
        }
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a VM is and what it does there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VmState {
    Stopped,
    Running {
        at: HostId,
    },
    Paused {
        at: HostId,
    },
    Saved {
        at: HostId,
    },
    Migrating {
        from: HostId,
        to: HostId,
    },
    /// Its host died or fell silent for good; where it was last.
    Lost {
        at: HostId,
    },
    /// A move neither went on nor could be aborted.
    Stuck {
        from: HostId,
        to: HostId,
    },
    /// Seen on two hosts, or a move not confirmed on both ends. Blocks power on each of them.
    Conflict {
        hosts: Vec<HostId>,
    },
    /// Crashed or restarted too often; needs a person.
    Failed {
        at: Option<HostId>,
    },
}

impl VmState {
    /// Every host on which this VM holds, or may hold, memory. Such a host is not empty.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostId> {
        match self {
            Self::Stopped | Self::Saved { .. } | Self::Failed { at: None } => vec![],
            Self::Running { at }
            | Self::Paused { at }
            | Self::Lost { at }
            | Self::Failed { at: Some(at) } => vec![*at],
            Self::Migrating { from, to } | Self::Stuck { from, to } => vec![*from, *to],
            Self::Conflict { hosts } => hosts.clone(),
        }
    }

    /// `hosts().contains(&host)`, without the list.
    #[must_use]
    pub fn may_be_on(&self, host: HostId) -> bool {
        match self {
            Self::Stopped | Self::Saved { .. } | Self::Failed { at: None } => false,
            Self::Running { at }
            | Self::Paused { at }
            | Self::Lost { at }
            | Self::Failed { at: Some(at) } => *at == host,
            Self::Migrating { from, to } | Self::Stuck { from, to } => *from == host || *to == host,
            Self::Conflict { hosts } => hosts.contains(&host),
        }
    }

    /// The one host on which it runs or is paused, when that is certain.
    #[must_use]
    pub const fn host(&self) -> Option<HostId> {
        match self {
            Self::Running { at } | Self::Paused { at } => Some(*at),
            _ => None,
        }
    }

    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// The word of the table, without the place.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Saved { .. } => "saved",
            Self::Migrating { .. } => "migrating",
            Self::Lost { .. } => "lost",
            Self::Stuck { .. } => "stuck",
            Self::Conflict { .. } => "conflict",
            Self::Failed { .. } => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_state_is_a_dead_end_and_none_leads_to_itself() {
        for state in HostState::ALL {
            assert!(!state.exits().is_empty(), "{state} has no exit");
            assert!(!state.may_become(state), "{state} leads to itself");
        }
    }

    #[test]
    fn nothing_falls_asleep_without_the_guards_word() {
        let to_asleep: Vec<_> =
            HostState::ALL.into_iter().filter(|s| s.may_become(HostState::Asleep)).collect();
        assert_eq!(to_asleep, [HostState::Stopping, HostState::Unknown]);
    }
}
