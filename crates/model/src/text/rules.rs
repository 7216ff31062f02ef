//! Lines that place VMs or speak of hosts and VMs: vm, group, states, hold, keep, policy.

use super::error::{Span, TextError, quoted};
use super::lex::{Item, Line, Token};
use super::parse::{Parser, once, plain, plain_name};
use super::parts::{Known, Parts};
use super::value;
use crate::{
    Devices, Group, Hold, HostId, HostState, KNOBS, Keep, KnobError, Mib, MilliCpu, Policy, PolicyName, Rule,
    VmId, VmSpec,
};
use uuid::Uuid;

pub(super) const VM_FLAGS: &[&str] = &["no-move", "local-disk", "stopped", "autostart"];
pub(super) const VM: Known<'_> = Known {
    keys: &["uuid", "vcpus", "mem", "cpu", "dirty", "home", "pin", "ban", "mac", "disk", "network"],
    flags: VM_FLAGS,
};
pub(super) const GROUP_FLAGS: &[&str] = &["spread", "gather"];
const GROUP: Known<'_> = Known { keys: &["fence"], flags: GROUP_FLAGS };
const NONE: Known<'_> = Known { keys: &[], flags: &[] };

impl Parser {
    pub(super) fn vms(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        if line.word.text == "vm" { self.vm_line(line) } else { Ok(()) }
    }

    pub(super) fn rules(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        match &*line.word.text {
            "group" => self.group_line(line),
            "asleep" => self.state_line(line, HostState::Asleep),
            "off" => self.state_line(line, HostState::Off),
            "unknown" => self.state_line(line, HostState::Unknown),
            "set-aside" => self.state_line(line, HostState::SetAside),
            "hold" => self.hold_line(line),
            "keep" => self.keep_line(line),
            "policy" => self.policy_line(line),
            "window" => self.window_line(line),
            "holiday" => self.holiday_line(line),
            _ => Ok(()),
        }
    }

