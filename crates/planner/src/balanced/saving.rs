//! What putting hosts to sleep saves over the horizon, and whether that is worth the moves, the boots and the
//! disturbance.
//!
//! Moves and boot are weighed host by host. Disturbance is weighed for all hosts of a plan together, since it is the plan
//! that disturbs; only where the plan as a whole disturbs too much do single hosts have to pay for themselves.

use crate::layout::Layout;
use crate::picture::Picture;
use dormouse_model::{AwakeReason, HostId, HostState, Millis, Permille, Watts};

/// What a host would save, and whether that is worth its moves, its boot and the disturbance.
pub(crate) struct Saving {
    horizon: Millis,
    vms: u64,
    watts_on: u64,
}

impl Saving {
    /// `on`: not put to sleep by this plan so far.
    pub(crate) fn of(picture: &Picture<'_>, layout: &Layout, on: &[bool], horizon: Millis) -> Self {
        let ours =
            |host: &HostId| layout.up[host.index()] || picture.host(*host).state == HostState::Draining;
        let on = |host: &HostId| on[host.index()] && ours(host);
        let vms = layout.load.iter().map(|load| u64::from(load.count)).sum();
        let watts_on = picture
            .host_ids()
            .filter(on)
            .map(|host| picture.host(host).watts(layout.load(host).wake).0)
            .sum();
        Self { horizon, vms, watts_on }
    }

    /// May this host be put to sleep if its VMs find room, and does it pay, were it the only one?
    pub(crate) fn verdict(
        &self,
        picture: &Picture<'_>,
        layout: &Layout,
        host: HostId,
    ) -> Result<(), AwakeReason> {
        self.pays(picture, layout, host)?;
        let (vms, watts) = (u64::from(layout.load(host).count), super::pool::standing(picture, host));
        let (ratio, wanted) = (self.disruption(vms, watts), picture.knobs.disrupt_max);
        if ratio > wanted { Err(AwakeReason::Disrupt { ratio, wanted }) } else { Ok(()) }
    }

    /// The same, however many VMs that disturbs.
    pub(super) fn pays(
        &self,
        picture: &Picture<'_>,
        layout: &Layout,
        host: HostId,
    ) -> Result<(), AwakeReason> {
        let view = picture.host(host);
        if let Some(reason) = &view.stays {
            return Err(reason.clone());
        }
        if !view.gives || !(layout.up[host.index()] || view.state == HostState::Draining) {
            return Err(AwakeReason::Later);
        }
        let (ratio, wanted) = (self.payback(picture, layout, host), picture.knobs.payback);
        if ratio < wanted {
            return Err(AwakeReason::Payback { ratio, wanted });
        }
        Ok(())
    }

    /// May all these VMs be disturbed for so many watts?
    pub(super) fn disturbs_little(&self, picture: &Picture<'_>, vms: u64, watts: Watts) -> bool {
        self.disruption(vms, watts) <= picture.knobs.disrupt_max
    }

    /// Do these hosts, woken, save enough by letting those sleep? Until the last is up and the VMs have moved, nothing is
    /// saved, and the boots come on top.
    pub(super) fn replacing_pays(
        &self,
        picture: &Picture<'_>,
        layout: &Layout,
        asleep: &[HostId],
        woken: &[HostId],
    ) -> bool {
        let sum = |hosts: &[HostId]| hosts.iter().map(|host| super::pool::standing(picture, *host)).sum();
        let watts = Watts::saturating_sub(sum(asleep), sum(woken));
        let vms = asleep.iter().map(|host| u64::from(layout.load(*host).count)).sum();
        if watts == Watts(0) || !self.disturbs_little(picture, vms, watts) {
            return false;
        }
        let spec = |host: &HostId| &picture.snapshot.host(*host).spec;
        let longest =
            |of: &dyn Fn(&HostId) -> Millis, hosts: &[HostId]| hosts.iter().map(of).max().unwrap_or_default();
        let boot = longest(&|host| spec(host).boot, woken);
        let moving = longest(&|host| moving(picture, layout, *host), asleep);
        let back = longest(&|host| spec(host).shutdown.saturating_add(spec(host).boot), asleep);
        let away = [boot, moving, back].into_iter().fold(self.horizon, Millis::saturating_sub);
        let both = boot.saturating_add(moving);
        let boots = woken.iter().map(|host| picture.host(*host).busy.times(both).0).sum::<u128>();
        let cost = asleep.iter().map(|host| cost(picture, layout, *host)).sum::<u128>() + boots;
        let wanted = picture.knobs.payback;
        watts.times(away).0.saturating_mul(1000) / cost.max(1) >= u128::from(wanted.0)
    }

    /// Energy saved while asleep over the energy of moves, shutdown and boot.
    fn payback(&self, picture: &Picture<'_>, layout: &Layout, host: HostId) -> Permille {
        let (view, spec) = (picture.host(host), &picture.snapshot.host(host).spec);
        let moving = moving(picture, layout, host);
        let away =
            self.horizon.saturating_sub(moving).saturating_sub(spec.shutdown).saturating_sub(spec.boot);
        let saved = view.idle.saturating_sub(view.asleep).times(away).0;
        if saved == 0 {
            return Permille::ZERO;
        }
        let ratio = saved.saturating_mul(1000) / cost(picture, layout, host).max(1);
        Permille(u64::try_from(ratio).unwrap_or(u64::MAX))
    }

    /// Share of VMs that would be disturbed over share of watts that would be saved.
    fn disruption(&self, vms: u64, watts: Watts) -> Permille {
        let disturbed = u128::from(vms) * u128::from(self.watts_on) * 1000;
        let saved = u128::from(watts.0) * u128::from(self.vms);
        Permille(u64::try_from(disturbed / saved.max(1)).unwrap_or(u64::MAX))
    }
}

/// How long its VMs take to leave at the full rate of its link.
fn moving(picture: &Picture<'_>, layout: &Layout, host: HostId) -> Millis {
    layout.load(host).mem.transfer_time(picture.host(host).link)
}

/// The energy of emptying a host, putting it to sleep and waking it again.
fn cost(picture: &Picture<'_>, layout: &Layout, host: HostId) -> u128 {
    let (view, spec) = (picture.host(host), &picture.snapshot.host(host).spec);
    // A move keeps about one core busy at either end.
    let core = Watts(view.busy.saturating_sub(view.idle).0.div_ceil(u64::from(spec.cpus.max(1))));
    let up_and_down = view.busy.times(spec.boot).0 + view.idle.times(spec.shutdown).0;
    up_and_down + core.times(moving(picture, layout, host)).0 * 2
}
