//! From a [`Cluster`] to its canonical text. Neighbours that differ in the number of their name only share a line.

use super::calendar::WEEK;
use super::hosts::HOST_FLAGS;
use super::names::{follows, is_plain, is_plain_name, range};
use super::parse::like_a_flag;
use super::rules::{GROUP_FLAGS, VM_FLAGS};
use super::{duration_text, error::reorders};
use crate::schedule::{Days, Holiday, Window, WindowGoal, Zone};
use crate::{Cluster, HostId, HostSpec, HostState, Mbps, Mib, Policy, Rule, VmId, VmSpec};
use jiff::civil::{Date, Time, Weekday};
use std::fmt::Write;

/// The text of a cluster: [`super::parse`] gives the same cluster back. What a text cannot say is said as near as it
/// can: a host between two states becomes `unknown` (or on, while it is draining).
#[must_use]
pub fn print(cluster: &Cluster) -> String {
    let mut out = Printer { cluster, text: String::new() };
    out.line("cluster", |out| {
        out.word(&plain(&cluster.name));
        if cluster.schedule.zone != Zone::default() {
            out.key("zone", &cluster.schedule.zone);
        }
        out.key("link", link(cluster.link));
    });
    for circuit in &cluster.circuits {
        out.line("circuit", |out| {
            out.word(&plain(&circuit.name));
            out.key("wakes", circuit.wakes);
        });
    }
    for same in cluster.hosts.chunk_by(joins_host) {
        out.line("host", |out| out.host(same));
    }
    for state in [HostState::Asleep, HostState::Off, HostState::Unknown, HostState::SetAside] {
        let hosts = cluster.host_ids().filter(|id| told(cluster.hosts[id.index()].state) == state);
        out.hosts_line(state.as_str(), &hosts.collect::<Vec<_>>(), |_| {});
    }
    for same in runs_of_vms(cluster) {
        out.line("vm", |out| out.vm(same));
    }
    for group in &cluster.groups {
        out.line("group", |out| {
            out.word(&plain(&group.name));
            out.word("=");
            out.word(&out.vms(&group.vms).join(" "));
            for rule in &group.rules {
                match rule {
                    Rule::Spread => out.word("spread"),
                    Rule::Gather => out.word("gather"),
                    Rule::Fence(hosts) => out.key("fence", out.hosts(hosts).join(",")),
                }
            }
        });
    }
    for hold in &cluster.holds {
        out.hosts_line("hold", &hold.hosts, |out| {
            if let Some(until) = hold.until {
                out.key("until", format_args!("{}T{}", until.date(), clock(until.time())));
            }
            for (key, value) in [("by", &hold.by), ("why", &hold.why)] {
                if let Some(value) = value {
                    out.key(key, text(value));
                }
            }
        });
    }
    for keep in &cluster.keeps {
        out.hosts_line(&format!("keep {} of", keep.count), &keep.hosts, |_| {});
    }
    out.line("policy", |out| out.policy(&cluster.policy));
    for window in &cluster.schedule.windows {
        out.line("window", |out| out.window(window));
    }
    for same in cluster.schedule.holidays.chunk_by(|a, b| a.as_day == b.as_day && a.why == b.why) {
        out.line("holiday", |out| out.holidays(same));
    }
    out.text
}

