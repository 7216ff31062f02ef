//! Memory, slots and company on each host as moves take and free them: a move holds room at both ends while it runs.

use super::play::Job;
use crate::layout::Layout;
use crate::picture::Picture;
use dormouse_model::{HostId, Mib, VmId};
use std::collections::BTreeMap;

pub(super) struct Room<'a, 'p> {
    picture: &'a Picture<'p>,
    sites: Vec<Site>,
    /// How many of a spread group are on a host, for the groups in which something moves.
    company: BTreeMap<(u32, HostId), u32>,
    /// All that is to come fits beside what is there, everywhere: nobody ever waits for room, so nobody counts it.
    ample: bool,
}

/// What VMs take, the host's overhead for each aside.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) mem: Mib,
    pub(super) count: u32,
}

#[derive(Clone, Copy)]
struct Site {
    used: Size,
    limit: Size,
    overhead: Mib,
    /// Not all that is to come fits beside what is there: each entry has to be looked at.
    tight: bool,
}

impl Size {
    pub(super) fn of(picture: &Picture<'_>, vms: impl Iterator<Item = VmId>) -> Self {
        vms.fold(Self::default(), |sum, vm| sum.with(Self { mem: picture.vm(vm).mem, count: 1 }))
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self { mem: self.mem + other.mem, count: self.count + other.count }
    }

    fn without(self, other: Self) -> Self {
        Self { mem: self.mem - other.mem, count: self.count - other.count }
    }
}

impl Site {
    fn holds(&self, size: Size) -> bool {
        size.mem + self.overhead * u64::from(size.count) <= self.limit.mem && size.count <= self.limit.count
    }
}

impl<'a, 'p> Room<'a, 'p> {
    pub(super) fn new(picture: &'a Picture<'p>, before: &Layout, jobs: &[Job<'_>]) -> Self {
        let site = |host: HostId| {
            let (view, load) = (picture.host(host), before.load(host));
            Site {
                used: Size { mem: load.mem, count: load.count },
                limit: Size { mem: view.mem, count: view.slots },
                overhead: view.overhead,
                tight: false,
            }
        };
        let mut sites: Vec<Site> = picture.host_ids().map(site).collect();
        let mut coming = vec![Size::default(); sites.len()];
        for job in jobs {
            let coming = &mut coming[job.way.to.index()];
            *coming = coming.with(job.size);
        }
        for (site, coming) in sites.iter_mut().zip(coming) {
            site.tight = coming.count > 0 && !site.holds(site.used.with(coming));
        }
        let company = company(picture, jobs);
        let ample = company.is_empty() && !sites.iter().any(|site| site.tight);
        Self { picture, sites, company, ample }
    }

    /// Is there room for all who come, so that nobody need be asked?
    pub(super) const fn is_ample(&self) -> bool {
        self.ample
    }

    /// From now on every entry to this host is looked at.
    pub(super) fn watch(&mut self, host: HostId) {
        debug_assert!(!self.ample, "who waits for nobody needs no spare room");
        self.sites[host.index()].tight = true;
    }

    pub(super) fn lets_in(&self, job: &Job<'_>) -> bool {
        let site = &self.sites[job.way.to.index()];
        (!site.tight || site.holds(site.used.with(job.size)))
            && (self.company.is_empty() || job.vms().all(|vm| self.meets_none(vm, job.way.to)))
    }

    pub(super) fn has_room(&self, size: Size, to: HostId) -> bool {
        let site = &self.sites[to.index()];
        site.holds(site.used.with(size))
    }

    /// Would it come in if this VM were gone from there?
    pub(super) fn would_let_in(&self, job: &Job<'_>, gone: VmId) -> bool {
        let to = job.way.to;
        let site = &self.sites[to.index()];
        let itself = |group: &u32| u32::from(self.picture.spread_of(gone).contains(group));
        let alone = |group: &u32| {
            self.company.get(&(*group, to)).is_none_or(|count| count.saturating_sub(itself(group)) == 0)
        };
        let leaves = Size::of(self.picture, std::iter::once(gone));
        site.holds(site.used.with(job.size).without(leaves))
            && job.vms().all(|vm| self.picture.spread_of(vm).iter().all(alone))
    }

    pub(super) fn meets_none(&self, vm: VmId, to: HostId) -> bool {
        let nobody = |group: &u32| self.company.get(&(*group, to)).is_none_or(|count| *count == 0);
        self.picture.spread_of(vm).iter().all(nobody)
    }

    pub(super) fn free(&self, host: HostId) -> Mib {
        let site = &self.sites[host.index()];
        site.limit.mem.saturating_sub(site.used.mem + site.overhead * u64::from(site.used.count))
    }

    pub(super) fn enter(&mut self, job: &Job<'_>) {
        debug_assert!(!self.ample, "nobody counts then");
        let site = &mut self.sites[job.way.to.index()];
        site.used = site.used.with(job.size);
        if !self.company.is_empty() {
            for group in job.vms().flat_map(|vm| self.picture.spread_of(vm)) {
                *self.company.entry((*group, job.way.to)).or_insert(0) += 1;
            }
        }
    }

    pub(super) fn leave(&mut self, job: &Job<'_>) {
        debug_assert!(!self.ample, "nobody counts then");
        let site = &mut self.sites[job.way.from.index()];
        site.used = site.used.without(job.size);
        if !self.company.is_empty() {
            for group in job.vms().flat_map(|vm| self.picture.spread_of(vm)) {
                if let Some(count) = self.company.get_mut(&(*group, job.way.from)) {
                    *count -= 1;
                }
            }
        }
    }
}

/// Who of the spread groups in which something moves is where; wherever a VM may be, it counts.
fn company(picture: &Picture<'_>, jobs: &[Job<'_>]) -> BTreeMap<(u32, HostId), u32> {
    let mut company = BTreeMap::new();
    if picture.spread_groups().is_empty() {
        return company;
    }
    let mut groups: Vec<u32> =
        jobs.iter().flat_map(Job::vms).flat_map(|vm| picture.spread_of(vm)).copied().collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        for vm in &picture.spread_groups()[group as usize] {
            for host in picture.snapshot.vm(*vm).state.hosts() {
                *company.entry((group, host)).or_insert(0) += 1;
            }
        }
    }
    company
}
