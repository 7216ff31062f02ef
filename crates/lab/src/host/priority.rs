//! Guests go before whatever else the machine has to do: starved ones were seen to arrive from a move with broken memory
//! (see the README).
//!
//! A nice value is not enough. Where the kernel groups processes by session (`sched_autogroup_enabled`), it counts within
//! the session only, and libvirt gives each QEMU one of its own; the session then has a value that counts.

use std::fs;

use crate::truth::qemu_processes;

/// libvirtd starts with it, and guests inherit it.
pub(super) const GUEST_NICE: i32 = -10;

/// Gives the session of every guest here the guests' value. Without such groups there is nothing to do.
pub(super) fn keep() {
    for qemu in qemu_processes() {
        // A guest that ends meanwhile needs none.
        let _ = fs::write(format!("/proc/{}/autogroup", qemu.pid), GUEST_NICE.to_string());
    }
}
