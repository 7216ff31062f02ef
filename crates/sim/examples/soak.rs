//! A week of load with faults in the 62-host lab: what the manager and its pretend world hold in memory at each midnight.
//!
//! ```text
//! cargo run --release -p dormouse-sim --example soak -- [days=18] [seed=1]
//! ```
//! Every hour something breaks and is healed, and people start what went down with it; by day every third clone is worked
//! with. The manager runs all the while, since a restart would let go of what it gathered. Of the past it keeps hours for ten
//! days and a half; once these are full nothing may grow: the run fails when a later midnight holds a twentieth more
//! than the eleventh. What this program itself records for its log is counted apart; what the judges of the rules note of
//! each step is not, some 40 KiB a day here.

use dormouse_model::{HostId, MilliCpu, Millis, Mono};
use dormouse_sim::script::{Action, ByHand, Timed};
use dormouse_sim::{Fault, NIGHT_CLUSTER, Options, Scenario, Sim};
use jiff::ToSpan;
use jiff::civil::DateTime;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

const START: DateTime = DateTime::constant(2026, 1, 12, 0, 0, 0, 0);
const DAY: Millis = Millis::from_mins(24 * 60);
const MINUTE: u64 = 60_000;
/// Then all that is kept of the past is full.
const FULL: usize = 11;

/// Counts what is allocated and not given back.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut days, mut seed) = (18_u64, 1_u64);
    for arg in std::env::args().skip(1) {
        match arg.split_once('=') {
            Some(("days", value)) => days = value.parse()?,
            Some(("seed", value)) => seed = value.parse()?,
            _ => return Err("arguments are days=N and seed=N".into()),
        }
    }
    if days <= FULL as u64 {
        return Err(
            format!("{FULL} days only fill what is kept of the past: days={} and more", FULL + 1).into()
        );
    }
    let cluster = dormouse_model::text::parse(NIGHT_CLUSTER)?;
    let until = START.checked_add(i64::try_from(days)?.days())?;
    let mut scenario = Scenario::from_cluster(cluster, START, until, seed);
    scenario.script.actions = trouble(&scenario, days, seed);
    let lines = scenario.script.actions.len();
    let mut sim = Sim::new(&scenario, Options::default());
    let mut out = std::io::stdout().lock();
    let mut held = vec![];
    for day in 1..=days {
        sim.step_until(Mono(day * DAY.0 - MINUTE));
        let recorded = sim.recorded_bytes();
        let live = LIVE.load(Ordering::Relaxed).saturating_sub(recorded);
        writeln!(out, "day {day:2}: {:6} KiB held, {:6} KiB of log", live / 1024, recorded / 1024)?;
        held.push(live);
    }
    let result = sim.result();
    write!(out, "{}", result.figures)?;
    for violation in &result.violations {
        writeln!(out, "violation {violation}")?;
    }
    let (full, after) = (held[FULL - 1], held[FULL..].iter().copied().max().unwrap_or(0));
    writeln!(
        out,
        "{lines} loads, faults and repairs in {days} days; {full} bytes at midnight {FULL}, {after} at most at a later one"
    )?;
    if after > full + full / 20 || !result.violations.is_empty() {
        return Err("memory grows, or a rule was broken".into());
    }
    Ok(())
}

/// Load by day, and a fault now and then, by the seed alone.
fn trouble(scenario: &Scenario, days: u64, seed: u64) -> Vec<Timed> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |n: u64| chance.next_u64() % n;
    let (hosts, vms) = (&scenario.cluster.hosts, &scenario.cluster.vms);
    let mut actions = vec![];
    let mut at = |ms: u64, text: String, action: Action| actions.push(Timed { at: Mono(ms), action, text });
    for day in 0..days {
        let midnight = day * DAY.0;
        for vm in vms {
            if day % 7 < 5 && below(3) == 0 {
                for hour in 9..19 {
                    let (when, cpu) = (midnight + (hour * 60 + below(60)) * MINUTE, 50 + below(600));
                    let load = Action::Load { vms: Some(vec![vm.uuid]), cpu: MilliCpu(cpu) };
                    at(when, format!("load {} {cpu}m", vm.name), load);
                }
                let quiet = Action::Load { vms: Some(vec![vm.uuid]), cpu: MilliCpu(20) };
                at(midnight + 1_170 * MINUTE, format!("load {} 20m", vm.name), quiet);
            }
        }
        for hour in 0..23 {
            let when = midnight + (hour * 60 + below(40)) * MINUTE;
            let host = HostId(u32::try_from(below(hosts.len() as u64)).unwrap_or(0));
            let span = Some(Millis((1 + below(10)) * MINUTE));
            let fault = match below(9) {
                0 => Fault::WakeLost { host, times: Some(2) },
                1 => Fault::BootSlow { host, by: Millis(3 * MINUTE) },
                2 => Fault::Silent { hosts: vec![host], span, oneway: false },
                3 => Fault::MoveFails { vm: None, times: Some(2) },
                4 => Fault::LibvirtFrozen { host, span },
                5 => Fault::StoreFull { span },
                6 => Fault::ReplyLost { host, times: Some(1) },
                7 => Fault::LeaseLost { span: Millis(30_000) },
                _ => Fault::Reboots { host },
            };
            at(when, format!("fault {fault:?}"), Action::Fault(fault));
            at(when + 15 * MINUTE, "heal".to_owned(), Action::Heal(None));
            for vm in vms {
                let start = Action::User(ByHand::Start(vm.uuid));
                at(when + 19 * MINUTE, format!("user start {}", vm.name), start);
            }
        }
    }
    actions.sort_by_key(|timed| timed.at);
    actions
}
