//! What a domain's XML says about moving it, and about what it must not share with another. Read only, never written back: what we do not know stays as it is.
//!
//! The text comes from users by way of a host: its size, its depth and all that a parser would take squared time or
//! memory for are limited, a document type is refused, and what is quoted from it is short.

use dormouse_model::Devices;
use roxmltree::{Document, Node, ParsingOptions};

const SIZE_MAX: usize = 16 << 20;
const DEPTH_MAX: usize = 256;
const NODES_MAX: u32 = 200_000;
/// Of one element. A parser compares each with all others to find doubles.
const ATTRIBUTES_MAX: usize = 256;
/// In the whole document; libvirt and what is built on it use a handful. Each element may hold a list of all that
/// count for it.
const NAMESPACES_MAX: usize = 64;
/// Of each kind in one definition; no VM of ours has so many.
const DEVICES_MAX: usize = 64;
/// A longer name is none; cut short, it could be taken for another.
const NAME_MAX: usize = 1024;
/// As much of a path or a parser's complaint as a person reads.
const QUOTED_MAX: usize = 200;
/// Drives that are asked about.
const DRIVES_MAX: usize = 64;

/// What we want to know of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub mem_kib: Option<u64>,
    pub vcpus: Option<u32>,
    /// Its drives, by the names that libvirt's calls take.
    pub drives: Vec<String>,
    /// Why the VM cannot move, if so.
    pub immovable: Option<String>,
    pub devices: Devices,
}

/// `shared`: folders that all hosts see alike.
pub(crate) fn read(xml: &str, shared: &[String]) -> Result<Definition, String> {
    if xml.len() > SIZE_MAX {
        return Err(format!("its XML has {} bytes", xml.len()));
    }
    let shape = Shape::of(xml);
    if shape.depth > DEPTH_MAX {
        return Err("its XML is nested too deeply".to_owned());
    }
    if shape.attributes > ATTRIBUTES_MAX || shape.namespaces > NAMESPACES_MAX {
        return Err("its XML has too many attributes or namespaces".to_owned());
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(xml, options)
        .map_err(|error| short(&format!("its XML does not read: {error}")))?;
    let domain = document.root_element();
    let number = |name: &str| {
        child(domain, name).and_then(|node| node.text()).and_then(|text| text.trim().parse::<u64>().ok())
    };
    let unit = child(domain, "memory").and_then(|node| node.attribute("unit")).unwrap_or("KiB");
    Ok(Definition {
        mem_kib: number("memory").and_then(|amount| in_kib(amount, unit)),
        vcpus: number("vcpu").and_then(|count| u32::try_from(count).ok()),
        drives: child(domain, "devices").map(drives).unwrap_or_default(),
        immovable: child(domain, "devices")
            .and_then(|devices| immovable(devices, shared))
            .map(|why| short(&why)),
        devices: child(domain, "devices").map(|all| devices(all, shared)).unwrap_or_default(),
    })
}

fn devices(devices: Node<'_, '_>, shared: &[String]) -> Devices {
    let mut found = Devices::default();
    for device in devices.children().filter(Node::is_element) {
        match device.tag_name().name() {
            "interface" => {
                found
                    .macs
                    .extend(child(device, "mac").and_then(|mac| mac.attribute("address")).and_then(mac));
                found.networks.extend(network(device));
            }
            "disk" => found.disks.extend(written(device, shared)),
            _ => {}
        }
    }
    let names = |names: Vec<String>| names.into_iter().filter(|name| name.len() <= NAME_MAX);
    Devices {
        macs: found.macs.into_iter().take(DEVICES_MAX).collect(),
        disks: names(found.disks).take(DEVICES_MAX).collect(),
        networks: names(found.networks).take(DEVICES_MAX).collect(),
    }
    .in_order()
}

/// Of one card: a group's address and the empty one belong to nobody.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next().filter(|part| part.len() == 2)?, 16).ok()?;
    }
    (parts.next().is_none() && bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(bytes)
}

/// What its host must have for it. Bridges of Open vSwitch do not look like bridges, so they are not asked for.
fn network(interface: Node<'_, '_>) -> Option<String> {
    let source = child(interface, "source")?;
    match interface.attribute("type")? {
        "bridge" if child(interface, "virtualport").is_none() => {
            source.attribute("bridge").map(str::to_owned)
        }
        "direct" => source.attribute("dev").map(str::to_owned),
        "network" => source.attribute("network").map(|name| format!("network/{name}")),
        _ => None,
    }
}

