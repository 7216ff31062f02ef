//! Live moves of real guests, and what goes wrong in them.

use crate::bench::{Bench, LOOK, MOVE};
use crate::dying_client::{self, Word};
use dormouse_driver::{End, Hypervisor, MoveRequest, Probe, Settlement};
use dormouse_lab::{Fault, Load};
use dormouse_libvirt::Way;
use dormouse_model::{DomainState, Job, JobKind, Mib, Millis, Outcome, OutcomeError};
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) fn peer_to_peer(bench: &Bench) {
    let pc01 = bench.guest("pc01");
    let downtime = bench.moves(&bench.libvirt, pc01, "h01", "h02");
    assert!(downtime < Millis(5000), "{downtime}");
    bench.assert_runs_at("pc01", "h02");
    assert_eq!(bench.healthy("h01").vms, []);
    let there = bench.healthy("h02").vms;
    let vm = there.iter().find(|vm| vm.uuid == pc01).expect("it is there");
    assert_eq!((vm.state, vm.persistent, vm.mem), (DomainState::Running, true, Mib(96)));

    let encrypted = bench.run(async { bench.with(|settings| settings.moves.encrypt = true) });
    bench.moves(&encrypted, pc01, "h02", "h01");
    bench.assert_runs_at("pc01", "h01");
    // Where it is not, it cannot be moved from; where it is, it cannot be moved to.
    assert!(matches!(
        bench.migrate(&bench.libvirt, pc01, "h02", "h03", MOVE),
        Outcome::Failed(OutcomeError::Driver(_))
    ));
    bench.assert_runs_at("pc01", "h01");
}

pub(crate) fn by_us(bench: &Bench) {
    let ours = bench.run(async { bench.with(|settings| settings.moves.way = Way::ByUs) });
    let (pc01, pc03) = (bench.guest("pc01"), bench.guest("pc03"));
    // Two at once take turns.
    let request = |vm, from, to| MoveRequest {
        vm,
        from: bench.host(from),
        to: bench.host(to),
        deadline: MOVE,
        progress: None,
    };
    let both = bench.run(async {
        tokio::join!(ours.migrate(request(pc01, "h01", "h02")), ours.migrate(request(pc03, "h03", "h02")))
    });
    assert!(matches!(both, (Outcome::Done { .. }, Outcome::Done { .. })), "{both:?}");
    bench.assert_runs_at("pc01", "h02");
    bench.assert_runs_at("pc03", "h02");
    bench.moves(&bench.libvirt, pc01, "h02", "h01");
    bench.moves(&bench.libvirt, pc03, "h02", "h03");
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
        assert!(
            at(h2)
                .await
                .expect("lists")
                .iter()
                .any(|definition| definition.uuid == vm && definition.name == name && definition.persistent)
        );
        // A running VM keeps its definition.
        assert!(matches!(bench.libvirt.undefine(vm, h2, LOOK).await, Outcome::Failed(_)));
    });
    bench.in_host("h02", "virsh", &["destroy", &vm.to_string()]);
    assert_eq!(bench.run(bench.libvirt.undefine(vm, h2, LOOK)), Outcome::Done { downtime: None });
}

pub(crate) fn deadline(bench: &Bench) {
    let pc01 = bench.guest("pc01");
    bench.load("pc01", Some(Load::Dirty { mib_per_s: 40 }));
    let outcome =
        bench.slowly("pc01", "h01", || bench.migrate(&bench.libvirt, pc01, "h01", "h02", Millis(1500)));
    bench.load("pc01", None);
    assert_eq!(outcome, Outcome::Failed(OutcomeError::Deadline(Millis(1500))));
    bench.assert_runs_at("pc01", "h01");
    // And nothing of it keeps the next one from working.
    bench.moves(&bench.libvirt, pc01, "h01", "h02");
    bench.moves(&bench.libvirt, pc01, "h02", "h01");
}

