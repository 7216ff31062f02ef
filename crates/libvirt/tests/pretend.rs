//! libvirt's own test driver, without a daemon: the lifecycle part of the rules.

use dormouse_driver::{Hypervisor, conformance, fake};
use dormouse_libvirt::{Libvirt, Settings};
use dormouse_model::Millis;
use uuid::Uuid;

#[test]
fn the_test_driver_keeps_the_rules() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let libvirt = Libvirt::new(Settings::default()).with_uri("test:///default");
        let host = fake::host("pretend");
        let vm = Uuid::from_u128(0x7e57_0000_0000_4000_8000_0000_0000_0007);
        let xml = format!(
            "<domain type='test'><name>$(reboot) &amp; &lt;x&gt;</name><uuid>{vm}</uuid><memory unit='MiB'>64</memory>\
             <vcpu>1</vcpu><os><type>hvm</type></os></domain>"
        );
        let given = conformance::Given { hosts: [&host, &host], vm, xml: &xml, moves: false, guest_obeys: true };
        let broken = conformance::hypervisor(&libvirt, &given).await;
        assert_eq!(broken, Vec::<String>::new());
        let left = libvirt.definitions(&host, Millis(5000)).await.expect("lists");
        assert_eq!(left.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>(), ["test"], "the driver's own VM is untouched");
    });
}
