//! A year of the 62-host lab with the daemon's own control, a look a minute: what it comes to, and what it costs.
//!
//! ```text
//! cargo run --release -p dormouse-sim --example year -- [days=365] [look=60] [seed=1] [policy=balanced] [KNOB=VALUE …]
//! ```
//! The lab keeps its calendar, closed on holidays. While it is open every third clone is worked with, from hour to hour
//! with another load; in the evening one in ten begins a computation that goes on into the night.

use dormouse_model::{MilliCpu, Millis, Mono, Policy, PolicyName};
use dormouse_sim::script::{Action, Timed};
use dormouse_sim::{NIGHT_CLUSTER, Options, Scenario, Sim};
use jiff::civil::{DateTime, Weekday};
use jiff::{Timestamp, ToSpan};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io::Write as _;

const HOLIDAYS: &str = "holiday 2026-01-06, 2026-04-03..2026-04-07, 2026-05-01, 2026-06-02, 2026-08-03..2026-08-23, \
                        2026-12-08, 2026-12-24..2027-01-06\n";
const START: DateTime = DateTime::constant(2026, 1, 12, 8, 0, 0, 0);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut days, mut look, mut seed) = (365_i64, 60_u64, 1_u64);
    let mut cluster = dormouse_model::text::parse(&format!("{NIGHT_CLUSTER}{HOLIDAYS}"))?;
    for arg in std::env::args().skip(1) {
        let (key, value) = arg.split_once('=').ok_or("arguments are KEY=VALUE")?;
        match key {
            "days" => days = value.parse()?,
            "look" => look = value.parse()?,
            "seed" => seed = value.parse()?,
            "policy" => {
                let known = PolicyName::ALL.into_iter().find(|name| name.as_str() == value);
                cluster.policy = Policy::named(known.ok_or("no such policy")?);
            }
            knob => cluster.policy.knobs.set(knob, value)?,
        }
    }
    let until = START.checked_add(days.days())?;
    let mut scenario = Scenario::from_cluster(cluster, START, until, seed);
    scenario.script.actions = workload(&scenario, START, days, seed)?;
    let mut options = Options::default();
    options.settings.observe_every = Millis::from_secs(look);
    let before = cpu_seconds()?;
    let result = Sim::new(&scenario, options).run();
    let spent = cpu_seconds()? - before;
    let mut out = std::io::stdout().lock();
    write!(out, "{}", result.figures)?;
    for violation in &result.violations {
        writeln!(out, "violation {violation}")?;
    }
    writeln!(out, "{days} days at a look every {look} s: {spent:.2} s of CPU")?;
    Ok(())
}

/// Who works with which clone, and when: by the seed alone.
fn workload(
    scenario: &Scenario,
    start: DateTime,
    days: i64,
    seed: u64,
) -> Result<Vec<Timed>, Box<dyn std::error::Error>> {
    let zone = &scenario.script.zone;
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut actions = vec![];
    let mut at = |time: DateTime, vm: usize, milli: u64| -> Result<(), Box<dyn std::error::Error>> {
        let instant: Timestamp = zone.to_timestamp(time)?;
        let span = instant.as_millisecond() - scenario.script.start.as_millisecond();
        let spec = &scenario.cluster.vms[vm];
        let action = Action::Load { vms: Some(vec![spec.uuid]), cpu: MilliCpu(milli) };
        if let Ok(span) = u64::try_from(span) {
            actions.push(Timed { at: Mono(span), action, text: format!("load {} {milli}m", spec.name) });
        }
        Ok(())
    };
    for day in 0..days {
        let date = start.date().checked_add(day.days())?;
        let noon = zone.to_timestamp(date.at(12, 0, 0, 0))?;
        let open =
            scenario.cluster.schedule.hour_of_week(noon).is_some() && date.weekday() != Weekday::Sunday;
        for vm in 0..scenario.cluster.vms.len() {
            if open && chance.next_u64() % 3 == 0 {
                let first = 9 + i8::try_from(chance.next_u64() % 3)?;
                let last = if date.weekday() == Weekday::Saturday { 13 } else { 19 };
                for hour in first..last {
                    let minute = i8::try_from(chance.next_u64() % 60)?;
                    at(date.at(hour, minute, 0, 0), vm, 50 + chance.next_u64() % 600)?;
                }
                at(date.at(last, 30, 0, 0), vm, 20)?;
            }
            if open && chance.next_u64() % 10 == 0 {
                let hours = 1 + i64::try_from(chance.next_u64() % 8)?;
                let begin = date.at(20, i8::try_from(chance.next_u64() % 60)?, 0, 0);
                at(begin, vm, 700)?;
                at(begin.checked_add(hours.hours())?, vm, 20)?;
            }
        }
    }
    actions.sort_by_key(|timed| timed.at);
    Ok(actions)
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: u64 = text.split(' ').next().ok_or("no time")?.parse()?;
    Ok(std::time::Duration::from_nanos(nanoseconds).as_secs_f64())
}
