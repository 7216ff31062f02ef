//! Clusters that anyone gets the same: an integer generator of their own writes the cluster text.

use dormouse_model::{Goal, Millis, Snapshot};
use std::fmt::Write as _;
use std::sync::Arc;

/// One night.
pub(crate) const NIGHT: Goal = Goal::Compact { horizon: Millis::from_secs(8 * 3600) };
/// Nothing kept back, so that hosts are compared with the bound of the VMs alone.
pub(crate) const BARE: &str = "spare.min=0 spare.target=0 failover=0";

/// A small generator (splitmix64): same numbers on every machine.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// The lab of 62 hosts that the project grew from.
pub(crate) fn lab() -> Snapshot {
    picture(&format!(
        "cluster lab\nhost lab[01-62] cpus=2 mem=2048M watts=45/95/3 boot=75s link=1000M\n\
         vm pc[01-62]@lab[01-62] vcpus=1 mem=256M cpu=0.02 home=lab[01-62]\npolicy balanced {BARE}\n"
    ))
}

/// VMs of 0.5 to 4 GB on hosts of 64 GB, about a third full.
#[derive(Clone, Copy)]
pub(crate) struct Mixed {
    pub(crate) hosts: u64,
    pub(crate) vms: u64,
    pub(crate) seed: u64,
    /// Sizes are multiples of it.
    pub(crate) step_mib: u64,
    /// Every second host has 128 GB and draws more.
    pub(crate) unlike: bool,
    /// A tenth of the VMs under spread, gather, pin, ban and fence.
    pub(crate) rules: bool,
    pub(crate) knobs: &'static str,
}

impl Mixed {
    pub(crate) const fn of(hosts: u64, vms: u64) -> Self {
        Self { hosts, vms, seed: 1, step_mib: 256, unlike: false, rules: false, knobs: BARE }
    }

    pub(crate) fn picture(&self) -> Snapshot {
        picture(&self.text())
    }

    fn text(&self) -> String {
        let mut numbers = Numbers(self.seed);
        let mut text = String::from("cluster mixed\n");
        for host in 0..self.hosts {
            let kind = match self.unlike && host % 2 == 1 {
                false => "cpus=16 mem=64G watts=110/320/8",
                true => "cpus=32 mem=128G watts=190/520/10",
            };
            line(&mut text, format_args!("host h{host:05} {kind} boot=180s link=10000M"));
        }
        let mut places = vec![];
        for vm in 0..self.vms {
            let mem = 512 + numbers.below((4096 - 512) / self.step_mib + 1) * self.step_mib;
            let mut at = numbers.below(self.hosts);
            let cpu = numbers.below(40);
            if self.rules && rule_of(vm) == Some(Rule::Gather) && vm % 10 == 1 {
                at = places[usize::try_from(vm - 1).expect("few VMs")];
            }
            places.push(at);
            let rule = if self.rules { self.rule_words(vm, at, &mut numbers) } else { String::new() };
            line(&mut text, format_args!("vm v{vm:06}@h{at:05} vcpus=2 mem={mem}M cpu=0.{cpu:02}{rule}"));
        }
        if self.rules {
            self.groups(&mut text, &places);
        }
        line(&mut text, format_args!("policy balanced {}", self.knobs));
        text
    }

    /// Pin to twenty hosts, ban from ten; the VM stands on one that it may be on.
    fn rule_words(&self, vm: u64, at: u64, numbers: &mut Numbers) -> String {
        let mut some = |count: u64| {
            let hosts = (0..count).map(|_| numbers.below(self.hosts)).filter(|host| *host != at);
            hosts.map(|host| format!("h{host:05}")).collect::<Vec<_>>().join(",")
        };
        match rule_of(vm) {
            Some(Rule::Pin) => format!(" pin=h{at:05},{}", some(20)),
            Some(Rule::Ban) => format!(" ban={}", some(10)),
            _ => String::new(),
        }
    }

    fn groups(&self, text: &mut String, places: &[u64]) {
        let of = |rule: Rule| (0..self.vms).filter(move |vm| rule_of(*vm) == Some(rule));
        for pair in of(Rule::Gather).filter(|vm| vm % 10 == 0) {
            line(text, format_args!("group g{pair} = v{pair:06} v{:06} gather", pair + 1));
        }
        // Four by four.
        let apart: Vec<u64> = of(Rule::Spread).collect();
        for four in apart.chunks(4) {
            let names: Vec<String> = four.iter().map(|vm| format!("v{vm:06}")).collect();
            line(text, format_args!("group s{} = {} spread", four[0], names.join(",")));
        }
        // The half of the hosts on which they stand.
        let half = self.hosts / 2;
        for (name, low) in [("low", true), ("high", false)] {
            let inside = |vm: &u64| (places[usize::try_from(*vm).expect("few VMs")] < half) == low;
            let names: Vec<String> = of(Rule::Fence).filter(inside).map(|vm| format!("v{vm:06}")).collect();
            let (from, to) = if low { (0, half - 1) } else { (half, self.hosts - 1) };
            line(text, format_args!("group {name} = {} fence=h[{from:05}-{to:05}]", names.join(",")));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Gather,
    Spread,
    Pin,
    Ban,
    Fence,
}

/// Of each hundred VMs ten: two under each kind of rule.
fn rule_of(vm: u64) -> Option<Rule> {
    match vm % 100 {
        0 | 1 => Some(Rule::Gather),
        22 | 23 => Some(Rule::Spread),
        44 | 45 => Some(Rule::Pin),
        66 | 67 => Some(Rule::Ban),
        88 | 89 => Some(Rule::Fence),
        _ => None,
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(text, "{words}").expect("a string takes everything");
}

pub(crate) fn picture(text: &str) -> Snapshot {
    Snapshot::of(&Arc::new(dormouse_model::text::parse(text).expect("generated text parses")))
}
