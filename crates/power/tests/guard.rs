//! The guard as an operator would try it: a pretend host in a folder, with stand-ins for what needs systemd, and the
//! script that ships. What the host is like goes in, what was said and done comes out.

use dormouse_driver::{GuardOrder, Local, Power, Remote, fake};
use dormouse_model::{Epoch, GuardRefusal, HostTime, Millis, Outcome, OutcomeError};
use dormouse_power::{GUARD, WolAndGuard};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use uuid::Uuid;

const OURS: Uuid = Uuid::from_u128(0x0d0a);
const OTHERS: Uuid = Uuid::from_u128(0xbeef);
/// The pretend host's boot, and how long it has been up: 1000 seconds.
const BOOT: Uuid = Uuid::from_u128(0xb007);
const IN_TIME: HostTime = HostTime { boot: BOOT, uptime: Millis::from_secs(1030) };

/// Keeps one file per active unit, and writes down what it was asked.
const SYSTEMCTL: &str = r#"
verb=$1; shift
echo "talkative $verb"
[ "$verb" = is-active ] || echo "$verb $*" >>"$DORMOUSE_ROOT/log"
case $verb in
    is-active) [ -e "$DORMOUSE_ROOT/units/$1" ] ;;
    stop) for unit; do [ -e "$DORMOUSE_ROOT/stubborn" ] && exit 1; rm -f "$DORMOUSE_ROOT/units/$unit"; done
          [ -e "$DORMOUSE_ROOT/late" ] && cp -r "$DORMOUSE_ROOT/late/." "$DORMOUSE_ROOT/"; : ;;
    start) for unit; do : >"$DORMOUSE_ROOT/units/$unit"; done ;;
    poweroff) [ ! -e "$DORMOUSE_ROOT/no-power-switch" ] ;;
esac
"#;

struct Pretend {
    root: TempDir,
    shell: Vec<String>,
    env: Vec<(String, String)>,
}

impl Pretend {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let mut host = Self { root, shell: vec!["sh".into()], env: vec![] };
        for unit in ["libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket"] {
            host.put(&format!("units/{unit}"), "");
        }
        host.put("proc/locks", "");
        host.put("proc/uptime", "1000.42 7000.00\n");
        host.put("proc/sys/kernel/random/boot_id", &format!("{BOOT}\n"));
        host.program("systemctl", SYSTEMCTL);
        host.program("poweroff", "exit 1");
        host.program("who", "cat \"$DORMOUSE_ROOT/who\" 2>/dev/null");
        host.program("loginctl", "");
        host.program("systemd-inhibit", "cat \"$DORMOUSE_ROOT/inhibitors\" 2>/dev/null");
        let root = host.path("").to_string_lossy().into_owned();
        host.env = vec![
            ("DORMOUSE_PATH".into(), format!("{root}/bin")),
            ("DORMOUSE_ROOT".into(), root.trim_end_matches('/').into()),
        ];
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        fs::write(path, text).expect("written");
        self
    }

    fn program(&self, name: &str, text: &str) {
        let path = format!("bin/{name}");
        self.put(&path, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.path(&path), fs::Permissions::from_mode(0o755)).expect("executable");
    }

    /// A process as /proc shows it.
    fn process(&self, pid: u32, comm: &str, state: char, tty: u32) -> &Self {
        self.put(
            &format!("proc/{pid}/stat"),
            &format!("{pid} ({comm}) {state} 1 {pid} {pid} {tty} -1 4194304 0\n"),
        )
    }

    fn remote(&self) -> Local {
        Local { shell: self.shell.clone(), env: self.env.clone() }
    }

    fn off_by(&self, cluster: Uuid, epoch: u64) -> Outcome {
        self.off_as(&order(cluster, epoch))
    }

    fn off_as(&self, order: &GuardOrder) -> Outcome {
        let power = WolAndGuard::new(Arc::new(self.remote()));
        runtime().block_on(power.off(&fake::host("h1"), order, Millis::from_secs(20)))
    }

    fn off(&self) -> Outcome {
        self.off_by(OURS, 7)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn is_powered_off(&self) -> bool {
        self.log().contains("poweroff")
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert!(!self.is_powered_off(), "{}", self.log());
        for unit in ["libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket"] {
            assert!(self.path("units").join(unit).exists(), "{unit} is down; log: {}", self.log());
        }
        assert!(!self.path("run/nologin").exists());
        assert!(!self.path("run/dormouse-guard/doors").exists());
        assert!(!self.path("run/dormouse-guard/lock").exists());
    }

    #[track_caller]
    fn assert_refuses(&self, reasons: &[GuardRefusal]) {
        assert_eq!(self.off(), Outcome::Refused(reasons.to_vec()));
        self.assert_untouched();
    }
}

