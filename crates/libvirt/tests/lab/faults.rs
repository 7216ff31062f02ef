//! Hosts that do not answer as they should: each is told apart, and costs nobody else anything.

use crate::bench::{Bench, LOOK, SHARED};
use dormouse_driver::Probe;
use dormouse_lab::Fault;
use dormouse_model::{CheckFailure, Millis, ProbeError};
use std::time::{Duration, Instant};

pub(crate) fn frozen_libvirtd(bench: &Bench) {
    bench.healthy("h02");
    bench.fault("h02", &Fault::FreezeLibvirtd);
    for _ in 0..2 {
        let start = Instant::now();
        let (frozen, other) = bench.run(async {
            let other = async {
                let look = bench.libvirt.look(bench.host("h01"), LOOK).await;
                (look, start.elapsed())
            };
            tokio::join!(bench.libvirt.look(bench.host("h02"), Millis(2000)), other)
        });
        let elapsed = start.elapsed();
        let frozen = frozen.expect("ssh still answers");
        let [CheckFailure::Libvirt(why)] = &frozen.failures[..] else { panic!("{:?}", frozen.failures) };
        assert!(why.contains("did not answer"), "{why}");
        assert!(elapsed < Duration::from_millis(2500), "{elapsed:?}");
        assert!(
            other.0.is_ok_and(|facts| facts.failures.is_empty()) && other.1 < Duration::from_millis(1200),
            "{:?}",
            other.1
        );
    }
    bench.fault("h02", &Fault::ThawLibvirtd);
    bench.wait("h02 is healthy again", || {
        bench.look("h02").is_ok_and(|facts| facts.failures.is_empty() && facts.vms.len() == 1)
    });
}

pub(crate) fn stopped_libvirtd(bench: &Bench) {
    let systemctl =
        |verb: &str| bench.in_host("h02", "systemctl", &[verb, "libvirtd.service", "libvirtd.socket"]);
    systemctl("stop");
    let facts = bench.look("h02").expect("ssh still answers");
    assert!(matches!(&facts.failures[..], [CheckFailure::Libvirt(_)]), "{:?}", facts.failures);
    systemctl("start");
    bench.wait("h02 is healthy again", || {
        bench.look("h02").is_ok_and(|facts| facts.failures.is_empty() && facts.vms.len() == 1)
    });
}

pub(crate) fn silent_host(bench: &Bench) {
    bench.healthy("h03");
    bench.fault("h03", &Fault::Silence);
    for _ in 0..2 {
        let start = Instant::now();
        let look = bench.run(bench.libvirt.look(bench.host("h03"), Millis(1500)));
        assert!(matches!(look, Err(ProbeError::Timeout(_) | ProbeError::Unreachable(_))), "{look:?}");
        assert!(start.elapsed() < Duration::from_millis(2000), "{:?}", start.elapsed());
    }
    bench.heal("h03");
    bench.wait("h03 is healthy again", || bench.look("h03").is_ok_and(|facts| facts.failures.is_empty()));
}

pub(crate) fn keys(bench: &Bench) {
    let folder = tempfile::tempdir().expect("a folder");
    let wrong_key = folder.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&wrong_key)
        .status();
    assert!(made.expect("runs").success());
    let public = std::fs::read_to_string(wrong_key.with_extension("pub")).expect("a public key");
    let changed = folder.path().join("changed");
    let address = bench.lab.spec.host("h01").expect("a host").address;
    std::fs::write(&changed, format!("{address} {public}")).expect("written");
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").expect("written");

    let look = |change: &dyn Fn(&mut dormouse_libvirt::Settings)| {
        bench.run(async {
            let libvirt = bench.with(|settings| change(settings));
            libvirt.look(bench.host("h01"), LOOK).await.map(drop)
        })
    };
    assert!(
        matches!(look(&|settings| settings.ssh.key = Some(wrong_key.clone())), Err(ProbeError::Auth(why)) if why.contains("Permission denied"))
    );
    assert!(
        matches!(look(&|settings| settings.ssh.known_hosts = Some(changed.clone())), Err(ProbeError::Identity(why)) if why.contains("changed"))
    );
    assert!(matches!(
        look(&|settings| settings.ssh.known_hosts = Some(empty.clone())),
        Err(ProbeError::Identity(_))
    ));

    let nobody = |address: &str| {
        let mut host = bench.host("h01").clone();
        host.name = format!("nobody-{address}");
        host.address = Some(address.into());
        bench.run(bench.libvirt.look(&host, LOOK)).map(drop)
    };
    assert!(matches!(nobody("10.77.0.1"), Err(ProbeError::Unreachable(why)) if why.contains("refused")));
    assert!(matches!(nobody("10.77.9.9"), Err(ProbeError::Unreachable(_) | ProbeError::Timeout(_))));
    assert!(
        matches!(nobody("-oProxyCommand=reboot"), Err(ProbeError::Unreachable(why)) if why.contains("not an address"))
    );
}

pub(crate) fn missing_folder(bench: &Bench) {
    let look = bench.run(async {
        let libvirt = bench.with(|settings| settings.shared = vec![SHARED.into(), "/srv/$(reboot) x".into()]);
        libvirt.look(bench.host("h01"), LOOK).await
    });
    assert_eq!(
        look.expect("answers").failures,
        [CheckFailure::Storage("/srv/$(reboot) x: nothing is mounted there".into())]
    );
}
