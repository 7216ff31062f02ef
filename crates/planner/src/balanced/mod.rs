//! Policy `balanced`, goal by goal. Each part changes the layout and says why; none thinks about order.
//!
//! - [`drain`]: hosts that an operator wants empty. - [`relieve`]: overloads ended with the fewest moves.
//! - [`restore`]: hosts woken for the reserves. - [`pack`]: fewer watts for the hours to come.
//! - [`spread()`]: all up, clones home, a VM for each host (shared with policy `seed`).
//!
//! In all but `spread` a host that takes VMs gives none away in the same plan, so the moves need no order among
//! themselves: whatever fits in the end fits at every instant on the way.

mod drain;
mod fewest;
mod fill;
mod pack;
mod pool;
mod relieve;
mod restore;
mod saving;
mod singly;
mod spread;
mod target;
mod thrift;

pub(crate) use drain::drain;
pub(crate) use fill::{Fill, Item, Level};
pub(crate) use pack::{reserves_hold, spare_wanted};
pub(crate) use saving::Saving;
pub(crate) use spread::spread;

use crate::bound::Bounds;
use crate::draft::{Draft, Move};
use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::Picture;
use dormouse_model::{Because, Millis, VmId};

pub(crate) fn compact(
    picture: &Picture<'_>,
    layout: &mut Layout,
    draft: &mut Draft,
    horizon: Millis,
    bounds: Bounds,
    patience: &mut Patience<'_>,
) {
    relieve(picture, layout, draft);
    // Who is short of hosts now has none to put to sleep.
    if !draft.wakes.is_empty() {
        return;
    }
    let mut packed = layout.clone();
    let pack::Packed { asleep, woken } = pack::pack(picture, &mut packed, horizon, bounds, patience);
    if !target::would_wake_one_of(picture, &packed, &asleep) {
        pack::explain(picture, &packed, &asleep, draft);
        draft.wakes.extend(woken.into_iter().map(|(host, watts)| (host, Because::Thrift { watts })));
        draft.sleeps.extend(asleep.into_iter().map(|host| (host, Because::Empty)));
        *layout = packed;
    }
}

pub(crate) fn relieve(picture: &Picture<'_>, layout: &mut Layout, draft: &mut Draft) {
    drain(picture, layout, draft);
    relieve::relieve(picture, layout, draft);
    restore::restore(picture, layout, draft);
}

/// The moves that lead from one layout to the other.
pub(crate) fn moves_between(picture: &Picture<'_>, before: &Layout, after: &Layout, draft: &mut Draft) {
    for (index, (from, to)) in before.at.iter().zip(&after.at).enumerate() {
        if let (Some(from), Some(to)) = (*from, *to)
            && from != to
        {
            let vm = VmId::at(index);
            let because = draft.reason(vm).cloned().unwrap_or(Because::Empties { host: from });
            debug_assert!(picture.host(from).gives, "a host that must be left alone was emptied");
            draft.push(Move { vm, from, to, because });
        }
    }
}
