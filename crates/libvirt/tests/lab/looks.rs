//! What a look brings back.

use crate::bench::{Bench, LOOK, SHARED};
use dormouse_driver::{Hypervisor, Probe, conformance};
use dormouse_lab::{Fault, Load};
use dormouse_libvirt::Libvirt;
use dormouse_model::{DomainState, HostFacts, Mib, MilliCpu, Outcome};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) fn all_at_once(bench: &Bench) {
    let start = Instant::now();
    let names = ["h01", "h02", "h03"];
    let looks = bench.run(async {
        let look = |name| bench.libvirt.look(bench.host(name), LOOK);
        tokio::join!(look(names[0]), look(names[1]), look(names[2]))
    });
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let facts = [looks.0, looks.1, looks.2].map(|look| look.expect("answers"));
    for (name, facts) in names.iter().zip(&facts) {
        let spec = bench.lab.spec.host(name).expect("a host");
        assert_eq!(facts.failures, [], "{name}");
        assert_eq!(facts.machine, spec.uuid, "{name}");
        assert!(facts.macs.contains(&spec.mac.0), "{:?}", facts.macs);
        assert!(facts.clock_offset_ms.abs() < 1000, "{}", facts.clock_offset_ms);
        assert!(facts.people_idle.is_empty() && facts.blocks.is_empty(), "{facts:?}");
        let guest = name.replace("h", "pc");
        let [vm] = &facts.vms[..] else { panic!("{name}: {:?}", facts.vms) };
        assert_eq!((vm.uuid, vm.name.as_str()), (bench.guest(&guest), guest.as_str()));
        assert_eq!((vm.state, vm.vcpus, vm.mem, vm.persistent), (DomainState::Running, 1, Mib(96), true));
        assert_eq!((&vm.job, &vm.immovable), (&None, &None));
    }
    let boots: BTreeSet<Uuid> = facts.iter().map(|facts| facts.boot).collect();
    assert_eq!(boots.len(), 3);
    // The second look uses what is open already.
    let start = Instant::now();
    bench.healthy("h01");
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
}

pub(crate) fn load_is_seen(bench: &Bench) {
    bench.load("pc01", Some(Load::Cpu { percent: 60 }));
    bench.wait("the guest burns half a core", || {
        bench.run(async { tokio::time::sleep(Duration::from_millis(500)).await });
        let facts = bench.healthy("h01");
        facts.vms[0].cpu > Some(MilliCpu(250))
    });
    bench.wait("the other guest idles", || {
        bench.healthy("h02").vms[0].cpu.is_some_and(|cpu| cpu < MilliCpu(250))
    });
    bench.load("pc01", None);
}

pub(crate) fn people_and_blocks(bench: &Bench) {
    bench.fault("h01", &Fault::Login { user: "ann".into(), tty: "pts/77".into() });
    bench.fault("h01", &Fault::HoldPackages);
    bench.fault(
        "h01",
        &Fault::Inhibitors(vec!["backup 0 root 9 backup shutdown:sleep $(reboot) block".into()]),
    );
    let facts = bench.healthy("h01");
    assert_eq!(facts.people_idle.len(), 1, "{facts:?}");
    assert_eq!(
        facts.blocks,
        [
            "inhibited: backup 0 root 9 backup shutdown:sleep $(reboot) block",
            "a package manager holds its lock"
        ]
    );
    bench.heal("h01");
    let facts = bench.healthy("h01");
    assert!(facts.people_idle.is_empty() && facts.blocks.is_empty(), "{facts:?}");
}

pub(crate) fn changes_are_told(bench: &Bench) {
    let (tell, mut told) = mpsc::channel(16);
    let libvirt = Libvirt::new(crate::bench::settings(&bench.lab)).with_changes(tell);
    bench.run(async {
        libvirt.look(bench.host("h02"), LOOK).await.expect("answers");
        bench.in_host("h02", "virsh", &["suspend", "pc02"]);
        let host = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.expect("in time");
        assert_eq!(host.as_deref(), Some("h02"));
        let facts = libvirt.look(bench.host("h02"), LOOK).await.expect("answers");
        assert_eq!(facts.vms[0].state, DomainState::Paused);
        bench.in_host("h02", "virsh", &["resume", "pc02"]);
    });
}

