//! Turns moves into steps: an order that ends early, what each step needs, and how long it may take.
//!
//! - [`play`] finds the order: moves run at the full rate of their links, as many at once as links and budgets bear, and
//!   whoever has most left to send or take goes first ([`turns`]). - [`cycles`]: moves that wait for each other go through
//!   spare room or are refused. - [`wakes`]: who is woken first. - [`steps`]: the needs that make *every* order valid, not
//!   only the one that was played, so that a failure stops no more than what relied on it. - [`pace()`]: how long a listed
//!   plan takes, and what no order of its moves beats.
//!
//! Nothing here decides where a VM goes. The rules, the bound and what both are worth: docs/design/0008-order.md.

mod cycles;
mod links;
mod pace;
mod play;
mod queues;
mod room;
mod steps;
mod turns;
mod wakes;

pub use pace::{Pace, pace};

use crate::draft::Draft;
use crate::layout::Layout;
use crate::picture::Picture;
use dormouse_model::{Millis, Step};

/// A plan's steps, and the time of its moves.
pub(crate) struct Ordered {
    pub(crate) steps: Vec<Step>,
    /// When the last move is over.
    pub(crate) time: Millis,
    /// No order of these moves is over sooner.
    pub(crate) bound: Millis,
    /// Every VM gets to where the draft had it.
    pub(crate) reaches: bool,
}

/// Orders a draft whose layout is still to be reached. Each VM moves once in it; one that has to step aside to break a
/// cycle moves twice afterwards, one that blocks for good is refused.
///
/// `still` is asked between some hundred moves; once it says no there is no order, and the draft is as it was.
pub(crate) fn arrange(
    picture: &Picture<'_>,
    before: &Layout,
    takes: &[bool],
    draft: &mut Draft,
    still: &mut dyn FnMut() -> bool,
) -> Option<Ordered> {
    let played = play::play(picture, before, takes, draft, still)?;
    let steps = steps::steps(picture, before, draft, steps::When::Played(&played.courses));
    Some(Ordered { steps, time: played.time, bound: played.bound, reaches: played.reaches })
}

/// The steps of a draft that lists its moves in an order which is valid one by one; all sleeps come last.
pub(crate) fn as_listed(picture: &Picture<'_>, before: &Layout, draft: &Draft) -> Ordered {
    let steps = steps::steps(picture, before, draft, steps::When::Listed);
    let Pace { moves_time, moves_bound, .. } = pace::of_steps(picture.snapshot, &steps);
    Ordered { steps, time: moves_time, bound: moves_bound, reaches: true }
}
