//! What two VMs have that one alone may have: a MAC address (fault V04), a disk that both write (fault V05).
//!
//! Looked for in definitions, of stopped VMs too. It is told and never mended: which of the two is right, a person knows.
//! A VM whose disk is open in another one is neither started nor moved: at each hand-over of the disk it would be seized by
//! whoever comes first. Two VMs with one address go on moving: they are heard on the whole network wherever they run, so a
//! move makes nothing worse, and staying would keep hosts on.

use crate::controller::Controller;
use crate::{Level, LogEvent};
use dormouse_model::{Devices, HostId, HostSpec, VmId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What two VMs must not both have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Single {
    Mac([u8; 6]),
    Disk(String),
}

/// Disk names are untrusted text.
impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(bytes) => f.write_str(&bytes.map(|byte| format!("{byte:02x}")).join(":")),
            Self::Disk(name) => f.write_str(name),
        }
    }
}

impl Single {
    /// One stable word for programs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Mac(_) => "mac",
            Self::Disk(_) => "disk",
        }
    }

    const fn alarm(&self) -> &'static str {
        match self {
            Self::Mac(_) => "vm.same-mac",
            Self::Disk(_) => "vm.same-disk",
        }
    }
}

/// Who has what, kept up look by look: a look costs what it changes.
#[derive(Debug, Default)]
pub(crate) struct Doubles {
    holders: BTreeMap<Single, BTreeSet<VmId>>,
    of: BTreeMap<VmId, Devices>,
    /// With more than one holder.
    doubled: BTreeSet<Single>,
    /// Those that became so or are so no longer, since they were told.
    news: BTreeSet<Single>,
}

fn singles(devices: &Devices) -> impl Iterator<Item = Single> + '_ {
    let macs = devices.macs.iter().copied().map(Single::Mac);
    macs.chain(devices.disks.iter().cloned().map(Single::Disk))
}

impl Doubles {
    /// A VM is defined somewhere, with these devices.
    pub(crate) fn put(&mut self, vm: VmId, devices: &Devices) {
        if self.of.get(&vm) != Some(devices) {
            let before = self.of.insert(vm, devices.clone()).unwrap_or_default();
            self.change(vm, &before, devices);
        }
    }

    /// It is defined nowhere any more.
    pub(crate) fn drop(&mut self, vm: VmId) {
        let before = self.of.remove(&vm).unwrap_or_default();
        self.change(vm, &before, &Devices::default());
    }

    fn change(&mut self, vm: VmId, before: &Devices, now: &Devices) {
        let (before, now): (BTreeSet<Single>, BTreeSet<Single>) =
            (singles(before).collect(), singles(now).collect());
        for gone in before.difference(&now) {
            if let Some(holders) = self.holders.get_mut(gone) {
                holders.remove(&vm);
            }
            self.count(gone.clone());
        }
        for came in now.difference(&before) {
            self.holders.entry(came.clone()).or_default().insert(vm);
            self.count(came.clone());
        }
    }

    fn count(&mut self, single: Single) {
        let holders = self.holders.get(&single).map_or(0, BTreeSet::len);
        if holders == 0 {
            self.holders.remove(&single);
        }
        let changed =
            if holders > 1 { self.doubled.insert(single.clone()) } else { self.doubled.remove(&single) };
        if changed {
            self.news.insert(single);
        }
    }

    /// Other VMs with a disk of this one.
    pub(crate) fn share_disk<'a>(&'a self, vm: VmId) -> impl Iterator<Item = VmId> + 'a {
        // Nearly always there is none.
        let any = (!self.doubled.is_empty()).then_some(vm);
        let disks = any.and_then(|vm| self.of.get(&vm)).map(|devices| &devices.disks);
        let doubled = disks.into_iter().flatten().map(|disk| Single::Disk(disk.clone()));
        doubled
            .filter_map(|disk| self.holders.get(&disk))
            .flatten()
            .copied()
            .filter(move |other| *other != vm)
    }
}

impl Controller {
    /// What is doubled now, and the VMs that have it.
    #[must_use]
    pub fn doubles(&self) -> Vec<(Single, Vec<VmId>)> {
        let doubles = &self.vms.doubles;
        let holders = |single: &Single| doubles.holders.get(single).into_iter().flatten().copied().collect();
        doubles.doubled.iter().map(|single| (single.clone(), holders(single))).collect()
    }

