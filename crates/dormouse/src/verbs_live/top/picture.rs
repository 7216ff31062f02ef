//! What was seen last, as rows in the order and choice that a person asked for. Knows no terminal.

use crate::cli::safe;
use crate::daemon::wire::{HostView, StatusView, VmView};
use crate::verbs_live::{age, events};
use dormouse_driver::EventRecord;
use std::cmp::Reverse;

/// One answer of the daemon to everything.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) status: StatusView,
    pub(super) hosts: Vec<HostView>,
    pub(super) vms: Vec<VmView>,
    /// Oldest first.
    pub(super) trail: Vec<EventRecord>,
}

/// What was seen last, and whether it is of now.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) seen: Option<Seen>,
    /// Why the daemon does not answer: what is shown is of before.
    pub(super) silent: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tab {
    #[default]
    Hosts,
    Vms,
    Events,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Name,
    State,
    Load,
    Memory,
    Vms,
}

impl Sort {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Name => Self::State,
            Self::State => Self::Load,
            Self::Load => Self::Memory,
            Self::Memory => Self::Vms,
            Self::Vms => Self::Name,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Vms => "VMs",
        }
    }
}

/// Colour of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Fine,
    Dim,
    OnItsWay,
    Trouble,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// What the daemon calls it; a VM by its UUID.
    pub(super) key: String,
    pub(super) cells: Vec<String>,
    /// Thousandths that are drawn as bars before the cells of these places.
    pub(super) bars: Vec<(usize, u64)>,
    pub(super) tone: Tone,
}

impl Picture {
    pub(super) fn seen(&mut self, seen: Seen) {
        (self.seen, self.silent) = (Some(seen), None);
    }

    pub(super) fn silent(&mut self, why: String) {
        self.silent = Some(why);
    }

    /// Rows whose text holds `filter`, in this order.
    pub(super) fn rows(&self, tab: Tab, sort: Sort, backward: bool, filter: &str) -> Vec<Row> {
        let Some(seen) = &self.seen else { return vec![] };
        let mut rows = match tab {
            Tab::Hosts => hosts(&seen.hosts, sort),
            Tab::Vms => vms(&seen.vms, sort),
            Tab::Events => return trail(&seen.trail, filter),
        };
        if backward {
            rows.reverse();
        }
        let filter = filter.to_lowercase();
        let matches = |row: &Row, address: Option<&str>| {
            row.cells.iter().any(|cell| cell.to_lowercase().contains(&filter))
                || row.key.contains(&filter)
                || address.is_some_and(|address| address.contains(&filter))
        };
        if !filter.is_empty() {
            let address = |row: &Row| {
                let host = seen.hosts.iter().find(|host| tab == Tab::Hosts && host.name == row.key);
                host.and_then(|host| host.address.clone())
            };
            rows.retain(|row| matches(row, address(row).as_deref()));
        }
        rows
    }
}

fn hosts(hosts: &[HostView], sort: Sort) -> Vec<Row> {
    let mut hosts: Vec<&HostView> = hosts.iter().collect();
    let mem = |host: &HostView| host.mem_used_mib * 1000 / host.mem_mib.max(1);
    let by_name = |host: &HostView| natural(&host.name);
    match sort {
        Sort::Name => hosts.sort_by_cached_key(|host| by_name(host)),
        Sort::State => hosts.sort_by_cached_key(|host| (rank(&host.state), by_name(host))),
        Sort::Load => {
            hosts.sort_by_cached_key(|host| (Reverse(host.load15_permille.unwrap_or(0)), by_name(host)))
        }
        Sort::Memory => hosts.sort_by_cached_key(|host| (Reverse(mem(host)), by_name(host))),
        Sort::Vms => hosts.sort_by_cached_key(|host| (Reverse(host.vms.len()), by_name(host))),
    }
    hosts.into_iter().map(|host| host_row(host, mem(host))).collect()
}

