//! What a lab is made of: its size, and from that every name, address and identity in it.
//!
//! Pure: the same spec always gives the same addresses, MACs and UUIDs. Labs never see each other (each has a
//! switch of its own without an uplink), so all of them use the same subnet.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{LabError, Result};

pub const MANAGER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 0, 0);
pub(crate) const PREFIX: u8 = 16;
pub(crate) const HEARTBEAT_PORT: u16 = 7700;
pub(crate) const TICK_PORT: u16 = 7701;
pub(crate) const ORDER_PORT: u16 = 7702;
pub const TLS_PORT: u16 = 16514;
/// Where each host sees the lab's shared folder.
pub(crate) const SHARED_FOLDER: &str = "/var/lib/libvirt/shared";
/// The bridge on each host that its guests are plugged into.
pub(crate) const HOST_BRIDGE: &str = "br0";
/// More would not fit one machine, nor the third byte of the addresses.
pub(crate) const MAX: u16 = 200;

/// What to build. Made with [`LabSpec::new`], then adjusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSpec {
    pub id: String,
    pub hosts: u16,
    /// Guest *i* starts on host *i* (round and round when there are more guests than hosts).
    pub guests: u16,
    /// Seconds a host takes from power-on until its init runs.
    pub boot_s: u32,
    /// What a guest really gets, and what the cluster text says.
    pub guest_mib: u32,
    /// What the cluster text says of a host's memory: 8 guests of 96 MiB by default, as in the seed's lab.
    pub host_mib: u32,
    pub host_cpus: u16,
    /// The share of a real core that counts as one whole host, in percent: two cores play many hosts.
    pub host_share_percent: u16,
    /// How much faster than life the lab's load averages move.
    pub time_scale: u32,
    /// Milliseconds between two ticks of a guest's stream.
    pub tick_ms: u32,
    /// Milliseconds between two of its heartbeats.
    pub beat_ms: u32,
    /// Further lines for the cluster text (windows, policy, groups …), as they stand.
    pub cluster_lines: Vec<String>,
    /// Hosts begin with certificates of one CA and libvirt listens for TLS; without, as a fresh installation.
    #[serde(default = "yes")]
    pub pki: bool,
    /// Leave what was made when `up` fails, to look at it; `down` removes it.
    pub keep_broken: bool,
    /// The program that plays the lab's own processes (`lab-internal …`); the running one unless named.
    pub program: Option<PathBuf>,
}

impl LabSpec {
    /// A lab with the usual sizes. The more guests, the rarer their ticks and heartbeats: each wake-up of an
    /// emulated machine costs a millisecond of a real core, and a lab that overcommits its cores loses guests (see
    /// the README).
    pub fn new(id: impl Into<String>, hosts: u16, guests: u16) -> Self {
        let (tick_ms, beat_ms) = match guests {
            0..=4 => (10, 100),
            5..=16 => (50, 100),
            17..=40 => (500, 500),
            _ => (1000, 1000),
        };
        Self {
            id: id.into(),
            hosts,
            guests,
            boot_s: 3,
            guest_mib: 96,
            host_mib: 768,
            host_cpus: 2,
            host_share_percent: 5,
            time_scale: 1,
            tick_ms,
            beat_ms,
            cluster_lines: Vec::new(),
            pki: true,
            keep_broken: false,
            program: None,
        }
    }

    pub fn check(&self) -> Result<()> {
        check_id(&self.id)?;
        if self.hosts == 0 || self.hosts > MAX || self.guests > MAX {
            return Err(LabError::new(format!(
                "a lab has 1 to {MAX} hosts and 0 to {MAX} guests, not {} and {}",
                self.hosts, self.guests
            )));
        }
        if !(64..=4096).contains(&self.guest_mib)
            || self.tick_ms == 0
            || self.beat_ms == 0
            || self.host_share_percent == 0
        {
            return Err(LabError::new(
                "a guest needs 64 to 4096 MiB, ticks and heartbeats 1 ms, a host 1 % of a core",
            ));
        }
        Ok(())
    }

    pub fn all_hosts(&self) -> Vec<HostSpec> {
        (1..=self.hosts).map(|n| HostSpec::new(self, n)).collect()
    }

    pub fn all_guests(&self) -> Vec<GuestSpec> {
        (1..=self.guests).map(|n| GuestSpec::new(self, n)).collect()
    }

