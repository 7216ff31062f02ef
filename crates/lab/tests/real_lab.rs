//! Real labs, small ones. Every test has a lab of its own and takes it down whatever happens. They need root and the
//! lab's packages (`cargo xtask test` knows), and are meant to run one at a time.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use dormouse_lab::{Fault, HostSpec, Lab, LabSpec, Load, Power};

/// A lab that is removed when the test ends.
struct Small(Lab);

impl Small {
    fn up(id: &str, hosts: u16, guests: u16) -> Self {
        dormouse_lab::down(id).unwrap();
        let mut spec = LabSpec::new(id, hosts, guests);
        spec.boot_s = 1;
        spec.program = Some(env!("CARGO_BIN_EXE_labctl").into());
        let lab = Lab::up(spec, &mut ()).unwrap_or_else(|e| panic!("{e} ({:?})", e.hint()));
        Self(lab)
    }

    fn host(&self, name: &str) -> HostSpec {
        self.0.spec.host(name).unwrap()
    }

    /// What a command says on a host, run over ssh as the manager does.
    fn ssh(&self, host: &str, command: &str) -> String {
        let out = self
            .0
            .command_in_manager_netns("ssh")
            .arg("-F")
            .arg(self.0.paths.ssh_config())
            .args([host, command])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    fn virsh(&self, host: &str, words: &[&str]) -> (bool, String) {
        let socket = self.0.paths.host(&self.host(host)).libvirt_socket();
        let out = std::process::Command::new("timeout")
            .args(["20", "virsh", "-q", "-c"])
            .arg(format!("qemu:///system?socket={}", socket.display()))
            .args(words)
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// A magic packet, broadcast from the manager's place.
    fn magic(&self, host: &str) {
        let mac = self.host(host).mac.0;
        std::thread::scope(|s| {
            s.spawn(|| {
                self.0.enter_manager_netns().unwrap();
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.set_broadcast(true).unwrap();
                let packet = [vec![0xff; 6], mac.repeat(16)].concat();
                let everyone: SocketAddr = "10.77.255.255:9".parse().unwrap();
                socket.send_to(&packet, everyone).unwrap();
            });
        });
    }

    fn power(&self, host: &str) -> Power {
        self.0.status().unwrap().hosts.into_iter().find(|h| h.name == host).unwrap().power
    }

    fn heard_on(&self, guest: &str) -> Option<String> {
        self.0.status().unwrap().guests.into_iter().find(|g| g.name == guest).unwrap().heard_on
    }

    fn has_event(&self, words: &[&str]) -> bool {
        self.0.events().unwrap().lines().any(|l| words.iter().all(|w| l.contains(w)))
    }

    #[track_caller]
    fn soon(&self, what: &str, fact: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fact() {
            assert!(
                Instant::now() < deadline,
                "not within 20 s: {what}\n{:#?}\n{}",
                self.0.status().unwrap(),
                self.0.events().unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let id = &self.0.spec.id;
        let report = dormouse_lab::down(id).unwrap();
        assert!(report.left.is_empty() && report.strangers.is_empty(), "{report:?}");
        assert!(!self.0.paths.state.exists());
        assert!(!Path::new("/run/netns").join(format!("{id}-sw")).exists());
    }
}

#[test]
#[ignore = "needs the lab"]
fn a_guest_moves_its_host_sleeps_and_wakes() {
    let lab = Small::up("tmove", 2, 2);
    let before = lab.ssh("h01", "cat /proc/sys/kernel/random/boot_id");
    lab.0.streams_start().unwrap();
    lab.soon("ticks are heard", || lab.0.streams(false).unwrap().ticks > 100);
    let (moved, said) = lab.virsh(
        "h01",
        &["migrate", "--live", "--p2p", "--persistent", "--undefinesource", "pc01", "qemu+tls://h02/system"],
    );
    assert!(moved, "{said}");
    lab.soon("pc01 is heard on h02", || lab.heard_on("pc01").as_deref() == Some("h02"));
    assert!(lab.has_event(&["guest-move", "pc01", r#""from":"h01""#]));

    lab.ssh("h01", "poweroff");
    lab.soon("h01 is off", || lab.power("h01") == Power::Off);
    assert!(lab.has_event(&["power-off", "h01", r#""how":"poweroff""#, r#""qemu":"""#]));
    assert!(!lab.0.answers("h01").unwrap());

    lab.magic("h01");
    lab.soon("h01 answers again", || lab.0.answers("h01").unwrap());
    assert_ne!(lab.ssh("h01", "cat /proc/sys/kernel/random/boot_id"), before);

    let heard = lab.0.streams(true).unwrap();
    assert_eq!(
        (heard.streams, heard.streams_broken, heard.ticks_lost, heard.double_runs),
        (2, 0, 0, 0),
        "{heard:?}"
    );
}

#[test]
#[ignore = "needs the lab"]
fn broken_power_network_and_storage_look_like_life() {
    let lab = Small::up("tfault", 2, 1);
    let fault = |f: Fault| lab.0.fault("h02", &f).unwrap();

    fault(Fault::PowerCut);
    lab.soon("h02 is off", || lab.power("h02") == Power::Off);
    fault(Fault::LoseWakes(1));
    lab.magic("h02");
    lab.soon("the packet is lost", || lab.has_event(&["magic", "h02", "lost"]));
    assert_eq!(lab.power("h02"), Power::Off);

    fault(Fault::HangBoot);
    lab.magic("h02");
    lab.soon("the boot hangs", || lab.power("h02") == Power::Hung);
    assert!(!lab.0.answers("h02").unwrap());
    fault(Fault::PowerCut);
    lab.soon("h02 is off again", || lab.power("h02") == Power::Off);

    fault(Fault::NoShare);
    lab.magic("h02");
    lab.soon("h02 answers", || lab.0.answers("h02").unwrap());
    assert_eq!(lab.ssh("h02", "ls -A /var/lib/libvirt/shared"), "");
    lab.0.heal("h02").unwrap();
    assert_eq!(lab.ssh("h02", "ls -A /var/lib/libvirt/shared"), ".dormouse-shared");

    fault(Fault::Silence);
    assert!(!lab.0.answers("h02").unwrap());
    assert_eq!(lab.power("h02"), Power::On);
    lab.0.heal("h02").unwrap();
    lab.soon("h02 is heard again", || lab.0.answers("h02").unwrap());

    fault(Fault::FreezeLibvirtd);
    let asked = Instant::now();
    let frozen = std::thread::scope(|s| {
        let list = s.spawn(|| lab.virsh("h02", &["list"]));
        // It accepts and never answers; only thawing ends it.
        while asked.elapsed() < Duration::from_millis(1500) {
            assert!(!list.is_finished(), "a frozen libvirtd answered");
            std::thread::sleep(Duration::from_millis(20));
        }
        fault(Fault::ThawLibvirtd);
        list.join().unwrap()
    });
    assert!(frozen.0, "{}", frozen.1);
}

#[test]
#[ignore = "needs the lab"]
fn a_host_shows_people_locks_inhibitors_and_its_own_load() {
    let lab = Small::up("tpeople", 1, 1);
    let fault = |f: Fault| lab.0.fault("h01", &f).unwrap();
    assert_eq!(lab.ssh("h01", "who; systemd-inhibit --list --no-legend"), "");
    fault(Fault::Login { user: "alice".to_owned(), tty: "tty1".to_owned() });
    fault(Fault::Inhibitors(vec!["alice 1000 alice 77 rsync shutdown backup block".to_owned()]));
    fault(Fault::LoadAverage(Some(123)));
    fault(Fault::HoldPackages);
    let said = lab.ssh("h01", "who; systemd-inhibit --list --no-legend; cat /proc/loadavg");
    for word in ["alice    tty1", "rsync shutdown backup", "1.23 1.23 1.23"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    let locked = "grep -c \":$(stat -c %i /var/lib/dpkg/lock-frontend) \" /proc/locks";
    assert_eq!(lab.ssh("h01", locked), "1");
    lab.0.heal("h01").unwrap();
    assert_eq!(lab.ssh("h01", locked), "0");
    assert_eq!(lab.ssh("h01", "who; systemd-inhibit --list --no-legend"), "");

    // The doors of libvirt, as the guard closes them: the guests stay, nobody gets in.
    let stopped = lab.ssh(
        "h01",
        "systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service; \
         systemctl is-active libvirtd.service libvirtd.socket; ls /run/libvirt/libvirt-sock 2>/dev/null; pgrep -c qemu",
    );
    assert_eq!(stopped, "inactive\ninactive\n1");
    lab.ssh("h01", "systemctl start libvirtd");
    lab.soon("libvirtd answers with its guest", || lab.virsh("h01", &["list", "--name"]).1 == "pc01");

    // A service stopped without its socket comes back with the next connection.
    lab.ssh("h01", "systemctl stop libvirtd.service");
    lab.soon("a connection brings libvirtd back", || lab.virsh("h01", &["list", "--name"]).1 == "pc01");

    lab.0.load("pc01", Some(Load::Cpu { percent: 100 }), 30).unwrap();
    lab.soon("the guest's work is the host's load", || {
        let load = lab.ssh("h01", "cut -d' ' -f1 /proc/loadavg");
        load.parse::<f64>().unwrap() > 1.0
    });
    lab.0.load("pc01", None, 0).unwrap();
}

#[test]
#[ignore = "needs the lab"]
fn a_guest_that_runs_twice_is_caught() {
    let lab = Small::up("tdouble", 2, 1);
    let xml = std::fs::read_to_string(lab.0.paths.domains().join("pc01.xml")).unwrap();
    let copy = lab.0.paths.domains().join("copy.xml");
    std::fs::write(&copy, xml).unwrap();
    let (started, said) = lab.virsh("h02", &["create", &copy.display().to_string()]);
    assert!(started, "{said}");
    lab.soon("the double run is heard", || lab.0.status().unwrap().double_runs > 0);
    let status = lab.0.status().unwrap();
    assert_eq!(status.guests[0].processes, ["h01", "h02"]);
}

#[test]
#[ignore = "needs the lab"]
fn down_cleans_up_after_a_crash() {
    let lab = Small::up("tcrash", 1, 1);
    let again = Lab::up(lab.0.spec.clone(), &mut ()).unwrap_err();
    assert!(again.to_string().contains("exists already"), "{again}");
    let marker = format!("lab-internal\0supervisor\0{}", lab.0.paths.state.display());
    let supervisor = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find(|e| std::fs::read_to_string(e.path().join("cmdline")).is_ok_and(|c| c.contains(&marker)))
        .unwrap();
    let killed = std::process::Command::new("kill").arg("-9").arg(supervisor.file_name()).status().unwrap();
    assert!(killed.success());
    lab.soon_gone(&supervisor.path());
    // The rest is for `down`, when the test ends; its guests must be gone with it.
    let state = lab.0.paths.state.clone();
    drop(lab);
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|e| std::fs::read_link(e.path().join("exe")).is_ok_and(|exe| exe.starts_with(&state)));
    assert!(!left);
}

impl Small {
    #[track_caller]
    fn soon_gone(&self, process: &Path) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while process.join("exe").exists() {
            assert!(Instant::now() < deadline, "{} is still there", process.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
