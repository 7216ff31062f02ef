//! Magic packets: six bytes of ones, then the MAC sixteen times.
//!
//! A sleeping host has no address and its switch may have forgotten it, so a packet goes out on every interface, three
//! ways: to everybody by UDP, to the interface's own subnet by UDP, and as a bare Ethernet frame (root only).

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::{SockaddrIn, setsockopt};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PORT: u16 = 9;
const ETHER_TYPE: u16 = 0x0842;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WolError {
    #[error("the network interfaces cannot be listed: {0}")]
    Interfaces(String),
    #[error("no interface is up that could carry a magic packet")]
    NoInterface,
    #[error("no magic packet could be sent: {0}")]
    NotSent(String),
}

/// The 102 bytes that wake one interface.
#[must_use]
pub fn magic_packet(mac: [u8; 6]) -> [u8; 102] {
    let mut packet = [0xff; 102];
    for place in packet.chunks_exact_mut(6).skip(1) {
        place.copy_from_slice(&mac);
    }
    packet
}

/// One round for all MACs of a host. Answers how many packets left.
pub(crate) async fn wake_once(macs: &[[u8; 6]]) -> Result<usize, WolError> {
    let macs = macs.to_vec();
    // The sends do not block, but listing interfaces and opening sockets are system calls of unknown length.
    tokio::task::spawn_blocking(move || send_everywhere(&macs))
        .await
        .map_err(|error| WolError::NotSent(error.to_string()))?
}

/// One round for these MACs on every interface, without daemon, store or config. Answers how many packets left.
pub fn send_everywhere(macs: &[[u8; 6]]) -> Result<usize, WolError> {
    let interfaces = interfaces()?;
    if interfaces.is_empty() {
        return Err(WolError::NoInterface);
    }
    let mut sent = 0;
    let mut last = None;
    for interface in &interfaces {
        for &mac in macs {
            for result in interface.send(mac) {
                match result {
                    Ok(()) => sent += 1,
                    Err(error) => last = Some(format!("{}: {error}", interface.name.to_string_lossy())),
                }
            }
        }
    }
    match (sent, last) {
        (0, why) => Err(WolError::NotSent(why.unwrap_or_else(|| "no MAC address given".to_owned()))),
        (sent, _) => Ok(sent),
    }
}

struct Interface {
    name: OsString,
    /// Address and subnet-directed broadcast, one for each IPv4 address.
    subnets: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
}

/// What is up, can broadcast, and is not a loop.
fn interfaces() -> Result<Vec<Interface>, WolError> {
    let mut found: Vec<Interface> = vec![];
    for address in getifaddrs().map_err(|error| WolError::Interfaces(error.to_string()))? {
        let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST;
        if !address.flags.contains(wanted) || address.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let name = OsString::from(&address.interface_name);
        let place = found.iter().position(|interface| interface.name == name).unwrap_or_else(|| {
            found.push(Interface { name, subnets: vec![] });
            found.len() - 1
        });
        let ipv4 = |storage: Option<nix::sys::socket::SockaddrStorage>| {
            storage.and_then(|address| address.as_sockaddr_in().map(SockaddrIn::ip))
        };
        if let Some(own) = ipv4(address.address) {
            found[place].subnets.push((own, ipv4(address.broadcast)));
        }
    }
    Ok(found)
}

impl Interface {
    fn send(&self, mac: [u8; 6]) -> Vec<io::Result<()>> {
        let packet = magic_packet(mac);
        let mut results = vec![];
        for &(own, directed) in &self.subnets {
            results.push(self.udp(own, Ipv4Addr::BROADCAST, &packet));
            if let Some(directed) = directed {
                results.push(self.udp(own, directed, &packet));
            }
        }
        if nix::unistd::geteuid().is_root() {
            results.push(self.frame(&packet));
        }
        results
    }

    fn udp(&self, own: Ipv4Addr, to: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let socket = UdpSocket::bind(SocketAddrV4::new(own, 0))?;
        socket.set_broadcast(true)?;
        socket.set_nonblocking(true)?;
        // Without the right to bind to the interface the route decides, which is right on most machines.
        let _ = setsockopt(&socket, BindToDevice, &self.name);
        socket.send_to(packet, SocketAddrV4::new(to, PORT)).map(drop)
    }

    fn frame(&self, packet: &[u8]) -> io::Result<()> {
        let index = if_nametoindex(self.name.as_os_str())?;
        // SAFETY: plain system call; the descriptor is owned from here on.
        let socket = unsafe {
            let fd =
                libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: sockaddr_ll is plain data; all zero is valid.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::c_ushort::try_from(libc::AF_PACKET).expect("a small constant");
        to.sll_protocol = ETHER_TYPE.to_be();
        to.sll_ifindex =
            libc::c_int::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        to.sll_halen = 6;
        to.sll_addr[..6].fill(0xff);
        let size = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).expect("a small constant");
        // SAFETY: packet and address outlive the call, and their lengths are their own.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const to).cast(),
                size,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_packet_is_six_ones_and_sixteen_times_the_mac() {
        let packet = magic_packet([0x52, 0x54, 0, 0xaa, 0xbb, 0x01]);
        let text: Vec<String> = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text.concat(), format!("{}{}", "ff".repeat(6), "525400aabb01".repeat(16)));
    }
}