/// The name, the same on every host, of a disk that the VM writes and shares with nobody. Two paths to one file are two
/// names: links are not followed, since the storage is not asked.
fn written(disk: Node<'_, '_>, shared: &[String]) -> Option<String> {
    let has = |name| child(disk, name).is_some();
    let removable = matches!(disk.attribute("device"), Some("cdrom" | "floppy"));
    if removable || has("readonly") || has("shareable") || has("transient") {
        return None;
    }
    let source = child(disk, "source")?;
    let place = match disk.attribute("type").unwrap_or("file") {
        "network" => {
            let hosts = source.children().filter(|node| node.has_tag_name("host"));
            let hosts: Vec<&str> = hosts.filter_map(|host| host.attribute("name")).collect();
            let (protocol, name) = (source.attribute("protocol")?, source.attribute("name")?);
            return Some(format!("{protocol}://{}/{name}", hosts.join(",")));
        }
        "file" => source.attribute("file")?,
        "block" => source.attribute("dev")?,
        _ => return None,
    };
    if !seen_everywhere(place, shared) {
        return None;
    }
    let parts: Vec<&str> = place.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Some(format!("/{}", parts.join("/")))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn in_kib(amount: u64, unit: &str) -> Option<u64> {
    match unit {
        "b" | "bytes" => Some(amount.div_ceil(1024)),
        "KiB" | "k" => Some(amount),
        "MiB" | "M" => amount.checked_mul(1 << 10),
        "GiB" | "G" => amount.checked_mul(1 << 20),
        "TiB" | "T" => amount.checked_mul(1 << 30),
        _ => None,
    }
}

/// The first device that holds the VM where it is.
fn immovable(devices: Node<'_, '_>, shared: &[String]) -> Option<String> {
    devices.children().filter(Node::is_element).find_map(|device| match device.tag_name().name() {
        "hostdev" => Some(format!(
            "a device of its host is passed through ({})",
            device.attribute("type").unwrap_or("unknown")
        )),
        "interface" if device.attribute("type") == Some("hostdev") => {
            Some("a network card of its host is passed through".to_owned())
        }
        "filesystem" => Some("it mounts a folder of its host".to_owned()),
        "shmem" => Some("it shares memory with its host".to_owned()),
        "disk" => disk(device, shared),
        _ => None,
    })
}

fn drives(devices: Node<'_, '_>) -> Vec<String> {
    let disks = devices.children().filter(|device| device.has_tag_name("disk"));
    let names = disks.filter_map(|disk| child(disk, "target")?.attribute("dev"));
    names.take(DRIVES_MAX).map(str::to_owned).collect()
}

fn disk(disk: Node<'_, '_>, shared: &[String]) -> Option<String> {
    if child(disk, "driver").and_then(|driver| driver.attribute("cache")) == Some("unsafe") {
        return Some("a disk has the cache mode `unsafe`".to_owned());
    }
    // A drive without a medium.
    let source = child(disk, "source")?;
    let kind = disk.attribute("type").unwrap_or("file");
    let place = match kind {
        // The whole network sees it.
        "network" => return None,
        "file" => source.attribute("file"),
        "block" => source.attribute("dev"),
        "dir" => source.attribute("dir"),
        _ => None,
    };
    let Some(place) = place else {
        return Some(format!("a disk of type {kind:?} may exist on its host alone"));
    };
    (!seen_everywhere(place, shared)).then(|| format!("its disk {place} exists on its host alone"))
}

/// Below a folder that all hosts share. A path with a step upwards may lead anywhere.
fn seen_everywhere(place: &str, shared: &[String]) -> bool {
    !place.split('/').any(|part| part == "..")
        && shared.iter().any(|folder| {
            let folder = folder.trim_end_matches('/');
            place.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        })
}

/// What a parser may need its stack, squared time or squared memory for, counted without parsing. Text that is no XML
/// gives some numbers, too; the parser refuses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    /// How deep elements are nested.
    depth: usize,
    /// Of the element that has most.
    attributes: usize,
    /// Declared anywhere.
    namespaces: usize,
}

