//! A made-up teaching lab: who sits at which PC when, and what its VM asks for.
//!
//! A timetable for each half-year, people who walk in between lectures and in the evening, short Saturdays, shut
//! Sundays, exam weeks without lectures and with full rooms, and a few who log in from afar at any hour. All of it
//! comes from one seed, without floats: the same seed gives the same bytes, and a day is the same in whichever span it
//! is asked for. Not made up: holidays, DST (each day has 24 hours on its own clock), anything that depends on power.

mod people;
#[cfg(test)]
mod tests;
mod timetable;

pub use people::{Session, Visit};

use super::{Trace, TraceVm};
use dormouse_model::{Cluster, MilliCpu};
use jiff::ToSpan as _;
use jiff::civil::Date;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::ops::RangeInclusive;
use timetable::Timetable;

/// What a lab is to be made up from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabHours {
    pub start: Date,
    pub days: u32,
    /// Days without lectures on which everybody studies.
    pub exams: Vec<RangeInclusive<Date>>,
    pub seed: u64,
}

/// Minutes of one sample.
const STEP_MINUTES: u32 = 5;
const DAY_MINUTES: u32 = 24 * 60;
/// A leap year.
const DAYS_MAX: u32 = 366;

/// So much of its capacity a VM uses that nobody uses, in thousandths.
const IDLE: RangeInclusive<u32> = 10..=30;
/// Now and then somebody compiles: so often, in ten-thousandths of the samples, and so much.
const BURSTS: u32 = 300;
const BURST: RangeInclusive<u32> = 800..=1000;
/// Around its mean, in percent, a session asks for this.
const WAVER: RangeInclusive<u32> = 50..=150;

impl LabHours {
    /// Who uses which VM when, in order of days and VMs.
    #[must_use]
    pub fn sessions(&self, vms: usize) -> Vec<Session> {
        let mut sessions = vec![];
        for (day, date) in self.dates() {
            let mut chance = Chance::of(self.seed, Stream::Day(date));
            let timetable = Timetable::of(self.seed, date);
            let exams = self.exams.iter().any(|span| span.contains(&date));
            sessions.extend(people::day(day * DAY_MINUTES, date, &timetable, exams, vms, &mut chance));
        }
        sessions
    }

    /// What these VMs ask for. Names and sizes are taken as they are.
    #[must_use]
    pub fn trace(&self, vms: Vec<TraceVm>) -> Trace {
        let steps = Trace::DAY_STEPS * self.dates().count();
        let mut shares = vec![0; steps * vms.len()];
        let mut idle = Chance::of(self.seed, Stream::Idle);
        for row in shares.chunks_mut(steps.max(1)) {
            row.fill(idle.within(IDLE));
        }
        let mut chance = None;
        for session in self.sessions(vms.len()) {
            let day = session.from / DAY_MINUTES;
            let date = self.start.saturating_add(i64::from(day).days());
            // A stream for each day, so that it does not matter which days were made up before it.
            let (_, chance) = match &mut chance {
                Some((of, chance)) if *of == day => (*of, chance),
                other => {
                    let (of, chance) = other.insert((day, Chance::of(self.seed, Stream::Load(date))));
                    (*of, chance)
                }
            };
            let row = session.vm * steps;
            for step in session.from / STEP_MINUTES..session.to.div_ceil(STEP_MINUTES) {
                let (from, to) = (step * STEP_MINUTES, (step + 1) * STEP_MINUTES);
                let minutes = session.to.min(to) - session.from.max(from);
                let asked = if chance.hits(BURSTS) {
                    chance.within(BURST)
                } else {
                    session.mean * chance.within(WAVER) / 100
                };
                let share = &mut shares[row + step as usize];
                *share += asked * minutes / STEP_MINUTES;
            }
        }
        let shares: Vec<u16> =
            shares.iter().map(|share| u16::try_from((*share).min(1000)).expect("at most 1000")).collect();
        let name = format!("lab-hours-{}-{}", self.seed, self.start);
        Trace::new(name, Some(self.start), vms, &shares)
    }

    fn dates(&self) -> impl Iterator<Item = (u32, Date)> {
        let days = 0..self.days.min(DAYS_MAX);
        days.map_while(|day| Some((day, self.start.checked_add(i64::from(day).days()).ok()?)))
    }
}

/// The VMs of a cluster, as a trace has them.
#[must_use]
pub fn vms_of(cluster: &Cluster) -> Vec<TraceVm> {
    let vm = |vm: &dormouse_model::VmSpec| TraceVm {
        name: vm.name.clone(),
        vcpus: vm.vcpus,
        cpu: MilliCpu(u64::from(vm.vcpus) * 1000),
        mem: vm.mem,
        used: None,
    };
    cluster.vms.iter().map(vm).collect()
}

/// What a draw is for. Each has a stream of its own, so that more draws of one kind do not move the others.
enum Stream {
    Idle,
    Timetable { half_year: u32 },
    Day(Date),
    Load(Date),
}

/// Chance from a seed, in whole numbers.
struct Chance(ChaCha8Rng);

impl Chance {
    fn of(seed: u64, stream: Stream) -> Self {
        let number = |date: Date| {
            let fields = [u32::from(date.year().unsigned_abs()), date.day_of_year().unsigned_abs().into()];
            u64::from(fields[0]) << 16 | u64::from(fields[1])
        };
        let (kind, which) = match stream {
            Stream::Idle => (0, 0),
            Stream::Timetable { half_year } => (1, u64::from(half_year)),
            Stream::Day(date) => (2, number(date)),
            Stream::Load(date) => (3, number(date)),
        };
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        chance.set_stream(kind << 48 | which);
        Self(chance)
    }

    /// From 0 to one less than `count`.
    fn below(&mut self, count: u32) -> u32 {
        u32::try_from((u64::from(self.0.next_u32()) * u64::from(count)) >> 32).expect("below a u32")
    }

    fn within(&mut self, span: RangeInclusive<u32>) -> u32 {
        span.start() + self.below(span.end() - span.start() + 1)
    }

    /// True so many times in ten thousand.
    fn hits(&mut self, in_10000: u32) -> bool {
        self.below(10_000) < in_10000
    }
}
