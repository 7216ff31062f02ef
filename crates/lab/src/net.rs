//! The lab's wires: a namespace with the switch, one namespace per host, a cable between each two.
//!
//! Everything is made inside these namespaces; the machine's own namespace gets nothing but their names.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::{Result, checked};
use crate::host::ip_batch;
use crate::spec::{HostSpec, LabSpec, MANAGER_ADDRESS, PREFIX};

const SWITCH: &str = "lan";

pub(crate) fn exists(netns: &str) -> bool {
    Path::new("/run/netns").join(netns).exists()
}

/// Makes the switch and plugs every host's card into it.
pub(crate) fn build(lab: &LabSpec) -> Result<()> {
    let switch = lab.switch_netns();
    let hosts = lab.all_hosts();
    let mut names = format!("netns add {switch}\n");
    for h in &hosts {
        names += &format!("netns add {}\n", h.netns);
    }
    ip_batch(&names)?;
    for netns in std::iter::once(&switch).chain(hosts.iter().map(|h| &h.netns)) {
        // No neighbour discovery, no link-local addresses: the wire carries what the lab puts there.
        checked(
            "sysctl",
            Command::new("ip")
                .args(["netns", "exec", netns, "sh", "-c"])
                .arg("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; true")
                .output(),
        )?;
    }
    in_netns(
        &switch,
        &format!(
            "link set lo up\n\
             link add {SWITCH} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             addr add {MANAGER_ADDRESS}/{PREFIX} brd + dev {SWITCH}\n\
             link set {SWITCH} up\n"
        ),
    )?;
    for h in &hosts {
        in_netns(
            &switch,
            &format!(
                "link add {port} type veth peer name eth0 address {mac} netns {netns}\n\
                 link set {port} master {SWITCH}\n\
                 link set {port} up\n",
                port = h.port,
                mac = h.mac,
                netns = h.netns,
            ),
        )?;
        // Without power a host's card is still on the wire, to hear magic packets.
        in_netns(&h.netns, "link set eth0 up\n")?;
    }
    Ok(())
}

/// Pulls a host's cable, or plugs it in again.
pub(crate) fn cable(lab: &LabSpec, host: &HostSpec, plugged: bool) -> Result<()> {
    let state = if plugged { "up" } else { "down" };
    in_netns(&lab.switch_netns(), &format!("link set {} {state}\n", host.port))
}

/// Loses this share of the packets that reach (or leave) a host; 0 takes it back.
pub(crate) fn lose(host: &HostSpec, inward: bool, percent: u8) -> Result<()> {
    let chain = if inward { "INPUT" } else { "OUTPUT" };
    let iptables = |args: &[&str]| iptables(host, args);
    iptables(&["-F", chain])?;
    let probability = format!("{:.2}", f64::from(percent.min(100)) / 100.0);
    match percent {
        0 => Ok(()),
        100.. => iptables(&["-A", chain, "-j", "DROP"]),
        _ => iptables(&[
            "-A",
            chain,
            "-m",
            "statistic",
            "--mode",
            "random",
            "--probability",
            &probability,
            "-j",
            "DROP",
        ]),
    }
}

/// Nothing passes between these two; [`lose`] with 0, both ways, takes it back.
pub(crate) fn cut(host: &HostSpec, other: &HostSpec) -> Result<()> {
    let address = other.address.to_string();
    iptables(host, &["-A", "INPUT", "-s", &address, "-j", "DROP"])?;
    iptables(host, &["-A", "OUTPUT", "-d", &address, "-j", "DROP"])
}

fn iptables(host: &HostSpec, args: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &host.netns, "iptables", "-w"]).args(args);
    checked("iptables", command.output()).map(drop)
}

/// Removes the names of a lab's namespaces; what they hold goes with the last process in them.
pub(crate) fn remove(lab: &LabSpec) -> Vec<String> {
    let names = lab.all_hosts().into_iter().map(|h| h.netns).chain([lab.switch_netns()]);
    names
        .filter(|n| exists(n))
        .filter_map(|n| {
            let gone = checked("ip netns del", Command::new("ip").args(["netns", "del", &n]).output());
            gone.err().map(|e| format!("{n}: {e}"))
        })
        .collect()
}

/// Processes in a network namespace of the lab.
pub(crate) fn processes(netns: &str) -> Vec<i32> {
    let Ok(text) = checked("ip netns pids", Command::new("ip").args(["netns", "pids", netns]).output())
    else {
        return Vec::new();
    };
    text.lines().filter_map(|l| l.trim().parse().ok()).collect()
}

fn in_netns(netns: &str, batch: &str) -> Result<()> {
    use std::io::Write;
    let run = || {
        let mut child = Command::new("ip")
            .args(["-netns", netns, "-batch", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(batch.as_bytes())?;
        }
        child.wait_with_output()
    };
    checked(&format!("ip -netns {netns}"), run()).map(drop)
}

/// The machine's namespaces that look like a lab of this id, whatever made them.
pub(crate) fn leftovers(id: &str) -> Vec<String> {
    let sw = format!("{id}-sw");
    fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| {
            *n == sw
                || n.strip_prefix(&format!("{id}-h")).is_some_and(|r| r.bytes().all(|b| b.is_ascii_digit()))
        })
        .collect()
}
