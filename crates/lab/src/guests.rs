//! The lab's guests: their libvirt definitions, their first start, and orders to the program inside them.
//!
//! Only `up` (and a test that asks for it) starts a guest here; afterwards they belong to whoever manages the lab.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, LabError, Result, checked};
use crate::image::Image;
use crate::paths::{HostPaths, IN_HOST};
use crate::spec::{GuestSpec, HOST_BRIDGE, LabSpec, MANAGER_ADDRESS, NETMASK, ORDER_PORT};

/// Work for the program in a guest: it is really done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Percent of one real core (of which a whole lab host is worth only a share).
    Cpu { percent: u8 },
    /// MiB of memory written each second.
    Dirty { mib_per_s: u16 },
    /// MiB written each second to its first disk, past every cache; a guest without one does nothing.
    Write { mib_per_s: u16 },
}

pub(crate) fn domain_xml(lab: &LabSpec, guest: &GuestSpec) -> String {
    format!(
        "<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{IN_HOST}/image/{kernel}</kernel>
    <initrd>{IN_HOST}/image/{initrd}</initrd>
    <cmdline>console=ttyS0 quiet no_timer_check panic=-1 highres=off nowatchdog tsc=reliable lab.ip={ip} lab.mask={NETMASK} lab.hub={MANAGER_ADDRESS} lab.uuid={uuid} lab.tick={tick} lab.beat={beat}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <interface type='bridge'>
      <mac address='{mac}'/>
      <source bridge='{HOST_BRIDGE}'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <serial type='file'><source path='/var/log/libvirt/qemu/{name}-console.log'/></serial>
    <console type='file'><source path='/var/log/libvirt/qemu/{name}-console.log'/><target type='serial'/></console>
    <memballoon model='none'/>
  </devices>
</domain>
",
        name = guest.name,
        uuid = guest.uuid,
        mib = lab.guest_mib,
        kernel = Image::KERNEL,
        initrd = Image::INITRD,
        ip = guest.address,
        tick = lab.tick_ms,
        beat = lab.beat_ms,
        mac = guest.mac,
    )
}

/// `virsh` against a host's own libvirtd, through its socket.
pub(crate) fn virsh(host: &HostPaths, words: &[&str]) -> Result<String> {
    let uri = format!("qemu:///system?socket={}", host.libvirt_socket().display());
    checked(
        &format!("virsh {}", words.join(" ")),
        Command::new("virsh").args(["-q", "-c", &uri]).args(words).env("LC_ALL", "C.UTF-8").output(),
    )
}

pub(crate) fn define_and_start(host: &HostPaths, xml: &Path, guest: &GuestSpec) -> Result<()> {
    virsh(host, &["define", &xml.display().to_string()])?;
    virsh(host, &["start", &guest.uuid.to_string()]).map(drop)
}

/// Gives the program in a guest an order. Must run in the switch's network namespace.
pub(crate) fn order(guest: &GuestSpec, order: &str) -> Result<()> {
    let what = || format!("guest {} does not answer", guest.name);
    let address = SocketAddr::from((guest.address, ORDER_PORT));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).doing(what)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).doing(what)?;
    stream.write_all(format!("{order}\n").as_bytes()).doing(what)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing(what)?;
    if answer == "ok\n" {
        return Ok(());
    }
    Err(LabError::new(format!("guest {} refuses {order:?}", guest.name))
        .because(answer.trim_end().escape_debug()))
}

impl Load {
    pub(crate) fn order(self, seconds: u32) -> String {
        match self {
            Self::Cpu { percent } => format!("cpu {} {seconds}", percent.min(100)),
            Self::Write { mib_per_s } => format!("write {} {seconds}", mib_per_s.min(4096)),
            Self::Dirty { mib_per_s } => format!("dirty {} {seconds}", mib_per_s.min(4096)),
        }
    }
}
