//! The figures beside a plan, and for every host still on the reason.

use crate::bound::{self, Bounds};
use crate::draft::Draft;
use crate::layout::Layout;
use crate::patience::Patience;
use crate::picture::Picture;
use crate::why::Why;
use dormouse_model::{AwakeReason, Goal, HostId, HostState, MilliCpu, Report, Snapshot, Watts};

/// What will be when the draft has been carried out.
pub(crate) struct End {
    pub(crate) layout: Layout,
    /// Not known to be down, by host.
    pub(crate) on: Vec<bool>,
}

impl End {
    /// `reached`: where all VMs are then, if that is known.
    pub(crate) fn of(picture: &Picture<'_>, before: &Layout, reached: Option<Layout>, draft: &Draft) -> Self {
        let mut on: Vec<bool> = picture.hosts.iter().map(|host| !host.state.is_down()).collect();
        let mut layout = if let Some(mut layout) = reached {
            layout.takes.clone_from(&before.takes);
            layout.up.clone_from(&before.up);
            layout
        } else {
            let mut layout = before.clone();
            draft.moves.iter().for_each(|one| layout.put(picture, one.vm, one.to));
            layout
        };
        for (host, _) in &draft.wakes {
            on[host.index()] = true;
            layout.open(*host);
        }
        for (host, _) in &draft.sleeps {
            on[host.index()] = false;
            layout.close(*host);
        }
        Self { layout, on }
    }

    pub(crate) fn hosts_on(&self) -> u32 {
        u32::try_from(self.on.iter().filter(|on| **on).count()).expect("fewer than 2^32 hosts")
    }

    /// Hosts that take VMs, in the end.
    pub(crate) fn usable(&self) -> u32 {
        u32::try_from(self.layout.up.iter().filter(|up| **up).count()).expect("fewer than 2^32 hosts")
    }

    fn watts(&self, picture: &Picture<'_>, draft: &Draft) -> Watts {
        let mut woken = vec![false; picture.hosts.len()];
        draft.wakes.iter().for_each(|(host, _)| woken[host.index()] = true);
        // As `Snapshot::watts` has it: VMs whose place is not certain draw nothing.
        let mut used = vec![MilliCpu::ZERO; picture.hosts.len()];
        for (at, vm) in self.layout.at.iter().zip(&picture.vms) {
            if let Some(at) = at {
                used[at.index()] += vm.wake;
            }
        }
        picture
            .host_ids()
            .map(|host| {
                let view = picture.host(host);
                match view.state {
                    _ if !self.on[host.index()] => view.asleep,
                    HostState::Unknown | HostState::SetAside | HostState::Waking if !woken[host.index()] => {
                        view.busy
                    }
                    _ => view.watts(used[host.index()]),
                }
            })
            .sum()
    }
}

pub(crate) fn report(
    picture: &Picture<'_>,
    before: &Layout,
    reached: Option<Layout>,
    draft: &Draft,
    goal: Goal,
    bounds: Bounds,
    patience: &Patience<'_>,
) -> Report {
    let end = End::of(picture, before, reached, draft);
    let lower_bound = bounds.hosts.min(end.hosts_on());
    let standing = bound::standing(picture, &end.on);
    let mut reasons = Why::of(picture, before, &end, draft, goal);
    let mut why = |host: HostId| {
        // What is hard for it costs nothing to say; what would have to be searched for, nobody waits for now.
        if patience.is_out() {
            return picture.host(host).stays.clone().unwrap_or(AwakeReason::NoTime);
        }
        reasons.awake(host)
    };
    let awake =
        picture.host_ids().filter(|host| end.on[host.index()]).map(|host| (host, why(host))).collect();
    Report {
        hosts_on_before: picture.snapshot.hosts_on(),
        hosts_on_after: end.hosts_on(),
        lower_bound,
        watts_before: picture.snapshot.watts(),
        watts_after: end.watts(picture, draft),
        watts_standing: standing,
        watts_bound: bounds.watts.min(standing),
        awake,
        refusals: draft.refusals.clone(),
        rounds: draft.rounds,
        // Times are known to who orders the moves.
        ..Report::default()
    }
}

/// Nothing is done, for want of time even to look. The bound is that of a cluster of which nothing is known, and hosts
/// count as busy.
pub(crate) fn nothing_done(snapshot: &Snapshot) -> Report {
    let mut watts = Watts::ZERO;
    let mut awake = vec![];
    for (index, host) in snapshot.hosts.iter().enumerate() {
        let (down, spec) = (host.state.is_down(), &host.spec);
        watts =
            watts.saturating_add(if down { spec.watts_asleep } else { spec.watts_busy.max(spec.watts_idle) });
        if !down {
            awake.push((HostId::at(index), AwakeReason::NoTime));
        }
    }
    let on = u32::try_from(awake.len()).expect("fewer than 2^32 hosts");
    Report {
        hosts_on_before: on,
        hosts_on_after: on,
        lower_bound: 0,
        watts_before: watts,
        watts_after: watts,
        watts_standing: Watts::ZERO,
        watts_bound: Watts::ZERO,
        awake,
        ..Report::default()
    }
}
