//! One night with real hosts and VMs: the lab closes, the guests are packed, the emptied hosts go to sleep; a burst of
//! load wakes one; before opening all are woken and the guests spread again. The calendar's clock runs faster than life
//! (`time.scale`), the manager is `dormouse run` on a config file, and what is reported is the lab's own truth.

use super::manager::Manager;
use super::record::{Record, tenths};
use super::report::NightReport;
use super::{Steps, failed};
use crate::cli::{Ctx, Failure, Format};
use dormouse_lab::{Lab, LabSpec, Load, Power, Progress};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Calendar: the night begins so long before closing that by then the guests have settled after their boot and every one
/// has been watched for `window.sleep` (its first sample is the second look's); it ends a quarter of an hour after opening.
const BEGINS: &str = "2026-11-23T17:15:00Z";
const NIGHT_S: u32 = 16 * 60 * 60;
const CLOSES_S: u32 = 150 * 60;
const OPENS_S: u32 = (15 * 60 + 45) * 60;
/// Real seconds of a night: so much, and so much more for each host.
const REAL_S: u32 = 200;
const REAL_S_PER_HOST: u32 = 7;
/// Hosts sleep and nothing has been done for so long: packed.
const STILL: Duration = Duration::from_secs(12);
const BURST_S: u32 = 25;
/// A burst that woke nobody is tried again, harder: how much a guest really burns depends on the machine.
const BURSTS_MAX: usize = 3;
const BURST_EVERY: Duration = Duration::from_secs(35);
/// Moves at once: two cores emulate both ends of each.
const MOVES_ALL: u32 = 4;
const GAPS_SHOWN: usize = 5;
const SAMPLE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hosts, and as many guests
    #[arg(long, default_value_t = 10)]
    hosts: u16,
    /// Guests, if not as many as hosts
    #[arg(long)]
    guests: Option<u16>,
    /// text or json
    #[arg(long, default_value = "text")]
    format: Format,
    /// kill -9 the manager so often, at moments drawn from --seed
    #[arg(long, default_value_t = 0)]
    kill_manager: u32,
    /// For what is drawn by chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many hosts may die at once and their VMs still fit on the rest
    #[arg(long, default_value_t = 1)]
    failover: u32,
    /// The lab's id
    #[arg(long, default_value = "night")]
    id: String,
    /// Leave the lab up afterwards, to look at it
    #[arg(long)]
    keep: bool,
}

/// What follows from the size of the lab: two real cores play them all.
struct Scale {
    time: u32,
    /// Thousandths of a core that a host's guests need when it is full and nothing happens.
    quiet_milli: u32,
}

impl Scale {
    fn of(lab: &LabSpec) -> Self {
        Self {
            time: NIGHT_S / (REAL_S + REAL_S_PER_HOST * u32::from(lab.hosts)),
            // Measured: each wake-up of an idle guest costs about 1 ms of a core under emulation; 5 for the rest.
            quiet_milli: 8 * (1000 / lab.tick_ms.max(1) + 5),
        }
    }

    fn real(&self, calendar_s: u32) -> Duration {
        Duration::from_millis(u64::from(calendar_s) * 1000 / u64::from(self.time))
    }

    /// A busy guest: two of them on one host, with a quiet one beside them, are more than `load.high`, and one alone has
    /// room under `cpu.target`. Measured: under emulation a guest burns two thirds of what it is asked to.
    fn burst_percent(&self, times: u32) -> u8 {
        u8::try_from((self.quiet_milli * times / 5).clamp(5, 100)).unwrap_or(100)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let interrupted = on_interrupt()?;
    let mut steps = Steps::start();
    let mut spec = LabSpec::new(args.id.clone(), args.hosts, args.guests.unwrap_or(args.hosts));
    let scale = Scale::of(&spec);
    spec.time_scale = scale.time;
    spec.cluster_lines = cluster_lines(&scale, args.failover);
    let lab = Lab::up(spec, &mut steps).map_err(|error| failed(&error))?;
    let result = night(&lab, args, &scale, &interrupted, &mut steps);
    if args.keep {
        steps.step(&format!("the lab stays up: dormouse lab down --id {}", args.id));
    } else {
        steps.step("removing the lab");
        let report = lab.down().map_err(|error| failed(&error))?;
        if !report.left.is_empty() {
            return Err(
                Failure::new("some of the lab could not be removed").because_of(report.left.join("; "))
            );
        }
    }
    drop(steps);
    let report = result?;
    match args.format {
        Format::Text => ctx.print(&report.text())?,
        Format::Json => ctx.print_json(&report)?,
    }
    match report.violations.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} things happened that must not, or did not that must"))),
    }
}