    pub(crate) fn tell_doubles(&mut self) {
        for single in std::mem::take(&mut self.vms.doubles.news) {
            let subject = single.to_string();
            if !self.vms.doubles.doubled.contains(&single) {
                self.clear_alarm(single.alarm(), &subject);
                continue;
            }
            let holders = self.vms.doubles.holders.get(&single).into_iter().flatten();
            let names: Vec<&str> = holders.map(|vm| self.vm_name(*vm)).collect();
            let event = LogEvent::new(Level::Alarm, single.alarm())
                .with("vms", names.join(","))
                .with(single.kind(), &subject);
            self.alarm(single.alarm(), &subject, event);
        }
    }

    /// Another VM that is on a host, or is being started, has a disk of this one open.
    pub(crate) fn disk_in_use(&self, vm: VmId) -> bool {
        let starts = |other: VmId| {
            self.flights.values().any(|flight| flight.start().is_some_and(|(started, _)| started == other))
        };
        self.vms.disk_open_elsewhere(vm) || self.vms.doubles.share_disk(vm).any(starts)
    }

    /// VMs that are stopped on this host and that libvirt would start at its next boot (fault V07): a host with such does
    /// not sleep, and where one runs elsewhere by now, the next boot, whoever causes it, would double it.
    pub(crate) fn note_autostarts(&mut self, id: HostId, now: Vec<VmId>) {
        let name = self.host_name(id).to_owned();
        let before = std::mem::replace(&mut self.host_mut(id).autostarts, now);
        let now = self.host(id).autostarts.clone();
        for vm in before.into_iter().filter(|vm| !now.contains(vm)) {
            let subject = format!("{}@{name}", self.vm_name(vm));
            self.clear_alarm("vm.autostart", &subject);
        }
        for vm in now {
            let subject = format!("{}@{name}", self.vm_name(vm));
            let runs = self.vms.record(vm).present().map(|(at, _)| at).find(|at| *at != id);
            match runs {
                Some(at) => {
                    let event = LogEvent::new(Level::Alarm, "vm.autostart")
                        .with("vm", self.vm_name(vm))
                        .with("host", &name)
                        .with("runs", self.host_name(at));
                    self.alarm("vm.autostart", &subject, event);
                }
                None => self.clear_alarm("vm.autostart", &subject),
            }
        }
    }

    /// A host without disk locks is told of once (fault S05).
    pub(crate) fn note_disk_lock(&mut self, id: HostId, locks: Option<bool>) {
        let unlocked = locks == Some(false);
        if unlocked && !std::mem::replace(&mut self.host_mut(id).unlocked, unlocked) {
            let event = LogEvent::new(Level::Warn, "host.no-disk-lock").with("host", self.host_name(id));
            self.tell(event);
        }
        self.host_mut(id).unlocked = unlocked;
    }

    /// libvirt there locks no disks, as far as was seen.
    #[must_use]
    pub fn is_unlocked(&self, id: HostId) -> bool {
        self.host(id).unlocked
    }
}

/// A host's own word on its networks beats what the text says of them.
pub(crate) fn take_networks(spec: &mut std::sync::Arc<HostSpec>, seen: &[String]) {
    if !seen.is_empty() && spec.networks != seen {
        std::sync::Arc::make_mut(spec).networks = seen.to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(mac: u8, disk: &str) -> Devices {
        Devices { macs: vec![[2, 0, 0, 0, 0, mac]], disks: vec![disk.to_owned()], networks: vec![] }
    }

    #[test]
    fn what_two_vms_have_is_known_as_it_comes_and_goes() {
        let mut doubles = Doubles::default();
        let (a, b, c) = (VmId(0), VmId(1), VmId(2));
        doubles.put(a, &devices(1, "/srv/a"));
        doubles.put(b, &devices(2, "/srv/b"));
        assert!(doubles.news.is_empty() && doubles.doubled.is_empty());
        doubles.put(c, &devices(1, "/srv/b"));
        let shown: Vec<String> = doubles.doubled.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["02:00:00:00:00:01", "/srv/b"]);
        assert_eq!(doubles.share_disk(b).collect::<Vec<_>>(), [c]);
        assert_eq!(doubles.share_disk(a).count(), 0, "one address is not one disk");
        doubles.news.clear();
        doubles.put(c, &devices(1, "/srv/c"));
        assert_eq!(doubles.news, BTreeSet::from([Single::Disk("/srv/b".to_owned())]));
        doubles.drop(c);
        doubles.drop(a);
        doubles.drop(b);
        assert!(doubles.doubled.is_empty() && doubles.holders.is_empty() && doubles.of.is_empty());
    }
}