    fn vm_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let parts = Parts::of(line.word.span, &line.rest, VM)?;
        let names = self.vms.define(&parts.names, VM_FLAGS, parts.word)?;
        let Some((at_span, at_items)) = &parts.at else {
            let error = parts.word.error("this line does not say where its VMs are");
            return Err(error.hint("write `vm NAMES@HOSTS`; a stopped one is placed where it would start"));
        };
        let at = self.host_list(at_items.iter().copied())?;
        let at = paired(names.len(), at, *at_span, "behind `@`")?;
        let home = match parts.list("home") {
            None => vec![],
            Some(items) => paired(names.len(), self.host_list(items)?, parts.place("home"), "in `home=`")?,
        };
        let mem = match parts.read("mem", value::MEMORY, value::memory)? {
            None => {
                return Err(parts.word.error("this VM line has no `mem=`").hint("write it, like `mem=256M`"));
            }
            Some(Mib(0)) => return Err(parts.place("mem").error("a VM has memory: `mem=` cannot be zero")),
            Some(mem) => mem,
        };
        let uuid =
            parts.read("uuid", "a UUID", |text| Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil()))?;
        if uuid.is_some() && names.len() > 1 {
            return Err(parts.place("uuid").error(format!("{} VMs cannot share one UUID", names.len())));
        }
        let pin = self.host_set(parts.list("pin").unwrap_or_default())?;
        let ban = self.host_set(parts.list("ban").unwrap_or_default())?;
        let devices =
            Devices { macs: parts.macs()?, disks: parts.texts("disk")?, networks: parts.texts("network")? }
                .in_order();
        // Each VM keeps its own copy of these lists.
        let listed =
            pin.len() + ban.len() + devices.macs.len() + devices.disks.len() + devices.networks.len();
        self.spend((names.len() as u64).saturating_mul(listed as u64), parts.word)?;
        let template = VmSpec {
            uuid: Uuid::nil(),
            name: String::new(),
            vcpus: parts.read("vcpus", value::CORES, value::cores)?.unwrap_or(1),
            mem,
            cpu: parts.read("cpu", value::CPU, value::cpu)?.unwrap_or(MilliCpu::ZERO),
            dirty_mib_s: parts.read("dirty", value::DIRTY, value::dirty)?.unwrap_or(0),
            home: None,
            pin,
            ban,
            no_move: parts.flag("no-move"),
            local_disk: parts.flag("local-disk"),
            stopped: parts.flag("stopped"),
            autostart: parts.flag("autostart"),
            devices,
            at: HostId(0),
        };
        for (index, name) in names.into_iter().enumerate() {
            let uuid = uuid.unwrap_or_else(|| VmSpec::uuid_of_name(&name));
            if let Some(other) = self.uuids.insert(uuid, VmId::at(self.cluster.vms.len())) {
                let other = &self.cluster.vms[other.index()].name;
                return Err(parts
                    .place("uuid")
                    .error(format!("{uuid} is the UUID of VM {} already", quoted(other))));
            }
            let (at, home) =
                (at[index.min(at.len() - 1)], home.get(index.min(home.len().saturating_sub(1))).copied());
            self.cluster.vms.push(VmSpec { uuid, name, at, home, ..template.clone() });
        }
        Ok(())
    }

    /// `group NAME = VMS …`, with or without blanks around the `=`.
    fn group_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let word = line.word.span;
        let usage = |span: Span| {
            span.error("a group is written `group NAME = VMS`").hint("like `group web = pc[01-04] spread`")
        };
        let (name, span, glued, rest) = match &line.rest[..] {
            [Token::Item(name), Token::Equals(_), rest @ ..] => (&*name.text, name.span, &[][..], rest),
            [Token::Pair { key, span, items }, rest @ ..] => (*key, *span, &items[..], rest),
            _ => return Err(usage(word)),
        };
        let mut parts = Parts::of(word, rest, GROUP)?.no_at()?;
        parts.names.splice(0..0, glued);
        let name = plain(name).ok_or_else(|| usage(span))?;
        if let Some(earlier) = self.groups.insert(name.clone(), span.line) {
            return Err(span.error(format!("group {} is already defined on line {earlier}", quoted(&name))));
        }
        if parts.names.is_empty() {
            return Err(span.error(format!("group {} names no VM", quoted(&name))));
        }
        let vms = self.vm_set(parts.names.iter().copied())?;
        let mut rules = vec![];
        if parts.flag("spread") {
            rules.push(Rule::Spread);
        }
        if parts.flag("gather") {
            rules.push(Rule::Gather);
        }
        if rules.len() == 2 && vms.len() > 1 {
            return Err(span.error("no group can both spread and gather"));
        }
        if let Some(items) = parts.list("fence") {
            rules.push(Rule::Fence(self.host_set(items)?));
        }
        self.cluster.groups.push(Group { name, vms, rules });
        Ok(())
    }

    fn state_line(&mut self, line: &Line<'_>, state: HostState) -> Result<(), TextError> {
        let parts = Parts::of(line.word.span, &line.rest, NONE)?.no_at()?;
        let hosts = self.some_hosts(&parts.names, parts.word)?;
        for id in hosts {
            let host = &mut self.cluster.hosts[id.index()];
            if let Some(earlier) = self.stated.insert(id, parts.word.line).filter(|_| host.state != state) {
                let error = format!("host {} is {} by line {earlier}", quoted(&host.name), host.state);
                return Err(parts.word.error(error));
            }
            host.state = state;
            self.down.extend(state.is_down().then_some((id, parts.word)));
        }
        Ok(())
    }

    /// A host that is down runs no VM: said at the line that says it is down.
    pub(super) fn check_down(&self) -> Result<(), TextError> {
        for vm in self.cluster.vms.iter().filter(|vm| !vm.stopped) {
            if let Some(span) = self.down.get(&vm.at) {
                let host = &self.cluster.hosts[vm.at.index()];
                let (name, state) = (quoted(&host.name), host.state);
                let error =
                    span.error(format!("host {name} is {state}, yet VM {} runs there", quoted(&vm.name)));
                return Err(
                    error.hint("an asleep or off host runs no VM: place it elsewhere, or flag it `stopped`")
                );
            }
        }
        Ok(())
    }

    fn hold_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let known = Known { keys: &["until", "by", "why"], flags: &[] };
        let parts = Parts::of(line.word.span, &line.rest, known)?.no_at()?;
        let hosts = self.some_hosts(&parts.names, parts.word)?;
        let text = |key| Ok::<_, TextError>(parts.one(key)?.map(|item| item.text.clone().into_owned()));
        let until = parts.read("until", value::UNTIL, value::date_time)?;
        self.cluster.holds.push(Hold { hosts, until, by: text("by")?, why: text("why")? });
        Ok(())
    }

    fn keep_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let word = line.word.span;
        let usage = || word.error("this is written `keep N of HOSTS`").hint("like `keep 2 of lab[01-10]`");
        let [Token::Item(number), Token::Item(of), rest @ ..] = &line.rest[..] else { return Err(usage()) };
        let count = value::count(&number.text).filter(|_| of.text == "of").ok_or_else(usage)?;
        let parts = Parts::of(word, rest, NONE)?.no_at()?;
        let hosts = self.some_hosts(&parts.names, word)?;
        if count as usize > hosts.len() {
            return Err(number.span.error(format!("cannot keep {count} of {} hosts on", hosts.len())));
        }
        self.cluster.keeps.push(Keep { count, hosts });
        Ok(())
    }

    fn policy_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let knobs: Vec<&str> = KNOBS.iter().map(|knob| knob.name).collect();
        let parts = Parts::of(line.word.span, &line.rest, Known { keys: &knobs, flags: &[] })?.no_at()?;
        once(&mut self.seen_policy, &line.word)?;
        let name = plain_name(&parts, "policy")?;
        let known = PolicyName::ALL.map(PolicyName::as_str);
        let policy = PolicyName::ALL.into_iter().find(|policy| policy.as_str() == name).ok_or_else(|| {
            let error = parts.names[0].span.error(format!("there is no policy {}", quoted(&name)));
            error.hint(format!("there are {}", known.join(" and "))).suggest(&name, known.into_iter())
        })?;
        let mut policy = Policy::named(policy);
        for (key, _) in parts.pairs() {
            let Some(item) = parts.one(key)? else { continue };
            policy.knobs.set(key, &item.text).map_err(|error| match error {
                KnobError::Value { name, takes, .. } => {
                    item.span.error(format!("`{name}=` takes {takes}, not {}", quoted(&item.text)))
                }
                KnobError::Unknown { .. } => item.span.error(error.to_string()),
            })?;
        }
        self.cluster.policy = policy;
        Ok(())
    }

    fn some_hosts(&mut self, items: &[&Item<'_>], word: Span) -> Result<Vec<HostId>, TextError> {
        if items.is_empty() {
            return Err(word.error("this line names no host"));
        }
        self.host_set(items.iter().copied())
    }
}

/// One host for all names, or one for each.
fn paired(names: usize, hosts: Vec<HostId>, span: Span, place: &str) -> Result<Vec<HostId>, TextError> {
    match hosts.len() {
        0 => Err(span.error(format!("no host {place}"))),
        many if many == 1 || many == names => Ok(hosts),
        many => Err(span
            .error(format!("{names} VMs and {many} hosts {place}"))
            .hint("give one host for all of them, or as many hosts as VMs")),
    }
}
