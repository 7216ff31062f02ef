//! A look at one host: the held channel and libvirt at the same time, put together into one answer.

use crate::answer::{Answer, LIST_MAX as LINKS_MAX, Reader, Storage, Ticks};
use crate::vms::Said;
use crate::worker::CallError;
use crate::{HostCpu, Libvirt};
use async_trait::async_trait;
use dormouse_driver::{Channel, Clock, Probe, Remote, Script};
use dormouse_model::{CheckFailure, HostFacts, HostSpec, Mib, MilliCpu, Millis, Permille, ProbeError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

pub(crate) const PROBE: Script = Script {
    name: "probe",
    text: concat!(
        include_str!("../../driver/src/checks.sh"),
        include_str!("tls.sh"),
        include_str!("probe.sh")
    ),
};

/// The first look at a host measures its processor time over this.
const FIRST_SAMPLE: Duration = Duration::from_millis(250);

/// The held channel to one host, and what it said last.
#[derive(Debug, Default)]
pub(crate) struct Held {
    channel: Option<Channel>,
    ticks: Option<Ticks>,
}

#[async_trait]
impl Probe for Libvirt {
    async fn look(&self, host: &HostSpec, deadline: Millis) -> Result<HostFacts, ProbeError> {
        let asked = Instant::now();
        let until = asked + Duration::from_millis(deadline.0);
        // libvirt gets less: when it hangs, the rest of the answer is still in time.
        let libvirt_until = asked + Duration::from_millis(deadline.0 * 3 / 4);
        let (answer, vms) =
            tokio::join!(timeout_at(until, self.ask(host, deadline)), self.vms(host, libvirt_until));
        let (answer, ticks, offset) = answer.unwrap_or(Err(ProbeError::Timeout(deadline)))?;
        self.host(&host.name).tls.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&answer.tls);
        Ok(self.put_together(&answer, ticks, offset, vms))
    }

    async fn forget(&self, host: &str) {
        self.forget_host(host);
    }
}

impl Libvirt {
    /// Asks over the held channel; opens one if there is none or the old one turns out to be dead.
    async fn ask(&self, host: &HostSpec, deadline: Millis) -> Result<(Answer, Ticks, i64), ProbeError> {
        let held = Arc::clone(&self.host(&host.name).held);
        let mut held = held.lock().await;
        // Taken out: a look that is given up in the middle leaves no half-read channel behind.
        if let Some(mut channel) = held.channel.take() {
            match self.converse(&mut channel).await {
                Ok((answer, offset)) => {
                    let before = held.ticks.replace(answer.ticks).unwrap_or(answer.ticks);
                    held.channel = Some(channel);
                    return Ok((answer, before, offset));
                }
                Err(ProbeError::Unreachable(why)) => {
                    tracing::debug!(host = host.name, why, "the held channel is gone")
                }
                Err(other) => return Err(other),
            }
        }
        held.ticks = None;
        let mut channel = self.links().open(host, PROBE, &[], deadline).await?;
        for path in &self.settings.shared {
            channel.say(&format!("path {path}")).await.map_err(|error| lost(&error))?;
        }
        let (first, _) = self.converse(&mut channel).await?;
        tokio::time::sleep(FIRST_SAMPLE).await;
        let (answer, offset) = self.converse(&mut channel).await?;
        held.ticks = Some(answer.ticks);
        held.channel = Some(channel);
        Ok((answer, first.ticks, offset))
    }

