//! From a [`Cluster`] to its canonical text.

use crate::Cluster;

/// The text of a cluster.
#[must_use]
pub fn print(cluster: &Cluster) -> String {
    format!("cluster {}\n", cluster.name)
}

pub(super) fn mac(bytes: &[u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