fn host_row(host: &HostView, mem: u64) -> Row {
    let down = matches!(host.state.as_str(), "asleep" | "off");
    let load = host.load15_permille.filter(|_| !down);
    // What stands against its sleep is what people ask of a host that is on; a host in trouble has something else to say.
    let error = host.error.as_ref().filter(|_| !down);
    let mut notes: Vec<String> = host.marks.clone();
    notes.extend(error.cloned());
    notes.extend(host.obstacles.first().cloned().filter(|_| error.is_none()));
    Row {
        key: host.name.clone(),
        cells: vec![
            safe(&host.name).into_owned(),
            host.state.clone(),
            age(host.in_state_ms),
            load.map_or_else(String::new, |load| format!("{}%", load / 10)),
            if down { String::new() } else { format!("{}%", mem / 10) },
            if host.vms.is_empty() { String::new() } else { host.vms.len().to_string() },
            safe(&notes.join(", ")).into_owned(),
        ],
        bars: if down { vec![] } else { load.map(|load| (3, load)).into_iter().chain([(4, mem)]).collect() },
        tone: match host.state.as_str() {
            "on" => Tone::Fine,
            "asleep" | "off" => Tone::Dim,
            "unknown" | "unusable" | "set-aside" => Tone::Trouble,
            _ => Tone::OnItsWay,
        },
    }
}

fn vms(vms: &[VmView], sort: Sort) -> Vec<Row> {
    let mut vms: Vec<&VmView> = vms.iter().collect();
    let by_name = |vm: &VmView| (natural(&vm.name), vm.uuid.clone());
    match sort {
        Sort::Name => vms.sort_by_cached_key(|vm| by_name(vm)),
        Sort::State => vms.sort_by_cached_key(|vm| (vm.state.clone(), by_name(vm))),
        Sort::Load => vms.sort_by_cached_key(|vm| (Reverse(vm.cpu_milli), by_name(vm))),
        Sort::Memory => vms.sort_by_cached_key(|vm| (Reverse(vm.mem_mib), by_name(vm))),
        // Those of one host together.
        Sort::Vms => vms.sort_by_cached_key(|vm| (vm.host.as_deref().map(natural), by_name(vm))),
    }
    vms.into_iter().map(vm_row).collect()
}

fn vm_row(vm: &VmView) -> Row {
    let place = vm.host.clone().unwrap_or_else(|| vm.hosts.join(", "));
    let limit = u64::from(vm.vcpus.max(1)) * 1000;
    let mut notes: Vec<String> = vm.doubles.clone();
    notes.extend(vm.immovable.clone());
    Row {
        key: vm.uuid.clone(),
        cells: vec![
            safe(&vm.name).into_owned(),
            vm.state.clone(),
            safe(&place).into_owned(),
            format!("{}.{:02}", vm.cpu_milli / 1000, vm.cpu_milli % 1000 / 10),
            format!("{} MiB", vm.mem_mib),
            if vm.moves_day == 0 { String::new() } else { vm.moves_day.to_string() },
            safe(&notes.join(", ")).into_owned(),
        ],
        bars: vec![(3, (vm.cpu_milli * 1000 / limit).min(1000))],
        tone: match vm.state.as_str() {
            "running" => Tone::Fine,
            "stopped" | "saved" => Tone::Dim,
            "migrating" | "paused" => Tone::OnItsWay,
            _ => Tone::Trouble,
        },
    }
}

/// Newest first.
fn trail(trail: &[EventRecord], filter: &str) -> Vec<Row> {
    let filter = filter.to_lowercase();
    trail
        .iter()
        .rev()
        .map(|event| Row {
            key: event.seq.to_string(),
            cells: vec![anstream::adapter::strip_str(events::line(event).trim_end()).to_string()],
            bars: vec![],
            tone: match event.level.as_str() {
                "alarm" => Tone::Trouble,
                "warn" => Tone::OnItsWay,
                _ => Tone::Fine,
            },
        })
        .filter(|row| row.cells[0].to_lowercase().contains(&filter))
        .collect()
}

/// What needs a person first.
fn rank(state: &str) -> usize {
    const ORDER: [&str; 9] =
        ["set-aside", "unusable", "unknown", "draining", "stopping", "waking", "on", "off", "asleep"];
    ORDER.iter().position(|known| *known == state).unwrap_or(0)
}

/// `lab9` before `lab10`.
fn natural(name: &str) -> Vec<(String, Option<u64>)> {
    let mut parts = vec![];
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, numbered) = rest.split_at(digits);
        let end = numbered.find(|c: char| !c.is_ascii_digit()).unwrap_or(numbered.len());
        let (number, after) = numbered.split_at(end);
        parts.push((word.to_owned(), (!number.is_empty()).then(|| number.parse().unwrap_or(u64::MAX))));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["lab10", "lab9", "a", "lab9b", "lab", "lab99999999999999999999999"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["a", "lab", "lab9", "lab9b", "lab10", "lab99999999999999999999999"]);
    }
}