pub(crate) fn abort(bench: &Bench) {
    let pc01 = bench.guest("pc01");
    let (h1, h2) = (bench.host("h01"), bench.host("h02"));
    let (tell, mut told) = watch::channel(None);
    let both = async {
        let request = MoveRequest { vm: pc01, from: h1, to: h2, deadline: MOVE, progress: Some(tell) };
        let abort = async {
            let begun = |job: &Option<Job>| {
                job.as_ref().is_some_and(|job| job.kind == JobKind::MigrationOut && job.remaining > Mib(0))
            };
            told.wait_for(begun).await.expect("it begins");
            let seen = bench.libvirt.look(h1, LOOK).await.expect("answers");
            let vm = seen.vms.iter().find(|vm| vm.uuid == pc01).expect("it is there");
            assert_eq!(vm.job.as_ref().map(|job| job.kind), Some(JobKind::MigrationOut));
            let seen = bench.libvirt.look(h2, LOOK).await.expect("answers");
            let vm = seen
                .vms
                .iter()
                .find(|vm| vm.uuid == pc01)
                .unwrap_or_else(|| panic!("its coming is not seen: {seen:?}"));
            assert_eq!(
                (vm.state, vm.job.as_ref().map(|job| job.kind)),
                (DomainState::PausedMigrating, Some(JobKind::MigrationIn))
            );
            bench.libvirt.abort(pc01, h1, LOOK).await
        };
        tokio::join!(bench.libvirt.migrate(request), abort)
    };
    let (moved, aborted) = bench.slowly("pc01", "h01", || bench.run(both));
    assert_eq!(aborted, Outcome::Done { downtime: None });
    assert!(matches!(&moved, Outcome::Failed(OutcomeError::Driver(_))), "{moved:?}");
    bench.assert_runs_at("pc01", "h01");
    // With nothing under way there is nothing to abort, and that is fine.
    assert_eq!(bench.run(bench.libvirt.abort(pc01, h1, LOOK)), Outcome::Done { downtime: None });
}

pub(crate) fn dead_destination(bench: &Bench) {
    bench.fault("h03", &Fault::Silence);
    let outcome = bench.migrate(&bench.libvirt, bench.guest("pc01"), "h01", "h03", MOVE);
    bench.heal("h03");
    assert!(matches!(outcome, Outcome::Failed(OutcomeError::Driver(_))), "{outcome:?}");
    bench.assert_runs_at("pc01", "h01");
    bench.wait("h03 answers again", || bench.look("h03").is_ok_and(|facts| facts.failures.is_empty()));
}

/// A client that carries a move and dies in the hand-over leaves it half done. It dies here exactly when it is about to
/// say one word to one end: what it left is found and set right, and the guest runs exactly once.
pub(crate) fn half_done(bench: &Bench) {
    let pc01 = bench.guest("pc01");
    let (h01, h02) = (bench.host("h01"), bench.host("h02"));
    for (dies_before, left) in [
        (Word::Confirm, Settlement::DropSource),
        (Word::Finish, Settlement::ResumeSource),
        (Word::Perform, Settlement::Stayed),
    ] {
        dying_client::moves(bench, pc01, ["h01", "h02"], dies_before);
        let settled = bench.run(bench.libvirt.settle(pc01, h01, h02, Millis(20_000))).expect("settles");
        assert_eq!(settled.settlement, left, "died before {dies_before:?}: {settled:?}");
        let (at, other) = if left == Settlement::DropSource { (h02, h01) } else { (h01, h02) };
        bench.assert_runs_at("pc01", &at.name);
        let again = bench.run(bench.libvirt.settle(pc01, at, other, Millis(20_000))).expect("settles");
        assert_eq!(
            (again.settlement, again.destination),
            (Settlement::Stayed, End::Absent),
            "died before {dies_before:?}"
        );
        if at.name == "h02" {
            bench.moves(&bench.libvirt, pc01, "h02", "h01");
        }
    }
}

pub(crate) fn immovable(bench: &Bench) {
    let vm = Uuid::from_u128(0xe011_0000_0000_4000_8000_0000_0000_0002);
    let disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/own.img'/><target dev='vda' bus='virtio'/></disk></devices>";
    let xml = bench.definition("pc01", "local-disk", vm).replace("</devices>", disk);
    bench.in_host("h01", "truncate", &["-s", "1M", "/var/lib/libvirt/images/own.img"]);
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
    bench.in_host("h01", "virsh", &["destroy", &vm.to_string()]);
    assert_eq!(bench.run(bench.libvirt.undefine(vm, h1, LOOK)), Outcome::Done { downtime: None });
}
