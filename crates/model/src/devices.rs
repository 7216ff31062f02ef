//! What of a VM meets the world around it, by names that mean the same on every host. How they were found out is not here.

use serde::{Deserialize, Serialize};

/// Lists in order, each thing once. Untrusted text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    pub macs: Vec<[u8; 6]>,
    /// Shared disks that it writes to and does not mark shareable: nobody else may have them open.
    pub disks: Vec<String>,
    /// What its host must have: a bridge or network card (`br0`), a network of libvirt's (`network/default`).
    pub networks: Vec<String>,
}

impl Devices {
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.macs.sort_unstable();
        self.macs.dedup();
        for names in [&mut self.disks, &mut self.networks] {
            names.sort_unstable();
            names.dedup();
        }
        self
    }

    /// These and those.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.macs.extend(&other.macs);
        all.disks.extend(other.disks.iter().cloned());
        all.networks.extend(other.networks.iter().cloned());
        all.in_order()
    }
}
