//! `dormouse export`: what other programs may want of a cluster.
//!
//! `clusterinfo` is the cluster with its hosts and their VMs, as XML or JSON; both forms hold the same values, and
//! docs/clusterinfo.md describes them. `lab-hours` is demand for its VMs, made up from a seed.

mod lab_hours;
mod xml;

use super::input;
use crate::cli::{Ctx, Failure};
use dormouse_model::{HostId, Snapshot, VmId};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The cluster, its hosts and the VMs on each
    Clusterinfo(Args),
    /// A trace of demand for the VMs, made up from a seed: lectures, evenings, weekends, exams
    LabHours(lab_hours::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A cluster text; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,

    /// Which form
    #[arg(long, value_enum, default_value_t = Form::Xml)]
    format: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// ClusterInfo.xml
    Xml,
    /// The same values as JSON
    Json,
}

pub(crate) fn run(command: &Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Clusterinfo(args) => clusterinfo(args, ctx),
        Command::LabHours(args) => lab_hours::run(args, ctx),
    }
}

fn clusterinfo(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let Some(path) = &args.cluster else {
        return Err(Failure::usage("no cluster to export").hint("name a cluster text with --cluster FILE"));
    };
    let info = ClusterInfo::of(&Snapshot::of(&Arc::new(input::cluster(path)?)));
    match args.format {
        Form::Json => ctx.print_json(&info),
        Form::Xml => {
            let text =
                xml::write(&info).map_err(|error| Failure::new("cannot write the XML").because(&error))?;
            ctx.print(&text)
        }
    }
}

/// The number rises when a field changes its meaning or goes away; new fields may appear under the same number.
const SCHEMA: u32 = 1;

#[derive(Debug, Serialize)]
pub(crate) struct ClusterInfo {
    schema: u32,
    name: String,
    zone: String,
    policy: &'static str,
    hosts_on: u32,
    watts: u64,
    hosts: Vec<HostInfo>,
    /// VMs that are on no host: stopped, saved, failed.
    vms: Vec<VmInfo>,
}

#[derive(Debug, Serialize)]
struct HostInfo {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    macs: Vec<String>,
    cpus: u32,
    memory_mib: u64,
    memory_used_mib: u64,
    /// loadavg15 / CPUs, in thousandths; absent when not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    load15_permille: Option<u64>,
    watts_idle: u64,
    watts_busy: u64,
    watts_asleep: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    keep_on: bool,
    maintenance: bool,
    vms: Vec<VmInfo>,
}

#[derive(Debug, Serialize)]
struct VmInfo {
    name: String,
    uuid: String,
    state: &'static str,
    vcpus: u32,
    memory_mib: u64,
    cpu_millicores: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    home: Option<String>,
}

impl ClusterInfo {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let cluster = &snapshot.cluster;
        Self {
            schema: SCHEMA,
            name: cluster.name.clone(),
            zone: cluster.schedule.zone.to_string(),
            policy: cluster.policy.name.as_str(),
            hosts_on: snapshot.hosts_on(),
            watts: snapshot.watts().0,
            hosts: snapshot.host_ids().map(|id| HostInfo::of(snapshot, id)).collect(),
            vms: snapshot
                .vm_ids()
                .filter(|vm| snapshot.vm(*vm).state.hosts().is_empty())
                .map(|vm| VmInfo::of(snapshot, vm))
                .collect(),
        }
    }
}

impl HostInfo {
    fn of(snapshot: &Snapshot, id: HostId) -> Self {
        let host = snapshot.host(id);
        let spec = &host.spec;
        Self {
            name: spec.name.clone(),
            state: host.state.as_str(),
            address: spec.address.clone(),
            macs: spec.macs.iter().map(mac).collect(),
            cpus: spec.cpus,
            memory_mib: spec.mem.0,
            memory_used_mib: snapshot.mem_used(id).0,
            load15_permille: host.load15.known().map(|load| load.0),
            watts_idle: spec.watts_idle.0,
            watts_busy: spec.watts_busy.0,
            watts_asleep: spec.watts_asleep.0,
            role: spec.role.map(dormouse_model::Role::as_str),
            keep_on: spec.keep_on,
            maintenance: host.maintenance,
            vms: snapshot.vms_on(id).map(|vm| VmInfo::of(snapshot, vm)).collect(),
        }
    }
}

impl VmInfo {
    fn of(snapshot: &Snapshot, id: VmId) -> Self {
        let vm = snapshot.vm(id);
        Self {
            name: vm.spec.name.clone(),
            uuid: vm.spec.uuid.to_string(),
            state: vm.state.as_str(),
            vcpus: vm.spec.vcpus,
            memory_mib: vm.spec.mem.0,
            cpu_millicores: vm.demand.wake.0,
            home: vm.spec.home.map(|home| snapshot.host(home).spec.name.clone()),
        }
    }
}

fn mac(bytes: &[u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}
