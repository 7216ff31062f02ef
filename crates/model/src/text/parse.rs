//! From lines to a [`Cluster`]: first all hosts, then all VMs, then what speaks of them; so a name may be used before
//! the line that defines it. It stops at the first mistake it meets in that order.

use super::error::{Span, TextError, quoted};
use super::lex::{Item, Line, lines};
use super::names::{Pattern, is_plain, is_plain_name};
use super::parts::{Known, Parts};
use super::value;
use crate::schedule::{Schedule, Zone};
use crate::{Circuit, Cluster, HostId, HostSpec, HostState, Mbps, Mib, Millis, Policy, Role, VmId, Watts};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MOST_HOSTS: u64 = 100_000;
pub(super) const MOST_VMS: u64 = 1_000_000;
/// Names expanded from lists and ranges in one text, so that a short hostile text cannot take for ever.
const MOST_REFERENCES: u64 = 20_000_000;

/// What a line may begin with.
const WORDS: &[&str] = &[
    "cluster", "host", "vm", "group", "asleep", "off", "unknown", "set-aside", "circuit", "hold", "keep", "policy",
    "window", "holiday",
];
pub(super) const HOST_FLAGS: &[&str] = &["keep-on", "maintenance", "unproven"];
const HOST: Known<'_> = Known {
    keys: &[
        "address", "mac", "cpus", "mem", "reserve", "overhead", "watts", "boot", "shutdown", "link", "slots",
        "cpu-group", "circuit", "role",
    ],
    flags: HOST_FLAGS,
};

/// The cluster that a text describes.
///
/// # Errors
/// The first mistake, with its place and what to write instead.
pub fn parse(text: &str) -> Result<Cluster, TextError> {
    let lines = lines(text)?;
    let mut parser = Parser::default();
    for pass in [Parser::head, Parser::hosts, Parser::vms, Parser::rules] {
        for line in &lines {
            pass(&mut parser, line)?;
        }
    }
    parser.finish()
}

/// What is known so far.
pub(super) struct Parser {
    pub(super) cluster: Cluster,
    pub(super) hosts: Names,
    pub(super) vms: Names,
    circuits: BTreeMap<String, u32>,
    macs: BTreeMap<[u8; 6], HostId>,
    addresses: BTreeMap<String, HostId>,
    pub(super) uuids: BTreeMap<uuid::Uuid, VmId>,
    seen_cluster: Option<u32>,
    pub(super) seen_policy: Option<u32>,
    /// Lines that gave hosts a state.
    pub(super) stated: BTreeMap<HostId, u32>,
    /// Hosts that are down, with the line that says so.
    pub(super) down: BTreeMap<HostId, Span>,
    references_left: u64,
}

impl Default for Parser {
    fn default() -> Self {
        let cluster = Cluster {
            name: "cluster".to_owned(),
            link: Mbps(1000),
            hosts: vec![],
            vms: vec![],
            groups: vec![],
            circuits: vec![],
            holds: vec![],
            keeps: vec![],
            policy: Policy::default(),
            schedule: Schedule::default(),
        };
        Self {
            cluster,
            hosts: Names::new("host", MOST_HOSTS),
            vms: Names::new("VM", MOST_VMS),
            circuits: BTreeMap::new(),
            macs: BTreeMap::new(),
            addresses: BTreeMap::new(),
            uuids: BTreeMap::new(),
            seen_cluster: None,
            seen_policy: None,
            stated: BTreeMap::new(),
            down: BTreeMap::new(),
            references_left: MOST_REFERENCES,
        }
    }
}

/// Names of one kind, each with its place in the inventory and the line that defined it.
pub(super) struct Names {
    kind: &'static str,
    most: u64,
    places: BTreeMap<String, (u32, u32)>,
}

impl Names {
    fn new(kind: &'static str, most: u64) -> Self {
        Self { kind, most, places: BTreeMap::new() }
    }

