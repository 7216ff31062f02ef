//! ClusterInfo as XML: facts of a thing are attributes, things are elements.

use super::{ClusterInfo, HostInfo, VmInfo};
use crate::cli::safe;
use quick_xml::events::{BytesDecl, Event};
use quick_xml::writer::{ElementWriter, Writer};
use std::io;

/// # Errors
/// Never for a `Vec` as the target; the writer's signature says so.
pub(super) fn write(info: &ClusterInfo) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(vec![], b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let root = [
        ("schema", Some(info.schema.to_string())),
        ("name", Some(info.name.clone())),
        ("zone", Some(info.zone.clone())),
        ("policy", Some(info.policy.to_owned())),
        ("hosts", Some(info.hosts.len().to_string())),
        ("hostsOn", Some(info.hosts_on.to_string())),
        ("watts", Some(info.watts.to_string())),
    ];
    start(&mut writer, "clusterInfo", &present(&root)).write_inner_content(|writer| {
        info.hosts.iter().try_for_each(|item| host(writer, item))?;
        info.vms.iter().try_for_each(|item| vm(writer, item))
    })?;
    let mut text = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

fn host(writer: &mut Writer<Vec<u8>>, host: &HostInfo) -> io::Result<()> {
    let flag = |on: bool, word: &str| on.then(|| word.to_owned());
    let flags: Vec<String> = [flag(host.keep_on, "keep-on"), flag(host.maintenance, "maintenance")]
        .into_iter()
        .flatten()
        .collect();
    let attributes = [
        ("name", Some(host.name.clone())),
        ("state", Some(host.state.to_owned())),
        ("address", host.address.clone()),
        ("macs", (!host.macs.is_empty()).then(|| host.macs.join(" "))),
        ("cpus", Some(host.cpus.to_string())),
        ("memoryMiB", Some(host.memory_mib.to_string())),
        ("memoryUsedMiB", Some(host.memory_used_mib.to_string())),
        ("load15Permille", host.load15_permille.map(|load| load.to_string())),
        ("wattsIdle", Some(host.watts_idle.to_string())),
        ("wattsBusy", Some(host.watts_busy.to_string())),
        ("wattsAsleep", Some(host.watts_asleep.to_string())),
        ("role", host.role.map(str::to_owned)),
        ("flags", (!flags.is_empty()).then(|| flags.join(" "))),
        ("vms", Some(host.vms.len().to_string())),
    ];
    start(writer, "host", &present(&attributes))
        .write_inner_content(|writer| host.vms.iter().try_for_each(|item| vm(writer, item)))?;
    Ok(())
}

fn vm(writer: &mut Writer<Vec<u8>>, vm: &VmInfo) -> io::Result<()> {
    let attributes = [
        ("name", Some(vm.name.clone())),
        ("uuid", Some(vm.uuid.clone())),
        ("state", Some(vm.state.to_owned())),
        ("vcpus", Some(vm.vcpus.to_string())),
        ("memoryMiB", Some(vm.memory_mib.to_string())),
        ("cpuMillicores", Some(vm.cpu_millicores.to_string())),
        ("home", vm.home.clone()),
    ];
    start(writer, "vm", &present(&attributes)).write_empty()?;
    Ok(())
}

/// XML has no way to hold a control character, so it is written as `\u{1b}`; what XML has signs for the writer escapes.
fn present<'k>(attributes: &[(&'k str, Option<String>)]) -> Vec<(&'k str, String)> {
    attributes.iter().filter_map(|(key, value)| Some((*key, safe(value.as_deref()?).into_owned()))).collect()
}

fn start<'w>(
    writer: &'w mut Writer<Vec<u8>>,
    name: &'w str,
    attributes: &[(&str, String)],
) -> ElementWriter<'w, Vec<u8>> {
    writer.create_element(name).with_attributes(attributes.iter().map(|(key, value)| (*key, value.as_str())))
}