/// Calendar and policy of the night. Thresholds are shares of a host's nominal CPU of two cores.
fn cluster_lines(scale: &Scale, failover: u32) -> Vec<String> {
    let permille = |percent: u32| scale.quiet_milli * percent / 100 / 2;
    let share = |permille: u32| format!("{}.{:03}", permille / 1000, permille % 1000);
    vec![
        "window open Mon-Fri 09:00-19:45 goal=spread up-by=-30m".to_owned(),
        format!(
            "policy balanced time.scale={} failover={failover} load.high={} cpu.target={} moves.all={}",
            scale.time,
            share(permille(200)),
            share(permille(180)),
            MOVES_ALL,
        ),
    ]
}

#[expect(clippy::disallowed_methods, reason = "the lab's calendar is told when it begins")]
fn settings(lab: &Lab, scale: &Scale) -> String {
    let mut text = String::new();
    let path = |path: std::path::PathBuf| path.display().to_string();
    let state = lab.paths.state.join("manager");
    let now = jiff::Timestamp::now();
    // A large lab on two cores answers late; a look that is given up too soon makes a healthy host look ill.
    let (observe, look) = if lab.spec.hosts > 20 { (12, 11) } else { (5, 4) };
    // The paths are the lab's own: an id of small letters and digits under /run.
    _ = write!(
        text,
        "mode = \"auto\"\ncluster = \"{}\"\nstate = \"{}\"\nsocket = \"{}\"\n\n[ssh]\nuser = \"root\"\nidentity = \"{}\"\nknown-hosts = \"{}\"\nconfig = \"{}\"\n\n[hosts]\nshared = \"{}\"\ncpu = \"guests\"\n\n[time]\nobserve-every = \"{observe}s\"\nlook-deadline = \"{look}s\"\nbackoff = \"10s\"\n\n[lab]\ncalendar-rate = {}\ncalendar-from = \"{BEGINS}\"\ncalendar-at = \"{now}\"\n",
        path(lab.paths.cluster_with_guests()),
        path(state),
        path(lab.paths.state.join("manager.sock")),
        path(lab.paths.ssh_key()),
        path(lab.paths.known_hosts()),
        path(lab.paths.ssh_config()),
        dormouse_lab::LabPaths::shared_in_host().display(),
        scale.time,
    );
    text
}

/// Set by the first Ctrl-C or polite kill: the night breaks off, and manager and lab are removed. The second ends the
/// program at once.
fn on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&interrupted))
            .and_then(|_| flag::register(signal, Arc::clone(&interrupted)))
            .map_err(|error| Failure::new("signals cannot be caught").because(&error))?;
    }
    Ok(interrupted)
}

fn night(
    lab: &Lab,
    args: &Args,
    scale: &Scale,
    interrupted: &AtomicBool,
    steps: &mut Steps,
) -> Result<NightReport, Failure> {
    lab.streams_start().map_err(|error| failed(&error))?;
    let began = Instant::now();
    let mut manager = Manager::start(lab, &settings(lab, scale))?;
    let mut record = Record::start();
    let mut report = NightReport {
        hosts: lab.spec.hosts,
        guests: lab.spec.guests,
        time_scale: scale.time,
        ..NightReport::default()
    };
    let mut kills = kill_times(args, scale);
    let closes = began + scale.real(CLOSES_S);
    let opens = began + scale.real(OPENS_S);
    let ends = began + scale.real(NIGHT_S);
    let mut closed = false;
    let mut bursts: Vec<Instant> = vec![];
    let mut checked_opening = false;
    while Instant::now() < ends || !checked_opening {
        std::thread::sleep(SAMPLE);
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::new("the night was broken off"));
        }
        if kills.first().is_some_and(|at| began.elapsed() >= *at) {
            kills.remove(0);
            steps.step("killing the manager");
            manager.kill_and_restart()?;
            report.manager_kills += 1;
        }
        record.truth(lab.status().map_err(|error| failed(&error))?);
        record.trail(manager.events(record.seen)?);
        if !closed && Instant::now() >= closes {
            closed = true;
            record.close();
        }
        steps.step(&format!(
            "{}: {} of {} hosts on, {} moves, {} sleeps, {} wakes",
            if !closed {
                "open"
            } else if Instant::now() < opens {
                "closed"
            } else {
                "open again"
            },
            record.on,
            report.hosts,
            record.moves.len(),
            record.sleeps,
            record.wakes
        ));
        // Packed: fewer hosts than all, and for a while no change.
        let packed = record.sleeps > 0 && record.still_for() > STILL;
        let tried = bursts.last().is_some_and(|last| last.elapsed() < BURST_EVERY);
        if closed
            && packed
            && !tried
            && record.opening.is_none()
            && record.wakes == 0
            && bursts.len() < BURSTS_MAX
        {
            if bursts.is_empty() {
                report.packed_s = Some(record.series.last().map_or(0.0, |(secs, _)| *secs));
                report.hosts_packed = record.on;
                report.moves_s = record.last_move;
            }
            bursts.push(Instant::now());
            steps.step("a burst of load on every host that is awake");
            start_burst(lab, &record, scale, u32::try_from(bursts.len()).unwrap_or(1))?;
        }
        if let Some((began, _)) = record.opening
            && report.open_s.is_none()
            && record.is_spread()
        {
            report.open_s = Some(tenths(record.secs() - began));
        }
        if Instant::now() >= opens && !checked_opening {
            checked_opening = true;
            if !record.is_spread() {
                report.violations.push(format!(
                    "at opening {} of {} hosts were on and spread over",
                    record.on, report.hosts
                ));
            }
        }
    }
    record.trail(manager.events(record.seen)?);
    manager.stop();
    report.burst_wakes = record.opening.map_or(record.wakes, |(_, wakes)| wakes);
    judge(lab, &record, &mut report)?;
    record.fill(&mut report);
    Ok(report)
}

