//! Locks on the disks of running guests: the last thing between a person's mistake and a doubled VM.

use crate::bench::{Bench, LOOK, SHARED};
use dormouse_driver::Hypervisor;
use dormouse_lab::{Fault, Power};
use dormouse_model::{HostFacts, Millis, Outcome, OutcomeError};
use std::fs;
use std::path::PathBuf;
use uuid::Uuid;

/// QEMU is started, looks at its disk and gives up.
const START: Millis = Millis(30_000);

/// One disk in two VMs (fault V05), and a host that only seems dead (S04): whoever starts the second one is refused, by
/// QEMU's own lock and by libvirt's, and told that it is a lock. When the host really is without power its lock goes, too.
pub(crate) fn second_start(bench: &Bench) {
    let image = format!("{SHARED}/locked.img");
    bench.in_host("h01", "truncate", &["-s", "8M", &image]);
    let disk = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='{image}'/><target dev='vda' bus='virtio'/></disk></devices>"
    );
    let (pc01, twin) = (bench.guest("pc01"), Uuid::from_u128(0x10c4));
    let plain = bench.definition("pc01", "pc01", pc01);
    let with_disk = plain.replace("</devices>", &disk);
    let anew = |xml: &str| {
        bench.in_host("h01", "virsh", &["destroy", "pc01"]);
        define(bench, "h01", xml, pc01);
        bench.starts("pc01", "h01");
    };
    define(bench, "h02", &bench.definition("pc01", "twin", twin).replace("</devices>", &disk), twin);

    // Without a lock manager there is QEMU's own lock, which does not reach over every storage.
    anew(&with_disk);
    let why = refused(bench, twin);
    assert!(why.contains("never broken by us"), "{why}");

    // Here libvirt locks disks, by files in a folder of their own; and from here on h02 opens another file under that name, as
    // over a storage that takes no lock of QEMU's.
    let (locks, other) = (format!("{SHARED}/locks"), format!("{SHARED}/other.img"));
    bench.in_host("h02", "mkdir", &["-p", &locks]);
    bench.in_host("h02", "truncate", &["-s", "8M", &other]);
    bench.in_host("h02", "mount", &["--bind", &other, &image]);
    let before = ["h01", "h02"].map(|host| (host, locks_on(bench, host)));
    for host in ["h01", "h02"] {
        bench.wait("it is seen that disks are locked", || {
            bench.look(host).is_ok_and(|facts: HostFacts| facts.disk_lock == Some(true))
        });
    }
    anew(&with_disk);
    let why = refused(bench, twin);
    assert!(why.contains("Lockspace resource") && why.contains("never broken by us"), "{why}");

    // The host falls silent and its guest lives on: its lock, too.
    define(bench, "h02", &with_disk, pc01);
    bench.fault("h01", &Fault::Silence);
    let why = refused(bench, pc01);
    assert!(why.contains("its host runs, or died and the lock has not run out yet"), "{why}");
    assert_eq!(bench.processes("pc01"), ["h01"], "the one that runs is untouched");

    // Without power there is no lock left to break.
    bench.fault("h01", &Fault::PowerCut);
    bench.wait("its lock is gone with it", || {
        bench.run(bench.libvirt.start(pc01, bench.host("h02"), START)) == Outcome::Done { downtime: None }
    });
    bench.assert_runs_at("pc01", "h02");

    bench.in_host("h02", "virsh", &["destroy", "pc01"]);
    for vm in [pc01, twin] {
        bench.in_host("h02", "virsh", &["undefine", &vm.to_string()]);
    }
    for (folder, conf) in before.iter().map(|(_, before)| before) {
        fs::write(folder.join("qemu.conf"), conf).expect("writes");
        fs::remove_file(folder.join("qemu-lockd.conf")).expect("removes");
    }
    bench.in_host("h02", "systemctl", &["restart", "libvirtd.service"]);
    bench.in_host("h02", "pkill", &["-x", "virtlockd"]);
    bench.in_host("h02", "umount", &[&image]);
    bench.heal("h01");
    bench.lab.power_on("h01").expect("a power button");
    bench.wait("both are as before", || {
        bench.power("h01") == Power::On
            && ["h01", "h02"].iter().all(|host| {
                bench
                    .look(host)
                    .is_ok_and(|facts| facts.failures.is_empty() && facts.disk_lock == Some(false))
            })
    });
    define(bench, "h01", &plain, pc01);
    bench.starts("pc01", "h01");
    bench.in_host("h01", "rm", &["-rf", &image, &other, &locks]);
}

#[track_caller]
fn define(bench: &Bench, host: &str, xml: &str, uuid: Uuid) {
    assert_eq!(bench.run(bench.libvirt.define(bench.host(host), xml, LOOK)), Ok(uuid));
}

/// What h02 says to a start; nothing runs there of it.
#[track_caller]
fn refused(bench: &Bench, vm: Uuid) -> String {
    let outcome = bench.run(bench.libvirt.start(vm, bench.host("h02"), START));
    let Outcome::Failed(OutcomeError::Driver(why)) = outcome else { panic!("{outcome:?}") };
    let there = bench.healthy("h02").vms.into_iter().find(|found| found.uuid == vm).expect("its definition");
    assert!(!there.state.is_present(), "{there:?}");
    why
}

/// libvirt locks disks there from now on. The folder of its settings, and what was in `qemu.conf`.
fn locks_on(bench: &Bench, host: &str) -> (PathBuf, String) {
    let spec = bench.lab.spec.host(host).expect("a host");
    let folder = bench.lab.paths.host(&spec).etc().join("libvirt");
    let conf = fs::read_to_string(folder.join("qemu.conf")).expect("reads");
    fs::write(folder.join("qemu.conf"), format!("{conf}lock_manager = \"lockd\"\n")).expect("writes");
    let place = format!("file_lockspace_dir = \"{SHARED}/locks\"\n");
    fs::write(folder.join("qemu-lockd.conf"), place).expect("writes");
    bench.in_host(host, "virtlockd", &["-d"]);
    bench.in_host(host, "systemctl", &["restart", "libvirtd.service"]);
    (folder, conf)
}
