//! What was seen goes in, the lines that are not `ok` come out.

use super::{Patient, Rules, alone, finding::Verdict, together};
use crate::config::Transport;
use dormouse_libvirt::{Card, Folder, Survey};
use dormouse_model::{
    CheckFailure, Devices, DomainState, HostFacts, Mib, MilliCpu, Millis, Permille, ProbeError, VmFacts, text,
};
use expect_test::{Expect, expect};
use uuid::Uuid;

fn vm(number: u128, name: &str) -> VmFacts {
    VmFacts {
        uuid: Uuid::from_u128(number),
        name: name.to_owned(),
        state: DomainState::ShutOff,
        vcpus: 1,
        mem: Mib(256),
        cpu: None,
        dirty_mib_s: 0,
        job: None,
        persistent: true,
        autostart: false,
        crashed: false,
        immovable: None,
        devices: Devices { networks: vec!["br0".into()], ..Devices::default() },
    }
}

fn well(name: &str) -> Patient {
    let line = format!("host {name} address=root@{name}.lan mac=52:54:00:00:00:01 cpus=2 mem=2G");
    let spec = text::parse(&format!("cluster x\n{line}\n")).expect("a host").hosts.remove(0);
    let facts = HostFacts {
        machine: Uuid::from_u128(1),
        boot: Uuid::from_u128(2),
        uptime: Millis(0),
        cpus: 2,
        mem: Mib(2048),
        mem_available: Mib(1024),
        load15: Permille(0),
        cpu_used: MilliCpu(0),
        clock_offset_ms: 3,
        macs: spec.macs.clone(),
        wake_on_lan: Some(true),
        hypervisor: None,
        networks: vec!["br0".into(), "enp1s0".into()],
        disk_lock: Some(true),
        people_idle: vec![Millis(0)],
        blocks: vec![],
        epoch: None,
        failures: vec![],
        vms: vec![],
    };
    let survey = Survey {
        user: Some(0),
        tls: Some(true),
        certificates: ["ca", "server", "client"].map(|name| (name.to_owned(), "ok".to_owned())).into(),
        lock: Some("lockd".into()),
        processor: Some(("1".into(), "Old Box".into())),
        cards: vec![Card { name: "enp1s0".into(), can_wake: Some("pumbg".into()), wakes: Some("g".into()) }],
        guests: Some((true, "ignore".into(), "shutdown".into())),
        doors_closed: false,
        var_free_kib: Some(9 << 20),
        without: vec![],
        folders: vec![Folder { place: 0, number: 2, free_kib: 9 << 20, source: "nfs4:nas:/srv".into() }],
    };
    Patient { spec, facts: Ok(facts), survey: Ok(survey) }
}

const RULES: fn() -> Rules =
    || Rules { shared: vec!["/srv/vms".into()], require_disk_lock: false, transport: Transport::Tls };

/// All that is not well of these, a line each with what mends it.
fn ill(patients: &[Patient], rules: &Rules, expected: Expect) {
    let mut findings: Vec<_> = patients.iter().flat_map(|patient| alone::findings(patient, rules)).collect();
    findings.extend(together::findings(patients, rules));
    let lines = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).map(|finding| {
        let mend = finding.mend.as_deref().map_or_else(String::new, |mend| format!("\n    {mend}"));
        format!("{} {} {}: {}{mend}\n", finding.host, finding.verdict.as_str(), finding.check, finding.reason)
    });
    expected.assert_eq(&lines.collect::<String>());
}

/// One of three hosts, changed.
fn one(change: impl FnOnce(&mut HostFacts, &mut Survey), expected: Expect) {
    let mut patients = [well("a"), well("b"), well("c")];
    let Patient { facts: Ok(facts), survey: Ok(survey), .. } = &mut patients[1] else {
        panic!("they are well")
    };
    change(facts, survey);
    ill(&patients, &RULES(), expected);
}

#[test]
fn hosts_that_are_well() {
    one(|_, _| {}, expect![[r""]]);
}