    pub fn host(&self, name: &str) -> Result<HostSpec> {
        self.all_hosts().into_iter().find(|h| h.name == name).ok_or_else(|| {
            LabError::new(format!("lab {} has no host {name:?}", self.id))
                .with_hint(format!("its hosts are {}", range("h", self.hosts)))
        })
    }

    pub fn guest(&self, name: &str) -> Result<GuestSpec> {
        self.all_guests().into_iter().find(|g| g.name == name).ok_or_else(|| {
            LabError::new(format!("lab {} has no guest {name:?}", self.id))
                .with_hint(format!("its guests are {}", range("pc", self.guests)))
        })
    }

    /// The namespace of the switch, where the manager runs.
    pub fn switch_netns(&self) -> String {
        format!("{}-sw", self.id)
    }

    /// The cluster text (design.md §5) of this lab: hosts, the extra lines, and the guests if asked for.
    pub fn cluster_text(&self, with_guests: bool) -> String {
        let mut text = format!("cluster {}\n", self.id);
        for h in self.all_hosts() {
            text += &format!(
                "host {} address={} mac={} cpus={} mem={}M reserve=0M overhead=0M watts=45/95/3 boot={}s shutdown=2s link=1000M\n",
                h.name,
                h.address,
                h.mac,
                self.host_cpus,
                self.host_mib,
                self.boot_s.max(1)
            );
        }
        if with_guests {
            for g in self.all_guests() {
                let host = self.host_name(g.first_host(self));
                text +=
                    &format!("vm {}@{host} vcpus=1 mem={}M cpu=0.02 home={host}\n", g.name, self.guest_mib);
            }
        }
        for line in &self.cluster_lines {
            text += line;
            text.push('\n');
        }
        text
    }

    pub fn host_name(&self, n: u16) -> String {
        format!("h{n:0width$}", width = width(self.hosts))
    }

    fn uuid(&self, kind: &str, n: u16) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{kind}{n}.{}.lab.dormouse", self.id).as_bytes())
    }
}

/// One host's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    pub n: u16,
    pub name: String,
    pub address: Ipv4Addr,
    pub mac: Mac,
    pub uuid: Uuid,
    /// Its network namespace.
    pub netns: String,
    /// Its port on the lab's switch.
    pub port: String,
}

impl HostSpec {
    fn new(lab: &LabSpec, n: u16) -> Self {
        let name = lab.host_name(n);
        let [a, b] = n.to_be_bytes();
        Self {
            n,
            address: Ipv4Addr::new(10, 77, 1, b),
            mac: Mac([0x52, 0x54, 0x00, 0x01, a, b]),
            uuid: lab.uuid("h", n),
            netns: format!("{}-{name}", lab.id),
            port: format!("p-{name}"),
            name,
        }
    }
}

/// One guest's identity; it keeps it wherever it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestSpec {
    pub n: u16,
    pub name: String,
    pub address: Ipv4Addr,
    pub mac: Mac,
    pub uuid: Uuid,
}

impl GuestSpec {
    fn new(lab: &LabSpec, n: u16) -> Self {
        let [a, b] = n.to_be_bytes();
        Self {
            n,
            name: format!("pc{n:0width$}", width = width(lab.guests)),
            address: Ipv4Addr::new(10, 77, 2, b),
            mac: Mac([0x52, 0x54, 0x00, 0x02, a, b]),
            uuid: lab.uuid("pc", n),
        }
    }

    pub fn first_host(&self, lab: &LabSpec) -> u16 {
        (self.n - 1) % lab.hosts + 1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A lab id becomes part of paths and namespace names: a letter, then letters and digits, at most 12.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let fits = (1..=12).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if fits {
        return Ok(());
    }
    Err(LabError::new(format!("{id:?} cannot be a lab's id"))
        .with_hint("a small letter, then small letters and digits, 12 at most"))
}

const fn yes() -> bool {
    true
}

fn width(count: u16) -> usize {
    if count > 99 { 3 } else { 2 }
}

fn range(prefix: &str, count: u16) -> String {
    let w = width(count);
    match count {
        0 => "none".to_owned(),
        1 => format!("{prefix}{:0w$}", 1),
        n => format!("{prefix}{:0w$} to {prefix}{n:0w$}", 1),
    }
}
