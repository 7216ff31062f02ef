//! What a certificate calls a host: names and addresses by which others reach it, and one name for the lists.
//!
//! Decides what may stand in a certificate. Names of hosts are text of others: what is no plain name is left out, and
//! nothing of it gets into a list, where `*` and `?` would mean something.

use crate::ssh::Destination;
use std::fmt;
use std::net::IpAddr;

/// A name or an address that a certificate can speak for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    Dns(String),
    Ip(IpAddr),
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Longest part of a host's name in the name for the lists: with the identity behind it, 64 characters are the end.
const SHOWN_MAX: usize = 40;

/// From what others call a host (names, addresses, `[user@]host[:port]`), in order and once each. What no certificate can
/// say is left out.
#[must_use]
pub fn named<'a>(called: impl IntoIterator<Item = &'a str>) -> Vec<Named> {
    let mut all = vec![];
    for call in called {
        let bare = Destination::parse(call).map_or(call, |to| to.host);
        let one = match bare.parse::<IpAddr>() {
            Ok(ip) => Some(Named::Ip(ip)),
            Err(_) => is_dns(bare).then(|| Named::Dns(bare.to_ascii_lowercase())),
        };
        if let Some(one) = one.filter(|one| !all.contains(one)) {
            all.push(one);
        }
    }
    all
}

/// Letters, digits, `-` and `_` between single dots; never all digits, which would be half an address.
fn is_dns(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The name for the lists: the host's for people, and an identity that no two machines share. So a machine that was
/// removed is not let in again when another one is given its name.
pub(super) fn common_name(host: &str, identity: u64) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let shown: String = host.chars().map(plain).take(SHOWN_MAX).collect();
    format!("{shown}-{identity:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(called: &[&str]) -> Vec<String> {
        named(called.iter().copied()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_certificate_speaks_for_every_way_to_reach_the_host_once() {
        assert_eq!(
            shown(&["lab07", "root@10.0.0.7:2222", "LAB07", "lab07.example.org", "[2001:db8::7]:22"]),
            ["lab07", "10.0.0.7", "lab07.example.org", "2001:db8::7"]
        );
    }

    #[test]
    fn text_that_is_no_name_is_left_out() {
        for odd in [
            "*",
            "*.example.org",
            "a b",
            "",
            ".",
            "a..b",
            "-a",
            "ä",
            "h\n",
            "$(reboot)",
            "10.0.0",
            "fe80::1%eth0",
        ] {
            assert_eq!(shown(&[odd]), [""; 0], "{odd:?}");
        }
        assert_eq!(shown(&[&"a".repeat(64)]), [""; 0]);
    }

    #[test]
    fn the_name_for_the_lists_means_itself_and_fits() {
        assert_eq!(common_name("lab07", 0x5f3a), "lab07-0000000000005f3a");
        for odd in ["*", "a,O=x", "a\"]\nb", "?[!", &"é".repeat(200)] {
            let name = common_name(odd, u64::MAX);
            assert!(
                name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
                "{name}"
            );
        }
    }
}
