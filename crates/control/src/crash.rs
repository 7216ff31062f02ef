//! VMs that crash: told, and where a setting says so started again on the same host, but not for ever (fault V01).
//!
//! Only what a host that answers says itself counts as a crash: silence is none, an order is none, and a VM that is seen
//! anywhere else is left alone. A start goes the way of every other: owed, gate, intent, effect, look. The first comes at
//! once, the next ones after growing rests; then the VM is `failed`, and a person has to look.

use crate::controller::Controller;
use crate::vms::Owed;
use crate::{Automation, Level, LogEvent, Restart};
use dormouse_model::{HostId, Millis, ObservationId, VmId, VmState};
use uuid::Uuid;

/// So many restarts within this span; one more crash, and it is `failed`.
pub(crate) const RESTARTS: usize = 3;
const SPAN: Millis = Millis::from_mins(60);
/// Before the second restart; twice as long before each next one.
const REST: Millis = Millis::from_mins(1);

impl Controller {
    pub(crate) fn starts_what_crashed(&self) -> bool {
        self.settings.restart == Restart::OnCrash && self.settings.automation == Automation::Auto
    }

    /// Of these the VMs that ran on this host at the look before.
    pub(crate) fn ran_here(&self, host: HostId, crashed: &[Uuid]) -> Vec<VmId> {
        let ran = |vm: &VmId| matches!(self.vms.record(*vm).state, VmState::Running { at } | VmState::Lost { at } if at == host);
        crashed.iter().filter_map(|uuid| self.vms.find(*uuid)).filter(ran).collect()
    }

    pub(crate) fn crashed(&mut self, vm: VmId, at: HostId) {
        let now = self.now.mono;
        let record = self.vms.record_mut(vm);
        record.crashes.retain(|then| now.since(*then) < SPAN);
        record.crashes.push_back(now);
        // One more than restarts says all.
        while record.crashes.len() > RESTARTS + 1 {
            record.crashes.pop_front();
        }
        let count = record.crashes.len();
        let elsewhere = record.present().next().is_some() || record.owed.is_some();
        let name = self.vm_name(vm).to_owned();
        let event = LogEvent::new(Level::Warn, "vm.crashed")
            .with("vm", &name)
            .with("at", self.host_name(at))
            .with("times", count);
        self.tell(event);
        if !self.starts_what_crashed() || elsewhere {
            return;
        }
        if count > RESTARTS {
            self.vms.record_mut(vm).given_up = true;
            let event = LogEvent::new(Level::Alarm, "vm.crashes").with("vm", &name).with("times", count);
            self.alarm("vm.crashes", &name, event);
            self.remember_vm(vm, None);
            return self.judge_vm(vm);
        }
        let rest = match u32::try_from(count).unwrap_or(u32::MAX).checked_sub(2) {
            None => Millis(0),
            Some(before) => crate::hosts::doubled(REST, before, SPAN),
        };
        let since_look = ObservationId(self.next_observation);
        self.owe_as(vm, Owed { there: true, rest_until: now + rest, ..Owed::new(at, since_look) });
    }

    /// It is there again, by whoever's doing: a person has looked, or it was our own start.
    pub(crate) fn runs_again(&mut self, vm: VmId) {
        if std::mem::take(&mut self.vms.record_mut(vm).given_up) {
            let name = self.vm_name(vm).to_owned();
            self.clear_alarm("vm.crashes", &name);
            self.remember_vm(vm, self.vms.record(vm).remembered_at);
        }
    }
}