    /// Counts and expands the names that a line defines, and notes them.
    pub(super) fn define(&mut self, items: &[&Item<'_>], flags: &[&str], line: Span) -> Result<Vec<String>, TextError> {
        if items.is_empty() {
            return Err(line.error(format!("this line names no {}", self.kind)));
        }
        let mut patterns = Vec::with_capacity(items.len());
        let mut total = self.places.len() as u64;
        for item in items {
            let near = |flag: &&&str| strsim::damerau_levenshtein(flag, &item.text) == 1;
            if let Some(flag) = flags.iter().find(near).filter(|_| !item.quoted && items.len() > 1) {
                let error = item.span.error(format!("{} stands where names stand", quoted(&item.text)));
                return Err(error.hint(format!("did you mean the flag `{flag}`? If it is a name, quote it")));
            }
            let pattern = Pattern::of(item, "")?;
            total = total.saturating_add(pattern.count);
            if total > self.most {
                let error = item.span.error(format!("too many {}s: {total} with these", self.kind));
                return Err(error.hint(format!("at most {} are allowed", self.most)));
            }
            patterns.push(pattern);
        }
        let mut names = vec![];
        for pattern in &patterns {
            let span = pattern.span;
            pattern.each(&mut |name| {
                let place = u32::try_from(self.places.len()).expect("fewer than the cap");
                if let Some((_, earlier)) = self.places.insert(name.to_owned(), (place, span.line)) {
                    return Err(span.error(format!(
                        "{} {} is already defined on line {earlier}",
                        self.kind,
                        quoted(name)
                    )));
                }
                names.push(name.to_owned());
                Ok(())
            })?;
        }
        Ok(names)
    }

    fn find(&self, name: &str, span: Span) -> Result<usize, TextError> {
        match self.places.get(name) {
            Some((place, _)) => Ok(*place as usize),
            None => Err(span
                .error(format!("there is no {} {}", self.kind, quoted(name)))
                .suggest(name, self.places.keys().map(String::as_str))),
        }
    }
}

impl Parser {
    fn head(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let (word, span) = (&*line.word.text, line.word.span);
        if !WORDS.contains(&word) {
            let error = span.error(format!("unknown word {} at the start of a line", quoted(word)));
            return Err(error.hint(format!("lines begin with {}", WORDS.join(", "))).suggest(word, WORDS.iter().copied()));
        }
        match word {
            "cluster" => self.cluster_line(line),
            "circuit" => self.circuit_line(line),
            _ => Ok(()),
        }
    }

    fn hosts(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        if line.word.text == "host" { self.host_line(line) } else { Ok(()) }
    }

    fn finish(self) -> Result<Cluster, TextError> {
        self.check_down()?;
        Ok(self.cluster)
    }

    fn cluster_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let known = Known { keys: &["zone", "link"], flags: &[] };
        let parts = Parts::of(line.word.span, &line.rest, known)?.no_at()?;
        once(&mut self.seen_cluster, &line.word)?;
        self.cluster.name = plain_name(&parts, "cluster")?;
        self.cluster.link = parts.read("link", value::LINK, value::link)?.unwrap_or(self.cluster.link);
        if let Some(item) = parts.one("zone")? {
            self.cluster.schedule.zone = Zone::named(&item.text).ok_or_else(|| {
                item.span
                    .error(format!("there is no time zone {}", quoted(&item.text)))
                    .hint("zones have IANA names, like `Europe/Rome`")
                    .suggest(&item.text, Zone::known().iter().map(String::as_str))
            })?;
        }
        Ok(())
    }

