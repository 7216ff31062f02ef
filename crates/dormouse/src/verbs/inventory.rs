//! `dormouse inventory`: the hosts as a dynamic inventory of Ansible, in groups by cluster, state, class and role.
//!
//! Ansible reads values of an inventory as templates, which may run programs on the machine it is used from, and names of VMs
//! are anybody's: what could be one is marked as unsafe, which Ansible takes as plain text. Never here: a guess; what the
//! daemon does not tell is absent.

use super::input;
use crate::cli::{Ctx, Failure};
use dormouse_model::text::did_you_mean;
use dormouse_model::{Cluster, Snapshot};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["list", "host"]))]
pub(crate) struct Args {
    /// All groups, and what is known of each host
    #[arg(long)]
    list: bool,

    /// What is known of one host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// A cluster text in place of the running daemon; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Host {
    name: String,
    state: String,
    address: Option<String>,
    cpus: u32,
    memory_mib: u64,
    vms: Vec<String>,
    class: Option<String>,
    role: Option<String>,
}

#[derive(Debug)]
struct Inventory {
    cluster: String,
    user: Option<String>,
    hosts: Vec<Host>,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let inventory = match &args.cluster {
        Some(path) => of_text(input::cluster(path)?),
        None => now(ctx)?,
    };
    let Some(name) = &args.host else { return ctx.print_json(&inventory.list()) };
    match inventory.hosts.iter().find(|host| host.name == *name) {
        Some(host) => ctx.print_json(&inventory.vars(host)),
        None => {
            let near = did_you_mean(name, inventory.hosts.iter().map(|host| host.name.as_str()));
            let failure = Failure::usage(format!("there is no host `{name}`"));
            Err(failure.hint(near.strip_prefix("; ").unwrap_or("`dormouse inventory --list` has them all")))
        }
    }
}

#[cfg(not(feature = "live"))]
fn now(_: &Ctx) -> Result<Inventory, Failure> {
    Err(Failure::usage("no cluster to look at").hint("name a cluster text with --cluster FILE"))
}

/// As the daemon sees them; the class is in the cluster text alone.
#[cfg(feature = "live")]
fn now(ctx: &Ctx) -> Result<Inventory, Failure> {
    use crate::daemon::client::Client;
    use crate::daemon::wire::{HostView, StatusView, Verb};
    let config = input::settings(ctx)?.config;
    let mut client = Client::to(&config.socket).map_err(|failure| {
        failure.hint("start it with `dormouse run`, or give a cluster text with --cluster FILE")
    })?;
    let status: StatusView = client.ask(Verb::Status)?;
    let hosts: Vec<HostView> = client.ask(Verb::Hosts)?;
    let text = input::cluster(&config.cluster).ok();
    let class = |name: &str| {
        let hosts = &text.as_ref()?.hosts;
        hosts.iter().find(|host| host.name == name)?.cpu_group.clone()
    };
    let hosts = hosts.into_iter().map(|host| Host {
        class: class(&host.name),
        role: host.marks.iter().find_map(|mark| mark.strip_prefix("role:").map(str::to_owned)),
        name: host.name,
        state: host.state,
        address: host.address,
        cpus: host.cpus,
        memory_mib: host.mem_mib,
        vms: host.vms,
    });
    Ok(Inventory { cluster: status.cluster, user: config.ssh_user.clone(), hosts: hosts.collect() })
}

fn of_text(cluster: Cluster) -> Inventory {
    let picture = Snapshot::of(&Arc::new(cluster));
    let host = |id| {
        let host = picture.host(id);
        Host {
            name: host.spec.name.clone(),
            state: host.state.as_str().to_owned(),
            address: host.spec.address.clone(),
            cpus: host.spec.cpus,
            memory_mib: host.spec.mem.0,
            vms: picture.vms_on(id).map(|vm| picture.vm(vm).spec.name.clone()).collect(),
            class: host.spec.cpu_group.clone(),
            role: host.spec.role.map(|role| role.as_str().to_owned()),
        }
    };
    let hosts = picture.host_ids().map(host).collect();
    Inventory { cluster: picture.cluster.name.clone(), user: None, hosts }
}

