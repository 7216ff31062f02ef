//! What one host's answers mean by themselves.

use super::finding::Finding;
use super::{Patient, Rules, quoted};
use crate::cli::counted;
use crate::config::Transport;
use dormouse_libvirt::Survey;
use dormouse_model::{CheckFailure, HostFacts, HostSpec, ProbeError};

/// Less in /var, and libvirt's logs or a package upgrade may fill it.
const VAR_LOW_KIB: u64 = 1 << 20;
/// Less on the shared storage, and VMs that grow are paused.
const SHARED_LOW_KIB: u64 = 5 << 20;

pub(super) fn findings(patient: &Patient, rules: &Rules) -> Vec<Finding> {
    let spec = &patient.spec;
    let facts = match &patient.facts {
        Ok(facts) => facts,
        // Nothing more can be said.
        Err(error) => return vec![unreached(spec, error).about(&spec.name)],
    };
    let mut found = vec![];
    let survey = patient.survey.as_ref();
    match survey {
        Ok(survey) => found.extend(of_survey(survey, rules)),
        Err(error) => {
            found.push(Finding::warn("survey", format!("it answers, but not to a closer look: {error}")))
        }
    }
    found.push(libvirt(facts));
    found.extend(storage(facts, rules));
    found.push(disk_locks(facts, survey.ok().and_then(|survey| survey.lock.as_deref()), rules));
    found.push(clock(facts));
    found.push(wake(spec, facts, survey.ok()));
    found.push(autostart(facts));
    found.push(not_now(facts));
    let order = |finding: &Finding| ORDER.iter().position(|check| *check == finding.check);
    found.sort_by_key(order);
    found.into_iter().map(|finding| finding.about(&spec.name)).collect()
}

/// As an operator would go about it.
const ORDER: [&str; 14] = [
    "ssh",
    "rights",
    "programs",
    "doors",
    "libvirt",
    "moves",
    "shared folder",
    "free space",
    "disk locks",
    "clock",
    "wake-on-LAN",
    "libvirt-guests",
    "autostart",
    "not now",
];

fn unreached(spec: &HostSpec, error: &ProbeError) -> Finding {
    let address = spec.address.as_deref().unwrap_or(&spec.name);
    let (login, port) = match address.rsplit_once(':') {
        Some((login, port)) if !login.contains(':') => (login, Some(port)),
        _ => (address, None),
    };
    let place = login.rsplit_once('@').map_or(login, |(_, place)| place);
    let option = port.map_or_else(String::new, |port| format!("-p {} ", quoted(port)));
    let known = port.map_or_else(|| place.to_owned(), |port| format!("[{place}]:{port}"));
    let finding = Finding::fail("ssh", error.to_string());
    match error {
        ProbeError::Auth(_) => finding.mend_here(format!("ssh-copy-id {option}-i KEY.pub {}", quoted(login))),
        // Only a person knows whether it was installed anew.
        ProbeError::Identity(_) => finding.mend_here(format!(
            "ssh-keygen -R {} -f KNOWN_HOSTS   # if it was installed anew",
            quoted(&known)
        )),
        ProbeError::Malformed(_) => finding,
        _ => finding.mend_here(format!("ssh {option}{} true   # must work by itself", quoted(login))),
    }
}

fn of_survey(survey: &Survey, rules: &Rules) -> Vec<Finding> {
    let mut found = vec![];
    found.push(Finding::ok("ssh", "it answers, and knows our key"));
    found.push(match survey.user {
        Some(0) => Finding::ok("rights", "we are root there"),
        _ => Finding::fail("rights", "we are not root there: it could be neither closed nor switched off")
            .mend_here("give its line address=root@… in the cluster text"),
    });
    let missing = |name: &str| survey.without.iter().any(|other| other == name);
    found.push(match (missing("systemctl"), missing("ethtool")) {
        (true, _) => {
            Finding::fail("programs", "there is no systemctl: nothing can be stopped or switched off")
        }
        (false, true) => {
            Finding::warn("programs", "there is no ethtool: whether it can be woken is not known")
                .mend("apt install ethtool")
        }
        (false, false) => Finding::ok("programs", "all that is needed is there"),
    });
    found.push(if survey.doors_closed {
        Finding::fail("doors", "a guard was killed and left logins or libvirt closed").mend(
            "systemctl start $(grep -v nologin /run/dormouse-guard/doors); rm -f /run/nologin /run/dormouse-guard/doors",
        )
    } else {
        Finding::ok("doors", "open to logins and libvirt")
    });
    found.push(moves(survey, rules));
    found.extend(free_space(survey, rules));
    found.push(match &survey.guests {
        Some((true, boot, _)) if boot != "ignore" => Finding::warn(
            "libvirt-guests",
            "after a boot it starts what ran at the last shutdown, wherever that runs by then",
        )
        .mend("sed -i '/^#*ON_BOOT=/d' /etc/default/libvirt-guests; echo ON_BOOT=ignore >>/etc/default/libvirt-guests"),
        Some((true, ..)) => Finding::ok("libvirt-guests", "starts nothing after a boot"),
        _ => Finding::ok("libvirt-guests", "not in use"),
    });
    found
}