/// libvirt's own word for it (fault V01).
pub(crate) fn crashes(bench: &Bench) {
    let seen = |guest: &str, host: &str| {
        let vms = bench.healthy(host).vms;
        let vm = vms.into_iter().find(|vm| vm.uuid == bench.guest(guest)).expect("it is defined there");
        (vm.state, vm.crashed)
    };
    bench.in_host("h02", "sh", &["-c", "kill -KILL $(cat /run/libvirt/qemu/pc02.pid)"]);
    bench.wait("libvirt notices", || seen("pc02", "h02").0 == DomainState::ShutOff);
    assert!(seen("pc02", "h02").1);
    let start = |guest: &str, host: &str| {
        let outcome = bench.run(bench.libvirt.start(bench.guest(guest), bench.host(host), LOOK));
        assert_eq!(outcome, Outcome::Done { downtime: None });
        assert_eq!(seen(guest, host), (DomainState::Running, false));
    };
    start("pc02", "h02");
    bench.in_host("h01", "virsh", &["destroy", "pc01"]);
    assert_eq!(seen("pc01", "h01"), (DomainState::ShutOff, false));
    start("pc01", "h01");
}

pub(crate) fn conformance(bench: &Bench) {
    let vm = Uuid::from_u128(0xc0_4f_04_00_77);
    let xml = bench.definition("pc01", "conformance", vm);
    let hosts = [bench.host("h01"), bench.host("h02")];
    let given = conformance::Given { hosts, vm, xml: &xml, moves: true, guest_obeys: false };
    let broken = bench.run(conformance::hypervisor(&bench.libvirt, &given));
    bench.in_host("h02", "virsh", &["destroy", &vm.to_string()]);
    assert_eq!(broken, Vec::<String>::new());
    let broken = bench.run(conformance::undefined_again(&bench.libvirt, &given, hosts[1]));
    assert_eq!(broken, Vec::<String>::new());
    let broken = bench.run(conformance::probe(&bench.libvirt, hosts[0]));
    assert_eq!(broken, Vec::<String>::new());
}

/// What two VMs must not both have, in definitions that do not run (faults V04, V05), and what a host must have (M15).
pub(crate) fn devices(bench: &Bench) {
    let (twin, other) = (Uuid::from_u128(0x7e11), Uuid::from_u128(0x7e12));
    let disk =
        format!("<disk type='file'><source file='{SHARED}//data.img'/><target dev='vda'/></disk></devices>");
    let define = |name: &str, uuid, host: &str, bridge: &str| {
        let xml = bench.definition("pc01", name, uuid).replace("</devices>", &disk);
        let xml = xml.replace("bridge='br0'", &format!("bridge='{bridge}'"));
        assert_eq!(bench.run(bench.libvirt.define(bench.host(host), &xml, LOOK)), Ok(uuid));
    };
    define("twin", twin, "h01", "br0");
    define("other", other, "h02", "br7");
    let (first, second) = (bench.healthy("h01"), bench.healthy("h02"));
    let devices = |facts: &HostFacts, uuid| {
        facts.vms.iter().find(|vm| vm.uuid == uuid).expect("it is there").devices.clone()
    };
    let (pc01, twin_has, other_has) =
        (devices(&first, bench.guest("pc01")), devices(&first, twin), devices(&second, other));
    assert_eq!(pc01.macs.len(), 1);
    assert_eq!((&twin_has.macs, &other_has.macs), (&pc01.macs, &pc01.macs));
    assert_eq!(
        (&twin_has.disks[..], &other_has.disks[..]),
        (&[format!("{SHARED}/data.img")][..], &twin_has.disks[..])
    );
    assert_eq!(
        (&twin_has.networks[..], &other_has.networks[..]),
        (&["br0".to_owned()][..], &["br7".to_owned()][..])
    );
    assert!(first.networks.contains(&"br0".to_owned()), "{:?}", first.networks);
    assert!(!first.networks.contains(&"br7".to_owned()));
    bench.in_host("h01", "virsh", &["undefine", "twin"]);
    bench.in_host("h02", "virsh", &["undefine", "other"]);
}
