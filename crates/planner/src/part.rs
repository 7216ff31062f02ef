//! The part of a packing that can still be put in order when patience is out: as many whole hosts as few moves empty.
//!
//! A host that is emptied takes nothing in the same plan, so to leave some of them as they are takes room from nobody.

use crate::draft::{Draft, Move};
use crate::layout::Layout;
use crate::picture::Picture;

/// Leaves hosts on with all their VMs until at most so many moves are left; the fewest moves buy a host each. False where no
/// such part stands by itself: a host is woken for the rest, VMs that belong together come from several hosts, or too many
/// moves empty no host.
pub(crate) fn keep_part(
    picture: &Picture<'_>,
    before: &Layout,
    after: &mut Layout,
    draft: &mut Draft,
    moves: usize,
) -> bool {
    if !draft.wakes.is_empty() {
        return false;
    }
    let hosts = picture.hosts.len();
    let mut gives = vec![0_usize; hosts];
    draft.moves.iter().for_each(|one| gives[one.from.index()] += 1);
    let mut sleeps: Vec<_> = draft.sleeps.iter().map(|(host, _)| *host).collect();
    sleeps.sort_unstable_by_key(|host| (gives[host.index()], *host));
    let emptying: usize = sleeps.iter().map(|host| gives[host.index()]).sum();
    let Some(mut left) = moves.checked_sub(draft.moves.len() - emptying) else { return false };
    let mut stays = vec![false; hosts];
    for host in sleeps {
        match left.checked_sub(gives[host.index()]) {
            Some(rest) => left = rest,
            None => stays[host.index()] = true,
        }
    }
    let alone = |one: &Move| {
        !stays[one.to.index()]
            && (!stays[one.from.index()]
                || picture.unit(one.vm).iter().all(|vm| before.at[vm.index()] == Some(one.from)))
    };
    if !draft.moves.iter().all(alone) {
        return false;
    }
    draft.sleeps.retain(|(host, _)| !stays[host.index()]);
    draft.moves.retain(|one| {
        let goes = !stays[one.from.index()];
        if !goes {
            after.put(picture, one.vm, one.from);
        }
        goes
    });
    for host in picture.host_ids().filter(|host| stays[host.index()]) {
        after.takes[host.index()] = before.takes[host.index()];
        after.up[host.index()] = before.up[host.index()];
    }
    true
}
