//! Rules of VMs in dense form: where pin, ban, fence and their networks allow them, who must not meet, who moves together.
//!
//! VMs without rules (nearly all) cost one comparison. Nothing here decides where a VM goes.

use super::VmView;
use dormouse_model::{Devices, HostId, RefusalReason, Rule, Snapshot, VmId, VmState};
use std::collections::BTreeMap;

/// No entry in a table.
pub(super) const NONE: u32 = u32::MAX;

/// Where a VM may be. Hosts in order.
pub(super) enum Allowed {
    Only(Box<[HostId]>),
    Not(Box<[HostId]>),
}

impl Allowed {
    pub(super) fn has(&self, host: HostId) -> bool {
        match self {
            Self::Only(hosts) => hosts.binary_search(&host).is_ok(),
            Self::Not(hosts) => hosts.binary_search(&host).is_err(),
        }
    }
}

/// What several VMs share, so that a VM holds only places in it.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) allowed: Vec<Allowed>,
    /// The spread groups of each VM that has any, side by side.
    pub(super) spread_of: Vec<u32>,
    /// Members of each spread group.
    pub(super) spread: Vec<Vec<VmId>>,
    /// Each VM, and then each gather group, side by side.
    pub(super) units: Vec<VmId>,
    /// The rule of VMs that have no other than the hosts which lack a network of theirs.
    lacking: BTreeMap<Box<[HostId]>, u32>,
}

/// Which hosts are without which networks. VMs are plugged into few different sets of them.
pub(super) struct Networks<'a> {
    snapshot: &'a Snapshot,
    lacking: BTreeMap<&'a [String], Box<[HostId]>>,
}

impl<'a> Networks<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, lacking: BTreeMap::new() }
    }

    /// Hosts known to lack one that these devices need.
    pub(super) fn lacking(&mut self, devices: &'a Devices) -> &[HostId] {
        if devices.networks.is_empty() {
            return &[];
        }
        let snapshot = self.snapshot;
        self.lacking.entry(&devices.networks).or_insert_with(|| {
            let lacks = |id: &HostId| snapshot.host(*id).spec.lacks(devices).is_some();
            snapshot.host_ids().filter(lacks).collect()
        })
    }
}

fn in_order(hosts: impl Iterator<Item = HostId>) -> Box<[HostId]> {
    let mut hosts: Vec<HostId> = hosts.collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.into_boxed_slice()
}

impl Rules {
    /// Pin and ban of one VM, and the hosts that lack what it is plugged into, but for the one that it is on.
    pub(super) fn enter(
        &mut self,
        pin: &[HostId],
        ban: &[HostId],
        lacking: &[HostId],
        at: Option<HostId>,
    ) -> u32 {
        let lacking = || lacking.iter().copied().filter(|host| Some(*host) != at);
        let banned = || ban.iter().copied().chain(lacking());
        if pin.is_empty() && ban.is_empty() {
            let without = in_order(lacking());
            if without.is_empty() {
                return NONE;
            }
            if let Some(rule) = self.lacking.get(&without) {
                return *rule;
            }
            let rule = self.push(Allowed::Not(without.clone()));
            self.lacking.insert(without, rule);
            return rule;
        }
        let rule = if pin.is_empty() {
            Allowed::Not(in_order(banned()))
        } else {
            let banned: Vec<HostId> = banned().collect();
            Allowed::Only(in_order(pin.iter().copied().filter(|host| !banned.contains(host))))
        };
        self.push(rule)
    }

    fn push(&mut self, rule: Allowed) -> u32 {
        self.allowed.push(rule);
        u32::try_from(self.allowed.len() - 1).expect("fewer than 2^32 rules")
    }

    /// What a rule becomes when only these hosts are left.
    fn within(&self, rule: u32, fence: &[HostId]) -> Allowed {
        let old = &self.allowed[rule as usize];
        Allowed::Only(fence.iter().copied().filter(|host| old.has(*host)).collect())
    }

