//! Every key with its type, its value when nobody sets it, and what it means.

use super::value::{Endpoints, HostCpu, LogFormat, StoreKind, Transport, Value};
use dormouse_control::{Automation, Restart};
use dormouse_model::Millis;
use std::path::PathBuf;

/// One row of the table of keys.
#[derive(Debug)]
pub(crate) struct KeyInfo {
    /// As in the file, with dots: `ssh.user` is `user` in `[ssh]`.
    pub(crate) name: &'static str,
    pub(crate) takes: &'static str,
    pub(crate) help: &'static str,
    pub(super) get: fn(&Config) -> String,
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
}

macro_rules! keys {
    ($($field:ident: $type:ty = $default:expr, $name:literal, $help:literal;)*) => {
        /// Every setting with its value.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct Config {
            $(#[doc = $help] pub(crate) $field: $type,)*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// The table of keys, in the order in which they are shown.
        pub(crate) const KEYS: &[KeyInfo] = &[$(KeyInfo {
            name: $name,
            takes: <$type as Value>::TAKES,
            help: $help,
            get: |config| config.$field.show(),
            set: |config, text| {
                config.$field = <$type as Value>::read(text)?;
                Some(())
            },
        },)*];
    };
}

keys! {
    mode: Automation = Automation::Observe, "mode", "what the daemon may do by itself";
    cluster: PathBuf = PathBuf::from("/etc/dormouse/cluster"), "cluster", "the cluster text: hosts, rules, calendar and policy";
    state: PathBuf = PathBuf::from("/var/lib/dormouse"), "state", "folder of the store and of the keys made for ssh";
    store_kind: StoreKind = StoreKind::Sqlite, "store", "what must survive is kept in a file of this manager, or in an etcd that several share";
    etcd_endpoints: Endpoints = Endpoints::default(), "etcd.endpoints", "the members of the etcd";
    etcd_prefix: String = "dormouse".to_owned(), "etcd.prefix", "what our keys in the etcd begin with, after a slash: one word for each cluster";
    etcd_ca: Option<PathBuf> = None, "etcd.ca", "certificate of who vouches for the members";
    etcd_certificate: Option<PathBuf> = None, "etcd.certificate", "by which the members know us";
    etcd_key: Option<PathBuf> = None, "etcd.key", "private key of that certificate";
    socket: PathBuf = PathBuf::from("/run/dormouse/control.sock"), "socket", "where the verbs reach the daemon";
    log_format: LogFormat = LogFormat::Text, "log.format", "lines for people or for a log collector";
    log_level: String = "info".to_owned(), "log.level", "error, warn, info, debug, trace, or a filter by module";
    ssh_user: Option<String> = None, "ssh.user", "who we are on the hosts; as in ssh_config(5) unless given";
    ssh_identity: Option<PathBuf> = None, "ssh.identity", "private key; the credential dormouse.ssh-key or STATE/ssh/id_ed25519 where that exists";
    ssh_known_hosts: Option<PathBuf> = None, "ssh.known-hosts", "pinned host keys; STATE/ssh/known_hosts where that exists";
    ssh_config: Option<PathBuf> = None, "ssh.config", "further options for ssh, as in ssh_config(5)";
    libvirt_socket: PathBuf = PathBuf::from("/run/libvirt/libvirt-sock"), "hosts.libvirt-socket", "libvirt's socket on the hosts";
    shared: Vec<PathBuf> = vec![], "hosts.shared", "folders of the shared storage, which a host must have mounted before it takes VMs";
    require_disk_lock: bool = false, "hosts.require-disk-lock", "use no host on which libvirt does not lock the disks of running VMs";
    host_cpu: HostCpu = HostCpu::Measured, "hosts.cpu", "where a host's CPU use is taken from; guests is for hosts that share one kernel";
    wake_without_quorum: bool = false, "manager.wake-without-quorum", "a leader that cannot reach its etcd any more still wakes hosts at an opening";
    restart: Restart = Restart::Never, "vms.restart", "what starts a VM again that is seen to have crashed: never, or on-crash on the same host, three times an hour, in mode auto";
    transport: Transport = Transport::Auto, "moves.transport", "who carries a move: the hosts themselves over TLS, or this daemon, one at a time; auto: the hosts where they have certificates";
    encrypt: bool = false, "moves.encrypt", "encrypt the memory of VMs on its way";
    no_progress: Millis = Millis::from_secs(150), "moves.no-progress", "a move whose rest has not shrunk for so long is aborted";
    observe_every: Millis = Millis::from_secs(15), "time.observe-every", "a look at every host, this often";
    look_deadline: Millis = Millis::from_secs(8), "time.look-deadline", "a look that takes longer has failed";
    fresh: Millis = Millis::from_secs(10), "time.fresh", "an observation that allows a power-off is not older";
    t_on: Millis = Millis::from_secs(600), "time.t-on", "a woken host has this long to become usable";
    t_off: Millis = Millis::from_secs(300), "time.t-off", "a host has this long to go off";
    heal_after: Millis = Millis::from_mins(10), "time.heal-after", "a set-aside host that is healthy for so long is trusted again";
    login_idle: Millis = Millis::from_mins(30), "time.login-idle", "a login idle for so long no longer keeps its host on";
    clock_offset: Millis = Millis::from_secs(2), "time.clock-offset", "a host whose clock is further off is not used";
    backoff: Millis = Millis::from_mins(2), "time.backoff", "rest after a failed step, doubled with each failure";
    backoff_max: Millis = Millis::from_mins(60), "time.backoff-max", "longest rest after failed steps";
    seed_every: Millis = Millis::from_mins(15), "time.seed-every", "policy seed plans this often in closed hours";
    confirm_within: Millis = Millis::from_secs(60), "time.confirm-within", "a move not seen on both ends for so long is in doubt";
    calendar_rate: u32 = 1, "lab.calendar-rate", "the lab only: calendar seconds in a second";
    calendar_from: Option<jiff::Timestamp> = None, "lab.calendar-from", "the lab only: what the calendar showed at calendar-at";
    calendar_at: Option<jiff::Timestamp> = None, "lab.calendar-at", "the lab only: the real time at which it showed that";
}
