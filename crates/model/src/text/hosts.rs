//! `host` lines.

use super::error::{TextError, quoted};
use super::lex::Line;
use super::names::{Pattern, is_plain, is_plain_name};
use super::parse::{Parser, plain};
use super::parts::{Known, Parts};
use super::value;
use crate::{HostId, HostSpec, HostState, Mib, Millis, Role, Watts};

pub(super) const HOST_FLAGS: &[&str] = &["keep-on", "maintenance", "unproven"];
pub(super) const HOST: Known<'_> = Known {
    keys: &[
        "address",
        "mac",
        "cpus",
        "mem",
        "reserve",
        "overhead",
        "watts",
        "boot",
        "shutdown",
        "link",
        "slots",
        "cpu-group",
        "network",
        "circuit",
        "role",
    ],
    flags: HOST_FLAGS,
};

impl Parser {
    pub(super) fn host_line(&mut self, line: &Line<'_>) -> Result<(), TextError> {
        let parts = Parts::of(line.word.span, &line.rest, HOST)?.no_at()?;
        if let Some(item) = parts.names.iter().find(|item| item.quoted && !is_plain_name(&item.text)) {
            let error = item.span.error(format!("{} cannot name a host", quoted(&item.text)));
            return Err(error.hint(
                "host names have letters, digits, `.`, `_` and `-`, and begin with a letter or digit",
            ));
        }
        let names = self.hosts.define(&parts.names, HOST_FLAGS, parts.word)?;
        let template = self.host(&parts)?;
        let addresses = self.addresses(&parts, names.len())?;
        if let Some(first) = template.macs.first().filter(|_| names.len() > 1) {
            let mac = super::print::mac(first);
            return Err(parts
                .place("mac")
                .error(format!("{} hosts cannot share the MAC address {mac}", names.len())));
        }
        for (index, name) in names.into_iter().enumerate() {
            let id = HostId::at(self.cluster.hosts.len());
            for mac in &template.macs {
                if let Some(other) = self.macs.insert(*mac, id) {
                    let whose =
                        if other == id { "this host" } else { &self.cluster.hosts[other.index()].name };
                    let mac = super::print::mac(mac);
                    return Err(parts
                        .place("mac")
                        .error(format!("{mac} belongs to {} already", quoted(whose))));
                }
            }
            let address = addresses.get(index).cloned();
            if let Some(other) =
                address.as_ref().and_then(|address| self.addresses.insert(address.clone(), id))
            {
                let whose = self.cluster.hosts.get(other.index()).map_or("this line", |host| &host.name);
                return Err(parts
                    .place("address")
                    .error(format!("this is the address of {} already", quoted(whose))));
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
            return Err(parts
                .place("reserve")
                .error(format!("a reserve of {reserve} leaves nothing of {mem}")));
        }
        let [idle, busy, asleep] =
            parts.read("watts", value::WATTS, value::watts)?.unwrap_or([Watts(45), Watts(95), Watts(3)]);
        if idle > busy || asleep > idle {
            let error =
                parts.place("watts").error(format!("asleep {asleep}, idle {idle}, busy {busy} do not rise"));
            return Err(error.hint("the order is idle/busy/asleep, like 45/95/3"));
        }
        let circuit = parts.one("circuit")?;
        if let Some(item) = circuit.filter(|item| !self.circuits.contains_key(&*item.text)) {
            let error = item.span.error(format!("there is no circuit {}", quoted(&item.text)));
            let name: String =
                item.text.chars().take(60).map(|c| if is_plain(c) { c } else { '?' }).collect();
            let hint = format!("define it with a line `circuit {name} wakes=4`");
            return Err(error.hint(hint).suggest(&item.text, self.circuits.keys().map(String::as_str)));
        }
        let role = |text: &str| Role::ALL.into_iter().find(|role| role.as_str() == text);
        Ok(HostSpec {
            name: String::new(),
            address: None,
            macs: parts.macs()?,
            cpus,
            mem,
            reserve,
            overhead: parts.read("overhead", value::MEMORY, value::memory)?.unwrap_or(Mib::ZERO),
            watts_idle: idle,
            watts_busy: busy,
            watts_asleep: asleep,
            boot: parts.read("boot", value::SECONDS, value::seconds)?.unwrap_or(Millis::from_secs(75)),
            shutdown: parts
                .read("shutdown", value::SECONDS, value::seconds)?
                .unwrap_or(Millis::from_secs(20)),
            link: parts.read("link", value::LINK, value::link)?.unwrap_or(self.cluster.link),
            slots: parts.read("slots", value::COUNT, value::count)?,
            cpu_group: parts.read("cpu-group", "a plain name", plain)?,
            networks: parts.texts("network")?,
            circuit: circuit.map(|item| item.text.clone().into_owned()),
            role: parts.read("role", value::ROLE, role)?,
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
            let pattern = Pattern::of(item, ":%@")?;
            self.spend(pattern.count, item.span)?;
            pattern.each(&mut |address| {
                addresses.push(address.to_owned());
                Ok(())
            })?;
        }
        if addresses.len() != hosts {
            let what = format!("{hosts} hosts and {} addresses", addresses.len());
            return Err(parts
                .place("address")
                .error(what)
                .hint("give one address for each host: `10.0.0.[1-62]`"));
        }
        Ok(addresses)
    }
}