    fn circuit_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let parts = Parts::of(line.word.span, &line.rest, Known { keys: &["wakes"], flags: &[] })?.no_at()?;
        let name = plain_name(&parts, "circuit")?;
        let wakes = parts
            .read("wakes", value::COUNT, value::count)?
            .ok_or_else(|| parts.word.error("a circuit needs `wakes=`").hint("how many of its hosts boot at once: `wakes=4`"))?;
        if let Some(earlier) = self.circuits.insert(name.clone(), line.word.span.line) {
            let error = parts.names[0].span;
            return Err(error.error(format!("circuit {} is already defined on line {earlier}", quoted(&name))));
        }
        self.cluster.circuits.push(Circuit { name, wakes });
        Ok(())
    }

    fn host_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let parts = Parts::of(line.word.span, &line.rest, HOST)?.no_at()?;
        if let Some(item) = parts.names.iter().find(|item| item.quoted && !is_plain_name(&item.text)) {
            let error = item.span.error(format!("{} cannot name a host", quoted(&item.text)));
            return Err(error.hint("host names have letters, digits, `.`, `_` and `-`, and begin with a letter or digit"));
        }
        let names = self.hosts.define(&parts.names, HOST_FLAGS, parts.word)?;
        let template = self.host(&parts)?;
        let addresses = self.addresses(&parts, names.len())?;
        if let Some(first) = template.macs.first().filter(|_| names.len() > 1) {
            let mac = super::print::mac(first);
            return Err(parts.place("mac").error(format!("{} hosts cannot share the MAC address {mac}", names.len())));
        }
        for (index, name) in names.into_iter().enumerate() {
            let id = HostId::at(self.cluster.hosts.len());
            for mac in &template.macs {
                if let Some(other) = self.macs.insert(*mac, id) {
                    let whose = if other == id { "this host" } else { &self.cluster.hosts[other.index()].name };
                    let mac = super::print::mac(mac);
                    return Err(parts.place("mac").error(format!("{mac} belongs to {} already", quoted(whose))));
                }
            }
            let address = addresses.get(index).cloned();
            if let Some(other) = address.as_ref().and_then(|address| self.addresses.insert(address.clone(), id)) {
                let whose = self.cluster.hosts.get(other.index()).map_or("this line", |host| &host.name);
                return Err(parts.place("address").error(format!("this is the address of {} already", quoted(whose))));
            }
            self.cluster.hosts.push(HostSpec { name, address, ..template.clone() });
        }
        Ok(())
    }

    /// A host of this line, but for its name and address.
    fn host(&self, parts: &Parts<'_, '_>) -> Result<HostSpec, TextError> {
        // A live host tells its own sizes; until it has, it counts as having no room.
        let live = parts.list("address").is_some();
        let missing = |key: &str, like: &str| {
            parts.word.error(format!("this host line has no `{key}=`")).hint(format!(
                "write it, like `{key}={like}`; only a host with `address=` can be asked for it"
            ))
        };
        let cpus = match parts.read("cpus", value::CORES, value::cores)? {
            None if !live => return Err(missing("cpus", "2")),
            cpus => cpus.unwrap_or(0),
        };
        let mem = match parts.read("mem", value::MEMORY, value::memory)? {
            None if !live => return Err(missing("mem", "2048M")),
            Some(Mib(0)) => return Err(parts.place("mem").error("a host has memory: `mem=` cannot be zero")),
            mem => mem.unwrap_or(Mib::ZERO),
        };
        let reserve = parts.read("reserve", value::MEMORY, value::memory)?.unwrap_or(Mib::ZERO);
        if reserve >= mem && mem > Mib::ZERO {
            return Err(parts.place("reserve").error(format!("a reserve of {reserve} leaves nothing of {mem}")));
        }
        let [idle, busy, asleep] =
            parts.read("watts", value::WATTS, value::watts)?.unwrap_or([Watts(45), Watts(95), Watts(3)]);
        if idle > busy || asleep > idle {
            let error = parts.place("watts").error(format!("asleep {asleep}, idle {idle}, busy {busy} do not rise"));
            return Err(error.hint("the order is idle/busy/asleep, like 45/95/3"));
        }
        let circuit = parts.one("circuit")?;
        if let Some(item) = circuit.filter(|item| !self.circuits.contains_key(&*item.text)) {
            let error = item.span.error(format!("there is no circuit {}", quoted(&item.text)));
            let hint = format!("define it with a line `circuit {} wakes=4`", item.text.replace(|c| !is_plain(c), "?"));
            return Err(error.hint(hint).suggest(&item.text, self.circuits.keys().map(String::as_str)));
        }
        let roles = Role::ALL.map(Role::as_str).join(", ");
        let role = |text: &str| Role::ALL.into_iter().find(|role| role.as_str() == text);
        let macs = parts.list("mac").unwrap_or_default().iter().map(|item| {
            value::mac(&item.text)
                .ok_or_else(|| item.span.error(format!("`mac=` takes {}, not {}", value::MAC, quoted(&item.text))))
        });
        Ok(HostSpec {
            name: String::new(),
            address: None,
            macs: macs.collect::<Result<_, _>>()?,
            cpus,
            mem,
            reserve,
            overhead: parts.read("overhead", value::MEMORY, value::memory)?.unwrap_or(Mib::ZERO),
            watts_idle: idle,
            watts_busy: busy,
            watts_asleep: asleep,
            boot: parts.read("boot", value::SECONDS, value::seconds)?.unwrap_or(Millis::from_secs(75)),
            shutdown: parts.read("shutdown", value::SECONDS, value::seconds)?.unwrap_or(Millis::from_secs(20)),
            link: parts.read("link", value::LINK, value::link)?.unwrap_or(self.cluster.link),
            slots: parts.read("slots", value::COUNT, value::count)?,
            cpu_group: parts.read("cpu-group", "a plain name", plain)?,
            circuit: circuit.map(|item| item.text.clone().into_owned()),
            role: parts.read("role", &format!("one of {roles}"), role)?,
            keep_on: parts.flag("keep-on"),
            maintenance: parts.flag("maintenance"),
            unproven: parts.flag("unproven"),
            state: HostState::On,
        })
    }

    /// One address for each host of the line, or none.
    fn addresses(&mut self, parts: &Parts<'_, '_>, hosts: usize) -> Result<Vec<String>, TextError> {
        let Some(items) = parts.list("address") else { return Ok(vec![]) };
        let mut addresses = vec![];
        for item in items {
            if item.quoted {
                return Err(item.span.error("an address is written without quotes"));
            }
            let pattern = Pattern::of(item, ":%")?;
            self.spend(pattern.count, item.span)?;
            pattern.each(&mut |address| {
                addresses.push(address.to_owned());
                Ok(())
            })?;
        }
        if addresses.len() != hosts {
            let what = format!("{hosts} hosts and {} addresses", addresses.len());
            return Err(parts.place("address").error(what).hint("give one address for each host: `10.0.0.[1-62]`"));
        }
        Ok(addresses)
    }

    /// The hosts that a list names, each once, in its order.
    pub(super) fn host_set<'i, 'a: 'i>(
        &mut self,
        items: impl IntoIterator<Item = &'i Item<'a>>,
    ) -> Result<Vec<HostId>, TextError> {
        Ok(distinct(self.host_list(items)?))
    }

    /// The hosts that a list names, as often as it does.
    pub(super) fn host_list<'i, 'a: 'i>(
        &mut self,
        items: impl IntoIterator<Item = &'i Item<'a>>,
    ) -> Result<Vec<HostId>, TextError> {
        let mut found = vec![];
        for item in items {
            let pattern = Pattern::of(item, "")?;
            self.spend(pattern.count, item.span)?;
            pattern.each(&mut |name| self.hosts.find(name, item.span).map(|place| found.push(HostId::at(place))))?;
        }
        Ok(found)
    }

    pub(super) fn vm_set<'i, 'a: 'i>(
        &mut self,
        items: impl IntoIterator<Item = &'i Item<'a>>,
    ) -> Result<Vec<VmId>, TextError> {
        let mut found = vec![];
        for item in items {
            let pattern = Pattern::of(item, "")?;
            self.spend(pattern.count, item.span)?;
            pattern.each(&mut |name| self.vms.find(name, item.span).map(|place| found.push(VmId::at(place))))?;
        }
        Ok(distinct(found))
    }

    /// Takes from the budget of names that a text may expand to.
    pub(super) fn spend(&mut self, many: u64, span: Span) -> Result<(), TextError> {
        self.references_left = self
            .references_left
            .checked_sub(many)
            .ok_or_else(|| span.error(format!("the lists of this text name more than {MOST_REFERENCES} in all")))?;
        Ok(())
    }
}

