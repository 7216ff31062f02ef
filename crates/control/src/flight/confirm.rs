//! What became of a move, by looking at both ends: done, failed, still under way, left half-done, or in doubt.
//!
//! Believes no driver's word, and lets nothing run again while another host may have it.

use super::{Doubt, Flight};
use crate::controller::Controller;
use crate::mutants::{self, Mutant};
use crate::run::StepState;
use crate::{Effect, Level, LogEvent};
use dormouse_model::{DomainState, HostId, IntentId, Millis, ObservationId, Outcome, OutcomeError, VmId};

/// A VM whose move ran into its deadline, or made no progress, rests for this long.
const HOT: Millis = Millis::from_mins(60);
/// A new sample weighs 1 / this in the mean time of a move.
const MEAN_WEIGHT: u64 = 4;

impl Controller {
    /// A move is done when the source is seen without and the destination with the running VM, by looks asked for after
    /// the driver's word. Anything else is waited for, or is a `conflict` (faults I22, M04).
    pub(super) fn confirm(&mut self, id: IntentId) {
        let Some(flight) = self.flights.get(&id) else { return };
        let Some((vm, from, to)) = flight.migration() else { return };
        let (since, deadline, look) = (flight.since, flight.intent.deadline, flight.since_look);
        let spent = self.now.mono.since(since);
        // A host that is certainly down holds nothing and needs no look.
        let certain = |host: HostId| self.host(host).state.is_down() || self.looked_since(host, look);
        let (sees_from, sees_to) = (certain(from), certain(to));
        if !sees_from || !sees_to {
            // A stream to nowhere is ended at its source, which is seen.
            let goes_on = sees_from && self.sighting(vm, from).is_some_and(|(_, job)| job);
            if goes_on && spent > deadline {
                self.abort_again(id);
            }
            if spent > self.settings.confirm_within {
                self.doubt(id, Doubt::Unseen);
            }
            return;
        }
        let present = |seen: Option<(DomainState, bool)>| seen.filter(|(state, _)| state.is_present());
        let source = present(self.sighting(vm, from));
        let target = present(self.sighting(vm, to));
        match (source, target) {
            (None, Some((state, job))) if !job && state != DomainState::PausedMigrating => {
                if !self.drop_what_is_left(id, vm, from) {
                    self.move_done(id, vm, from, to);
                }
            }
            (Some((state, false)), None) if state != DomainState::PausedMigrating => {
                let said = self.flights.get(&id).and_then(|flight| flight.said.clone());
                let outcome = match said {
                    Some(Outcome::Failed(why)) => Outcome::Failed(why),
                    Some(Outcome::Unsure(why)) => Outcome::Failed(OutcomeError::Driver(why)),
                    _ => Outcome::Failed(OutcomeError::Driver("it is still at its source".to_owned())),
                };
                self.way_failed(vm, from, to, &outcome);
                self.move_failed(id, vm, outcome);
            }
            // It went down with an end that is proved off.
            (None, None) if self.owe_after_move(vm, from, to) => {
                let outcome = Outcome::Failed(OutcomeError::Driver("it went down with its host".to_owned()));
                self.move_failed(id, vm, outcome);
            }
            (None, None) => {
                let name = self.vm_name(vm).to_owned();
                let event =
                    LogEvent::new(Level::Alarm, "vm.gone").with("vm", &name).with("uuid", self.vm_uuid(vm));
                self.alarm("vm.gone", &name, event);
                let outcome = Outcome::Failed(OutcomeError::Driver("it is on neither host".to_owned()));
                self.move_failed(id, vm, outcome);
            }
            (Some((DomainState::Running, false)), Some((DomainState::Running, false))) => {
                self.doubt(id, Doubt::Both)
            }
            _ => self.half_done(id, spent, deadline, source, target),
        }
    }

    /// Both ends hold something of the VM: still under way, or left half-done by a client that died.
    fn half_done(
        &mut self,
        id: IntentId,
        spent: Millis,
        deadline: Millis,
        source: Option<(DomainState, bool)>,
        target: Option<(DomainState, bool)>,
    ) {
        // Abort and settle change the world: only who leads may ask for them.
        let leads = self.leading();
        let again = self.settings.confirm_within;
        let under_way = [source, target].into_iter().flatten().any(|(_, job)| job);
        // What is held at the source is let run there again if the destination has nothing of it. A person may have moved it
        // to a third host, before our call came or while we saw nothing: then that would be a second one.
        let elsewhere = if under_way || target.is_some() { Some(false) } else { self.is_elsewhere(id) };
        if elsewhere == Some(true) {
            let why = OutcomeError::Driver("it is on a third host".to_owned());
            let vm = self.flights.get(&id).and_then(Flight::migration).map(|(vm, ..)| vm);
            return vm.into_iter().for_each(|vm| self.move_failed(id, vm, Outcome::Failed(why.clone())));
        }
        let may_settle = leads && elsewhere == Some(false);
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let Some((_, from, to)) = flight.migration() else { return };
        let intent = flight.intent.clone();
        if under_way && spent <= deadline {
            // Peer-to-peer moves go on without us: look again at the usual pace.
        } else if under_way {
            self.abort_again(id);
            if spent > deadline + again {
                self.doubt(id, Doubt::Stuck);
            }
        } else if !under_way && !flight.settle_sent && may_settle {
            flight.settle_sent = true;
            self.out.push(Effect::Settle(intent));
            self.look_soon(from);
            self.look_soon(to);
        } else if spent > again {
            // Nothing goes on any more, so there is no deadline to wait for.
            self.doubt(id, Doubt::Stuck);
        }
        if elsewhere.is_none() && spent > again {
            self.tell_held(id);
        }
    }

