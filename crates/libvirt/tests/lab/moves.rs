//! Live moves of real guests, and what goes wrong in them.

use crate::bench::{Bench, LOOK, MOVE};
use dormouse_driver::{End, Hypervisor, MoveRequest, Settlement};
use dormouse_lab::{Fault, Load};
use dormouse_libvirt::Way;
use dormouse_model::{DomainState, Mib, Millis, Outcome, OutcomeError};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) fn peer_to_peer(bench: &Bench) {
    let pc1 = bench.guest("pc01");
    let (tell, told) = watch::channel(None);
    let request = MoveRequest { vm: pc1, from: bench.host("h01"), to: bench.host("h02"), deadline: MOVE, progress: Some(tell) };
    let outcome = bench.run(bench.libvirt.migrate(request));
    let Outcome::Done { downtime: Some(downtime) } = outcome else { panic!("{outcome:?}") };
    assert!(downtime < Millis(5000), "{downtime}");
    assert!(told.borrow().is_some(), "progress was told");
    bench.assert_runs_at("pc01", "h02");
    assert_eq!(bench.healthy("h01").vms, []);
    let there = bench.healthy("h02").vms;
    let vm = there.iter().find(|vm| vm.uuid == pc1).expect("it is there");
    assert_eq!((vm.state, vm.persistent, vm.mem), (DomainState::Running, true, Mib(96)));

    let encrypted = bench.run(async { bench.with(|settings| settings.moves.encrypt = true) });
    bench.moves(&encrypted, pc1, "h02", "h01");
    bench.assert_runs_at("pc01", "h01");
    // Where it is not, it cannot be moved from; where it is, it cannot be moved to.
    assert!(matches!(bench.migrate(&bench.libvirt, pc1, "h02", "h03", MOVE), Outcome::Failed(OutcomeError::Driver(_))));
    bench.assert_runs_at("pc01", "h01");
}

pub(crate) fn by_us(bench: &Bench) {
    let ours = bench.run(async { bench.with(|settings| settings.moves.way = Way::ByUs) });
    let (pc1, pc3) = (bench.guest("pc01"), bench.guest("pc03"));
    // Two at once take turns.
    let request = |vm, from, to| MoveRequest { vm, from: bench.host(from), to: bench.host(to), deadline: MOVE, progress: None };
    let both = bench.run(async { tokio::join!(ours.migrate(request(pc1, "h01", "h02")), ours.migrate(request(pc3, "h03", "h02"))) });
    assert!(matches!(both, (Outcome::Done { .. }, Outcome::Done { .. })), "{both:?}");
    bench.assert_runs_at("pc01", "h02");
    bench.assert_runs_at("pc03", "h02");
    bench.moves(&bench.libvirt, pc1, "h02", "h01");
    bench.moves(&bench.libvirt, pc3, "h02", "h03");
}

pub(crate) fn evil_name(bench: &Bench) {
    let vm = Uuid::from_u128(0xe011_0000_0000_4000_8000_0000_0000_0001);
    let name = "$(reboot); `reboot` 'x' --all";
    let xml = bench.definition("pc01", name, vm);
    let (h1, h2) = (bench.host("h01"), bench.host("h02"));
    bench.run(async {
        assert_eq!(bench.libvirt.define(h1, &xml, LOOK).await, Ok(vm));
        assert_eq!(bench.libvirt.start(vm, h1, LOOK).await, Outcome::Done { downtime: None });
    });
    let seen = bench.healthy("h01").vms.into_iter().find(|found| found.uuid == vm).expect("it is seen");
    assert_eq!((seen.name.as_str(), seen.state), (name, DomainState::Running));
    bench.moves(&bench.libvirt, vm, "h01", "h02");
    bench.run(async {
        let at = |host| bench.libvirt.definitions(host, LOOK);
        assert!(at(h1).await.expect("lists").iter().all(|definition| definition.uuid != vm));
        assert!(at(h2).await.expect("lists").iter().any(|definition| definition.uuid == vm && definition.name == name && definition.persistent));
        // A running VM keeps its definition.
        assert!(matches!(bench.libvirt.undefine(vm, h2, LOOK).await, Outcome::Failed(_)));
    });
    let destroyed = bench.lab.command_in_host("h02", "virsh").expect("a command").args(["destroy", &vm.to_string()]).output();
    assert!(destroyed.expect("runs").status.success());
    assert_eq!(bench.run(bench.libvirt.undefine(vm, h2, LOOK)), Outcome::Done { downtime: None });
}

pub(crate) fn deadline(bench: &Bench) {
    let pc1 = bench.guest("pc01");
    bench.load("pc01", Some(Load::Dirty { mib_per_s: 60 }));
    let outcome = bench.migrate(&bench.libvirt, pc1, "h01", "h02", Millis(400));
    bench.load("pc01", None);
    assert_eq!(outcome, Outcome::Failed(OutcomeError::Deadline(Millis(400))));
    bench.assert_runs_at("pc01", "h01");
    // And nothing of it keeps the next one from working.
    bench.moves(&bench.libvirt, pc1, "h01", "h02");
    bench.moves(&bench.libvirt, pc1, "h02", "h01");
}

