//! What VMs asked for over days: one sample of demand for each VM and step.
//!
//! A [`Trace`] is read from a file that somebody measured (PlanetLab, Bitbrains) or made up from a seed
//! ([`LabHours`]). It says what the VMs want and nothing of where they run: placing them is the business of whoever
//! replays it. Nothing here opens a file: bytes come in as a reader, with the name to call it by in errors. What is in
//! a file is not trusted; it is counted before room is made for it. The formats are told in `docs/traces.md`.

mod csv;
mod error;
mod lab_hours;
mod lines;
mod meta;
#[cfg(test)]
mod tests;

pub use error::TraceError;
pub use lab_hours::{LabHours, Session, Visit, vms_of};

use dormouse_model::{Mib, MilliCpu, Millis, Permille};
use jiff::ToSpan as _;
use jiff::civil::Date;

/// VMs and what they asked for, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What to call it: the file's name without its endings. It may hold anything but control characters.
    pub name: String,
    /// The day it begins on, at midnight, where that is known.
    pub start: Option<Date>,
    /// In the order of the file.
    pub vms: Vec<TraceVm>,
    /// One step after the other, and in each step one VM after the other: thousandths of the VM's capacity.
    shares: Vec<u16>,
}

/// One VM of a trace. All sizes may be 0: archives hold rows of VMs that were gone by the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceVm {
    /// Unique within the trace.
    pub name: String,
    pub vcpus: u32,
    /// What it may use at most. 1 MIPS, or 1 MHz, counts as a thousandth of a core.
    pub cpu: MilliCpu,
    /// What it was given, which fills hosts.
    pub mem: Mib,
    /// What it was seen to touch of that, where somebody measured it.
    pub used: Option<MemUsed>,
}

/// Memory in use over the whole trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemUsed {
    pub mean: Mib,
    pub p95: Mib,
}

impl TraceVm {
    /// A name that CSV can hold without quoting, which neither reading nor writing does.
    #[must_use]
    pub fn has_plain_name(&self) -> bool {
        is_plain(&self.name)
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_control() || matches!(c, '"' | ','))
}

impl Trace {
    /// The time that one sample stands for.
    pub const STEP: Millis = Millis::from_secs(300);
    /// Steps of a day.
    pub const DAY_STEPS: usize = 288;

    /// `shares` holds the first VM's samples, then the second's, and so on.
    fn new(name: String, start: Option<Date>, vms: Vec<TraceVm>, by_vm: &[u16]) -> Self {
        let steps = by_vm.len().checked_div(vms.len()).unwrap_or(0);
        assert_eq!(by_vm.len(), steps * vms.len(), "each VM has as many samples as the others");
        let mut shares = Vec::with_capacity(by_vm.len());
        for step in 0..steps {
            shares.extend(by_vm.iter().skip(step).step_by(steps));
        }
        Self { name, start, vms, shares }
    }

    #[must_use]
    pub fn steps(&self) -> usize {
        self.shares.len().checked_div(self.vms.len()).unwrap_or(0)
    }

    /// What each VM asks for in this step, in thousandths of its capacity.
    #[must_use]
    pub fn shares(&self, step: usize) -> &[u16] {
        &self.shares[step * self.vms.len()..][..self.vms.len()]
    }

    #[must_use]
    pub fn share(&self, step: usize, vm: usize) -> Permille {
        Permille(u64::from(self.shares(step)[vm]))
    }

    /// What each VM asks for in this step; a part of a thousandth of a core counts as a whole one.
    pub fn demands(&self, step: usize) -> impl ExactSizeIterator<Item = MilliCpu> {
        let asked = |(share, vm): (&u16, &TraceVm)| MilliCpu((vm.cpu.0 * u64::from(*share)).div_ceil(1000));
        self.shares(step).iter().zip(&self.vms).map(asked)
    }

    /// What all VMs ask for together in this step.
    #[must_use]
    pub fn demand(&self, step: usize) -> MilliCpu {
        self.demands(step).sum()
    }

    /// Cut at midnight, so that each day can be replayed by itself. The last may be short.
    pub fn days(&self) -> impl Iterator<Item = Self> {
        let count = self.steps().div_ceil(Self::DAY_STEPS);
        // The first day's date, which a name often ends with, would be wrong for the others.
        let stem = csv::without_date(&self.name).to_owned();
        (0..count).map(move |day| {
            if count == 1 {
                return self.clone();
            }
            let days = i32::try_from(day).unwrap_or(i32::MAX);
            let start = self.start.and_then(|start| start.checked_add(days.days()).ok());
            let name = match start {
                Some(date) => format!("{stem} {}", date.strftime("%a %F")),
                None => format!("{} day {}", self.name, day + 1),
            };
            let cells = Self::DAY_STEPS * self.vms.len();
            let end = self.shares.len().min((day + 1) * cells);
            Self { name, start, vms: self.vms.clone(), shares: self.shares[day * cells..end].to_vec() }
        })
    }
}