    /// A person can look at the hosts that we wait for, or say that they are off.
    fn tell_held(&mut self, id: IntentId) {
        let Some(flight) = self.flights.get(&id) else { return };
        let Some((vm, from, to)) = flight.migration() else { return };
        let since = flight.since_look;
        let unheard: Vec<&str> = self
            .hosts
            .iter()
            .filter(|host| host.id != from && host.id != to)
            .filter(|host| !host.state.is_down() && !self.looked_since(host.id, since))
            .map(|host| host.spec.name.as_str())
            .collect();
        let name = self.vm_name(vm).to_owned();
        let event = LogEvent::new(Level::Alarm, "vm.held")
            .with("vm", &name)
            .with("uuid", self.vm_uuid(vm))
            .with("at", self.host_name(from))
            .with("unheard", unheard.join(","));
        self.alarm("vm.held", &name, event);
    }

    /// Whether any host but the two of this move has its VM, by looks asked for since; `None`: not everybody was heard yet.
    fn is_elsewhere(&mut self, id: IntentId) -> Option<bool> {
        let flight = self.flights.get(&id)?;
        let (vm, from, to) = flight.migration()?;
        let (since, began) = (flight.since_look, flight.since);
        let others = self.host_ids().filter(|host| *host != from && *host != to);
        let others: Vec<HostId> = others.filter(|host| !self.host(*host).state.is_down()).collect();
        let present = |host| self.sighting(vm, host).is_some_and(|(state, _)| state.is_present());
        let (heard, unheard): (Vec<HostId>, Vec<HostId>) =
            others.into_iter().partition(|host| self.looked_since(*host, since));
        if heard.into_iter().any(present) {
            return Some(true);
        }
        for host in &unheard {
            // Once at once; one that refuses is asked at the usual pace from then on.
            let record = self.host(*host);
            if record.look.is_none() && record.last_look.is_none_or(|asked| asked < began) {
                self.look_soon(*host);
            }
        }
        unheard.is_empty().then_some(false)
    }

    /// A definition was left at the source, as by a libvirtd that ended before it got to that (fault M21): the driver looks
    /// at both ends once and removes it where the destination keeps its own. Whether that was asked for now; the next look
    /// calls the move done in any case.
    fn drop_what_is_left(&mut self, id: IntentId, vm: VmId, from: HostId) -> bool {
        let may = self.leading() && self.sighting(vm, from).is_some() && !self.host(from).state.is_down();
        let next_look = ObservationId(self.next_observation);
        let Some(flight) = self.flights.get_mut(&id).filter(|flight| may && !flight.settle_sent) else {
            return false;
        };
        flight.settle_sent = true;
        flight.since_look = next_look;
        let (intent, move_) = (flight.intent.clone(), flight.migration());
        self.out.push(Effect::Settle(intent));
        for host in move_.into_iter().flat_map(|(_, from, to)| [from, to]) {
            self.look_soon(host);
        }
        true
    }

    /// The move is to end. Only who leads may ask for it, and not with every look.
    fn abort_again(&mut self, id: IntentId) {
        let (leads, now, again) = (self.leading(), self.now.mono, self.settings.confirm_within);
        let may = leads && !mutants::has(Mutant::NeverAborts);
        let Some(flight) = self.flights.get_mut(&id).filter(|_| may) else { return };
        if flight.abort_sent.is_none_or(|sent| now.since(sent) >= again) {
            flight.abort_sent = Some(now);
            self.out.push(Effect::Abort(flight.intent.clone()));
        }
    }

    fn doubt(&mut self, id: IntentId, doubt: Doubt) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        if flight.in_doubt.replace(doubt) != Some(doubt)
            && let Some((vm, ..)) = flight.migration()
        {
            let planned = flight.step.is_some();
            self.judge_vm(vm);
            // What the plan does next may wait for days.
            if planned {
                self.drop_run("move.in-doubt");
            }
        }
    }

    fn move_done(&mut self, id: IntentId, vm: VmId, from: HostId, to: HostId) {
        let now = self.now;
        let Some(flight) = self.flights.get(&id) else { return };
        let took = now.mono.since(flight.intent.written);
        let downtime = match flight.said {
            Some(Outcome::Done { downtime }) => downtime,
            _ => None,
        };
        // Of a move that was adopted nobody knows when it began.
        if flight.step.is_some() {
            self.move_mean = Some(match self.move_mean {
                Some(mean) => Millis((mean.0 * (MEAN_WEIGHT - 1) + took.0) / MEAN_WEIGHT),
                None => took,
            });
        }
        self.tally.moves += 1;
        let record = self.vms.record_mut(vm);
        record.failures = 0;
        record.moved(now.mono);
        self.way_open(vm, from, to);
        self.remember_vm(vm, Some(to));
        self.host_mut(from).failures = 0;
        self.host_mut(to).failures = 0;
        self.close(id, Outcome::Done { downtime }, StepState::Done);
    }

    fn move_failed(&mut self, id: IntentId, vm: VmId, outcome: Outcome) {
        let now = self.now.mono;
        let settings = self.settings.clone();
        self.tally.moves_failed += 1;
        // A guest that writes faster than the link carries will do so in two minutes, too (fault M05).
        let hot = matches!(outcome, Outcome::Failed(OutcomeError::Deadline(_) | OutcomeError::NoProgress(_)));
        let record = self.vms.record_mut(vm);
        // After the first failure only the way rests, and the VM may take another.
        let rest = match record.failures.checked_sub(1) {
            Some(before) => crate::hosts::doubled(settings.backoff, before, settings.backoff_max),
            None => Millis(0),
        };
        record.rest_until = now + if hot { rest.max(HOT) } else { rest };
        record.failures = record.failures.saturating_add(1);
        self.close(id, outcome, StepState::Failed);
        self.plan_soon();
    }
}
