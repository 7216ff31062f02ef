//! Hosts on their way down and up: what silence, time and the guard's word mean (faults I1, I7, P01-P06).

use crate::controller::Controller;
use crate::hosts::{HostRecord, Wake};
use crate::mutants::{self, Mutant};
use crate::{Aside, Automation, Level, LogEvent, Settings};
use dormouse_model::{
    Action, GuardRefusal, HostId, HostState, IntentId, Millis, Mono, Outcome, PlanId, Step, StepId,
};

/// After the guard's word a host may need this long to fall silent for good, if the text gives no time.
const SHUTDOWN_MIN: Millis = Millis::from_secs(5);
/// Within one try the packet is sent again after these shares of `t_on`, should the first be lost.
const RESEND_PERCENT: [u64; 2] = [25, 50];

impl HostRecord {
    /// A wake that the manager before us began goes on where it was: dying does not give a host more tries.
    pub(crate) fn resume_wake(&mut self, now: Mono, settings: &Settings) {
        let Some(wake) = &mut self.wake else { return };
        wake.sends = sends_due(now.since(wake.try_began), settings.t_on);
    }

    /// When packets of the present try may have gone out.
    pub(crate) fn packets(&self, t_on: Millis) -> impl Iterator<Item = Mono> + use<> {
        let began = self.wake.map(|wake| wake.try_began);
        let after = std::iter::once(0).chain(RESEND_PERCENT);
        began
            .into_iter()
            .flat_map(move |began| after.clone().map(move |share| began + Millis(t_on.0 * share / 100)))
    }
}

/// Packets that a try should have sent by now.
fn sends_due(spent: Millis, t_on: Millis) -> u32 {
    let due = RESEND_PERCENT.iter().filter(|percent| spent.0 * 100 >= t_on.0 * **percent).count();
    1 + u32::try_from(due).unwrap_or(u32::MAX)
}

impl Controller {
    /// The guard agreed and the host no longer answers.
    pub(crate) fn silent_while_stopping(&mut self, id: HostId) {
        let now = self.now.mono;
        let host = self.host(id);
        // An answer that waited while we stood still says nothing of now.
        let recent = self.settings.look_deadline + self.settings.fresh;
        if host.last_look.is_none_or(|asked| now.since(asked) > recent) {
            return self.look_soon(id);
        }
        if !host.guard_agreed {
            // It answered with its doors open since: whether it went after all, a wake will tell.
            if host.misses >= self.settings.stale_periods {
                self.host_mut(id).maybe_asleep = true;
                self.set_state(id, HostState::Unknown, "silent-after-all");
            }
            return;
        }
        if !host.is_silent() || now.since(host.since) < host.spec.shutdown.max(SHUTDOWN_MIN) {
            return;
        }
        if self.holds_vm(id) {
            // It was seen with a VM after the guard's word: then silence proves nothing.
            let host = self.host_mut(id);
            host.guard_agreed = false;
            host.maybe_asleep = true;
            return self.set_state(id, HostState::Unknown, "silent-with-vms");
        }
        let host = self.host_mut(id);
        host.guard_agreed = false;
        host.tries = 0;
        host.sleep_asked = false;
        host.slept(now);
        for vm in self.vms.forget_host(id) {
            self.judge_vm(vm);
        }
        self.set_state(id, HostState::Asleep, "guard-and-silence");
        self.tally.sleeps += 1;
    }

    pub(crate) fn watch_power(&mut self) {
        let mut place = 0;
        while let Some(id) = self.agenda.restless_from(place) {
            place = id.index() + 1;
            match self.host(id).state {
                HostState::Stopping => self.watch_stopping(id),
                HostState::Waking => self.watch_waking(id),
                HostState::Unusable => self.watch_unusable(id),
                HostState::Unknown if mutants::has(Mutant::SilenceIsSleep) && self.host(id).misses > 5 => {
                    self.set_state(id, HostState::Asleep, "silence");
                }
                HostState::Unknown => self.wake_if_maybe_asleep(id),
                _ => {}
            }
        }
    }

    fn watch_stopping(&mut self, id: HostId) {
        let now = self.now.mono;
        if now.since(self.host(id).since) < self.settings.t_off {
            return;
        }
        let settings = self.settings.clone();
        let host = self.host_mut(id);
        if host.is_silent() {
            return; // silent: the next failed look makes it asleep
        }
        host.guard_agreed = false;
        // It may still go, later than we wait: should it fall silent then, a wake is in place.
        host.maybe_asleep = true;
        if host.never_goes(&settings) {
            self.set_aside(id, Aside::NeverWent);
        } else {
            self.host_mut(id).back_off(now, &settings);
            self.set_state(id, HostState::On, "never-went");
        }
    }

