//! Ids, each of its own kind so that they do not mix.
//!
//! A host or VM id is its place in the cluster's inventory: hosts in the order of the cluster text, VMs in the order in
//! which they were first named or seen. Ids are never reused while a process runs, are never stored and never leave it:
//! journal and drivers use host names of the configuration and UUIDs of VMs.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

macro_rules! place {
    ($name:ident) => {
        impl $name {
            /// The place in `Cluster` and `Snapshot` lists.
            #[inline]
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
            /// # Panics
            /// Above 2^32 objects, which no list here can hold.
            #[inline]
            #[must_use]
            pub fn at(index: usize) -> Self {
                Self(u32::try_from(index).expect("fewer than 2^32 objects"))
            }
        }
    };
}

id!(
    /// A host's place in the inventory.
    HostId(u32), "host#"
);
id!(
    /// A VM's place in the inventory.
    VmId(u32), "vm#"
);
id!(
    /// A step within its plan.
    StepId(u32), "s"
);
id!(
    /// A plan, counted by one leader.
    PlanId(u64), "p"
);
id!(
    /// A written intent: unique in one store for ever.
    IntentId(u64), "i"
);
id!(
    /// One look at one host.
    ObservationId(u64), "o"
);
id!(
    /// Fences late leaders: it rises with each change of leader, and an effect with a lower one is refused.
    Epoch(u64), "e"
);
place!(HostId);
place!(VmId);
place!(StepId);