impl Shape {
    fn of(xml: &str) -> Self {
        let bytes = xml.as_bytes();
        let mut shape = Self::default();
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(open) = bytes[at..].iter().position(|byte| *byte == b'<').map(|place| at + place) {
            let rest = &bytes[open..];
            let skipped = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")]
                .into_iter()
                .find(|(start, _)| rest.starts_with(start.as_bytes()));
            if let Some((start, end)) = skipped {
                let from = open + start.len();
                let Some(place) = xml.get(from..).and_then(|rest| rest.find(end)) else { break };
                at = from + place + end.len();
                continue;
            }
            let (mut quote, mut close, mut values) = (None, open + 1, 0);
            while let Some(&byte) = bytes.get(close) {
                match quote {
                    Some(mark) if mark == byte => quote = None,
                    None if byte == b'"' || byte == b'\'' => {
                        quote = Some(byte);
                        values += 1;
                    }
                    None if byte == b'x' && bytes[close..].starts_with(b"xmlns") => shape.namespaces += 1,
                    None if byte == b'>' => break,
                    _ => {}
                }
                close += 1;
            }
            shape.attributes = shape.attributes.max(values);
            if rest.starts_with(b"</") {
                depth = depth.saturating_sub(1);
            } else if !rest.starts_with(b"<!") && bytes.get(close.wrapping_sub(1)) != Some(&b'/') {
                depth += 1;
                shape.depth = shape.depth.max(depth);
            }
            at = (close + 1).min(bytes.len());
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(devices: &str) -> String {
        format!(
            "<domain type='qemu'><name>$(reboot)</name><memory unit='MiB'>96</memory><vcpu placement='static'>1</vcpu>\
             <devices><emulator>/usr/bin/qemu</emulator>{devices}</devices></domain>"
        )
    }

    #[test]
    fn what_holds_a_vm_where_it_is() {
        let shared = ["/srv/vms/".to_owned()];
        for (devices, reason) in [
            ("", None),
            ("<disk type='network'><source protocol='nbd' name='x'/></disk>", None),
            ("<disk type='file' device='cdrom'><target dev='sda'/></disk>", None),
            ("<disk type='file'><driver cache='none'/><source file='/srv/vms/a.qcow2'/></disk>", None),
            (
                "<disk type='file'><source file='/srv/vms-of-mine/a.qcow2'/></disk>",
                Some("its disk /srv/vms-of-mine/a.qcow2 exists on its host alone"),
            ),
            (
                "<disk type='file'><source file='/srv/vms/../a'/></disk>",
                Some("its disk /srv/vms/../a exists on its host alone"),
            ),
            (
                "<disk type='block'><source dev='/dev/sdb'/></disk>",
                Some("its disk /dev/sdb exists on its host alone"),
            ),
            (
                "<disk type='volume'><source pool='p' volume='v'/></disk>",
                Some("a disk of type \"volume\" may exist on its host alone"),
            ),
            (
                "<disk type='network'><driver cache='unsafe'/><source name='x'/></disk>",
                Some("a disk has the cache mode `unsafe`"),
            ),
            ("<hostdev mode='subsystem' type='pci'/>", Some("a device of its host is passed through (pci)")),
            ("<interface type='hostdev'/>", Some("a network card of its host is passed through")),
            ("<filesystem type='mount'/>", Some("it mounts a folder of its host")),
        ] {
            let read = read(&vm(devices), &shared).expect("reads");
            assert_eq!(read.immovable.as_deref(), reason, "{devices}");
            assert_eq!((read.mem_kib, read.vcpus), (Some(96 * 1024), Some(1)));
        }
    }

    #[test]
    fn drives_go_by_the_names_of_their_targets() {
        let disks = "<disk type='file'><target dev='vda' bus='virtio'/></disk><disk/><disk><target dev='sda'/></disk>";
        assert_eq!(read(&vm(disks), &[]).expect("reads").drives, ["vda", "sda"]);
        let many = "<disk><target dev='x'/></disk>".repeat(1000);
        assert_eq!(read(&vm(&many), &[]).expect("reads").drives.len(), DRIVES_MAX);
    }

    #[test]
    fn what_it_must_not_share_and_what_its_host_must_have() {
        let shared = ["/srv/vms".to_owned()];
        let read = |devices: &str| read(&vm(devices), &shared).expect("reads").devices;
        for (disk, name) in [
            ("<disk type='file'><source file='/srv/vms//./a.qcow2'/></disk>", Some("/srv/vms/a.qcow2")),
            ("<disk type='block'><source dev='/srv/vms/lv'/></disk>", Some("/srv/vms/lv")),
            (
                "<disk type='network'><source protocol='rbd' name='pool/a'><host name='ceph1'/></source></disk>",
                Some("rbd://ceph1/pool/a"),
            ),
            // Read by many, shared on purpose, or of its host alone.
            ("<disk type='file'><source file='/srv/vms/a'/><readonly/></disk>", None),
            ("<disk type='file'><source file='/srv/vms/a'/><shareable/></disk>", None),
            ("<disk type='file' device='cdrom'><source file='/srv/vms/a.iso'/></disk>", None),
            ("<disk type='file'><source file='/var/lib/a'/></disk>", None),
            ("<disk type='file'/>", None),
            // Its backing chain is read only.
            (
                "<disk type='file'><source file='/srv/vms/b'/><backingStore><source file='/srv/vms/base'/></backingStore></disk>",
                Some("/srv/vms/b"),
            ),
        ] {
            assert_eq!(read(disk).disks, name.into_iter().collect::<Vec<_>>(), "{disk}");
        }
        let long = format!("<disk type='file'><source file='/srv/vms/{}'/></disk>", "a".repeat(NAME_MAX));
        assert_eq!(read(&long).disks, Vec::<String>::new());
        let cards = "<interface type='bridge'><mac address='52:54:00:AA:bb:01'/><source bridge='br0'/></interface>\
                     <interface type='network'><mac address='52:54:00:aa:bb:01'/><source network='lab' bridge='virbr1'/></interface>\
                     <interface type='direct'><mac address='01:00:00:00:00:01'/><source dev='eth1'/></interface>\
                     <interface type='bridge'><mac address='none'/><source bridge='ovs0'/><virtualport type='openvswitch'/></interface>\
                     <interface type='user'/>";
        let found = read(cards);
        assert_eq!(found.macs, [[0x52, 0x54, 0, 0xaa, 0xbb, 1]]);
        assert_eq!(found.networks, ["br0", "eth1", "network/lab"]);
    }

    #[test]
    fn bombs_are_refused() {
        let entity = "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain>&b;</domain>";
        let deep = format!("<domain>{}{}</domain>", "<a>".repeat(100_000), "</a>".repeat(100_000));
        let wide = format!("<domain>{}</domain>", "<a/>".repeat(300_000));
        let external = "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>";
        // Each of 100,000 elements would carry a list of 10,000 namespaces: 2 GB from 2 MB of text.
        let declared: String = (0..10_000).map(|n| format!(" xmlns:n{n}='u{n}'")).collect();
        let spaces = format!("<domain{declared}>{}</domain>", "<a xmlns:b='c'/>".repeat(100_000));
        let named: String = (0..300_000).map(|n| format!(" a{n}=''")).collect();
        let squared = format!("<domain{named}/>");
        let huge = format!("<domain>{}</domain>", " ".repeat(SIZE_MAX));
        for bomb in [entity, &deep, &wide, &spaces, &squared, &huge, external, "<domain>", "", "<domain a='"]
        {
            assert!(read(bomb, &[]).is_err(), "{}", &bomb[..bomb.len().min(60)]);
        }
    }

    #[test]
    fn what_is_quoted_is_short() {
        let long = "ä".repeat(100_000);
        let disk = vm(&format!("<disk type='file'><source file='/{long}'/></disk>"));
        let said = read(&disk, &[]).expect("reads").immovable.expect("it stays");
        assert!(said.starts_with("its disk /ää") && said.chars().count() == QUOTED_MAX + 1, "{said}");
        let odd = read(&format!("<domain><{long}></x></domain>"), &[]).expect_err("no XML");
        assert!(odd.chars().count() <= QUOTED_MAX + 1, "{odd}");
    }

    #[test]
    fn a_definition_that_is_cut_off_anywhere_is_none() {
        let whole = vm("<disk type='file'><source file='/srv/vms/a'/></disk>");
        assert!(read(&whole, &[]).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole[..end], &[]).is_err(), "{}", &whole[..end]);
        }
    }

    #[test]
    fn the_shape_is_counted_through_quotes_comments_and_empty_elements() {
        let shape = |xml| {
            let Shape { depth, attributes, namespaces } = Shape::of(xml);
            (depth, attributes, namespaces)
        };
        let quotes = "<a b='>' c=\"/>\"><d/><!-- <x y=''><y> --><![CDATA[<z>]]><e><f/></e></a>";
        assert_eq!(shape(quotes), (2, 2, 0));
        assert_eq!(shape("<?xml version='1.0'?><a><b><c></c></b></a>"), (3, 0, 0));
        assert_eq!(shape("<a xmlns:q='u'><b t='xmlns'>xmlns</b><c xmlns='v'/></a>"), (2, 1, 2));
    }
}
