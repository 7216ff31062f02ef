//! The hosts that a trace is replayed on, with their measured power curves.
//!
//! A fleet is `planetlab` (the 800 hosts of the literature) or the hosts of a cluster text. It says what hosts are, never
//! what happens to them.

use dormouse_model::{Cluster, HostId, HostSpec, HostState, Mbps, Mib, MilliCpu, Millis, Policy, Watts};
use std::sync::Arc;

/// Power by load: measured at equal steps from idle to full load, a straight line between two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// In microwatts; two at least.
    points: Vec<u64>,
}

/// SPECpower: HP ProLiant ML110 G4, in tenths of a watt at 0, 10 … 100 %.
const G4: [u64; 11] = [860, 894, 926, 960, 995, 1020, 1060, 1080, 1120, 1140, 1170];
/// SPECpower: HP ProLiant ML110 G5.
const G5: [u64; 11] = [937, 970, 1010, 1050, 1100, 1160, 1210, 1250, 1290, 1330, 1350];

const UW_PER_W: u64 = 1_000_000;

impl Curve {
    /// A straight line from idle to full load.
    #[must_use]
    pub fn line(idle: Watts, full: Watts) -> Self {
        Self { points: vec![idle.0 * UW_PER_W, full.max(idle).0 * UW_PER_W] }
    }

    fn measured(tenths: &[u64]) -> Self {
        Self { points: tenths.iter().map(|tenths| tenths * (UW_PER_W / 10)).collect() }
    }

    /// Microwatts with so much of the capacity in use. More than the capacity cannot be in use.
    #[must_use]
    pub fn at(&self, load: u64, capacity: u64) -> u64 {
        let steps = self.points.len() as u64 - 1;
        if capacity == 0 || load >= capacity {
            return self.full();
        }
        let scaled = u128::from(load) * u128::from(steps);
        let capacity = u128::from(capacity);
        let step = usize::try_from(scaled / capacity).expect("below the number of points");
        let (low, high) = (self.points[step], self.points[step + 1]);
        let rest = scaled % capacity;
        let part = |span: u64| u64::try_from(u128::from(span) * rest / capacity).expect("less than its span");
        if high >= low { low + part(high - low) } else { low - part(low - high) }
    }

    #[must_use]
    pub fn idle(&self) -> u64 {
        self.points[0]
    }

    #[must_use]
    pub fn full(&self) -> u64 {
        self.points[self.points.len() - 1]
    }

    /// The measured points as shares of full load in parts of `steps`, and microwatts.
    pub(crate) fn points(&self) -> &[u64] {
        &self.points
    }
}

/// One host of a fleet.
#[derive(Clone, Debug)]
pub struct Machine {
    pub spec: Arc<HostSpec>,
    pub curve: Arc<Curve>,
    /// What it computes in all, in MIPS.
    pub mips: u64,
    /// What one of its cores computes: the most that one VM of the literature's policies can have of it.
    pub core: u64,
}

/// Hosts, and the policy line that came with them.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub name: String,
    pub machines: Vec<Machine>,
    /// MIPS of one core of a `HostSpec`: 1000, unless the hosts' MIPS would not come out whole.
    pub core_mips: u64,
    pub policy: Policy,
    /// `keep N of` rules of the text.
    pub keeps: Vec<dormouse_model::Keep>,
}

/// Why the hosts of a text cannot be used as a fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    #[error("the text names no host")]
    NoHost,
    #[error("{host} is {state}: a replay decides itself who sleeps")]
    State { host: String, state: HostState },
}

impl Fleet {
    /// 800 hosts, G4 and G5 in turn, with the SPECpower tables (docs/replay.md).
    #[must_use]
    pub fn planetlab() -> Self {
        let (g4, g5) = (Arc::new(Curve::measured(&G4)), Arc::new(Curve::measured(&G5)));
        // 3,720 and 5,320 MIPS are whole multiples of 40.
        let core_mips = 40;
        let machines = (0..800)
            .map(|index| {
                let (mips, curve, busy) =
                    if index % 2 == 0 { (3720, &g4, Watts(117)) } else { (5320, &g5, Watts(135)) };
                let spec = HostSpec {
                    name: format!("h{index:03}"),
                    cpus: u32::try_from(mips / core_mips).expect("a small number"),
                    mem: Mib(4096),
                    watts_idle: Watts(curve.idle().div_ceil(UW_PER_W)),
                    watts_busy: busy,
                    watts_asleep: Watts(0),
                    boot: Millis::from_secs(120),
                    shutdown: Millis::from_secs(20),
                    link: Mbps(1000),
                    ..blank()
                };
                Machine { spec: Arc::new(spec), curve: Arc::clone(curve), mips, core: mips / 2 }
            })
            .collect();
        Self { name: "planetlab".to_owned(), machines, core_mips, policy: Policy::default(), keeps: vec![] }
    }