    fn watch_waking(&mut self, id: HostId) {
        let now = self.now.mono;
        let t_on = self.settings.t_on;
        let tries = if mutants::has(Mutant::TriesForEver) { u32::MAX } else { self.settings.tries };
        let Some(wake) = self.host(id).wake else { return };
        let spent = now.since(wake.try_began);
        if spent >= t_on {
            if self.host(id).tries + 1 < tries && !self.may_send_wake() {
                return;
            }
            let host = self.host_mut(id);
            host.tries += 1;
            if host.tries >= tries {
                return self.set_aside(id, Aside::NeverWoke);
            }
            host.wake = Some(Wake { try_began: now, sends: 1, ..wake });
            let name = self.host_name(id).to_owned();
            self.tell(LogEvent::new(Level::Warn, "wake.again").with("host", name).with("waited", t_on));
            self.remember_host(id);
            return self.send_wake(id, true);
        }
        if self.may_send_wake() && self.resend_is_due(id) {
            self.send_wake(id, true);
        }
        if !wake.late_told && self.host(id).is_late(now) {
            if let Some(wake) = &mut self.host_mut(id).wake {
                wake.late_told = true;
            }
            let host = self.host(id);
            let event = LogEvent::new(Level::Warn, "wake.late")
                .with("host", &host.spec.name)
                .with("usual", host.usual_boot())
                .with("waited", now.since(wake.first));
            self.tell(event);
            // It no longer counts as coming: the next plan takes another.
            self.drop_run("wake.late");
            self.plan_soon();
        }
    }

    /// A send is repeated only when the host is late: most hosts are merely booting. What was missed is not made up for.
    pub(crate) fn resend_is_due(&mut self, id: HostId) -> bool {
        let (now, t_on) = (self.now.mono, self.settings.t_on);
        let host = self.host_mut(id);
        let late = host.is_late(now);
        let Some(wake) = &mut host.wake else { return false };
        let due = sends_due(now.since(wake.try_began), t_on);
        let is_due = late && due > wake.sends;
        if is_due {
            wake.sends = due;
        }
        is_due
    }

    /// Answers, but a check fails for longer than a boot may take.
    fn watch_unusable(&mut self, id: HostId) {
        if self.now.mono.since(self.host(id).since) >= self.settings.t_on && !self.has_flight_on(id) {
            self.set_aside(id, Aside::CheckFails);
        }
    }

    /// Our off command went out and its answer was lost, and now the host is silent. It stays `unknown` and counts as on;
    /// a wake can only help: when all shall be up, or when it has had the time to go, so that we know of it again.
    fn wake_if_maybe_asleep(&mut self, id: HostId) {
        let now = self.now.mono;
        let host = self.host(id);
        let has_gone = now.since(host.since) >= self.settings.t_off;
        let wanted = has_gone || matches!(self.goal, Some(dormouse_model::Goal::Spread { .. }));
        let may_act =
            self.leading() && self.paused.is_none() && self.settings.automation != Automation::Observe;
        if !host.maybe_asleep || !wanted || !host.is_silent() || !may_act || !self.may_wake_now(id) {
            return;
        }
        let t_on = self.settings.t_on;
        let tries = self.settings.tries;
        let host = self.host_mut(id);
        match host.wake {
            Some(wake) if now.since(wake.try_began) < t_on => return,
            Some(_) if host.tries + 1 >= tries => {
                self.slept_after_all(id);
                return self.set_aside(id, Aside::NeverWoke);
            }
            Some(wake) => {
                host.tries += 1;
                host.wake = Some(Wake { try_began: now, sends: 1, ..wake });
                self.remember_host(id);
            }
            None => {
                host.wake = Some(Wake { first: now, try_began: now, sends: 1, late_told: false });
                self.remember_host(id);
            }
        }
        self.send_wake(id, false);
    }

    /// It may have gone off by our word, which was lost: whether it did is not known, among the day's cycles it counts.
    pub(crate) fn slept_after_all(&mut self, id: HostId) {
        let now = self.now.mono;
        let host = self.host_mut(id);
        if std::mem::take(&mut host.maybe_asleep) {
            host.slept(now);
        }
    }

    /// One more packet for a host that is on its way up already: its own intent, outside any plan. `under_way`: it goes on
    /// with what was begun, which a pause lets end.
    fn send_wake(&mut self, id: HostId, under_way: bool) {
        let step = Step {
            id: StepId(0),
            action: Action::Wake { host: id },
            needs: vec![],
            deadline: self.settings.t_on,
            because: dormouse_model::Because::Asked,
        };
        self.write_intent(PlanId(0), None, step, under_way);
    }

