//! Hosts that a guest does not fit on, or that are told lies by their surroundings.

use crate::bench::{Bench, LOOK, MOVE};
use dormouse_driver::{Hypervisor, Probe};
use dormouse_model::{Lack, Mib, Outcome, OutcomeError};
use std::fs;
use uuid::Uuid;

/// The wrong address for every name, and a name server that is not there (fault N06): names are not asked for.
pub(crate) fn wrong_names(bench: &Bench) {
    let etc = |host: &str| bench.lab.paths.host(&bench.lab.spec.host(host).expect("a host")).etc();
    let names = fs::read_to_string(etc("h01").join("hosts")).expect("a file");
    let set = |hosts: &str, resolver: &str| {
        for host in ["h01", "h02", "h03"] {
            fs::write(etc(host).join("hosts"), hosts).expect("written");
            fs::write(etc(host).join("resolv.conf"), resolver).expect("written");
        }
    };
    set("10.77.9.9 h01 h02 h03\n", "nameserver 10.77.9.9\n");
    bench.run(bench.libvirt.forget("h02"));
    bench.healthy("h02");
    bench.moves(&bench.libvirt, bench.guest("pc01"), "h01", "h02");
    bench.moves(&bench.libvirt, bench.guest("pc01"), "h02", "h01");
    set(&names, "");
    bench.assert_runs_at("pc01", "h01");
}

/// The hypervisor at the destination is older than the guest's machine type (fault M13): the move fails before it begins.
pub(crate) fn older_hypervisor(bench: &Bench) {
    const OLDER: &str = r#"
        mkdir -p /root/old/cache && cd /root/old && : >qemu-system-x86_64
        mount --bind /usr/bin/qemu-system-x86_64 qemu-system-x86_64
        cat >older <<'END'
#!/bin/sh
for word; do
    case $word in pc-q35-7.2*) echo "$0: unsupported machine type '$word'" >&2; exit 1 ;; esac
done
export QEMU_MODULE_DIR=/usr/lib/x86_64-linux-gnu/qemu
exec /root/old/qemu-system-x86_64 "$@"
END
        chmod 755 older && mount --bind older /usr/bin/qemu-system-x86_64
        mount --bind cache /var/cache/libvirt"#;
    bench.in_host("h02", "sh", &["-ec", OLDER]);
    let outcome = bench.migrate(&bench.libvirt, bench.guest("pc01"), "h01", "h02", MOVE);
    bench.in_host(
        "h02",
        "umount",
        &["/var/cache/libvirt", "/usr/bin/qemu-system-x86_64", "/root/old/qemu-system-x86_64"],
    );
    let Outcome::Failed(OutcomeError::Unfit { lacks: Lack::Machine, why }) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.contains("unsupported machine type 'pc-q35-7.2"), "{why}");
    bench.assert_runs_at("pc01", "h01");
    assert_eq!(bench.healthy("h02").vms.len(), 1, "nothing is left of it");
}

/// A guest on a bridge that the destination does not have (fault M15).
pub(crate) fn missing_bridge(bench: &Bench) {
    let vm = Uuid::from_u128(0xe011_0000_0000_4000_8000_0000_0000_0015);
    let card = "<interface type='bridge'><source bridge='br7'/><model type='virtio'/><rom enabled='no'/></interface></devices>";
    let xml = bench.definition("pc01", "on-br7", vm).replace("</devices>", card);
    bench.in_host("h01", "ip", &["link", "add", "br7", "type", "bridge"]);
    let h01 = bench.host("h01");
    bench.run(async {
        assert_eq!(bench.libvirt.define(h01, &xml, LOOK).await, Ok(vm));
        assert_eq!(bench.libvirt.start(vm, h01, LOOK).await, Outcome::Done { downtime: None });
    });
    let outcome = bench.migrate(&bench.libvirt, vm, "h01", "h02", MOVE);
    let Outcome::Failed(OutcomeError::Unfit { lacks: Lack::Network, why }) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.contains("br7"), "{why}");
    let there = |host: &str| bench.healthy(host).vms.iter().any(|found| found.uuid == vm);
    assert_eq!((there("h01"), there("h02")), (true, false));
    bench.in_host("h01", "virsh", &["destroy", &vm.to_string()]);
    assert_eq!(bench.run(bench.libvirt.undefine(vm, h01, LOOK)), Outcome::Done { downtime: None });
    bench.in_host("h01", "ip", &["link", "del", "br7"]);
}

/// Post-copy would leave a guest in two halves when the link fails (fault M18). Our moves do not allow it, so that nobody
/// can turn one into it either.
pub(crate) fn post_copy(bench: &Bench) {
    let turn = || {
        let mut virsh = bench.lab.command_in_host("h01", "virsh").expect("a command");
        let turned = virsh.args(["migrate-postcopy", "pc01"]).output().expect("runs");
        let said = String::from_utf8_lossy(&turned.stderr).into_owned();
        assert!(!turned.status.success() && said.contains("post-copy"), "{said}");
        bench.in_host("h01", "virsh", &["domjobabort", "pc01"]);
    };
    let outcome = bench.in_the_middle("pc01", "h01", "h02", MOVE, |job| job.processed > Mib(0), turn);
    assert!(matches!(outcome, Outcome::Failed(OutcomeError::Driver(_))), "{outcome:?}");
    bench.assert_runs_at("pc01", "h01");
}