#[test]
fn what_a_host_lacks() {
    one(
        |facts, survey| {
            facts.failures = vec![
                CheckFailure::Libvirt("it did not answer within 3s".into()),
                CheckFailure::Storage("/srv/vms: nothing is mounted there".into()),
                CheckFailure::Clock(-7000),
            ];
            facts.clock_offset_ms = -7000;
            facts.disk_lock = Some(false);
            facts.wake_on_lan = Some(false);
            facts.blocks = vec!["a RAID resync runs".into()];
            survey.user = Some(1000);
            survey.doors_closed = true;
            survey.without = vec!["ethtool".into()];
            survey.tls = Some(false);
            survey.guests = Some((true, "start".into(), "suspend".into()));
            survey.var_free_kib = Some(500 << 10);
        },
        expect![[r#"
            b fail rights: we are not root there: it could be neither closed nor switched off
                give its line address=root@… in the cluster text
            b warn programs: there is no ethtool: whether it can be woken is not known
                apt install ethtool
            b fail doors: a guard was killed and left logins or libvirt closed
                systemctl start $(grep -v nologin /run/dormouse-guard/doors); rm -f /run/nologin /run/dormouse-guard/doors
            b fail libvirt: libvirt does not answer: it did not answer within 3s
                systemctl restart libvirtd.socket libvirtd   # or virtqemud.socket virtqemud
            b fail moves: nothing listens on libvirt's TLS port 16514: no VM can come here
                systemctl stop libvirtd && systemctl enable --now libvirtd-tls.socket && systemctl start libvirtd
            b fail shared folder: /srv/vms: nothing is mounted there
                mount /srv/vms
            b warn free space: /var has 500 MiB free
                df -h
            b warn disk locks: libvirt locks no disks: nothing would stop a second host from writing to one
                echo 'lock_manager = "lockd"' >>/etc/libvirt/qemu.conf; systemctl enable --now virtlockd.socket; systemctl restart libvirtd
            b fail clock: off by -7000 ms
                timedatectl set-ntp true   # or chronyc makestep
            b fail wake-on-LAN: its card does not listen for a magic packet: it would not wake again
                ethtool -s enp1s0 wol g   # and WakeOnLan=magic in a systemd.link(5) file, to keep it
            b warn libvirt-guests: after a boot it starts what ran at the last shutdown, wherever that runs by then
                sed -i '/^#*ON_BOOT=/d' /etc/default/libvirt-guests; echo ON_BOOT=ignore >>/etc/default/libvirt-guests
            b warn not now: it says not now: a RAID resync runs
                systemd-inhibit --list
        "#]],
    );
    one(
        |_, survey| survey.certificates[0].1 = "missing".into(),
        expect![[r#"
            b fail moves: libvirt's TLS certificates are missing (ca): no VM can come here
                ls /etc/pki/CA/cacert.pem /etc/pki/libvirt/   # made as libvirt.org/kbase/tlscerts.html says
        "#]],
    );
    one(
        |_, survey| survey.certificates[1].1 = "ends".into(),
        expect![[r#"
        b warn moves: certificates end within two weeks: server
            openssl x509 -noout -enddate -in /etc/pki/libvirt/servercert.pem
    "#]],
    );
}

#[test]
fn what_differs_between_hosts() {
    one(
        |facts, survey| {
            survey.folders[0].number = 77;
            survey.folders[0].source = "ext4:/dev/sda1".into();
            survey.processor = Some(("2".into(), "New Box".into()));
            facts.vms = vec![vm(1, "web")];
            facts.vms[0].devices.networks = vec!["br0".into(), "network/lab".into()];
            facts.networks.push("network/lab".into());
        },
        expect![[r#"
            b fail same folder: /srv/vms is another folder than on a: ext4:/dev/sda1
                findmnt
            b warn CPU group: its New Box has other features than the others: moves may fail
                give the hosts that are alike one cpu-group= in the cluster text
            a warn networks: VMs plugged into network/lab cannot come here
                ip link; virsh net-list --all
            c warn networks: VMs plugged into network/lab cannot come here
                ip link; virsh net-list --all
        "#]],
    );
}

#[test]
fn vms_that_share_what_is_not_shared_and_one_that_starts_by_itself() {
    let mut patients = [well("a"), well("b")];
    for (place, name) in ["web", "db"].into_iter().enumerate() {
        let mut vm = vm(place as u128 + 7, name);
        vm.devices.macs = vec![[0x52, 0x54, 0, 0, 0, 9]];
        vm.devices.disks = vec!["/srv/vms/$(reboot)".into()];
        vm.autostart = place == 1;
        patients[place].facts.as_mut().expect("well").vms = vec![vm];
    }
    ill(
        &patients,
        &RULES(),
        expect![[r#"
        b warn autostart: 1 stopped VM (db) with autostart: a boot would start it, so this host stays on
            for vm in 00000000-0000-0000-0000-000000000008; do virsh autostart --disable $vm; done
        cluster fail one disk: web, db write one disk, /srv/vms/$(reboot): never start them both
        cluster fail one MAC: web, db have one MAC address, 52:54:00:00:00:09
    "#]],
    );
}

#[test]
fn a_card_that_cannot_wake_is_told_from_one_that_is_not_armed() {
    let of = |change: fn(&mut Patient), expected: Expect| {
        let mut patients = [well("a")];
        change(&mut patients[0]);
        ill(&patients, &RULES(), expected);
    };
    let cannot = |patient: &mut Patient| {
        patient.facts.as_mut().expect("well").wake_on_lan = Some(false);
        patient.survey.as_mut().expect("well").cards[0].can_wake = Some("d".into());
    };
    of(
        cannot,
        expect![[r#"
        a fail wake-on-LAN: none of its cards can be woken by a magic packet
    "#]],
    );
    of(
        |patient| patient.facts.as_mut().expect("well").wake_on_lan = None,
        expect![[r#"
        a warn wake-on-LAN: its card does not say; the first sleep will show
            ethtool CARD | grep Wake-on
    "#]],
    );
    of(
        |patient| patient.spec.macs.clear(),
        expect![[r#"
        a fail wake-on-LAN: its line in the cluster text has no mac=: no packet would find it
            add mac=52:54:00:00:00:01 to its line
    "#]],
    );
    of(
        |patient| patient.spec.macs[0][5] = 2,
        expect![[r#"
        a fail wake-on-LAN: mac=52:54:00:00:00:02 of the cluster text is none of its cards
            cat /sys/class/net/*/address
    "#]],
    );
}

#[test]
fn hosts_that_cannot_be_looked_at() {
    for (error, expected) in [
        (
            ProbeError::Timeout(Millis::from_secs(20)),
            expect![[r#"
            a fail ssh: no answer within 20.0s
                ssh root@a.lan true   # must work by itself
        "#]],
        ),
        (
            ProbeError::Auth("Permission denied".into()),
            expect![[r#"
            a fail ssh: it refused our key: Permission denied
                ssh-copy-id -i KEY.pub root@a.lan
        "#]],
        ),
        (
            ProbeError::Identity("host key verification failed".into()),
            expect![[r#"
            a fail ssh: it is not the machine we know: host key verification failed
                ssh-keygen -R a.lan -f KNOWN_HOSTS   # if it was installed anew
        "#]],
        ),
    ] {
        let patient = Patient { facts: Err(error.clone()), survey: Err(error), ..well("a") };
        ill(&[patient], &RULES(), expected);
    }
    // Where locks are required their lack is more than a warning.
    let mut patients = [well("a")];
    patients[0].facts.as_mut().expect("well").disk_lock = None;
    ill(
        &patients,
        &Rules { require_disk_lock: true, ..RULES() },
        expect![[r#"
        a fail disk locks: libvirt locks no disks: nothing would stop a second host from writing to one
            echo 'lock_manager = "lockd"' >>/etc/libvirt/qemu.conf; systemctl enable --now virtlockd.socket; systemctl restart libvirtd
    "#]],
    );
}