impl Inventory {
    /// In the form that Ansible documents for `--list`. With `_meta` it asks for no host by itself.
    fn list(&self) -> Value {
        let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for host in &self.hosts {
            let mut put = |kind: &str, of: &str| groups.entry(group(kind, of)).or_default().push(&host.name);
            put("cluster", &self.cluster);
            put("state", &host.state);
            if let Some(class) = &host.class {
                put("class", class);
            }
            if let Some(role) = &host.role {
                put("role", role);
            }
        }
        let vars: Map<String, Value> =
            self.hosts.iter().map(|host| (host.name.clone(), self.vars(host))).collect();
        let mut list: Map<String, Value> =
            groups.into_iter().map(|(name, hosts)| (name, json!({ "hosts": hosts }))).collect();
        list.insert("_meta".to_owned(), json!({ "hostvars": vars }));
        Value::Object(list)
    }

    fn vars(&self, host: &Host) -> Value {
        let mut vars = Map::new();
        let mut put = |name: &str, value: Value| vars.insert(name.to_owned(), value);
        match host.address.as_deref() {
            None => {}
            Some("local") => _ = put("ansible_connection", json!("local")),
            Some(address) => {
                let (user, place, port) = parts(address);
                put("ansible_host", text(place));
                if let Some(user) = user.or(self.user.as_deref()) {
                    put("ansible_user", text(user));
                }
                if let Some(port) = port {
                    put("ansible_port", json!(port));
                }
            }
        }
        put("dormouse_state", json!(host.state));
        put("dormouse_cpus", json!(host.cpus));
        put("dormouse_memory_mib", json!(host.memory_mib));
        put("dormouse_vms", host.vms.iter().map(|vm| text(vm)).collect());
        if let Some(class) = &host.class {
            put("dormouse_class", text(class));
        }
        if let Some(role) = &host.role {
            put("dormouse_role", json!(role));
        }
        Value::Object(vars)
    }
}

/// Groups of Ansible have letters, digits and `_`.
fn group(kind: &str, of: &str) -> String {
    let plain: String = of.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{kind}_{plain}")
}

/// As it stands, and no template.
fn text(value: &str) -> Value {
    if value.contains(['{', '}']) { json!({ "__ansible_unsafe": value }) } else { json!(value) }
}

/// `[user@]place[:port]`, with a numeric IPv6 address in brackets or alone.
fn parts(address: &str) -> (Option<&str>, &str, Option<u16>) {
    let (user, rest) = match address.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, address),
    };
    let (place, port) = match rest.rsplit_once(':') {
        Some((place, port)) if !place.contains(':') || place.ends_with(']') => match port.parse() {
            Ok(port) => (place, Some(port)),
            Err(_) => (rest, None),
        },
        _ => (rest, None),
    };
    (user, place.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(place), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_apart() {
        for (address, expected) in [
            ("10.0.0.1", (None, "10.0.0.1", None)),
            ("root@lab01:2222", (Some("root"), "lab01", Some(2222))),
            ("fd00::1", (None, "fd00::1", None)),
            ("[fd00::1]:22", (None, "fd00::1", Some(22))),
            ("a@[fd00::1]", (Some("a"), "fd00::1", None)),
        ] {
            assert_eq!(parts(address), expected, "{address}");
        }
    }

    #[test]
    fn groups_have_plain_names_and_nothing_is_a_template() {
        assert_eq!(group("state", "set-aside"), "state_set_aside");
        assert_eq!(group("class", "x {{y}}é"), "class_x___y___");
        assert_eq!(text("pc01"), json!("pc01"));
        assert_eq!(
            text("{{ lookup('pipe', 'reboot') }}")["__ansible_unsafe"],
            "{{ lookup('pipe', 'reboot') }}"
        );
    }
}