fn order(cluster: Uuid, epoch: u64) -> GuardOrder {
    let login_idle = Millis::from_mins(30);
    GuardOrder { cluster, epoch: Epoch(epoch), login_idle, good_until: Some(IN_TIME) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[track_caller]
fn assert_goes_under(shell: &[&str]) {
    let mut host = Pretend::new();
    host.shell = shell.iter().map(|word| (*word).to_owned()).collect();
    host.process(1, "systemd", 'S', 0).process(9, "sh (x) y", 'R', 0);
    assert_eq!(host.off(), Outcome::Done { downtime: None });
    assert_eq!(host.log(), "stop libvirtd.service libvirtd.socket libvirtd-ro.socket\npoweroff \n");
    assert!(host.path("run/nologin").exists());
    assert_eq!(
        fs::read_to_string(host.path("var/lib/dormouse-guard/epoch")).expect("kept"),
        format!("{OURS} 7\n")
    );
}

#[test]
fn an_empty_host_closes_its_doors_and_goes() {
    assert_goes_under(&["dash"]);
    assert_goes_under(&["bash"]);
}

#[test]
#[ignore = "needs busybox"]
fn an_empty_host_with_busybox_goes_too() {
    assert_goes_under(&["busybox", "sh"]);
}

#[test]
fn a_running_vm_is_seen_before_a_door_is_touched() {
    let host = Pretend::new();
    host.process(50, "qemu-system-x86", 'S', 0).process(51, "qemu-system-x86", 'Z', 0);
    host.assert_refuses(&[GuardRefusal::Qemu { count: 1 }]);
    assert_eq!(host.log(), "", "libvirt was not even stopped");
}

#[test]
fn a_vm_under_another_name_is_found_by_libvirts_pid_file() {
    let host = Pretend::new();
    host.process(60, "strange-emulator", 'S', 0).put("run/libvirt/qemu/x.pid", "60");
    host.assert_refuses(&[GuardRefusal::Qemu { count: 1 }]);
}

#[test]
fn a_vm_that_starts_in_the_last_second_opens_the_doors_again() {
    let host = Pretend::new();
    host.put("late/proc/70/stat", "70 (qemu-system-x86) S 1 70 70 0 -1\n");
    host.assert_refuses(&[GuardRefusal::Qemu { count: 1 }]);
    assert_eq!(
        host.log(),
        "stop libvirtd.service libvirtd.socket libvirtd-ro.socket\nstart libvirtd.socket libvirtd-ro.socket\nstart libvirtd.service\n"
    );
}

#[test]
fn people_keep_a_host_on_unless_they_have_been_idle_for_long() {
    let person = GuardRefusal::People { count: 1 };
    for (who, reasons) in [
        ("root     pts/0        2026-11-23 05:42   .          1234 (10.0.0.1)\n", vec![person.clone()]),
        ("root     pts/0        Nov 23 05:42 00:29        1234 (10.0.0.1)\n", vec![person.clone()]),
        ("root     tty1         2026-11-23 05:42   ?          1\n", vec![person.clone()]),
        ("ann pts/0 2026-11-23 05:42 00:08 12\nbob pts/1 2026-11-23 05:42 09:30 13\n", vec![person.clone()]),
        ("root     pts/0        2026-11-23 05:42 00:30        1234 (10.0.0.1)\n", vec![]),
        ("root     pts/0        2026-11-20 05:42  old         1234 ($(reboot))\n", vec![]),
    ] {
        let host = Pretend::new();
        host.put("who", who);
        match reasons.is_empty() {
            true => assert_eq!(host.off(), Outcome::Done { downtime: None }, "{who}"),
            false => host.assert_refuses(&reasons),
        }
    }
}

#[test]
fn a_detached_terminal_is_a_person_too() {
    let host = Pretend::new();
    // 34816 is /dev/pts/0: someone's tmux, used just now.
    host.process(80, "bash", 'S', 34816).process(81, "vim", 'S', 34816).put("dev/pts/0", "");
    host.assert_refuses(&[GuardRefusal::People { count: 1 }]);
}

#[test]
fn a_definition_that_would_start_by_itself_keeps_a_host_on() {
    let host = Pretend::new();
    host.put("etc/libvirt/qemu/web.xml", "<domain/>").put("etc/libvirt/qemu/autostart/.keep", "");
    assert_eq!(host.off(), Outcome::Done { downtime: None });

    let host = Pretend::new();
    host.put("etc/libvirt/qemu/autostart/.keep", "");
    // A link, as libvirt makes it; where it leads to does not matter.
    let mark = host.path("etc/libvirt/qemu/autostart/$(reboot).xml");
    std::os::unix::fs::symlink("/nowhere/web.xml", mark).expect("a link");
    host.assert_refuses(&[GuardRefusal::Autostart { count: 1 }]);
    assert_eq!(host.log(), "", "libvirt was not even stopped");
}

#[test]
fn inhibitors_package_locks_and_resyncs_keep_a_host_on() {
    let host = Pretend::new();
    host.put("inhibitors", "UPower 0 root 5 upowerd sleep Pause delay\nbackup\u{1b}[2J 0 root 9 backup shutdown:sleep Nightly $(reboot) block\n");
    host.assert_refuses(&[GuardRefusal::Inhibitor(
        "backup[2J 0 root 9 backup shutdown:sleep Nightly $(reboot) block".into(),
    )]);

    let host = Pretend::new();
    host.put("var/lib/dpkg/lock-frontend", "");
    let inode = std::os::unix::fs::MetadataExt::ino(
        &fs::metadata(host.path("var/lib/dpkg/lock-frontend")).expect("there"),
    );
    host.put("proc/locks", &format!("1: POSIX  ADVISORY  WRITE 999 08:01:{inode} 0 EOF\n"));
    host.assert_refuses(&[GuardRefusal::PackageLock]);

    let host = Pretend::new();
    host.put(
        "proc/mdstat",
        "md0 : active raid1 sda1[0]\n      [==>....]  resync = 12.6% (1/2) finish=3.2min\n",
    );
    host.assert_refuses(&[GuardRefusal::Resync]);
    host.put("proc/mdstat", "md0 : active (auto-read-only) raid1 sda1[0]\n      resync=PENDING\n");
    assert_eq!(host.off(), Outcome::Done { downtime: None });
}

#[test]
fn a_late_leader_and_another_cluster_are_refused() {
    let host = Pretend::new();
    host.put("var/lib/dormouse-guard/epoch", &format!("{OURS} 8\n"));
    assert_eq!(host.off_by(OURS, 7), Outcome::Refused(vec![GuardRefusal::Epoch(Epoch(8))]));
    assert_eq!(host.off_by(OTHERS, 9), Outcome::Refused(vec![GuardRefusal::Cluster]));
    host.put("var/lib/dormouse-guard/epoch", "8\n");
    assert!(
        matches!(host.off(), Outcome::Refused(why) if matches!(why[..], [GuardRefusal::Cluster | GuardRefusal::Doors(_)]))
    );
    host.assert_untouched();

    let order = GuardOrder { good_until: None, ..order(OTHERS, 1) };
    let power = WolAndGuard::new(Arc::new(host.remote()));
    let adopted = runtime().block_on(power.adopt(&fake::host("h1"), &order, Millis::from_secs(5)));
    assert_eq!(adopted, Outcome::Done { downtime: None });
    assert_eq!(host.off_by(OTHERS, 1), Outcome::Done { downtime: None });
}

/// A manager froze, or its packets did; another leads by now, of which this guard has not heard: the epoch says nothing.
#[track_caller]
fn assert_refuses_late_under(shell: &[&str]) {
    let pretend = || {
        let mut host = Pretend::new();
        host.shell = shell.iter().map(|word| (*word).to_owned()).collect();
        host
    };
    let late = Outcome::Refused(vec![GuardRefusal::Late]);
    let at = |boot, secs| Some(HostTime { boot, uptime: Millis::from_secs(secs) });
    for good_until in [at(BOOT, 999), at(BOOT, 1000), at(Uuid::from_u128(0xb006), 1030), None] {
        let host = pretend();
        let order = GuardOrder { good_until, ..order(OURS, 7) };
        assert_eq!(host.off_as(&order), late, "{shell:?} {good_until:?}");
        host.assert_untouched();
        assert_eq!(host.log(), "", "libvirt was not even stopped");
    }
    for (name, text) in [("proc/uptime", ""), ("proc/uptime", "soon"), ("proc/sys/kernel/random/boot_id", "")]
    {
        let host = pretend();
        host.put(name, text);
        assert_eq!(host.off(), late, "{shell:?} {name} {text}");
        host.assert_untouched();
    }
    // In time when it came, and too late when the doors were closed at last.
    let host = pretend();
    host.put("late/proc/uptime", "1031.00 7000.00\n");
    assert_eq!(host.off(), late, "{shell:?}");
    host.assert_untouched();
    assert!(host.log().starts_with("stop ") && !host.path("var/lib/dormouse-guard/epoch").exists());
}

#[test]
fn a_command_that_comes_late_is_refused_by_the_hosts_own_clock() {
    assert_refuses_late_under(&["dash"]);
    assert_refuses_late_under(&["bash"]);
}

#[test]
#[ignore = "needs busybox"]
fn a_command_that_comes_late_is_refused_under_busybox_too() {
    assert_refuses_late_under(&["busybox", "sh"]);
}

#[test]
fn a_service_that_will_not_stop_keeps_the_host_on() {
    let host = Pretend::new();
    host.put("stubborn", "");
    host.assert_refuses(&[GuardRefusal::Doors("a service would not stop".into())]);
}

#[test]
fn without_a_power_switch_the_doors_open_again() {
    let host = Pretend::new();
    host.put("no-power-switch", "");
    assert!(matches!(host.off(), Outcome::Failed(OutcomeError::Driver(_))));
    wait_until(|| !host.path("run/dormouse-guard/lock").exists());
    for unit in ["libvirtd.service", "libvirtd.socket"] {
        assert!(host.path("units").join(unit).exists());
    }
    assert!(!host.path("run/nologin").exists());
}

/// Talks with the guard up to `closed`, then does what the caller says instead of `go`.
fn closed_then(host: &Pretend, then: impl AsyncFnOnce(dormouse_driver::Channel)) {
    let cluster = OURS.to_string();
    runtime().block_on(async {
        let boot = BOOT.to_string();
        let args = ["off", &cluster, "7", "1800", &boot, "1030"];
        let mut channel =
            host.remote().open(&fake::host("h1"), GUARD, &args, Millis::from_secs(10)).await.expect("opens");
        assert_eq!(channel.hear().await.expect("hears").as_deref(), Some("closed"));
        assert!(!host.path("units/libvirtd.socket").exists(), "the doors are closed");
        then(channel).await;
    });
}

#[test]
fn a_manager_that_vanishes_leaves_open_doors() {
    let host = Pretend::new();
    closed_then(&host, async |channel| drop(channel));
    wait_until(|| !host.path("run/dormouse-guard/lock").exists());
    host.assert_untouched();
}

fn assert_gives_up_under(shell: &[&str]) {
    let mut host = Pretend::new();
    host.shell = shell.iter().map(|word| (*word).to_owned()).collect();
    host.env.push(("DORMOUSE_GUARD_PATIENCE".into(), "1".into()));
    closed_then(&host, async |mut channel| {
        // It gives up by itself, and a `go` that comes later finds nobody.
        assert_eq!(channel.hear().await.expect("hears"), None, "{shell:?}");
        let _ = channel.say("go").await;
    });
    host.assert_untouched();
}

#[test]
fn a_manager_that_freezes_is_not_waited_for() {
    assert_gives_up_under(&["dash"]);
    assert_gives_up_under(&["bash"]);
}

#[test]
#[ignore = "needs busybox"]
fn a_manager_that_freezes_is_not_waited_for_under_busybox() {
    assert_gives_up_under(&["busybox", "sh"]);
}

#[test]
fn two_guards_do_not_work_at_once_and_a_killed_one_is_taken_over_from() {
    let host = Pretend::new();
    closed_then(&host, async |channel| {
        let order = order(OURS, 7);
        // Only the folder of processes says whether the other is alive.
        let pid = fs::read_to_string(host.path("run/dormouse-guard/lock/pid")).expect("locked");
        host.process(pid.trim().parse().expect("a pid"), "sh", 'S', 0);
        let power = WolAndGuard::new(Arc::new(host.remote()));
        let outcome = power.off(&fake::host("h1"), &order, Millis::from_secs(5)).await;
        assert_eq!(outcome, Outcome::Refused(vec![GuardRefusal::Doors("another guard is at work".into())]));
        fs::remove_dir_all(host.path("proc").join(pid.trim())).expect("it dies");
        let outcome = power.off(&fake::host("h1"), &order, Millis::from_secs(5)).await;
        assert_eq!(outcome, Outcome::Done { downtime: None });
        drop(channel);
    });
}

/// The script ends a moment after its last word; there is nothing to wait on but what it leaves.
#[track_caller]
fn wait_until(done: impl Fn() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !done() {
        assert!(std::time::Instant::now() < until, "it never came to that");
        std::thread::yield_now();
    }
}