    /// The hosts of a cluster text, a core at 1,000 MIPS. Its VMs are left out: the trace brings its own.
    ///
    /// # Errors
    /// There is no host, or one whose state a replay would not know what to do with.
    pub fn of_cluster(cluster: &Cluster) -> Result<Self, FleetError> {
        if cluster.hosts.is_empty() {
            return Err(FleetError::NoHost);
        }
        let core_mips = 1000;
        let machine = |spec: &HostSpec| {
            match spec.state {
                HostState::On | HostState::Asleep => {}
                state => return Err(FleetError::State { host: spec.name.clone(), state }),
            }
            Ok(Machine {
                curve: Arc::new(Curve::line(spec.watts_idle, spec.watts_busy)),
                mips: u64::from(spec.cpus) * core_mips,
                // VMs of a text have as many cores as they need.
                core: u64::MAX,
                spec: Arc::new(HostSpec { state: HostState::On, ..spec.clone() }),
            })
        };
        Ok(Self {
            name: cluster.name.clone(),
            machines: cluster.hosts.iter().map(machine).collect::<Result<_, _>>()?,
            core_mips,
            policy: cluster.policy.clone(),
            keeps: cluster.keeps.clone(),
        })
    }

    #[must_use]
    pub fn machine(&self, host: HostId) -> &Machine {
        &self.machines[host.index()]
    }

    pub fn host_ids(&self) -> impl ExactSizeIterator<Item = HostId> + use<> {
        (0..self.machines.len()).map(HostId::at)
    }

    /// MIPS in the unit of the planner.
    #[must_use]
    pub fn milli_cpu(&self, mips: u64) -> MilliCpu {
        MilliCpu(mips * 1000 / self.core_mips)
    }

    /// The largest memory that one host has for one VM.
    #[must_use]
    pub fn largest_room(&self) -> Mib {
        self.machines
            .iter()
            .map(|machine| machine.spec.mem_for_vms().saturating_sub(machine.spec.overhead))
            .max()
            .unwrap_or_default()
    }
}

/// A host of which nothing is known.
fn blank() -> HostSpec {
    HostSpec {
        name: String::new(),
        address: None,
        macs: vec![],
        cpus: 1,
        mem: Mib::ZERO,
        reserve: Mib::ZERO,
        overhead: Mib::ZERO,
        watts_idle: Watts::ZERO,
        watts_busy: Watts::ZERO,
        watts_asleep: Watts::ZERO,
        boot: Millis::ZERO,
        shutdown: Millis::ZERO,
        link: Mbps::ZERO,
        slots: None,
        cpu_group: None,
        networks: vec![],
        circuit: None,
        role: None,
        keep_on: false,
        maintenance: false,
        unproven: false,
        state: HostState::On,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_a_straight_line_between_what_was_measured() {
        let g4 = Curve::measured(&G4);
        assert_eq!(g4.at(0, 3720), 86_000_000);
        assert_eq!(g4.at(372, 3720), 89_400_000);
        // Half way from 20 % to 30 %: half way from 92.6 to 96.0 W.
        assert_eq!(g4.at(930, 3720), 94_300_000);
        assert_eq!(g4.at(3720, 3720), 117_000_000);
        assert_eq!(g4.at(9999, 3720), 117_000_000);
        let line = Curve::line(Watts(45), Watts(95));
        assert_eq!(line.at(1, 2), 70_000_000);
    }

    #[test]
    fn a_thousandth_of_a_core_is_a_thousandth_whatever_a_core_computes() {
        let fleet = Fleet::planetlab();
        for machine in &fleet.machines {
            assert_eq!(fleet.milli_cpu(machine.mips), machine.spec.cpu_capacity());
        }
    }

    #[test]
    fn hosts_that_nobody_could_use_are_refused() {
        let parse = |text: &str| Fleet::of_cluster(&dormouse_model::text::parse(text).expect("a cluster"));
        let said = |text: &str| parse(text).map(|_| ()).expect_err("refused").to_string();
        assert_eq!(said("cluster c\n"), "the text names no host");
        assert_eq!(
            said("cluster c\nhost a cpus=1 mem=1G\nhost b cpus=1 mem=1G\noff b\n"),
            "b is off: a replay decides itself who sleeps"
        );
        let fleet = parse("cluster c\nhost a cpus=4 mem=8G watts=50/90/2\n").expect("a fleet");
        assert_eq!((fleet.machines[0].mips, fleet.machines[0].curve.full()), (4000, 90_000_000));
    }
}
