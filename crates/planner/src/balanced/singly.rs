//! Hosts that cannot be emptied together may be emptied singly, most worth it first.

use super::pack::reserves_hold;
use super::pool::{Pool, standing};
use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::Picture;
use crate::trial::Trial;
use dormouse_model::HostId;
use std::cmp::Reverse;

/// One host after the other is emptied into the others where that can be; nothing if none can.
pub(super) fn one_by_one(
    picture: &Picture<'_>,
    layout: &Layout,
    candidates: &[HostId],
    pool: &Pool,
    patience: &mut Patience<'_>,
) -> Option<Layout> {
    let mut order: Vec<HostId> = candidates.to_vec();
    order.sort_by_key(|host| {
        let saved = standing(picture, *host);
        (layout.takes[host.index()], layout.used(picture, *host), Reverse(saved), *host)
    });
    let mut trial = Trial::of(picture, layout.clone());
    let mut any = false;
    let mut keep = vec![true; picture.hosts.len()];
    for host in order {
        if pool.must_keep(host) || !patience.lasts() {
            continue;
        }
        let emptied = trial.empty(picture, host, || {});
        keep[host.index()] = false;
        if emptied.stuck.is_none()
            && pool.may_keep_only(picture, layout, &keep)
            && reserves_hold(picture, &trial.layout)
        {
            any = true;
        } else {
            keep[host.index()] = true;
            trial.refill(picture, &emptied);
        }
    }
    any.then_some(trial.layout)
}