    /// Enters the rules of groups into the VMs.
    ///
    /// A gather group that is together moves as one; one that is already torn apart stays where it is, for a person to
    /// mend.
    pub(super) fn groups(&mut self, snapshot: &Snapshot, vms: &mut [VmView]) {
        let mut meets: Vec<(u32, u32)> = vec![];
        let mut gathered: Vec<Vec<VmId>> = vec![];
        for group in &snapshot.cluster.groups {
            let members: Vec<VmId> = group.vms.iter().copied().filter(|vm| vm.index() < vms.len()).collect();
            for rule in &group.rules {
                match rule {
                    Rule::Fence(to) => self.fence(&members, to, vms),
                    Rule::Spread => {
                        let id = u32::try_from(self.spread.len()).expect("fewer than 2^32 groups");
                        meets.extend(members.iter().map(|vm| (vm.0, id)));
                        self.spread.push(members.clone());
                    }
                    Rule::Gather => gathered.push(members.clone()),
                }
            }
        }
        meets.sort_unstable();
        meets.dedup();
        for (vm, group) in meets {
            let at = u32::try_from(self.spread_of.len()).expect("fewer than 2^32 members");
            self.spread_of.push(group);
            let span = &mut vms[vm as usize].spread;
            *span = if span.0 == span.1 { (at, at + 1) } else { (span.0, at + 1) };
        }
        self.units = (0..vms.len()).map(VmId::at).collect();
        for (vm, view) in self.units.iter().zip(vms.iter_mut()) {
            view.unit = (vm.0, vm.0 + 1);
        }
        self.gather(snapshot, &gathered, vms);
    }

    fn fence(&mut self, members: &[VmId], to: &[HostId], vms: &mut [VmView]) {
        let fence = in_order(to.iter().copied());
        let mut shared = NONE;
        for vm in members {
            let allowed = &mut vms[vm.index()].allowed;
            if *allowed == NONE {
                if shared == NONE {
                    shared = self.push(Allowed::Only(fence.clone()));
                }
                *allowed = shared;
            } else if *allowed != shared {
                let both = self.within(*allowed, &fence);
                *allowed = self.push(both);
            }
        }
    }

    /// Gather groups that share a VM become one.
    fn gather(&mut self, snapshot: &Snapshot, groups: &[Vec<VmId>], vms: &mut [VmView]) {
        if groups.is_empty() {
            return;
        }
        let mut root: Vec<usize> = (0..vms.len()).collect();
        let find = |root: &mut Vec<usize>, mut at: usize| {
            while root[at] != at {
                root[at] = root[root[at]];
                at = root[at];
            }
            at
        };
        for group in groups {
            for pair in group.windows(2) {
                let (a, b) = (find(&mut root, pair[0].index()), find(&mut root, pair[1].index()));
                root[a.max(b)] = a.min(b);
            }
        }
        let mut members: Vec<VmId> = groups.iter().flatten().copied().collect();
        members.sort_unstable();
        members.dedup();
        let gone = |vm: &VmId| matches!(snapshot.vm(*vm).state, VmState::Stopped | VmState::Saved { .. });
        let mut mates: BTreeMap<usize, Vec<VmId>> = BTreeMap::new();
        for vm in members.into_iter().filter(|vm| !gone(vm)) {
            mates.entry(find(&mut root, vm.index())).or_default().push(vm);
        }
        for mates in mates.into_values().filter(|mates| mates.len() > 1) {
            self.unit(snapshot, &mates, vms);
        }
    }

    fn unit(&mut self, snapshot: &Snapshot, mates: &[VmId], vms: &mut [VmView]) {
        let place = |vm: &VmId| snapshot.vm(*vm).state.host();
        let together = mates.windows(2).all(|pair| place(&pair[0]) == place(&pair[1]));
        let start = u32::try_from(self.units.len()).expect("fewer than 2^32 VMs");
        self.units.extend(mates);
        let end = u32::try_from(self.units.len()).expect("fewer than 2^32 VMs");
        // Told to be together and apart, they are left where they are.
        let span = |vm: &VmId| vms[vm.index()].spread.0 as usize..vms[vm.index()].spread.1 as usize;
        let mut apart: Vec<u32> =
            mates.iter().flat_map(|vm| self.spread_of[span(vm)].iter().copied()).collect();
        let groups = apart.len();
        apart.sort_unstable();
        apart.dedup();
        let why = match () {
            () if !together => Some(RefusalReason::Gather),
            () if apart.len() < groups => Some(RefusalReason::Spread),
            () => None,
        };
        for vm in mates {
            let view = &mut vms[vm.index()];
            if together {
                view.unit = (start, end);
            }
            view.fixed = view.fixed.take().or_else(|| why.clone());
        }
    }
}
