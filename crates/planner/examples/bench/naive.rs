//! The yardstick that anybody would write first: empty the emptiest host into the others, each VM where it fits most
//! tightly, largest first, until one cannot be emptied. Looks at memory and at nothing else.

use crate::judge::{self, Move};
use dormouse_model::{HostId, Mib, Snapshot, VmId};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The moves, and how many hosts are left on.
pub(crate) fn pack(snapshot: &Snapshot) -> (Vec<Move>, usize) {
    let used = judge::used(snapshot);
    let mut order: Vec<HostId> = snapshot.host_ids().collect();
    order.sort_by_key(|host| (used[host.index()], *host));
    let mut on: Vec<Vec<VmId>> = vec![vec![]; snapshot.hosts.len()];
    for vm in snapshot.vm_ids() {
        if let Some(at) = snapshot.vm(vm).state.host() {
            on[at.index()].push(vm);
        }
    }
    let mut room: BTreeSet<(Mib, HostId)> = snapshot
        .host_ids()
        .map(|host| (snapshot.host(host).spec.mem_for_vms().saturating_sub(used[host.index()]), host))
        .collect();
    let mut moves: Vec<Move> = vec![];
    let mut left = snapshot.hosts.len();
    for from in order {
        // What came here on the way counts as well.
        let mut vms = on[from.index()].clone();
        vms.sort_by_key(|vm| (Reverse(snapshot.vm(*vm).spec.mem), *vm));
        let mut trial = room.clone();
        trial.retain(|(_, host)| *host != from);
        let mut mine = vec![];
        for vm in &vms {
            let mem = snapshot.vm(*vm).spec.mem;
            let Some((free, to)) = trial.range((mem, HostId(0))..).next().copied() else { break };
            trial.remove(&(free, to));
            trial.insert((free - mem, to));
            mine.push((*vm, to));
        }
        if mine.len() < vms.len() {
            break;
        }
        room = trial;
        left -= 1;
        for (vm, to) in mine {
            on[to.index()].push(vm);
            // A VM that came here first leaves only when it is here.
            let needs = moves.iter().rposition(|one| one.vm == vm).into_iter().collect();
            moves.push(Move { vm, from, to, needs });
        }
    }
    (moves, left)
}
