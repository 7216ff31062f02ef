//! Hosts emptied in thought, VM by VM, and filled again. Nothing here says what that is for.

use crate::layout::{Cpu, Layout};
use crate::picture::Picture;
use dormouse_model::{HostId, Mib, VmId};
use std::cmp::Reverse;
use std::collections::BTreeSet;

pub(crate) struct Trial {
    pub(crate) layout: Layout,
    /// Hosts that take VMs, by the memory that is free on them.
    rooms: BTreeSet<(Mib, HostId)>,
}

/// What emptying a host did, so that it can be undone.
pub(crate) struct Emptied {
    host: HostId,
    takes: bool,
    up: bool,
    vms: Vec<VmId>,
    /// The first of its VMs that found no other host.
    pub(crate) stuck: Option<VmId>,
}

impl Trial {
    pub(crate) fn of(picture: &Picture<'_>, layout: Layout) -> Self {
        let takes = picture.host_ids().filter(|host| layout.takes[host.index()]);
        let rooms = takes.map(|host| (layout.free(picture, host), host)).collect();
        Self { layout, rooms }
    }

    /// Closes a host and moves its VMs away, largest first, each where it fits most tightly, until one is stuck.
    /// `look` is called for each room that is looked at.
    pub(crate) fn empty(&mut self, picture: &Picture<'_>, host: HostId, mut look: impl FnMut()) -> Emptied {
        let (takes, up) = (self.layout.takes[host.index()], self.layout.up[host.index()]);
        self.rooms.remove(&(self.layout.free(picture, host), host));
        self.layout.close(host);
        let mut vms: Vec<VmId> = self.layout.each_on(host).collect();
        vms.sort_unstable();
        let mut units: Vec<_> = vms
            .iter()
            .map(|vm| (*vm, picture.unit(*vm)))
            .filter(|(vm, unit)| unit.first() == Some(vm))
            .map(|(vm, unit)| (picture.load_of_all(unit), vm, unit))
            .collect();
        units.sort_unstable_by_key(|(load, vm, _)| (Reverse(load.mem), *vm));
        let mut stuck = None;
        for (load, vm, unit) in units {
            let to = self
                .rooms
                .range((load.mem, HostId(0))..)
                .inspect(|_| look())
                .find(|(_, to)| self.layout.fits(picture, unit, load, *to, Cpu::Settled).is_ok());
            let Some((_, to)) = to.copied() else {
                stuck = Some(vm);
                break;
            };
            self.put(picture, unit, to);
        }
        Emptied { host, takes, up, vms, stuck }
    }

    /// Everyone back.
    pub(crate) fn refill(&mut self, picture: &Picture<'_>, emptied: &Emptied) {
        let host = emptied.host;
        for vm in &emptied.vms {
            if let Some(to) = self.layout.at[vm.index()].filter(|to| *to != host) {
                self.rooms.remove(&(self.layout.free(picture, to), to));
                self.layout.put(picture, *vm, host);
                self.rooms.insert((self.layout.free(picture, to), to));
            }
        }
        (self.layout.takes[host.index()], self.layout.up[host.index()]) = (emptied.takes, emptied.up);
        if emptied.takes {
            self.rooms.insert((self.layout.free(picture, host), host));
        }
    }

    /// Hosts on which so much memory is free, tightest first.
    pub(crate) fn rooms_from(&self, mem: Mib) -> impl DoubleEndedIterator<Item = (Mib, HostId)> + '_ {
        self.rooms.range((mem, HostId(0))..).copied()
    }

    fn put(&mut self, picture: &Picture<'_>, unit: &[VmId], to: HostId) {
        self.rooms.remove(&(self.layout.free(picture, to), to));
        self.layout.put_all(picture, unit, to);
        self.rooms.insert((self.layout.free(picture, to), to));
    }
}
