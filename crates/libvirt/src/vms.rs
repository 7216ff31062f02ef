//! The VMs of one host, from one call for all of them and a few for those that do something.

use crate::ffi::{Connection, Domain, Error, ListFlags, Numbers, Stats};
use crate::xml;
use dormouse_model::{Devices, DomainState, Job, JobKind, Mib, MilliCpu, Millis, VmFacts};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use uuid::Uuid;
use virt_sys as sys;

/// More on one host is not a host.
const VMS_MAX: usize = 10_000;
/// A definition is read again after this; at once when the VM was started anew.
const XML_AGE: Duration = Duration::from_secs(60);

/// What is kept between two looks at one host.
#[derive(Debug, Default)]
pub(crate) struct Before {
    samples: HashMap<Uuid, Sample>,
    definitions: HashMap<Uuid, (u32, Instant, xml::Definition)>,
    /// Memory written per second, learnt in moves.
    dirty: HashMap<Uuid, u64>,
    /// Of this look: a job runs on them.
    moving: HashSet<Uuid>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Of the run that it was taken in.
    id: u32,
    nanos: u64,
    at: Instant,
}

/// What libvirt says of one host.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) vms: Vec<VmFacts>,
    /// Networks of libvirt's own that are active; `None`: it did not say.
    pub(crate) networks: Option<Vec<String>>,
    /// Its versions, in words.
    pub(crate) hypervisor: Option<String>,
}

pub(crate) fn look(connection: &Connection, before: &mut Before, shared: &[String]) -> Result<Said, Error> {
    let at = Instant::now();
    let all = connection.all_stats()?;
    if all.len() > VMS_MAX {
        return Err(Error::ours(format!("{} VMs on one host", all.len())));
    }
    let set = |flags| connection.list(flags).map(HashSet::<Uuid>::from_iter);
    let marks = Marks {
        persistent: set(ListFlags::PERSISTENT)?,
        autostart: set(ListFlags::AUTOSTART)?,
        saved: set(ListFlags::SAVED)?,
    };
    let mut vms = vec![];
    for stats in &all {
        // One that ended since the list was made is not there.
        if let Some(domain) = connection.find(stats.uuid)? {
            vms.push(facts(&domain, stats, at, before, &marks, shared)?);
        }
    }
    before.keep_samples(&all, at);
    for vm in std::mem::take(&mut before.moving) {
        before.samples.remove(&vm);
    }
    let there: HashSet<Uuid> = all.iter().map(|stats| stats.uuid).collect();
    before.samples.retain(|vm, _| there.contains(vm));
    before.definitions.retain(|vm, _| there.contains(vm));
    before.dirty.retain(|vm, _| there.contains(vm));
    vms.sort_by_key(|vm| vm.uuid);
    let networks = match connection.networks() {
        Ok(names) => Some(names),
        // Its networks are none where it has no driver for them.
        Err(error) if error.is_unsupported() => Some(vec![]),
        Err(error) => {
            tracing::debug!(%error, "libvirt does not say which networks are there");
            None
        }
    };
    Ok(Said { vms, networks, hypervisor: connection.versions() })
}

struct Marks {
    persistent: HashSet<Uuid>,
    autostart: HashSet<Uuid>,
    saved: HashSet<Uuid>,
}

fn facts(
    domain: &Domain<'_>,
    stats: &Stats,
    at: Instant,
    before: &mut Before,
    marks: &Marks,
    shared: &[String],
) -> Result<VmFacts, Error> {
    let odd = |what: &str| Error::ours(format!("VM {}: {what}", stats.uuid));
    let number = |name: &str| stats.numbers.get(name);
    let (code, reason) = (number("state.state"), number("state.reason"));
    let state =
        state(code.ok_or_else(|| odd("no state"))?, reason.unwrap_or(0), marks.saved.contains(&stats.uuid));
    let definition = before.definition(domain, stats, shared);
    let drives = definition.as_ref().map(|definition| definition.drives.clone()).unwrap_or_default();
    let (immovable, mut from_xml) = match definition {
        Ok(definition) => (definition.immovable.clone(), Some(definition)),
        // It cannot be judged, so it is left where it is. One odd VM does not hide the others.
        Err(why) => (Some(why), None),
    };
    let kib = number("balloon.maximum")
        .or(from_xml.as_ref().and_then(|xml| xml.mem_kib))
        .ok_or_else(|| odd("no memory size"))?;
    let vcpus = number("vcpu.current")
        .and_then(|count| u32::try_from(count).ok())
        .or(from_xml.as_ref().and_then(|xml| xml.vcpus));
    let devices = from_xml.as_mut().map_or_else(Devices::default, |xml| std::mem::take(&mut xml.devices));
    let vcpus = vcpus.filter(|count| (1..=4096).contains(count)).ok_or_else(|| odd("no processors"))?;
    if kib >= 1 << 50 {
        return Err(odd("memory beyond measure"));
    }
    let job = match state.is_present().then(|| job(domain)).transpose()?.flatten() {
        None if state.is_present() => block_job(domain, &drives)?,
        job => job,
    };
    // QEMU's copying counts among its processor time, but no VM needs it: neither this span nor the next begins with it.
    let moving = job.is_some();
    if moving {
        before.moving.insert(stats.uuid);
    }
    Ok(VmFacts {
        uuid: stats.uuid,
        name: stats.name.chars().take(256).collect(),
        state,
        vcpus,
        mem: Mib(kib.div_ceil(1024)),
        cpu: before.cpu(stats, at, vcpus).filter(|_| !moving),
        dirty_mib_s: before.dirty.get(&stats.uuid).copied().unwrap_or(0),
        job,
        persistent: marks.persistent.contains(&stats.uuid),
        autostart: marks.autostart.contains(&stats.uuid),
        crashed: has_crashed(code.unwrap_or(0), reason.unwrap_or(0)),
        immovable,
        devices,
    })
}

