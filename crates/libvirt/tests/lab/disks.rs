//! Guests with disks, and storage that fails them.

use crate::bench::{Bench, LOOK, MOVE, SHARED};
use dormouse_driver::Probe;
use dormouse_lab::{Fault, Load};
use dormouse_model::{CheckFailure, DomainState, JobKind, Mib, Millis, Outcome, OutcomeError};
use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The server of the shared folder is dead (fault S01): whoever touches the folder waits for ever. The host is unusable,
/// and its looks are as quick as before.
pub(crate) fn hung_folder(bench: &Bench) {
    bench.healthy("h02");
    bench.fault("h02", &Fault::HangShare);
    for _ in 0..3 {
        let start = Instant::now();
        let look = bench.run(bench.libvirt.look(bench.host("h02"), LOOK)).expect("it answers");
        assert_eq!(look.failures, [CheckFailure::Storage(format!("{SHARED}: it does not answer"))]);
        assert_eq!(look.vms.len(), 1, "what runs there is seen all the same");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
    bench.heal("h02");
    bench.wait("h02 is healthy again", || bench.look("h02").is_ok_and(|facts| facts.failures.is_empty()));
}

/// No room is left under a guest's disk (fault S02): it is held, shown as that, and not moved about.
pub(crate) fn full_folder(bench: &Bench) {
    let small = format!("{SHARED}/small");
    bench.in_host("h01", "mkdir", &["-p", &small]);
    bench.in_host("h01", "mount", &["-t", "tmpfs", "-o", "size=4m", "small", &small]);
    bench.in_host("h01", "truncate", &["-s", "32M", &format!("{small}/disk.img")]);
    let disk = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{small}/disk.img'/><target dev='vda' bus='virtio'/></disk>"
    );
    bench.with_disk("pc01", "h01", &disk, || {
        bench.load("pc01", Some(Load::Write { mib_per_s: 8 }));
        held(bench);
        let outcome = bench.migrate(&bench.libvirt, bench.guest("pc01"), "h01", "h02", MOVE);
        let why = "it is paused by a fault at the source";
        assert_eq!(outcome, Outcome::Failed(OutcomeError::Driver(why.into())));
        bench.in_host("h01", "mount", &["-o", "remount,size=64m", &small]);
        bench.in_host("h01", "virsh", &["resume", "pc01"]);
        bench.assert_runs_at("pc01", "h01");
        bench.load("pc01", None);
    });
    bench.in_host("h01", "umount", &[&small]);
}

fn held(bench: &Bench) {
    bench.wait("the guest is held by its disk", || {
        let facts = bench.healthy("h01");
        facts.vms.iter().any(|vm| vm.uuid == bench.guest("pc01") && vm.state == DomainState::PausedFault)
    });
}

/// Somebody copies a guest's disk while it runs (fault V08): a job like any other, so it is not moved.
pub(crate) fn block_job(bench: &Bench) {
    let (image, copy) = (format!("{SHARED}/pc01.img"), format!("{SHARED}/copy.img"));
    bench.in_host("h01", "truncate", &["-s", "8M", &image]);
    let disk = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='{image}'/><target dev='vda' bus='virtio'/></disk>"
    );
    bench.with_disk("pc01", "h01", &disk, || {
        let pc01 = bench.guest("pc01");
        let job = || {
            let vm = bench.healthy("h01").vms.into_iter().find(|vm| vm.uuid == pc01).expect("it is there");
            vm.job.map(|job| job.kind)
        };
        assert_eq!(job(), None);
        bench.in_host("h01", "virsh", &["blockcopy", "pc01", "vda", "--dest", &copy, "--transient-job"]);
        assert_eq!(job(), Some(JobKind::Other));
        let outcome = bench.migrate(&bench.libvirt, pc01, "h01", "h02", MOVE);
        assert_eq!(outcome, Outcome::Failed(OutcomeError::Driver("a job runs on one of its disks".into())));
        assert_eq!(job(), Some(JobKind::Other), "and it goes on");
        bench.in_host("h01", "virsh", &["blockjob", "pc01", "vda", "--abort"]);
        bench.wait("it is over", || job().is_none());
    });
    bench.in_host("h01", "rm", &["-f", &image, &copy]);
}

/// A disk over the network, as long as somebody serves it.
struct DiskServer {
    running: Child,
    _folder: tempfile::TempDir,
}

impl DiskServer {
    const DISK: &str = "<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none' error_policy='stop'/><source protocol='nbd' name='disk'><host name='10.77.0.1' port='10809'/></source><target dev='vda' bus='virtio'/></disk>";

    fn start(bench: &Bench) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("disk.img");
        File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("an image");
        let mut command = bench.lab.command_in_manager_netns("qemu-storage-daemon");
        command
            .args(["--blockdev", &format!("driver=file,node-name=disk,filename={}", image.display())])
            .args(["--nbd-server", "addr.type=inet,addr.host=10.77.0.1,addr.port=10809"])
            .args(["--export", "type=nbd,id=disk,node-name=disk,name=disk,writable=on"]);
        let running = command.stdin(Stdio::null()).spawn().expect("qemu-storage-daemon runs");
        Self { running, _folder: folder }
    }

    fn dies(&mut self) {
        // The second time there is nothing to kill any more.
        let _ = self.running.kill();
        self.running.wait().expect("waited for");
    }
}

impl Drop for DiskServer {
    fn drop(&mut self) {
        self.dies();
    }
}

/// The disk of a guest errs while it moves (fault M17): the move ends, and the guest is held where it was.
pub(crate) fn error_disk(bench: &Bench) {
    let mut server = DiskServer::start(bench);
    bench.with_disk("pc01", "h01", DiskServer::DISK, || {
        let pc01 = bench.guest("pc01");
        // With such a disk a guest moves.
        bench.moves(&bench.libvirt, pc01, "h01", "h02");
        bench.moves(&bench.libvirt, pc01, "h02", "h01");
        bench.load("pc01", Some(Load::Write { mib_per_s: 1 }));
        let outcome = bench.in_the_middle(
            "pc01",
            "h01",
            "h02",
            Millis(30_000),
            |job| job.processed > Mib(0),
            || server.dies(),
        );
        assert!(matches!(outcome, Outcome::Failed(OutcomeError::Driver(_))), "{outcome:?}");
        held(bench);
        assert_eq!(bench.processes("pc01"), ["h01"]);
        assert_eq!(bench.healthy("h02").vms.len(), 1);
    });
}
