//! Settings that can be read and would do harm.

use super::Config;
use super::value::StoreKind;
use dormouse_model::Millis;

/// The key, what is wrong, and what to do.
type Danger = (&'static str, String, &'static str);

/// The first dangerous combination.
pub(super) fn check(config: &Config) -> Result<(), Danger> {
    let refuse = |key, message: String, hint| Err((key, message, hint));
    for shared in &config.shared {
        if !shared.is_absolute() {
            return refuse(
                "hosts.shared",
                format!("`hosts.shared` is `{}`, which is not an absolute path", shared.display()),
                "give the path as it is on the hosts",
            );
        }
        if config.state.starts_with(shared) {
            return refuse(
                "state",
                format!("`state` lies on the storage that we manage ({})", shared.display()),
                "keep the store on a disk of the manager: it must not sleep with the hosts",
            );
        }
    }
    if config.store_kind == StoreKind::Etcd {
        if !cfg!(feature = "etcd") {
            return refuse(
                "store",
                "`store` is `etcd`, and this program was built without it".to_owned(),
                "build it with `make build-etcd`, or `cargo build --release -p dormouse --features etcd`",
            );
        }
        if config.etcd_endpoints.0.is_empty() {
            return refuse(
                "etcd.endpoints",
                "`store` is `etcd`, and no endpoint is given".to_owned(),
                "name its members: endpoints = [\"https://10.0.0.1:2379\", …] in [etcd]",
            );
        }
    }
    if config.etcd_certificate.is_some() != config.etcd_key.is_some() {
        return refuse(
            "etcd.key",
            "`etcd.certificate` and `etcd.key` go together".to_owned(),
            "give both or none",
        );
    }
    if config.look_deadline >= config.observe_every {
        return refuse(
            "time.look-deadline",
            format!("looks may take {} but one begins every {}", config.look_deadline, config.observe_every),
            "make `time.look-deadline` shorter than `time.observe-every`",
        );
    }
    if config.fresh > Millis(config.observe_every.0 * 3) {
        return refuse(
            "time.fresh",
            format!("a power-off would rest on an observation up to {} old", config.fresh),
            "`time.fresh` may be three times `time.observe-every` at most",
        );
    }
    // Below a minute no real machine is up or down: every host would be set aside.
    if config.calendar_rate == 1 && config.t_on < Millis::from_secs(60) {
        return refuse(
            "time.t-on",
            format!("no host is up {} after a wake", config.t_on),
            "`time.t-on` is how long a host may take from the wake to usable: minutes",
        );
    }
    if config.calendar_from.is_some() != config.calendar_at.is_some() {
        return refuse(
            "lab.calendar-from",
            "`lab.calendar-from` and `lab.calendar-at` go together".to_owned(),
            "give both or none",
        );
    }
    // sockaddr_un: 108 bytes with the one that ends it.
    if config.socket.as_os_str().len() > 107 {
        return refuse(
            "socket",
            format!(
                "the path of the socket has {} bytes, and 107 are possible",
                config.socket.as_os_str().len()
            ),
            "choose a shorter `socket`",
        );
    }
    Ok(())
}