pub(crate) fn abort(bench: &Bench) {
    let pc1 = bench.guest("pc01");
    let (h1, h2) = (bench.host("h01"), bench.host("h02"));
    bench.load("pc01", Some(Load::Dirty { mib_per_s: 60 }));
    let (tell, mut told) = watch::channel(None);
    let (moved, aborted) = bench.run(async {
        let request = MoveRequest { vm: pc1, from: h1, to: h2, deadline: MOVE, progress: Some(tell) };
        let abort = async {
            told.changed().await.expect("it begins");
            bench.libvirt.abort(pc1, h1, LOOK).await
        };
        tokio::join!(bench.libvirt.migrate(request), abort)
    });
    bench.load("pc01", None);
    assert_eq!(aborted, Outcome::Done { downtime: None });
    assert!(matches!(&moved, Outcome::Failed(OutcomeError::Driver(_))), "{moved:?}");
    bench.assert_runs_at("pc01", "h01");
    // With nothing under way there is nothing to abort, and that is fine.
    assert_eq!(bench.run(bench.libvirt.abort(pc1, h1, LOOK)), Outcome::Done { downtime: None });
}

pub(crate) fn dead_destination(bench: &Bench) {
    bench.fault("h03", &Fault::Silence);
    let outcome = bench.migrate(&bench.libvirt, bench.guest("pc01"), "h01", "h03", MOVE);
    bench.heal("h03");
    assert!(matches!(outcome, Outcome::Failed(OutcomeError::Driver(_))), "{outcome:?}");
    bench.assert_runs_at("pc01", "h01");
    bench.wait("h03 answers again", || bench.look("h03").is_ok_and(|facts| facts.failures.is_empty()));
}

/// A client that carries a move and dies in the middle leaves it half done; whatever it left is set right, or needed
/// nothing, and afterwards the guest runs exactly once.
pub(crate) fn half_done(bench: &Bench) {
    let pc1 = bench.guest("pc01");
    let (h1, h2) = (bench.host("h01"), bench.host("h02"));
    let mut met = vec![];
    let mut at = "h01";
    for wait_ms in [150, 300, 450, 600, 750, 900, 1050, 1200] {
        let (from, to) = if at == "h01" { (h1, h2) } else { (h2, h1) };
        let uri = |host: &str| {
            let address = bench.lab.spec.host(host).expect("a host").address;
            let (key, known) = (bench.lab.paths.ssh_key(), bench.lab.paths.known_hosts());
            format!("qemu+ssh://root@{address}/system?keyfile={}&known_hosts={}", key.display(), known.display())
        };
        let mut client = bench
            .lab
            .command_in_manager_netns("virsh")
            .args(["-c", &uri(&from.name), "migrate", "--live", "--persistent", "--undefinesource", &pc1.to_string(), &uri(&to.name)])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("virsh runs");
        std::thread::sleep(Duration::from_millis(wait_ms));
        client.kill().expect("it dies");
        client.wait().expect("it is dead");
        let settled = bench.run(bench.libvirt.settle(pc1, from, to, Millis(20_000))).expect("settles");
        met.push(settled.settlement);
        at = match settled.settlement {
            Settlement::Moved | Settlement::DropSource | Settlement::DropDefinition => &to.name,
            Settlement::Stayed | Settlement::ResumeSource => &from.name,
            other => panic!("{other:?}: {settled:?}"),
        };
        bench.assert_runs_at("pc01", at);
        let other = if at == "h01" { h2 } else { h1 };
        let again = bench.run(bench.libvirt.settle(pc1, bench.host(at), other, Millis(20_000))).expect("settles");
        assert_eq!((again.settlement, again.destination), (Settlement::Stayed, End::Absent), "after {settled:?}");
    }
    if at == "h02" {
        bench.moves(&bench.libvirt, pc1, "h02", "h01");
    }
    assert!(
        met.iter().any(|settlement| matches!(settlement, Settlement::DropSource | Settlement::ResumeSource)),
        "no kill hit the hand-over: {met:?}"
    );
}

pub(crate) fn immovable(bench: &Bench) {
    let vm = Uuid::from_u128(0xe011_0000_0000_4000_8000_0000_0000_0002);
    let disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/own.img'/><target dev='vda' bus='virtio'/></disk></devices>";
    let xml = bench.definition("pc01", "local-disk", vm).replace("</devices>", disk);
    let made = bench.lab.command_in_host("h01", "truncate").expect("a command").args(["-s", "1M", "/var/lib/libvirt/images/own.img"]).output();
    assert!(made.expect("runs").status.success());
    let h1 = bench.host("h01");
    bench.run(async {
        assert_eq!(bench.libvirt.define(h1, &xml, LOOK).await, Ok(vm));
        assert_eq!(bench.libvirt.start(vm, h1, LOOK).await, Outcome::Done { downtime: None });
    });
    let reason = "its disk /var/lib/libvirt/images/own.img exists on its host alone";
    let seen = bench.healthy("h01").vms.into_iter().find(|found| found.uuid == vm).expect("it is seen");
    assert_eq!(seen.immovable.as_deref(), Some(reason));
    let outcome = bench.migrate(&bench.libvirt, vm, "h01", "h02", MOVE);
    assert_eq!(outcome, Outcome::Failed(OutcomeError::Driver(reason.into())));
    let destroyed = bench.lab.command_in_host("h01", "virsh").expect("a command").args(["destroy", &vm.to_string()]).output();
    assert!(destroyed.expect("runs").status.success());
    assert_eq!(bench.run(bench.libvirt.undefine(vm, h1, LOOK)), Outcome::Done { downtime: None });
}
