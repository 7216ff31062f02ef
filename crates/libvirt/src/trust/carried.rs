//! Who carries moves between our hosts, from the settings and from what was last seen of each host's TLS.

use super::{Listed, RENEW_DAYS, Tls, TlsWay, Whose, way};
use crate::{Libvirt, Way};
use dormouse_driver::{Carried, Carrier, Clock as _};
use dormouse_model::HostSpec;
use std::sync::PoisonError;

impl Libvirt {
    /// The way that a move takes now.
    pub(crate) fn way(&self, from: &HostSpec, to: &HostSpec) -> TlsWay {
        let here = (from.name.as_str(), self.tls(&from.name));
        let there = (to.name.as_str(), self.tls(&to.name));
        let now_s = self.clock.wall().as_second();
        let seen = || way((here.0, here.1.as_ref()), (there.0, there.1.as_ref()), now_s);
        match self.settings.moves.way {
            Way::Best => seen(),
            Way::PeerToPeer if seen() == TlsWay::Listed => TlsWay::Listed,
            Way::PeerToPeer => TlsWay::Open,
            Way::ByUs => TlsWay::Managed { why: "the settings say so".to_owned(), mend: None },
        }
    }

    fn tls(&self, host: &str) -> Option<Tls> {
        self.host(host).tls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn carried_between(&self, from: &HostSpec, to: &HostSpec) -> Option<Carried> {
        // libvirt's test driver moves nothing.
        self.uri.is_none().then(|| carried(self.way(from, to)))
    }

    pub(crate) fn carried_of(&self, host: &HostSpec) -> Option<Carried> {
        let tls = self.tls(&host.name)?;
        let mut carried = self.carried_between(host, host)?;
        carried.days_left = tls.days_left(self.clock.wall().as_second());
        if let Some(days) = carried.days_left.filter(|days| *days <= RENEW_DAYS) {
            carried.notes.push(format!("its certificate ends in {days} days"));
        }
        if let Listed::Ours(list) = tls.listed
            && let Some(newest) = self.newest_list(tls.ca.as_deref()).filter(|newest| *newest > list)
        {
            carried.notes.push(format!("its list is number {list}, other hosts have {newest}"));
        }
        if !carried.notes.is_empty() {
            carried.mend = carried.mend.or_else(|| Some(host.name.clone()));
        }
        Some(carried)
    }

    /// Of all hosts with this CA.
    fn newest_list(&self, ca: Option<&str>) -> Option<u32> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let lists = hosts.values().filter_map(|host| {
            let tls = host.tls.lock().unwrap_or_else(PoisonError::into_inner);
            match tls.as_ref()? {
                Tls { listed: Listed::Ours(list), whose: Whose::Ours { .. }, ca: theirs, .. }
                    if theirs.as_deref() == ca =>
                {
                    Some(*list)
                }
                _ => None,
            }
        });
        lists.max()
    }
}

fn carried(way: TlsWay) -> Carried {
    let words = way.to_string();
    let (by, mend) = match way {
        TlsWay::Listed => (Carrier::HostsListed, None),
        TlsWay::Open => (Carrier::Hosts, None),
        TlsWay::Managed { mend, .. } => (Carrier::Manager, mend),
    };
    Carried { by, words, mend, notes: vec![], days_left: None }
}
