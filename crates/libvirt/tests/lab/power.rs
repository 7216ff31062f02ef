//! The guard on real hosts, and the magic packet on a real wire.

use crate::bench::{Bench, LOOK};
use dormouse_driver::{GuardOrder, Hypervisor, Power, Probe};
use dormouse_lab::Fault;
use dormouse_model::{CheckFailure, Epoch, GuardRefusal, HostFacts, HostTime, Millis, Outcome};
use dormouse_power::WolAndGuard;
use uuid::Uuid;

const CLUSTER: Uuid = Uuid::from_u128(0xd0_0d);

/// As the controller bounds it: good for a minute of h03's own time.
fn order(bench: &Bench, epoch: u64) -> GuardOrder {
    let until = |facts: HostFacts| HostTime { boot: facts.boot, uptime: facts.uptime + Millis(60_000) };
    GuardOrder {
        cluster: CLUSTER,
        epoch: Epoch(epoch),
        login_idle: Millis::from_mins(30),
        good_until: bench.look("h03").ok().map(until),
    }
}

pub(crate) fn refusals(bench: &Bench) {
    let power = WolAndGuard::new(bench.libvirt.links());
    let off = || bench.run(power.off(bench.host("h03"), &order(bench, 5), Millis(30_000)));
    assert_eq!(off(), Outcome::Refused(vec![GuardRefusal::Qemu { count: 1 }]));
    bench.moves(&bench.libvirt, bench.guest("pc03"), "h03", "h02");

    bench.fault("h03", &Fault::Login { user: "ann".into(), tty: "pts/77".into() });
    assert_eq!(off(), Outcome::Refused(vec![GuardRefusal::People { count: 1 }]));
    bench.heal("h03");
    bench.fault("h03", &Fault::HoldPackages);
    assert_eq!(off(), Outcome::Refused(vec![GuardRefusal::PackageLock]));
    bench.heal("h03");
    let line = "backup 0 root 9 backup shutdown nightly block";
    bench.fault("h03", &Fault::Inhibitors(vec![line.into()]));
    assert_eq!(off(), Outcome::Refused(vec![GuardRefusal::Inhibitor(line.into())]));
    bench.heal("h03");
    assert_eq!(
        bench.run(power.adopt(bench.host("h03"), &order(bench, 9), LOOK)),
        Outcome::Done { downtime: None }
    );
    assert_eq!(off(), Outcome::Refused(vec![GuardRefusal::Epoch(Epoch(9))]));
    // Too late by the host's own clock, which no epoch tells.
    let good_until = order(bench, 9).good_until.map(|until| HostTime { uptime: Millis(1000), ..until });
    let late = GuardOrder { good_until, ..order(bench, 9) };
    assert_eq!(
        bench.run(power.off(bench.host("h03"), &late, Millis(30_000))),
        Outcome::Refused(vec![GuardRefusal::Late])
    );
    let others = GuardOrder { cluster: Uuid::from_u128(1), ..order(bench, 99) };
    assert_eq!(
        bench.run(power.off(bench.host("h03"), &others, Millis(30_000))),
        Outcome::Refused(vec![GuardRefusal::Cluster])
    );
    assert_eq!(
        bench.run(power.adopt(bench.host("h03"), &order(bench, 0), LOOK)),
        Outcome::Done { downtime: None }
    );

    // The host is as before: libvirt answers, and a guest can come back.
    let facts = bench.healthy("h03");
    assert_eq!(facts.epoch, Some(Epoch(0)));
    bench.moves(&bench.libvirt, bench.guest("pc03"), "h02", "h03");
}

pub(crate) fn off_and_on(bench: &Bench) {
    let power = WolAndGuard::new(bench.libvirt.links());
    let h3 = bench.host("h03");
    let before = bench.healthy("h03");
    bench.moves(&bench.libvirt, bench.guest("pc03"), "h03", "h02");
    assert_eq!(bench.run(power.off(h3, &order(bench, 6), Millis(30_000))), Outcome::Done { downtime: None });
    bench.wait("h03 is off", || bench.power("h03") == dormouse_lab::Power::Off);
    bench.run(bench.libvirt.forget("h03"));
    assert!(bench.run(bench.libvirt.look(h3, Millis(1500))).is_err());

    bench.fault("h03", &Fault::NoShare);
    assert_eq!(bench.run(power.wake(h3, LOOK)), Outcome::Done { downtime: None });
    bench.wait("h03 answers, and lacks its folder", || {
        bench.look("h03").is_ok_and(|facts| {
            matches!(&facts.failures[..], [CheckFailure::Storage(why)] if why.ends_with("nothing is mounted there"))
        })
    });
    bench.heal("h03");
    bench.wait("h03 is healthy", || bench.look("h03").is_ok_and(|facts| facts.failures.is_empty()));
    let after = bench.healthy("h03");
    assert_eq!((after.machine, after.epoch), (before.machine, Some(Epoch(6))));
    assert_ne!(after.boot, before.boot);
    bench.moves(&bench.libvirt, bench.guest("pc03"), "h02", "h03");
}

/// A mark of libvirt's that starts a VM with its host (fault V07). A move of ours takes it along with the definition, so that
/// the host that wakes does not double the VM; where one is left behind, the guard lets the host not sleep.
pub(crate) fn autostart(bench: &Bench) {
    let power = WolAndGuard::new(bench.libvirt.links());
    let off = || bench.run(power.off(bench.host("h03"), &order(bench, 7), Millis(30_000)));
    let guest = bench.guest("pc03");
    bench.in_host("h03", "virsh", &["autostart", "pc03"]);
    assert!(bench.healthy("h03").vms[0].autostart);
    bench.moves(&bench.libvirt, guest, "h03", "h02");
    assert_eq!(off(), Outcome::Done { downtime: None });
    bench.wait("h03 is off", || bench.power("h03") == dormouse_lab::Power::Off);
    bench.run(bench.libvirt.forget("h03"));
    assert_eq!(bench.run(power.wake(bench.host("h03"), LOOK)), Outcome::Done { downtime: None });
    bench.wait("h03 is healthy", || bench.look("h03").is_ok_and(|facts| facts.failures.is_empty()));
    assert_eq!(bench.healthy("h03").vms, [], "nothing started with the host");
    bench.assert_runs_at("pc03", "h02");

    let left = bench.definition("pc03", "pc03", guest);
    assert_eq!(bench.run(bench.libvirt.define(bench.host("h03"), &left, LOOK)), Ok(guest));
    assert_eq!(off(), Outcome::Done { downtime: None }, "a definition without the mark starts nothing");
    bench.wait("h03 is off again", || bench.power("h03") == dormouse_lab::Power::Off);
    bench.run(bench.libvirt.forget("h03"));
    assert_eq!(bench.run(power.wake(bench.host("h03"), LOOK)), Outcome::Done { downtime: None });
    bench.wait("h03 is healthy again", || bench.look("h03").is_ok_and(|facts| facts.failures.is_empty()));
    bench.in_host("h03", "virsh", &["autostart", "pc03"]);
    assert!(bench.healthy("h03").vms[0].autostart);
    assert_eq!(off(), Outcome::Refused(vec![GuardRefusal::Autostart { count: 1 }]));
    bench.assert_runs_at("pc03", "h02");

    bench.in_host("h03", "virsh", &["undefine", "pc03"]);
    bench.moves(&bench.libvirt, guest, "h02", "h03");
}