    /// One question, one answer, and how far the host's clock is from ours.
    async fn converse(&self, channel: &mut Channel) -> Result<(Answer, i64), ProbeError> {
        let malformed = |why: String| ProbeError::Malformed(why);
        let asked = self.clock.wall().as_millisecond();
        channel.say("look").await.map_err(|error| lost(&error))?;
        let mut reader = Reader::default();
        let mut told = asked;
        loop {
            match channel.hear().await {
                Ok(Some(line)) if line == "end" => break,
                Ok(Some(line)) => {
                    if line.starts_with("time ") {
                        told = self.clock.wall().as_millisecond();
                    }
                    reader.line(&line).map_err(malformed)?;
                }
                Ok(None) => {
                    return Err(ProbeError::Unreachable(
                        "the connection ended in the middle of an answer".into(),
                    ));
                }
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    return Err(malformed(error.to_string()));
                }
                Err(error) => return Err(lost(&error)),
            }
        }
        let answer = reader.end(self.settings.shared.len()).map_err(malformed)?;
        let offset = answer.time_ms - (asked + (told - asked) / 2);
        Ok((answer, offset))
    }

    async fn vms(&self, host: &HostSpec, until: Instant) -> Result<Said, CallError> {
        let worker = self.worker(host, until).await?;
        let before = Arc::clone(&self.host(&host.name).before);
        let shared = Arc::clone(&self.shared);
        worker
            .call(until, move |connection| {
                let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
                crate::vms::look(connection, &mut before, &shared)
            })
            .await
    }

    fn put_together(
        &self,
        answer: &Answer,
        before: Ticks,
        offset: i64,
        said: Result<Said, CallError>,
    ) -> HostFacts {
        let mut failures = vec![];
        let Said { vms, networks, hypervisor } = said.unwrap_or_else(|error| {
            failures.push(CheckFailure::Libvirt(error.to_string()));
            Said::default()
        });
        for (path, state) in self.settings.shared.iter().zip(&answer.storage) {
            let why = match state {
                Storage::Ok => continue,
                Storage::Missing => "nothing is mounted there",
                Storage::Hung => "it does not answer",
                Storage::Unreadable => "it cannot be read",
            };
            failures.push(CheckFailure::Storage(format!("{path}: {why}")));
        }
        failures.extend(unlocked(self.settings.require_disk_lock, answer.disk_lock));
        if offset.unsigned_abs() > self.settings.clock_offset.0 {
            failures.push(CheckFailure::Clock(offset));
        }
        let guests = vms.iter().filter_map(|vm| vm.cpu).sum::<MilliCpu>();
        HostFacts {
            machine: answer.machine,
            boot: answer.boot,
            uptime: answer.uptime,
            hypervisor,
            cpus: answer.cpus,
            mem: Mib(answer.mem_kib / 1024),
            mem_available: Mib(answer.available_kib / 1024),
            load15: Permille(answer.load15 / u64::from(answer.cpus)),
            cpu_used: match self.settings.cpu {
                HostCpu::Measured => used(before, answer.ticks, answer.cpus),
                HostCpu::Guests => guests,
            },
            clock_offset_ms: offset,
            macs: answer.macs.clone(),
            wake_on_lan: answer.wake_on_lan,
            networks: networks.map_or_else(Vec::new, |names| all_networks(&answer.links, names)),
            disk_lock: answer.disk_lock,
            people_idle: answer.people_idle.clone(),
            blocks: answer.blocks.clone(),
            epoch: answer.epoch,
            failures,
            vms,
        }
    }
}

/// In one list, as VMs ask for them. More than anybody has is not a list of networks: nothing is said then.
fn all_networks(links: &[String], names: Vec<String>) -> Vec<String> {
    const MOST: usize = 512;
    let own = names.into_iter().map(|name| format!("network/{name}"));
    let mut all: Vec<String> = links.iter().cloned().chain(own).collect();
    all.sort_unstable();
    all.dedup();
    // The list of links may have been cut.
    if links.len() >= LINKS_MAX || all.len() > MOST { vec![] } else { all }
}

/// Where disk locks are required (fault S05), a host that has none, or does not say, takes no VM.
fn unlocked(required: bool, locks: Option<bool>) -> Option<CheckFailure> {
    (required && locks != Some(true))
        .then(|| CheckFailure::DiskLock("`lock_manager` is not set in its qemu.conf".to_owned()))
}

/// Processors in use between two answers.
fn used(before: Ticks, now: Ticks, cpus: u32) -> MilliCpu {
    let all = now.all.saturating_sub(before.all);
    let busy = now.busy.saturating_sub(before.busy).min(all);
    let capacity = u128::from(cpus) * 1000;
    let share = u128::from(busy) * capacity / u128::from(all.max(1));
    MilliCpu(u64::try_from(share).unwrap_or(u64::MAX))
}

fn lost(error: &std::io::Error) -> ProbeError {
    ProbeError::Unreachable(format!("the connection broke: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_disk_locks_is_refused_only_where_they_are_required() {
        for locks in [None, Some(false), Some(true)] {
            assert_eq!(unlocked(false, locks), None);
        }
        assert_eq!(unlocked(true, Some(true)), None);
        for locks in [None, Some(false)] {
            let why = unlocked(true, locks).expect("refused").to_string();
            assert_eq!(why, "it locks no disks: `lock_manager` is not set in its qemu.conf");
        }
    }

    #[test]
    fn processor_use_is_the_share_of_ticks_that_were_busy() {
        let at = |busy, all| Ticks { busy, all };
        assert_eq!(used(at(100, 1000), at(150, 1200), 4), MilliCpu(1000));
        assert_eq!(used(at(100, 1000), at(100, 1000), 4), MilliCpu(0));
        assert_eq!(used(at(100, 1000), at(50, 900), 4), MilliCpu(0));
    }
}
