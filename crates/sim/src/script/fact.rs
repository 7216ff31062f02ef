//! What a script can demand of the run: states that hold, and things that happen.

use dormouse_control::Level;
use dormouse_model::text::decimal_thousandths;
use dormouse_model::{HostId, HostState, Millis};
use std::fmt;
use uuid::Uuid;

use super::words::{Names, Words, Wrong, number, span};
use crate::note::Note;
use crate::run::Tally;
use crate::world::{Power, World};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// What the manager believes of these hosts.
    Host {
        hosts: Vec<HostId>,
        state: HostState,
    },
    /// What these hosts really are.
    Power {
        hosts: Vec<HostId>,
        power: Power,
    },
    VmOn {
        vm: Uuid,
        host: HostId,
    },
    VmIs {
        vms: Option<Vec<Uuid>>,
        condition: Condition,
    },
    /// The longest time a move held the VM's processors; a VM that was lost has no end of it.
    Outage {
        vms: Option<Vec<Uuid>>,
        compare: Compare,
        limit: Millis,
    },
    Count {
        what: Count,
        compare: Compare,
        limit: u64,
    },
    /// In thousandths of a kWh.
    Energy {
        compare: Compare,
        limit: u64,
    },
    /// Something told, at the level of an alarm or at any.
    Told {
        name: String,
        fields: Vec<(String, String)>,
        alarm: bool,
    },
    /// The guard of such a host agrees.
    PowerOff {
        hosts: Vec<HostId>,
    },
    WakeSent {
        hosts: Vec<HostId>,
    },
    MoveBegins {
        vms: Option<Vec<Uuid>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Running,
    Stopped,
    Lost,
    Paused,
    Moving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Awake,
    Running,
    Lost,
    Moves,
    Wakes,
    Sleeps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// What a fact is judged by.
pub(crate) struct Sight<'a> {
    pub(crate) world: &'a World,
    pub(crate) belief: &'a [HostState],
    pub(crate) tally: &'a Tally,
}

impl Fact {
    pub(crate) fn parse(words: &mut Words, names: &Names<'_>) -> Result<Self, Wrong> {
        const KINDS: [&str; 14] = [
            "host",
            "power",
            "vm",
            "vms",
            "awake",
            "moves",
            "wakes",
            "sleeps",
            "energy",
            "alarm",
            "event",
            "power-off",
            "wake",
            "move",
        ];
        let known: Vec<(&str, &str)> = KINDS.iter().map(|kind| (*kind, *kind)).collect();
        let count = |words: &mut Words, what| {
            Ok::<_, Wrong>(Self::Count { what, compare: compare(words)?, limit: words.number("a number")? })
        };
        Ok(match words.one_of("fact", &known)? {
            "host" => {
                let hosts = names.hosts(&words.take("hosts")?)?;
                let states: Vec<_> = HostState::ALL.iter().map(|state| (state.as_str(), *state)).collect();
                Self::Host { hosts, state: words.one_of("host state", &states)? }
            }
            "power" => {
                let hosts = names.hosts(&words.take("hosts")?)?;
                let all = [Power::Off, Power::Booting, Power::On, Power::Stopping, Power::Dead];
                let powers: Vec<_> = all.iter().map(|power| (power.as_str(), *power)).collect();
                Self::Power { hosts, power: words.one_of("power state", &powers)? }
            }
            "vm" => vm_fact(words, names)?,
            "vms" => {
                let counts = [("running", Count::Running), ("lost", Count::Lost)];
                let what = words.one_of("VM count", &counts)?;
                count(words, what)?
            }
            "awake" => count(words, Count::Awake)?,
            "moves" => count(words, Count::Moves)?,
            "wakes" => count(words, Count::Wakes)?,
            "sleeps" => count(words, Count::Sleeps)?,
            "energy" => {
                let compare = compare(words)?;
                let limit = decimal_thousandths(&words.take("kWh")?).ok_or("energy is kWh, like 6.500")?;
                words.one_of("unit", &[("kWh", ())])?;
                Self::Energy { compare, limit }
            }
            kind @ ("alarm" | "event") => {
                let name = words.take("a name")?;
                let mut fields = vec![];
                while !words.is_empty() {
                    let word = words.take("key=value")?;
                    let (key, value) =
                        word.split_once('=').ok_or_else(|| format!("`{word}` is no key=value"))?;
                    fields.push((key.to_owned(), value.to_owned()));
                }
                Self::Told { name, fields, alarm: kind == "alarm" }
            }
            "power-off" => Self::PowerOff { hosts: names.hosts(&words.take("hosts")?)? },
            "wake" => Self::WakeSent { hosts: names.hosts(&words.take("hosts")?)? },
            _ => Self::MoveBegins { vms: names.vms(&words.take("VMs")?)? },
        })
    }

