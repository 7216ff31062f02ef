//! Pretend hosts in memory, for tests of what sits above the drivers and for the conformance suite itself.

use dormouse_model::{HostSpec, HostState, Mbps, Mib, Millis, Watts};

/// A host as a cluster text with nothing but its name would give it.
#[must_use]
pub fn host(name: &str) -> HostSpec {
    HostSpec {
        name: name.to_owned(),
        address: None,
        macs: vec![],
        cpus: 2,
        mem: Mib(2048),
        reserve: Mib(0),
        overhead: Mib(0),
        watts_idle: Watts(45),
        watts_busy: Watts(95),
        watts_asleep: Watts(3),
        boot: Millis::from_secs(75),
        shutdown: Millis::from_secs(15),
        link: Mbps(1000),
        slots: None,
        cpu_group: None,
        circuit: None,
        role: None,
        keep_on: false,
        maintenance: false,
        unproven: false,
        state: HostState::On,
    }
}