/// Two busy guests on each host that is awake, so that none can help another.
fn start_burst(lab: &Lab, record: &Record, scale: &Scale, times: u32) -> Result<(), Failure> {
    let Some(status) = &record.last else { return Ok(()) };
    let load = Load::Cpu { percent: scale.burst_percent(times) };
    for host in status.hosts.iter().filter(|host| host.power == Power::On) {
        for guest in status.guests.iter().filter(|guest| guest.processes == [host.name.as_str()]).take(2) {
            lab.load(&guest.name, Some(load), BURST_S).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

/// When the manager is killed: spread over the whole night by a small generator of our own, so that a seed repeats it.
fn kill_times(args: &Args, scale: &Scale) -> Vec<Duration> {
    let mut state = args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let night_ms = u64::try_from(scale.real(OPENS_S).as_millis()).unwrap_or(u64::MAX);
    let mut times: Vec<Duration> = (0..args.kill_manager)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Duration::from_millis(2000 + state % night_ms)
        })
        .collect();
    times.sort_unstable();
    times
}

/// The lab's own records against what must never happen.
fn judge(lab: &Lab, record: &Record, report: &mut NightReport) -> Result<(), Failure> {
    let streams = lab.streams(true).map_err(|error| failed(&error))?;
    report.streams = streams.streams;
    report.streams_broken = streams.streams_broken;
    report.ticks_lost = streams.ticks_lost;
    report.gap_ms_p50 = streams.gap_ms_p50;
    report.gap_ms_p99 = streams.gap_ms_p99;
    report.gap_ms_max = streams.gap_ms_max;
    report.gaps_longest = streams.gap_list;
    report.gaps_longest.sort_by_key(|gap| (std::cmp::Reverse(gap.gap_ms), gap.at_ms));
    report.gaps_longest.truncate(GAPS_SHOWN);
    let status = lab.status().map_err(|error| failed(&error))?;
    report.double_runs = status.double_runs;
    let mut violation = |bad: bool, words: String| {
        if bad {
            report.violations.push(words);
        }
    };
    violation(
        streams.streams < u64::from(lab.spec.guests),
        format!("only {} of {} guests were listened to", streams.streams, lab.spec.guests),
    );
    violation(streams.streams_broken > 0, format!("{} streams broke", streams.streams_broken));
    violation(streams.ticks_lost > 0, format!("{} ticks were lost", streams.ticks_lost));
    violation(status.double_runs > 0, format!("a guest ran twice {} times", status.double_runs));
    for guest in status.guests.iter().filter(|guest| guest.processes.len() != 1) {
        violation(true, format!("{} has {} processes in the end", guest.name, guest.processes.len()));
    }
    violation(report.packed_s.is_none(), "no host ever slept".to_owned());
    violation(report.burst_wakes == 0, "the burst of load woke no host".to_owned());
    violation(record.sleeps == 0, "the manager put no host to sleep".to_owned());
    for alarm in record.alarms.iter().filter(|alarm| alarm.starts_with("vm.")) {
        violation(true, format!("alarm: {alarm}"));
    }
    Ok(())
}