    /// Something that happens, rather than something that is.
    pub(crate) const fn is_event(&self) -> bool {
        matches!(
            self,
            Self::Told { .. } | Self::PowerOff { .. } | Self::WakeSent { .. } | Self::MoveBegins { .. }
        )
    }

    pub(crate) fn happened_in(&self, note: &Note) -> bool {
        match (self, note) {
            (Self::Told { name, fields, alarm }, Note::Told(event)) => {
                event.name == name
                    && (!alarm || event.level == Level::Alarm)
                    && fields.iter().all(|(key, value)| event.field(key) == Some(value))
            }
            (Self::PowerOff { hosts }, Note::GuardAgreed { host, .. })
            | (Self::WakeSent { hosts }, Note::WakeSent { host }) => hosts.contains(host),
            (Self::MoveBegins { vms }, Note::MoveStarted { vm, intent: Some(_), .. }) => {
                vms.as_ref().is_none_or(|vms| vms.contains(vm))
            }
            _ => false,
        }
    }

    pub(crate) fn holds(&self, sight: &Sight<'_>) -> bool {
        let world = sight.world;
        match self {
            Self::Host { hosts, state } => hosts.iter().all(|host| sight.belief[host.index()] == *state),
            Self::Power { hosts, power } => hosts.iter().all(|host| world.host(*host).power == *power),
            Self::VmOn { vm, host } => world.vm_by_uuid(*vm).is_some_and(|vm| vm.runs_on() == Some(*host)),
            Self::VmIs { vms, condition } => each(world, vms.as_deref(), |vm| condition.holds(vm)),
            Self::Outage { vms, compare, limit } => each(world, vms.as_deref(), |vm| {
                compare.holds(if vm.was_lost { u64::MAX } else { vm.worst_downtime.0 }, limit.0)
            }),
            Self::Count { what, compare, limit } => compare.holds(what.of(sight), *limit),
            Self::Energy { compare, limit } => {
                compare.holds(u64::try_from(world.energy().0 / 3_600_000).unwrap_or(u64::MAX), *limit)
            }
            Self::Told { .. } | Self::PowerOff { .. } | Self::WakeSent { .. } | Self::MoveBegins { .. } => {
                false
            }
        }
    }

    /// What is the case instead, for the message of a failed expectation.
    pub(crate) fn instead(&self, sight: &Sight<'_>) -> String {
        let world = sight.world;
        match self {
            Self::Host { hosts, state } => hosts
                .iter()
                .filter(|host| sight.belief[host.index()] != *state)
                .map(|host| format!("{} is {}", world.host(*host).spec.name, sight.belief[host.index()]))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Power { hosts, power } => hosts
                .iter()
                .filter(|host| world.host(**host).power != *power)
                .map(|host| format!("{} is {}", world.host(*host).spec.name, world.host(*host).power))
                .collect::<Vec<_>>()
                .join(", "),
            Self::VmOn { vm, .. } => world.vm_by_uuid(*vm).map_or_else(
                || "it does not exist".to_owned(),
                |vm| {
                    vm.runs_on().map_or("it does not run".to_owned(), |at| {
                        format!("it runs on {}", world.host(at).spec.name)
                    })
                },
            ),
            Self::Count { what, .. } => format!("it is {}", what.of(sight)),
            Self::Energy { .. } => format!("it is {:.3} kWh", world.energy().as_kwh()),
            Self::Outage { .. } => {
                let worst = world.vms.iter().max_by_key(|vm| (vm.was_lost, vm.worst_downtime));
                worst.map_or_else(String::new, |vm| {
                    format!("the worst is {} with {}", vm.spec.name, vm.worst_downtime)
                })
            }
            Self::VmIs { .. } => "it is not".to_owned(),
            _ => "it did not happen".to_owned(),
        }
    }
}

