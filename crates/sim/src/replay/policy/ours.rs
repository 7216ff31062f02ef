//! Policies `seed` and `balanced`: our own planner, asked as the manager would ask it.
//!
//! The picture that it plans on is kept and brought up to date at each step, not built anew. It knows of demand what was
//! seen so far, in bands ([`super::bands`]).

use super::bands::{Bands, Windows};
use super::first_fit::by_limits;
use super::sketch;
use super::{Act, HostNow, Orders, Place, Policy, Power, View};
use crate::replay::fleet::Fleet;
use crate::trace::Trace;
use dormouse_control::Crowd;
use dormouse_model::schedule::Schedule;
use dormouse_model::{
    Action, Cluster, Demand, Goal, Host, HostId, HostState, Mib, Millis, Mono, PlanId, Policy as Named,
    PolicyName, Seen, Snapshot, Vm, VmId, VmSpec, VmState,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Without a calendar nobody knows when the night ends: what a host saves, it saves for so long.
const HORIZON: Millis = Millis::from_secs(8 * 3600);
/// While nobody moves, comes or goes, only demand can have changed: so often that is reason enough to look for a better
/// packing. Overloads are looked for at every step.
const REVIEW_EVERY: Millis = Millis::from_secs(7200);
/// `seed` looks at its lists every quarter of an hour.
const SEED_EVERY: Millis = Millis::from_secs(900);
const DAY: Millis = Millis::from_secs(86_400);
const HOUR: Millis = Millis::from_secs(3600);
/// Long before the beginning.
const FOR_EVER: Millis = Millis::from_secs(7 * 86_400);
/// Samples in a load average of 15 minutes.
const LOAD_SAMPLES: usize = 3;

#[derive(Debug)]
pub(super) struct Ours {
    policy: Named,
    windows: Windows,
    crowd: Crowd,
    picture: Snapshot,
    bands: Vec<Bands>,
    /// Where each VM was last seen, and when it moved within a day.
    last: Vec<Option<HostId>>,
    moved: Vec<VecDeque<Millis>>,
    /// Load of each host at the last steps.
    loads: Vec<VecDeque<u64>>,
    plans: u64,
    /// Somebody moved, came, went or changed power since a plan found nothing to do.
    stirred: bool,
    /// When the whole picture was last gone through.
    reviewed: Option<Millis>,
    scratch: Vec<u64>,
}

impl Ours {
    pub(super) fn new(fleet: &Fleet, policy: Named) -> Self {
        let cluster = Cluster {
            name: fleet.name.clone(),
            link: dormouse_model::Mbps(1000),
            hosts: vec![],
            vms: vec![],
            groups: vec![],
            circuits: vec![],
            holds: vec![],
            keeps: fleet.keeps.clone(),
            policy: policy.clone(),
            schedule: Schedule::default(),
        };
        let hosts = fleet.machines.iter().map(|machine| Host {
            spec: Arc::clone(&machine.spec),
            state: HostState::On,
            in_state: FOR_EVER,
            load15: Seen::Known(dormouse_model::Permille(0)),
            cycles_day: 0,
            held: None,
            drain: false,
            maintenance: machine.spec.maintenance,
            proven: !machine.spec.unproven,
            obstacles: vec![],
        });
        Self {
            windows: Windows::of(&policy.knobs, Trace::STEP),
            picture: Snapshot {
                hosts: hosts.collect(),
                vms: vec![],
                cluster: Arc::new(cluster),
                lull: Mib::ZERO,
            },
            policy,
            crowd: Crowd::default(),
            bands: vec![],
            last: vec![],
            moved: vec![],
            loads: vec![VecDeque::new(); fleet.machines.len()],
            plans: 0,
            stirred: true,
            reviewed: None,
            scratch: vec![],
        }
    }

    /// VMs are met at the first look. Their names are numbers, so that the planner need not sort them.
    fn meet(&mut self, view: &View<'_>) {
        let width = view.vms.len().to_string().len();
        for (index, vm) in view.vms.iter().enumerate().skip(self.picture.vms.len()) {
            let vcpus = vm.limit.div_ceil(view.fleet.core_mips).max(1);
            let spec = VmSpec {
                uuid: Uuid::from_u128(index as u128),
                name: format!("vm{index:0width$}"),
                vcpus: u32::try_from(vcpus).unwrap_or(u32::MAX),
                mem: vm.mem,
                cpu: dormouse_model::MilliCpu::ZERO,
                dirty_mib_s: 0,
                home: None,
                pin: vec![],
                ban: vec![],
                no_move: false,
                local_disk: false,
                stopped: false,
                autostart: false,
                devices: dormouse_model::Devices::default(),
                at: HostId(0),
            };
            self.picture.vms.push(Vm {
                spec: Arc::new(spec),
                state: VmState::Stopped,
                demand: Demand::flat(dormouse_model::MilliCpu::ZERO),
                moves_hour: 0,
                moves_day: 0,
                immovable: None,
                barred: vec![],
            });
            self.bands.push(Bands::default());
            self.last.push(None);
            self.moved.push(VecDeque::new());
        }
    }

    /// Brings places and power states up to date.
    fn look(&mut self, view: &View<'_>) {
        self.meet(view);
        for (host, now) in self.picture.hosts.iter_mut().zip(view.hosts) {
            let state = state_of(now);
            self.stirred |= host.state != state;
            host.state = state;
            let never_changed = now.since == Millis::ZERO;
            host.in_state = if never_changed { FOR_EVER } else { Millis(view.now.0 - now.since.0) };
            host.cycles_day = now.sleeps;
        }
        for (index, (vm, now)) in self.picture.vms.iter_mut().zip(view.vms).enumerate() {
            let (state, at) = match now.place {
                Place::Stopped | Place::Waiting => (VmState::Stopped, None),
                Place::On(at) => (VmState::Running { at }, Some(at)),
                Place::Moving { from, to } => (VmState::Migrating { from, to }, Some(to)),
            };
            if vm.state != state {
                vm.state = state;
                self.stirred = true;
                if let (Some(_), Some(_)) = (self.last[index], at.filter(|at| Some(*at) != self.last[index]))
                {
                    self.moved[index].push_back(view.now);
                }
            }
            self.last[index] = at;
        }
    }

    /// Takes a sample of everything, once a step.
    fn sample(&mut self, view: &View<'_>) {
        for (index, now) in view.vms.iter().enumerate() {
            match now.place {
                Place::Stopped => self.bands[index].clear(),
                Place::Waiting | Place::On(_) | Place::Moving { .. } => {
                    self.bands[index].push(now.demand, self.windows);
                }
            }
            let moved = &mut self.moved[index];
            while moved.front().is_some_and(|at| view.now.0 - at.0 > DAY.0) {
                moved.pop_front();
            }
            let vm = &mut self.picture.vms[index];
            let count = |moves: usize| u32::try_from(moves).unwrap_or(u32::MAX);
            vm.moves_day = count(moved.len());
            vm.moves_hour = count(moved.iter().filter(|at| view.now.0 - at.0 <= HOUR.0).count());
            let milli = |mips| view.fleet.milli_cpu(mips);
            vm.demand = self.bands[index].demand(self.windows, &mut self.scratch, milli);
        }
        let wanted = view.vms.iter().filter(|vm| vm.place != Place::Stopped).map(|vm| vm.mem).sum();
        let knobs = &self.policy.knobs;
        self.crowd.note(Mono(view.now.0), wanted, knobs.scaled(knobs.window_churn));
        let lull = self.crowd.lull();
        self.stirred |= std::mem::replace(&mut self.picture.lull, lull) != lull;
        for (index, (loads, now)) in self.loads.iter_mut().zip(view.hosts).enumerate() {
            loads.push_back(now.vms.iter().map(|vm| view.vms[vm.index()].demand).sum());
            if loads.len() > LOAD_SAMPLES {
                loads.pop_front();
            }
            let mean = loads.iter().sum::<u64>() / loads.len() as u64;
            let machine = &view.fleet.machines[index];
            let share = view.fleet.milli_cpu(mean).share_of(machine.spec.cpu_capacity());
            self.picture.hosts[index].load15 = Seen::Known(share);
        }
    }

    /// A host whose demand of these minutes is above `load.high`.
    fn somebody_is_over(&self, view: &View<'_>) -> bool {
        let mut wanted = vec![0; view.hosts.len()];
        for vm in &self.picture.vms {
            if let Some(at) = vm.state.host() {
                wanted[at.index()] += vm.demand.wake.0;
            }
        }
        self.picture.hosts.iter().zip(wanted).any(|(host, wanted)| {
            let capacity = u128::from(host.spec.cpu_capacity().0);
            u128::from(wanted) * 1000 > capacity * u128::from(self.policy.knobs.load_high.0)
        })
    }

    /// Hosts for VMs that are nowhere: on hosts that are on, or asleep and worth waking.
    fn placed(&mut self, view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>> {
        // The planner places every VM that is nowhere: those that should not run must not be among them.
        let mut hidden = vec![];
        for (index, now) in view.vms.iter().enumerate() {
            let vm = &mut self.picture.vms[index];
            match now.place {
                Place::Stopped => {
                    vm.state = VmState::Failed { at: None };
                    hidden.push(index);
                }
                // What it asks for now is all that is known.
                Place::Waiting => vm.demand = Demand::flat(view.fleet.milli_cpu(now.demand)),
                Place::On(_) | Place::Moving { .. } => {}
            }
        }
        let places = dormouse_planner::place(&self.picture);
        for index in hidden {
            self.picture.vms[index].state = VmState::Stopped;
        }
        vms.iter().map(|vm| places[vm.index()]).collect()
    }
}

impl Policy for Ours {
    fn name(&self) -> &str {
        self.policy.name.as_str()
    }

    fn knobs(&self) -> BTreeMap<String, String> {
        self.policy.knobs.entries().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn place(&mut self, view: &View<'_>, vms: &[VmId]) -> Vec<Option<HostId>> {
        self.look(view);
        match self.policy.name {
            // Its lab knew no placement: a VM was where its person sat.
            PolicyName::Seed => by_limits(view, vms),
            PolicyName::Balanced => self.placed(view, vms),
        }
    }

    fn plan(&mut self, view: &View<'_>) -> Orders {
        self.look(view);
        self.sample(view);
        let knobs = &self.policy.knobs;
        let limit = |knob: u32| (knob > 0).then_some(knob);
        let mut orders = Orders {
            steps: vec![],
            out_of_host: limit(knobs.moves_host_out),
            into_host: limit(knobs.moves_host_in),
            at_once: limit(knobs.moves_all),
        };
        if self.policy.name == PolicyName::Seed {
            sketch::wake_for_waiting(view, &mut orders, |host| host);
            if !view.now.0.is_multiple_of(SEED_EVERY.0) {
                return orders;
            }
        } else {
            let waiting = sketch::waiting(view);
            if !waiting.is_empty() {
                let mut woken: Vec<HostId> = self.placed(view, &waiting).into_iter().flatten().collect();
                woken.sort_unstable();
                woken.dedup();
                woken.retain(|host| view.hosts[host.index()].power == Power::Asleep);
                for host in woken {
                    orders.push(Act::Wake(host), vec![]);
                }
            }
        }
        let due = self.reviewed.is_none_or(|at| view.now.0 - at.0 >= REVIEW_EVERY.0);
        let goal = if self.stirred || due || self.policy.name == PolicyName::Seed {
            Goal::Compact { horizon: HORIZON }
        } else if self.somebody_is_over(view) {
            Goal::Relieve
        } else {
            return orders;
        };
        self.plans += 1;
        let (plan, _) = dormouse_planner::plan(&self.picture, goal, PlanId(self.plans));
        if plan.steps.is_empty() && matches!(goal, Goal::Compact { .. }) {
            (self.stirred, self.reviewed) = (false, Some(view.now));
        }
        // Where each of its steps stands among the orders.
        let mut places = vec![];
        for step in &plan.steps {
            let act = match step.action {
                Action::Migrate { vm, to, .. } => Act::Move { vm, to },
                Action::Wake { host } => Act::Wake(host),
                Action::Sleep { host } => Act::Sleep(host),
                // Who runs is the trace's business.
                Action::Start { .. } | Action::Stop { .. } | Action::Fence { .. } => {
                    places.push(None);
                    continue;
                }
            };
            let needs = step.needs.iter().filter_map(|need| *places.get(need.index())?).collect();
            places.push(Some(orders.push(act, needs)));
        }
        orders
    }
}

fn state_of(now: &HostNow) -> HostState {
    match now.power {
        Power::On => HostState::On,
        Power::Waking => HostState::Waking,
        Power::Stopping => HostState::Stopping,
        Power::Asleep => HostState::Asleep,
    }
}
