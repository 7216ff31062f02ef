//! What a domain's XML says about moving it. Read only, never written back: what we do not know stays as it is.
//!
//! The text comes from users by way of a host: its size and depth are limited and a document type is refused.

use roxmltree::{Document, Node, ParsingOptions};

const SIZE_MAX: usize = 16 << 20;
const DEPTH_MAX: usize = 256;
const NODES_MAX: u32 = 200_000;

/// What we want to know of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub mem_kib: Option<u64>,
    pub vcpus: Option<u32>,
    /// Why the VM cannot move, if so.
    pub immovable: Option<String>,
}

/// `shared`: folders that all hosts see alike.
pub(crate) fn read(xml: &str, shared: &[String]) -> Result<Definition, String> {
    if xml.len() > SIZE_MAX {
        return Err(format!("its XML has {} bytes", xml.len()));
    }
    if depth(xml) > DEPTH_MAX {
        return Err("its XML is nested too deeply".to_owned());
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(xml, options)
        .map_err(|error| format!("its XML does not read: {error}"))?;
    let domain = document.root_element();
    let number = |name: &str| {
        child(domain, name).and_then(|node| node.text()).and_then(|text| text.trim().parse::<u64>().ok())
    };
    let unit = child(domain, "memory").and_then(|node| node.attribute("unit")).unwrap_or("KiB");
    Ok(Definition {
        mem_kib: number("memory").and_then(|amount| in_kib(amount, unit)),
        vcpus: number("vcpu").and_then(|count| u32::try_from(count).ok()),
        immovable: child(domain, "devices").and_then(|devices| immovable(devices, shared)),
    })
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
    // A path with a step upwards may lead anywhere.
    let seen_everywhere = !place.split('/').any(|part| part == "..")
        && shared.iter().any(|folder| {
            let folder = folder.trim_end_matches('/');
            place.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        });
    (!seen_everywhere).then(|| format!("its disk {place} exists on its host alone"))
}

/// How deep elements are nested, without parsing them: a parser may use its stack for each level.
fn depth(xml: &str) -> usize {
    let bytes = xml.as_bytes();
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
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
        let (mut quote, mut close) = (None, open + 1);
        while let Some(&byte) = bytes.get(close) {
            match quote {
                Some(mark) if mark == byte => quote = None,
                None if byte == b'"' || byte == b'\'' => quote = Some(byte),
                None if byte == b'>' => break,
                _ => {}
            }
            close += 1;
        }
        if rest.starts_with(b"</") {
            depth = depth.saturating_sub(1);
        } else if !rest.starts_with(b"<!") && bytes.get(close.wrapping_sub(1)) != Some(&b'/') {
            depth += 1;
            deepest = deepest.max(depth);
        }
        at = (close + 1).min(bytes.len());
    }
    deepest
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
    fn bombs_are_refused() {
        let entity = "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain>&b;</domain>";
        let deep = format!("<domain>{}{}</domain>", "<a>".repeat(100_000), "</a>".repeat(100_000));
        let wide = format!("<domain>{}</domain>", "<a/>".repeat(300_000));
        let external = "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>";
        for bomb in [entity, &deep, &wide, external, "<domain>", "", "<domain a='"] {
            assert!(read(bomb, &[]).is_err(), "{}", &bomb[..bomb.len().min(60)]);
        }
    }

    #[test]
    fn depth_is_counted_through_quotes_comments_and_empty_elements() {
        assert_eq!(depth("<a b='>' c=\"/>\"><d/><!-- <x><y> --><![CDATA[<z>]]><e><f/></e></a>"), 2);
        assert_eq!(depth("<?xml version='1.0'?><a><b><c></c></b></a>"), 3);
    }
}
