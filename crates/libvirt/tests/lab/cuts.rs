//! What breaks off while the memory of a guest is on its way.

use crate::bench::{Bench, LOOK, MOVE};
use dormouse_driver::{End, Hypervisor, Settlement};
use dormouse_lab::{Fault, Power};
use dormouse_model::{Job, Mib, Millis, Outcome, OutcomeError};

/// Of what was to be copied, so many hundredths have gone.
fn copied(percent: u64) -> impl Fn(&Job) -> bool {
    move |job| {
        let all = job.processed.0 + job.remaining.0;
        job.processed > Mib(0) && job.processed.0 * 100 >= all * percent
    }
}

/// The two hosts of a move no longer hear each other; the manager hears both (fault N03).
pub(crate) fn between_hosts(bench: &Bench) {
    let deadline = Millis(6000);
    let cut = || {
        bench.fault("h01", &Fault::CutFrom("h02".into()));
        for host in ["h01", "h02"] {
            bench.healthy(host);
        }
    };
    let outcome = bench.in_the_middle("pc01", "h01", "h02", deadline, copied(10), cut);
    assert_eq!(outcome, Outcome::Failed(OutcomeError::Deadline(deadline)));
    bench.assert_runs_at("pc01", "h01");
    bench.heal("h01");
    bench.moves(&bench.libvirt, bench.guest("pc01"), "h01", "h02");
    bench.moves(&bench.libvirt, bench.guest("pc01"), "h02", "h01");
}

/// The same, and the cut is there before the move.
pub(crate) fn before_a_move(bench: &Bench) {
    bench.fault("h01", &Fault::CutFrom("h02".into()));
    // The source's libvirtd waits for a connection, and nothing can end that: it is no failure yet. Nor does it become a move
    // later, when nobody waits for one any more. Now and then libvirtd does not even tell of the job meanwhile: then the source
    // is not seen.
    let (pc01, h01, h02) = (bench.guest("pc01"), bench.host("h01"), bench.host("h02"));
    let outcome = bench.migrate(&bench.libvirt, pc01, "h01", "h02", Millis(2000));
    assert!(
        matches!(&outcome, Outcome::Unsure(why)
            if ["it neither goes on nor ends", "source not seen"].iter().any(|begin| why.starts_with(begin))),
        "{outcome:?}"
    );
    bench.assert_runs_at("pc01", "h01");
    bench.heal("h01");
    bench.wait("it has stayed", || {
        let settled = bench.run(bench.libvirt.settle(pc01, h01, h02, LOOK)).expect("an answer");
        let waits = matches!(settled.settlement, Settlement::UnderWay | Settlement::Unseen);
        assert!(waits || settled.settlement == Settlement::Stayed, "{settled:?}");
        settled.settlement == Settlement::Stayed
    });
    bench.assert_runs_at("pc01", "h01");
}

/// Everything reaches the destination, and nothing that it says is heard (fault N04): nobody claims to know how the move
/// ended, until both ends are seen.
pub(crate) fn one_way(bench: &Bench) {
    let (pc01, h01, h02) = (bench.guest("pc01"), bench.host("h01"), bench.host("h02"));
    let silence = || bench.fault("h02", &Fault::LoseOutward(100));
    let outcome = bench.in_the_middle("pc01", "h01", "h02", Millis(6000), copied(10), silence);
    assert!(matches!(outcome, Outcome::Unsure(_)), "{outcome:?}");
    let unseen = bench.run(bench.libvirt.settle(pc01, h01, h02, Millis(2000))).expect("an answer");
    assert_eq!((unseen.settlement, unseen.destination), (Settlement::Unseen, End::Unseen));
    bench.heal("h02");
    bench.wait("both ends are seen, and it has stayed", || {
        let settled = bench.run(bench.libvirt.settle(pc01, h01, h02, LOOK)).expect("an answer");
        (settled.settlement, settled.destination) == (Settlement::Stayed, End::Absent)
    });
    bench.assert_runs_at("pc01", "h01");
}

/// libvirtd is started anew in the middle of a copy (fault P11), at either end: the guest stays where it is.
pub(crate) fn restarted_libvirtd(bench: &Bench) {
    for end in ["h01", "h02"] {
        let restart = || bench.in_host(end, "systemctl", &["restart", "libvirtd.service"]);
        let outcome = bench.in_the_middle("pc01", "h01", "h02", MOVE, copied(10), restart);
        // A libvirtd that is not back yet cannot be asked, and then nobody claims to know.
        assert!(
            matches!(outcome, Outcome::Failed(OutcomeError::Driver(_)) | Outcome::Unsure(_)),
            "at {end}: {outcome:?}"
        );
        bench.assert_runs_at("pc01", "h01");
        bench.wait("all is as before", || {
            ["h01", "h02"].iter().all(|host| {
                bench.look(host).is_ok_and(|facts| {
                    facts.failures.is_empty() && facts.vms.len() == 1 && facts.vms[0].job.is_none()
                })
            })
        });
    }
    // Nothing of it keeps the next one from working.
    bench.moves(&bench.libvirt, bench.guest("pc01"), "h01", "h02");
    bench.moves(&bench.libvirt, bench.guest("pc01"), "h02", "h01");
}

/// The source loses its power early, in the middle and near the end of the copy (fault M01). The guest is lost with its
/// host, its half copy ends, and nobody calls that a move; back comes the host with the definition.
pub(crate) fn dead_source(bench: &Bench) {
    let (pc01, h01, h02) = (bench.guest("pc01"), bench.host("h01"), bench.host("h02"));
    for percent in [20, 60, 95] {
        let cut = || bench.fault("h01", &Fault::PowerCut);
        let outcome = bench.in_the_middle("pc01", "h01", "h02", Millis(30_000), copied(percent), cut);
        assert!(matches!(outcome, Outcome::Unsure(_)), "at {percent} %: {outcome:?}");
        let settled = bench.run(bench.libvirt.settle(pc01, h01, h02, Millis(3000))).expect("an answer");
        assert_eq!(settled.settlement, Settlement::Unseen, "at {percent} %: {settled:?}");
        bench.wait("its copy is gone", || {
            bench.processes("pc01").is_empty() && bench.healthy("h02").vms.len() == 1
        });

        bench.lab.power_on("h01").expect("a power button");
        bench.wait("h01 is back, with the definition alone", || {
            bench.power("h01") == Power::On
                && bench.look("h01").is_ok_and(|facts| {
                    facts.failures.is_empty()
                        && facts.vms.iter().any(|vm| vm.uuid == pc01 && !vm.state.is_present())
                })
        });
        let settled = bench.run(bench.libvirt.settle(pc01, h01, h02, LOOK)).expect("an answer");
        assert_eq!((settled.settlement, settled.destination), (Settlement::Gone, End::Absent));
        bench.starts("pc01", "h01");
    }
}
