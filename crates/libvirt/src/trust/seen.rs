//! What a look at a host says of its TLS, and by which way a VM can go from one host to another.
//!
//! Pure. Believes the hosts and no register of ours: a host that was installed anew has lost its certificates whatever
//! `host add` once did.

use std::fmt;

/// Whose certificates a host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Made by `host add`, as its note beside them says.
    Ours {
        since: u32,
        ends_s: i64,
    },
    Others,
    Nobodys,
}

/// Whom it lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Those of our list with this number.
    Ours(u32),
    /// Those of a list that somebody else wrote.
    Others,
    /// Everyone with a certificate of its CA.
    Everyone,
}

/// A host's TLS as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// libvirt takes TLS connections (port 16514).
    pub listens: bool,
    pub whose: Whose,
    pub listed: Listed,
    /// Checksum of the CA's certificate there.
    pub ca: Option<String>,
}

/// Who carries a move, and how much that is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsWay {
    /// From host to host, with certificates of our CA, and only the hosts on our list are let in.
    Listed,
    /// From host to host; the destination lets in whoever has a certificate of its CA, or a list of others decides.
    Open,
    /// Not from host to host: why not, and at which host something would have to be done.
    Managed { why: String, mend: Option<String> },
}

impl Tls {
    /// What the probe says: `LISTENS WHOSE CA SINCE ENDS LIST`, `-` for what is not there.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [listens, whose, ca, since, ends, listed] = words[..] else { return None };
        let whose = match (whose, since, ends) {
            ("ours", since, ends) => Whose::Ours { since: since.parse().ok()?, ends_s: seconds(ends)? },
            ("others", "-", "-") => Whose::Others,
            ("none", "-", "-") => Whose::Nobodys,
            _ => return None,
        };
        Some(Self {
            listens: match listens {
                "yes" => true,
                "no" => false,
                _ => return None,
            },
            whose,
            listed: match listed {
                "-" => Listed::Everyone,
                "others" => Listed::Others,
                number => Listed::Ours(number.parse().ok()?),
            },
            ca: match ca {
                "-" => None,
                sum if sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    Some(sum.to_owned())
                }
                _ => return None,
            },
        })
    }

    /// Days until its certificate ends, if it is one of ours; 0 when it has ended.
    #[must_use]
    pub fn days_left(&self, now_s: i64) -> Option<i64> {
        let Whose::Ours { ends_s, .. } = self.whose else { return None };
        Some(ends_s.saturating_sub(now_s).max(0) / super::DAY)
    }

    fn has_ended(&self, now_s: i64) -> bool {
        matches!(self.whose, Whose::Ours { ends_s, .. } if ends_s <= now_s)
    }
}

/// Up to the year 9999.
fn seconds(text: &str) -> Option<i64> {
    text.parse().ok().filter(|seconds| (0..253_402_300_800).contains(seconds))
}

/// How a VM goes from one host to another. A host of which nothing is known is taken to be as it should: libvirt itself
/// has the last word.
#[must_use]
pub fn way((from, from_tls): (&str, Option<&Tls>), (to, to_tls): (&str, Option<&Tls>), now_s: i64) -> TlsWay {
    let weaker = |why: String, mend: &str| TlsWay::Managed { why, mend: Some(mend.to_owned()) };
    for (name, tls) in [(from, from_tls), (to, to_tls)] {
        match tls {
            Some(tls) if tls.whose == Whose::Nobodys || tls.ca.is_none() => {
                return weaker(format!("{name} has no certificate"), name);
            }
            Some(tls) if tls.has_ended(now_s) => {
                return weaker(format!("the certificate of {name} has ended"), name);
            }
            _ => {}
        }
    }
    let Some(to_tls) = to_tls else { return TlsWay::Open };
    if !to_tls.listens {
        return weaker(format!("libvirt on {to} takes no TLS connections"), to);
    }
    let Some(from_tls) = from_tls else { return TlsWay::Open };
    if from_tls.ca != to_tls.ca {
        return weaker(format!("{from} and {to} have certificates of different CAs"), from);
    }
    match (to_tls.listed, &from_tls.whose) {
        (Listed::Ours(list), Whose::Ours { since, .. }) if *since <= list => TlsWay::Listed,
        (Listed::Ours(_), Whose::Ours { .. }) => weaker(format!("{from} is not yet on the list of {to}"), to),
        (Listed::Ours(_), _) => weaker(format!("{from} is not on the list of {to}"), from),
        (Listed::Others | Listed::Everyone, _) => TlsWay::Open,
    }
}

