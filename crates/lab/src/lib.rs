//! Real libvirtd, QEMU and sshd hosts in network namespaces on one machine.
//!
//! [`Lab::up`] builds a lab, [`Lab::open`] finds a running one again; hosts are switched on by magic packets and
//! off by their own `poweroff`, guests are real virtual machines that libvirt moves live. It needs root. It never
//! touches the machine's own network namespace (but for the names of the new ones), mounts or services, and
//! [`down`] removes what bears the lab's id and nothing else.
//!
//! The lab's own processes are this program run again: whoever uses this crate passes `lab-internal …` on to
//! [`internal_main`].

mod doctor;
mod down;
mod error;
mod guests;
mod host;
mod hostfs;
mod image;
mod lab;
mod net;
mod paths;
mod pki;
mod report;
mod spec;
mod supervisor;
mod truth;

pub use doctor::missing;
pub use down::{DownReport, down, down_all, labs};
pub use error::{LabError, Result};
pub use guests::Load;
pub use lab::{Fault, Lab, Progress};
pub use paths::{HostPaths, LabPaths, cache_dir};
pub use report::{Gap, GuestStatus, HostStatus, LabStatus, Power, StreamsReport};
pub use spec::{GuestSpec, HostSpec, LabSpec, MANAGER_ADDRESS, Mac, TLS_PORT};

/// The lab's own processes: `args` are the words after `lab-internal`. Returns the exit code.
pub fn internal_main(args: &[String]) -> Result<i32> {
    match args.split_first() {
        Some((role, rest)) if role == "supervisor" => supervisor::supervisor_main(rest),
        Some((role, rest)) if role == "host" => host::power_supply_main(rest),
        Some((role, rest)) if role == "stand-in" => host::stand_in_main(rest),
        _ => Err(LabError::new("lab-internal is for the lab's own processes: supervisor, host, stand-in")),
    }
}