/// libvirt's state and reason, as far as they differ for us. What we do not know counts as a fault: left alone.
pub(crate) fn state(code: u64, reason: u64, saved: bool) -> DomainState {
    let code = sys::virDomainState::try_from(code).unwrap_or(sys::virDomainState::MAX);
    let reason = sys::virDomainPausedReason::try_from(reason).unwrap_or(sys::virDomainPausedReason::MAX);
    match code {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => DomainState::Running,
        sys::VIR_DOMAIN_PAUSED => match reason {
            sys::VIR_DOMAIN_PAUSED_MIGRATION
            | sys::VIR_DOMAIN_PAUSED_STARTING_UP
            | sys::VIR_DOMAIN_PAUSED_POSTCOPY => DomainState::PausedMigrating,
            sys::VIR_DOMAIN_PAUSED_IOERROR
            | sys::VIR_DOMAIN_PAUSED_WATCHDOG
            | sys::VIR_DOMAIN_PAUSED_CRASHED
            | sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED => DomainState::PausedFault,
            _ => DomainState::Paused,
        },
        sys::VIR_DOMAIN_SHUTDOWN => DomainState::ShuttingDown,
        sys::VIR_DOMAIN_SHUTOFF if saved => DomainState::Saved,
        sys::VIR_DOMAIN_SHUTOFF => DomainState::ShutOff,
        sys::VIR_DOMAIN_CRASHED => DomainState::Crashed,
        sys::VIR_DOMAIN_PMSUSPENDED => DomainState::Paused,
        _ => DomainState::PausedFault,
    }
}

/// It is off because it crashed, which is libvirt's own word and nobody's order.
fn has_crashed(code: u64, reason: u64) -> bool {
    sys::virDomainState::try_from(code).is_ok_and(|code| code == sys::VIR_DOMAIN_SHUTOFF)
        && sys::virDomainShutoffReason::try_from(reason)
            .is_ok_and(|reason| reason == sys::VIR_DOMAIN_SHUTOFF_CRASHED)
}

fn unseen(kind: JobKind) -> Job {
    Job { kind, elapsed: Millis(0), remaining: Mib(0), processed: Mib(0) }
}

