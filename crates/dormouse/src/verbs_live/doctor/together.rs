//! What only shows when hosts are held against each other: the same folder, processor, bridges; VMs with one disk.

use super::finding::Finding;
use super::{Patient, Rules};
use dormouse_libvirt::Survey;
use dormouse_model::HostFacts;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn findings(patients: &[Patient], rules: &Rules) -> Vec<Finding> {
    let mut found = folders(patients, rules);
    found.extend(processors(patients));
    found.extend(networks(patients));
    found.extend(doubles(patients));
    found
}

fn surveys(patients: &[Patient]) -> impl Iterator<Item = (&Patient, &Survey)> {
    patients.iter().filter_map(|patient| Some((patient, patient.survey.as_ref().ok()?)))
}

fn looks(patients: &[Patient]) -> impl Iterator<Item = (&Patient, &HostFacts)> {
    patients.iter().filter_map(|patient| Some((patient, patient.facts.as_ref().ok()?)))
}

/// The value that most hosts have; of two as frequent, the one that comes first.
fn usual<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, (usize, usize)> = BTreeMap::new();
    for (place, value) in values.enumerate() {
        counts.entry(value).or_insert((0, usize::MAX - place)).0 += 1;
    }
    counts.into_iter().max_by_key(|(_, rank)| *rank).map(|(value, _)| value)
}

/// A folder of that name is not the same folder: a VM that moves would find another disk, or none.
fn folders(patients: &[Patient], rules: &Rules) -> Vec<Finding> {
    let mut found = vec![];
    for (place, path) in rules.shared.iter().enumerate() {
        let seen: Vec<_> = surveys(patients)
            .filter_map(|(patient, survey)| {
                Some((patient, survey.folders.iter().find(|one| one.place == place)?))
            })
            .collect();
        let Some(usual) = usual(seen.iter().map(|(_, folder)| folder.number)) else { continue };
        let like = seen.iter().find(|(_, folder)| folder.number == usual).map(|(patient, _)| patient);
        for (patient, folder) in &seen {
            let name = &patient.spec.name;
            let finding = match like {
                Some(like) if folder.number != usual => {
                    let from = if folder.source == "-" { "" } else { &folder.source };
                    let reason = format!("{path} is another folder than on {}: {from}", like.spec.name);
                    Finding::fail("same folder", reason.trim_end_matches(": ").to_owned()).mend("findmnt")
                }
                _ => Finding::ok("same folder", format!("{path} is the same folder on all")),
            };
            found.push(finding.about(name));
        }
    }
    found
}

/// Hosts of one CPU group, named or not, whose processors differ: a VM may not be able to move between them.
fn processors(patients: &[Patient]) -> Vec<Finding> {
    let mut groups: BTreeMap<Option<&str>, Vec<(&Patient, &str, &str)>> = BTreeMap::new();
    for (patient, survey) in surveys(patients) {
        if let Some((features, model)) = &survey.processor {
            groups.entry(patient.spec.cpu_group.as_deref()).or_default().push((patient, features, model));
        }
    }
    let mut found = vec![];
    for (group, members) in groups {
        let Some(usual) = usual(members.iter().map(|(_, features, _)| *features)) else { continue };
        for (patient, features, model) in members {
            let finding = if features == usual {
                let of = group.map_or_else(String::new, |group| format!(" of group {group}"));
                Finding::ok("CPU group", format!("processors{of} have the same features"))
            } else {
                Finding::warn(
                    "CPU group",
                    format!("its {model} has other features than the others: moves may fail"),
                )
                .mend_here("give the hosts that are alike one cpu-group= in the cluster text")
            };
            found.push(finding.about(&patient.spec.name));
        }
    }
    found
}

/// Bridges and networks of libvirt's that VMs are plugged into and some hosts do not have. Cards differ by nature.
fn networks(patients: &[Patient]) -> Vec<Finding> {
    let wanted: BTreeSet<&str> = looks(patients)
        .flat_map(|(_, facts)| &facts.vms)
        .flat_map(|vm| &vm.devices.networks)
        .map(String::as_str)
        .collect();
    let mut found = vec![];
    for (patient, facts) in looks(patients) {
        if facts.networks.is_empty() {
            continue;
        }
        let has = |name: &&str| facts.networks.iter().any(|own| own == name);
        let missing: Vec<&str> = wanted.iter().filter(|name| !has(name)).copied().collect();
        let finding = if missing.is_empty() {
            Finding::ok("networks", "has all that VMs are plugged into")
        } else {
            let finding = format!("VMs plugged into {} cannot come here", missing.join(", "));
            Finding::warn("networks", finding).mend("ip link; virsh net-list --all")
        };
        found.push(finding.about(&patient.spec.name));
    }
    found
}

/// Faults V04 and V05, in definitions of stopped VMs, too.
fn doubles(patients: &[Patient]) -> Vec<Finding> {
    let (mut macs, mut disks) = (BTreeMap::new(), BTreeMap::new());
    for vm in looks(patients).flat_map(|(_, facts)| &facts.vms) {
        for mac in &vm.devices.macs {
            macs.entry(*mac).or_insert_with(BTreeMap::new).insert(vm.uuid, vm.name.as_str());
        }
        for disk in &vm.devices.disks {
            disks.entry(disk.as_str()).or_insert_with(BTreeMap::new).insert(vm.uuid, vm.name.as_str());
        }
    }
    let names = |vms: &BTreeMap<_, &str>| vms.values().copied().collect::<Vec<_>>().join(", ");
    let mut found = vec![];
    for (disk, vms) in disks.iter().filter(|(_, vms)| vms.len() > 1) {
        let why = format!("{} write one disk, {disk}: never start them both", names(vms));
        found.push(Finding::fail("one disk", why));
    }
    for (mac, vms) in macs.iter().filter(|(_, vms)| vms.len() > 1) {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let why = format!("{} have one MAC address, {mac}", names(vms));
        found.push(Finding::fail("one MAC", why));
    }
    if found.is_empty() && looks(patients).next().is_some() {
        found.push(Finding::ok("VMs", "no two have one MAC address or write one disk"));
    }
    found.into_iter().map(|finding| finding.about("cluster")).collect()
}