pub(super) fn mac(bytes: &[u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

struct Printer<'c> {
    cluster: &'c Cluster,
    text: String,
}

impl Printer<'_> {
    fn line(&mut self, word: &str, rest: impl FnOnce(&mut Self)) {
        self.text += word;
        rest(self);
        self.text.push('\n');
    }

    fn word(&mut self, word: &str) {
        self.text.push(' ');
        self.text += word;
    }

    fn key(&mut self, key: &str, value: impl std::fmt::Display) {
        write!(self.text, " {key}={value}").expect("a String takes all");
    }

    fn flags(&mut self, flags: &[(&str, bool)]) {
        for (flag, _) in flags.iter().filter(|(_, set)| *set) {
            self.word(flag);
        }
    }

    /// A line about a list of hosts; none about an empty one.
    fn hosts_line(&mut self, word: &str, hosts: &[HostId], rest: impl FnOnce(&mut Self)) {
        if !hosts.is_empty() {
            self.line(word, |out| {
                out.word(&out.hosts(hosts).join(" "));
                rest(out);
            });
        }
    }

    fn host_name(&self, id: HostId) -> &str {
        &self.cluster.hosts[id.index()].name
    }

    fn hosts(&self, ids: &[HostId]) -> Vec<String> {
        items(&ids.iter().map(|id| self.host_name(*id)).collect::<Vec<_>>())
    }

    fn vms(&self, ids: &[VmId]) -> Vec<String> {
        items(&ids.iter().map(|id| self.cluster.vms[id.index()].name.as_str()).collect::<Vec<_>>())
    }

    fn host(&mut self, same: &[HostSpec]) {
        let host = &same[0];
        self.word(&items(&same.iter().map(|host| host.name.as_str()).collect::<Vec<_>>()).join(" "));
        if let Some(address) = &host.address {
            self.key("address", address);
        }
        if !host.macs.is_empty() {
            self.key("mac", host.macs.iter().map(mac).collect::<Vec<_>>().join(","));
        }
        if host.cpus > 0 {
            self.key("cpus", host.cpus);
        }
        for (key, value) in [("mem", host.mem), ("reserve", host.reserve), ("overhead", host.overhead)] {
            if value > Mib::ZERO {
                self.key(key, memory(value));
            }
        }
        let [idle, busy, asleep] = [host.watts_idle, host.watts_busy, host.watts_asleep].map(|watts| watts.0);
        self.key("watts", format_args!("{idle}/{busy}/{asleep}"));
        self.key("boot", duration_text(host.boot));
        self.key("shutdown", duration_text(host.shutdown));
        if host.link != self.cluster.link {
            self.key("link", link(host.link));
        }
        if let Some(slots) = host.slots {
            self.key("slots", slots);
        }
        for (key, name) in [("cpu-group", &host.cpu_group), ("circuit", &host.circuit)] {
            if let Some(name) = name {
                self.key(key, plain(name));
            }
        }
        self.texts("network", &host.networks);
        if let Some(role) = host.role {
            self.key("role", role);
        }
        self.flags(&[
            ("keep-on", host.keep_on),
            ("maintenance", host.maintenance),
            ("unproven", host.unproven),
        ]);
    }

    fn vm(&mut self, same: &[VmSpec]) {
        let vm = &same[0];
        let places = |hosts: Vec<HostId>| match &hosts[..] {
            [first, rest @ ..] if rest.iter().all(|host| host == first) => self.hosts(&[*first]).join(","),
            _ => self.hosts(&hosts).join(","),
        };
        let at = places(same.iter().map(|vm| vm.at).collect());
        let home = vm.home.map(|_| places(same.iter().filter_map(|vm| vm.home).collect()));
        let names = items(&same.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>()).join(",");
        self.word(&format!("{names}@{at}"));
        if vm.uuid != VmSpec::uuid_of_name(&vm.name) {
            self.key("uuid", vm.uuid);
        }
        self.key("vcpus", vm.vcpus);
        self.key("mem", memory(vm.mem));
        if vm.cpu.0 > 0 {
            self.key("cpu", thousandths(vm.cpu.0));
        }
        if vm.dirty_mib_s > 0 {
            self.key("dirty", vm.dirty_mib_s);
        }
        if let Some(home) = home {
            self.key("home", home);
        }
        for (key, hosts) in [("pin", &vm.pin), ("ban", &vm.ban)] {
            if !hosts.is_empty() {
                self.key(key, self.hosts(hosts).join(","));
            }
        }
        let devices = &vm.devices;
        if !devices.macs.is_empty() {
            self.key("mac", devices.macs.iter().map(mac).collect::<Vec<_>>().join(","));
        }
        self.texts("disk", &devices.disks);
        self.texts("network", &devices.networks);
        self.flags(&[
            ("no-move", vm.no_move),
            ("local-disk", vm.local_disk),
            ("stopped", vm.stopped),
            ("autostart", vm.autostart),
        ]);
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        if !texts.is_empty() {
            self.key(key, texts.iter().map(|one| text(one)).collect::<Vec<_>>().join(","));
        }
    }

    /// The name, and the knobs that differ from what the policy starts with.
    fn policy(&mut self, policy: &Policy) {
        self.word(policy.name.as_str());
        let start = Policy::named(policy.name);
        for ((name, value), (_, usual)) in policy.knobs.entries().zip(start.knobs.entries()) {
            if value != usual {
                self.key(name, value);
            }
        }
    }

    fn window(&mut self, window: &Window) {
        self.word(&plain(&window.name));
        for (index, same) in window.spans.chunk_by(|a, b| a.days == b.days).enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.word(&match &same[0].days {
                Days::Week(week) => days(week),
                Days::Dates(all) => all.iter().map(dates).collect::<Vec<_>>().join(","),
            });
            for span in same {
                self.word(&format!("{}-{}", clock(span.start), clock(span.end)));
            }
        }
        self.key("goal", window.goal);
        if window.goal == WindowGoal::Spread && window.up_by.0 > 0 {
            self.key("up-by", format_args!("-{}", duration_text(window.up_by)));
        }
        self.flags(&[("wake-all", window.wake_all)]);
    }

    fn holidays(&mut self, same: &[Holiday]) {
        let all = same.iter().map(|holiday| dates(&(holiday.from, holiday.to)));
        self.word(&all.collect::<Vec<_>>().join(", "));
        if let Some((name, _)) = same[0].as_day.and_then(|day| WEEK.iter().find(|(_, known)| *known == day)) {
            self.key("as", name);
        }
        if let Some(why) = &same[0].why {
            self.key("why", text(why));
        }
    }
}