/// A job on one of its drives: a copy, a merge of snapshots. While it lasts, libvirt moves the VM nowhere.
pub(crate) fn block_job(domain: &Domain<'_>, drives: &[String]) -> Result<Option<Job>, Error> {
    for drive in drives {
        match domain.has_block_job(drive) {
            Ok(true) => return Ok(Some(unseen(JobKind::Other))),
            Ok(false) => {}
            Err(error) if error.has_ended() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The job that runs on a present VM, ours or someone else's.
pub(crate) fn job(domain: &Domain<'_>) -> Result<Option<Job>, Error> {
    match domain.is_stuck() {
        Ok(true) => return Ok(Some(unseen(JobKind::Other))),
        Ok(false) => {}
        // A guest that goes down while it is looked at is nothing that its host could be blamed for.
        Err(error) if error.has_ended() => return Ok(None),
        Err(error) => return Err(error),
    }
    match domain.job(false) {
        Ok(numbers) if numbers.is_empty() => Ok(None),
        Ok(numbers) => Ok(Some(read_job(&numbers))),
        // Statistics of a move are told at its source only.
        Err(error) if error.is_unsupported_here() => Ok(Some(unseen(JobKind::MigrationIn))),
        // It ended between two questions, or this driver knows no jobs.
        Err(error) if error.has_ended() || error.is_unsupported() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn read_job(numbers: &Numbers) -> Job {
    let operation = numbers.get("operation").and_then(|code| sys::virDomainJobOperation::try_from(code).ok());
    let mib = |name: &str| Mib(numbers.get(name).unwrap_or(0).div_ceil(1 << 20));
    Job {
        kind: match operation {
            Some(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT) => JobKind::MigrationOut,
            Some(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN) => JobKind::MigrationIn,
            _ => JobKind::Other,
        },
        elapsed: Millis(numbers.get("time_elapsed").unwrap_or(0)),
        remaining: mib("data_remaining"),
        processed: mib("data_processed"),
    }
}

/// Memory that the guest writes per second, from the numbers of a running move.
pub(crate) fn dirty_rate(numbers: &Numbers) -> Option<u64> {
    let (pages, size) = (numbers.get("memory_dirty_rate")?, numbers.get("memory_page_size").unwrap_or(4096));
    pages.checked_mul(size).map(|bytes| bytes.div_ceil(1 << 20))
}

fn nanos(stats: &Stats) -> Option<u64> {
    stats.numbers.get("cpu.time").filter(|_| stats.id != u32::MAX)
}

impl Before {
    pub(crate) fn learn_dirty(&mut self, vm: Uuid, mib_s: u64) {
        self.dirty.insert(vm, mib_s);
    }

    fn sample_of(&self, stats: &Stats) -> Option<Sample> {
        self.samples.get(&stats.uuid).copied().filter(|sample| sample.id == stats.id)
    }

    fn keep_samples(&mut self, all: &[Stats], at: Instant) {
        for stats in all {
            if let Some(nanos) = nanos(stats) {
                self.samples.insert(stats.uuid, Sample { id: stats.id, nanos, at });
            }
        }
    }

    /// Processor use since the last look, never above what its processors can take; `None` at the first look at a run.
    fn cpu(&self, stats: &Stats, now: Instant, vcpus: u32) -> Option<MilliCpu> {
        let limit = u64::from(vcpus) * 1000;
        let (nanos, sample) = (nanos(stats)?, self.sample_of(stats)?);
        let span = now.saturating_duration_since(sample.at).as_nanos().max(1);
        let used = u128::from(nanos.saturating_sub(sample.nanos)) * 1000 / span;
        Some(MilliCpu(u64::try_from(used).unwrap_or(limit).min(limit)))
    }

    fn definition(
        &mut self,
        domain: &Domain<'_>,
        stats: &Stats,
        shared: &[String],
    ) -> Result<xml::Definition, String> {
        if let Some((id, read, definition)) = self.definitions.get(&stats.uuid)
            && *id == stats.id
            && read.elapsed() < XML_AGE
        {
            return Ok(definition.clone());
        }
        let text = domain.xml(false).map_err(|error| error.to_string())?;
        let definition = xml::read(&text, shared)?;
        self.definitions.insert(stats.uuid, (stats.id, Instant::now(), definition.clone()));
        Ok(definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_differ_for_us() {
        for (code, reason, saved, expected) in [
            (1, 1, false, DomainState::Running),
            (3, 1, false, DomainState::Paused),
            (3, 2, false, DomainState::PausedMigrating),
            (3, 11, false, DomainState::PausedMigrating),
            (3, 5, false, DomainState::PausedFault),
            (3, 99, false, DomainState::Paused),
            (4, 0, false, DomainState::ShuttingDown),
            (5, 0, false, DomainState::ShutOff),
            (5, 0, true, DomainState::Saved),
            (6, 0, false, DomainState::Crashed),
            (u64::MAX, 0, false, DomainState::PausedFault),
        ] {
            assert_eq!(state(code, reason, saved), expected, "{code}/{reason}");
        }
    }

    #[test]
    fn only_libvirts_own_word_is_a_crash() {
        // Shut off (5): 1 from within, 2 by an order, 3 crashed, 8 by its daemon. State 6 is a crash kept to be looked at.
        let crashed: Vec<u64> = (0..10).filter(|reason| has_crashed(5, *reason)).collect();
        assert_eq!(crashed, [3]);
        assert!(!has_crashed(6, 0) && !has_crashed(1, 3));
    }

    #[test]
    fn processor_use_is_a_difference_within_one_run() {
        let vm = Uuid::from_u128(7);
        let at = |id, nanos| Stats {
            uuid: vm,
            name: String::new(),
            id,
            numbers: Numbers::of([("cpu.time", nanos)]),
        };
        let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(10));
        let mut before = Before::default();
        before.keep_samples(&[at(3, 5_000_000_000)], start);
        let cpu = |id, nanos| before.cpu(&at(id, nanos), later, 2).map(|cpu| cpu.0);
        assert!(cpu(3, 7_500_000_000).is_some_and(|cpu| (249..=250).contains(&cpu)));
        assert_eq!(cpu(3, u64::MAX), Some(2000), "a nonsense is capped");
        assert_eq!(cpu(3, 1), Some(0), "a clock that went back");
        assert_eq!(cpu(4, 900_000_000), None, "another run");
    }
}