    /// The packet is about to go: from now on the host is waking.
    pub(crate) fn begin_wake(&mut self, id: HostId) {
        let now = self.now.mono;
        self.wakes.push_back(now);
        if self.host(id).state == HostState::Waking || self.host(id).state == HostState::Unknown {
            return;
        }
        self.host_mut(id).wake = Some(Wake { first: now, try_began: now, sends: 1, late_told: false });
        self.set_state(id, HostState::Waking, "wake-sent");
        self.tally.wakes += 1;
        self.look_soon(id);
    }

    /// The manager before us may have sent this: the host is on its way up as far as anybody knows, and the tries go on from
    /// there. Should the packet never have gone, it is sent again when the host is late.
    pub(crate) fn adopt_wake(&mut self, id: HostId) {
        if !self.host(id).state.is_down() {
            return; // its state tells what became of it
        }
        let now = self.now.mono;
        self.host_mut(id).wake = Some(Wake { first: now, try_began: now, sends: 1, late_told: false });
        self.set_state(id, HostState::Waking, "wake-sent");
    }

    /// The guard obeys somebody else: a later leader of ours, or another cluster altogether (faults C02, I4).
    fn fenced_off(&mut self, name: &str, reasons: &[GuardRefusal]) {
        for reason in reasons {
            match reason {
                GuardRefusal::Epoch(seen) => {
                    let event = LogEvent::new(Level::Alarm, "fenced").with("host", name).with("seen", seen);
                    self.alarm("fenced", name, event);
                    // Whoever leads by right is told so again by the store, and goes on.
                    self.leads = None;
                    self.drop_run("fenced");
                }
                GuardRefusal::Cluster => {
                    let event = LogEvent::new(Level::Alarm, "host.other-cluster").with("host", name);
                    self.alarm("host.other-cluster", name, event);
                }
                _ => {}
            }
        }
    }

    /// The guard was asked and answered, or not.
    pub(crate) fn sleep_answered(&mut self, id: HostId, intent: IntentId, outcome: &Outcome) {
        let now = self.now.mono;
        let settings = self.settings.clone();
        let state = self.host(id).state;
        match outcome {
            Outcome::Done { .. } => {
                let name = self.host_name(id).to_owned();
                self.clear_alarm("fenced", &name);
                self.clear_alarm("host.other-cluster", &name);
                let host = self.host_mut(id);
                let rebooted = host.off_boot.is_some() && host.boot != host.off_boot;
                match state {
                    // The guard spoke on a boot that is over: what runs there now it has not seen.
                    HostState::Draining if rebooted && host.drain => {}
                    HostState::Draining if rebooted => self.set_state(id, HostState::On, "rebooted"),
                    HostState::Draining => {
                        host.guard_agreed = true;
                        self.set_state(id, HostState::Stopping, "guard-agreed");
                    }
                    // It fell silent before the guard's word came: a wake will tell.
                    HostState::Unknown | HostState::Unusable if !rebooted => host.maybe_asleep = true,
                    _ => {}
                }
                self.look_soon(id);
            }
            Outcome::Refused(reasons) => {
                let why = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let host = self.host_mut(id);
                host.offs.remove(&intent);
                // Late is no reason of the host's: it is tried again like any call that failed.
                if reasons.iter().all(|reason| *reason == GuardRefusal::Late) {
                    host.back_off(now, &settings);
                } else {
                    host.refused_until = now + settings.backoff_max.min(Millis::from_mins(10));
                }
                let name = host.spec.name.clone();
                self.tell(LogEvent::new(Level::Info, "guard.refused").with("host", &name).with("why", why));
                self.fenced_off(&name, reasons);
                if state == HostState::Draining && !self.host(id).drain {
                    self.set_state(id, HostState::On, "guard-refused");
                }
                self.host_mut(id).sleep_asked = false;
                self.look_soon(id);
            }
            Outcome::Failed(_) => {
                let host = self.host_mut(id);
                host.offs.remove(&intent);
                host.back_off(now, &settings);
                if state == HostState::Draining && !self.host(id).drain {
                    self.set_state(id, HostState::On, "off-failed");
                }
            }
            Outcome::Unsure(_) => {
                let host = self.host_mut(id);
                host.maybe_asleep = true;
                host.back_off(now, &settings);
                if state == HostState::Draining {
                    self.set_state(id, HostState::Unknown, "no-word-from-guard");
                }
                self.look_soon(id);
            }
        }
    }
}