/// The state that a text can say for this one.
fn told(state: HostState) -> HostState {
    match state {
        HostState::On | HostState::Draining => HostState::On,
        HostState::Stopping | HostState::Waking | HostState::Unusable => HostState::Unknown,
        other => other,
    }
}

/// Whether the next host can stand on the line of this one. States have lines of their own.
fn joins_host(host: &HostSpec, next: &HostSpec) -> bool {
    let alone = |host: &HostSpec| host.address.is_some() || !host.macs.is_empty();
    !alone(host)
        && !alone(next)
        && follows(&host.name, &next.name)
        && *host == HostSpec { name: host.name.clone(), state: host.state, ..next.clone() }
}

/// Neighbours in number and equal but for where they are and belong, which must be one host or a range like the names.
fn runs_of_vms(cluster: &Cluster) -> impl Iterator<Item = &[VmSpec]> {
    let host = |id: HostId| cluster.hosts[id.index()].name.as_str();
    let steps = move |from: Option<HostId>, to: Option<HostId>| match (from, to) {
        (None, None) => Some(false),
        (Some(from), Some(to)) if from == to => Some(false),
        (Some(from), Some(to)) if follows(host(from), host(to)) => Some(true),
        _ => None,
    };
    let mut rest = &cluster.vms[..];
    std::iter::from_fn(move || {
        let mut long = 1;
        // Whether the place and the home step on; the first two VMs decide.
        let mut way = None;
        for pair in rest.windows(2) {
            let (vm, next) = (&pair[0], &pair[1]);
            let step = (steps(Some(vm.at), Some(next.at)), steps(vm.home, next.home));
            let (Some(at), Some(home)) = step else { break };
            let named = |vm: &VmSpec| vm.uuid == VmSpec::uuid_of_name(&vm.name);
            if !follows(&vm.name, &next.name)
                || way.is_some_and(|way| way != (at, home))
                || !(named(vm) && named(next))
                || *vm
                    != (VmSpec {
                        name: vm.name.clone(),
                        uuid: vm.uuid,
                        at: vm.at,
                        home: vm.home,
                        ..next.clone()
                    })
            {
                break;
            }
            way = Some((at, home));
            long += 1;
        }
        let (run, behind) = rest.split_at_checked(long)?;
        rest = behind;
        Some(run)
    })
}

/// Names as a list, runs of numbers as ranges.
fn items(names: &[&str]) -> Vec<String> {
    let run = |run: &[&str]| match run {
        [first, .., last] => range(first, last),
        _ => name(run[0]),
    };
    names.chunk_by(|a, b| follows(a, b)).map(run).collect()
}

/// A name, in quotes where it would be read as something else.
fn name(name: &str) -> String {
    let clear = |flags: &[&str]| !flags.contains(&name) && like_a_flag(name, flags).is_none();
    let clear = is_plain_name(name) && [HOST_FLAGS, VM_FLAGS, GROUP_FLAGS].into_iter().all(clear);
    if clear { name.to_owned() } else { quote(name) }
}

/// Free text, in quotes where it needs them.
fn text(value: &str) -> String {
    let bare = |c: char| is_plain(c) || matches!(c, ':' | '/' | '+' | '@');
    if !value.is_empty() && value.chars().all(bare) { value.to_owned() } else { quote(value) }
}

fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            c if c.is_control() || reorders(c) => out += &format!("\\u{{{:x}}}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Names that only a text can give are plain; one made elsewhere must not break the line.
fn plain(name: &str) -> String {
    name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect()
}

fn memory(size: Mib) -> String {
    if size.0 > 0 && size.0.is_multiple_of(1024) {
        format!("{}G", size.0 / 1024)
    } else {
        format!("{}M", size.0)
    }
}

fn link(rate: Mbps) -> String {
    format!("{}M", rate.0)
}

fn thousandths(value: u64) -> String {
    let text = format!("{}.{:03}", value / 1000, value % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn clock(time: Time) -> String {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

/// `2026-12-25`, `2026-12-31..2027-01-06`.
fn dates((from, to): &(Date, Date)) -> String {
    if from == to { from.to_string() } else { format!("{from}..{to}") }
}

/// `Mon-Fri`, `Mon,Wed`, `Sat-Mon`.
fn days(days: &[Weekday]) -> String {
    let name = |day: &Weekday| WEEK.iter().find(|(_, known)| known == day).map_or("", |(name, _)| name);
    let runs = days.chunk_by(|a, b| a.next() == *b).flat_map(|run| match run {
        [first, _, .., last] => vec![format!("{}-{}", name(first), name(last))],
        few => few.iter().map(|day| name(day).to_owned()).collect(),
    });
    runs.collect::<Vec<_>>().join(",")
}