fn moves(survey: &Survey, rules: &Rules) -> Finding {
    if rules.transport == Transport::Managed {
        return Finding::ok("moves", "led by this manager; no port of its own is needed");
    }
    // Where this manager would lead instead, what is missing costs no move.
    let lacks = |what: String, mend: &str| match rules.transport {
        Transport::Auto => {
            Finding::warn("moves", format!("{what}; this manager leads its moves, which is weaker"))
                .mend("dormouse host add HOST   # makes and installs what is needed")
        }
        _ => Finding::fail("moves", format!("{what}: no VM can come here")).mend(mend),
    };
    let in_state = |wanted: &str| {
        let names =
            survey.certificates.iter().filter(|(_, state)| state == wanted).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (missing, ends) = (in_state("missing"), in_state("ends"));
    match () {
        () if !missing.is_empty() => lacks(
            format!("libvirt's TLS certificates are missing ({missing})"),
            "ls /etc/pki/CA/cacert.pem /etc/pki/libvirt/   # made as libvirt.org/kbase/tlscerts.html says",
        ),
        () if survey.tls != Some(true) => lacks(
            "nothing listens on libvirt's TLS port 16514".to_owned(),
            "systemctl stop libvirtd && systemctl enable --now libvirtd-tls.socket && systemctl start libvirtd",
        ),
        () if !ends.is_empty() => {
            Finding::warn("moves", format!("certificates end within two weeks: {ends}"))
                .mend("openssl x509 -noout -enddate -in /etc/pki/libvirt/servercert.pem")
        }
        () => Finding::ok("moves", "libvirt listens for moves over TLS, and has its certificates"),
    }
}

fn free_space(survey: &Survey, rules: &Rules) -> Option<Finding> {
    let low_var = survey.var_free_kib.filter(|free| *free < VAR_LOW_KIB).map(|free| ("/var", free));
    let low_shared = survey.folders.iter().filter(|folder| folder.free_kib < SHARED_LOW_KIB);
    let low_shared =
        low_shared.filter_map(|folder| Some((rules.shared.get(folder.place)?.as_str(), folder.free_kib)));
    let low: Vec<String> = low_var
        .into_iter()
        .chain(low_shared)
        .map(|(path, free)| format!("{path} has {} MiB free", free / 1024))
        .collect();
    survey.var_free_kib?;
    Some(if low.is_empty() {
        Finding::ok("free space", "enough")
    } else {
        Finding::warn("free space", low.join("; ")).mend("df -h")
    })
}

fn libvirt(facts: &HostFacts) -> Finding {
    let failed = facts.failures.iter().find(|failure| matches!(failure, CheckFailure::Libvirt(_)));
    match failed {
        Some(failure) => Finding::fail("libvirt", failure.to_string())
            .mend("systemctl restart libvirtd.socket libvirtd   # or virtqemud.socket virtqemud"),
        None => Finding::ok("libvirt", "answers"),
    }
}

fn storage(facts: &HostFacts, rules: &Rules) -> Vec<Finding> {
    if rules.shared.is_empty() {
        let nowhere = "none is named in the settings: VMs with disks in files cannot move";
        return vec![
            Finding::warn("shared folder", nowhere)
                .mend_here("[hosts] shared = [\"/srv/vms\"] in dormouse.toml"),
        ];
    }
    let mut found = vec![];
    for failure in &facts.failures {
        let CheckFailure::Storage(why) = failure else { continue };
        let path = rules.shared.iter().find(|path| why.starts_with(&format!("{path}:")));
        let mend = path.map_or("mount -a".to_owned(), |path| format!("mount {}", quoted(path)));
        found.push(Finding::fail("shared folder", why.clone()).mend(mend));
    }
    if found.is_empty() {
        found.push(Finding::ok("shared folder", format!("{} answers", rules.shared.join(", "))));
    }
    found
}

fn disk_locks(facts: &HostFacts, manager: Option<&str>, rules: &Rules) -> Finding {
    const MEND: &str = "echo 'lock_manager = \"lockd\"' >>/etc/libvirt/qemu.conf; systemctl enable --now virtlockd.socket; systemctl restart libvirtd";
    let unlocked = "libvirt locks no disks: nothing would stop a second host from writing to one";
    match (facts.disk_lock, rules.require_disk_lock) {
        (Some(true), _) => Finding::ok(
            "disk locks",
            format!("libvirt locks disks by {}", manager.unwrap_or("its lock manager")),
        ),
        (_, true) => Finding::fail("disk locks", unlocked).mend(MEND),
        (Some(false), false) => Finding::warn("disk locks", unlocked).mend(MEND),
        (None, false) => {
            Finding::warn("disk locks", "its qemu.conf cannot be read").mend("ls -l /etc/libvirt/qemu.conf")
        }
    }
}

fn clock(facts: &HostFacts) -> Finding {
    if facts.failures.iter().any(|failure| matches!(failure, CheckFailure::Clock(_))) {
        Finding::fail("clock", format!("off by {} ms", facts.clock_offset_ms))
            .mend("timedatectl set-ntp true   # or chronyc makestep")
    } else {
        Finding::ok("clock", "as ours")
    }
}

fn wake(spec: &HostSpec, facts: &HostFacts, survey: Option<&Survey>) -> Finding {
    const CHECK: &str = "wake-on-LAN";
    if let Some(role) = spec.role {
        return Finding::ok(CHECK, format!("not needed: its role {role} keeps it on"));
    }
    let shown = |mac: &[u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    if spec.macs.is_empty() {
        let seen: Vec<String> = facts.macs.iter().map(shown).collect();
        return Finding::fail(CHECK, "its line in the cluster text has no mac=: no packet would find it")
            .mend_here(format!("add mac={} to its line", seen.join(",")));
    }
    if let Some(strange) = spec.macs.iter().find(|mac| !facts.macs.contains(mac)) {
        return Finding::fail(
            CHECK,
            format!("mac={} of the cluster text is none of its cards", shown(strange)),
        )
        .mend("cat /sys/class/net/*/address");
    }
    let cards = survey.map_or(&[][..], |survey| &survey.cards);
    let able = cards.iter().find(|card| card.can_wake.as_ref().is_some_and(|can| can.contains('g')));
    let none_able = !cards.is_empty()
        && cards.iter().all(|card| card.can_wake.as_ref().is_some_and(|can| !can.contains('g')));
    match (facts.wake_on_lan, able) {
        (Some(true), _) => Finding::ok(CHECK, "armed: a magic packet is listened to"),
        (_, None) if none_able => Finding::fail(CHECK, "none of its cards can be woken by a magic packet"),
        (Some(false), able) => {
            let card = able.map_or("CARD", |card| card.name.as_str());
            Finding::fail(CHECK, "its card does not listen for a magic packet: it would not wake again").mend(
                format!(
                    "ethtool -s {} wol g   # and WakeOnLan=magic in a systemd.link(5) file, to keep it",
                    quoted(card)
                ),
            )
        }
        (None, _) => Finding::warn(CHECK, "its card does not say; the first sleep will show")
            .mend("ethtool CARD | grep Wake-on"),
    }
}

fn autostart(facts: &HostFacts) -> Finding {
    let marked: Vec<_> = facts.vms.iter().filter(|vm| vm.autostart && !vm.state.is_present()).collect();
    if marked.is_empty() {
        return Finding::ok("autostart", "no stopped VM would be started by a boot");
    }
    let names: Vec<&str> = marked.iter().map(|vm| vm.name.as_str()).collect();
    let uuids: Vec<String> = marked.iter().map(|vm| vm.uuid.to_string()).collect();
    let (count, them) = (counted(marked.len(), "stopped VM"), if marked.len() == 1 { "it" } else { "them" });
    Finding::warn(
        "autostart",
        format!(
            "{count} ({}) with autostart: a boot would start {them}, so this host stays on",
            names.join(", ")
        ),
    )
    .mend(format!("for vm in {}; do virsh autostart --disable $vm; done", uuids.join(" ")))
}

fn not_now(facts: &HostFacts) -> Finding {
    if facts.blocks.is_empty() {
        let people = match facts.people_idle.len() {
            0 => "nothing keeps it on now".to_owned(),
            people => format!("{} now; nothing else keeps it on", counted(people, "login")),
        };
        return Finding::ok("not now", people);
    }
    Finding::warn("not now", format!("it says not now: {}", facts.blocks.join("; ")))
        .mend("systemd-inhibit --list")
}