impl fmt::Display for TlsWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed => f.write_str("peer to peer, TLS, our CA"),
            Self::Open => f.write_str("peer to peer without allow-list"),
            Self::Managed { why, .. } => write!(f, "managed by us (weaker: {why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn tls(text: &str) -> Tls {
        let text = text.replace("CA1", &"a".repeat(64)).replace("CA2", &"b".repeat(64));
        Tls::read(&text).expect("reads")
    }

    #[test]
    fn the_way_of_each_pair_says_what_it_is_worth() {
        for (from, to, shown, mend) in [
            ("yes ours CA1 3 1900000000 5", "yes ours CA1 1 1900000000 5", "peer to peer, TLS, our CA", ""),
            (
                "yes ours CA1 6 1900000000 6",
                "yes ours CA1 1 1900000000 5",
                "managed by us (weaker: a is not yet on the list of b)",
                "b",
            ),
            (
                "yes ours CA1 3 1794999999 5",
                "yes ours CA1 1 1900000000 5",
                "managed by us (weaker: the certificate of a has ended)",
                "a",
            ),
            (
                "yes ours CA2 3 1900000000 5",
                "yes ours CA1 1 1900000000 5",
                "managed by us (weaker: a and b have certificates of different CAs)",
                "a",
            ),
            (
                "no none - - - -",
                "yes ours CA1 1 1900000000 5",
                "managed by us (weaker: a has no certificate)",
                "a",
            ),
            (
                "yes ours CA1 3 1900000000 5",
                "no none - - - -",
                "managed by us (weaker: b has no certificate)",
                "b",
            ),
            (
                "yes ours CA1 3 1900000000 5",
                "no ours CA1 1 1900000000 5",
                "managed by us (weaker: libvirt on b takes no TLS connections)",
                "b",
            ),
            ("yes others CA1 - - -", "yes others CA1 - - -", "peer to peer without allow-list", ""),
            ("yes others CA1 - - -", "yes others CA1 - - others", "peer to peer without allow-list", ""),
            (
                "yes others CA1 - - -",
                "yes ours CA1 1 1900000000 5",
                "managed by us (weaker: a is not on the list of b)",
                "a",
            ),
        ] {
            let way = way(("a", Some(&tls(from))), ("b", Some(&tls(to))), NOW);
            assert_eq!(way.to_string(), shown, "{from} -> {to}");
            let hint = if let TlsWay::Managed { mend: Some(mend), .. } = &way { mend.as_str() } else { "" };
            assert_eq!(hint, mend, "{from} -> {to}");
        }
        assert_eq!(way(("a", None), ("b", None), NOW), TlsWay::Open);
    }

    #[test]
    fn what_no_probe_says_is_no_answer() {
        let sum = "a".repeat(64);
        for odd in [
            "",
            "yes",
            "maybe none - - - -",
            "yes ours - 1 - 1",
            "yes ours CA1 1 -5 1",
            "yes ours CA1 1 99999999999999 1",
            "yes others CA1 1 - -",
            "yes others zz - - -",
            "yes others CA1 - - -1",
            "yes others CA1 - - - -",
        ] {
            assert_eq!(Tls::read(&odd.replace("CA1", &sum)), None, "{odd}");
        }
    }

    #[test]
    fn an_end_is_told_in_days() {
        let host = tls("yes ours CA1 3 1795200000 5");
        assert_eq!((host.days_left(NOW), host.days_left(1_900_000_000)), (Some(2), Some(0)));
        assert_eq!(tls("yes others CA1 - - -").days_left(NOW), None);
    }
}
