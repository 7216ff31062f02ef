//! Jobs of others on a VM: a backup, a snapshot, a block copy. While one runs its VM stays where it is and its host stays
//! on; one that does not end is told, since somebody may have forgotten it (fault V08).
//!
//! Never ends a job.

use crate::controller::Controller;
use crate::{Level, LogEvent};
use dormouse_model::{Millis, VmId};

/// A backup that takes longer is worth a look.
const LONG: Millis = Millis::from_mins(4 * 60);

impl Controller {
    /// A look is over that may have shown something new of this VM.
    pub(crate) fn note_job(&mut self, id: VmId) {
        let now = self.now.mono;
        let record = self.vms.record(id);
        let at = record.present().map(|(host, _)| host).next();
        let long = record.job_since.filter(|since| now.since(*since) >= LONG).zip(at);
        if long.is_some() == record.job_told {
            return;
        }
        self.vms.record_mut(id).job_told = long.is_some();
        let name = self.vm_name(id).to_owned();
        match long {
            Some((since, host)) => {
                let event = LogEvent::new(Level::Alarm, "vm.job-long")
                    .with("vm", &name)
                    .with("uuid", self.vm_uuid(id))
                    .with("host", self.host_name(host))
                    .with("since", now.since(since));
                self.alarm("vm.job-long", &name, event);
            }
            None => self.clear_alarm("vm.job-long", &name),
        }
    }
}
