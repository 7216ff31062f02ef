//! The lab's ear on its switch: one packet socket over all ports, in the kernel filtered down to magic packets and
//! heartbeats. A magic packet counts for a host only when the switch really put it on that host's wire; a
//! heartbeat counts for the host whose port it came in by.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::error::{Doing, Result};
use crate::spec::{HEARTBEAT_PORT, Mac};

const ETHERTYPE_WOL: u16 = 0x0842;
const ETHERTYPE_IPV4: u16 = 0x0800;
const WAKE_PORTS: [u16; 2] = [7, 9];

#[derive(Debug)]
pub(super) struct Ear(OwnedFd);

/// A frame of interest, and where it passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) ifindex: i32,
    /// Towards the host (the switch sent it), or from it.
    pub(super) outgoing: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Magic(Mac),
    Heartbeat(&'a [u8]),
}

impl Ear {
    /// Listens in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self> {
        let all = i32::from(0x0003_u16.to_be());
        // SAFETY: socket with plain integers; the new descriptor is owned at once.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, all) };
        if fd < 0 {
            return Err(io::Error::last_os_error()).doing(|| "cannot listen on the lab's switch".to_owned());
        }
        // SAFETY: fd is a descriptor that nobody else owns.
        let ear = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut filter = filter();
        let program = libc::sock_fprog {
            len: libc::c_ushort::try_from(filter.len()).expect("the filter is short"),
            filter: filter.as_mut_ptr(),
        };
        ear.option(libc::SO_ATTACH_FILTER, &program)?;
        ear.option(libc::SO_RCVBUF, &(4_i32 << 20))?;
        Ok(ear)
    }

    fn option<T>(&self, name: libc::c_int, value: &T) -> Result<()> {
        let len = libc::socklen_t::try_from(size_of::<T>()).expect("options are small");
        // SAFETY: value points to `len` readable bytes for the length of the call.
        let done = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                name,
                std::ptr::from_ref(value).cast::<libc::c_void>(),
                len,
            )
        };
        if done == 0 {
            return Ok(());
        }
        Err(io::Error::last_os_error()).doing(|| "cannot set up the ear on the lab's switch".to_owned())
    }

    pub(super) fn next<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Frame<'a>> {
        // SAFETY: an all-zero sockaddr_ll is a valid value to be filled in.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut len = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).expect("an address is small");
        // SAFETY: buffer and address are writable for the lengths given.
        let got = unsafe {
            libc::recvfrom(
                self.0.as_raw_fd(),
                buffer.as_mut_ptr().cast::<libc::c_void>(),
                buffer.len(),
                0,
                std::ptr::from_mut(&mut from).cast::<libc::sockaddr>(),
                &raw mut len,
            )
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        let bytes = buffer.get(..got.min(buffer.len())).unwrap_or_default();
        Ok(Frame { bytes, ifindex: from.sll_ifindex, outgoing: from.sll_pkttype == libc::PACKET_OUTGOING })
    }
}

/// What a frame says, if it is one of ours.
pub(super) fn content(frame: &[u8]) -> Option<Content<'_>> {
    let kind = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    if kind == ETHERTYPE_WOL {
        return magic(frame.get(14..)?).map(Content::Magic);
    }
    let ip = frame.get(14..)?;
    if kind != ETHERTYPE_IPV4 || *ip.get(9)? != 17 {
        return None;
    }
    let udp = ip.get(usize::from(ip.first()? & 0x0f) * 4..)?;
    let port = u16::from_be_bytes([*udp.get(2)?, *udp.get(3)?]);
    let payload = udp.get(8..)?;
    if port == HEARTBEAT_PORT {
        return Some(Content::Heartbeat(payload));
    }
    WAKE_PORTS.contains(&port).then(|| magic(payload)).flatten().map(Content::Magic)
}

/// The address of a magic packet: six times ff, then the address sixteen times, anywhere in the payload.
fn magic(payload: &[u8]) -> Option<Mac> {
    payload.windows(102).find_map(|w| {
        let (sync, body) = w.split_at(6);
        let mac: [u8; 6] = body.get(..6)?.try_into().ok()?;
        let fits = sync.iter().all(|b| *b == 0xff) && mac != [0xff; 6] && body.chunks(6).all(|c| c == mac);
        fits.then_some(Mac(mac))
    })
}

/// Classic BPF: EtherType 0x0842, or unfragmented IPv4 UDP to ports 7, 9 or the heartbeats'.
fn filter() -> Vec<libc::sock_filter> {
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: libc::c_ushort::try_from(code).expect("a BPF opcode is 16 bits"),
        jt,
        jf,
        k,
    };
    let (ld_half, ld_byte) = (libc::BPF_LD | libc::BPF_H, libc::BPF_LD | libc::BPF_B);
    let equals = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    vec![
        op(ld_half | libc::BPF_ABS, 0, 0, 12),
        op(equals, 10, 0, u32::from(ETHERTYPE_WOL)),
        op(equals, 0, 10, u32::from(ETHERTYPE_IPV4)),
        op(ld_byte | libc::BPF_ABS, 0, 0, 23),
        op(equals, 0, 8, 17),
        op(ld_half | libc::BPF_ABS, 0, 0, 20),
        op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 6, 0, 0x1fff),
        op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 14),
        op(ld_half | libc::BPF_IND, 0, 0, 16),
        op(equals, 2, 0, u32::from(WAKE_PORTS[0])),
        op(equals, 1, 0, u32::from(WAKE_PORTS[1])),
        op(equals, 0, 1, u32::from(HEARTBEAT_PORT)),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 512),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 0, 9];

    fn frame(kind: u16, rest: &[u8]) -> Vec<u8> {
        let mut f = vec![0xff; 12];
        f.extend(kind.to_be_bytes());
        f.extend(rest);
        f
    }

    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        ip.extend([0; 8]);
        ip.extend([0, 1]);
        ip.extend(port.to_be_bytes());
        ip.extend([0; 4]);
        ip.extend(payload);
        frame(ETHERTYPE_IPV4, &ip)
    }

    fn packet() -> Vec<u8> {
        [vec![0xff; 6], MAC.repeat(16)].concat()
    }

    #[test]
    fn magic_packets_are_heard_raw_and_over_udp_and_nothing_else_is() {
        let wakes = Some(Content::Magic(Mac(MAC)));
        assert_eq!(content(&frame(ETHERTYPE_WOL, &packet())), wakes);
        assert_eq!(content(&udp(9, &packet())), wakes);
        assert_eq!(content(&udp(7, &[b"secure".to_vec(), packet()].concat())), wakes);
        assert_eq!(content(&udp(8, &packet())), None);
        assert_eq!(content(&frame(ETHERTYPE_WOL, &packet()[..101])), None);
        assert_eq!(content(&frame(ETHERTYPE_WOL, &[0xff; 200])), None);
        assert_eq!(content(&[0; 5]), None);
    }
}