fn each(world: &World, vms: Option<&[Uuid]>, holds: impl Fn(&crate::world::VmTruth) -> bool) -> bool {
    match vms {
        None => world.vms.iter().all(holds),
        Some(vms) => vms.iter().all(|vm| world.vm_by_uuid(*vm).is_some_and(&holds)),
    }
}

fn vm_fact(words: &mut Words, names: &Names<'_>) -> Result<Fact, Wrong> {
    let who = words.take("VMs")?;
    match words.peek() {
        Some("on") => {
            words.take("on")?;
            Ok(Fact::VmOn { vm: names.vm(&who)?, host: names.host(&words.take("a host")?)? })
        }
        Some("outage") => {
            words.take("outage")?;
            let compare = compare(words)?;
            Ok(Fact::Outage { vms: names.vms(&who)?, compare, limit: span(&words.take("a time")?)? })
        }
        _ => {
            let known = [
                ("running", Condition::Running),
                ("stopped", Condition::Stopped),
                ("lost", Condition::Lost),
                ("paused", Condition::Paused),
                ("moving", Condition::Moving),
                ("on", Condition::Running),
                ("outage", Condition::Running),
            ];
            Ok(Fact::VmIs { vms: names.vms(&who)?, condition: words.one_of("VM state", &known)? })
        }
    }
}

fn compare(words: &mut Words) -> Result<Compare, Wrong> {
    words.one_of(
        "comparison",
        &[
            ("<", Compare::Less),
            ("<=", Compare::AtMost),
            ("==", Compare::Equal),
            (">=", Compare::AtLeast),
            (">", Compare::More),
        ],
    )
}

impl Condition {
    fn holds(self, vm: &crate::world::VmTruth) -> bool {
        use dormouse_model::DomainState;
        match self {
            Self::Running => vm.runs_on().is_some(),
            Self::Stopped => vm.copies.iter().all(|copy| !copy.state.is_present()) && !vm.wanted,
            Self::Lost => vm.copies.iter().all(|copy| !copy.state.is_present()) && vm.wanted,
            Self::Paused => vm.copies.iter().any(|copy| copy.state == DomainState::Paused),
            Self::Moving => vm.flow.is_some(),
        }
    }
}

impl Count {
    fn of(self, sight: &Sight<'_>) -> u64 {
        let count = |n: usize| n as u64;
        match self {
            Self::Awake => count(sight.world.hosts.iter().filter(|host| host.is_awake()).count()),
            Self::Running => count(sight.world.vms.iter().filter(|vm| vm.runs_on().is_some()).count()),
            Self::Lost => count(sight.world.vms.iter().filter(|vm| Condition::Lost.holds(vm)).count()),
            Self::Moves => sight.tally.migrations,
            Self::Wakes => sight.tally.wakes,
            Self::Sleeps => sight.tally.sleeps,
        }
    }
}

impl Compare {
    pub(crate) fn holds(self, value: u64, limit: u64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::Equal => value == limit,
            Self::AtLeast => value >= limit,
            Self::More => value > limit,
        }
    }
}

impl fmt::Debug for Sight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sight").finish_non_exhaustive()
    }
}

/// Used by `expect` lines in their options.
pub(crate) fn within(words: &mut Words) -> Result<Option<Millis>, Wrong> {
    let Some(text) = words.option("within") else { return Ok(None) };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Some(Millis::from_secs(number(&text)?)));
    }
    span(&text).map(Some)
}