/// Each once, in the order of its first.
fn distinct<T: Copy + Ord>(mut list: Vec<T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    list.retain(|id| seen.insert(*id));
    list
}

/// Refuses a second line of a kind that stands once.
pub(super) fn once(seen: &mut Option<u32>, word: &Item<'_>) -> Result<(), TextError> {
    match seen.replace(word.span.line) {
        None => Ok(()),
        Some(earlier) => {
            Err(word.span.error(format!("a second `{}` line; the first is line {earlier}", word.text)))
        }
    }
}

pub(super) fn plain(text: &str) -> Option<String> {
    is_plain_name(text).then(|| text.to_owned())
}

/// The one plain name that a line gives what it defines.
pub(super) fn plain_name(parts: &Parts<'_, '_>, kind: &str) -> Result<String, TextError> {
    let example = |error: TextError| error.hint(format!("a {kind} has one plain name of letters, digits, `.`, `_` and `-`"));
    match &parts.names[..] {
        [] => Err(example(parts.word.error(format!("this line names no {kind}")))),
        [item] => plain(&item.text)
            .ok_or_else(|| example(item.span.error(format!("{} cannot name a {kind}", quoted(&item.text))))),
        [_, item, ..] => Err(example(item.span.error(format!("unexpected word {}", quoted(&item.text))))),
    }
}
