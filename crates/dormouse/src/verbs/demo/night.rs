//! The night itself: the simulator with the program's real control, seen as [`Frame`]s, with a few things to do to it.

use super::frame::{Frame, Line, Move};
use super::trail;
use crate::cli::safe;
use crate::verbs::picture::Tile;
use dormouse_model::{Cluster, HostState, MilliCpu, Millis, Mono};
use dormouse_sim::script::Action;
use dormouse_sim::{Fault, Power, RunResult, Sim};
use std::collections::VecDeque;

/// More lines than any screen shows.
const TRAIL_MAX: usize = 200;
/// A burst of load: so much for each VM, for so long.
const BURST_CPU: MilliCpu = MilliCpu(500);
const BURST_SPAN: Millis = Millis::from_mins(20);

#[derive(Debug)]
pub(super) struct Night {
    sim: Sim,
    trail: VecDeque<Line>,
    /// Lines of the simulator's log that were taken in.
    taken: usize,
    burst_until: Option<Mono>,
    quietest: Option<Frame>,
}

/// What the person at the screen does to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prank {
    /// Back to the calendar: by night the house is closed.
    Close,
    /// Everything up and spread, now.
    Open,
    Burst,
    /// Cuts the power of the host that carries the most.
    Kill,
}

impl Night {
    pub(super) fn new(cluster: Cluster, seed: u64) -> Self {
        Self {
            sim: dormouse_sim::night(cluster, seed),
            trail: VecDeque::new(),
            taken: 0,
            burst_until: None,
            quietest: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.sim.is_over()
    }

    pub(super) fn trail(&self) -> &VecDeque<Line> {
        &self.trail
    }

    pub(super) fn advance(&mut self, span: Millis) {
        self.sim.step_until(self.sim.now() + span);
        if self.burst_until.is_some_and(|until| until <= self.sim.now()) {
            self.burst_until = None;
            let usual = self.sim.cluster().vms.first().map_or(MilliCpu::ZERO, |vm| vm.cpu);
            self.sim.intervene(Action::Load { vms: None, cpu: usual }, "the burst is over");
        }
        let clock = self.sim.local_time().strftime("%H:%M:%S").to_string();
        let lines = self.sim.log_lines();
        for line in &lines[self.taken..] {
            self.trail.extend(trail::words(line, clock.clone()));
        }
        self.taken = lines.len();
        self.trail.drain(..self.trail.len().saturating_sub(TRAIL_MAX));
        self.remember();
    }

    /// Keeps the quietest moment: the fewest hosts on, with nothing on its way.
    fn remember(&mut self) {
        let most = self.quietest.as_ref().map(|frame| frame.hosts_on);
        if !self.is_busy() && most.is_none_or(|most| self.hosts_on() < most) {
            self.quietest = Some(self.frame());
        }
    }

    pub(super) fn prank(&mut self, prank: Prank) {
        match prank {
            Prank::Close => self.sim.intervene(Action::Close, "close now"),
            Prank::Open => self.sim.intervene(Action::Open, "open now"),
            Prank::Burst => {
                self.burst_until = Some(self.sim.now() + BURST_SPAN);
                self.sim.intervene(Action::Load { vms: None, cpu: BURST_CPU }, "a burst of load on every VM");
            }
            Prank::Kill => {
                let fullest =
                    self.sim.hosts().filter(|host| host.power == Power::On).max_by_key(|host| host.vms);
                if let Some((host, name)) = fullest.map(|host| (host.id, host.name.to_owned())) {
                    self.sim
                        .intervene(Action::Fault(Fault::Dies { host }), &format!("cut the power of {name}"));
                }
            }
        }
    }

    /// Something is on its way that is worth looking at.
    pub(super) fn is_busy(&self) -> bool {
        let passing = |state| matches!(state, HostState::Draining | HostState::Stopping | HostState::Waking);
        self.sim.moves().len() > 0 || self.sim.hosts().any(|host| passing(host.state))
    }

    pub(super) fn hosts_on(&self) -> u32 {
        let on = self.sim.hosts().filter(|host| !host.state.is_down()).count();
        u32::try_from(on).expect("fewer than 2^32 hosts")
    }

    pub(super) fn frame(&self) -> Frame {
        let cluster = self.sim.cluster();
        let name = |name: &str| safe(name).into_owned();
        let tally = self.sim.tally();
        Frame {
            cluster: name(&cluster.name),
            clock: self.sim.local_time().strftime("%a %e %b %H:%M:%S").to_string(),
            goal: self.sim.goal().map_or_else(|| "no manager".to_owned(), |goal| goal.as_str().to_owned()),
            tiles: self
                .sim
                .hosts()
                .map(|host| Tile {
                    name: name(host.name),
                    state: host.state,
                    vms: host.vms,
                    fill_permille: host.mem_used.0 * 1000 / host.mem.0.max(1),
                })
                .collect(),
            hosts_on: self.hosts_on(),
            watts: self.sim.milliwatts() / 1000,
            watts_always_on: self.watts_always_on(),
            kwh: self.sim.energy().as_kwh(),
            kwh_always_on: self.sim.energy_always_on().as_kwh(),
            migrations: tally.migrations,
            sleeps: tally.sleeps,
            wakes: tally.wakes,
            moves: self
                .sim
                .moves()
                .map(|it| Move { vm: name(it.vm), from: name(it.from), to: name(it.to) })
                .collect(),
        }
    }

    /// Each host's idle power, and what its VMs' demand adds to it where they are now.
    fn watts_always_on(&self) -> u64 {
        let specs = &self.sim.cluster().hosts;
        self.sim
            .hosts()
            .zip(specs)
            .map(|(host, spec)| spec.watts_at(MilliCpu(host.cpu.0 * spec.cpu_capacity().0 / 1000)).0)
            .sum()
    }

    /// The quietest moment so far; now, if nothing was ever quiet.
    pub(super) fn quietest(&self) -> Frame {
        self.quietest.clone().unwrap_or_else(|| self.frame())
    }

    /// The figures of the night, as far as it went.
    pub(super) fn result(self) -> RunResult {
        self.sim.result()
    }
}
