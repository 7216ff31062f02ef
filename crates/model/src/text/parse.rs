//! From lines to a [`Cluster`]: first all hosts, then all VMs, then what speaks of them; so a name may be used before
//! the line that defines it. It stops at the first mistake it meets in that order.

use super::error::{Span, TextError, quoted};
use super::lex::{Item, Line, lines};
use super::names::{Pattern, is_plain_name};
use super::parts::{Known, Parts};
use super::value;
use crate::schedule::{Schedule, Zone};
use crate::{Circuit, Cluster, HostId, Mbps, Policy, VmId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MOST_HOSTS: u64 = 100_000;
pub(super) const MOST_VMS: u64 = 1_000_000;
/// Words take several times their own room while they are read.
const MOST_BYTES: usize = 64 << 20;
/// Names expanded from lists and ranges in one text, so that a short hostile text cannot take for ever.
const MOST_REFERENCES: u64 = 10_000_000;

/// What a line may begin with.
pub(super) const WORDS: &[&str] = &[
    "cluster",
    "host",
    "vm",
    "group",
    "asleep",
    "off",
    "unknown",
    "set-aside",
    "circuit",
    "hold",
    "keep",
    "policy",
    "window",
    "holiday",
];

/// The cluster that a text describes.
///
/// # Errors
/// The first mistake, with its place and what to write instead.
pub fn parse(text: &str) -> Result<Cluster, TextError> {
    if text.len() > MOST_BYTES {
        let start = Span { line: 1, column: 1, width: 1 };
        return Err(start.error(format!("a text of {} bytes; at most {MOST_BYTES} are read", text.len())));
    }
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
    pub(super) circuits: BTreeMap<String, u32>,
    pub(super) groups: BTreeMap<String, u32>,
    pub(super) macs: BTreeMap<[u8; 6], HostId>,
    pub(super) addresses: BTreeMap<String, HostId>,
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
            groups: BTreeMap::new(),
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
    pub(super) fn define(
        &mut self,
        items: &[&Item<'_>],
        flags: &[&str],
        line: Span,
    ) -> Result<Vec<String>, TextError> {
        if items.is_empty() {
            return Err(line.error(format!("this line names no {}", self.kind)));
        }
        let mut patterns = Vec::with_capacity(items.len());
        let mut total = self.places.len() as u64;
        for item in items {
            if let Some(flag) = like_a_flag(&item.text, flags).filter(|_| !item.quoted && items.len() > 1) {
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
            None => {
                // Comparing with every name of a huge cluster would take seconds.
                let known = self.places.keys().map(String::as_str).take(20_000);
                Err(span.error(format!("there is no {} {}", self.kind, quoted(name))).suggest(name, known))
            }
        }
    }
}

impl Parser {
    fn head(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let (word, span) = (&*line.word.text, line.word.span);
        if !WORDS.contains(&word) {
            let error = span.error(format!("unknown word {} at the start of a line", quoted(word)));
            return Err(error
                .hint(format!("lines begin with {}", WORDS.join(", ")))
                .suggest(word, WORDS.iter().copied()));
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
        let wakes = parts.read("wakes", value::COUNT, value::count)?.ok_or_else(|| {
            parts.word.error("a circuit needs `wakes=`").hint("how many of its hosts boot at once: `wakes=4`")
        })?;
        if let Some(earlier) = self.circuits.insert(name.clone(), line.word.span.line) {
            let error = parts.names[0].span;
            return Err(
                error.error(format!("circuit {} is already defined on line {earlier}", quoted(&name)))
            );
        }
        self.cluster.circuits.push(Circuit { name, wakes });
        Ok(())
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
        let patterns = self.patterns(items)?;
        let mut found = vec![];
        for pattern in &patterns {
            pattern.each(&mut |name| {
                self.hosts.find(name, pattern.span).map(|place| found.push(HostId::at(place)))
            })?;
        }
        Ok(found)
    }

    /// The VMs that a list names, each once, in its order.
    pub(super) fn vm_set<'i, 'a: 'i>(
        &mut self,
        items: impl IntoIterator<Item = &'i Item<'a>>,
    ) -> Result<Vec<VmId>, TextError> {
        let patterns = self.patterns(items)?;
        let mut found = vec![];
        for pattern in &patterns {
            pattern.each(&mut |name| {
                self.vms.find(name, pattern.span).map(|place| found.push(VmId::at(place)))
            })?;
        }
        Ok(distinct(found))
    }

    /// A list, paid for before any of it is expanded.
    fn patterns<'i, 'a: 'i>(
        &mut self,
        items: impl IntoIterator<Item = &'i Item<'a>>,
    ) -> Result<Vec<Pattern<'i>>, TextError> {
        let mut patterns = vec![];
        for item in items {
            let pattern = Pattern::of(item, "")?;
            self.spend(pattern.count, item.span)?;
            patterns.push(pattern);
        }
        Ok(patterns)
    }

    /// Takes from the budget of names that a text may expand to.
    pub(super) fn spend(&mut self, many: u64, span: Span) -> Result<(), TextError> {
        self.references_left = self.references_left.checked_sub(many).ok_or_else(|| {
            span.error(format!("the lists of this text name more than {MOST_REFERENCES} in all"))
        })?;
        Ok(())
    }
}

/// The flag that this name differs from by one slip.
pub(super) fn like_a_flag<'f>(name: &str, flags: &[&'f str]) -> Option<&'f str> {
    let near =
        |flag: &&&str| name.len().abs_diff(flag.len()) <= 1 && strsim::damerau_levenshtein(flag, name) == 1;
    flags.iter().find(near).copied()
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
    let example = |error: TextError| {
        error.hint(format!("a {kind} has one plain name of letters, digits, `.`, `_` and `-`"))
    };
    match &parts.names[..] {
        [] => Err(example(parts.word.error(format!("this line names no {kind}")))),
        [item] => plain(&item.text)
            .ok_or_else(|| example(item.span.error(format!("{} cannot name a {kind}", quoted(&item.text))))),
        [_, item, ..] => Err(example(item.span.error(format!("unexpected word {}", quoted(&item.text))))),
    }
}
